package main

import (
	"bytes"
	"context"
	"errors"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// states keeps Terraform's states in the store, encrypted: they hold user data, addresses and whatever a provider puts there.
type states struct {
	blobs *state.Blobs
	keys  *secret.Keyring
}

// maxState bounds a state in bytes.
const maxState = 256 << 20

func stateKey(deployment string) string { return state.Join("terraform", deployment) }

func (s states) Load(ctx context.Context, deployment string) ([]byte, error) {
	sealed, _, err := s.blobs.ReadAll(ctx, stateKey(deployment), maxState)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.keys.Open(stateKey(deployment), sealed)
}

func (s states) Save(ctx context.Context, deployment string, data []byte) error {
	sealed, err := s.keys.Seal(stateKey(deployment), data)
	if err != nil {
		return err
	}
	_, err = s.blobs.Put(ctx, stateKey(deployment), bytes.NewReader(sealed))
	return err
}

func (s states) Remove(ctx context.Context, deployment string) error {
	return s.blobs.Delete(ctx, stateKey(deployment))
}
