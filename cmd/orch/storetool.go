package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/backup"
	"github.com/orch-project/orch/pkg/state/open"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// storeTool works on whole stores, without the service.
type storeTool struct{}

// Backup of a file that another process has is made by that process.
func (storeTool) Backup(ctx context.Context, c *config.Config, w io.Writer) error {
	if file := open.File(c.Store); file != "" {
		socket := socketPath(c)
		if _, err := os.Stat(socket); err == nil {
			remote := client.NewUnix(socket)
			defer remote.Close()
			if err := remote.Backup(ctx, w); err == nil || !unreachable(err) {
				return err
			}
		}
		if _, err := os.Stat(file); err != nil {
			return &orch.Error{Kind: orch.KindNotFound, Msg: "there is no store to back up", Err: err}
		}
	}
	store, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	_, err = backup.Write(ctx, store, w, version.Version())
	return storeToolError(errors.Join(err, store.Close()))
}

// unreachable reports that nobody answered, so that nothing was written yet.
func unreachable(err error) bool {
	var known *orch.Error
	return errors.As(err, &known) && known.Kind == orch.KindStore && known.Msg == "cannot reach the server"
}

func (storeTool) Restore(ctx context.Context, c *config.Config, r io.ReadSeeker, overwrite bool) (backup.Summary, error) {
	if err := os.MkdirAll(c.Home, 0o700); err != nil {
		return backup.Summary{}, err
	}
	store, err := openStore(ctx, c)
	if err != nil {
		return backup.Summary{}, err
	}
	sum, err := backup.Restore(ctx, store, r, backup.Options{Overwrite: overwrite})
	return sum, storeToolError(errors.Join(err, store.Close()))
}

func (storeTool) Copy(ctx context.Context, from, to string, overwrite bool) (sum backup.Summary, err error) {
	source, target := open.File(from), open.File(to)
	if from == to || source != "" && target != "" && realPath(source) == realPath(target) {
		return sum, &orch.Error{Kind: orch.KindUser, Msg: "the two stores are the same"}
	}
	if source != "" {
		if _, err := os.Stat(source); err != nil {
			return sum, &orch.Error{Kind: orch.KindNotFound, Msg: "there is no store to copy", Err: err}
		}
	}
	if target != "" {
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return sum, &orch.Error{Kind: orch.KindUser, Err: err}
		}
	}
	a, err := openStore(ctx, &config.Config{Store: from})
	if err != nil {
		return sum, err
	}
	defer a.Close()
	b, err := openStore(ctx, &config.Config{Store: to})
	if err != nil {
		return sum, err
	}
	sum, err = backup.Copy(ctx, a, b, backup.Options{Overwrite: overwrite})
	return sum, storeToolError(errors.Join(err, b.Close()))
}

// Check also opens what is encrypted.
func (storeTool) Check(ctx context.Context, c *config.Config) (*backup.Report, error) {
	store, err := openStore(ctx, c)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	r, err := backup.Check(ctx, store)
	if err != nil || r.Schema != state.Schema {
		return r, storeToolError(err)
	}
	keys := secrets.New(store, secrets.Options{Key: keySource(c)})
	if err := keys.Verify(ctx, func(name string, err error) {
		r.Findings = append(r.Findings, backup.Finding{Key: "secret " + name, Text: err.Error()})
	}); err != nil {
		r.Findings = append(r.Findings, backup.Finding{Key: "masterkey", Text: err.Error()})
		return r, nil
	}
	return r, verifyStates(ctx, state.NewBlobs(store), keys, r)
}

func verifyStates(ctx context.Context, blobs *state.Blobs, keys *secrets.Store, r *backup.Report) error {
	infos, err := blobs.List(ctx, state.Prefix("terraform"))
	for _, info := range infos {
		sealed, _, err := blobs.ReadAll(ctx, info.Key, maxState)
		if err == nil {
			_, err = keys.Open(ctx, info.Key, sealed)
		}
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			r.Findings = append(r.Findings, backup.Finding{Key: info.Key, Text: err.Error()})
		}
	}
	return storeToolError(err)
}

func storeToolError(err error) error {
	var known *orch.Error
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.Is(err, backup.ErrNotEmpty):
		return &orch.Error{Kind: orch.KindConflict, Err: err, Hint: "choose an empty store, or give --overwrite to lose what it holds"}
	case errors.Is(err, backup.ErrDamaged):
		return &orch.Error{Kind: orch.KindUser, Err: err}
	case errors.Is(err, state.ErrHeld):
		return &orch.Error{Kind: orch.KindConflict, Err: err, Hint: "end what works with the store first"}
	case errors.Is(err, state.ErrNewer):
		return &orch.Error{Kind: orch.KindStore, Err: err, Hint: "update orch"}
	}
	return &orch.Error{Kind: orch.KindStore, Err: err}
}
