// Package dag is a directed graph of ordered ids: cycles with their path, topological order, reduction and critical path. It knows
// nothing of what the ids stand for.
//
// An edge goes from what comes first to what comes after it. Every result is determined by the ids and edges alone, never by the order
// in which they were added.
package dag

import (
	"cmp"
	"maps"
	"slices"
)

// Graph is a set of ids and edges between them. The zero value is empty and ready. It may have cycles; methods that need their
// absence return a *CycleError. Reading is safe for concurrent use while nobody writes.
type Graph[K cmp.Ordered] struct {
	nodes map[K]*links[K]
}

type links[K cmp.Ordered] struct {
	after, before map[K]struct{}
}

// Add adds nodes; those that exist stay as they are.
func (g *Graph[K]) Add(ids ...K) {
	for _, id := range ids {
		g.node(id)
	}
}

func (g *Graph[K]) node(id K) *links[K] {
	if g.nodes == nil {
		g.nodes = make(map[K]*links[K])
	}
	n := g.nodes[id]
	if n == nil {
		n = &links[K]{}
		g.nodes[id] = n
	}
	return n
}

// Edge says that first comes before then, and adds both nodes. Repeating an edge has no effect; an edge to itself is a cycle.
func (g *Graph[K]) Edge(first, then K) {
	f, t := g.node(first), g.node(then)
	if f.after == nil {
		f.after = make(map[K]struct{})
	}
	if t.before == nil {
		t.before = make(map[K]struct{})
	}
	f.after[then] = struct{}{}
	t.before[first] = struct{}{}
}

// Len is the number of nodes.
func (g *Graph[K]) Len() int { return len(g.nodes) }

// Has reports whether the node exists.
func (g *Graph[K]) Has(id K) bool { return g.nodes[id] != nil }

// HasEdge reports whether the edge exists.
func (g *Graph[K]) HasEdge(first, then K) bool {
	n := g.nodes[first]
	if n == nil {
		return false
	}
	_, ok := n.after[then]
	return ok
}

// Nodes returns all ids in order.
func (g *Graph[K]) Nodes() []K { return slices.Sorted(maps.Keys(g.nodes)) }

// After returns the direct successors of a node in order.
func (g *Graph[K]) After(id K) []K {
	if n := g.nodes[id]; n != nil {
		return slices.Sorted(maps.Keys(n.after))
	}
	return nil
}

// Before returns the direct predecessors of a node in order.
func (g *Graph[K]) Before(id K) []K {
	if n := g.nodes[id]; n != nil {
		return slices.Sorted(maps.Keys(n.before))
	}
	return nil
}

// Descendants returns everything that comes after any of the ids, in order. An id is in it only if it lies on a cycle or after another.
func (g *Graph[K]) Descendants(ids ...K) []K {
	return g.closure(ids, func(n *links[K]) map[K]struct{} { return n.after })
}

// Ancestors returns everything that comes before any of the ids, in order.
func (g *Graph[K]) Ancestors(ids ...K) []K {
	return g.closure(ids, func(n *links[K]) map[K]struct{} { return n.before })
}

func (g *Graph[K]) closure(ids []K, next func(*links[K]) map[K]struct{}) []K {
	found := make(map[K]struct{})
	todo := slices.Clone(ids)
	for len(todo) > 0 {
		n := g.nodes[todo[len(todo)-1]]
		todo = todo[:len(todo)-1]
		if n == nil {
			continue
		}
		for id := range next(n) {
			if _, again := found[id]; !again {
				found[id] = struct{}{}
				todo = append(todo, id)
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Subgraph returns the nodes that keep accepts and the edges between them.
func (g *Graph[K]) Subgraph(keep func(K) bool) *Graph[K] {
	s := &Graph[K]{}
	for id, n := range g.nodes {
		if !keep(id) {
			continue
		}
		s.Add(id)
		for to := range n.after {
			if keep(to) {
				s.Edge(id, to)
			}
		}
	}
	return s
}

// Reversed returns the graph with every edge turned round.
func (g *Graph[K]) Reversed() *Graph[K] {
	r := &Graph[K]{}
	for id, n := range g.nodes {
		r.Add(id)
		for to := range n.after {
			r.Edge(to, id)
		}
	}
	return r
}

// indexed is the graph with ids replaced by their rank, which is quicker to compute with.
type indexed[K cmp.Ordered] struct {
	ids   []K
	after [][]int32 // sorted
	in    []int32   // number of predecessors
}

func (g *Graph[K]) index() indexed[K] {
	x := indexed[K]{ids: g.Nodes()}
	rank := make(map[K]int32, len(x.ids))
	for i, id := range x.ids {
		rank[id] = int32(i)
	}
	x.after = make([][]int32, len(x.ids))
	x.in = make([]int32, len(x.ids))
	for i, id := range x.ids {
		n := g.nodes[id]
		x.in[i] = int32(len(n.before))
		if len(n.after) == 0 {
			continue
		}
		out := make([]int32, 0, len(n.after))
		for to := range n.after {
			out = append(out, rank[to])
		}
		slices.Sort(out)
		x.after[i] = out
	}
	return x
}

func (x indexed[K]) names(is []int32) []K {
	ids := make([]K, len(is))
	for i, v := range is {
		ids[i] = x.ids[v]
	}
	return ids
}
