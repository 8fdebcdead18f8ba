package dag

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/orchtest/bounded"
)

func build(edges ...[2]string) *Graph[string] {
	g := &Graph[string]{}
	for _, e := range edges {
		g.Edge(e[0], e[1])
	}
	return g
}

func TestOrderIsStable(t *testing.T) {
	g := build([2]string{"c", "a"}, [2]string{"d", "b"}, [2]string{"c", "b"})
	g.Add("z", "0")
	got, err := g.Order()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"0", "c", "a", "d", "b", "z"}, got); d != "" {
		t.Error(d)
	}
}

func TestCycles(t *testing.T) {
	for _, c := range []struct {
		name  string
		edges [][2]string
		want  [][]string
		err   string
	}{
		{"none", [][2]string{{"a", "b"}}, [][]string{}, ""},
		{"itself", [][2]string{{"a", "a"}, {"a", "b"}}, [][]string{{"a"}}, "cycle: a -> a"},
		{"ring", [][2]string{{"c", "a"}, {"a", "b"}, {"b", "c"}}, [][]string{{"a", "b", "c"}}, "cycle: a -> b -> c -> a"},
		{"shortest of one group", [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}, {"c", "b"}}, [][]string{{"b", "c"}}, "cycle: b -> c -> b"},
		{"two groups", [][2]string{{"x", "y"}, {"y", "x"}, {"a", "b"}, {"b", "c"}, {"c", "a"}, {"c", "x"}}, [][]string{{"a", "b", "c"}, {"x", "y"}}, "cycle: x -> y -> x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := build(c.edges...)
			if d := cmp.Diff(c.want, g.Cycles()); d != "" {
				t.Error(d)
			}
			_, err := g.Order()
			if c.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var ce *CycleError[string]
			if !errors.As(err, &ce) || err.Error() != c.err {
				t.Errorf("got %v, want %s", err, c.err)
			}
			for _, f := range []func() error{
				func() error { _, err := g.Reduce(); return err },
				func() error {
					_, _, err := g.CriticalPath(func(string) time.Duration { return 0 })
					return err
				},
			} {
				if err := f(); err == nil || err.Error() != c.err {
					t.Errorf("got %v, want %s", err, c.err)
				}
			}
		})
	}
}

func TestClosures(t *testing.T) {
	g := build([2]string{"a", "b"}, [2]string{"b", "c"}, [2]string{"d", "c"}, [2]string{"c", "e"})
	for _, c := range []struct {
		got, want []string
	}{
		{g.Descendants("a"), []string{"b", "c", "e"}},
		{g.Descendants("a", "d"), []string{"b", "c", "e"}},
		{g.Ancestors("c"), []string{"a", "b", "d"}},
		{g.Ancestors("nowhere"), nil},
		{g.After("b"), []string{"c"}},
		{g.Before("c"), []string{"b", "d"}},
		{g.Reversed().Descendants("c"), []string{"a", "b", "d"}},
		{g.Subgraph(func(s string) bool { return s != "b" }).Ancestors("e"), []string{"c", "d"}},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Error(d)
		}
	}
}

func TestCriticalPath(t *testing.T) {
	g := build([2]string{"a", "b"}, [2]string{"b", "d"}, [2]string{"a", "c"}, [2]string{"c", "d"})
	g.Add("alone")
	cost := map[string]time.Duration{"a": 1, "b": 5, "c": 2, "d": 1, "alone": 6}
	path, total, err := g.CriticalPath(func(s string) time.Duration { return cost[s] })
	if err != nil || total != 7 {
		t.Errorf("got %d, %v", total, err)
	}
	if d := cmp.Diff([]string{"a", "b", "d"}, path); d != "" {
		t.Error(d)
	}
	if path, total, err := (&Graph[int]{}).CriticalPath(nil); path != nil || total != 0 || err != nil {
		t.Error("the empty graph has no critical path")
	}
}

// random makes a graph of n nodes; without cycles if forward.
func random(r *rand.Rand, n, edges int, forward bool) *Graph[int] {
	g := &Graph[int]{}
	name := r.Perm(n)
	for i := range n {
		g.Add(name[i])
	}
	for range edges {
		a, b := r.IntN(n), r.IntN(n)
		if forward {
			if a == b {
				continue
			}
			a, b = min(a, b), max(a, b)
		}
		g.Edge(name[a], name[b])
	}
	return g
}

