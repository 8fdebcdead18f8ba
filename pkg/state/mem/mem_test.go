package mem_test

import (
	"errors"
	"testing"

	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/statetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	statetest.Run(t, opener(mem.Options{}))
}

// Every update runs twice, as after a conflict: nothing may depend on fn running once.
func TestContractWithConflicts(t *testing.T) {
	statetest.Run(t, opener(mem.Options{Again: func(n int) bool { return n == 1 }}))
}

// opener gives every test a store of its own.
func opener(o mem.Options) statetest.Open {
	stores := make(chan map[string]state.Store, 1)
	stores <- map[string]state.Store{}
	return func(t *testing.T) state.Store {
		m := <-stores
		defer func() { stores <- m }()
		if m[t.Name()] == nil {
			s := mem.New(o)
			t.Cleanup(func() { s.Close() })
			m[t.Name()] = s
		}
		return m[t.Name()]
	}
}

func TestFault(t *testing.T) {
	boom := errors.New("boom")
	s := mem.New(mem.Options{Fault: func(op string) error {
		if op == "update" {
			return boom
		}
		return nil
	}})
	if err := s.Update(t.Context(), func(tx state.Tx) error { return tx.Put("a", nil) }); !errors.Is(err, boom) {
		t.Error(err)
	}
	if err := s.View(t.Context(), func(tx state.Tx) error { _, err := tx.Get("a"); return err }); !errors.Is(err, state.ErrNotFound) {
		t.Error(err)
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := mem.New(mem.Options{})
	i := 0
	for b.Loop() {
		i++
		if err := s.Update(b.Context(), func(tx state.Tx) error { return tx.Put(state.Join("k", state.Num(uint64(i%10000))), []byte("value")) }); err != nil {
			b.Fatal(err)
		}
	}
}
