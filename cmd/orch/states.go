package main

import (
	"bytes"
	"context"
	"errors"

	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// states keeps Terraform's states in the store, compressed, encrypted and in chunks: they hold user data, addresses and whatever a provider puts there.
// What is done under a lease is written under it: a process that has lost a deployment must not replace what the next one has recorded.
type states struct {
	store state.Store
	keys  *secrets.Store
}

func (s states) blobs(ctx context.Context) *state.Blobs {
	if l := state.LeaseOf(ctx); l != nil {
		return state.NewBlobs(state.Fenced(s.store, l))
	}
	return state.NewBlobs(s.store)
}

// maxState bounds a state in bytes.
const maxState = 256 << 20

func stateKey(deployment string) string { return state.Join("terraform", deployment) }

func (s states) Load(ctx context.Context, deployment string) ([]byte, error) {
	sealed, _, err := s.blobs(ctx).ReadAll(ctx, stateKey(deployment), maxState)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.keys.Open(ctx, stateKey(deployment), sealed)
}

func (s states) Save(ctx context.Context, deployment string, data []byte) error {
	sealed, err := s.keys.Pack(ctx, stateKey(deployment), data)
	if err != nil {
		return err
	}
	_, err = s.blobs(ctx).Put(ctx, stateKey(deployment), bytes.NewReader(sealed))
	return err
}

func (s states) Remove(ctx context.Context, deployment string) error {
	return s.blobs(ctx).Delete(ctx, stateKey(deployment))
}

// resealStates encrypts all states anew. One that an apply replaces meanwhile was sealed by it.
func resealStates(blobs *state.Blobs) secrets.Resealer {
	return secrets.Resealer{What: "Terraform states", Do: func(ctx context.Context, reseal secrets.Reseal) (n int, err error) {
		infos, err := blobs.List(ctx, state.Prefix("terraform"))
		for _, info := range infos {
			if err != nil {
				break
			}
			var changed bool
			if changed, err = resealState(ctx, blobs, info, reseal); changed {
				n++
			}
		}
		return n, err
	}}
}

func resealState(ctx context.Context, blobs *state.Blobs, info state.BlobInfo, reseal secrets.Reseal) (bool, error) {
	sealed, at, err := blobs.ReadAll(ctx, info.Key, maxState)
	if err != nil {
		return false, gone(err)
	}
	fresh, changed, err := reseal(info.Key, sealed)
	if err != nil || !changed {
		return false, err
	}
	at.Key = info.Key
	_, err = blobs.Replace(ctx, at, bytes.NewReader(fresh))
	return err == nil, gone(err)
}

// gone is no error: what was removed or replaced meanwhile needs nothing.
func gone(err error) error {
	if errors.Is(err, state.ErrNotFound) || errors.Is(err, state.ErrChanged) {
		return nil
	}
	return err
}
