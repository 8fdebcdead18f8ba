package consul_test

import (
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
