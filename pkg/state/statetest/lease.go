package statetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

func leaseHeld(e *env) {
	before := time.Now().Add(-time.Second)
	l, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{Owner: "alice", Host: "here"})
	e.must(err)
	_, err = e.s.Lease(e.Context(), e.name, state.LeaseOptions{Owner: "bob"})
	var held *state.HeldError
	if !errors.Is(err, state.ErrHeld) || !errors.As(err, &held) || held.Holder.Owner != "alice" || held.Holder.Host != "here" ||
		held.Holder.PID == 0 || held.Holder.Generation != l.Generation() || held.Holder.Since.Before(before) || held.Holder.Key != e.name {
		e.Errorf("got %+v, %v", held, err)
	}
	hs, err := e.s.Holders(e.Context(), e.name)
	if err != nil || len(hs) != 1 || hs[0].Owner != "alice" {
		e.Errorf("holders: %+v, %v", hs, err)
	}
	other, err := e.s.Lease(e.Context(), e.name+"-other", state.LeaseOptions{})
	e.must(err)
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		tx.Fence(l)
		tx.Fence(other)
		return tx.Put(e.key("a"), []byte("1"))
	}))
	e.must(l.Release(e.Context()))
	e.must(l.Release(e.Context()))
	if l.Err() == nil {
		e.Error("a released lease is not over")
	}
	err = e.s.Update(e.Context(), func(tx state.Tx) error {
		tx.Fence(l)
		return tx.Put(e.key("a"), []byte("2"))
	})
	if !errors.Is(err, state.ErrFenced) {
		e.Errorf("under a released lease: %v", err)
	}
	e.wantAll("a=1")
	again, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	e.must(err)
	if again.Generation() <= l.Generation() {
		e.Errorf("generation %d after %d", again.Generation(), l.Generation())
	}
	e.must(other.Release(e.Context()))
	hs, err = e.s.Holders(e.Context(), e.name)
	if err != nil || len(hs) != 1 || hs[0].Generation != again.Generation() {
		e.Errorf("holders: %+v, %v", hs, err)
	}
}

func leaseWait(e *env) {
	l, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	e.must(err)
	if _, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{Wait: 30 * time.Millisecond}); !errors.Is(err, state.ErrHeld) {
		e.Errorf("after waiting in vain: %v", err)
	}
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(e.Context())
	time.AfterFunc(30*time.Millisecond, func() { cancel(why) })
	if _, err := e.s.Lease(ctx, e.name, state.LeaseOptions{Wait: state.Forever}); !errors.Is(err, why) {
		e.Errorf("cancelled: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{Wait: state.Forever})
		got <- err
	}()
	time.Sleep(20 * time.Millisecond)
	e.must(l.Release(e.Context()))
	select {
	case err := <-got:
		e.must(err)
	case <-time.After(patience):
		e.Fatal("a released lease is not given to who waits for it")
	}
}

func leaseBroken(e *env) {
	l, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	e.must(err)
	ctx, cancel := l.Context(e.Context())
	defer cancel()
	e.must(e.s.BreakLease(e.Context(), e.name))
	select {
	case <-ctx.Done():
	case <-time.After(patience):
		e.Fatal("the loss is not noticed")
	}
	if err := context.Cause(ctx); !errors.Is(err, state.ErrFenced) {
		e.Errorf("cause %v", err)
	}
	next, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{Wait: patience})
	e.must(err)
	err = e.s.Update(e.Context(), func(tx state.Tx) error {
		tx.Fence(l)
		return tx.Put(e.key("a"), nil)
	})
	if !errors.Is(err, state.ErrFenced) {
		e.Errorf("under a broken lease: %v", err)
	}
	e.must(l.Release(e.Context())) // must not touch the next holder's
	e.must(e.s.Update(e.Context(), func(tx state.Tx) error {
		tx.Fence(next)
		return tx.Put(e.key("a"), []byte("next"))
	}))
	e.wantAll("a=next")
	e.must(e.s.BreakLease(e.Context(), e.name+"-never-held"))
}

func leaseExclusion(e *env) {
	var inside, rounds atomic.Int32
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			s := e.open(e.T)
			for range 4 {
				l, err := s.Lease(e.Context(), e.name, state.LeaseOptions{Wait: patience})
				if err != nil {
					e.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					e.Error("two hold the lease")
				}
				rounds.Add(1)
				inside.Add(-1)
				if err := l.Release(e.Context()); err != nil {
					e.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if rounds.Load() != 20 {
		e.Errorf("%d rounds", rounds.Load())
	}
	l, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{Wait: patience})
	e.must(err)
	if l.Generation() != 21 {
		e.Errorf("generation %d after 20 holders", l.Generation())
	}
}

func fencedStore(e *env) {
	l, err := e.s.Lease(e.Context(), e.name, state.LeaseOptions{})
	e.must(err)
	f := state.Fenced(e.s, l)
	put := func(v string) error {
		return f.Update(e.Context(), func(tx state.Tx) error { return tx.Put(e.key("a"), []byte(v)) })
	}
	e.must(put("1"))
	e.must(f.Close())
	e.must(put("2"))
	e.must(e.s.BreakLease(e.Context(), e.name))
	if err := put("3"); !errors.Is(err, state.ErrFenced) {
		e.Errorf("got %v", err)
	}
	e.wantAll("a=2")
}