func TestProperties(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := random(r, 1+r.IntN(40), r.IntN(120), seed%3 != 0)
		checkGraph(t, g)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// checkGraph compares every result with its definition.
func checkGraph(t *testing.T, g *Graph[int]) {
	t.Helper()
	cyclic := false
	for _, id := range g.Nodes() {
		cyclic = cyclic || slices.Contains(g.Descendants(id), id)
	}
	order, err := g.Order()
	if (err != nil) != cyclic {
		t.Fatalf("cyclic %v, but %v", cyclic, err)
	}
	if cyclic {
		checkCycles(t, g, err)
		return
	}
	if len(g.Cycles()) != 0 {
		t.Error("cycles in a graph without")
	}
	place := map[int]int{}
	for p, id := range order {
		place[id] = p
	}
	reduced, err := g.Reduce()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range g.Nodes() {
		for _, to := range g.After(id) {
			if place[id] >= place[to] {
				t.Errorf("%d -> %d goes back", id, to)
			}
			others := slices.DeleteFunc(g.After(id), func(k int) bool { return k == to })
			if implied := slices.Contains(g.Descendants(others...), to); implied == reduced.HasEdge(id, to) {
				t.Errorf("edge %d -> %d: implied %v, kept %v", id, to, implied, !implied)
			}
		}
		if d := cmp.Diff(g.Descendants(id), reduced.Descendants(id)); d != "" {
			t.Errorf("reduction changed what comes after %d: %s", id, d)
		}
	}
	checkCriticalPath(t, g, order)
}

func checkCriticalPath(t *testing.T, g *Graph[int], order []int) {
	t.Helper()
	cost := func(id int) time.Duration { return time.Duration(id%7 + 1) }
	path, total, err := g.CriticalPath(cost)
	if err != nil {
		t.Fatal(err)
	}
	ends, longest, sum := map[int]time.Duration{}, time.Duration(0), time.Duration(0)
	for _, id := range order {
		for _, b := range g.Before(id) {
			ends[id] = max(ends[id], ends[b])
		}
		ends[id] += cost(id)
		longest = max(longest, ends[id])
	}
	for i, id := range path {
		sum += cost(id)
		if i > 0 && !g.HasEdge(path[i-1], id) {
			t.Errorf("no edge %d -> %d", path[i-1], id)
		}
	}
	if sum != total || total != longest {
		t.Errorf("path takes %d, said %d, longest is %d", sum, total, longest)
	}
}

func checkCycles(t *testing.T, g *Graph[int], err error) {
	t.Helper()
	var ce *CycleError[int]
	if !errors.As(err, &ce) {
		t.Fatalf("%v is no CycleError", err)
	}
	shortest := 1 << 30
	for _, id := range g.Nodes() {
		if d := distance(g, id); d > 0 {
			shortest = min(shortest, d)
		}
	}
	if len(ce.Path) != shortest {
		t.Errorf("the shortest cycle has %d nodes, reported is %v", shortest, ce.Path)
	}
	for _, c := range append(g.Cycles(), ce.Path) {
		for i, id := range c {
			if !g.HasEdge(id, c[(i+1)%len(c)]) {
				t.Errorf("%v is no cycle", c)
			}
		}
		if c[0] != slices.Min(c) {
			t.Errorf("%v does not begin with its smallest", c)
		}
	}
}

// distance is the length of the shortest way from a node back to it.
func distance(g *Graph[int], from int) int {
	seen, level := map[int]bool{}, []int{from}
	for d := 1; len(level) > 0; d++ {
		var next []int
		for _, id := range level {
			for _, to := range g.After(id) {
				if to == from {
					return d
				}
				if !seen[to] {
					seen[to] = true
					next = append(next, to)
				}
			}
		}
		level = next
	}
	return 0
}

func TestResultsDoNotDependOnInsertion(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		a := random(r, 20, 60, seed%2 == 0)
		b := &Graph[int]{}
		ids := a.Nodes()
		r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		for _, id := range ids {
			for _, p := range a.Before(id) {
				b.Edge(p, id)
			}
			b.Add(id)
		}
		oa, ea := a.Order()
		ob, eb := b.Order()
		if d := cmp.Diff(oa, ob); d != "" || fmt.Sprint(ea) != fmt.Sprint(eb) {
			t.Errorf("seed %d: %s %v %v", seed, d, ea, eb)
		}
		if d := cmp.Diff(a.Cycles(), b.Cycles()); d != "" {
			t.Errorf("seed %d: %s", seed, d)
		}
	}
}

func FuzzGraph(f *testing.F) {
	f.Add([]byte{0, 1, 1, 2, 2, 0})
	f.Add([]byte{0, 1, 0, 2, 1, 3, 2, 3, 0, 3})
	f.Fuzz(func(t *testing.T, edges []byte) {
		defer bounded.Input(t)()
		g := &Graph[int]{}
		for i := 0; i+1 < min(len(edges), 200); i += 2 {
			g.Edge(int(edges[i]%32), int(edges[i+1]%32))
		}
		if g.Len() > 0 {
			checkGraph(t, g)
		}
	})
}

func BenchmarkOrder10000(b *testing.B) {
	g := random(rand.New(rand.NewPCG(1, 1)), 10000, 30000, true)
	for b.Loop() {
		if _, err := g.Order(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReduce10000(b *testing.B) {
	g := random(rand.New(rand.NewPCG(1, 1)), 10000, 30000, true)
	for b.Loop() {
		if _, err := g.Reduce(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCycle10000(b *testing.B) {
	g := &Graph[int]{}
	for i := range 10000 {
		g.Edge(i, (i+1)%10000)
	}
	for b.Loop() {
		if len(g.Cycles()[0]) != 10000 {
			b.Fatal("wrong")
		}
	}
}
