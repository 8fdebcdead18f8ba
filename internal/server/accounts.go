package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *Server) accounts() orch.Accounts { return s.opts.Service.Accounts() }

func (s *Server) whoami(c echo.Context) error { return answer(c, identity(c), nil) }

// tenants lists all to the server's admin, to others their own.
func (s *Server) tenants(c echo.Context) error {
	all, err := s.accounts().Tenants(c.Request().Context())
	id := identity(c)
	out := []orch.Tenant{}
	for _, t := range all {
		if id.Allows(orch.ServerAdmin) || id.Tenants[t.Name] != "" || t.Name == id.Tenant && id.Allows(orch.Viewer) {
			out = append(out, t)
		}
	}
	return answer(c, out, err)
}

func (s *Server) createTenant(c echo.Context) error {
	var t orch.Tenant
	if err := decodeJSON(c, &t); err != nil {
		return err
	}
	about(c, t.Name)
	made, err := s.accounts().CreateTenant(c.Request().Context(), t)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, made)
}

func (s *Server) removeTenant(c echo.Context) error {
	return done(c, s.accounts().RemoveTenant(c.Request().Context(), param(c, "tenant")))
}

func done(c echo.Context, err error) error {
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// ownTenant makes sure that a tenant's admin stays in that tenant: the role was checked in the one that the request is about.
func ownTenant(c echo.Context) (string, error) {
	id, tenant := identity(c), param(c, "tenant")
	if id.Allows(orch.ServerAdmin) || id.Tenant == tenant {
		return tenant, nil
	}
	if id.Tenants[tenant].Allows(orch.Admin) {
		return tenant, nil
	}
	return "", &orch.Error{Kind: orch.KindForbidden, Msg: id.User + " may not do that in tenant " + tenant}
}

func (s *Server) members(c echo.Context) error {
	tenant, err := ownTenant(c)
	if err != nil {
		return err
	}
	all, err := s.accounts().Members(c.Request().Context(), tenant)
	return answer(c, all, err)
}

// grant sets or, as DELETE, takes away a role.
func (s *Server) grant(c echo.Context) error {
	tenant, err := ownTenant(c)
	if err != nil {
		return err
	}
	if identity(c).Narrowed {
		return narrowed()
	}
	m := orch.Member{User: param(c, "user")}
	if c.Request().Method == http.MethodPut {
		var body struct {
			Role orch.Role `json:"role"`
		}
		if err := decodeJSON(c, &body); err != nil {
			return err
		}
		if m.Role = body.Role; m.Role == "" {
			return &orch.Error{Kind: orch.KindUser, Msg: "which role? It is viewer, operator or admin"}
		}
	}
	about(c, string(m.Role))
	if _, err := s.accounts().Grant(c.Request().Context(), m.User, tenant, m.Role); err != nil {
		return err
	}
	if m.Role == "" {
		return c.NoContent(http.StatusNoContent)
	}
	return c.JSON(http.StatusOK, m)
}

func (s *Server) users(c echo.Context) error {
	all, err := s.accounts().Users(c.Request().Context())
	return answer(c, all, err)
}

func userTag(u orch.User) string { return quoted("v" + strconv.Itoa(u.Version)) }

func (s *Server) user(c echo.Context) error {
	u, err := s.accounts().User(c.Request().Context(), param(c, "user"))
	if err != nil {
		return err
	}
	return tagged(c, userTag(u), func() error { return c.JSON(http.StatusOK, u) })
}

func (s *Server) createUser(c echo.Context) error {
	var u orch.NewUser
	if err := decodeJSON(c, &u); err != nil {
		return err
	}
	about(c, u.Name)
	made, err := s.accounts().CreateUser(c.Request().Context(), u)
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", userTag(made))
	return c.JSON(http.StatusCreated, made)
}

func (s *Server) updateUser(c echo.Context) error {
	var change orch.UserChange
	if err := decodeJSON(c, &change); err != nil {
		return err
	}
	if tag := c.Request().Header.Get("If-Match"); tag != "" && tag != "*" {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(tag, `"v`), `"`))
		if err != nil || n < 1 {
			return &statusError{http.StatusPreconditionFailed, &orch.Error{Kind: orch.KindConflict, Msg: fmt.Sprintf("If-Match: %.40q is no version of a user", tag)}}
		}
		change.Version = n
	}
	u, err := s.accounts().UpdateUser(c.Request().Context(), param(c, "user"), change)
	if errors.Is(err, orch.ErrChanged) && ifMatch(c) != "" {
		return &statusError{http.StatusPreconditionFailed, err}
	}
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", userTag(u))
	return c.JSON(http.StatusOK, u)
}

