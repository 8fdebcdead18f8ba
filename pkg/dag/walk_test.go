package dag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWalkVisitsInOrder(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		g := random(r, 30, 60, true)
		parallel, perKey := r.IntN(4), 1+r.IntN(3)
		var mu sync.Mutex
		done, running, byKey := map[int]bool{}, 0, map[string]int{}
		slots := func(id int) []Slot {
			s := []Slot{{fmt.Sprint("k", id%3), perKey}}
			if id%2 == 0 {
				s = append(s, Slot{"even", 2})
			}
			return s
		}
		err := g.Walk(t.Context(), WalkOptions[int]{Parallel: parallel, Slots: slots}, func(_ context.Context, id int) error {
			mu.Lock()
			running++
			for _, b := range g.Before(id) {
				if !done[b] {
					t.Errorf("%d before %d", id, b)
				}
			}
			for _, s := range slots(id) {
				if byKey[s.Key]++; byKey[s.Key] > s.Max {
					t.Errorf("%d at %s", byKey[s.Key], s.Key)
				}
			}
			if parallel > 0 && running > parallel {
				t.Errorf("%d at once", running)
			}
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			done[id] = true
			running--
			for _, s := range slots(id) {
				byKey[s.Key]--
			}
			return nil
		})
		if err != nil || len(done) != 30 {
			t.Fatalf("seed %d: %d visited, %v", seed, len(done), err)
		}
	}
}

// Without limits a walk takes as long as its critical path, to the nanosecond of the fake clock.
func TestWalkTakesItsCriticalPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := random(rand.New(rand.NewPCG(7, 7)), 1000, 3000, true)
		cost := func(id int) time.Duration { return time.Duration(id%50+1) * time.Millisecond }
		_, want, err := g.CriticalPath(cost)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := g.Walk(t.Context(), WalkOptions[int]{}, func(_ context.Context, id int) error {
			time.Sleep(cost(id))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(began); got != want {
			t.Errorf("took %s, the critical path is %s", got, want)
		}
	})
}

// A node that is woken for one slot but lacks another must leave the first to those who can use it.
func TestWalkDoesNotWasteSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Graph[string]{}
		g.Add("1-a", "2-b", "3-ab", "4-a")
		began := time.Now()
		err := g.Walk(t.Context(), WalkOptions[string]{Slots: func(id string) (s []Slot) {
			for _, k := range id[2:] {
				s = append(s, Slot{string(k), 1})
			}
			return s
		}}, func(_ context.Context, id string) error {
			d := time.Second
			if id == "2-b" {
				d = 10 * time.Second
			}
			time.Sleep(d)
			return nil
		})
		if took := time.Since(began); err != nil || took != 11*time.Second {
			t.Errorf("took %s, want 11s: 4-a beside 2-b; %v", took, err)
		}
	})
}

func TestWalkFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		verdict Verdict
		visited string
		skipped string
	}{
		{Skip, "a b d e x", "c<b"},
		{Continue, "a b c d e x", ""},
	} {
		g := build([2]string{"a", "b"}, [2]string{"b", "c"}, [2]string{"a", "d"}, [2]string{"d", "e"})
		g.Edge("x", "c")
		var mu sync.Mutex
		var visited, skipped []string
		err := g.Walk(t.Context(), WalkOptions[string]{
			Failed:  func(string, error) Verdict { return c.verdict },
			Skipped: func(id, because string) { skipped = append(skipped, id+"<"+because) },
		}, func(_ context.Context, id string) error {
			mu.Lock()
			defer mu.Unlock()
			visited = append(visited, id)
			if id == "b" {
				return boom
			}
			return nil
		})
		slices.Sort(visited)
		var ne *NodeError[string]
		if !errors.Is(err, boom) || !errors.As(err, &ne) || ne.ID != "b" {
			t.Errorf("got %v", err)
		}
		if got := strings.Join(visited, " "); got != c.visited {
			t.Errorf("%d: visited %s, want %s", c.verdict, got, c.visited)
		}
		if got := strings.Join(skipped, " "); got != c.skipped {
			t.Errorf("%d: skipped %s, want %s", c.verdict, got, c.skipped)
		}
	}
}

func TestWalkStops(t *testing.T) {
	g := &Graph[int]{}
	g.Add(1, 2, 3, 4)
	n := 0
	err := g.Walk(t.Context(), WalkOptions[int]{Parallel: 1, Failed: func(int, error) Verdict { return Stop }}, func(_ context.Context, id int) error {
		n++
		if id == 2 {
			return errors.New("no")
		}
		return nil
	})
	if err == nil || err.Error() != "2: no" || n != 2 {
		t.Errorf("%d visits, %v", n, err)
	}
}

func TestWalkCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &Graph[int]{}
		g.Edge(1, 3)
		g.Add(2)
		why := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel(why)
		}()
		err := g.Walk(ctx, WalkOptions[int]{}, func(ctx context.Context, id int) error {
			switch id {
			case 1: // notices late: Walk must wait for it
				<-ctx.Done()
				time.Sleep(time.Second)
			case 3:
				t.Error("started after the end")
			}
			return nil
		})
		if !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWalkSurvivesPanics(t *testing.T) {
	g := &Graph[int]{}
	g.Add(1, 2, 3)
	cause := errors.New("cause")
	err := g.Walk(t.Context(), WalkOptions[int]{}, func(_ context.Context, id int) error {
		switch id {
		case 1:
			panic(cause)
		case 2:
			runtime.Goexit()
		}
		return nil
	})
	var p *PanicError
	if !errors.As(err, &p) || !errors.Is(err, cause) || !strings.Contains(string(p.Stack), "walk_test.go") {
		t.Errorf("got %v", err)
	}
	if !errors.Is(err, errGoexit) {
		t.Errorf("got %v", err)
	}
}

func TestWalkTellsWhoWaits(t *testing.T) {
	g := &Graph[int]{}
	g.Add(1, 2, 3, 4)
	var waits []string
	err := g.Walk(t.Context(), WalkOptions[int]{
		Parallel: 2,
		Slots:    func(id int) []Slot { return []Slot{{fmt.Sprint("odd ", id%2), 1}} },
		Waiting:  func(id int, key string) { waits = append(waits, fmt.Sprintf("%d:%s", id, key)) },
		Less:     func(a, b int) int { return cmp.Compare(b, a) },
	}, func(context.Context, int) error { return nil })
	if err != nil || len(waits) != 2 || !slices.Contains(waits, "1:") || !slices.Contains(waits, "2:") {
		t.Errorf("got %q, %v", waits, err)
	}
}

func BenchmarkWalk10000(b *testing.B) {
	g := random(rand.New(rand.NewPCG(1, 1)), 10000, 30000, true)
	for b.Loop() {
		if err := g.Walk(b.Context(), WalkOptions[int]{}, func(context.Context, int) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// Ten thousand nodes that want one slot must not be looked at again after each visit.
func BenchmarkWalkOneSlot10000(b *testing.B) {
	g := &Graph[int]{}
	for i := range 10000 {
		g.Add(i)
	}
	opts := WalkOptions[int]{Slots: func(int) []Slot { return []Slot{{"host", 1}} }}
	for b.Loop() {
		if err := g.Walk(b.Context(), opts, func(context.Context, int) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
