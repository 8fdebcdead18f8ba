package orch

import (
	"context"
	"time"
)

// Accounts are tenants, users, tokens and the audit log. Package access keeps them in the store. It checks no permission: the server has
// done that by the route, and narrows what callers may see.
type Accounts interface {
	Tenants(ctx context.Context) ([]Tenant, error)
	// CreateTenant fails with KindConflict if there is one of that name.
	CreateTenant(ctx context.Context, t Tenant) (Tenant, error)
	// RemoveTenant refuses, with KindConflict, while something is left in it.
	RemoveTenant(ctx context.Context, name string) error

	Users(ctx context.Context) ([]User, error)
	User(ctx context.Context, name string) (User, error)
	CreateUser(ctx context.Context, u NewUser) (User, error)
	UpdateUser(ctx context.Context, name string, c UserChange) (User, error)
	// RemoveUser also revokes the user's tokens. The last server admin stays.
	RemoveUser(ctx context.Context, name string) error
	// Grant gives a user a role in a tenant; "" takes it away.
	Grant(ctx context.Context, user, tenant string, role Role) (User, error)

	// Members of a tenant with their role.
	Members(ctx context.Context, tenant string) ([]Member, error)

	// Tokens of a user; "" lists those of all.
	Tokens(ctx context.Context, user string) ([]Token, error)
	// CreateToken returns the token's text, which is not kept and cannot be shown again.
	CreateToken(ctx context.Context, t NewToken) (IssuedToken, error)
	RevokeToken(ctx context.Context, id string) error

	// Bootstrap makes the first server admin with a token; KindConflict once there is one.
	Bootstrap(ctx context.Context, user string) (IssuedToken, error)

	// Audit lists what was changed, newest first.
	Audit(ctx context.Context, f AuditFilter) ([]AuditEntry, error)
	// Record adds to the audit log; it fills in ID and Time.
	Record(ctx context.Context, e AuditEntry) error
}

// Tenant separates deployments, blueprints, secrets and events of one group of people from those of others.
type Tenant struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created,omitzero"`
}

// User of the server.
type User struct {
	Name string `json:"name"`
	// Admin of the server: everything in every tenant.
	Admin bool `json:"admin,omitempty"`
	// Tenants and the role in each.
	Tenants  map[string]Role `json:"tenants,omitempty"`
	Disabled bool            `json:"disabled,omitempty"`
	// Password is whether one is set: basic authentication needs it.
	Password bool      `json:"password"`
	Created  time.Time `json:"created,omitzero"`
	Updated  time.Time `json:"updated,omitzero"`
	Version  int       `json:"version"` // grows with every change
}

// NewUser is a user to be made.
type NewUser struct {
	Name     string          `json:"name"`
	Password string          `json:"password,omitempty"`
	Admin    bool            `json:"admin,omitempty"`
	Tenants  map[string]Role `json:"tenants,omitempty"`
}

// UserChange changes what is given.
type UserChange struct {
	Password *string `json:"password,omitempty"` // "" removes it
	Admin    *bool   `json:"admin,omitempty"`
	Disabled *bool   `json:"disabled,omitempty"`
	// Version refuses with KindConflict if the user is not at this one any more; 0 does not ask.
	Version int `json:"version,omitempty"`
}

// Token by which a program acts as a user.
type Token struct {
	ID   string `json:"id"`
	User string `json:"user"`
	Note string `json:"note,omitempty"`
	// Tenant and Role narrow what the token may do; "" leaves the user's own.
	Tenant  string    `json:"tenant,omitempty"`
	Role    Role      `json:"role,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	// Used is when it was used last, to the hour.
	Used time.Time `json:"used,omitzero"`
}

// NewToken is a token to be made.
type NewToken struct {
	User   string `json:"user,omitempty"` // "" is who asks
	Note   string `json:"note,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	Role   Role   `json:"role,omitempty"`
	// Seconds until it expires; 0 is DefaultTokenLife, negative is never.
	Seconds int64 `json:"seconds,omitempty"`
}

// DefaultTokenLife is how long tokens live that do not say it.
const DefaultTokenLife = 90 * 24 * time.Hour

// IssuedToken is a new token with its text.
type IssuedToken struct {
	Token
	Secret string `json:"secret"`
}

// AuditEntry is one change, done or refused.
type AuditEntry struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	User   string    `json:"user,omitempty"`
	Tenant string    `json:"tenant,omitempty"`
	From   string    `json:"from,omitempty"`
	Via    string    `json:"via,omitempty"`
	Token  string    `json:"token,omitempty"`
	// Action is method and route ("POST /api/v1/tasks"); Target what it was about, as its path names it.
	Action string `json:"action"`
	Target string `json:"target,omitempty"`
	// Status is the HTTP status; Result AuditDone, AuditDenied or AuditFailed, and AuditBegun until it is known; Detail the error's text.
	Status int    `json:"status,omitempty"`
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// Results of AuditEntry.
const (
	AuditBegun  = "begun" // its process has not said more: it works on it, or has ended
	AuditDone   = "done"
	AuditDenied = "denied"
	AuditFailed = "failed"
)

// AuditFilter selects entries of the audit log.
type AuditFilter struct {
	Tenant string    `json:"tenant,omitempty"` // "" is every tenant
	User   string    `json:"user,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// Before goes on below this id: the last of the page before. Limit is 100 unless given, 1000 at most.
	Before string `json:"before,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// Member of a tenant.
type Member struct {
	User string `json:"user"`
	Role Role   `json:"role"`
}