func (s *Server) removeUser(c echo.Context) error {
	name := param(c, "user")
	err := unchanged(c, func() (string, error) {
		u, err := s.accounts().User(c.Request().Context(), name)
		return userTag(u), err
	})
	if err == nil {
		err = s.accounts().RemoveUser(c.Request().Context(), name)
	}
	return done(c, err)
}

func narrowed() error {
	return &orch.Error{Kind: orch.KindForbidden, Msg: "a token that allows less than its user may not make credentials or give roles"}
}

// mine is the user of the store who asks: only such a one has a password and tokens.
func mine(c echo.Context) (string, error) {
	id := identity(c)
	switch {
	case id.Narrowed:
		return "", narrowed()
	case id.Via == "none" || id.Via == "socket":
		return "", &orch.Error{Kind: orch.KindUser, Msg: "whose? The server does not know who asks", Hint: "name the user"}
	}
	return id.User, nil
}

func (s *Server) setPassword(c echo.Context) error {
	var body struct {
		Password string `json:"password"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	user, err := mine(c)
	if err != nil {
		return err
	}
	if body.Password == "" {
		return &orch.Error{Kind: orch.KindUser, Msg: "the password is empty"}
	}
	_, err = s.accounts().UpdateUser(c.Request().Context(), user, orch.UserChange{Password: &body.Password})
	return done(c, err)
}

// tokens lists the user's own; the server's admin sees everybody's, or those of one user.
func (s *Server) tokens(c echo.Context) error {
	id, user := identity(c), c.QueryParam("user")
	if !id.Allows(orch.ServerAdmin) {
		if user != "" && user != id.User {
			return forbidden(id, orch.ServerAdmin)
		}
		user = id.User
	}
	all, err := s.accounts().Tokens(c.Request().Context(), user)
	return answer(c, all, err)
}

func (s *Server) createToken(c echo.Context) error {
	var t orch.NewToken
	if err := decodeJSON(c, &t); err != nil {
		return err
	}
	id := identity(c)
	if t.User == "" || t.User == id.User && !id.Allows(orch.ServerAdmin) {
		var err error
		if t.User, err = mine(c); err != nil {
			return err
		}
	} else if !id.Allows(orch.ServerAdmin) {
		return forbidden(id, orch.ServerAdmin)
	}
	if id.Narrowed {
		return narrowed()
	}
	about(c, "for "+t.User)
	made, err := s.accounts().CreateToken(c.Request().Context(), t)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(http.StatusCreated, made)
}

func (s *Server) revokeToken(c echo.Context) error {
	ctx, id, token := c.Request().Context(), identity(c), param(c, "token")
	if !id.Allows(orch.ServerAdmin) {
		own, err := s.accounts().Tokens(ctx, id.User)
		if err != nil {
			return err
		}
		found := false
		for _, t := range own {
			found = found || t.ID == token
		}
		// Others' tokens do not exist for who may not revoke them. A narrowed token may end itself, and nothing else.
		if !found || id.Narrowed && id.Token != token {
			return &orch.Error{Kind: orch.KindNotFound, Msg: fmt.Sprintf("there is no token %q", token), Err: orch.ErrNotFound}
		}
	}
	return done(c, s.accounts().RevokeToken(ctx, token))
}

func (s *Server) bootstrap(c echo.Context) error {
	var body struct {
		User string `json:"user"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	about(c, body.User)
	made, err := s.accounts().Bootstrap(c.Request().Context(), body.User)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(http.StatusCreated, made)
}

// auditLog shows a tenant's admin that tenant; the server's admin all, or the one of the parameter.
func (s *Server) auditLog(c echo.Context) error {
	id := identity(c)
	f := orch.AuditFilter{Tenant: id.Tenant, User: c.QueryParam("user"), Before: c.QueryParam("before")}
	if id.Allows(orch.ServerAdmin) {
		f.Tenant = c.QueryParam("tenant")
	} else if want := c.QueryParam("tenant"); want != "" && want != id.Tenant {
		return forbidden(id, orch.ServerAdmin)
	}
	var err error
	if f.Limit, err = intParam(c, "limit"); err != nil {
		return err
	}
	if since := c.QueryParam("since"); since != "" {
		if f.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return badParam("since", since, "a time such as 2026-01-31T12:00:00Z")
		}
	}
	all, err := s.accounts().Audit(c.Request().Context(), f)
	return answer(c, all, err)
}
