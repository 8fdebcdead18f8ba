// Package bolt is the default state.Store: one bbolt file, used by one process at a time.
//
// Updates run one after another and are committed in groups: while one group is being written to the disk the next gathers, so that
// many small concurrent updates cost few fsyncs and a single one waits for nobody. A commit is on the disk when Update returns.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/internal/local"
)

// Store is an open file.
type Store struct {
	db     *bbolt.DB
	path   string
	hub    local.Hub
	leases local.Leases
	unmark func()

	waiting atomic.Int64 // Updates that want mu: the last of them commits for all
	mu      sync.Mutex   // held while fn of an Update runs, and while a group is written
	group   *group       // open, uncommitted; nil if none
	closed  bool
}

var _ state.Store = (*Store)(nil)

// A group is a transaction of bbolt that several Updates share.
type group struct {
	tx      *bbolt.Tx
	rev     state.Rev
	updates int
	changes []state.Change
	dirty   bool  // something was written
	poison  error // the transaction cannot be trusted any more

	done chan struct{} // closed when committed or failed
	err  error
}

// maxGroup bounds how long the first Update of a group can wait for the last.
const maxGroup = 512

// Path of the file.
func (s *Store) Path() string { return s.path }

// View implements state.Store.
func (s *Store) View(ctx context.Context, fn func(state.Tx) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	btx, err := s.db.Begin(false)
	if err != nil {
		return explain(s.path, err)
	}
	defer btx.Rollback()
	return fn(&tx{kv: btx.Bucket(bucketKV), path: s.path})
}

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, fn func(state.Tx) error) error {
	return s.update(ctx, func(g *group) error {
		t := &tx{kv: g.tx.Bucket(bucketKV), path: s.path, write: true, rev: g.rev + 1}
		done := false
		defer func() {
			if !done { // an error, or a panic of fn, which goes on to its caller
				g.spoil(t.undo())
			}
		}()
		if err := fn(t); err != nil {
			return err
		}
		if err := t.Err(); err != nil {
			return fmt.Errorf("cannot commit: %w", err)
		}
		if t.failed != nil {
			g.spoil(t.failed)
			return t.failed
		}
		for _, l := range t.fences {
			if err := s.leases.Check(l); err != nil {
				return err
			}
		}
		changes, err := t.changes()
		if err != nil {
			t.failed = err
			return explain(s.path, err)
		}
		done = true
		if len(t.log) > 0 {
			g.rev, g.dirty = t.rev, true
			g.changes = append(g.changes, changes...)
		}
		return nil
	})
}

// update runs fn in the open group, commits the group unless another Update follows, and waits for the commit.
func (s *Store) update(ctx context.Context, fn func(*group) error) error {
	s.waiting.Add(1)
	s.mu.Lock()
	s.waiting.Add(-1)
	g, err := s.join(ctx, fn)
	if g == nil {
		return err
	}
	// An Update that failed, or wrote nothing, has read what the others of the group wrote: its result counts only if they are stored.
	<-g.done
	if g.err != nil {
		return g.err
	}
	return err
}

