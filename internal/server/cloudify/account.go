package cloudify

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// Cloudify's roles in a tenant, and orch's for them. Managers decide who may do what; users and operations work; viewers look.
var tenantRoles = map[string]orch.Role{"manager": orch.Admin, "user": orch.Operator, "operations": orch.Operator, "viewer": orch.Viewer}

func roleName(r orch.Role) string {
	switch {
	case r.Allows(orch.Admin):
		return "manager"
	case r.Allows(orch.Operator):
		return "user"
	}
	return "viewer"
}

// Roles in the whole server.
const (
	sysAdmin    = "sys_admin"
	defaultRole = "default"
)

func systemRole(admin bool) string {
	if admin {
		return sysAdmin
	}
	return defaultRole
}

// userDocument shows a user; its tenants are a number in lists that do not ask for the data.
func userDocument(u orch.User, data bool) map[string]any {
	doc := map[string]any{"username": u.Name, "role": systemRole(u.Admin), "active": !u.Disabled, "last_login_at": nil, "first_login_at": nil, "is_locked": false,
		"created_at": stamp(u.Created), "tenants": len(u.Tenants), "groups": 0, "group_system_roles": map[string]any{}, "created_by": nil, "show_getting_started": false}
	if data {
		tenants, direct := map[string]any{}, map[string]any{}
		for name, role := range u.Tenants {
			tenants[shownTenant(name)], direct[shownTenant(name)] = memberOf(role), roleName(role)
		}
		doc["tenants"], doc["groups"], doc["tenant_roles"] = tenants, []any{}, ownRoles(direct)
	}
	return doc
}

func memberOf(role orch.Role) map[string]any {
	return map[string]any{"tenant-role": roleName(role), "roles": []string{roleName(role)}}
}

// ownRoles are roles by user or tenant. Nobody has one by way of a group.
func ownRoles(direct map[string]any) map[string]any {
	return map[string]any{"direct": direct, "groups": map[string]any{}}
}

func (s *Server) accounts() orch.Accounts { return s.opts.Service.Accounts() }

// user is who asks.
func (s *Server) user(q *request) (any, error) {
	u, err := s.accounts().User(q.Request().Context(), q.who.User)
	if isNotFound(err) {
		u, err = orch.User{Name: q.who.User, Admin: q.admin(), Tenants: map[string]orch.Role{s.opts.Tenant: orch.Admin}}, nil
	}
	if err != nil {
		return nil, err
	}
	return userDocument(u, true), nil
}

func (s *Server) users(q *request) (any, error) {
	all, err := s.accounts().Users(q.Request().Context())
	if err != nil {
		return nil, err
	}
	data, err := q.flag("_get_data")
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, u := range all {
		items = append(items, userDocument(u, data))
	}
	return onePage(items...), nil
}

func (s *Server) userNamed(q *request) (any, error) {
	u, err := s.accounts().User(q.Request().Context(), q.param("name"))
	if err != nil {
		return nil, err
	}
	return userDocument(u, true), nil
}

