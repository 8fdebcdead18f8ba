package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// Accounts implements orch.Service.
func (c *Client) Accounts() orch.Accounts { return accounts{c} }

type accounts struct{ c *Client }

// sendJSON sends a value and decodes the answer.
func (c *Client) sendJSON(ctx context.Context, method, path string, v, into any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.do(ctx, method, path, bytes.NewReader(body), "application/json", into)
}

// WhoAmI is the identity that the server sees.
func (c *Client) WhoAmI(ctx context.Context) (id orch.Identity, err error) {
	return id, c.get(ctx, "/whoami", &id)
}

// SetPassword changes the password of who asks.
func (c *Client) SetPassword(ctx context.Context, password string) error {
	return c.sendJSON(ctx, http.MethodPut, "/password", map[string]string{"password": password}, nil)
}

func userPath(name string) string { return "/users/" + url.PathEscape(name) }

func (a accounts) Tenants(ctx context.Context) (all []orch.Tenant, err error) {
	return all, a.c.get(ctx, "/tenants", &all)
}

func (a accounts) CreateTenant(ctx context.Context, t orch.Tenant) (out orch.Tenant, err error) {
	return out, a.c.sendJSON(ctx, http.MethodPost, "/tenants", map[string]string{"name": t.Name, "description": t.Description}, &out)
}

func (a accounts) RemoveTenant(ctx context.Context, name string) error {
	return a.c.do(ctx, http.MethodDelete, "/tenants/"+url.PathEscape(name), nil, "", nil)
}

func (a accounts) Users(ctx context.Context) (all []orch.User, err error) {
	return all, a.c.get(ctx, "/users", &all)
}

func (a accounts) User(ctx context.Context, name string) (u orch.User, err error) {
	return u, a.c.get(ctx, userPath(name), &u)
}

func (a accounts) CreateUser(ctx context.Context, n orch.NewUser) (u orch.User, err error) {
	return u, a.c.sendJSON(ctx, http.MethodPost, "/users", n, &u)
}

func (a accounts) UpdateUser(ctx context.Context, name string, change orch.UserChange) (u orch.User, err error) {
	return u, a.c.sendJSON(ctx, http.MethodPatch, userPath(name), change, &u)
}

func (a accounts) RemoveUser(ctx context.Context, name string) error {
	return a.c.do(ctx, http.MethodDelete, userPath(name), nil, "", nil)
}

// Grant returns of the user what a tenant's admin may see: the role in that tenant.
func (a accounts) Grant(ctx context.Context, user, tenant string, role orch.Role) (orch.User, error) {
	path := "/tenants/" + url.PathEscape(tenant) + "/members/" + url.PathEscape(user)
	u := orch.User{Name: user, Tenants: map[string]orch.Role{}}
	if role == "" {
		return u, a.c.do(ctx, http.MethodDelete, path, nil, "", nil)
	}
	u.Tenants[tenant] = role
	return u, a.c.sendJSON(ctx, http.MethodPut, path, map[string]string{"role": string(role)}, nil)
}

func (a accounts) Members(ctx context.Context, tenant string) (all []orch.Member, err error) {
	return all, a.c.get(ctx, "/tenants/"+url.PathEscape(tenant)+"/members", &all)
}

func (a accounts) Tokens(ctx context.Context, user string) (all []orch.Token, err error) {
	return all, a.c.get(ctx, "/tokens?user="+url.QueryEscape(user), &all)
}

func (a accounts) CreateToken(ctx context.Context, n orch.NewToken) (t orch.IssuedToken, err error) {
	return t, a.c.sendJSON(ctx, http.MethodPost, "/tokens", n, &t)
}

func (a accounts) RevokeToken(ctx context.Context, id string) error {
	return a.c.do(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(id), nil, "", nil)
}

func (a accounts) Bootstrap(ctx context.Context, user string) (t orch.IssuedToken, err error) {
	return t, a.c.sendJSON(ctx, http.MethodPost, "/bootstrap", map[string]string{"user": user}, &t)
}

func (a accounts) Audit(ctx context.Context, f orch.AuditFilter) (all []orch.AuditEntry, err error) {
	q := url.Values{}
	for k, v := range map[string]string{"tenant": f.Tenant, "user": f.User, "before": f.Before} {
		if v != "" {
			q.Set(k, v)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if !f.Since.IsZero() {
		q.Set("since", f.Since.UTC().Format(time.RFC3339))
	}
	return all, a.c.get(ctx, "/audit?"+q.Encode(), &all)
}

// Record is the server's own affair: it writes its audit log itself.
func (a accounts) Record(context.Context, orch.AuditEntry) error {
	return errors.New("the audit log of a server cannot be written from outside")
}
