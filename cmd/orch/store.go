package main

import (
	"context"
	"errors"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/open"
)

// ownedByOneProcess: a store file is, a server of stores is not.
func ownedByOneProcess(address string) bool { return open.File(address) != "" }

// openStore opens what the configuration names. The error says what to do.
func openStore(ctx context.Context, c *config.Config) (state.Store, error) {
	store, err := open.Store(ctx, c.Store, bolt.Options{Wait: -1, Command: "orch"})
	if err == nil {
		return store, nil
	}
	var held *bolt.LockedError
	var gone *state.UnavailableError
	known := &orch.Error{Kind: orch.KindStore, Err: err}
	switch {
	case errors.As(err, &held):
		known.Kind = orch.KindConflict
	case errors.As(err, &gone):
		bare := *gone // the hint has a line of its own
		bare.Hint = ""
		known.Err, known.Hint = &bare, gone.Hint
	}
	return nil, known
}
