package bolt_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/statetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("ORCH_TEST_BOLT_CHILD"); mode != "" {
		child(mode, os.Getenv("ORCH_TEST_BOLT_PATH"))
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, path string, o bolt.Options) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestContract(t *testing.T) {
	var mu sync.Mutex
	stores := map[string]state.Store{}
	statetest.Run(t, func(t *testing.T) state.Store {
		mu.Lock()
		defer mu.Unlock()
		if stores[t.Name()] == nil {
			stores[t.Name()] = open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Options{NoSync: true})
		}
		return stores[t.Name()]
	})
}

func put(t *testing.T, s state.Store, key, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx state.Tx) error { return tx.Put(key, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func TestSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir", "store.db")
	s := open(t, path, bolt.Options{})
	put(t, s, "a", "1")
	l, err := s.Lease(t.Context(), "d", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var rev state.Rev
	get := func() string {
		var e state.Entry
		if err := s.View(t.Context(), func(tx state.Tx) (err error) { e, err = tx.Get("a"); return err }); err != nil {
			t.Fatal(err)
		}
		rev = e.Rev
		return string(e.Value)
	}
	get()
	before := rev
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".holder"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the holder's file is left: %v", err)
	}
	s = open(t, path, bolt.Options{})
	if get() != "1" || rev != before {
		t.Errorf("revision %d, was %d", rev, before)
	}
	again, err := s.Lease(t.Context(), "d", state.LeaseOptions{}) // free: its process has ended
	if err != nil || again.Generation() != l.Generation()+1 {
		t.Errorf("%v, %v", again, err)
	}
	if err := s.Update(t.Context(), func(tx state.Tx) error { tx.Fence(l); return nil }); !errors.Is(err, state.ErrFenced) {
		t.Errorf("a lease of the life before: %v", err)
	}
	put(t, s, "a", "2")
	if get(); rev <= before {
		t.Errorf("revision %d after %d", rev, before)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// One failing update of a group must not disturb the others, whatever it had written over.
func TestFailuresInAGroup(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s"), bolt.Options{})
	put(t, s, "n", "")
	boom := errors.New("boom")
	var wg sync.WaitGroup
	var good atomic.Int64
	for i := range 20 {
		wg.Go(func() {
			for j := range 20 {
				err := s.Update(t.Context(), func(tx state.Tx) error {
					e, err := tx.Get("n")
					if err != nil {
						return err
					}
					if err := tx.Put("n", append(e.Value, '.')); err != nil {
						return err
					}
					if (i+j)%3 == 0 {
						return errors.Join(tx.DeletePrefix("n"), tx.Put("bad", nil), boom)
					}
					return nil
				})
				switch {
				case err == nil:
					good.Add(1)
				case !errors.Is(err, boom):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_ = s.View(t.Context(), func(tx state.Tx) error {
		e, err := tx.Get("n")
		if err != nil || int64(len(e.Value)) != good.Load() {
			t.Errorf("%d dots after %d updates, %v", len(e.Value), good.Load(), err)
		}
		if _, err := tx.Get("bad"); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("a failed update is stored: %v", err)
		}
		return nil
	})
}

// 64 writers as an engine has them, every update on the disk when it returns.
func BenchmarkUpdateDurable(b *testing.B) {
	s, err := bolt.Open(b.Context(), filepath.Join(b.TempDir(), "s"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var n atomic.Uint64
	began := time.Now()
	b.SetParallelism(64)
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

func BenchmarkUpdateAlone(b *testing.B) {
	s, err := bolt.Open(b.Context(), filepath.Join(b.TempDir(), "s"), bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if err := s.Update(b.Context(), func(tx state.Tx) error { return tx.Put("k", []byte(`{"status":"done"}`)) }); err != nil {
			b.Fatal(err)
		}
	}
}
