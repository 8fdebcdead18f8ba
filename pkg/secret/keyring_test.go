package secret

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func keyring(t *testing.T) *Keyring {
	t.Helper()
	k, err := GenerateKeyring()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSeal(t *testing.T) {
	k := keyring(t)
	for _, plain := range []string{"", "x", strings.Repeat("long ", 100000)} {
		sealed, err := k.Seal("label\nwith lines", []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Open("label\nwith lines", sealed)
		if err != nil || string(got) != plain {
			t.Errorf("%d bytes became %d, %v", len(plain), len(got), err)
		}
		if _, err := k.Open("another", sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("another label: %v", err)
		}
		if _, err := keyring(t).Open("label\nwith lines", sealed); !errors.Is(err, ErrNoKey) {
			t.Errorf("another key: %v", err)
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := k.Open("label\nwith lines", sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("a flipped bit: %v", err)
		}
	}
}

func TestEncryptStreams(t *testing.T) {
	k := keyring(t)
	plain := bytes.Repeat([]byte(`{"resource":"state"}`), 50000)
	var sealed bytes.Buffer
	w, err := k.Encrypt(&sealed, "state")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if sealed.Len() > len(plain)/20 {
		t.Errorf("%d bytes became %d: not compressed", len(plain), sealed.Len())
	}
	cut := bytes.Clone(sealed.Bytes()[:sealed.Len()-10])
	r, err := k.Decrypt(&sealed, "state")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := k.Open("state", cut); !errors.Is(err, ErrSealed) {
		t.Errorf("a cut stream: %v", err)
	}
}

func TestRotation(t *testing.T) {
	old := keyring(t)
	sealed, _ := old.Seal("x", []byte("v"))
	both, err := old.Rotated()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open("x", sealed); err != nil || string(got) != "v" {
		t.Errorf("the old content: %s, %v", got, err)
	}
	if both.ID() == old.ID() || !both.Has(old.ID()) {
		t.Error("the new key must come first, the old stay")
	}
	fresh, _ := both.Seal("x", []byte("w"))
	if got, err := both.Newest().Open("x", fresh); err != nil || string(got) != "w" {
		t.Errorf("the new content: %s, %v", got, err)
	}
	again, err := ParseKeyring(both.Text())
	if err != nil || strings.Join(again.IDs(), " ") != strings.Join(both.IDs(), " ") {
		t.Errorf("written and read: %v, %v", again.IDs(), err)
	}
}

func TestParseKeyringDoesNotShowKeys(t *testing.T) {
	for _, text := range []string{"", "# only a comment", "AGE-SECRET-KEY-1BROKEN", "correct horse"} {
		_, err := ParseKeyring(New(text))
		if err == nil || text != "" && strings.Contains(err.Error(), "BROKEN") || strings.Contains(err.Error(), "horse") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "master.key")
	src := KeySource{File: path}
	if _, err := src.Load(t.Context(), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without create: %v", err)
	}
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids { // all at once: one key
		wg.Go(func() {
			k, err := src.Load(t.Context(), true)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("two keys: %s, %s", id, ids[0])
		}
	}
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	k, _ := src.Load(t.Context(), true)
	both, _ := k.Rotated()
	if err := WriteKeyFile(path, both); err != nil {
		t.Fatal(err)
	}
	if again, err := src.Load(t.Context(), false); err != nil || again.ID() != both.ID() {
		t.Errorf("after rotation: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Load(t.Context(), true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a readable key: %v", err)
	}
}

func TestKeyFromEnvironmentAndCommand(t *testing.T) {
	k := keyring(t)
	got, err := KeySource{Key: k.Text(), File: "/nowhere"}.Load(t.Context(), true)
	if err != nil || got.ID() != k.ID() {
		t.Errorf("environment: %v", err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := WriteKeyFile(path, k); err != nil {
		t.Fatal(err)
	}
	got, err = KeySource{Command: []string{"cat", path}}.Load(t.Context(), true)
	if err != nil || got.ID() != k.ID() {
		t.Errorf("command: %v", err)
	}
	_, err = KeySource{Command: []string{"sh", "-c", "echo AGE-SECRET; echo no access >&2; exit 3"}}.Load(t.Context(), true)
	if err == nil || !strings.Contains(err.Error(), "no access") || strings.Contains(err.Error(), "AGE-SECRET") {
		t.Errorf("a failing command: %v", err)
	}
	if _, err := (KeySource{}).Load(t.Context(), true); err == nil {
		t.Error("no source, no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = KeySource{Command: []string{filepath.Join(t.TempDir(), "gone")}}.Load(t.Context(), true)
	if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), "gone: there is no such program") {
		t.Errorf("a command that is not there is no key file that is lost: %v", err)
	}
	if _, err := (KeySource{Command: []string{"sleep", "60"}}).Load(ctx, true); err == nil {
		t.Error("cancelled, no error")
	}
}

func FuzzOpen(f *testing.F) {
	k, err := GenerateKeyring()
	if err != nil {
		f.Fatal(err)
	}
	sealed, _ := k.Seal("l", []byte("value"))
	f.Add(sealed)
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Input(t)()
		if got, err := k.Open("l", b); err == nil && string(got) != "value" {
			t.Errorf("opened what was never sealed: %q", got)
		}
	})
}
