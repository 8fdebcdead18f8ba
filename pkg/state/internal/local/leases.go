package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

// Leases is the table of the leases of one process. A lease in it needs no keeping alive: it ends with the process. What must outlive
// the process is the generation, which Next stores.
type Leases struct {
	// Next returns the generation after the last one given for the key, and stores it durably.
	Next func(ctx context.Context, key string) (uint64, error)

	mu     sync.Mutex
	held   map[string]*state.Lease
	taking map[string]chan struct{} // closed when the attempt to take the key is over
	closed bool
}

// Take implements state.Store.Lease.
func (t *Leases) Take(ctx context.Context, key string, opts state.LeaseOptions) (*state.Lease, error) {
	opts = opts.Defaults()
	var expired <-chan time.Time
	if opts.Wait > 0 {
		timer := time.NewTimer(opts.Wait)
		defer timer.Stop()
		expired = timer.C
	}
	for {
		l, busy, err := t.try(ctx, key, opts)
		if busy == nil {
			return l, err
		}
		if opts.Wait == 0 && err != nil {
			return nil, err
		}
		select {
		case <-busy:
		case <-expired:
			if err != nil {
				return nil, err
			}
			opts.Wait = 0 // only somebody's attempt is under way: see how it ends
			expired = nil
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), err)
		}
	}
}

// try takes the key, or returns what to wait for: with a HeldError if it is held, without error if somebody is about to have it.
func (t *Leases) try(ctx context.Context, key string, opts state.LeaseOptions) (*state.Lease, <-chan struct{}, error) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, nil, state.ErrClosed
	}
	if l := t.held[key]; l != nil {
		t.mu.Unlock()
		return nil, l.Lost(), &state.HeldError{Holder: l.Holder()}
	}
	if c := t.taking[key]; c != nil {
		t.mu.Unlock()
		return nil, c, nil
	}
	if t.held == nil {
		t.held, t.taking = make(map[string]*state.Lease), make(map[string]chan struct{})
	}
	done := make(chan struct{})
	t.taking[key] = done
	t.mu.Unlock()

	gen, err := t.Next(ctx, key)

	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.taking, key)
	close(done)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot take the lease on %s: %w", key, err)
	}
	if t.closed {
		return nil, nil, state.ErrClosed
	}
	h := state.Holder{Key: key, Owner: opts.Owner, Host: opts.Host, PID: os.Getpid(), Since: time.Now(), Generation: gen}
	var l *state.Lease
	l = state.NewLease(h, t, func(context.Context) error {
		t.drop(key, l)
		return nil
	})
	t.held[key] = l
	return l, nil, nil
}

func (t *Leases) drop(key string, l *state.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[key] == l {
		delete(t.held, key)
	}
}

// Check returns ErrFenced unless l is the present lease on its key in this table.
func (t *Leases) Check(l *state.Lease) error {
	if l == nil {
		return fmt.Errorf("no lease: %w", state.ErrFenced)
	}
	if err := l.Err(); err != nil {
		return err
	}
	if l.Token() != t {
		return fmt.Errorf("%s: a lease of another store: %w", l.Key(), state.ErrFenced)
	}
	return nil
}

// Holders implements state.Store.Holders.
func (t *Leases) Holders(prefix string) ([]state.Holder, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, state.ErrClosed
	}
	var hs []state.Holder
	for _, key := range slices.Sorted(maps.Keys(t.held)) {
		if l := t.held[key]; strings.HasPrefix(key, prefix) && l.Err() == nil {
			hs = append(hs, l.Holder())
		}
	}
	return hs, nil
}

// ErrBroken is the cause of a lease that BreakLease ended.
var ErrBroken = errors.New("broken by an operator")

// Break implements state.Store.BreakLease.
func (t *Leases) Break(key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return state.ErrClosed
	}
	if l := t.held[key]; l != nil {
		l.Lose(ErrBroken)
		delete(t.held, key)
	}
	return nil
}

// Close ends all leases.
func (t *Leases) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, l := range t.held {
		l.Lose(state.ErrClosed)
	}
	clear(t.held)
}
