package dag

import (
	"fmt"
	"slices"
	"strings"
)

// CycleError names a cycle by its nodes in the order of its edges. Path is a []K that begins with the smallest id and does not
// repeat it at the end.
type CycleError[K any] struct{ Path []K }

func (e *CycleError[K]) Error() string {
	var b strings.Builder
	b.WriteString("cycle: ")
	for _, id := range e.Path {
		fmt.Fprintf(&b, "%v -> ", id)
	}
	fmt.Fprint(&b, e.Path[0])
	return b.String()
}

// Cycles returns one shortest cycle of every group of nodes that reach each other, ordered by the smallest id of the cycle; none if the graph
// has an order.
func (g *Graph[K]) Cycles() [][]K {
	x := g.index()
	var cycles [][]int32
	for _, group := range x.components() {
		if c := x.shortestCycle(group); c != nil {
			cycles = append(cycles, c)
		}
	}
	slices.SortFunc(cycles, slices.Compare)
	named := make([][]K, len(cycles))
	for i, c := range cycles {
		named[i] = x.names(c)
	}
	return named
}

// cycleError reports the shortest of all cycles.
func (g *Graph[K]) cycleError(x indexed[K]) error {
	var best []int32
	for _, group := range x.components() {
		if c := x.shortestCycle(group); c != nil && (best == nil || shorter(c, best)) {
			best = c
		}
	}
	return &CycleError[K]{x.names(best)}
}

func shorter(a, b []int32) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return slices.Compare(a, b) < 0
}

// components returns the strongly connected components (Tarjan's algorithm, with its own stack: graphs may be deep).
func (x indexed[K]) components() [][]int32 {
	const unseen = 0
	n := len(x.ids)
	num, low := make([]int32, n), make([]int32, n) // numbers from 1
	onStack := make([]bool, n)
	var stack []int32
	var groups [][]int32
	type frame struct{ node, edge int32 }
	var calls []frame
	count := int32(0)
	enter := func(i int32) {
		count++
		num[i], low[i], onStack[i] = count, count, true
		stack = append(stack, i)
		calls = append(calls, frame{i, 0})
	}
	for root := range int32(n) {
		if num[root] != unseen {
			continue
		}
		enter(root)
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			i := f.node
			if int(f.edge) < len(x.after[i]) {
				to := x.after[i][f.edge]
				f.edge++
				if num[to] == unseen {
					enter(to)
				} else if onStack[to] {
					low[i] = min(low[i], num[to])
				}
				continue
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				up := calls[len(calls)-1].node
				low[up] = min(low[up], low[i])
			}
			if low[i] != num[i] {
				continue
			}
			at := len(stack) - 1
			for stack[at] != i {
				at--
			}
			group := slices.Clone(stack[at:])
			stack = stack[:at]
			for _, m := range group {
				onStack[m] = false
			}
			slices.Sort(group)
			groups = append(groups, group)
		}
	}
	return groups
}

// shortestCycle looks from every node of a component for the nearest way back. A component that is one ring needs a single start; in
// any other every cycle has a node with a choice, and only those are starts.
func (x indexed[K]) shortestCycle(group []int32) []int32 {
	in := make(map[int32]int, len(group)) // node → its number here
	for n, i := range group {
		in[i] = n
	}
	inside := make([][]int32, len(group)) // edges within the component, as numbers, in order of ids
	starts := []int{}
	for n, i := range group {
		for _, to := range x.after[i] {
			if m, ok := in[to]; ok {
				inside[n] = append(inside[n], int32(m))
			}
		}
		if len(inside[n]) > 1 {
			starts = append(starts, n)
		}
	}
	if len(starts) == 0 {
		if len(inside[0]) == 0 {
			return nil // a single node without an edge to itself
		}
		starts = []int{0}
	}
	var best []int32
	from := make([]int32, len(group))
	for _, s := range starts {
		c := nearestReturn(inside, int32(s), len(best), from)
		if c == nil {
			continue
		}
		for k := range c {
			c[k] = group[c[k]]
		}
		c = rotate(c)
		if best == nil || shorter(c, best) {
			best = c
		}
	}
	return best
}

// nearestReturn is a breadth-first search from s back to s, for cycles of at most limit nodes (0: any). Because successors
// are visited in order, of the shortest paths it finds the smallest.
func nearestReturn(after [][]int32, s int32, limit int, from []int32) []int32 {
	for i := range from {
		from[i] = -1
	}
	level := []int32{s}
	for depth := 1; len(level) > 0 && (limit == 0 || depth <= limit); depth++ {
		var next []int32
		for _, i := range level {
			for _, to := range after[i] {
				if to == s {
					var path []int32
					for at := i; at != s; at = from[at] {
						path = append(path, at)
					}
					path = append(path, s)
					slices.Reverse(path)
					return path
				}
				if from[to] < 0 {
					from[to] = i
					next = append(next, to)
				}
			}
		}
		level = next
	}
	return nil
}

// rotate makes a cycle begin with its smallest node.
func rotate(c []int32) []int32 {
	at := slices.Index(c, slices.Min(c))
	return append(slices.Clone(c[at:]), c[:at]...)
}
