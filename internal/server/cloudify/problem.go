package cloudify

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

// problem is an error with Cloudify's code for it. The client picks its exception by the code and prints the message.
type problem struct {
	status  int
	code    string
	message string
}

func (p *problem) Error() string { return p.message }

// errorDocument is the body of every error. Old clients need server_traceback to be there.
type errorDocument struct {
	Message   string  `json:"message"`
	Code      string  `json:"error_code"`
	Traceback *string `json:"server_traceback"`
}

func (p *problem) document() errorDocument { return errorDocument{Message: p.message, Code: p.code} }

// refused is a 400 with a code.
func refused(code, format string, args ...any) error {
	return &problem{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func badParameters(format string, args ...any) error {
	return refused("bad_parameters_error", format, args...)
}

func notFound(kind, id string) error {
	return &problem{http.StatusNotFound, "not_found_error", fmt.Sprintf("Requested `%s` with ID `%s` was not found", kind, id)}
}

func conflict(format string, args ...any) error {
	return &problem{http.StatusConflict, "conflict_error", fmt.Sprintf(format, args...)}
}

func forbidden(message string) error {
	return &problem{http.StatusForbidden, "forbidden_error", message}
}

var codes = map[int]string{
	http.StatusBadRequest: "bad_parameters_error", http.StatusUnauthorized: "unauthorized_error", http.StatusForbidden: "forbidden_error",
	http.StatusNotFound: "not_found_error", http.StatusMethodNotAllowed: "method_not_allowed_error", http.StatusConflict: "conflict_error",
	http.StatusUnsupportedMediaType: "unsupported_content_type_error", http.StatusRequestEntityTooLarge: "bad_parameters_error",
	http.StatusRequestTimeout: "bad_parameters_error",
}

// problemOf gives every error its code.
func problemOf(err error) *problem {
	var own *problem
	var list *diag.ListError
	var large *http.MaxBytesError
	var routed *echo.HTTPError
	var unreadable *jsonbody.Invalid
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, os.ErrDeadlineExceeded):
		return withStatus(http.StatusRequestTimeout, "The request's body comes too slowly")
	case errors.As(err, &unreadable):
		return withStatus(http.StatusBadRequest, fmt.Sprintf("The request's body cannot be read: %v", unreadable.Err))
	case errors.As(err, &large):
		return withStatus(http.StatusRequestEntityTooLarge, fmt.Sprintf("The request is larger than %d bytes", large.Limit))
	case errors.As(err, &list):
		return withStatus(http.StatusBadRequest, diagnostics(list.List))
	case errors.As(err, &routed):
		return withStatus(routed.Code, fmt.Sprintf("%d: %s", routed.Code, http.StatusText(routed.Code)))
	}
	p := orch.ProblemOf(err)
	detail := p.Detail
	if p.Hint != "" {
		detail += " (" + p.Hint + ")"
	}
	return withStatus(p.Status, detail)
}

func withStatus(status int, message string) *problem {
	code := codes[status]
	if code == "" {
		code = "internal_server_error"
	}
	return &problem{status, code, message}
}

// diagnostics are the mistakes of a document, one a line.
func diagnostics(list diag.List) string {
	text := ""
	for _, d := range list {
		if d.Severity != diag.Error {
			continue
		}
		if text != "" {
			text += "\n"
		}
		if !d.Pos.IsZero() {
			text += d.Pos.String() + ": "
		}
		text += d.Message
		if d.Hint != "" {
			text += " (" + d.Hint + ")"
		}
	}
	return text
}

func isNotFound(err error) bool {
	var known *orch.Error
	return errors.As(err, &known) && known.Kind == orch.KindNotFound
}

func isConflict(err error) bool {
	var known *orch.Error
	return errors.As(err, &known) && known.Kind == orch.KindConflict
}

func isUsers(err error) bool {
	var known *orch.Error
	return errors.As(err, &known) && known.Kind == orch.KindUser
}
