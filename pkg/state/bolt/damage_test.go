package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"go.etcd.io/bbolt"
)

// filled makes a file with a few hundred records and returns its bytes.
func filled(t *testing.T, path string) []byte {
	t.Helper()
	s := open(t, path, bolt.Options{NoSync: true})
	for i := range 300 {
		put(t, s, state.Join("k", state.Num(uint64(i))), strings.Repeat("value ", i))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDamagedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	good := filled(t, path)
	for name, data := range map[string][]byte{
		"text":      []byte(strings.Repeat("this is not a store\n", 1000)),
		"short":     []byte("x"),
		"half":      good[:len(good)/4/4096*4096],
		"meta only": good[:2*4096],
		"zeros":     make([]byte, len(good)),
		"no metas":  append(bytes.Repeat([]byte{0xff}, 2*4096), good[2*4096:]...),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := bolt.Open(t.Context(), path, bolt.Options{})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, state.ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(fmt.Sprint(err), "goroutine") {
			t.Errorf("%s: the error has a stack", name)
		}
		again, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: the damaged file was changed", name)
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil { // and it is not locked for ever
		t.Fatal(err)
	}
	open(t, path, bolt.Options{})
}

// Random damage must give errors, never a crash and never a hang.
func TestRandomDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	good := filled(t, path)
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 9))
		data := bytes.Clone(good)
		for range 1 + r.IntN(200) {
			data[r.IntN(len(data))] = byte(r.Uint32())
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := bolt.Open(t.Context(), path, bolt.Options{NoSync: true})
		if err != nil {
			continue
		}
		_ = s.Check(t.Context())
		_ = s.View(t.Context(), func(tx state.Tx) error {
			for _, err := range tx.List("") {
				if err != nil {
					return err
				}
			}
			return nil
		})
		_ = s.Update(t.Context(), func(tx state.Tx) error {
			return errors.Join(tx.DeletePrefix("k"), tx.Put("x", make([]byte, 100000)))
		})
		_ = s.Close()
	}
}

func TestOtherFiles(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign")
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
	db.Close()
	if _, err := bolt.Open(t.Context(), foreign, bolt.Options{}); !errors.Is(err, state.ErrCorrupt) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("another program's: %v", err)
	}
	newer := filepath.Join(dir, "newer")
	filled(t, newer)
	db, err = bbolt.Open(newer, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte{0, 0, 0, 0, 0, 0, 0, 9})
	})
	db.Close()
	if _, err := bolt.Open(t.Context(), newer, bolt.Options{}); !errors.Is(err, state.ErrNewer) {
		t.Errorf("newer: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, hint := range map[string]string{
		dir:                             "it is a directory",
		filepath.Join(dir, "file", "s"): "a part of the path is a file",
		"/proc/orch/store":              "",
	} {
		_, err := bolt.Open(t.Context(), path, bolt.Options{})
		var u *state.UnavailableError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestPermissions(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir, err := os.MkdirTemp("", "orch-bolt-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	if out := runAs(t, path); !strings.Contains(out, "permission denied") || !strings.Contains(out, "user 65534 may not") {
		t.Errorf("a directory that is not writable: %s", out)
	}
	filled(t, path)
	if out := runAs(t, path); !strings.Contains(out, "permission denied") || !strings.Contains(out, "ORCH_STORE=") {
		t.Errorf("another user's file: %s", out)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path, bolt.Options{}).Close()
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("a file that all can read stays so: %v, %v", fi.Mode(), err)
	}
}

// smallDisk mounts a file system of 8 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	s := open(t, filepath.Join(dir, "s"), bolt.Options{})
	put(t, s, "a", "before")
	var err error
	n := 0
	value := bytes.Repeat([]byte("x"), 200_000)
	for ; err == nil && n < 200; n++ {
		err = s.Update(t.Context(), func(tx state.Tx) error { return tx.Put(state.Join("big", state.Num(uint64(n))), value) })
	}
	var u *state.UnavailableError
	if !errors.As(err, &u) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free space") {
		t.Fatalf("after %d values: %v", n, err)
	}
	whole := 0
	if err := s.View(t.Context(), func(tx state.Tx) error {
		for e, err := range tx.List("big/") {
			if err != nil {
				return err
			}
			if whole++; !bytes.Equal(e.Value, value) {
				t.Errorf("%s has %d bytes", e.Key, len(e.Value))
			}
		}
		return nil
	}); err != nil || whole != n-1 {
		t.Errorf("%d of %d values, %v", whole, n-1, err)
	}
	// Deleting frees pages of the file itself, so work can go on without space on the disk.
	if err := s.Update(t.Context(), func(tx state.Tx) error { return tx.DeletePrefix("big/") }); err != nil {
		t.Errorf("deleting on a full disk: %v", err)
	}
	put(t, s, "a", "after")
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	open(t, filepath.Join(dir, "s"), bolt.Options{})
}