// join is the part of update under the lock. It returns nil if no group is involved.
func (s *Store) join(ctx context.Context, fn func(*group) error) (g *group, err error) {
	defer s.mu.Unlock()
	defer func() {
		if s.group != nil && (s.waiting.Load() == 0 || s.group.updates >= maxGroup || s.group.poison != nil) {
			s.flush()
		}
	}()
	if s.closed {
		return nil, state.ErrClosed
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.group == nil {
		if s.group, err = s.begin(); err != nil {
			return nil, explain(s.path, err)
		}
	}
	s.group.updates++
	return s.group, fn(s.group)
}

func (s *Store) begin() (*group, error) {
	g := &group{done: make(chan struct{})}
	err := guard(func() (err error) {
		if g.tx, err = s.db.Begin(true); err != nil {
			return err
		}
		g.rev = state.Rev(number(g.tx.Bucket(bucketMeta).Get(keyRev)))
		return nil
	})
	if err != nil && g.tx != nil {
		_ = guard(g.tx.Rollback)
	}
	return g, err
}

func (g *group) spoil(err error) {
	if g.poison == nil {
		g.poison = err
	}
}

// flush commits the open group and wakes those who wait for it.
func (s *Store) flush() {
	g := s.group
	s.group = nil
	defer close(g.done)
	g.err = g.poison
	if g.err == nil && !g.dirty {
		_ = guard(g.tx.Rollback)
		return
	}
	if g.err == nil {
		g.err = guard(func() error {
			if err := g.tx.Bucket(bucketMeta).Put(keyRev, bytes8(uint64(g.rev))); err != nil {
				return err
			}
			return g.tx.Commit()
		})
	}
	if g.err != nil {
		_ = guard(g.tx.Rollback) // ErrTxClosed if Commit has done it
		g.err = explain(s.path, g.err)
		return
	}
	if len(g.changes) > 0 {
		s.hub.Publish(g.changes)
	}
}

// Watch implements state.Store.
func (s *Store) Watch(ctx context.Context, prefix string, from state.Rev) iter.Seq2[state.Change, error] {
	return s.hub.Watch(ctx, prefix, from, func() (es []state.Entry, at state.Rev, err error) {
		btx, err := s.db.Begin(false)
		if err != nil {
			return nil, 0, explain(s.path, err)
		}
		defer btx.Rollback()
		at = state.Rev(number(btx.Bucket(bucketMeta).Get(keyRev)))
		for e, err := range (&tx{kv: btx.Bucket(bucketKV), path: s.path}).List(prefix) {
			if err != nil {
				return nil, 0, err
			}
			es = append(es, e)
		}
		return es, at, nil
	})
}

// Lease implements state.Store. The lock on the file keeps other processes out, so leases are the matter of this one;
// their generations are kept in the file.
func (s *Store) Lease(ctx context.Context, key string, opts state.LeaseOptions) (*state.Lease, error) {
	return s.leases.Take(ctx, key, opts)
}

func (s *Store) nextGeneration(ctx context.Context, key string) (gen uint64, err error) {
	if err := state.CheckKey(key); err != nil {
		return 0, err
	}
	err = s.update(ctx, func(g *group) error {
		err := guard(func() error {
			b := g.tx.Bucket(bucketLeases)
			gen = number(b.Get([]byte(key))) + 1
			g.dirty = true
			return b.Put([]byte(key), bytes8(gen))
		})
		if err != nil {
			g.spoil(err)
		}
		return err
	})
	return gen, err
}

// Holders implements state.Store.
func (s *Store) Holders(_ context.Context, prefix string) ([]state.Holder, error) {
	return s.leases.Holders(prefix)
}

// BreakLease implements state.Store.
func (s *Store) BreakLease(_ context.Context, key string) error { return s.leases.Break(key) }

// Close implements state.Store. It waits for what is under way.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	if s.group != nil {
		s.flush()
	}
	s.mu.Unlock()
	s.leases.Close()
	s.hub.Close()
	s.unmark() // while the lock is held, or it could be the next holder's
	return s.db.Close()
}

// Check reads all records and returns the first damage it finds, as state.ErrCorrupt. (bbolt's own check reads in a goroutine of its own, where
// a damaged page would end the process.)
func (s *Store) Check(ctx context.Context) error {
	for _, bucket := range [][]byte{bucketKV, bucketLeases, bucketMeta} {
		err := s.db.View(func(btx *bbolt.Tx) (err error) {
			t := &tx{path: s.path}
			if err := guard(func() error { t.kv = btx.Bucket(bucket); return nil }); err != nil || t.kv == nil {
				return t.fail(fmt.Errorf("%w: no %s", state.ErrCorrupt, bucket))
			}
			walkErr := t.walk("", true, func(k, v []byte) bool {
				if len(v) < revSize {
					err = t.fail(fmt.Errorf("%w: the record %q is cut", state.ErrCorrupt, k))
				}
				return err == nil && ctx.Err() == nil
			})
			return errors.Join(err, walkErr, context.Cause(ctx))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
