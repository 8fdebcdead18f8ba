package access

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/mem"
)

func accounts(t *testing.T) *Accounts {
	t.Helper()
	return New(mem.New(mem.Options{}))
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func kind(err error) orch.Kind {
	var known *orch.Error
	if errors.As(err, &known) {
		return known.Kind
	}
	return ""
}

func TestBootstrapMakesOneAdmin(t *testing.T) {
	a, ctx := accounts(t), t.Context()
	if empty, err := a.Empty(ctx); !empty || err != nil {
		t.Fatalf("%v, %v", empty, err)
	}
	first := must(a.Bootstrap(ctx, "root"))(t)
	u, token, err := a.ByToken(ctx, first.Secret)
	if err != nil || u.Name != "root" || !u.Admin || token.ID != first.ID {
		t.Errorf("%+v, %+v, %v", u, token, err)
	}
	if _, err := a.Bootstrap(ctx, "other"); kind(err) != orch.KindConflict {
		t.Errorf("a second bootstrap: %v", err)
	}
	if empty, _ := a.Empty(ctx); empty {
		t.Error("there is a user now")
	}
	for name, do := range map[string]func() error{
		"removed": func() error { return a.RemoveUser(ctx, "root") },
		"disabled": func() error {
			yes := true
			_, err := a.UpdateUser(ctx, "root", orch.UserChange{Disabled: &yes})
			return err
		},
		"demoted": func() error {
			no := false
			_, err := a.UpdateUser(ctx, "root", orch.UserChange{Admin: &no})
			return err
		},
	} {
		if err := do(); kind(err) != orch.KindConflict {
			t.Errorf("the last admin was %s: %v", name, err)
		}
	}
}

func TestTokensExpireAndAreRevoked(t *testing.T) {
	a, ctx := accounts(t), t.Context()
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	a.now = func() time.Time { return at }
	must(a.CreateUser(ctx, orch.NewUser{Name: "bob"}))(t)
	short := must(a.CreateToken(ctx, orch.NewToken{User: "bob", Seconds: 60}))(t)
	forever := must(a.CreateToken(ctx, orch.NewToken{User: "bob", Seconds: -1}))(t)
	if _, _, err := a.ByToken(ctx, short.Secret); err != nil {
		t.Error(err)
	}
	at = at.Add(time.Minute)
	if _, _, err := a.ByToken(ctx, short.Secret); kind(err) != orch.KindUnauthenticated || !strings.Contains(err.(*orch.Error).Hint, "expired") {
		t.Errorf("an expired token: %v", err)
	}
	at = at.AddDate(50, 0, 0)
	if _, _, err := a.ByToken(ctx, forever.Secret); err != nil {
		t.Error(err)
	}
	if err := a.RevokeToken(ctx, forever.ID); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"revoked": forever.Secret, "empty": "", "not a token": "hello", "cut": short.Secret[:30], "other secret": "orch_" + short.ID + "_" + strings.Repeat("A", 43),
		"unknown": "orch_0123456789abcdef_" + strings.Repeat("A", 43), "path": "orch_../../users/bob____x",
	} {
		if _, _, err := a.ByToken(ctx, text); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all := must(a.Tokens(ctx, "bob"))(t); len(all) != 1 || all[0].Used.IsZero() {
		t.Errorf("%+v", all)
	}
}

func TestPasswords(t *testing.T) {
	a, ctx := accounts(t), t.Context()
	must(a.CreateUser(ctx, orch.NewUser{Name: "bob", Password: "correct horse"}))(t)
	must(a.CreateUser(ctx, orch.NewUser{Name: "eve"}))(t)
	for range 2 { // the second time from memory
		if u, err := a.ByPassword(ctx, "bob", "correct horse"); err != nil || u.Name != "bob" || !u.Password {
			t.Fatalf("%+v, %v", u, err)
		}
	}
	for user, password := range map[string]string{"bob": "wrong horse", "eve": "", "nobody": "correct horse"} {
		if _, err := a.ByPassword(ctx, user, password); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%s: %v", user, err)
		}
	}
	other := "staple battery"
	must(a.UpdateUser(ctx, "bob", orch.UserChange{Password: &other}))(t)
	if _, err := a.ByPassword(ctx, "bob", "correct horse"); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := a.CreateUser(ctx, orch.NewUser{Name: "x", Password: "short"}); kind(err) != orch.KindUser {
		t.Errorf("a short password: %v", err)
	}
	u := must(a.user(ctx, "bob"))(t)
	if !strings.HasPrefix(u.Hash, "$argon2id$v=19$m=") || strings.Contains(u.Hash, other) {
		t.Errorf("kept as %s", u.Hash)
	}
}

