package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/orch-project/orch/pkg/state"
)

// tx reads the bucket, or writes it directly and remembers how to undo that: an Update that fails must not take its group with it.
type tx struct {
	state.Budget
	kv    *bbolt.Bucket
	path  string
	write bool
	rev   state.Rev // what its writes get

	log    []undo
	fences []*state.Lease
	failed error // the file could not be read or written: fn cannot swallow that
}

type undo struct {
	key string
	old []byte // with its revision; nil: did not exist
}

const revSize = 8

// entry takes copies: bbolt's own slices end with the transaction, and touching them may fault if the file is damaged.
func (t *tx) entry(k, v []byte) (state.Entry, error) {
	if len(v) < revSize {
		return state.Entry{}, t.fail(fmt.Errorf("%w: the record %q is cut", state.ErrCorrupt, k))
	}
	e := state.Entry{Key: string(k), Value: v[revSize:], Rev: state.Rev(binary.BigEndian.Uint64(v))}
	if t.write && e.Rev == t.rev {
		e.Rev = 0
	}
	return e, nil
}

func (t *tx) fail(err error) error {
	err = explain(t.path, err)
	if t.failed == nil {
		t.failed = err
	}
	return err
}

func (t *tx) Get(key string) (state.Entry, error) {
	if t.write {
		t.Op(key, 0)
	}
	var v []byte
	if err := guard(func() error { v = slices.Clone(t.kv.Get([]byte(key))); return nil }); err != nil {
		return state.Entry{}, t.fail(err)
	}
	if v == nil {
		return state.Entry{}, fmt.Errorf("%s: %w", key, state.ErrNotFound)
	}
	return t.entry([]byte(key), v)
}

// walk calls visit with copies of the keys from on, and of the values if they are wanted, until it returns false. What visit writes may or
// may not be visited.
func (t *tx) walk(from string, values bool, visit func(k, v []byte) bool) error {
	c := t.kv.Cursor()
	var key, value []byte
	seen := -1
	step := func() error {
		var k, v []byte
		switch {
		case seen < 0:
			k, v = c.Seek([]byte(from))
		case seen == len(t.log):
			k, v = c.Next()
		default: // a write may have moved the page
			if k, v = c.Seek(key); k != nil && bytes.Equal(k, key) {
				k, v = c.Next()
			}
		}
		if seen >= 0 && k != nil && bytes.Compare(k, key) <= 0 {
			return fmt.Errorf("%w: the keys are not in order", state.ErrCorrupt) // and a ring of pages would never end
		}
		seen = len(t.log)
		key = slices.Clone(k)
		if values {
			value = slices.Clone(v)
		}
		return nil
	}
	for {
		if err := guard(step); err != nil {
			return t.fail(err)
		}
		if key == nil || !visit(key, value) {
			return nil
		}
	}
}

func (t *tx) List(prefix string) iter.Seq2[state.Entry, error] {
	return t.entries(prefix, func(k []byte) bool { return bytes.HasPrefix(k, []byte(prefix)) })
}

func (t *tx) Range(from, to string) iter.Seq2[state.Entry, error] {
	return t.entries(from, func(k []byte) bool { return string(k) < to })
}

func (t *tx) entries(from string, in func([]byte) bool) iter.Seq2[state.Entry, error] {
	return func(yield func(state.Entry, error) bool) {
		stopped := false
		err := t.walk(from, true, func(k, v []byte) bool {
			if !in(k) {
				return false
			}
			e, err := t.entry(k, v)
			stopped = !yield(e, err) || err != nil
			return !stopped
		})
		if err != nil && !stopped {
			yield(state.Entry{}, err)
		}
	}
}

func (t *tx) Keys(prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := t.walk(prefix, false, func(k, _ []byte) bool {
			return bytes.HasPrefix(k, []byte(prefix)) && yield(string(k), nil)
		})
		if err != nil {
			yield("", err)
		}
	}
}

func (t *tx) Put(key string, value []byte) error {
	if !t.write {
		return state.ErrReadOnly
	}
	if err := t.CheckPut(key, value); err != nil {
		return err
	}
	rec := make([]byte, 0, revSize+len(value))
	rec = append(binary.BigEndian.AppendUint64(rec, uint64(t.rev)), value...)
	return t.set(key, rec)
}

func (t *tx) Delete(key string) error {
	if !t.write {
		return state.ErrReadOnly
	}
	t.Op(key, 0)
	return t.set(key, nil)
}

func (t *tx) DeletePrefix(prefix string) error {
	switch {
	case !t.write:
		return state.ErrReadOnly
	case prefix == "":
		return fmt.Errorf("cannot delete the empty prefix")
	}
	t.Op("prefix "+prefix, len(prefix))
	var keys []string
	for k, err := range t.Keys(prefix) {
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := t.set(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// set writes a record, or deletes it if rec is nil.
func (t *tx) set(key string, rec []byte) error {
	err := guard(func() error {
		k := []byte(key)
		old := slices.Clone(t.kv.Get(k))
		if old == nil && rec == nil {
			return nil
		}
		t.log = append(t.log, undo{key, old})
		if rec == nil {
			return t.kv.Delete(k)
		}
		return t.kv.Put(k, rec)
	})
	if err != nil {
		return t.fail(err)
	}
	return nil
}

func (t *tx) Fence(l *state.Lease) {
	key := ""
	if l != nil {
		key = l.Key()
	}
	t.Op("fence "+key, 0)
	t.fences = append(t.fences, l)
}

// undo takes back what was written. It returns an error if that is not certain.
func (t *tx) undo() error {
	if t.failed != nil {
		return t.failed
	}
	for _, u := range slices.Backward(t.log) {
		err := guard(func() error {
			if u.old == nil {
				return t.kv.Delete([]byte(u.key))
			}
			return t.kv.Put([]byte(u.key), u.old)
		})
		if err != nil {
			return explain(t.path, err)
		}
	}
	return nil
}

// changes is what the watches are told after the commit.
func (t *tx) changes() (cs []state.Change, err error) {
	told := make(map[string]bool, len(t.log))
	err = guard(func() error {
		for _, u := range t.log {
			if told[u.key] {
				continue
			}
			told[u.key] = true
			if v := t.kv.Get([]byte(u.key)); v == nil {
				cs = append(cs, state.Change{Entry: state.Entry{Key: u.key, Rev: t.rev}, Deleted: true})
			} else {
				cs = append(cs, state.Change{Entry: state.Entry{Key: u.key, Value: slices.Clone(v[revSize:]), Rev: t.rev}})
			}
		}
		return nil
	})
	return cs, err
}
