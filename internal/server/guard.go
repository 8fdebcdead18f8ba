package server

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/server/auth"
	"github.com/orch-project/orch/pkg/orch"
)

// Authenticator finds out who sends a request; see package auth.
type Authenticator interface {
	Identify(r *http.Request) (orch.Identity, error)
}

// Mount is an endpoint of its own below a path, such as Alien4Cloud's at the root.
type Mount struct {
	// Prefix of its paths; the longest that fits gets a request. "" is the root.
	Prefix  string
	Handler http.Handler
	// Needs says which role a request needs; nil: viewer to read (GET, HEAD), operator for everything else.
	Needs func(r *http.Request) orch.Role
	// Refuse answers a request that may not pass, in the endpoint's own words; nil: a problem document.
	Refuse func(w http.ResponseWriter, r *http.Request, p orch.Problem)
}

func (m Mount) needs(r *http.Request) orch.Role {
	switch {
	case m.Needs != nil:
		return m.Needs(r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return orch.Viewer
	}
	return orch.Operator
}

// tenantHeaders name the tenant that a request is about: orch's own, and Cloudify's.
var tenantHeaders = []string{"X-Orch-Tenant", "Tenant"}

func wantedTenant(r *http.Request) string {
	for _, h := range tenantHeaders {
		if v := r.Header.Get(h); v == cloudifyDefault {
			return orch.DefaultTenant
		} else if v != "" {
			return v
		}
	}
	return ""
}

// cloudifyDefault is what Cloudify's clients call the tenant that is always there.
const cloudifyDefault = "default_tenant"

// identify finds out who asks and in which tenant, and puts that in the request's context. On a socket that only its owner can open there
// is nobody else to be told apart.
func (s *Server) identify(r *http.Request) (orch.Identity, error) {
	if err := sameOrigin.Check(r); err != nil {
		return orch.Identity{}, &orch.Error{Kind: orch.KindForbidden, Msg: "a page of another site has sent this", Err: err}
	}
	id := orch.Identity{User: s.opts.Owner, Role: orch.ServerAdmin, Via: "socket"}
	if s.opts.Auth != nil {
		var err error
		if id, err = s.opts.Auth.Identify(r); err != nil {
			return id, err
		}
		if id.Via == "none" && !localName(r.Host) && !s.opts.AnyHost {
			// A page in a browser can make its name resolve to 127.0.0.1; what it cannot do is call itself localhost.
			return id, &orch.Error{Kind: orch.KindForbidden, Msg: "this server is for its own machine and is not called " + r.Host}
		}
	}
	return s.choose(r, id)
}

var sameOrigin = http.NewCrossOriginProtection()

func localName(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") || strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// choose finds the tenant of a request: the one that it names, else the user's only one, else the default one.
func (s *Server) choose(r *http.Request, id orch.Identity) (orch.Identity, error) {
	want := wantedTenant(r)
	everywhere := id.Role.Allows(orch.Viewer)
	switch {
	case want != "" && everywhere:
		if err := s.checkTenant(r, want); err != nil {
			return id, err
		}
		id.Tenant = want
	case want != "":
		if id.Tenants[want] == "" {
			return id, &orch.Error{Kind: orch.KindForbidden, Msg: id.User + " has no role in tenant " + want}
		}
		id.Tenant = want
	case everywhere:
		id.Tenant = orch.DefaultTenant
	default:
		id.Tenant = onlyTenant(id)
	}
	if role := id.Tenants[id.Tenant]; role != "" && !everywhere {
		id.Role = role
	}
	return id, nil
}

func onlyTenant(id orch.Identity) string {
	if id.Tenants[orch.DefaultTenant] != "" || len(id.Tenants) != 1 {
		return orch.DefaultTenant
	}
	for name := range id.Tenants {
		return name
	}
	return orch.DefaultTenant
}

// checkTenant refuses tenants that do not exist: what an admin would put there could not be found by anybody.
func (s *Server) checkTenant(r *http.Request, name string) error {
	if name == orch.DefaultTenant {
		return nil
	}
	all, err := s.opts.Service.Accounts().Tenants(r.Context())
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Name == name {
			return nil
		}
	}
	return &orch.Error{Kind: orch.KindNotFound, Msg: "there is no tenant " + name, Hint: "an admin of the server makes one: orch tenants add"}
}

// guarded lets a request through if who sends it has the role that the route needs. Everything the server answers goes through it.
func (s *Server) guarded(r route, next echo.HandlerFunc) echo.HandlerFunc {
	if r.traits&once != 0 {
		next = s.idempotent(next)
	}
	return s.admitting(refused, func(c echo.Context) (err error) {
		id, err := s.admit(c, r.needs)
		var begun *orch.AuditEntry
		if err == nil {
			if begun, err = s.begin(c, r.traits, id); err != nil {
				return err
			}
			err = next(c)
		}
		s.audit(c, r.traits, id, begun, err)
		return err
	})
}

func refused(_ echo.Context, err error) error { return err }

// admit authenticates and authorizes.
func (s *Server) admit(c echo.Context, needs orch.Role) (orch.Identity, error) {
	req := c.Request()
	id := orch.Identity{Role: orch.Public}
	if needs != orch.Public {
		var err error
		if id, err = s.identify(req); err != nil {
			return id, err
		}
	}
	if !id.Allows(needs) {
		return id, forbidden(id, needs)
	}
	if s.opts.Admit != nil {
		if err := s.opts.Admit(req); err != nil {
			return id, err
		}
	}
	c.SetRequest(req.WithContext(orch.WithTenant(orch.WithIdentity(req.Context(), id), id.Tenant)))
	return id, nil
}

func forbidden(id orch.Identity, needs orch.Role) error {
	have := string(id.Role)
	if have == string(orch.Known) || have == "" {
		have = "no role"
	}
	where := " in tenant " + id.Tenant
	if needs == orch.ServerAdmin {
		where = ""
	}
	hint := "an admin of the tenant can grant it: orch tenants grant"
	if needs == orch.ServerAdmin {
		hint = "an admin of the server can do it"
	}
	return &orch.Error{Kind: orch.KindForbidden, Msg: id.User + " may not do that: it needs the role " + string(needs) + where + " and has " + have, Hint: hint}
}

// mounted is guarded for an endpoint that answers in its own words.
func (s *Server) mounted(m Mount) echo.HandlerFunc {
	refuse := func(c echo.Context, err error) error {
		if m.Refuse == nil {
			return err
		}
		m.Refuse(c.Response(), c.Request(), s.problem(c, err))
		return nil
	}
	return s.admitting(refuse, func(c echo.Context) error {
		id, err := s.admit(c, m.needs(c.Request()))
		var begun *orch.AuditEntry
		if err == nil {
			begun, err = s.begin(c, 0, id)
		}
		if err != nil {
			s.audit(c, 0, id, begun, err)
			return refuse(c, err)
		}
		m.Handler.ServeHTTP(c.Response(), c.Request())
		s.audit(c, 0, id, begun, nil)
		return nil
	})
}

// identity of the request, after guarded.
func identity(c echo.Context) orch.Identity {
	id, _ := orch.IdentityOf(c.Request().Context())
	return id
}

// service is the Service in the tenant that the request is about.
func (s *Server) service(c echo.Context) orch.Service {
	return orch.InTenant(s.opts.Service, identity(c).Tenant)
}

// challenge tells clients how to authenticate, and how long to wait after too many failures.
func challenge(c echo.Context, p *orch.Problem, err error) {
	var many *auth.TooManyError
	switch {
	case errors.As(err, &many):
		p.Status, p.Title = http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests)
		c.Response().Header().Set(echo.HeaderRetryAfter, itoa(many.Seconds()))
	case p.Status == http.StatusServiceUnavailable:
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	case p.Status == http.StatusUnauthorized:
		c.Response().Header().Add(echo.HeaderWWWAuthenticate, `Bearer realm="orch"`)
		c.Response().Header().Add(echo.HeaderWWWAuthenticate, `Basic realm="orch", charset="UTF-8"`)
	}
}
