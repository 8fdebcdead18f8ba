package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// masterKey records which key the store was last used with, so that losing it is noticed before a new one is made.
type masterKey struct {
	ID       string `json:"id"`
	Changing bool   `json:"changing,omitempty"` // to this key: other content may still need the one before
}

// Keyring loads the master key, for what else is encrypted under it. It makes one only while the store is empty: nothing in it can need
// another then.
func (s *Store) Keyring(ctx context.Context) (*secret.Keyring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != nil {
		return s.keys, nil
	}
	return s.load(ctx)
}

// load reads the key from its source. The caller holds mu.
func (s *Store) load(ctx context.Context) (*secret.Keyring, error) {
	used, empty, err := s.usedKey(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.opts.Key.Load(ctx, empty)
	switch {
	case errors.Is(err, fs.ErrNotExist) && used.ID != "":
		return nil, fmt.Errorf("%w: what is stored is encrypted with %s: bring back that key file, or give the key in ORCH_MASTER_KEY", err, used.ID)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: what is stored may be encrypted with it: bring back that key file, or give the key in ORCH_MASTER_KEY", err)
	case err != nil:
		return nil, err
	}
	if err := s.claim(ctx, keys); err != nil {
		return nil, err
	}
	s.keys = keys
	return keys, nil
}

// claim notes the key as the store's, unless it is noted, and refuses one that cannot read what is stored.
func (s *Store) claim(ctx context.Context, keys *secret.Keyring) error {
	used, _, err := s.usedKey(ctx)
	if err == nil && used.ID == "" {
		err = s.store.Update(ctx, func(tx state.Tx) error {
			k, ok, err := state.Find[masterKey](tx, keyRecord)
			if used = k; ok || err != nil {
				return err // another process was faster
			}
			used = masterKey{ID: keys.ID()}
			return state.Put(tx, keyRecord, used)
		})
	}
	if err == nil && !keys.Has(used.ID) {
		err = fmt.Errorf("%w: this is the key %s, what is stored is encrypted with %s", secret.ErrNoKey, keys.ID(), used.ID)
	}
	return err
}

// usedKey returns what the store was last used with, and whether it is empty.
func (s *Store) usedKey(ctx context.Context) (used masterKey, empty bool, err error) {
	err = s.store.View(ctx, func(tx state.Tx) error {
		used, _, err = state.Find[masterKey](tx, keyRecord)
		if empty = true; err != nil {
			return err
		}
		for key, err := range tx.Keys("") {
			if empty = key == state.SchemaKey; err != nil || !empty {
				return err
			}
		}
		return nil
	})
	return used, empty, err
}

// Seal encrypts a value under a label with the master key.
func (s *Store) Seal(ctx context.Context, label string, plain []byte) ([]byte, error) {
	keys, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	return keys.Seal(label, plain)
}

// Pack is Seal for what is large: it is compressed.
func (s *Store) Pack(ctx context.Context, label string, plain []byte) ([]byte, error) {
	keys, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	return keys.Pack(label, plain)
}

// Open decrypts what Seal and Pack made. If the key is not known it is read again: another server may have changed it.
func (s *Store) Open(ctx context.Context, label string, sealed []byte) ([]byte, error) {
	keys, err := s.Keyring(ctx)
	if err != nil {
		return nil, err
	}
	plain, err := keys.Open(label, sealed)
	if !errors.Is(err, secret.ErrNoKey) {
		return plain, err
	}
	s.mu.Lock()
	if s.keys == keys {
		s.keys = nil
		if _, lerr := s.load(ctx); lerr != nil {
			s.keys = keys
		}
	}
	fresh := s.keys
	s.mu.Unlock()
	return fresh.Open(label, sealed)
}

// Verify opens every version of every secret and tells of each that cannot be opened. An error is one of the store or of the key.
func (s *Store) Verify(ctx context.Context, tell func(name string, err error)) error {
	if _, err := s.Keyring(ctx); err != nil {
		return err
	}
	var all []record
	if err := s.each(ctx, func(r record) { all = append(all, r) }); err != nil {
		return err
	}
	for _, r := range all {
		for _, v := range r.Versions {
			if _, err := s.open(ctx, r.tenant, r.name, v); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				tell(fmt.Sprintf("%s@%d of %s", r.name, v.Number, r.tenant), err)
			}
		}
	}
	return nil
}
