package main

import (
	"context"
	"errors"
	"strings"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
)

// ownedByOneProcess: a store file is, a server of stores is not.
func ownedByOneProcess(url string) bool { return strings.HasPrefix(url, "bolt:") }

// openStore opens what the configuration names. The error says what to do.
func openStore(ctx context.Context, c *config.Config) (state.Store, error) {
	store, err := bolt.Open(ctx, strings.TrimPrefix(c.Store, "bolt:"), bolt.Options{Wait: -1, Command: "orch"})
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
		known.Hint = gone.Hint
	}
	return nil, known
}

// storeName is the store's URL without a token.
func storeName(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	if _, host, ok := strings.Cut(rest, "@"); ok {
		rest = host
	}
	return scheme + "://" + rest
}
