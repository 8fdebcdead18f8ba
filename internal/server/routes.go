package server

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

type route struct {
	method, path string
	handle       echo.HandlerFunc
}

// routes is the whole native API.
func (s *Server) routes() []route {
	return []route{
		{http.MethodPost, "/plans", s.plan},
		{http.MethodPost, "/tasks", s.apply},
		{http.MethodGet, "/deployments", s.deployments},
		{http.MethodGet, "/deployments/:name", s.deployment},
		{http.MethodGet, "/deployments/:name/outputs", s.outputs},
		{http.MethodGet, "/deployments/:name/tasks", s.tasks},
		{http.MethodGet, "/deployments/:name/tasks/:task/steps", s.steps},
		{http.MethodGet, "/deployments/:name/tasks/:task/wait", s.wait},
		{http.MethodPost, "/deployments/:name/control", s.control},
		{http.MethodGet, "/deployments/:name/hosts/:node/:index", s.host},
		{http.MethodGet, "/events", s.events},
		{http.MethodGet, "/secrets", s.secrets},
		{http.MethodPut, "/secrets/:secret", s.setSecret},
		{http.MethodGet, "/secrets/:secret", s.secret},
		{http.MethodDelete, "/secrets/:secret", s.removeSecret},
	}
}

// param is a decoded path parameter.
func param(c echo.Context, name string) string {
	v := c.Param(name)
	if d, err := url.PathUnescape(v); err == nil {
		return d
	}
	return v
}

func (s *Server) plan(c echo.Context) error {
	req, done, err := s.request(c)
	if err != nil {
		return err
	}
	defer done()
	p, list, err := s.opts.Service.Plan(c.Request().Context(), req)
	if err != nil {
		return err
	}
	if list == nil {
		list = diag.List{}
	}
	return c.JSON(http.StatusOK, orch.PlanAnswer{Plan: p, Diagnostics: list})
}

func (s *Server) apply(c echo.Context) error {
	req, done, err := s.request(c)
	if err != nil {
		return err
	}
	defer done()
	t, err := s.opts.Service.Apply(c.Request().Context(), req)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, t)
}

func (s *Server) deployments(c echo.Context) error {
	all, err := s.opts.Service.Deployments(c.Request().Context())
	if all == nil {
		all = []orch.Deployment{}
	}
	return answer(c, all, err)
}

func (s *Server) deployment(c echo.Context) error {
	d, err := s.opts.Service.Deployment(c.Request().Context(), param(c, "name"))
	return answer(c, d, err)
}

func (s *Server) outputs(c echo.Context) error {
	reveal, _ := strconv.ParseBool(c.QueryParam("reveal"))
	outs, err := s.opts.Service.Outputs(c.Request().Context(), param(c, "name"), reveal)
	if outs == nil {
		outs = []orch.Output{}
	}
	return answer(c, outs, err)
}

func (s *Server) tasks(c echo.Context) error {
	t, err := s.opts.Service.Tasks(c.Request().Context(), param(c, "name"))
	if t == nil {
		t = []orch.Task{}
	}
	return answer(c, t, err)
}

func (s *Server) steps(c echo.Context) error {
	st, err := s.opts.Service.Steps(c.Request().Context(), param(c, "name"), param(c, "task"))
	if st == nil {
		st = []orch.StepStatus{}
	}
	return answer(c, st, err)
}

func (s *Server) wait(c echo.Context) error {
	ctx, cancel := s.streaming(c)
	defer cancel()
	t, err := s.opts.Service.Wait(ctx, param(c, "name"), param(c, "task"))
	return answer(c, t, err)
}

func (s *Server) control(c echo.Context) error {
	var ctl orch.Control
	if err := decodeJSON(c, &ctl); err != nil {
		return err
	}
	ctl.Deployment = param(c, "name")
	if err := s.opts.Service.Control(c.Request().Context(), ctl); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// host answers with the secrets it refers to: who may log in needs them.
func (s *Server) host(c echo.Context) error {
	ctx := c.Request().Context()
	h, err := s.opts.Service.Host(ctx, param(c, "name"), topology.Instance{Node: param(c, "node"), Index: param(c, "index")})
	if err != nil {
		return err
	}
	access := orch.HostAccess{Host: h, Secrets: map[string]string{}}
	for hop := h; hop != nil && s.opts.Reveal != nil; hop = hop.Bastion {
		for _, ref := range []string{hop.KeyRef, hop.PasswordRef} {
			if ref == "" {
				continue
			}
			v, err := s.opts.Reveal(ctx, ref)
			if err != nil {
				return err
			}
			access.Secrets[ref] = v.Reveal()
		}
	}
	return c.JSON(http.StatusOK, access)
}

func answer(c echo.Context, v any, err error) error {
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}
