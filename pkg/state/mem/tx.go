package mem

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix"
	"github.com/orch-project/orch/pkg/state"
)

// tx reads a tree, or writes a transaction of one. Entries carry the revision they will have; Get and List show it as 0 meanwhile.
type tx struct {
	state.Budget
	read  *iradix.Tree
	write *iradix.Txn
	next  state.Rev

	changed bool
	touched map[string]struct{} // keys written or deleted, for the watches
	fences  []*state.Lease
}

func (t *tx) root() *iradix.Node {
	if t.write != nil {
		return t.write.Root()
	}
	return t.read.Root()
}

func (t *tx) show(v any) state.Entry {
	e := v.(state.Entry)
	if t.write != nil && e.Rev == t.next {
		e.Rev = 0
	}
	return e
}

func (t *tx) Get(key string) (state.Entry, error) {
	if t.write != nil {
		t.Op(key, 0)
	}
	v, ok := t.root().Get([]byte(key))
	if !ok {
		return state.Entry{}, fmt.Errorf("%s: %w", key, state.ErrNotFound)
	}
	return t.show(v), nil
}

func (t *tx) List(prefix string) iter.Seq2[state.Entry, error] {
	return func(yield func(state.Entry, error) bool) {
		it := t.snapshot()
		it.SeekPrefix([]byte(prefix))
		for _, v, ok := it.Next(); ok; _, v, ok = it.Next() {
			if !yield(t.show(v), nil) {
				return
			}
		}
	}
}

func (t *tx) Keys(prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for e := range t.List(prefix) {
			if !yield(e.Key, nil) {
				return
			}
		}
	}
}

func (t *tx) Range(from, to string) iter.Seq2[state.Entry, error] {
	return func(yield func(state.Entry, error) bool) {
		it := t.snapshot()
		it.SeekLowerBound([]byte(from))
		for _, v, ok := it.Next(); ok; _, v, ok = it.Next() {
			e := t.show(v)
			if e.Key >= to || !yield(e, nil) {
				return
			}
		}
	}
}

// snapshot iterates over what is there now, whatever the loop's body writes: Clone makes later writes copy the nodes.
func (t *tx) snapshot() *iradix.Iterator {
	if t.write != nil {
		return t.write.Clone().Root().Iterator()
	}
	return t.read.Root().Iterator()
}

func (t *tx) Put(key string, value []byte) error {
	if t.write == nil {
		return state.ErrReadOnly
	}
	if err := t.CheckPut(key, value); err != nil {
		return err
	}
	t.touch(key)
	t.write.Insert([]byte(key), state.Entry{Key: key, Value: slices.Clone(value), Rev: t.next})
	return nil
}

func (t *tx) Delete(key string) error {
	if t.write == nil {
		return state.ErrReadOnly
	}
	t.Op(key, 0)
	if _, ok := t.write.Delete([]byte(key)); ok {
		t.touch(key)
	}
	return nil
}

func (t *tx) DeletePrefix(prefix string) error {
	switch {
	case t.write == nil:
		return state.ErrReadOnly
	case prefix == "":
		return fmt.Errorf("cannot delete the empty prefix")
	}
	t.Op("prefix "+prefix, len(prefix))
	for k := range t.Keys(prefix) {
		t.touch(k)
	}
	t.write.DeletePrefix([]byte(prefix))
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

func (t *tx) touch(key string) {
	t.changed = true
	if t.touched == nil {
		t.touched = make(map[string]struct{})
	}
	t.touched[key] = struct{}{}
}

// changes is what the watches are told after the commit.
func (t *tx) changes() []state.Change {
	cs := make([]state.Change, 0, len(t.touched))
	for k := range t.touched {
		if v, ok := t.write.Root().Get([]byte(k)); ok {
			cs = append(cs, state.Change{Entry: v.(state.Entry)})
		} else {
			cs = append(cs, state.Change{Entry: state.Entry{Key: k, Rev: t.next}, Deleted: true})
		}
	}
	slices.SortFunc(cs, func(a, b state.Change) int { return strings.Compare(a.Key, b.Key) })
	return cs
}
