package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/secrets"
)

type fixture struct {
	*testing.T
	store state.Store
	key   string
	opts  secrets.Options
	s     *secrets.Store
}

func setup(t *testing.T) *fixture {
	f := &fixture{T: t, store: mem.New(mem.Options{}), key: filepath.Join(t.TempDir(), "master.key")}
	f.opts.Key = secret.KeySource{File: f.key}
	f.s = f.open()
	return f
}

func (f *fixture) open() *secrets.Store {
	return secrets.New(f.store, f.opts)
}

func (f *fixture) set(name, value string, o secrets.SetOptions) secrets.Info {
	f.Helper()
	info, err := f.s.Set(f.Context(), name, secret.New(value), o)
	if err != nil {
		f.Fatal(err)
	}
	return info
}

func (f *fixture) want(ref, value string) {
	f.Helper()
	got, err := f.s.Resolve(f.Context(), ref)
	if err != nil || got.Reveal() != value {
		f.Errorf("%s: %d bytes, %v; want %d bytes", ref, len(got.Reveal()), err, len(value))
	}
}

func (f *fixture) wantNone(ref string) {
	f.Helper()
	if _, err := f.s.Resolve(f.Context(), ref); !errors.Is(err, secret.ErrNotFound) {
		f.Errorf("%s: %v", ref, err)
	}
}

