package secrets

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// Reseal returns content encrypted with the present key, and whether that changed it: false if it was already.
type Reseal func(label string, sealed []byte) (fresh []byte, changed bool, err error)

// Resealer encrypts anew what its owner keeps, and returns how much it changed. It is called until there is nothing to change.
type Resealer struct {
	What string // "Terraform states"
	Do   func(ctx context.Context, reseal Reseal) (int, error)
}

// Rotation says what a change of the master key did.
type Rotation struct {
	Old []string `json:"old"` // IDs of the keys before
	New string   `json:"new"`
	// Resealed counts by what: "secrets", and those of the Resealers.
	Resealed map[string]int `json:"resealed"`
	Dropped  bool           `json:"dropped"` // the old keys are no longer in the key file
	File     string         `json:"file,omitempty"`
}

// RotateOptions of Rotate.
type RotateOptions struct {
	// KeepOld leaves the old keys in the key file, for backups made before and for servers that have it in memory.
	KeepOld bool
}

// ErrSameKey says that a key that does not come from a file was not changed by whoever gives it.
var ErrSameKey = errors.New("the master key is still the one before")

// rounds bounds the passes over everything: while tasks run, others may write with the key that they had loaded.
const rounds = 5

// Rotate changes the master key and encrypts everything anew. Interrupted, it can be called again and goes on with the new key.
//
//	key file:             a new key in front ─▶ everything anew ─▶ the old key goes (unless KeepOld)
//	variable or command:  the operator puts a new key in front ─▶ everything anew ─▶ the operator takes the old one out
func (s *Store) Rotate(ctx context.Context, o RotateOptions) (rot Rotation, err error) {
	keys, err := s.renew(ctx, &rot)
	if err != nil {
		return rot, err
	}
	rot.New, rot.Resealed = keys.ID(), map[string]int{}
	all := append([]Resealer{{"secrets", func(ctx context.Context, _ Reseal) (int, error) { return s.rewrapAll(ctx, keys) }}}, s.opts.Reseal...)
	for round := 1; ; round++ {
		changed := 0
		for _, r := range all {
			n, err := r.Do(ctx, resealer(keys))
			rot.Resealed[r.What] += n
			if changed += n; err != nil {
				return rot, fmt.Errorf("cannot encrypt the %s anew (start the rotation again to go on): %w", r.What, err)
			}
		}
		if changed == 0 {
			break
		}
		if round == rounds {
			return rot, errors.New("another process goes on encrypting with the old key: end it, or let it load the new key, then start the rotation again")
		}
	}
	if err := s.note(ctx, masterKey{ID: keys.ID()}); err != nil {
		return rot, err
	}
	if rot.File != "" && !o.KeepOld && len(rot.Old) > 0 {
		if err := secret.WriteKeyFile(rot.File, keys.Newest()); err != nil {
			return rot, err
		}
		s.use(keys.Newest())
		rot.Dropped = true
	}
	return rot, nil
}

// renew returns a keyring whose first key is a new one, which the store knows from now on.
func (s *Store) renew(ctx context.Context, rot *Rotation) (*secret.Keyring, error) {
	if _, err := s.Keyring(ctx); err != nil {
		return nil, err
	}
	used, _, err := s.usedKey(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.opts.Key.Load(ctx, false) // as it is now, not as it was when this process began
	if err != nil {
		return nil, err
	}
	file := s.opts.Key.FromFile()
	if file != "" && keys.ID() == used.ID && !used.Changing {
		if keys, err = keys.Rotated(); err != nil {
			return nil, err
		}
		if err := secret.WriteKeyFile(file, keys); err != nil {
			return nil, err
		}
	}
	rot.File, rot.Old = file, slices.DeleteFunc(keys.IDs(), func(id string) bool { return id == keys.ID() })
	if len(rot.Old) == 0 {
		return nil, fmt.Errorf("%w (%s): put a new key before it in ORCH_MASTER_KEY, or in what the command prints, and start again", ErrSameKey, used.ID)
	}
	s.use(keys)
	return keys, s.note(ctx, masterKey{ID: keys.ID(), Changing: true})
}

// note records the key that encrypts, and whether a change to it is under way.
func (s *Store) note(ctx context.Context, k masterKey) error {
	if err := s.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, keyRecord, k) }); err != nil {
		return fmt.Errorf("cannot change the master key: %w", err)
	}
	return nil
}

func (s *Store) use(keys *secret.Keyring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

// packed is the size in bytes above which content is compressed.
const packed = 4096

func resealer(keys *secret.Keyring) Reseal {
	newest := keys.Newest()
	return func(label string, sealed []byte) ([]byte, bool, error) {
		if _, err := newest.Open(label, sealed); err == nil {
			return sealed, false, nil
		}
		plain, err := keys.Open(label, sealed)
		if err != nil {
			return nil, false, err
		}
		seal := newest.Seal
		if len(plain) > packed {
			seal = newest.Pack
		}
		fresh, err := seal(label, plain)
		return fresh, err == nil, err
	}
}

// rewrapAll encrypts every version of every secret of every tenant with the first key.
func (s *Store) rewrapAll(ctx context.Context, keys *secret.Keyring) (int, error) {
	var all []record
	if err := s.each(ctx, func(r record) { all = append(all, r) }); err != nil {
		return 0, err
	}
	n := 0
	for _, r := range all {
		for _, v := range r.Versions {
			if v.Key == keys.ID() {
				continue
			}
			done, err := s.rewrap(ctx, r, v)
			if err != nil {
				return n, fmt.Errorf("version %d of the secret %s: %w", v.Number, r.name, err)
			}
			if done {
				n++
			}
		}
	}
	return n, nil
}

// rewrap reports false for a version that was removed meanwhile.
func (s *Store) rewrap(ctx context.Context, r record, old Version) (done bool, err error) {
	plain, err := s.open(ctx, r.tenant, r.name, old)
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	fresh, err := s.seal(ctx, r.tenant, r.name, old, plain)
	if err != nil {
		return false, err
	}
	unused := old
	err = s.store.Update(ctx, func(tx state.Tx) error {
		unused, done = fresh, false
		now, ok, err := load(tx, r.tenant, r.name)
		if err != nil || !ok {
			return err
		}
		i := slices.IndexFunc(now.Versions, func(v Version) bool { return v.Content == old.Content })
		if i < 0 {
			return nil
		}
		unused, now.Versions[i], done = old, fresh, true
		return state.Put(tx, recordKey(r.tenant, r.name), now)
	})
	if err != nil {
		unused = fresh
	}
	if derr := s.blobs.Delete(context.WithoutCancel(ctx), blobPrefix(r.tenant, r.name)+unused.Content); err == nil {
		err = derr
	}
	return done, err
}
