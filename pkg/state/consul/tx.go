package consul

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/pkg/state"
)

// tx reads from Consul and, in an Update, remembers what was got and what is to be written; the commit checks the former and does the
// latter.
type tx struct {
	state.Budget
	s     *Store
	ctx   context.Context
	write bool

	got    map[string]uint64  // key → index it had; 0: absent
	puts   map[string]*[]byte // key → value; nil: delete
	trees  []string           // deleted prefixes, in order; puts come after them
	fences []*state.Lease
	turns  map[string]*hotKey // keys on which this transaction has the turn
	recall bool               // something was not read but remembered
	failed error              // Consul could not be read: fn cannot swallow that
}

func (t *tx) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

func missing(key string) error { return fmt.Errorf("%s: %w", key, state.ErrNotFound) }

// own returns what the transaction itself has made of a key.
func (t *tx) own(key string) (value []byte, exists, known bool) {
	if v, ok := t.puts[key]; ok {
		if v == nil {
			return nil, false, true
		}
		return *v, true, true
	}
	for _, p := range t.trees {
		if strings.HasPrefix(key, p) {
			return nil, false, true
		}
	}
	return nil, false, false
}

func (t *tx) Get(key string) (state.Entry, error) {
	if t.write {
		t.Op(key, 0)
		if v, exists, known := t.own(key); known {
			if !exists {
				return state.Entry{}, missing(key)
			}
			return state.Entry{Key: key, Value: v}, nil
		}
		if e, err, ok := t.remembered(key); ok {
			return e, err
		}
	}
	var pair *api.KVPair
	if err := t.s.retry(t.ctx, func(ctx context.Context) (err error) {
		pair, _, err = t.s.client.KV().Get(t.s.kv(key), t.s.read(ctx))
		return err
	}); err != nil {
		return state.Entry{}, t.fail(err)
	}
	index := uint64(0)
	if pair != nil {
		index = pair.ModifyIndex
	}
	if t.write {
		if before, again := t.got[key]; again && before != index {
			// Another has changed it since the first Get: the commit will fail, as it must.
			index = before
		}
		t.got[key] = index
	}
	if pair == nil {
		return state.Entry{}, missing(key)
	}
	return t.s.entry(pair), nil
}

// remembered waits for the turn on a key over which transactions have come into conflict, and returns what is known of it.
func (t *tx) remembered(key string) (e state.Entry, err error, ok bool) {
	k := t.turns[key]
	if _, again := t.got[key]; k == nil && !again {
		if k = t.s.hot.lock(t.ctx, key); k != nil {
			t.turns[key] = k
		}
	}
	if k == nil || !k.known {
		return e, nil, false
	}
	t.recall = true
	t.got[key] = k.index
	if k.index == 0 {
		return e, missing(key), true
	}
	return state.Entry{Key: key, Value: k.value, Rev: state.Rev(k.index)}, nil, true
}

// done ends the turns. After a commit at this index the next in turn knows what was written; after a failure (0) nobody knows anything.
func (t *tx) done(index uint64) {
	for key, k := range t.turns {
		v, written := t.puts[key]
		_, _, inTree := t.own(key)
		switch {
		case index == 0:
			k.known = false
		case written && v != nil:
			k.known, k.value, k.index = true, *v, index
		case written || inTree:
			k.known, k.value, k.index = true, nil, 0
		}
		t.s.hot.unlock(k)
	}
	t.turns = nil
}

func (s *Store) entry(p *api.KVPair) state.Entry {
	return state.Entry{Key: strings.TrimPrefix(p.Key, s.root+"kv/"), Value: p.Value, Rev: state.Rev(p.ModifyIndex)}
}

