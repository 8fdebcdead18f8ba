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

func (v *vertex) real() bool { return v.step != nil && !v.skip }

// order returns a topological order that keeps the order of making among equals; or nil and the vertices on and behind cycles.
// It works on numbers, not on dag.Graph's ids, because a plan of 10,000 steps passes through here with ten times as many gates.
func (g *graph) order() (order, cycle []int) {
	n := len(g.verts)
	missing := make([]int, n)
	succ := make([][]int, n)
	for v := range g.verts {
		g.verts[v].pre = unique(g.verts[v].pre)
		for _, ps := range [][]int{g.verts[v].pre, g.verts[v].onFailure, g.verts[v].onCancel} {
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

// contract removes gates and skipped steps: it returns the real vertices in order and, for each, its real predecessors. Where a gate
// joins many with many it stays as a Join made by join.
func (g *graph) contract(order []int, join func(v int) *Step) (real []int, pre map[int][]int) {
	sets := make([][]int, len(g.verts)) // of a gate: the real vertices that it stands for
	waits := make([]int, len(g.verts))
	for v := range g.verts {
		for _, p := range g.verts[v].pre {
			waits[p]++
		}
	}
	pre = map[int][]int{}
	for _, v := range order {
		var in []int
		for _, p := range g.verts[v].pre {
			if g.verts[p].real() {
				in = append(in, p)
			} else {
				in = append(in, sets[p]...)
			}
		}
		in = unique(in)
		vert := &g.verts[v]
		if !vert.real() && len(in) > 1 && len(in)*waits[v] > maxFan {
			vert.step, vert.skip = join(v), false
		}
		if vert.real() {
			real = append(real, v)
			pre[v] = in
		} else {
			sets[v] = in
		}
	}
	return real, pre
}

// reduceLimit bounds the memory of the reduction (n²/8 bytes); larger plans keep edges that others imply, which is harmless.
const reduceLimit = 30_000

// reduce removes the edges that are implied by others. real is in topological order.
func reduce(real []int, pre map[int][]int) {
	n := len(real)
	if n > reduceLimit {
		return
	}
	at := make(map[int]int, n)
	for i, v := range real {
		at[v] = i
	}
	words := (n + 63) / 64
	reach := make([][]uint64, n)
	for i, v := range real {
		row := make([]uint64, words)
		reach[i] = row
		ps := pre[v]
		slices.SortFunc(ps, func(a, b int) int { return cmp.Compare(at[b], at[a]) }) // nearest first
		kept := ps[:0]
		for _, p := range ps {
			j := at[p]
			if row[j/64]&(1<<(j%64)) != 0 {
				continue
			}
			kept = append(kept, p)
			row[j/64] |= 1 << (j % 64)
			for w, x := range reach[j][:j/64+1] {
				row[w] |= x
			}
		}
		slices.SortFunc(kept, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
		pre[v] = kept
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
