package consul_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/consul"
)

// Behind a network that swallows everything a server of Consul does not answer, and does not say so either: the next one is asked.
func TestAServerBehindACutNetwork(t *testing.T) {
	t.Parallel()
	c := tools.StartConsul(t, 1)
	p := tools.StartProxy(t, c.Addr())
	s := connect(t, consul.Options{Addresses: []string{p.Addr(), c.Addr()}})
	s.AnswerWithin(300 * time.Millisecond)
	put := func(n int) {
		t.Helper()
		if err := s.Update(t.Context(), func(tx state.Tx) error {
			got, _, err := state.Find[int](tx, "n")
			if err == nil && got != n-1 {
				t.Errorf("it is %d, want %d", got, n-1)
			}
			if err != nil {
				return err
			}
			return state.Put(tx, "n", n)
		}); err != nil {
			t.Fatal(err)
		}
	}
	put(1) // by connections through the proxy, which stay open
	p.Cut()
	put(2)
	put(3)
	l, err := s.Lease(t.Context(), "d", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
}

// Consul serves a client over 200 connections. Many more waits for leases than that, and many calls at once, must not need as many.
func TestMoreCallsThanConnections(t *testing.T) {
	t.Parallel()
	const many = 300
	c := tools.StartConsul(t, 1)
	s := connect(t, consul.Options{Addresses: []string{c.Addr()}, Patience: time.Nanosecond}) // the first refusal is one too many
	held, err := s.Lease(t.Context(), "d", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var waiting, calling sync.WaitGroup
	for range many {
		waiting.Go(func() {
			l, err := s.Lease(t.Context(), "d", state.LeaseOptions{Wait: time.Minute})
			if err == nil {
				err = l.Release(t.Context())
			}
			if err != nil {
				t.Errorf("waiting for the lease: %v", err)
			}
		})
	}
	for n := range many {
		calling.Go(func() {
			for range 5 {
				if err := s.Update(t.Context(), func(tx state.Tx) error { return state.Put(tx, fmt.Sprint("n", n), n) }); err != nil {
					t.Errorf("writing: %v", err)
				}
				if err := s.View(t.Context(), func(tx state.Tx) error { _, _, err := state.Find[int](tx, fmt.Sprint("n", n)); return err }); err != nil {
					t.Errorf("reading: %v", err)
				}
			}
		})
	}
	calling.Wait()
	if err := held.Release(t.Context()); err != nil {
		t.Error(err)
	}
	waiting.Wait()
}
