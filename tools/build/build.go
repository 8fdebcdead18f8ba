package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/orch-project/orch/internal/toolcache"
)

// builder makes tools from the modules below tools/ into the cache.
type builder struct {
	modules string // tools/ of the checkout
	cache   string
	say     *progress
}

// recipe is what a build depends on. It is stored beside the executable; a tool whose recipe differs is built again.
type recipe struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Sources  string `json:"sources"` // digest of go.mod, go.sum, package and flags
}

// build returns the executable of a tool, made first if need be. Callers at the same time, in any process, build it once.
func (b *builder) build(ctx context.Context, t tool) (string, error) {
	r, err := b.recipe(t)
	if err != nil {
		return "", err
	}
	exe := toolcache.Executable(b.cache, t.name, r.Version)
	if b.current(t, r, exe) {
		return exe, nil
	}
	unlock, err := b.lock(ctx, t)
	if err != nil {
		return "", err
	}
	defer unlock()
	if b.current(t, r, exe) {
		return exe, nil // another process was faster
	}
	if !fresh(r, exe) {
		if err := b.compile(ctx, t, r, exe); err != nil {
			return "", fmt.Errorf("cannot build %s %s: %w", t.name, r.Version, err)
		}
	}
	if t.provider != "" {
		if err := b.mirror(t, r, exe); err != nil {
			return "", err
		}
	}
	return exe, nil
}

func (b *builder) recipe(t tool) (recipe, error) {
	v, err := b.version(t)
	if err != nil {
		return recipe{}, err
	}
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(b.modules, t.source(), name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return recipe{}, fmt.Errorf("cannot read what %s is built from: %w", t.name, err)
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	fmt.Fprintf(h, "%s %q", t.pkg, t.args("", "", ""))
	if t.eager {
		fmt.Fprint(h, haste)
	}
	return recipe{Version: v, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Sources: hex.EncodeToString(h.Sum(nil))}, nil
}

// args of the go command.
func (t tool) args(dir, modfile, out string) []string {
	args := []string{"build", "-C", dir, "-v", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w " + t.ldflags), "-o", out}
	if modfile != "" {
		args = append(args, "-modfile", modfile)
	}
	return append(args, t.pkg)
}

func (b *builder) current(t tool, r recipe, exe string) bool {
	return fresh(r, exe) && (t.provider == "" || b.mirrored(t, r, exe))
}

// fresh reports whether the executable is there and was made by this recipe.
func fresh(r recipe, exe string) bool {
	data, err := os.ReadFile(stamp(exe))
	if err != nil {
		return false
	}
	var was recipe
	if json.Unmarshal(data, &was) != nil || was != r {
		return false
	}
	info, err := os.Stat(exe)
	return err == nil && info.Mode().IsRegular()
}

func stamp(exe string) string { return filepath.Join(filepath.Dir(exe), "build.json") }

// compile makes the executable and puts it in place: build → check → rename → stamp. A kill in between leaves the old one or none, and
// a temporary file that the next build overwrites (the lock is held).
func (b *builder) compile(ctx context.Context, t tool, r recipe, exe string) error {
	dir := filepath.Dir(exe)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp := exe + ".tmp"
	defer os.Remove(tmp)
	log, err := os.Create(filepath.Join(dir, "build.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	done := b.say.start(fmt.Sprintf("building %s %s", t.name, r.Version), "from source, once; about "+t.cold)
	var tail tail
	err = b.goBuild(ctx, t, tmp, io.MultiWriter(log, &tail, b.say))
	if err == nil {
		err = check(ctx, t, r, tmp)
	}
	if err == nil {
		err = os.Rename(tmp, exe)
	}
	if err == nil {
		err = writeJSON(stamp(exe), r)
	}
	done(err)
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w\n%s  all of it: %s", err, tail.String(), log.Name())
	}
	return err
}

func (b *builder) goBuild(ctx context.Context, t tool, out string, w io.Writer) error {
	dir, modfile := filepath.Join(b.modules, t.source()), ""
	// Pure Go, so that no C compiler is needed and the result runs on any distribution; and nothing of the user's flags.
	env := append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if t.eager {
		tmp, err := os.MkdirTemp("", "orch-build-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tmp)
		if modfile, err = hasten(ctx, dir, tmp, env); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, "go", t.args(dir, modfile, out)...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // the compilers, too
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// check that what was built runs and is the version that was asked for.
func check(ctx context.Context, t tool, r recipe, exe string) error {
	if t.check == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, exe, t.check...)
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("what was built does not run: %w: %s", err, bytes.TrimSpace(out))
	}
	if !strings.Contains(string(out), r.Version) {
		return fmt.Errorf("what was built says it is %q, not %s", bytes.TrimSpace(out), r.Version)
	}
	return nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// list prints every tool with its state.
func (b *builder) list(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, t := range tools {
		r, err := b.recipe(t)
		if err != nil {
			return err
		}
		exe, state := toolcache.Executable(b.cache, t.name, r.Version), "not built"
		if b.current(t, r, exe) {
			state = exe
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", t.name, r.Version, t.about, state)
	}
	return tw.Flush()
}

// clean removes every tool, in all versions, from the cache and the mirror. One that is being built is waited for.
func (b *builder) clean(ctx context.Context) error {
	for _, t := range tools {
		dir := filepath.Join(b.cache, "tools", t.name)
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			continue
		}
		unlock, err := b.lock(ctx, t)
		if err != nil {
			return err
		}
		err = os.RemoveAll(dir)
		if t.provider != "" {
			for _, registry := range toolcache.Registries {
				err = errors.Join(err, os.RemoveAll(filepath.Join(toolcache.Mirror(b.root(t)), registry, filepath.FromSlash(t.provider))))
			}
		}
		unlock()
		if err != nil {
			return fmt.Errorf("cannot remove %s: %w", t.name, err)
		}
	}
	return nil
}
