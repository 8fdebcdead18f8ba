package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// A state is compressed before it is encrypted, and survives a change of the master key; one that an apply replaces at that moment is not
// overwritten with what was before.
func TestStatesAreCompressedAndSurviveAKeyChange(t *testing.T) {
	ctx := t.Context()
	store := mem.New(mem.Options{})
	defer store.Close()
	blobs := state.NewBlobs(store)
	key := secret.KeySource{File: filepath.Join(t.TempDir(), "key")}
	keys := secrets.New(store, secrets.Options{Key: key, Reseal: []secrets.Resealer{resealStates(blobs)}})
	s := states{store, keys}
	large := strings.Repeat(`{"type":"openstack_compute_instance_v2","attributes":{"name":"web"}}`, 20_000)
	for name, text := range map[string]string{"shop": large, "blue~shop": `{"small":true}`} {
		if err := s.Save(ctx, name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	small := func() {
		t.Helper()
		if info, err := blobs.Stat(ctx, stateKey("shop")); err != nil || info.Stored > int64(len(large)/20) {
			t.Errorf("%d bytes are stored of %d, %v", info.Stored, len(large), err)
		}
	}
	small()
	rot, err := keys.Rotate(ctx, secrets.RotateOptions{})
	if err != nil || rot.Resealed["Terraform states"] != 2 {
		t.Fatalf("%+v, %v", rot, err)
	}
	small()
	again := states{store, secrets.New(store, secrets.Options{Key: key})}
	for name, text := range map[string]string{"shop": large, "blue~shop": `{"small":true}`} {
		if got, err := again.Load(ctx, name); err != nil || string(got) != text {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}

	changed, err := resealState(ctx, blobs, state.BlobInfo{Key: stateKey("shop")}, func(_ string, sealed []byte) ([]byte, bool, error) {
		return sealed, true, s.Save(context.WithoutCancel(ctx), "shop", []byte("newer"))
	})
	if changed || err != nil {
		t.Errorf("%v, %v", changed, err)
	}
	if got, err := again.Load(ctx, "shop"); err != nil || string(got) != "newer" {
		t.Errorf("the newer state is lost: %.20q, %v", got, err)
	}
}

// A process that was stopped for longer than its lease lasts does not replace what the next one has recorded, whatever it was about when it was stopped.
func TestStatesAreFenced(t *testing.T) {
	store := mem.New(mem.Options{})
	defer store.Close()
	s := states{store, secrets.New(store, secrets.Options{Key: secret.KeySource{File: filepath.Join(t.TempDir(), "key")}})}
	first, err := store.Lease(t.Context(), "deployment/shop", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := first.Context(t.Context())
	defer cancel()
	if err := s.Save(stopped, "shop", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := store.BreakLease(t.Context(), "deployment/shop"); err != nil {
		t.Fatal(err)
	}
	second, err := store.Lease(t.Context(), "deployment/shop", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	goingOn, end := second.Context(t.Context())
	defer end()
	if err := s.Save(goingOn, "shop", []byte("second")); err != nil {
		t.Fatal(err)
	}
	stopped = context.WithoutCancel(stopped)
	if err := s.Save(stopped, "shop", []byte("outdated")); !errors.Is(err, state.ErrFenced) {
		t.Errorf("saved under a lost lease: %v", err)
	}
	if err := s.Remove(stopped, "shop"); !errors.Is(err, state.ErrFenced) {
		t.Errorf("removed under a lost lease: %v", err)
	}
	if got, err := s.Load(t.Context(), "shop"); err != nil || string(got) != "second" {
		t.Errorf("%q, %v", got, err)
	}
}

// A store of a newer version is left alone.
func TestNewerStoreIsRefused(t *testing.T) {
	store := mem.New(mem.Options{})
	defer store.Close()
	if err := store.Update(t.Context(), func(tx state.Tx) error {
		return state.Put(tx, state.SchemaKey, map[string]int{"version": state.Schema + 7})
	}); err != nil {
		t.Fatal(err)
	}
	c := &config.Config{MasterKey: config.MasterKey{File: filepath.Join(t.TempDir(), "key")}}
	_, err := openSecrets(t.Context(), c, store, secret.NewRedactor())
	var known *orch.Error
	if !errors.As(err, &known) || known.Kind != orch.KindStore || !strings.Contains(err.Error(), "schema 9") || !strings.Contains(known.Hint, "update orch") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(c.MasterKey.File); err == nil {
		t.Error("a key was made for it")
	}
}

// Who has not started the process does not get at what that one could read.
func TestReferencesOfAServer(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ORCH_TEST_SECRET", "value-of-the-variable")
	if err := os.WriteFile(filepath.Join(dir, "s"), []byte("value-of-the-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		conf      config.Config
		env, file bool
	}{
		"a command":             {config.Config{}, true, true},
		"a server":              {config.Config{Shared: true}, false, false},
		"a server told to":      {config.Config{Shared: true, Secrets: config.Secrets{Env: []string{"ORCH_TEST_*"}, Files: dir}}, true, true},
		"another directory":     {config.Config{Shared: true, Secrets: config.Secrets{Files: t.TempDir()}}, false, false},
		"a command told not to": {config.Config{Secrets: config.Secrets{Env: []string{"DB_*"}}}, false, true},
	} {
		rs := external(&c.conf, &secret.Vault{})
		for ref, want := range map[string]bool{"env:ORCH_TEST_SECRET": c.env, "file:" + filepath.Join(dir, "s"): c.file} {
			r, err := secret.ParseRef(ref)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := rs.Resolve(t.Context(), r); (err == nil) != want || want && v.Reveal() == "" {
				t.Errorf("%s: %s: %v", name, ref, err)
			}
		}
	}
}
