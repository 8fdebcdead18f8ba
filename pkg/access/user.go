package access

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

const (
	maxUserName = 128
	minPassword = 8
	maxPassword = 1024
)

// validUser accepts what certificates and identity providers use as names: no control characters, no space at the ends, no colon (which
// ends the name in basic authentication).
func validUser(name string) bool {
	return name != "" && len(name) <= maxUserName && strings.TrimSpace(name) == name && !strings.ContainsAny(name, ":/\\") &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd })
}

func (a *Accounts) userRecords(ctx context.Context) ([]userRecord, error) {
	var out []userRecord
	err := a.store.View(ctx, func(tx state.Tx) error {
		out = nil
		for r, err := range state.List[userRecord](tx, userPrefix) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	return out, failure(err)
}

// Users implements orch.Accounts.
func (a *Accounts) Users(ctx context.Context) ([]orch.User, error) {
	all, err := a.userRecords(ctx)
	out := make([]orch.User, 0, len(all))
	for _, r := range all {
		out = append(out, r.public())
	}
	return out, err
}

// User implements orch.Accounts.
func (a *Accounts) User(ctx context.Context, name string) (orch.User, error) {
	r, err := a.user(ctx, name)
	return r.public(), err
}

func (a *Accounts) user(ctx context.Context, name string) (userRecord, error) {
	var out userRecord
	err := a.store.View(ctx, func(tx state.Tx) (err error) {
		out, _, err = state.Get[userRecord](tx, userKey(name))
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return out, missing("user", name)
	}
	return out, failure(err)
}

func checkPassword(p string) error {
	if len(p) < minPassword || len(p) > maxPassword {
		return wrong("", "a password has %d to %d bytes", minPassword, maxPassword)
	}
	return nil
}

func checkRole(r orch.Role) error {
	if !slices.Contains(orch.Roles(), r) {
		return wrong("roles in a tenant are viewer, operator and admin", "there is no role %q", r)
	}
	return nil
}

// CreateUser implements orch.Accounts.
func (a *Accounts) CreateUser(ctx context.Context, u orch.NewUser) (orch.User, error) {
	r := userRecord{User: orch.User{Name: u.Name, Admin: u.Admin, Tenants: u.Tenants, Created: a.now(), Updated: a.now(), Version: 1}}
	if !validUser(u.Name) {
		return orch.User{}, wrong("up to 128 characters without ':', '/' and '\\'", "%q is no name for a user", u.Name)
	}
	for _, role := range u.Tenants {
		if err := checkRole(role); err != nil {
			return orch.User{}, err
		}
	}
	if u.Password != "" {
		if err := checkPassword(u.Password); err != nil {
			return orch.User{}, err
		}
		r.Hash = hashPassword(u.Password)
	}
	err := a.store.Update(ctx, func(tx state.Tx) error {
		for tenant := range u.Tenants {
			if err := tenantExists(tx, tenant); err != nil {
				return err
			}
		}
		if _, err := tx.Get(userKey(u.Name)); !errors.Is(err, state.ErrNotFound) {
			return errors.Join(err, conflict("there is a user %q already", u.Name))
		}
		return state.Put(tx, userKey(u.Name), r)
	})
	return r.public(), failure(err)
}

// change edits a user's record. An edit that changes nothing is none.
func (a *Accounts) change(ctx context.Context, name string, edit func(tx state.Tx, r *userRecord) error) (orch.User, error) {
	var out userRecord
	err := a.store.Update(ctx, func(tx state.Tx) error {
		r, _, err := state.Get[userRecord](tx, userKey(name))
		if errors.Is(err, state.ErrNotFound) {
			return missing("user", name)
		}
		if err != nil {
			return err
		}
		wasAdmin := r.Admin && !r.Disabled
		if err := edit(tx, &r); err != nil {
			return err
		}
		if wasAdmin && (!r.Admin || r.Disabled) {
			if err := otherAdmin(tx, name); err != nil {
				return err
			}
		}
		r.Version, r.Updated = r.Version+1, a.now()
		out = r
		return state.Put(tx, userKey(name), r)
	})
	if err == nil {
		a.verified.forget(name)
	}
	return out.public(), failure(err)
}

// otherAdmin refuses to let the last server admin go.
func otherAdmin(tx state.Tx, name string) error {
	for r, err := range state.List[userRecord](tx, userPrefix) {
		if err != nil {
			return err
		}
		if r.Value.Name != name && r.Value.Admin && !r.Value.Disabled {
			// The decision depends on that one staying so.
			_, err := tx.Get(r.Key)
			return err
		}
	}
	return &orch.Error{Kind: orch.KindConflict, Msg: name + " is the only admin of the server", Hint: "make another one first"}
}

// UpdateUser implements orch.Accounts.
func (a *Accounts) UpdateUser(ctx context.Context, name string, c orch.UserChange) (orch.User, error) {
	hash := ""
	if c.Password != nil && *c.Password != "" {
		if err := checkPassword(*c.Password); err != nil {
			return orch.User{}, err
		}
		hash = hashPassword(*c.Password)
	}
	return a.change(ctx, name, func(_ state.Tx, r *userRecord) error {
		if c.Version != 0 && c.Version != r.Version {
			return &orch.Error{Kind: orch.KindConflict, Msg: "user " + name, Hint: "read it again", Err: orch.ErrChanged}
		}
		if c.Password != nil {
			r.Hash = hash
		}
		if c.Admin != nil {
			r.Admin = *c.Admin
		}
		if c.Disabled != nil {
			r.Disabled = *c.Disabled
		}
		return nil
	})
}

// Grant implements orch.Accounts.
func (a *Accounts) Grant(ctx context.Context, user, tenant string, role orch.Role) (orch.User, error) {
	if role != "" {
		if err := checkRole(role); err != nil {
			return orch.User{}, err
		}
	}
	return a.change(ctx, user, func(tx state.Tx, r *userRecord) error {
		if role == "" {
			delete(r.Tenants, tenant)
			return nil
		}
		if err := tenantExists(tx, tenant); err != nil {
			return err
		}
		if r.Tenants == nil {
			r.Tenants = map[string]orch.Role{}
		}
		r.Tenants[tenant] = role
		return nil
	})
}

// Members implements orch.Accounts.
func (a *Accounts) Members(ctx context.Context, tenant string) ([]orch.Member, error) {
	out := []orch.Member{}
	if err := a.store.View(ctx, func(tx state.Tx) error { return tenantExists(tx, tenant) }); err != nil {
		return nil, failure(err)
	}
	all, err := a.userRecords(ctx)
	for _, u := range all {
		if role := u.Tenants[tenant]; role != "" {
			out = append(out, orch.Member{User: u.Name, Role: role})
		}
	}
	return out, err
}

// RemoveUser implements orch.Accounts.
func (a *Accounts) RemoveUser(ctx context.Context, name string) error {
	err := a.store.Update(ctx, func(tx state.Tx) error {
		r, _, err := state.Get[userRecord](tx, userKey(name))
		if errors.Is(err, state.ErrNotFound) {
			return missing("user", name)
		}
		if err == nil && r.Admin && !r.Disabled {
			err = otherAdmin(tx, name)
		}
		return errors.Join(err, tx.Delete(userKey(name)))
	})
	if err != nil {
		return failure(err)
	}
	a.verified.forget(name)
	return a.revoke(ctx, func(t tokenRecord) bool { return t.User == name })
}

// Bootstrap implements orch.Accounts.
func (a *Accounts) Bootstrap(ctx context.Context, user string) (orch.IssuedToken, error) {
	if !validUser(user) {
		return orch.IssuedToken{}, wrong("", "%q is no name for a user", user)
	}
	issued, record := a.issue(orch.NewToken{User: user, Note: "bootstrap"})
	err := a.store.Update(ctx, func(tx state.Tx) error {
		for r, err := range state.List[userRecord](tx, userPrefix) {
			if err != nil {
				return err
			}
			if r.Value.Admin {
				return &orch.Error{Kind: orch.KindConflict, Msg: "the server has an admin already: " + r.Value.Name, Hint: "an admin makes further users with orch users add"}
			}
		}
		r, found, err := state.Find[userRecord](tx, userKey(user)) // also guards against a bootstrap at the same time
		if err != nil {
			return err
		}
		if !found {
			r = userRecord{User: orch.User{Name: user, Created: a.now()}}
		}
		r.Admin, r.Disabled, r.Updated, r.Version = true, false, a.now(), r.Version+1
		if _, err := tx.Get(bootKey); err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		return errors.Join(state.Put(tx, bootKey, bootRecord{user}), state.Put(tx, userKey(user), r), state.Put(tx, tokenKey(record.ID), record))
	})
	return issued, failure(err)
}

// bootKey makes two bootstraps at the same time depend on each other.
const bootKey = "access/bootstrap"

// bootRecord is the last one.
type bootRecord struct {
	User string `json:"user"`
}

// Empty reports whether there is no admin of the server yet.
func (a *Accounts) Empty(ctx context.Context) (bool, error) {
	all, err := a.userRecords(ctx)
	return !slices.ContainsFunc(all, func(r userRecord) bool { return r.Admin && !r.Disabled }), err
}
