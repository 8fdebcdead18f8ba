package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/state"
)

// ErrNotEmpty refuses to write into a store that holds something.
var ErrNotEmpty = errors.New("the store is not empty")

// Options of Restore and Copy.
type Options struct {
	// Overwrite removes what the store holds first.
	Overwrite bool
}

// Restore writes a backup into a store. The backup is read twice: nothing is written before all of it is known to be whole. A restore that
// is interrupted leaves the store marked (see state.SchemaOf), so that nobody works on half of it.
func Restore(ctx context.Context, s state.Store, backup io.ReadSeeker, o Options) (Summary, error) {
	at, err := backup.Seek(0, io.SeekCurrent)
	if err != nil {
		return Summary{}, fmt.Errorf("cannot read the backup: %w", err)
	}
	sum, err := Read(backup, nil)
	if err != nil {
		return sum, err
	}
	if sum.Schema > state.Schema {
		return sum, &state.NewerError{Has: sum.Schema, Knows: state.Schema}
	}
	if _, err := backup.Seek(at, io.SeekStart); err != nil {
		return sum, fmt.Errorf("cannot read the backup: %w", err)
	}
	return sum, fill(ctx, s, o, func(put func(key string, value []byte) error) error {
		_, err := Read(backup, put)
		return err
	})
}

// Copy writes everything that one store holds into another, and compares.
func Copy(ctx context.Context, from, to state.Store, o Options) (Summary, error) {
	var sum Summary
	var err error
	if sum.Schema, err = state.SchemaOf(ctx, from); err != nil {
		return sum, err
	}
	if sum.Schema > state.Schema {
		return sum, &state.NewerError{Has: sum.Schema, Knows: state.Schema}
	}
	if held, err := from.Holders(ctx, ""); err != nil || len(held) > 0 {
		return sum, inUse(err, held)
	}
	want := newDigest()
	err = fill(ctx, to, o, func(put func(key string, value []byte) error) error {
		return entries(ctx, from, func(key string, value []byte) error {
			want.add(key, value)
			sum.Entries++
			sum.Bytes += int64(len(key) + len(value))
			return put(key, value)
		})
	})
	if err != nil {
		return sum, err
	}
	got := newDigest()
	if err := entries(ctx, to, func(key string, value []byte) error { got.add(key, value); return nil }); err != nil {
		return sum, err
	}
	if got.text() != want.text() {
		return sum, errors.New("what is in the new store differs from the old one: was either used meanwhile?")
	}
	sum.SHA256 = want.text()
	return sum, nil
}

func inUse(err error, held []state.Holder) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("the store is in use: %w", &state.HeldError{Holder: held[0]})
}

// fill writes entries in batches between two marks.
func fill(ctx context.Context, s state.Store, o Options, each func(put func(key string, value []byte) error) error) error {
	if held, err := s.Holders(ctx, ""); err != nil || len(held) > 0 {
		return inUse(err, held)
	}
	kinds, err := kindsOf(ctx, s)
	if err != nil {
		return err
	}
	// The name of the master key alone is what a first look at a new store leaves.
	if !o.Overwrite && slices.ContainsFunc(kinds, func(k string) bool { return k != "masterkey" }) {
		return ErrNotEmpty
	}
	if err := state.BeginRestore(ctx, s); err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := remove(ctx, s, kind); err != nil {
			return fmt.Errorf("cannot empty the store: %w", err)
		}
	}
	b := &batch{ctx: ctx, store: s}
	if err := each(b.put); err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	return state.EndRestore(ctx, s, b.schema)
}

// kindsOf returns the first segments of all keys but the schema's.
func kindsOf(ctx context.Context, s state.Store) (kinds []string, err error) {
	err = s.View(ctx, func(tx state.Tx) error {
		kinds = nil
		for key, err := range tx.Keys("") {
			if err != nil {
				return err
			}
			kind, rest, below := strings.Cut(key, "/")
			if below && rest != "" {
				kind += "/"
			}
			if key != state.SchemaKey && (len(kinds) == 0 || kinds[len(kinds)-1] != kind) {
				kinds = append(kinds, kind)
			}
		}
		return nil
	})
	return kinds, err
}

func remove(ctx context.Context, s state.Store, kind string) error {
	return s.Update(ctx, func(tx state.Tx) error {
		if strings.HasSuffix(kind, "/") {
			return tx.DeletePrefix(kind)
		}
		return tx.Delete(kind)
	})
}

// batch gathers entries into transactions that every store takes.
type batch struct {
	ctx    context.Context
	store  state.Store
	keys   []string
	values [][]byte
	size   int
	schema []byte // the record of the schema, which is written last
}

func (b *batch) put(key string, value []byte) error {
	if key == state.SchemaKey {
		b.schema = append([]byte{}, value...)
		return nil
	}
	if n := len(key) + len(value); len(b.keys) == state.MaxOps || len(b.keys) > 0 && b.size+n > state.MaxTxBytes {
		if err := b.flush(); err != nil {
			return err
		}
	}
	b.keys, b.values = append(b.keys, key), append(b.values, append([]byte{}, value...))
	b.size += len(key) + len(value)
	return nil
}

func (b *batch) flush() error {
	if len(b.keys) == 0 {
		return nil
	}
	err := b.store.Update(b.ctx, func(tx state.Tx) error {
		for i, key := range b.keys {
			if err := tx.Put(key, b.values[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot write into the store: %w", err)
	}
	b.keys, b.values, b.size = nil, nil, 0
	return nil
}
