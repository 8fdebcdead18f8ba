package consul_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/consul"
	"github.com/orch-project/orch/pkg/state/statetest"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv("ORCH_TEST_CONSUL_HOLDER"); addr != "" {
		holder(addr)
		return
	}
	goleak.VerifyTestMain(m)
}

func connect(t testing.TB, o consul.Options) *consul.Store {
	t.Helper()
	s, err := consul.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	c := tools.StartConsul(t, 1)
	var n atomic.Int64
	var mu sync.Mutex
	prefixes := map[string]string{}
	statetest.Run(t, func(t *testing.T) state.Store {
		mu.Lock()
		if prefixes[t.Name()] == "" {
			prefixes[t.Name()] = fmt.Sprint("test/", n.Add(1))
		}
		prefix := prefixes[t.Name()]
		mu.Unlock()
		return connect(t, consul.Options{Addresses: []string{c.Addr()}, Prefix: prefix})
	})
}

func BenchmarkUpdate(b *testing.B) {
	c := tools.StartConsul(b, 1)
	s := connect(b, consul.Options{Addresses: []string{c.Addr()}})
	var n atomic.Uint64
	began := time.Now()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k := state.Join("steps", state.Num(n.Add(1)%10000))
			if err := s.Update(b.Context(), func(tx state.Tx) error { return tx.Put(k, []byte(`{"status":"done"}`)) }); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(n.Load())/time.Since(began).Seconds(), "updates/s")
}

// As an engine does it: a fenced read-modify-write of a step's record with an event of its deployment.
func BenchmarkSteps(b *testing.B) {
	c := tools.StartConsul(b, 1)
	s := connect(b, consul.Options{Addresses: []string{c.Addr()}})
	l, err := s.Lease(b.Context(), "d", state.LeaseOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Uint64
	began := time.Now()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k := state.Join("steps", state.Num(n.Add(1)%10000))
			if err := s.Update(b.Context(), func(tx state.Tx) error {
				tx.Fence(l)
				if _, _, err := state.Find[string](tx, k); err != nil {
					return err
				}
				if _, err := state.AppendTx(tx, "d", event.Event{Type: event.StepStatus, Status: "done"}); err != nil {
					return err
				}
				return state.Put(tx, k, "done")
			}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(n.Load())/time.Since(began).Seconds(), "updates/s")
}
