package secrets

import (
	"context"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// Rewrap encrypts every version of every secret anew with the first key of keys, which must hold the present key too, and returns how many
// it changed. Interrupted, it can be called again. A rotation is:
//
//  1. keys.Rotated(), and secret.WriteKeyFile (or the new key put in front in ORCH_MASTER_KEY)
//  2. Rewrap, and the same for other encrypted content
//  3. keys.Newest(), and secret.WriteKeyFile
func (s *Store) Rewrap(ctx context.Context, keys *secret.Keyring) (int, error) {
	s.mu.Lock()
	s.keys = keys
	s.mu.Unlock()
	if err := s.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, keyRecord, masterKey{keys.ID()}) }); err != nil {
		return 0, fmt.Errorf("cannot change the master key: %w", err)
	}
	infos, err := s.List(ctx, "")
	if err != nil {
		return 0, err
	}
	n := 0
	for _, info := range infos {
		r, err := s.record(ctx, info.Name)
		if err != nil {
			continue // deleted meanwhile
		}
		for _, v := range r.Versions {
			if v.Key == keys.ID() {
				continue
			}
			if err := s.rewrap(ctx, keys, info.Name, v); err != nil {
				return n, fmt.Errorf("cannot encrypt version %d of the secret %s anew: %w", v.Number, info.Name, err)
			}
			n++
		}
	}
	return n, nil
}

func (s *Store) rewrap(ctx context.Context, keys *secret.Keyring, name string, old Version) error {
	plain, err := s.open(ctx, keys, name, old)
	if err != nil {
		return err
	}
	fresh, err := s.seal(ctx, keys, name, old, plain)
	if err != nil {
		return err
	}
	unused := old
	err = s.store.Update(ctx, func(tx state.Tx) error {
		unused = fresh
		r, ok, err := state.Find[record](tx, recordKey(name))
		if err != nil || !ok {
			return err
		}
		i := slices.IndexFunc(r.Versions, func(v Version) bool { return v.Content == old.Content })
		if i < 0 {
			return nil
		}
		unused, r.Versions[i] = old, fresh
		return state.Put(tx, recordKey(name), r)
	})
	if delErr := s.blobs.Delete(ctx, blobPrefix(name)+unused.Content); err == nil {
		err = delErr
	}
	return err
}
