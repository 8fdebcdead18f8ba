package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Schema is the version of what all records together mean: which there are and where. Records have versions of their own besides (see
// Versioned), so this changes only when one version of orch could misread the store of another.
//
//	1  until secrets had tenants
//	2  secrets below secret/ and in blobs; no record "schema" means 1, or an empty store
const Schema = 2

// SchemaKey is the key of the record.
const SchemaKey = "schema"

type schemaRecord struct {
	Version int       `json:"version"`
	Since   time.Time `json:"since"`
	By      string    `json:"by,omitempty"` // version of orch
	// Restoring marks a store that a restore has begun to fill and not ended.
	Restoring bool `json:"restoring,omitempty"`
}

// ErrRestoring is returned for a store that a restore has begun to fill and not ended.
var ErrRestoring = errors.New("a restore into this store was interrupted, so it holds a part only: restore again with --overwrite")

// BeginRestore marks a store as being filled: until EndRestore its schema cannot be read.
func BeginRestore(ctx context.Context, s Store) error {
	r := schemaRecord{Since: time.Now().UTC(), Restoring: true}
	if err := s.Update(ctx, func(tx Tx) error { return Put(tx, SchemaKey, r) }); err != nil {
		return fmt.Errorf("cannot mark the store as being filled: %w", err)
	}
	return nil
}

// EndRestore writes the schema that the restored content has, as it was stored; none for content of before there was a record.
func EndRestore(ctx context.Context, s Store, schema []byte) error {
	err := s.Update(ctx, func(tx Tx) error {
		if schema == nil {
			return tx.Delete(SchemaKey)
		}
		return tx.Put(SchemaKey, schema)
	})
	if err != nil {
		return fmt.Errorf("cannot end the filling of the store: %w", err)
	}
	return nil
}

// NewerError says that the store belongs to a newer version of orch. It is ErrNewer.
type NewerError struct{ Has, Knows int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the store has schema %d, this version of orch knows %d: a newer version has changed it, and an older one could damage it", e.Has, e.Knows)
}

func (e *NewerError) Is(target error) bool { return target == ErrNewer }

// Migration brings a store to version To from the one before. Interrupted, it is run again.
type Migration struct {
	To int
	Do func(ctx context.Context) error
}

// SchemaOf a store: 0 if it is empty, 1 if it holds something and does not say what.
func SchemaOf(ctx context.Context, s Store) (version int, err error) {
	err = s.View(ctx, func(tx Tx) error {
		version = 0
		r, ok, err := Find[schemaRecord](tx, SchemaKey)
		if ok && r.Restoring {
			return ErrRestoring
		}
		if ok || err != nil {
			version = r.Version
			return err
		}
		for key, err := range tx.Keys("") {
			if err != nil {
				return err
			}
			if key != "masterkey" { // it is claimed first
				version = 1
				break
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("cannot read the schema of the store: %w", err)
	}
	return version, nil
}

// Migrate brings a store to the present Schema and returns what it had; a *NewerError for a store of a newer version. Of several servers
// that start at once, one migrates and the others wait. An empty store is only marked.
func Migrate(ctx context.Context, s Store, by string, steps ...Migration) (from int, err error) {
	from, err = SchemaOf(ctx, s)
	switch {
	case err != nil:
		return from, err
	case from > Schema:
		return from, &NewerError{Has: from, Knows: Schema}
	case from == Schema:
		return from, nil
	case from == 0:
		return from, setSchema(ctx, s, Schema, by)
	}
	lease, err := s.Lease(ctx, "schema", LeaseOptions{Wait: time.Minute})
	if err != nil {
		return from, fmt.Errorf("cannot migrate the store: %w", err)
	}
	defer lease.Release(context.WithoutCancel(ctx))
	under := Fenced(s, lease)
	if from, err = SchemaOf(ctx, s); err != nil {
		return from, err
	}
	for at := from; at < Schema; at++ {
		for _, m := range steps {
			if m.To != at+1 {
				continue
			}
			if err := m.Do(ctx); err != nil {
				return from, fmt.Errorf("cannot migrate the store from schema %d to %d (what was done stays, the next start goes on): %w", at, at+1, err)
			}
		}
		if err := setSchema(ctx, under, at+1, by); err != nil {
			return from, err
		}
	}
	return from, nil
}

func setSchema(ctx context.Context, s Store, version int, by string) error {
	err := s.Update(ctx, func(tx Tx) error {
		r, ok, err := Find[schemaRecord](tx, SchemaKey)
		if err != nil || ok && r.Version >= version {
			return err
		}
		return Put(tx, SchemaKey, schemaRecord{Version: version, Since: time.Now().UTC(), By: by})
	})
	if err != nil {
		return fmt.Errorf("cannot note the schema %s: %w", strconv.Itoa(version), err)
	}
	return nil
}
