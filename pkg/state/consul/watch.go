package consul

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/pkg/state"
)

// watchTime is how long one blocking query waits (https://developer.hashicorp.com/consul/api-docs/features/blocking).
const watchTime = 55 * time.Second

// Watch implements state.Store by blocking queries over the whole prefix, so what is watched should be small. Each holds one of the few connections
// that Consul grants: watch one prefix for all rather than one for each. Interruptions of
// Consul are waited out; only a refusal ends the watch.
func (s *Store) Watch(ctx context.Context, prefix string, from state.Rev) iter.Seq2[state.Change, error] {
	return func(yield func(state.Change, error) bool) {
		ctx, cancel := s.during(ctx)
		defer cancel()
		known := make(map[string]uint64) // key → index, of what exists
		index := uint64(0)
		first := true
		for failures := 0; ; {
			if ctx.Err() != nil {
				yield(state.Change{}, context.Cause(ctx))
				return
			}
			q := s.read(ctx)
			q.WaitIndex, q.WaitTime = index, watchTime
			pairs, meta, err := s.client.KV().List(s.kv(prefix), q)
			if err != nil {
				if ctx.Err() == nil && !transient(err) {
					yield(state.Change{}, s.unavailable(err))
					return
				}
				_ = pause(ctx, failures) // the loop sees the end of ctx
				failures++
				continue
			}
			failures = 0
			for _, c := range s.changes(known, pairs, meta.LastIndex) {
				if first && c.Rev <= from {
					continue
				}
				if !yield(c, nil) {
					return
				}
			}
			first = false
			if meta.LastIndex < index {
				index = 0 // Consul was restored from a snapshot
			} else {
				index = max(meta.LastIndex, 1)
			}
		}
	}
}

// changes compares a list with what is known, and brings that up to date.
func (s *Store) changes(known map[string]uint64, pairs api.KVPairs, at uint64) []state.Change {
	var out []state.Change
	present := make(map[string]bool, len(pairs))
	for _, p := range pairs {
		e := s.entry(p)
		present[e.Key] = true
		if known[e.Key] != p.ModifyIndex {
			known[e.Key] = p.ModifyIndex
			out = append(out, state.Change{Entry: e})
		}
	}
	for k := range known {
		if !present[k] {
			delete(known, k)
			out = append(out, state.Change{Entry: state.Entry{Key: k, Rev: state.Rev(at)}, Deleted: true})
		}
	}
	slices.SortFunc(out, func(a, b state.Change) int {
		return cmp.Or(cmp.Compare(a.Rev, b.Rev), strings.Compare(a.Key, b.Key))
	})
	return out
}
