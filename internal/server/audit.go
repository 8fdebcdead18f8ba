package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// auditTimeout bounds writing an entry: the request is done by then.
const auditTimeout = 5 * time.Second

// audited reports whether a request is one that the audit log has.
func (s *Server) audited(c echo.Context, t traits) bool {
	r := c.Request()
	change := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions && t&reads == 0
	if t&reveals != 0 {
		reveal, err := boolParam(c, "reveal")
		change = change || reveal && err == nil
	}
	return change || t&audited != 0
}

func auditEntry(c echo.Context, id orch.Identity) orch.AuditEntry {
	r := c.Request()
	return orch.AuditEntry{User: id.User, Tenant: id.Tenant, From: id.From, Via: id.Via, Token: id.Token, Action: r.Method + " " + c.Path(), Target: r.URL.Path}
}

// begin records a change before it is made: what cannot be recorded is not done. Nil where there is no log to keep.
func (s *Server) begin(c echo.Context, t traits, id orch.Identity) (*orch.AuditEntry, error) {
	if s.opts.NoAudit || !s.audited(c, t) || id.User == "" || id.Role == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), auditTimeout)
	defer cancel()
	e, err := orch.BeginAudit(ctx, s.opts.Service.Accounts(), auditEntry(c, id))
	return &e, err
}

// audit records what has come of a change, done or refused, in the entry that was begun for it. Requests of nobody are only logged: whoever reaches
// the port could fill the store with them.
func (s *Server) audit(c echo.Context, t traits, id orch.Identity, begun *orch.AuditEntry, err error) {
	if !s.audited(c, t) {
		return
	}
	e := auditEntry(c, id)
	if begun != nil {
		e.ID, e.Time = begun.ID, begun.Time
	}
	e.Status, e.Result = c.Response().Status, orch.AuditDone
	if target, ok := c.Get(targetKey).(string); ok {
		e.Target += " " + target
	}
	if err != nil {
		p := s.problem(c, err)
		e.Status, e.Result, e.Detail = p.Status, orch.AuditFailed, p.Detail
	}
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || errors.Is(err, errLimited):
		e.Result = orch.AuditDenied
	case e.Status >= http.StatusBadRequest:
		e.Result = orch.AuditFailed
	}
	if id.User == "" || id.Role == "" || begun == nil && e.Status == http.StatusUnauthorized {
		s.opts.Logger.Info("refused", "action", e.Action, "target", e.Target, "from", id.From, "status", e.Status)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), auditTimeout)
	defer cancel()
	if err := s.opts.Service.Accounts().Record(ctx, e); err != nil && !s.opts.NoAudit {
		s.opts.Logger.Error("cannot write the audit log", "action", e.Action, "target", e.Target, "user", e.User, "tenant", e.Tenant, "result", e.Result, "error", err)
	}
}

const targetKey = "audit.target"

// about notes what a request is about where its path does not say it.
func about(c echo.Context, target string) { c.Set(targetKey, target) }
