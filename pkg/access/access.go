// Package access keeps who may do what: tenants, users, API tokens and the audit log, in a state.Store. It implements orch.Accounts, and
// tells the server's authentication who a password, token or certificate belongs to.
//
// Passwords are kept as argon2id, tokens as SHA-256 of 256 random bits; neither can be read back. It decides nothing about requests: which
// role a route needs is in the server's table.
package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// Accounts in a store. It is safe for concurrent use, by several servers on one store.
type Accounts struct {
	store    state.Store
	verified *verified
	now      func() time.Time
	swept    atomic.Pointer[string] // the day on which old audit entries were removed last
}

var _ orch.Accounts = (*Accounts)(nil)

// New returns the accounts in a store.
func New(store state.Store) *Accounts {
	return &Accounts{store: store, verified: newVerified(), now: func() time.Time { return time.Now().UTC() }}
}

// The records:
//
//	access/tenants/<name>   orch.Tenant
//	access/users/<name>     userRecord
//	access/tokens/<id>      tokenRecord
//	audit/<id>              orch.AuditEntry; ids are ULIDs, so in the order of time
const (
	tenantPrefix = "access/tenants/"
	userPrefix   = "access/users/"
	tokenPrefix  = "access/tokens/"
)

func tenantKey(name string) string { return state.Join("access", "tenants", name) }
func userKey(name string) string   { return state.Join("access", "users", name) }
func tokenKey(id string) string    { return state.Join("access", "tokens", id) }

type userRecord struct {
	orch.User
	Hash string `json:"hash,omitempty"` // of the password
}

func (r userRecord) public() orch.User {
	u := r.User
	u.Password = r.Hash != ""
	return u
}

func failure(err error) error {
	var known *orch.Error
	var away *state.UnavailableError
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &away):
		return &orch.Error{Kind: orch.KindStore, Msg: "the state store cannot be used", Hint: away.Hint, Err: err}
	}
	return &orch.Error{Kind: orch.KindStore, Msg: "the state store failed", Err: err}
}

func missing(what, name string) error {
	return &orch.Error{Kind: orch.KindNotFound, Msg: fmt.Sprintf("there is no %s %q", what, name), Err: orch.ErrNotFound}
}

func conflict(format string, args ...any) error {
	return &orch.Error{Kind: orch.KindConflict, Msg: fmt.Sprintf(format, args...)}
}

func wrong(hint, format string, args ...any) error {
	return &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// Tenants implements orch.Accounts; the default one is always there.
func (a *Accounts) Tenants(ctx context.Context) ([]orch.Tenant, error) {
	var out []orch.Tenant
	err := a.store.View(ctx, func(tx state.Tx) error {
		out = []orch.Tenant{{Name: orch.DefaultTenant, Description: "the tenant that is always there"}}
		for r, err := range state.List[orch.Tenant](tx, tenantPrefix) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	slices.SortFunc(out, func(x, y orch.Tenant) int { return cmp.Compare(x.Name, y.Name) })
	return out, failure(err)
}

// CreateTenant implements orch.Accounts.
func (a *Accounts) CreateTenant(ctx context.Context, t orch.Tenant) (orch.Tenant, error) {
	if !orch.ValidTenant(t.Name) {
		return t, wrong("use letters, digits, '-', '_' and '.', up to 64 of them", "%q is no name for a tenant", t.Name)
	}
	t.Created = a.now()
	err := a.store.Update(ctx, func(tx state.Tx) error {
		if err := tenantExists(tx, t.Name); err == nil {
			return conflict("there is a tenant %q already", t.Name)
		} else if !errors.Is(err, orch.ErrNotFound) {
			return err
		}
		return state.Put(tx, tenantKey(t.Name), t)
	})
	return t, failure(err)
}

func tenantExists(tx state.Tx, name string) error {
	if name == orch.DefaultTenant {
		return nil
	}
	_, err := tx.Get(tenantKey(name))
	if errors.Is(err, state.ErrNotFound) {
		return missing("tenant", name)
	}
	return err
}

// HasTenant reports whether there is a tenant of that name.
func (a *Accounts) HasTenant(ctx context.Context, name string) (bool, error) {
	err := a.store.View(ctx, func(tx state.Tx) error { return tenantExists(tx, name) })
	if errors.Is(err, orch.ErrNotFound) {
		return false, nil
	}
	return err == nil, failure(err)
}

// RemoveTenant implements orch.Accounts. Members lose their role in it, tokens that are bound to it end.
func (a *Accounts) RemoveTenant(ctx context.Context, name string) error {
	if name == orch.DefaultTenant {
		return conflict("the tenant %s cannot be removed", name)
	}
	users, err := a.userRecords(ctx)
	if err != nil {
		return err
	}
	err = a.store.Update(ctx, func(tx state.Tx) error {
		if err := tenantExists(tx, name); err != nil {
			return err
		}
		if err := empty(tx, name); err != nil {
			return err
		}
		return tx.Delete(tenantKey(name))
	})
	for _, u := range users {
		if _, member := u.Tenants[name]; member && err == nil {
			_, err = a.change(ctx, u.Name, func(_ state.Tx, r *userRecord) error { delete(r.Tenants, name); return nil })
		}
	}
	if err != nil {
		return failure(err)
	}
	return a.revoke(ctx, func(t tokenRecord) bool { return t.Tenant == name })
}

// empty refuses while a tenant has anything: what is left would be out of everybody's reach.
func empty(tx state.Tx, tenant string) error {
	for _, place := range []struct{ what, prefix string }{
		{"deployments", strings.TrimSuffix(state.Join("deployments", orch.FullName(tenant, "x")), "x")},
		{"blueprints", state.Prefix("blueprints", tenant)},
		{"secrets", state.Prefix("secret", tenant)},
	} {
		for _, err := range tx.Keys(place.prefix) {
			if err != nil {
				return err
			}
			return &orch.Error{Kind: orch.KindConflict, Msg: fmt.Sprintf("tenant %s still has %s", tenant, place.what), Hint: "remove them first"}
		}
	}
	return nil
}
