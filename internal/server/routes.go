package server

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// route of the native API. Everything it can do is in this one table: what a route needs is said here or it is refused to everybody, and
// openapi.yaml must describe it (TestEveryRouteIsDescribed says what to add).
type route struct {
	method, path string
	needs        orch.Role
	traits       traits
	handle       echo.HandlerFunc
}

// traits of a route, beyond what its method says.
type traits int

const (
	reads   traits = 1 << iota // changes nothing although it is a POST: it is not audited
	audited                    // gives away secrets although it is a GET: it is audited
	once                       // takes an Idempotency-Key
	reveals                    // gives away secrets if it is asked to (reveal): it is audited then
)

// routes is the whole native API.
func (s *Server) routes() []route {
	const get, post, put, patch, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	const public, known, viewer, operator, admin, owner = orch.Public, orch.Known, orch.Viewer, orch.Operator, orch.Admin, orch.ServerAdmin
	return []route{
		{get, "/openapi.yaml", public, 0, s.openapi},
		{get, "/whoami", known, 0, s.whoami},

		{post, "/plans", operator, once, s.plan},
		{get, "/plans", viewer, 0, s.plans},
		{get, "/plans/:plan", viewer, 0, s.savedPlan},
		{del, "/plans/:plan", operator, 0, s.removePlan},
		{post, "/plans/:plan/apply", operator, once, s.applyPlan},
		{post, "/tasks", operator, once, s.apply},

		{get, "/deployments", viewer, 0, s.deployments},
		{get, "/deployments/:name", viewer, 0, s.deployment},
		{get, "/deployments/:name/outputs", viewer, reveals, s.outputs},
		{get, "/deployments/:name/workflows", viewer, 0, s.workflows},
		{get, "/deployments/:name/revisions", viewer, 0, s.revisions},
		{post, "/deployments/:name/drift", operator, 0, s.drift},
		{get, "/deployments/:name/tasks", viewer, 0, s.tasks},
		{get, "/deployments/:name/tasks/:task", viewer, 0, s.task},
		{get, "/deployments/:name/tasks/:task/steps", viewer, 0, s.steps},
		{get, "/deployments/:name/tasks/:task/wait", viewer, 0, s.wait},
		{post, "/deployments/:name/control", operator, once, s.control},
		{get, "/deployments/:name/hosts/:node/:index", operator, audited, s.host},
		{get, "/deployments/:name/resources", operator, 0, s.resources},
		{post, "/deployments/:name/resources", operator, 0, s.adopt},
		{del, "/deployments/:name/resources", operator, 0, s.sweep},
		{get, "/events", viewer, 0, s.events},

		{post, "/validate", viewer, reads, s.validate},
		{get, "/blueprints", viewer, 0, s.blueprints},
		{post, "/blueprints", operator, once, s.uploadBlueprint},
		{get, "/blueprints/:blueprint", viewer, 0, s.blueprint},
		{del, "/blueprints/:blueprint", operator, 0, s.removeBlueprint},
		{get, "/blueprints/:blueprint/archive", viewer, 0, s.blueprintArchive},
		{get, "/blueprints/:blueprint/versions", viewer, 0, s.blueprintVersions},
		{put, "/blueprints/:blueprint/versions/:version", operator, 0, s.uploadBlueprint},
		{get, "/blueprints/:blueprint/versions/:version", viewer, 0, s.blueprint},
		{del, "/blueprints/:blueprint/versions/:version", operator, 0, s.removeBlueprint},
		{get, "/blueprints/:blueprint/versions/:version/archive", viewer, 0, s.blueprintArchive},

		{get, "/locations", viewer, 0, s.locations},
		{put, "/locations/:location", owner, 0, s.putLocation},
		{del, "/locations/:location", owner, 0, s.removeLocation},
		{get, "/locations/:location/usage", viewer, 0, s.locationUsage},
		{get, "/pools", viewer, 0, s.pools},
		{get, "/pools/:pool/hosts", viewer, 0, s.poolHosts},
		{put, "/pools/:pool/hosts", owner, 0, s.applyHosts},
		{get, "/pools/:pool/hosts/:host", viewer, 0, s.poolHost},
		{put, "/pools/:pool/hosts/:host", owner, 0, s.addHost},
		{patch, "/pools/:pool/hosts/:host", owner, 0, s.updateHost},
		{del, "/pools/:pool/hosts/:host", owner, 0, s.removeHost},

		{get, "/secrets", viewer, 0, s.secrets},
		{put, "/secrets/:secret", operator, 0, s.setSecret},
		{patch, "/secrets/:secret", operator, 0, s.updateSecret},
		{get, "/secrets/:secret", operator, audited, s.secret},
		{get, "/secrets/:secret/versions", viewer, 0, s.secretVersions},
		{del, "/secrets/:secret", operator, 0, s.removeSecret},
		{post, "/secret-store/export", admin, 0, s.exportSecrets},
		{post, "/secret-store/import", admin, 0, s.importSecrets},
		{post, "/secret-store/rotation", owner, 0, s.rotateKey},
		{get, "/secret-store/reads", admin, 0, s.secretReads},

		{get, "/tenants", known, 0, s.tenants},
		{post, "/tenants", owner, once, s.createTenant},
		{del, "/tenants/:tenant", owner, 0, s.removeTenant},
		{get, "/tenants/:tenant/members", admin, 0, s.members},
		{put, "/tenants/:tenant/members/:user", admin, 0, s.grant},
		{del, "/tenants/:tenant/members/:user", admin, 0, s.grant},
		{get, "/users", owner, 0, s.users},
		{post, "/users", owner, once, s.createUser},
		{get, "/users/:user", owner, 0, s.user},
		{patch, "/users/:user", owner, 0, s.updateUser},
		{del, "/users/:user", owner, 0, s.removeUser},
		{put, "/password", known, 0, s.setPassword},
		{get, "/tokens", known, 0, s.tokens},
		{post, "/tokens", known, 0, s.createToken},
		{del, "/tokens/:token", known, 0, s.revokeToken},
		{post, "/bootstrap", owner, 0, s.bootstrap},
		{get, "/store/backup", owner, audited, s.backup},
		{get, "/log-level", owner, 0, s.logLevel},
		{put, "/log-level", owner, 0, s.setLogLevel},
		{get, "/audit", admin, 0, s.auditLog},
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

func (s *Server) apply(c echo.Context) error {
	req, done, err := s.request(c)
	if err != nil {
		return err
	}
	defer done()
	about(c, string(req.Verb)+" "+req.Deployment)
	t, err := s.service(c).Apply(c.Request().Context(), req)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, base+"/deployments/"+url.PathEscape(t.Deployment)+"/tasks/"+url.PathEscape(t.ID))
	return c.JSON(http.StatusAccepted, t)
}

func (s *Server) deployments(c echo.Context) error {
	all, err := s.service(c).Deployments(c.Request().Context())
	if all == nil {
		all = []orch.Deployment{}
	}
	return answer(c, all, err)
}

func (s *Server) deployment(c echo.Context) error {
	d, err := s.service(c).Deployment(c.Request().Context(), param(c, "name"))
	return answer(c, d, err)
}

func (s *Server) outputs(c echo.Context) error {
	reveal, err := boolParam(c, "reveal")
	if err != nil {
		return err
	}
	if id := identity(c); reveal && !id.Allows(orch.Operator) {
		return forbidden(id, orch.Operator)
	}
	outs, err := s.service(c).Outputs(c.Request().Context(), param(c, "name"), reveal)
	if outs == nil {
		outs = []orch.Output{}
	}
	return answer(c, outs, err)
}

func (s *Server) tasks(c echo.Context) error {
	t, err := s.service(c).Tasks(c.Request().Context(), param(c, "name"))
	if t == nil {
		t = []orch.Task{}
	}
	return answer(c, t, err)
}

func (s *Server) task(c echo.Context) error {
	name, id := param(c, "name"), param(c, "task")
	all, err := s.service(c).Tasks(c.Request().Context(), name)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.ID == id {
			return answer(c, t, nil)
		}
	}
	return &orch.Error{Kind: orch.KindNotFound, Msg: "deployment " + name + " has no task " + id, Err: orch.ErrNotFound}
}

func (s *Server) steps(c echo.Context) error {
	st, err := s.service(c).Steps(c.Request().Context(), param(c, "name"), param(c, "task"))
	if st == nil {
		st = []orch.StepStatus{}
	}
	return answer(c, st, err)
}

func (s *Server) wait(c echo.Context) error {
	ctx, cancel := s.streaming(c)
	defer cancel()
	t, err := s.service(c).Wait(ctx, param(c, "name"), param(c, "task"))
	return answer(c, t, s.interrupted(c, err))
}

func (s *Server) control(c echo.Context) error {
	var ctl orch.Control
	if err := decodeJSON(c, &ctl); err != nil {
		return err
	}
	ctl.Deployment = param(c, "name")
	about(c, ctl.Verb+" "+ctl.Step)
	if err := s.service(c).Control(c.Request().Context(), ctl); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// host answers with the secrets it refers to: who may log in needs them.
func (s *Server) host(c echo.Context) error {
	ctx := c.Request().Context()
	h, err := s.service(c).Host(ctx, param(c, "name"), topology.Instance{Node: param(c, "node"), Index: param(c, "index")})
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
