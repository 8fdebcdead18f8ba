package terraform

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Planning and adopting happen in directories that end with the process that made them. Terraform writes its state and its plan there in clear,
// with what a provider keeps of a secret: a process that is killed must not leave them.
var scratches = []string{"plan-", "adopt-"}

const (
	scratchGate = "scratch.lock" // held while directories are made or looked through
	scratchHeld = "held.lock"    // in a directory: its process is alive
)

// scratch makes such a directory. The ones whose processes were killed are removed.
func (d *Driver) scratch(ctx context.Context, prefix string) (dir string, remove func(), err error) {
	open, err := flock(ctx, filepath.Join(d.opts.Home, scratchGate))
	if err != nil {
		return "", nil, err
	}
	defer open()
	if err := d.removeLeftScratches(); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(d.opts.Home, prefix); err != nil {
		return "", nil, err
	}
	release, err := flock(ctx, filepath.Join(dir, scratchHeld))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() { _ = os.RemoveAll(dir); release() }, nil
}

// tidy removes what killed processes have left, unless another process is about to.
func (d *Driver) tidy() error {
	open, err := flock(atOnce(), filepath.Join(d.opts.Home, scratchGate))
	if err != nil {
		return nil
	}
	defer open()
	return d.removeLeftScratches()
}

func (d *Driver) removeLeftScratches() error {
	all, err := os.ReadDir(d.opts.Home)
	if err != nil {
		return err
	}
	for _, e := range all {
		if !e.IsDir() || !slices.ContainsFunc(scratches, func(prefix string) bool { return strings.HasPrefix(e.Name(), prefix) }) {
			continue
		}
		dir := filepath.Join(d.opts.Home, e.Name())
		release, err := flock(atOnce(), filepath.Join(dir, scratchHeld))
		if err != nil {
			continue // somebody works there, or it is gone
		}
		err = os.RemoveAll(dir)
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

// atOnce is a context in which a lock is tried once.
func atOnce() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
