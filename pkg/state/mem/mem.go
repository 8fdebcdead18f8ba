// Package mem is a state.Store in memory: for tests, dry runs and benchmarks. Nothing survives it.
package mem

import (
	"context"
	"fmt"
	"iter"
	"sync"

	iradix "github.com/hashicorp/go-immutable-radix"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/internal/local"
)

// Options for tests. The zero value is a well-behaved store.
type Options struct {
	// Again is asked after fn of an Update has run without error for the nth time (from 1): true discards its writes and runs it again,
	// as a conflict would.
	Again func(n int) bool
	// Fault is asked before a View or Update commits ("view", "update"); an error fails it without effect.
	Fault func(op string) error
}

// Store keeps an immutable tree: a View reads the tree of its moment without a lock, Updates run one after another.
type Store struct {
	opts   Options
	hub    local.Hub
	leases local.Leases
	gens   map[string]uint64

	writing sync.Mutex // held while fn of an Update runs

	mu     sync.RWMutex
	tree   *iradix.Tree
	rev    state.Rev
	closed bool
}

var _ state.Store = (*Store)(nil)

// New returns an empty store.
func New(opts Options) *Store {
	s := &Store{opts: opts, tree: iradix.New(), gens: make(map[string]uint64)}
	var mu sync.Mutex
	s.leases.Next = func(_ context.Context, key string) (uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		s.gens[key]++
		return s.gens[key], nil
	}
	return s
}

func (s *Store) now() (*iradix.Tree, state.Rev, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, 0, state.ErrClosed
	}
	return s.tree, s.rev, nil
}

func (s *Store) fault(op string) error {
	if s.opts.Fault == nil {
		return nil
	}
	return s.opts.Fault(op)
}

// View implements state.Store.
func (s *Store) View(ctx context.Context, fn func(state.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	tree, _, err := s.now()
	if err != nil {
		return err
	}
	if err := s.fault("view"); err != nil {
		return err
	}
	return fn(&tx{read: tree})
}

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, fn func(state.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		tree, rev, err := s.now()
		if err != nil {
			return err
		}
		t := &tx{write: tree.Txn(), next: rev + 1}
		if err := fn(t); err != nil {
			return err
		}
		if err := t.Err(); err != nil {
			return fmt.Errorf("cannot commit: %w", err)
		}
		if s.opts.Again != nil && s.opts.Again(n) {
			continue
		}
		if err := s.fault("update"); err != nil {
			return err
		}
		for _, l := range t.fences {
			if err := s.leases.Check(l); err != nil {
				return err
			}
		}
		if t.changed {
			return s.commit(t)
		}
		return nil
	}
}

func (s *Store) commit(t *tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return state.ErrClosed
	}
	s.tree, s.rev = t.write.CommitOnly(), t.next
	if s.hub.Watching() { // a watch that begins now sees the commit in its snapshot
		s.hub.Publish(t.changes())
	}
	return nil
}

// Watch implements state.Store.
func (s *Store) Watch(ctx context.Context, prefix string, from state.Rev) iter.Seq2[state.Change, error] {
	return s.hub.Watch(ctx, prefix, from, func() ([]state.Entry, state.Rev, error) {
		tree, rev, err := s.now()
		if err != nil {
			return nil, 0, err
		}
		var es []state.Entry
		for e, err := range (&tx{read: tree}).List(prefix) {
			if err != nil {
				return nil, 0, err
			}
			es = append(es, e)
		}
		return es, rev, nil
	})
}

// Lease implements state.Store.
func (s *Store) Lease(ctx context.Context, key string, opts state.LeaseOptions) (*state.Lease, error) {
	return s.leases.Take(ctx, key, opts)
}

// Holders implements state.Store.
func (s *Store) Holders(_ context.Context, prefix string) ([]state.Holder, error) {
	return s.leases.Holders(prefix)
}

// BreakLease implements state.Store.
func (s *Store) BreakLease(_ context.Context, key string) error { return s.leases.Break(key) }

// Close implements state.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.leases.Close()
	s.hub.Close()
	return nil
}
