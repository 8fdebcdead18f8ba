package secrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/secrets"
)

func as(t *testing.T, tenant, user string) context.Context {
	return secrets.As(t.Context(), secrets.Actor{Tenant: tenant, User: user})
}

// Who sees and who may do what, for each visibility.
func TestVisibility(t *testing.T) {
	f := setup(t)
	alice, bob, carol := as(t, "red", "alice"), as(t, "red", "bob"), as(t, "blue", "carol")
	admin := secrets.As(t.Context(), secrets.Actor{Tenant: "red", User: "root", Admin: true})
	deployment := secrets.As(t.Context(), secrets.Actor{Tenant: "red", User: "bob", Deployment: "shop", Task: "t1"})
	hide := true
	for name, o := range map[string]secrets.SetOptions{"private": {Visibility: secrets.Private}, "tenant": {}, "global": {Visibility: secrets.Global}, "hidden": {Hidden: &hide}} {
		if _, err := f.s.Set(alice, name, secret.New("value of "+name), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		who  string
		ctx  context.Context
		sees string // names
		gets string
	}{
		{"alice", alice, "global hidden private tenant", "global hidden private tenant"},
		{"bob", bob, "global hidden tenant", "global tenant"},
		{"carol", carol, "global", "global"},
		{"admin", admin, "global hidden private tenant", "global hidden private tenant"},
		{"deployment of bob", deployment, "global hidden tenant", "global hidden tenant"},
	} {
		infos, err := f.s.List(c.ctx, "")
		var sees, gets []string
		for _, i := range infos {
			sees = append(sees, i.Name)
		}
		for _, name := range []string{"global", "hidden", "private", "tenant"} {
			v, _, err := f.s.Get(c.ctx, name, 0)
			switch {
			case err == nil && v.Reveal() == "value of "+name:
				gets = append(gets, name)
			case !errors.Is(err, secret.ErrNotFound) && !errors.Is(err, secrets.ErrForbidden):
				t.Errorf("%s: %s: %v", c.who, name, err)
			}
		}
		if got := strings.Join(sees, " "); err != nil || got != c.sees {
			t.Errorf("%s sees %s, want %s, %v", c.who, got, c.sees, err)
		}
		if got := strings.Join(gets, " "); got != c.gets {
			t.Errorf("%s gets %s, want %s", c.who, got, c.gets)
		}
	}
	set := func(ctx context.Context, name string, o secrets.SetOptions) error {
		_, err := f.s.Set(ctx, name, secret.New("x-value"), o)
		return err
	}
	update := func(ctx context.Context, name string, c secrets.Change) error {
		_, err := f.s.Update(ctx, name, c)
		return err
	}
	for what, err := range map[string]error{
		"change another's private one": set(bob, "private", secrets.SetOptions{}),
		"change a hidden one":          set(bob, "hidden", secrets.SetOptions{}),
		"delete a hidden one":          f.s.Delete(bob, "hidden"),
		"delete another tenant's":      f.s.Delete(carol, "global"),
		"change another tenant's":      update(carol, "global", secrets.Change{}),
		"narrow":                       update(alice, "global", secrets.Change{Visibility: secrets.Tenant}),
		"hide another's":               update(bob, "tenant", secrets.Change{Hidden: &hide}),
	} {
		if !errors.Is(err, secrets.ErrForbidden) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := f.s.Delete(carol, "private"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	// A name means one thing to everybody.
	if err := set(carol, "global", secrets.SetOptions{}); !errors.Is(err, secrets.ErrExists) {
		t.Errorf("shadowing: %v", err)
	}
	if err := set(carol, "tenant", secrets.SetOptions{}); err != nil {
		t.Error(err)
	}
	if err := update(alice, "tenant", secrets.Change{Visibility: secrets.Global}); !errors.Is(err, secrets.ErrExists) {
		t.Errorf("a second one of a global name: %v", err)
	}
	if err := f.s.Delete(carol, "tenant"); err != nil {
		t.Error(err)
	}
	if err := update(alice, "tenant", secrets.Change{Visibility: secrets.Global}); err != nil {
		t.Error(err)
	}
	if err := f.s.Delete(alice, "global"); err != nil {
		t.Error(err)
	}
	if err := set(carol, "global", secrets.SetOptions{}); err != nil {
		t.Errorf("after the global one is gone: %v", err)
	}
}

func TestReadsAreOnRecord(t *testing.T) {
	f := setup(t)
	f.opts.External = secret.Resolvers{"env": secret.Env{Lookup: func(string) (string, bool) { return "outside", true }}}
	f.s = f.open()
	f.set("a", "one-value", secrets.SetOptions{})
	task := secrets.As(t.Context(), secrets.Actor{User: "bob", Admin: true, Deployment: "shop", Task: "t1"})
	for range 3 { // a task's are noted once
		if _, err := f.s.Secret(task, []string{"a"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{"a@1", "env:X"} {
		if _, err := f.s.Resolve(as(t, "", "alice"), ref); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.s.Check(t.Context(), []string{"a", "none"}); !errors.Is(err, secret.ErrNotFound) {
		t.Error(err)
	}
	got, err := f.s.Reads(t.Context(), secrets.ReadFilter{})
	for i := range got {
		if time.Since(got[i].Time) > time.Minute {
			t.Errorf("time %v", got[i].Time)
		}
		got[i].Time = time.Time{}
	}
	want := []secrets.Read{
		{Secret: "a", Version: 1, Of: "default", Tenant: "default", User: "bob", Deployment: "shop", Task: "t1"},
		{Secret: "a", Version: 1, Of: "default", Tenant: "default", User: "alice"},
		{Secret: "env:X", Tenant: "default", User: "alice"},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	for n, filter := range map[int]secrets.ReadFilter{2: {User: "alice"}, 1: {User: "alice", Last: 1}, 0: {Since: time.Now().Add(time.Hour)}} {
		if got, err := f.s.Reads(t.Context(), filter); len(got) != n || err != nil {
			t.Errorf("%+v: %d, %v", filter, len(got), err)
		}
	}
	if got, _ := f.s.Reads(as(t, "blue", "carol"), secrets.ReadFilter{}); len(got) != 0 {
		t.Errorf("another tenant sees %v", got)
	}
	if strings.Contains(f.dump(), "one-value") || strings.Contains(f.dump(), "outside") {
		t.Error("the audit has a value")
	}
	for before, left := range map[time.Time]int{time.Now(): 3, time.Now().Add(48 * time.Hour): 0} {
		if before.After(time.Now()) {
			continue
		}
		if err := f.s.PruneReads(t.Context(), before); err != nil {
			t.Error(err)
		}
		if got, _ := f.s.Reads(t.Context(), secrets.ReadFilter{}); len(got) != left {
			t.Errorf("%d left, want %d", len(got), left)
		}
	}
	if err := f.s.PruneReads(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
		t.Error(err)
	}
	if got, _ := f.s.Reads(t.Context(), secrets.ReadFilter{}); len(got) != 0 {
		t.Errorf("%d left", len(got))
	}
}

// A name that is not in the store is looked up in Vault, if that is configured so.
func TestFallback(t *testing.T) {
	f := setup(t)
	f.opts.Fallback = secret.Env{Lookup: func(name string) (string, bool) { return `{"p":"from outside"}`, name == "kv/shop" }}
	f.s = f.open()
	f.set("kv/own", `{"p":"own"}`, secrets.SetOptions{})
	for _, c := range [][]string{{"kv/own", "p", "own"}, {"kv/shop", "data=p", "from outside"}} {
		if v, err := f.s.Secret(t.Context(), c[:2]); err != nil || v.Reveal() != c[2] {
			t.Errorf("%s: %v", c, err)
		}
	}
	f.wantNone("kv/none")
}

func TestExportImport(t *testing.T) {
	f := setup(t)
	note := "for the shop"
	f.set("app/a", "first-value", secrets.SetOptions{Note: &note})
	f.set("app/bin", "\x00\xff", secrets.SetOptions{Kind: secrets.File, Visibility: secrets.Global})
	f.set("other", "not exported", secrets.SetOptions{})
	reader, _ := secret.GenerateKeyring()
	for name, e := range map[string]struct{ to, from secret.Envelope }{
		"recipient":  {secret.Envelope{Recipients: []string{reader.ID()}}, secret.Envelope{Identity: reader.Text()}},
		"passphrase": {secret.Envelope{Passphrase: secret.New("correct horse battery"), Work: 10}, secret.Envelope{Passphrase: secret.New("correct horse battery")}},
		"plain":      {secret.Envelope{Plain: true}, secret.Envelope{Plain: true}},
	} {
		out, skipped, err := f.s.Export(t.Context(), "app/", e.to)
		if err != nil || len(skipped) != 0 {
			t.Fatalf("%s: %v %v", name, err, skipped)
		}
		if plain := strings.Contains(string(out), "Zmlyc3QtdmFsdWU"); plain != e.to.Plain || !plain && strings.Contains(string(out), "app/a") {
			t.Errorf("%s: clear text is %v", name, plain)
		}
		g := setup(t)
		g.set("app/a", "mine", secrets.SetOptions{})
		for _, c := range []struct {
			o    secrets.ImportOptions
			want secrets.Imported
			a    string
		}{
			{secrets.ImportOptions{DryRun: true, Overwrite: true}, secrets.Imported{Created: []string{"app/bin"}, Updated: []string{"app/a"}, Kept: []string{}}, "mine"},
			{secrets.ImportOptions{}, secrets.Imported{Created: []string{"app/bin"}, Updated: []string{}, Kept: []string{"app/a"}}, "mine"},
			{secrets.ImportOptions{Overwrite: true}, secrets.Imported{Created: []string{}, Updated: []string{"app/a"}, Kept: []string{"app/bin"}}, "first-value"},
		} {
			did, err := g.s.Import(t.Context(), out, e.from, c.o)
			if d := cmp.Diff(c.want, did); err != nil || d != "" {
				t.Errorf("%s %+v: %v %s", name, c.o, err, d)
			}
			g.want("app/a", c.a)
		}
		g.want("app/bin", "\x00\xff")
		if info, _, _ := g.s.Describe(t.Context(), "app/bin"); info.Kind != secrets.File || info.Visibility != secrets.Global {
			t.Errorf("%+v", info)
		}
	}
	out, _, _ := f.s.Export(t.Context(), "", secret.Envelope{Recipients: []string{reader.ID()}})
	wrong, _ := secret.GenerateKeyring()
	for name, from := range map[string]secret.Envelope{"nothing": {}, "another key": {Identity: wrong.Text()}, "a passphrase": {Passphrase: secret.New("correct horse battery")}, "as it is": {Plain: true}} {
		var invalid *secrets.InvalidError
		if _, err := f.s.Import(t.Context(), out, from, secrets.ImportOptions{}); !errors.As(err, &invalid) {
			t.Errorf("opened with %s: %v", name, err)
		}
	}
	for name, to := range map[string]secret.Envelope{"nobody": {}, "short": {Passphrase: secret.New("short")}, "no key": {Recipients: []string{"age1x"}}} {
		if _, _, err := f.s.Export(t.Context(), "", to); err == nil {
			t.Errorf("exported for %s", name)
		}
	}
	for _, doc := range []string{`{"format":"orch secrets","version":9}`, `{"format":"orch secrets","version":1,"secrets":[{"name":"a#b","kind":"text"}]}`,
		`{"format":"orch secrets","version":1,"secrets":[{"name":"a","kind":"text"},{"name":"a","kind":"text"}]}`, `[]`, ``} {
		if did, err := f.s.Import(t.Context(), []byte(doc), secret.Envelope{Plain: true}, secrets.ImportOptions{}); err == nil || len(did.Created) != 0 {
			t.Errorf("%s: %v %v", doc, did, err)
		}
	}
}

func FuzzImport(fz *testing.F) {
	fz.Add([]byte(`{"format":"orch secrets","version":1,"secrets":[{"name":"a","kind":"text","value":"YQ=="}]}`))
	fz.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		f := setup(t)
		did, err := f.s.Import(t.Context(), data, secret.Envelope{Plain: true}, secrets.ImportOptions{})
		infos, lerr := f.s.List(t.Context(), "")
		if lerr != nil || len(infos) != len(did.Created) {
			t.Errorf("%+v: %d secrets; %v, %v", did, len(infos), err, lerr)
		}
	})
}

// What schema 1 has stored is moved, once, with its version number and its times.
func TestUpgradeFromSchema1(t *testing.T) {
	f := setup(t)
	keys, err := f.s.Keyring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, value := range map[string]string{"db": "old-password", "deployments/shop/ssh-key": "old-key"} {
		sealed, err := keys.Seal("value", []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(map[string]any{"name": name, "version": 3, "created": when, "updated": when.Add(time.Hour), "note": "n", "size": 12, "sealed": sealed})
		if err := f.store.Update(t.Context(), func(tx state.Tx) error { return state.Put(tx, state.Join("secrets", name), json.RawMessage(raw)) }); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := f.s.Upgrade(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.want("db", "old-password")
	f.want("db@3", "old-password")
	info, _, err := f.s.Describe(t.Context(), "db")
	if err != nil || info.Version != 3 || !info.Created.Equal(when) || !info.Updated.Equal(when.Add(time.Hour)) || info.Note != "n" || info.Tenant != "default" {
		t.Errorf("%+v, %v", info, err)
	}
	if v, err := (secrets.Drivers{Store: f.s}).Resolve(t.Context(), "deployments/shop/ssh-key"); err != nil || v.Reveal() != "old-key" {
		t.Error(err)
	}
	if strings.Contains(f.dump(), "secrets/") {
		t.Error("old records are left")
	}
}
