package a4c

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

// problem is an error with Yorc's id for it.
type problem struct {
	status int
	id     string
	detail string
}

func (p *problem) Error() string { return p.detail }

// errorDocument is the body of every error.
type errorDocument struct {
	Errors []errorEntry `json:"errors"`
}

type errorEntry struct {
	ID     string `json:"id"`
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

func (p *problem) document() errorDocument {
	return errorDocument{Errors: []errorEntry{{p.id, p.status, http.StatusText(p.status), p.detail}}}
}

var ids = map[int]string{
	http.StatusBadRequest: "bad_request", http.StatusUnauthorized: "forbidden", http.StatusForbidden: "forbidden",
	http.StatusNotFound: "not_found", http.StatusRequestTimeout: "request_timeout",
	http.StatusTooManyRequests: "too_many_requests", http.StatusMethodNotAllowed: "method_not_allowed", http.StatusNotAcceptable: "not_acceptable",
	http.StatusConflict: "conflict", http.StatusRequestEntityTooLarge: "request_too_large", http.StatusUnsupportedMediaType: "unsupported_media_type",
	http.StatusNotImplemented: "not_implemented", http.StatusServiceUnavailable: "service_unavailable", http.StatusBadGateway: "bad_gateway",
}

// problemOf gives every error its status. Alien4Cloud shows the details of 4xx to its user, so mistakes of documents come with all their
// diagnostics.
func problemOf(err error) *problem {
	var own *problem
	var list *diag.ListError
	var large *http.MaxBytesError
	var routed *echo.HTTPError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &large):
		return withStatus(http.StatusRequestEntityTooLarge, "The request is too large.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return withStatus(http.StatusRequestTimeout, "The request's body comes too slowly.")
	case errors.As(err, &list):
		return withStatus(http.StatusBadRequest, diagnostics(list.List))
	case errors.As(err, &routed):
		if routed.Code == http.StatusNotFound {
			return withStatus(routed.Code, "Requested content not found.")
		}
		return withStatus(routed.Code, http.StatusText(routed.Code)+".")
	}
	p := orch.ProblemOf(err)
	detail := p.Detail
	if p.Hint != "" {
		detail += " (" + p.Hint + ")"
	}
	return withStatus(p.Status, detail)
}

func withStatus(status int, detail string) *problem {
	id := ids[status]
	if id == "" {
		id = "internal_server_error"
		if status < http.StatusInternalServerError {
			id = "bad_request"
		}
	}
	return &problem{status, id, detail}
}

// Refuse answers a request that the server does not let through, in Yorc's words: Alien4Cloud shows nothing of other documents.
func Refuse(w http.ResponseWriter, _ *http.Request, p orch.Problem) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(withStatus(p.Status, p.Detail).document()) // the client went away
}

func badRequest(detail string) error { return withStatus(http.StatusBadRequest, detail) }
func notFound(detail string) error   { return withStatus(http.StatusNotFound, detail) }

// diagnostics are one line each: errors only, as warnings refuse nothing.
func diagnostics(list diag.List) string {
	var lines []string
	for _, d := range list {
		if d.Severity != diag.Error {
			continue
		}
		line := d.Message
		if !d.Pos.IsZero() {
			line = d.Pos.String() + ": " + line
		}
		if d.Hint != "" {
			line += " (" + d.Hint + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// turned gives an error another status, keeping its text: where Yorc's clients expect one that differs from what the Service says.
func turned(err error, from orch.Kind, status int) error {
	var known *orch.Error
	if errors.As(err, &known) && known.Kind == from {
		return withStatus(status, problemOf(err).detail)
	}
	return err
}