func (t *tx) List(prefix string) iter.Seq2[state.Entry, error] {
	return func(yield func(state.Entry, error) bool) {
		var pairs api.KVPairs
		if err := t.s.retry(t.ctx, func(ctx context.Context) (err error) {
			pairs, _, err = t.s.client.KV().List(t.s.kv(prefix), t.s.read(ctx))
			return err
		}); err != nil {
			yield(state.Entry{}, t.fail(err))
			return
		}
		stored := make(map[string]*api.KVPair, len(pairs))
		keys := make([]string, 0, len(pairs))
		for _, p := range pairs {
			key := strings.TrimPrefix(p.Key, t.s.root+"kv/")
			stored[key] = p
			keys = append(keys, key)
		}
		for _, key := range t.overlay(prefix, keys) {
			e := state.Entry{Key: key}
			if v, exists, known := t.own(key); !known {
				e = t.s.entry(stored[key])
			} else if !exists {
				continue // deleted by the loop's body
			} else {
				e.Value = v
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// overlay adds and removes, in a list of stored keys, those that the transaction writes and deletes, and sorts it.
func (t *tx) overlay(prefix string, keys []string) []string {
	if len(t.puts)+len(t.trees) > 0 {
		keys = slices.DeleteFunc(keys, func(k string) bool { _, _, known := t.own(k); return known })
		for k, v := range t.puts {
			if v != nil && strings.HasPrefix(k, prefix) {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

func (t *tx) keys(prefix string) ([]string, error) {
	var keys []string
	err := t.s.retry(t.ctx, func(ctx context.Context) (err error) {
		keys, _, err = t.s.client.KV().Keys(t.s.kv(prefix), "", t.s.read(ctx))
		return err
	})
	if err != nil {
		return nil, t.fail(err)
	}
	for i := range keys {
		keys[i] = strings.TrimPrefix(keys[i], t.s.root+"kv/")
	}
	return t.overlay(prefix, keys), nil
}

func (t *tx) Keys(prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		keys, err := t.keys(prefix)
		if err != nil {
			yield("", err)
			return
		}
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

func (t *tx) Range(from, to string) iter.Seq2[state.Entry, error] {
	return func(yield func(state.Entry, error) bool) {
		n := 0
		for n < min(len(from), len(to)) && from[n] == to[n] {
			n++
		}
		keys, err := t.keys(from[:n])
		if err != nil {
			yield(state.Entry{}, err)
			return
		}
		for _, k := range keys {
			if k < from || k >= to {
				continue
			}
			e, err := t.peek(k)
			if errors.Is(err, state.ErrNotFound) {
				continue // deleted meanwhile
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// peek is Get without the commit depending on it.
func (t *tx) peek(key string) (state.Entry, error) {
	if v, exists, known := t.own(key); known {
		if !exists {
			return state.Entry{}, missing(key)
		}
		return state.Entry{Key: key, Value: v}, nil
	}
	return (&tx{s: t.s, ctx: t.ctx}).Get(key)
}

func (t *tx) Put(key string, value []byte) error {
	if !t.write {
		return state.ErrReadOnly
	}
	if err := t.CheckPut(key, value); err != nil {
		return err
	}
	v := slices.Clone(value)
	t.puts[key] = &v
	return nil
}

func (t *tx) Delete(key string) error {
	if !t.write {
		return state.ErrReadOnly
	}
	t.Op(key, 0)
	t.puts[key] = nil
	return nil
}

func (t *tx) DeletePrefix(prefix string) error {
	switch {
	case !t.write:
		return state.ErrReadOnly
	case prefix == "":
		return errors.New("cannot delete the empty prefix")
	}
	t.Op("prefix "+prefix, len(prefix))
	t.trees = append(t.trees, prefix)
	maps.DeleteFunc(t.puts, func(k string, _ *[]byte) bool { return strings.HasPrefix(k, prefix) })
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

// ops returns the operations of the commit: fences and checks first, then deleted trees, then writes. A key that was got and is
// written needs one operation, unless a deleted tree would change it in between.
func (t *tx) ops() ([]*api.KVTxnOp, error) {
	var ops []*api.KVTxnOp
	for _, l := range t.fences {
		op, err := t.s.live.fence(t.s, l)
		if err != nil {
			return nil, err
		}
		ops = append(ops, op)
	}
	inTree := func(k string) bool {
		return slices.ContainsFunc(t.trees, func(p string) bool { return strings.HasPrefix(k, p) })
	}
	for _, k := range slices.Sorted(maps.Keys(t.got)) {
		if _, written := t.puts[k]; written && !inTree(k) {
			continue
		}
		if index := t.got[k]; index == 0 {
			ops = append(ops, &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: t.s.kv(k)})
		} else {
			ops = append(ops, &api.KVTxnOp{Verb: api.KVCheckIndex, Key: t.s.kv(k), Index: index})
		}
	}
	for _, p := range t.trees {
		ops = append(ops, &api.KVTxnOp{Verb: api.KVDeleteTree, Key: t.s.kv(p)})
	}
	for _, k := range slices.Sorted(maps.Keys(t.puts)) {
		v := t.puts[k]
		index, got := t.got[k]
		cas := got && !inTree(k)
		switch {
		case v != nil && cas:
			ops = append(ops, &api.KVTxnOp{Verb: api.KVCAS, Key: t.s.kv(k), Value: *v, Index: index})
		case v != nil:
			ops = append(ops, &api.KVTxnOp{Verb: api.KVSet, Key: t.s.kv(k), Value: *v})
		case cas && index == 0:
			ops = append(ops, &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: t.s.kv(k)})
		case cas:
			ops = append(ops, &api.KVTxnOp{Verb: api.KVDeleteCAS, Key: t.s.kv(k), Index: index})
		default:
			ops = append(ops, &api.KVTxnOp{Verb: api.KVDelete, Key: t.s.kv(k)})
		}
	}
	return ops, nil
}
