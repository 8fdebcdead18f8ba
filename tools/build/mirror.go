package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/toolcache"
)

// root of the cache that has the tool's mirror.
func (b *builder) root(t tool) string {
	if t.eager {
		return toolcache.Eager(b.cache)
	}
	return b.cache
}

// mirrored reports whether every registry's place in the mirror holds this executable.
func (b *builder) mirrored(t tool, r recipe, exe string) bool {
	for _, registry := range toolcache.Registries {
		if !same(exe, toolcache.Provider(b.root(t), registry, t.provider, r.Version)) {
			return false
		}
	}
	return true
}

// mirror lays a provider out for terraform and tofu. It links where it can; elsewhere it copies, keeping the time, by which same knows it.
func (b *builder) mirror(t tool, r recipe, exe string) error {
	for _, registry := range toolcache.Registries {
		to := toolcache.Provider(b.root(t), registry, t.provider, r.Version)
		if same(exe, to) {
			continue
		}
		if err := place(exe, to); err != nil {
			return fmt.Errorf("cannot put %s into the mirror: %w", t.name, err)
		}
	}
	return nil
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	if err != nil {
		return false
	}
	return os.SameFile(x, y) || (x.Size() == y.Size() && x.ModTime().Equal(y.ModTime()))
}

func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	// The directory holds what Terraform takes as the provider's package, so the temporary file lies one level up.
	tmp := filepath.Join(filepath.Dir(filepath.Dir(to)), ".tmp-"+filepath.Base(to))
	defer os.Remove(tmp)
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if os.Link(from, tmp) != nil {
		if err := copyFile(from, tmp); err != nil {
			return err
		}
	}
	return os.Rename(tmp, to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
