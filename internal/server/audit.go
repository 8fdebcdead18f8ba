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

// audit records a change, done or refused. Requests of nobody are only logged: whoever reaches the port could fill the store with them.
func (s *Server) audit(c echo.Context, t traits, id orch.Identity, err error) {
	r := c.Request()
	change := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions && t&reads == 0
	if !change && t&audited == 0 {
		return
	}
	e := orch.AuditEntry{User: id.User, Tenant: id.Tenant, From: id.From, Via: id.Via, Token: id.Token, Action: r.Method + " " + c.Path(), Target: r.URL.Path,
		Status: c.Response().Status, Result: "done"}
	if target, ok := c.Get(targetKey).(string); ok {
		e.Target += " " + target
	}
	if err != nil {
		p := s.problem(c, err)
		e.Status, e.Result, e.Detail = p.Status, "failed", p.Detail
	}
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || errors.Is(err, errLimited):
		e.Result = "denied"
	case e.Status >= http.StatusBadRequest:
		e.Result = "failed"
	}
	if id.User == "" || id.Role == "" || e.Status == http.StatusUnauthorized {
		s.opts.Logger.Info("refused", "action", e.Action, "target", e.Target, "from", id.From, "status", e.Status)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditTimeout)
	defer cancel()
	if err := s.opts.Service.Accounts().Record(ctx, e); err != nil && !s.opts.NoAudit {
		s.opts.Logger.Error("cannot write the audit log", "action", e.Action, "target", e.Target, "user", e.User, "tenant", e.Tenant, "result", e.Result, "error", err)
	}
}

const targetKey = "audit.target"

// about notes what a request is about where its path does not say it.
func about(c echo.Context, target string) { c.Set(targetKey, target) }
