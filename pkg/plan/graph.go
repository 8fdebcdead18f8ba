package plan

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// graph is the plan while it is woven: vertices are steps or gates. A gate is a moment ("web[0] is configured") that steps wait for; it
// disappears when the graph is contracted, and so do the steps that need not run.
type graph struct {
	verts []vertex
}

type vertex struct {
	step *Step          // nil: a gate
	skip bool           // the step is done already: it counts as a gate
	pre  []int          // predecessors
	lax  []int          // predecessors that only have to have ended, however
	node *topology.Node // that it belongs to, to report cycles; nil for none
	// onFailure and onCancel are the steps whose failure or cancellation leads here; they only order.
	onFailure, onCancel []int
}

// maxFan is how many edges contracting one gate may make; above it a Join stays in the plan, which costs nothing to run.
const maxFan = 1024

func (g *graph) gate(n *topology.Node) int {
	g.verts = append(g.verts, vertex{node: n})
	return len(g.verts) - 1
}

func (g *graph) add(n *topology.Node, s *Step) int {
	g.verts = append(g.verts, vertex{node: n, step: s})
	return len(g.verts) - 1
}

// edge says that a comes before b.
func (g *graph) edge(a, b int) {
	if a != b {
		g.verts[b].pre = append(g.verts[b].pre, a)
	}
}

// lax says that a comes before b, which does not mind how a ends.
func (g *graph) lax(a, b int) {
	if a != b {
		g.verts[b].lax = append(g.verts[b].lax, a)
	}
}

func (v *vertex) real() bool { return v.step != nil && !v.skip }

// order returns a topological order that keeps the order of making among equals; or nil and the vertices on and behind cycles.
// It works on numbers, not on dag.Graph's ids, because a plan of 10,000 steps passes through here with ten times as many gates.
func (g *graph) order() (order, cycle []int) {
	n := len(g.verts)
	missing := make([]int, n)
	succ := make([][]int, n)
	for v := range g.verts {
		g.verts[v].pre, g.verts[v].lax = unique(g.verts[v].pre), unique(g.verts[v].lax)
		for _, ps := range [][]int{g.verts[v].pre, g.verts[v].lax, g.verts[v].onFailure, g.verts[v].onCancel} {
			missing[v] += len(ps)
			for _, p := range ps {
				succ[p] = append(succ[p], v)
			}
		}
	}
	ready := &intHeap{}
	for v := range n {
		if missing[v] == 0 {
			heap.Push(ready, v)
		}
	}
	order = make([]int, 0, n)
	for ready.Len() > 0 {
		v := heap.Pop(ready).(int)
		order = append(order, v)
		for _, s := range succ[v] {
			if missing[s]--; missing[s] == 0 {
				heap.Push(ready, s)
			}
		}
	}
	if len(order) == n {
		return order, nil
	}
	for v, m := range missing {
		if m > 0 {
			cycle = append(cycle, v)
		}
	}
	return nil, cycle
}

// waits are the predecessors of a vertex: those that must have succeeded, and those that only have to have ended.
type waits struct{ pre, lax []int }

// contract removes gates and skipped steps: it returns the real vertices in order and, for each, its real predecessors. Where a gate
// joins many with many it stays as a Join made by join.
func (g *graph) contract(order []int, join func(v int) *Step) (real []int, of map[int]waits) {
	sets := make([]waits, len(g.verts)) // of a gate: the real vertices that it stands for
	fan := make([]int, len(g.verts))
	for v := range g.verts {
		for _, p := range g.verts[v].pre {
			fan[p]++
		}
		for _, p := range g.verts[v].lax {
			fan[p]++
		}
	}
	of = map[int]waits{}
	for _, v := range order {
		in := g.through(v, sets)
		vert := &g.verts[v]
		if n := len(in.pre) + len(in.lax); !vert.real() && n > 1 && n*fan[v] > maxFan {
			vert.step, vert.skip = join(v), false
		}
		if vert.real() {
			real = append(real, v)
			of[v] = in
		} else {
			sets[v] = in
		}
	}
	return real, of
}

// through is what a vertex waits for, with gates replaced by what they stand for.
func (g *graph) through(v int, sets []waits) (in waits) {
	for _, p := range g.verts[v].pre {
		if g.verts[p].real() {
			in.pre = append(in.pre, p)
		} else {
			in.pre, in.lax = append(in.pre, sets[p].pre...), append(in.lax, sets[p].lax...)
		}
	}
	for _, p := range g.verts[v].lax {
		if g.verts[p].real() {
			in.lax = append(in.lax, p)
		} else {
			in.lax = append(append(in.lax, sets[p].pre...), sets[p].lax...)
		}
	}
	in.pre = unique(in.pre)
	if len(in.lax) > 0 {
		in.lax = slices.DeleteFunc(unique(slices.Clone(in.lax)), func(p int) bool {
			_, needed := slices.BinarySearch(in.pre, p)
			return needed
		})
	}
	return in
}

// reduceLimit bounds the memory of the reduction (n²/8 bytes); larger plans keep edges that others imply, which is harmless.
const reduceLimit = 30_000

// reduce removes the edges that are implied by others. real is in topological order.
func reduce(real []int, of map[int]waits) {
	if len(real) > reduceLimit {
		return
	}
	at := make(map[int]int, len(real))
	lax := false
	for i, v := range real {
		at[v] = i
		lax = lax || len(of[v].lax) > 0
	}
	needed := newReach(len(real)) // over what must have succeeded
	after := needed               // over that and what only has to have ended
	if lax {
		after = newReach(len(real))
	}
	for i, v := range real {
		in := of[v]
		must := make(map[int]bool, len(in.pre))
		for _, p := range in.pre {
			must[p] = true
		}
		all := append(slices.Clone(in.pre), in.lax...)
		slices.SortFunc(all, func(a, b int) int { return cmp.Compare(at[b], at[a]) }) // nearest first
		var kept waits
		for _, p := range all {
			switch j := at[p]; {
			case must[p] && !needed.has(i, j):
				kept.pre = append(kept.pre, p)
				needed.add(i, j)
				after.add(i, j)
			case !must[p] && !after.has(i, j):
				kept.lax = append(kept.lax, p)
				after.add(i, j)
			}
		}
		slices.SortFunc(kept.pre, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
		slices.SortFunc(kept.lax, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
		of[v] = kept
	}
}

// reach holds for each vertex, by its place in the order, which ones it comes after.
type reach [][]uint64

func newReach(n int) reach {
	r := make(reach, n)
	for i := range r {
		r[i] = make([]uint64, (n+63)/64)
	}
	return r
}

func (r reach) has(i, j int) bool { return r[i][j/64]&(1<<(j%64)) != 0 }

// add says that i comes after j, and so after all that j comes after.
func (r reach) add(i, j int) {
	r[i][j/64] |= 1 << (j % 64)
	for w, x := range r[j][:j/64+1] {
		r[i][w] |= x
	}
}

func unique(s []int) []int {
	if len(s) < 2 {
		return s
	}
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