func TestDamagedHashesMatchNothing(t *testing.T) {
	for _, h := range []string{"", "x", "$argon2id$v=19$m=99999999,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=19456,t=99,p=1$AAAA$AAAA", "$argon2id$v=16$m=8,t=1,p=1$AA$AA",
		"$argon2id$v=19$m=8,t=1,p=1$!!$AA", "$argon2id$v=19$m=8,t=1,p=1$AA$", "$argon2i$v=19$m=8,t=1,p=1$AAAA$AAAA"} {
		if samePassword(h, "") {
			t.Errorf("%q matches", h)
		}
	}
}

func TestUsersChange(t *testing.T) {
	a, ctx := accounts(t), t.Context()
	must(a.CreateTenant(ctx, orch.Tenant{Name: "acme"}))(t)
	if _, err := a.CreateTenant(ctx, orch.Tenant{Name: "acme"}); kind(err) != orch.KindConflict {
		t.Errorf("a second acme: %v", err)
	}
	if _, err := a.CreateTenant(ctx, orch.Tenant{Name: orch.DefaultTenant}); kind(err) != orch.KindConflict {
		t.Errorf("a second default tenant: %v", err)
	}
	for _, name := range []string{"", "a~b", "a/b", ".x", strings.Repeat("x", 65)} {
		if _, err := a.CreateTenant(ctx, orch.Tenant{Name: name}); kind(err) != orch.KindUser {
			t.Errorf("%q: %v", name, err)
		}
	}
	u := must(a.CreateUser(ctx, orch.NewUser{Name: "bob", Tenants: map[string]orch.Role{"acme": orch.Viewer}}))(t)
	if _, err := a.CreateUser(ctx, orch.NewUser{Name: "bob"}); kind(err) != orch.KindConflict {
		t.Errorf("a second bob: %v", err)
	}
	if _, err := a.CreateUser(ctx, orch.NewUser{Name: "eve", Tenants: map[string]orch.Role{"nowhere": orch.Viewer}}); kind(err) != orch.KindNotFound {
		t.Errorf("a tenant that is not there: %v", err)
	}
	if _, err := a.Grant(ctx, "bob", "acme", "king"); kind(err) != orch.KindUser {
		t.Errorf("an unknown role: %v", err)
	}
	u2 := must(a.Grant(ctx, "bob", "default", orch.Operator))(t)
	if u2.Tenants["default"] != orch.Operator || u2.Tenants["acme"] != orch.Viewer || u2.Version <= u.Version {
		t.Errorf("%+v", u2)
	}
	yes := true
	if _, err := a.UpdateUser(ctx, "bob", orch.UserChange{Disabled: &yes, Version: u.Version}); kind(err) != orch.KindConflict {
		t.Errorf("an old version: %v", err)
	}
	token := must(a.CreateToken(ctx, orch.NewToken{User: "bob", Tenant: "acme"}))(t)
	if err := a.RemoveTenant(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.ByToken(ctx, token.Secret); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the tenant's token lives: %v", err)
	}
	if u := must(a.User(ctx, "bob"))(t); u.Tenants["acme"] != "" {
		t.Errorf("%+v", u)
	}
	must(a.UpdateUser(ctx, "bob", orch.UserChange{Disabled: &yes}))(t)
	if _, err := a.ByName(ctx, "bob"); !errors.Is(err, ErrDisabled) {
		t.Errorf("a disabled user: %v", err)
	}
}

func TestAuditIsReadNewestFirst(t *testing.T) {
	a, ctx := accounts(t), t.Context()
	at := time.Date(2026, 1, 1, 23, 59, 58, 0, time.UTC)
	a.now = func() time.Time { at = at.Add(time.Second); return at }
	for _, e := range []orch.AuditEntry{{User: "bob", Tenant: "acme", Action: "1"}, {User: "eve", Tenant: "default", Action: "2"}, {User: "bob", Tenant: "acme", Action: "3"}} {
		if err := a.Record(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	read := func(f orch.AuditFilter) (out string) {
		for _, e := range must(a.Audit(ctx, f))(t) {
			out += e.Action
		}
		return out
	}
	all := must(a.Audit(ctx, orch.AuditFilter{}))(t)
	for want, got := range map[string]string{"321": read(orch.AuditFilter{}), "31": read(orch.AuditFilter{Tenant: "acme"}), "2": read(orch.AuditFilter{User: "eve"}),
		"3": read(orch.AuditFilter{Limit: 1}), "21": read(orch.AuditFilter{Before: all[0].ID})} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	at = at.AddDate(1, 1, 0)
	if err := a.Record(ctx, orch.AuditEntry{Action: "4"}); err != nil {
		t.Fatal(err)
	}
	if got := read(orch.AuditFilter{}); got != "4" {
		t.Errorf("after a year: %s", got)
	}
}

func FuzzByToken(f *testing.F) {
	a := New(mem.New(mem.Options{}))
	f.Add("orch_0123456789abcdef_x")
	f.Fuzz(func(t *testing.T, text string) {
		defer bounded.Input(t)()
		if _, _, err := a.ByToken(context.Background(), text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	})
}
