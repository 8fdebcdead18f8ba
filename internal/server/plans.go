package server

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

// plan keeps a plan so that it can be applied as reviewed; with dry_run it only says what would be done.
func (s *Server) plan(c echo.Context) error {
	dry, err := boolParam(c, "dry_run")
	if err != nil {
		return err
	}
	req, done, err := s.request(c)
	if err != nil {
		return err
	}
	defer done()
	ctx := c.Request().Context()
	about(c, string(req.Verb)+" "+req.Deployment)
	if !dry {
		p, err := s.service(c).Plans().Save(ctx, req)
		if err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderLocation, base+"/plans/"+url.PathEscape(p.ID))
		c.Response().Header().Set("ETag", planTag(p))
		return c.JSON(http.StatusCreated, p)
	}
	p, list, err := s.service(c).Plan(ctx, req)
	if err != nil {
		return err
	}
	if list == nil {
		list = diag.List{}
	}
	return c.JSON(http.StatusOK, orch.PlanAnswer{Plan: p, Diagnostics: list})
}

func (s *Server) plans(c echo.Context) error {
	all, err := s.service(c).Plans().List(c.Request().Context(), c.QueryParam("deployment"))
	if all == nil {
		all = []orch.SavedPlan{}
	}
	return answer(c, all, err)
}

func (s *Server) savedPlan(c echo.Context) error {
	p, err := s.service(c).Plans().Get(c.Request().Context(), param(c, "plan"))
	if err != nil {
		return err
	}
	return tagged(c, planTag(p), func() error { return c.JSON(http.StatusOK, p) })
}

func (s *Server) removePlan(c echo.Context) error {
	if err := s.service(c).Plans().Remove(c.Request().Context(), param(c, "plan")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// applyPlan starts what was reviewed. If-Match with the digest makes sure that it is the plan that the client has seen.
func (s *Server) applyPlan(c echo.Context) error {
	id := param(c, "plan")
	err := unchanged(c, func() (string, error) {
		p, err := s.service(c).Plans().Get(c.Request().Context(), id)
		if p.Task != "" {
			return ifMatch(c), err // Apply says that it was applied, or answers a request that comes again
		}
		return planTag(p), err
	})
	if err != nil {
		return err
	}
	t, err := s.service(c).Plans().Apply(c.Request().Context(), id)
	if err != nil {
		return err
	}
	about(c, string(t.Verb)+" "+t.Deployment)
	c.Response().Header().Set(echo.HeaderLocation, base+"/deployments/"+url.PathEscape(t.Deployment)+"/tasks/"+url.PathEscape(t.ID))
	return c.JSON(http.StatusAccepted, t)
}

// planTag is the plan's digest, by which If-Match applies what was read; an applied plan has another, since it names its task.
func planTag(p orch.SavedPlan) string {
	if p.Task != "" {
		return quoted(p.Digest + "." + p.Task)
	}
	return quoted(p.Digest)
}

func quoted(tag string) string { return `"` + tag + `"` }
