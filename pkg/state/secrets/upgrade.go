package secrets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// oldRecord is a secret of schema 1, below secrets/: one version, sealed in its record under the label "value".
type oldRecord struct {
	Name    string    `json:"name"`
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Note    string    `json:"note,omitempty"`
	Sealed  []byte    `json:"sealed"`
}

const (
	oldPrefix = "secrets/"
	oldLabel  = "value"
)

// Upgrade moves the secrets of schema 1 to where they now are: those of users to the default tenant, what orch has made to its own. They
// keep their version numbers and times. Interrupted, it can be called again.
func (s *Store) Upgrade(ctx context.Context) error {
	var old []state.Record[oldRecord]
	err := s.store.View(ctx, func(tx state.Tx) error {
		old = nil
		for r, err := range state.List[oldRecord](tx, oldPrefix) {
			if err != nil {
				return err
			}
			old = append(old, r)
		}
		return nil
	})
	for _, r := range old {
		if err == nil {
			if err = s.upgrade(ctx, r); err != nil {
				err = fmt.Errorf("the secret %s: %w", r.Value.Name, err)
			}
		}
	}
	return err
}

func (s *Store) upgrade(ctx context.Context, old state.Record[oldRecord]) error {
	o := old.Value
	plain, err := s.Open(ctx, oldLabel, o.Sealed)
	if err != nil {
		return err
	}
	s.opts.Redactor.Add(secret.New(string(plain)))
	tenant, kind, visibility := DefaultTenant, Text, Tenant
	if made(o.Name) {
		tenant, kind = OwnTenant, File
	}
	v := Version{Number: max(o.Version, 1), Kind: kind, Size: len(plain), Created: o.Updated}
	if v, err = s.seal(ctx, tenant, o.Name, v, plain); err != nil {
		return err
	}
	unused := false
	err = s.store.Update(ctx, func(tx state.Tx) error {
		_, ok, err := load(tx, tenant, o.Name)
		if err != nil {
			return err
		}
		if unused = ok; !ok {
			r := record{Created: o.Created, Visibility: visibility, Note: o.Note, Versions: []Version{v}}
			err = errors.Join(enter(tx, tenant, o.Name, visibility), state.Put(tx, recordKey(tenant, o.Name), r))
		}
		return errors.Join(err, tx.Delete(old.Key))
	})
	if err != nil || unused {
		_ = s.blobs.Delete(context.WithoutCancel(ctx), blobPrefix(tenant, o.Name)+v.Content)
	}
	return err
}
