package orch

import (
	"context"
	"strings"
)

// Role is what somebody may do in a tenant; each includes those before it.
type Role string

const (
	// Public is what needs no identity at all.
	Public Role = "public"
	// Known is what everybody may who has proved who it is, whatever the tenant: to look at oneself.
	Known Role = "known"
	// Viewer reads: deployments, plans, events, logs, outputs and the names of secrets, but no secret value.
	Viewer Role = "viewer"
	// Operator changes what runs and reads secret values: deploy, undeploy, control, workflows, secrets, blueprints.
	Operator Role = "operator"
	// Admin decides who may do what in the tenant, and reads its audit log.
	Admin Role = "admin"
	// ServerAdmin decides over the server: tenants, users, and everything in every tenant.
	ServerAdmin Role = "server-admin"
)

var ranks = map[Role]int{Public: 1, Known: 2, Viewer: 3, Operator: 4, Admin: 5, ServerAdmin: 6}

// Roles that can be given in a tenant.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

// Allows reports whether the role suffices where need is needed. A role that is unknown or empty allows nothing, and nothing suffices for
// an unknown need: who forgets to say what is needed denies everybody.
func (r Role) Allows(need Role) bool {
	have, want := ranks[r], ranks[need]
	return want > 0 && (have >= want || need == Public)
}

// Least is the lesser of two roles.
func Least(a, b Role) Role {
	if ranks[a] < ranks[b] {
		return a
	}
	return b
}

// Identity is who asks, as the server has found out. It travels in the context: see WithIdentity.
type Identity struct {
	User string `json:"user"`
	// Tenant that the request is about, and the role in it. A server's admin has ServerAdmin in every tenant.
	Tenant string `json:"tenant"`
	Role   Role   `json:"role"`
	// Tenants are all of the user's, with the role in each.
	Tenants map[string]Role `json:"tenants,omitempty"`
	// Via says how the identity was proved: token, basic, certificate, oidc, socket, or none where nobody needs to.
	Via string `json:"via"`
	// From is the address of the client; Token the id of the token used.
	From  string `json:"from,omitempty"`
	Token string `json:"token,omitempty"`
	// Narrowed is set where the token allows less than the user may: it cannot make other credentials.
	Narrowed bool `json:"narrowed,omitempty"`
}

// Allows reports whether the identity may do in its tenant what needs this role.
func (i Identity) Allows(need Role) bool { return i.Role.Allows(need) }

type identityKey struct{}

// WithIdentity returns a context of a request by id.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// IdentityOf returns who asks; false where nobody was authenticated, as in the engine's own work.
func IdentityOf(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(Identity)
	return id, ok
}

// DefaultTenant is the one that always exists; its deployments have no prefix in the store.
const DefaultTenant = "default"

type tenantKey struct{}

// WithTenant returns a context of work in a tenant. InTenant's Service sets it for each call.
func WithTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

// TenantOf is the tenant that a call is about: WithTenant's, else the identity's, else the default one.
func TenantOf(ctx context.Context) string {
	if t, ok := ctx.Value(tenantKey{}).(string); ok && t != "" {
		return t
	}
	if id, ok := IdentityOf(ctx); ok && id.Tenant != "" {
		return id.Tenant
	}
	return DefaultTenant
}

// tenantMark stands between tenant and name in the name of a deployment as it is recorded; no name that users give has it.
const tenantMark = "~"

// FullName is the recorded name of a tenant's deployment: the name itself in the default tenant, "tenant~name" elsewhere.
func FullName(tenant, name string) string {
	if tenant == "" || tenant == DefaultTenant {
		return name
	}
	return tenant + tenantMark + name
}

// SplitName is the reverse of FullName.
func SplitName(full string) (tenant, name string) {
	if t, n, ok := strings.Cut(full, tenantMark); ok {
		return t, n
	}
	return DefaultTenant, full
}

// tenantAndName is SplitName with "" for the default tenant.
func tenantAndName(full string) (tenant, name string) {
	if tenant, name = SplitName(full); tenant == DefaultTenant {
		tenant = ""
	}
	return tenant, name
}

const tenantLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// ValidTenant reports whether a tenant can have this name.
func ValidTenant(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, tenantLetters) == "" && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "-")
}
