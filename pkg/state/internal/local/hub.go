// Package local holds what stores inside one process share: the hub that wakes watches, and the table of leases.
package local

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/orch-project/orch/pkg/state"
)

// Hub passes committed changes to watches. The zero value is ready.
type Hub struct {
	mu     sync.Mutex
	subs   map[*subscriber]struct{}
	closed bool
}

// A subscriber keeps the last change per key until its watch takes it, so a slow watch costs no more than the keys it watches.
type subscriber struct {
	prefix  string
	pending map[string]state.Change
	wake    chan struct{} // one slot
	closed  bool
}

// Publish passes on the changes of a commit. Calls must be in the order of the commits.
func (h *Hub) Publish(changes []state.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		woken := false
		for _, c := range changes {
			if strings.HasPrefix(c.Key, s.prefix) {
				s.pending[c.Key] = c
				woken = true
			}
		}
		if woken {
			s.signal()
		}
	}
}

// Watching reports whether anybody would see a change; stores spare the collecting otherwise.
func (h *Hub) Watching() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs) > 0
}

// Close ends all watches with ErrClosed.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		s.closed = true
		s.signal()
	}
}

func (s *subscriber) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (h *Hub) add(prefix string) (*subscriber, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, state.ErrClosed
	}
	if h.subs == nil {
		h.subs = make(map[*subscriber]struct{})
	}
	s := &subscriber{prefix: prefix, pending: make(map[string]state.Change), wake: make(chan struct{}, 1)}
	h.subs[s] = struct{}{}
	return s, nil
}

func (h *Hub) remove(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

// take returns the pending changes in the order of their revisions.
func (h *Hub) take(s *subscriber) ([]state.Change, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.closed {
		return nil, state.ErrClosed
	}
	changes := slices.SortedFunc(maps.Values(s.pending), byRev)
	clear(s.pending)
	return changes, nil
}

func byRev(a, b state.Change) int {
	switch {
	case a.Rev < b.Rev:
		return -1
	case a.Rev > b.Rev:
		return 1
	}
	return strings.Compare(a.Key, b.Key)
}

// Watch implements state.Store.Watch. snapshot returns what exists below the prefix and the revision of that moment.
func (h *Hub) Watch(ctx context.Context, prefix string, from state.Rev, snapshot func() ([]state.Entry, state.Rev, error)) iter.Seq2[state.Change, error] {
	return func(yield func(state.Change, error) bool) {
		sub, err := h.add(prefix) // before the snapshot, so that nothing falls between
		if err != nil {
			yield(state.Change{}, err)
			return
		}
		defer h.remove(sub)
		entries, at, err := snapshot()
		if err != nil {
			yield(state.Change{}, err)
			return
		}
		var first []state.Change
		for _, e := range entries {
			if e.Rev > from {
				first = append(first, state.Change{Entry: e})
			}
		}
		slices.SortFunc(first, byRev)
		for _, c := range first {
			if ctx.Err() != nil {
				break
			}
			if !yield(c, nil) {
				return
			}
		}
		entries, first = nil, nil
		for {
			select {
			case <-ctx.Done():
				yield(state.Change{}, context.Cause(ctx))
				return
			case <-sub.wake:
			}
			changes, err := h.take(sub)
			if err != nil {
				yield(state.Change{}, err)
				return
			}
			for _, c := range changes {
				if c.Rev > at && !yield(c, nil) {
					return
				}
			}
		}
	}
}