func (s *Server) createUser(q *request) (any, error) {
	var b struct {
		Name     string `json:"username"`
		Password string `json:"password"`
		Role     string `json:"role"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if b.Name == "" || b.Password == "" {
		return nil, badParameters("Missing username or password in json request body")
	}
	if b.Role != "" && b.Role != sysAdmin && b.Role != defaultRole {
		return nil, badParameters("Invalid role: `%s`. Valid system roles are: ['sys_admin', 'default']", b.Role)
	}
	u, err := s.accounts().CreateUser(q.Request().Context(), orch.NewUser{Name: b.Name, Password: b.Password, Admin: b.Role == sysAdmin})
	if err != nil {
		return nil, err
	}
	return created(userDocument(u, true))
}

// editUser sets a password or the role in the server.
func (s *Server) editUser(q *request) (any, error) {
	var b struct {
		Password *string `json:"password"`
		Role     *string `json:"role"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	c := orch.UserChange{Password: b.Password}
	if b.Role != nil {
		if *b.Role != sysAdmin && *b.Role != defaultRole {
			return nil, badParameters("Invalid role: `%s`. Valid system roles are: ['sys_admin', 'default']", *b.Role)
		}
		admin := *b.Role == sysAdmin
		c.Admin = &admin
	}
	if c.Password == nil && c.Admin == nil {
		return nil, badParameters("Missing password or role in json request body")
	}
	return s.changeUser(q, q.param("name"), c)
}

func (s *Server) changeUser(q *request, name string, c orch.UserChange) (any, error) {
	u, err := s.accounts().UpdateUser(q.Request().Context(), name, c)
	if err != nil {
		return nil, err
	}
	return userDocument(u, true), nil
}

// activateUser is POST /users/active/{name} {"action": "activate"|"deactivate"}.
func (s *Server) activateUser(q *request) (any, error) {
	var b struct {
		Action string `json:"action"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if b.Action != "activate" && b.Action != "deactivate" {
		return nil, badParameters("Invalid action: %s, Valid action values are: ['activate', 'deactivate']", b.Action)
	}
	off := b.Action == "deactivate"
	return s.changeUser(q, q.param("name"), orch.UserChange{Disabled: &off})
}

// unlockUser changes nothing: failed attempts slow a user down for a while, and lock nobody out.
func (s *Server) unlockUser(q *request) (any, error) { return s.userNamed(q) }

func (s *Server) deleteUser(q *request) (any, error) {
	if err := s.accounts().RemoveUser(q.Request().Context(), q.param("name")); err != nil {
		return nil, err
	}
	return nothing()
}

func (s *Server) tenantDocument(ctx context.Context, name string, data bool) (map[string]any, error) {
	doc := map[string]any{"name": shownTenant(name), "groups": 0, "users": 0}
	users, err := s.accounts().Users(ctx)
	if err != nil {
		return nil, err
	}
	members, direct := map[string]any{}, map[string]any{}
	for _, u := range users {
		if role, ok := u.Tenants[name]; ok {
			members[u.Name], direct[u.Name] = memberOf(role), roleName(role)
		}
	}
	doc["users"] = len(members)
	if data {
		doc["users"], doc["groups"], doc["user_roles"] = members, map[string]any{}, ownRoles(direct)
	}
	return doc, nil
}

// mayEnter reports whether the client sees a tenant.
func (q *request) mayEnter(name string) bool {
	return q.who.Role == "" || q.who.Allows(orch.ServerAdmin) || q.who.Tenants[name] != "" || name == q.tenant
}

func (s *Server) tenants(q *request) (any, error) {
	ctx := q.Request().Context()
	all, err := s.accounts().Tenants(ctx)
	if err != nil {
		return nil, err
	}
	data, err := q.flag("_get_data")
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, t := range all {
		if !q.mayEnter(t.Name) {
			continue
		}
		doc, err := s.tenantDocument(ctx, t.Name, data && q.admin())
		if err != nil {
			return nil, err
		}
		items = append(items, doc)
	}
	return onePage(items...), nil
}

func (s *Server) tenantNamed(q *request) (any, error) {
	ctx, name := q.Request().Context(), realTenant(q.param("name"))
	all, err := s.accounts().Tenants(ctx)
	if err != nil {
		return nil, err
	}
	if !q.mayEnter(name) || !slices.ContainsFunc(all, func(t orch.Tenant) bool { return t.Name == name }) {
		return nil, notFound("Tenant", name)
	}
	return s.tenantDocument(ctx, name, true)
}

func (s *Server) createTenant(q *request) (any, error) {
	ctx, name := q.Request().Context(), q.param("name")
	if err := checkID("tenant_name", name, false); err != nil {
		return nil, err
	}
	if name == defaultTenant {
		return nil, existing("tenant", name)
	}
	if _, err := s.accounts().CreateTenant(ctx, orch.Tenant{Name: name}); err != nil {
		return nil, err
	}
	doc, err := s.tenantDocument(ctx, name, true)
	if err != nil {
		return nil, err
	}
	return created(doc)
}

func (s *Server) deleteTenant(q *request) (any, error) {
	if err := s.accounts().RemoveTenant(q.Request().Context(), realTenant(q.param("name"))); err != nil {
		return nil, err
	}
	return nothing()
}

// grant gives a user a role in a tenant (PUT), changes it (PATCH) or takes it away (DELETE). Clients tell their user of a role that was there
// already (409), or was not (404), without calling it a failure.
func (s *Server) grant(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Tenant string `json:"tenant_name"`
		User   string `json:"username"`
		Role   string `json:"role"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	role := orch.Role("")
	if q.Request().Method != http.MethodDelete {
		if b.Role == "" {
			b.Role = "user"
		}
		if role = tenantRoles[b.Role]; role == "" {
			return nil, badParameters("Invalid role: `%s`. Valid tenant roles are: ['manager', 'user', 'operations', 'viewer']", b.Role)
		}
	}
	u, err := s.accounts().User(ctx, b.User)
	if err != nil {
		return nil, err
	}
	switch _, has := u.Tenants[realTenant(b.Tenant)]; {
	case has && q.Request().Method == http.MethodPut:
		return nil, conflict("User `%s` is already associated with tenant `%s`", b.User, b.Tenant)
	case !has && q.Request().Method != http.MethodPut:
		return nil, &problem{http.StatusNotFound, "not_found_error", fmt.Sprintf("User `%s` is not associated with tenant `%s`", b.User, b.Tenant)}
	}
	if _, err := s.accounts().Grant(ctx, b.User, realTenant(b.Tenant), role); err != nil {
		return nil, err
	}
	doc, err := s.tenantDocument(ctx, realTenant(b.Tenant), true)
	if err != nil {
		return nil, err
	}
	return doc, nil
}

// tokenDocument shows a token; its text only once.
func tokenDocument(t orch.Token, role, value string) map[string]any {
	if value == "" {
		value = "orch_" + t.ID + "_********"
	}
	return map[string]any{"id": t.ID, "username": t.User, "value": value, "role": role, "expiration_date": stamp(t.Expires), "last_used": stamp(t.Used), "description": t.Note}
}

func (q *request) roleInServer() string { return systemRole(q.who.Allows(orch.ServerAdmin)) }

func (s *Server) createToken(q *request) (any, error) {
	var b struct {
		Description string  `json:"description"`
		Expires     *string `json:"expiration_date"`
	}
	if err := q.optionalBody(&b); err != nil {
		return nil, err
	}
	t := orch.NewToken{User: q.who.User, Note: b.Description}
	if b.Expires != nil && *b.Expires != "" {
		now := s.opts.now()
		at, err := parseExpiry(*b.Expires, now)
		if err != nil {
			return nil, err
		}
		if !at.After(now) {
			return nil, badParameters("The expiration date %s has passed", *b.Expires)
		}
		t.Seconds = int64((at.Sub(now) + time.Second - 1) / time.Second)
	}
	return s.issue(q, t)
}

// parseExpiry reads a time, or one from now on: "+10h", "+30 minutes", "+1 day".
func parseExpiry(s string, now time.Time) (time.Time, error) {
	later, relative := strings.CutPrefix(strings.TrimSpace(s), "+")
	if !relative {
		return parseTime(s)
	}
	m := frequency.FindStringSubmatch(strings.ToLower(later))
	if m == nil {
		return time.Time{}, badParameters("Invalid time `%s`: it must be like 2024-08-12 13:16, +10h, +30 minutes or +1 day", s)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n > 1e6 {
		return time.Time{}, badParameters("Invalid time `%s`: it is too far away", s)
	}
	switch unitOf(m[2]) {
	case "year":
		return now.AddDate(n, 0, 0), nil
	case "month":
		return now.AddDate(0, n, 0), nil
	case "week":
		return now.AddDate(0, 0, 7*n), nil
	case "day":
		return now.AddDate(0, 0, n), nil
	case "hour":
		return now.Add(time.Duration(n) * time.Hour), nil
	case "minute":
		return now.Add(time.Duration(n) * time.Minute), nil
	}
	return now.Add(time.Duration(n) * time.Second), nil
}

func (s *Server) issue(q *request, t orch.NewToken) (any, error) {
	if q.who.Narrowed {
		return nil, forbidden("A token that is limited cannot make tokens")
	}
	issued, err := s.accounts().CreateToken(q.Request().Context(), t)
	if isNotFound(err) {
		return nil, refused("no_token_generator_error", "%s is no user of this server: tokens are those of users", t.User)
	}
	if err != nil {
		return nil, err
	}
	q.Response().Header().Set("Cache-Control", "no-store")
	return tokenDocument(issued.Token, q.roleInServer(), issued.Secret), nil
}

// providerTokenLife is how long a token lives that an old client asks for by reading: it comes again when it needs another.
const providerTokenLife = 24 * time.Hour

// tokens lists the client's tokens. Before version 3.1 reading gave a token.
func (s *Server) tokens(q *request) (any, error) {
	if q.api < v3_1 {
		return s.issue(q, orch.NewToken{User: q.who.User, Note: "of GET /tokens", Seconds: int64(providerTokenLife / time.Second)})
	}
	all, err := s.accounts().Tokens(q.Request().Context(), q.who.User)
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, t := range all {
		items = append(items, tokenDocument(t, q.roleInServer(), ""))
	}
	return onePage(items...), nil
}

// ownToken finds a token of the client's by its id.
func (s *Server) ownToken(q *request) (orch.Token, error) {
	all, err := s.accounts().Tokens(q.Request().Context(), q.who.User)
	if err != nil {
		return orch.Token{}, err
	}
	i := slices.IndexFunc(all, func(t orch.Token) bool { return t.ID == q.param("id") })
	if i < 0 {
		return orch.Token{}, notFound("Token", q.param("id"))
	}
	return all[i], nil
}

func (s *Server) token(q *request) (any, error) {
	t, err := s.ownToken(q)
	if err != nil {
		return nil, err
	}
	return tokenDocument(t, q.roleInServer(), ""), nil
}

func (s *Server) deleteToken(q *request) (any, error) {
	t, err := s.ownToken(q)
	if err != nil {
		return nil, err
	}
	if err := s.accounts().RevokeToken(q.Request().Context(), t.ID); err != nil {
		return nil, err
	}
	return nothing()
}
