package access_test

import (
	"testing"

	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/mem"
)

func TestEnsureAdmin(t *testing.T) {
	const hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$SomeKeyOfThirtyTwoBytesxxxxxxxxxxxxxxxxxxx"
	for name, c := range map[string]access.FirstAdmin{
		"no name":             {Password: "long enough a password"},
		"no password":         {Name: "root"},
		"another's hash":      {Name: "root", Hash: "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe"},
		"a damaged hash":      {Name: "root", Hash: hash[:len(hash)-44]},
		"the password itself": {Name: "root", Hash: "long enough a password"},
	} {
		a := access.New(mem.New(mem.Options{}))
		if made, err := a.EnsureAdmin(t.Context(), c); made || err == nil {
			t.Errorf("%s: made %v, %v", name, made, err)
		}
		if empty, err := a.Empty(t.Context()); !empty || err != nil {
			t.Errorf("%s: something was made: %v", name, err)
		}
	}
	a := access.New(mem.New(mem.Options{}))
	first := access.FirstAdmin{Name: "root", Password: "long enough a password"}
	for i, want := range []bool{true, false} { // every start of a server does it
		if made, err := a.EnsureAdmin(t.Context(), first); made != want || err != nil {
			t.Errorf("%d: made %v, %v", i, made, err)
		}
	}
	if made, err := a.EnsureAdmin(t.Context(), access.FirstAdmin{Name: "other", Hash: hash}); made || err != nil {
		t.Errorf("a second first admin: %v, %v", made, err)
	}
	users, err := a.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].Name != "root" || !users[0].Admin {
		t.Errorf("%+v, %v", users, err)
	}
	if _, err := a.Bootstrap(t.Context(), "late"); err == nil {
		t.Error("a server with an admin is bootstrapped")
	}
	var _ orch.Accounts = a
}
