package rest

import (
	"fmt"
	"net/http"
)

// Error is a refusal; each service writes it in its own format.
type Error struct {
	Status int
	// Type is the exception's class where the format has one (Neutron).
	Type    string
	Message string
	Header  http.Header
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Message) }

// Fail makes an error of any status.
func Fail(status int, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// Bad is a 400.
func Bad(format string, args ...any) *Error { return Fail(http.StatusBadRequest, format, args...) }

// Missing is a 404.
func Missing(format string, args ...any) *Error { return Fail(http.StatusNotFound, format, args...) }

// Conflict is a 409.
func Conflict(format string, args ...any) *Error { return Fail(http.StatusConflict, format, args...) }

// Forbidden is a 403.
func Forbidden(format string, args ...any) *Error { return Fail(http.StatusForbidden, format, args...) }

// Typed is a Neutron exception.
func Typed(status int, typ, format string, args ...any) *Error {
	return &Error{Status: status, Type: typ, Message: fmt.Sprintf(format, args...)}
}