// dump returns every byte that is stored.
func (f *fixture) dump() string {
	f.Helper()
	var b strings.Builder
	if err := f.store.View(f.Context(), func(tx state.Tx) error {
		for e, err := range tx.List("") {
			if err != nil {
				return err
			}
			b.WriteString(e.Key + "\n")
			b.Write(e.Value)
		}
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	return b.String()
}

func TestVersions(t *testing.T) {
	f := setup(t)
	f.wantNone("db/password")
	note := "of the shop"
	f.set("db/password", "first-value", secrets.SetOptions{Note: &note, Labels: secrets.Labels{"team": "t1"}})
	info, err := f.s.Set(secrets.As(t.Context(), secrets.Actor{User: "bob"}), "db/password", secret.New("second-value"), secrets.SetOptions{})
	if err != nil || info.Version != 2 || info.By != "bob" || info.Owner != "" || info.Labels["team"] != "t1" || info.Note != note || info.Visibility != secrets.Tenant || info.Size != 12 || info.Created.After(info.Updated) {
		t.Errorf("%+v", info)
	}
	f.want("db/password", "second-value")
	f.want("db/password@1", "first-value")
	f.wantNone("db/password@3")
	for i := range secrets.KeepVersions {
		f.set("db/password", fmt.Sprint("more-", i), secrets.SetOptions{})
	}
	f.wantNone("db/password@2")
	f.want("db/password@3", "more-0")
	blobs, err := state.NewBlobs(f.store).List(t.Context(), "")
	if err != nil || len(blobs) != secrets.KeepVersions {
		t.Errorf("%d contents for %d versions, %v", len(blobs), secrets.KeepVersions, err)
	}
	if err := f.s.Delete(t.Context(), "db/password"); err != nil {
		t.Fatal(err)
	}
	f.wantNone("db/password")
	if blobs, _ := state.NewBlobs(f.store).List(t.Context(), ""); len(blobs) != 0 {
		t.Errorf("%d contents left", len(blobs))
	}
	if err := f.s.Delete(t.Context(), "db/password"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
}

func TestKinds(t *testing.T) {
	f := setup(t)
	big := strings.Repeat("0123456789abcdef", secret.MaxSize/16)
	f.set("file", "\x00\xff"+big[:len(big)-2], secrets.SetOptions{Kind: secrets.File})
	f.want("file", "\x00\xff"+big[:len(big)-2])
	f.set("json", `{"user":"u","deep":{"n":1}}`, secrets.SetOptions{Kind: secrets.JSON})
	f.want("json#user", "u")
	f.want("json#deep.n", "1")
	f.set("empty", "", secrets.SetOptions{})
	f.want("empty", "")
	for name, o := range map[string]secrets.SetOptions{"j": {Kind: secrets.JSON}, "k": {Kind: "odd"}} {
		if _, err := f.s.Set(t.Context(), name, secret.New("not-json-t0ken"), o); err == nil || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.s.Set(t.Context(), "big", secret.New(big+"x"), secrets.SetOptions{}); err == nil {
		t.Error("too big, no error")
	}
	for _, name := range []string{"", " a", "a#b", "env:X", "a@3", "/a", "a/", "a\nb", strings.Repeat("x", 300)} {
		if _, err := f.s.Set(t.Context(), name, secret.New("v"), secrets.SetOptions{}); err == nil {
			t.Errorf("the name %q is accepted", name)
		}
	}
	for _, name := range []string{"a b", "ä/ö", "mail@example.org", "x:y"} {
		f.set(name, "v", secrets.SetOptions{})
		f.want(name, "v")
	}
}

func TestNothingStoredIsReadable(t *testing.T) {
	f := setup(t)
	const plain = "correct-horse-battery"
	f.set("a", plain, secrets.SetOptions{})
	f.set("b", strings.Repeat(plain, 10000), secrets.SetOptions{Kind: secrets.File})
	if strings.Contains(f.dump(), "horse") {
		t.Error("a value is stored in clear text")
	}
}

// Listing works without the master key, and without decrypting.
func TestListNeedsNoKey(t *testing.T) {
	f := setup(t)
	f.set("b", "2", secrets.SetOptions{})
	f.set("a/x", "1", secrets.SetOptions{Kind: secrets.File})
	if err := os.Remove(f.key); err != nil {
		t.Fatal(err)
	}
	s := f.open()
	infos, err := s.List(t.Context(), "")
	if err != nil || len(infos) != 2 || infos[0].Name != "a/x" || infos[1].Name != "b" {
		t.Errorf("%+v, %v", infos, err)
	}
	if infos, err := s.List(t.Context(), "a/"); err != nil || len(infos) != 1 {
		t.Errorf("%+v, %v", infos, err)
	}
	if _, vs, err := s.Describe(t.Context(), "b"); err != nil || len(vs) != 1 {
		t.Errorf("%+v, %v", vs, err)
	}
	// And a lost key is not silently replaced.
	if _, _, err := s.Get(t.Context(), "b", 0); err == nil || !strings.Contains(err.Error(), "bring back that key file") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Set(t.Context(), "c", secret.New("3"), secrets.SetOptions{}); err == nil {
		t.Error("a new key was made beside secrets of the old one")
	}
	other, err := secret.GenerateKeyring()
	if err != nil {
		t.Fatal(err)
	}
	if err := secret.WriteKeyFile(f.key, other); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.open().Get(t.Context(), "b", 0); !errors.Is(err, secret.ErrNoKey) {
		t.Errorf("another key: %v", err)
	}
}

// Of servers that begin on an empty store at once, each with a key of its own, one gives the key and the others are refused.
func TestOneKeyForAll(t *testing.T) {
	store := mem.New(mem.Options{})
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		s := secrets.New(store, secrets.Options{Key: secret.KeySource{File: filepath.Join(t.TempDir(), fmt.Sprint(i), "key")}})
		wg.Go(func() { _, errs[i] = s.Keyring(context.WithoutCancel(t.Context())) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, secret.ErrNoKey) && !errors.Is(err, fs.ErrNotExist):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d have a key", won)
	}
}

// A rotation encrypts everything anew, what others keep too, and can be interrupted anywhere.
func TestRotation(t *testing.T) {
	f := setup(t)
	sealed, interrupt := []byte(nil), 2
	f.opts.Reseal = []secrets.Resealer{{What: "others", Do: func(_ context.Context, reseal secrets.Reseal) (int, error) {
		if interrupt--; interrupt > 0 {
			return 0, errors.New("interrupted")
		}
		fresh, changed, err := reseal("other", sealed)
		if !changed || err != nil {
			return 0, err
		}
		sealed = fresh
		return 1, nil
	}}}
	f.s = f.open()
	for i := range 5 {
		f.set(fmt.Sprint("s", i), fmt.Sprint("v", i), secrets.SetOptions{})
	}
	f.set("s0", "newer", secrets.SetOptions{})
	if _, err := (secrets.Drivers{Store: f.s}).Generate(t.Context(), "deployments/a/key", func() ([]byte, error) { return []byte("key"), nil }); err != nil {
		t.Fatal(err)
	}
	old, err := f.s.Keyring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err = f.s.Seal(t.Context(), "other", []byte("of another")); err != nil {
		t.Fatal(err)
	}
	beside := f.open() // another server, which has the old key in memory
	if _, err := beside.Keyring(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rot, err := f.s.Rotate(t.Context(), secrets.RotateOptions{}); err == nil || !strings.Contains(err.Error(), "start the rotation again") || rot.Dropped {
		t.Fatalf("interrupted: %+v, %v", rot, err)
	}
	f.want("s0@1", "v0")
	f.s = f.open() // another process goes on
	f.want("s0", "newer")
	rot, err := f.s.Rotate(t.Context(), secrets.RotateOptions{})
	if err != nil || rot.Resealed["others"] != 1 || rot.New == old.ID() || len(rot.Old) != 1 || rot.Old[0] != old.ID() || !rot.Dropped {
		t.Fatalf("%+v, %v", rot, err)
	}
	if v, err := f.s.Open(t.Context(), "other", sealed); err != nil || string(v) != "of another" {
		t.Errorf("%s, %v", v, err)
	}
	f.s = f.open()
	for ref, value := range map[string]string{"s0@1": "v0", "s0": "newer", "s4": "v4"} {
		f.want(ref, value)
		if v, err := beside.Resolve(t.Context(), ref); err != nil || v.Reveal() != value {
			t.Errorf("beside: %s %v", ref, err)
		}
	}
	if v, err := (secrets.Drivers{Store: f.s}).Resolve(t.Context(), "deployments/a/key"); err != nil || v.Reveal() != "key" {
		t.Error(err)
	}
	if text, _ := os.ReadFile(f.key); strings.Contains(f.dump()+string(text), old.ID()) {
		t.Error("the old key is still there")
	}
	again, err := f.s.Rotate(t.Context(), secrets.RotateOptions{KeepOld: true})
	if err != nil || again.New == rot.New || again.Resealed["secrets"] != 7 || again.Dropped {
		t.Errorf("%+v, %v", again, err)
	}
	if keys, err := (secret.KeySource{File: f.key}).Load(t.Context(), false); err != nil || !keys.Has(rot.New) || keys.ID() != again.New {
		t.Errorf("the old key was to be kept: %v", err)
	}
}

// Who gives the key otherwise than in a file puts the new one in front.
func TestRotationOfAGivenKey(t *testing.T) {
	f := setup(t)
	old, _ := secret.GenerateKeyring()
	with := func(k *secret.Keyring) *secrets.Store {
		return secrets.New(f.store, secrets.Options{Key: secret.KeySource{Key: k.Text()}})
	}
	f.s = with(old)
	f.set("a", "value", secrets.SetOptions{})
	if _, err := f.s.Rotate(t.Context(), secrets.RotateOptions{}); !errors.Is(err, secrets.ErrSameKey) {
		t.Errorf("got %v", err)
	}
	both, _ := old.Rotated()
	f.s = with(both)
	if rot, err := f.s.Rotate(t.Context(), secrets.RotateOptions{}); err != nil || rot.Resealed["secrets"] != 1 || rot.Dropped {
		t.Errorf("%+v, %v", rot, err)
	}
	f.s = with(both.Newest())
	f.want("a", "value")
}

func TestGenerateOnce(t *testing.T) {
	f := setup(t)
	const ref = "deployments/shop/web/ssh-key"
	drivers := func() secrets.Drivers { return secrets.Drivers{Store: f.open()} }
	var wg sync.WaitGroup
	values := make([]string, 8)
	for i := range values {
		wg.Go(func() {
			v, err := drivers().Generate(t.Context(), ref, func() ([]byte, error) { return fmt.Append(nil, "made by ", i), nil })
			if err != nil {
				t.Error(err)
			}
			values[i] = v.Reveal()
		})
	}
	wg.Wait()
	for _, v := range values {
		if v != values[0] || v == "" {
			t.Errorf("different values: %q", values)
		}
	}
	d := drivers()
	boom := errors.New("boom")
	if _, err := d.Generate(t.Context(), "deployments/other", func() ([]byte, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	for _, ref := range []string{"env:ORCH_TEST_NONE", "somewhere/else"} {
		if _, err := d.Generate(t.Context(), ref, func() ([]byte, error) { return nil, nil }); err == nil {
			t.Errorf("%s was made", ref)
		}
	}
	f.wantNone(ref) // users do not see what orch has made
	if infos, err := f.s.List(t.Context(), ""); err != nil || len(infos) != 0 {
		t.Errorf("%+v, %v", infos, err)
	}
	f.set("users/key", "given", secrets.SetOptions{}) // but drivers see what users have
	if v, err := d.Resolve(t.Context(), "users/key"); err != nil || v.Reveal() != "given" {
		t.Error(err)
	}
	if err := d.RemoveMade(t.Context(), "deployments/sho/"); err != nil {
		t.Error(err)
	}
	if v, err := d.Resolve(t.Context(), ref); err != nil || v.Reveal() != values[0] {
		t.Error(err)
	}
	for range 2 {
		if err := d.RemoveMade(t.Context(), "deployments/shop/"); err != nil {
			t.Error(err)
		}
		if err := d.Remove(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Resolve(t.Context(), ref); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// A value moved to the place of another must not be read as that.
func TestSwappedContent(t *testing.T) {
	f := setup(t)
	f.set("harmless", "x", secrets.SetOptions{})
	f.set("precious", "y", secrets.SetOptions{})
	b := state.NewBlobs(f.store)
	blobs, err := b.List(t.Context(), "")
	if err != nil || len(blobs) != 2 {
		t.Fatal(blobs, err)
	}
	precious, _, err := b.ReadAll(t.Context(), blobs[1].Key, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), blobs[0].Key, strings.NewReader(string(precious))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.s.Resolve(t.Context(), "harmless"); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("got %v", err)
	}
}
