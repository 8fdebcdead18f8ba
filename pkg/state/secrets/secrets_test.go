package secrets_test

import (
	"context"
	"errors"
	"fmt"
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
	s     *secrets.Store
}

func setup(t *testing.T) *fixture {
	f := &fixture{T: t, store: mem.New(mem.Options{}), key: filepath.Join(t.TempDir(), "master.key")}
	f.s = f.open()
	return f
}

func (f *fixture) open() *secrets.Store {
	return secrets.New(f.store, secrets.Options{Key: secret.KeySource{File: f.key}})
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
	f.set("db/password", "first-value", secrets.SetOptions{By: "alice", Labels: secrets.Labels{"tenant": "t1"}})
	info := f.set("db/password", "second-value", secrets.SetOptions{By: "bob"})
	if info.Version != 2 || info.By != "bob" || info.Labels["tenant"] != "t1" || info.Size != 12 || info.Created.After(info.Updated) {
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

func TestRotation(t *testing.T) {
	f := setup(t)
	for i := range 5 {
		f.set(fmt.Sprint("s", i), fmt.Sprint("v", i), secrets.SetOptions{})
	}
	f.set("s0", "newer", secrets.SetOptions{})
	old, err := f.s.Keyring(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	both, _ := old.Rotated()
	if err := secret.WriteKeyFile(f.key, both); err != nil {
		t.Fatal(err)
	}
	f.s = f.open()
	f.want("s0@1", "v0")
	if n, err := f.s.Rewrap(t.Context(), both); n != 6 || err != nil {
		t.Errorf("%d changed, %v", n, err)
	}
	if n, err := f.s.Rewrap(t.Context(), both); n != 0 || err != nil {
		t.Errorf("%d changed again, %v", n, err)
	}
	if err := secret.WriteKeyFile(f.key, both.Newest()); err != nil {
		t.Fatal(err)
	}
	f.s = f.open()
	f.want("s0@1", "v0")
	f.want("s0", "newer")
	f.want("s4", "v4")
	if strings.Contains(f.dump(), old.ID()) {
		t.Error("the old key is still mentioned")
	}
}

func TestGenerateOnce(t *testing.T) {
	f := setup(t)
	var wg sync.WaitGroup
	values := make([]string, 8)
	for i := range values {
		wg.Go(func() {
			v, err := f.open().Generate(t.Context(), "host/key", func() ([]byte, error) { return fmt.Append(nil, "made by ", i), nil })
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
	boom := errors.New("boom")
	if _, err := f.s.Generate(t.Context(), "other", func() ([]byte, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if _, err := f.s.Generate(t.Context(), "env:ORCH_TEST_NONE", func() ([]byte, error) { return nil, nil }); err == nil {
		t.Error("an external secret was made")
	}
	for range 2 {
		if err := f.s.Remove(t.Context(), "host/key"); err != nil {
			t.Error(err)
		}
	}
	f.wantNone("host/key")
}

func TestReadIsAudited(t *testing.T) {
	f := setup(t)
	f.set("a", "v", secrets.SetOptions{})
	var read []string
	refuse := errors.New("refused")
	s := secrets.New(f.store, secrets.Options{Key: secret.KeySource{File: f.key}, Read: func(_ context.Context, r secret.Ref) error {
		read = append(read, r.String())
		if r.Scheme == "env" {
			return refuse
		}
		return nil
	}})
	if _, err := s.Resolve(t.Context(), "a@1"); err != nil {
		t.Error(err)
	}
	if _, err := s.Resolve(t.Context(), "env:HOME"); !errors.Is(err, refuse) {
		t.Errorf("got %v", err)
	}
	if got := strings.Join(read, " "); got != "a@1 env:HOME" {
		t.Error(got)
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
