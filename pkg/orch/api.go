package orch

import (
	"errors"
	"net/http"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
)

// Problem is the body of every error of the native API (RFC 9457), with what orch knows of it.
type Problem struct {
	Type        string    `json:"type"`
	Title       string    `json:"title"`
	Status      int       `json:"status"`
	Detail      string    `json:"detail,omitempty"`
	Kind        Kind      `json:"kind"`
	Hint        string    `json:"hint,omitempty"`
	Diagnostics diag.List `json:"diagnostics,omitempty"`
	// Instance is the path that was asked for, RequestID what the server's log calls the request.
	Instance  string `json:"instance,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Errors are the places of the request's body that are wrong.
	Errors []ProblemPart `json:"errors,omitempty"`
}

// ProblemPart is one place of a body that is wrong.
type ProblemPart struct {
	Pointer string `json:"pointer"` // JSON pointer, RFC 6901
	Detail  string `json:"detail"`
}

// PlanAnswer is the body of a planning answer: a nil plan when the findings are errors.
type PlanAnswer struct {
	Plan        *plan.Plan `json:"plan,omitempty"`
	Diagnostics diag.List  `json:"diagnostics"`
}

// HostAccess is a host with what is needed to log in to it.
type HostAccess struct {
	Host *driver.Host `json:"host"`
	// Secrets that the host refers to, by reference.
	Secrets map[string]string `json:"secrets,omitempty"`
}

// LogLevel of a server: debug, info, warn or error.
type LogLevel struct {
	Level string `json:"level"`
}

var statuses = map[Kind]int{
	KindUser: http.StatusBadRequest, KindCloud: http.StatusBadGateway, KindHost: http.StatusBadGateway, KindCancelled: http.StatusConflict,
	KindNotFound: http.StatusNotFound, KindConflict: http.StatusConflict, KindStore: http.StatusServiceUnavailable, KindInternal: http.StatusInternalServerError,
	KindUnauthenticated: http.StatusUnauthorized, KindForbidden: http.StatusForbidden,
}

// ProblemOf turns an error into what the API answers.
func ProblemOf(err error) Problem {
	p := Problem{Type: "about:blank", Kind: KindInternal, Detail: err.Error()}
	var known *Error
	var list *diag.ListError
	switch {
	case errors.As(err, &list):
		p.Kind, p.Diagnostics = KindUser, list.List
	case errors.As(err, &known):
		p.Kind, p.Hint = known.Kind, known.Hint
	}
	p.Status = statuses[p.Kind]
	if p.Status == 0 {
		p.Status = http.StatusInternalServerError
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// Err turns a problem back into the error it came from.
func (p Problem) Err() error {
	if len(p.Diagnostics) > 0 {
		return &diag.ListError{List: p.Diagnostics}
	}
	return &Error{Kind: p.Kind, Msg: p.Detail, Hint: p.Hint}
}
