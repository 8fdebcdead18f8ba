// Package layered draws directed graphs in layers (Sugiyama, Tagawa, Toda 1981): it gives every node a place so that arrows point downwards,
// few of them cross, and long ones go around the nodes.
//
//	break cycles → layers → a dummy node where an edge passes a layer → order within layers → coordinates → packing of the components
//
// It knows boxes and edges only; what they mean and how they are drawn is the caller's. The result depends on nothing but the input.
package layered

import (
	"math"
	"slices"
)

// Point in the drawing; y grows downwards.
type Point struct{ X, Y float64 }

// Box is a node's size.
type Box struct{ W, H float64 }

// Edge from an upper to a lower node, by index.
type Edge struct{ From, To int }

// Options of Do; the zero value works.
type Options struct {
	Gap      float64 // between the boxes of a layer; 0: 24
	LayerGap float64 // between layers; 0: 56
}

// Layout is the drawing.
type Layout struct {
	W, H float64
	// Nodes are the boxes' centres, Edges the points that each edge passes, from the border of its From to that of its To.
	Nodes []Point
	Edges [][]Point
}

// Do lays out a graph. Edges from a node to itself become a small loop beside it.
func Do(boxes []Box, edges []Edge, o Options) Layout {
	if o.Gap == 0 {
		o.Gap = 24
	}
	if o.LayerGap == 0 {
		o.LayerGap = 56
	}
	out := Layout{Nodes: make([]Point, len(boxes)), Edges: make([][]Point, len(edges))}
	var parts []part
	for _, members := range components(len(boxes), edges) {
		parts = append(parts, layOut(members, boxes, edges, o))
	}
	pack(parts, o, &out)
	for i, e := range edges {
		if e.From == e.To {
			out.Edges[i] = loop(out.Nodes[e.From], boxes[e.From])
		}
	}
	return out
}

// part is a laid out component.
type part struct {
	w, h  float64
	nodes map[int]Point
	edges map[int][]Point
}

// layOut draws one connected component.
func layOut(members []int, boxes []Box, edges []Edge, o Options) part {
	g := newGraph(members, boxes, edges)
	g.breakCycles()
	g.assignLayers()
	g.addDummies()
	g.order()
	g.place(o)
	return g.part(o)
}

// components are the connected parts, each with its nodes in ascending order, by their first node.
func components(n int, edges []Edge) [][]int {
	parent := make([]int, n)
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for _, e := range edges {
		a, b := find(e.From), find(e.To)
		parent[max(a, b)] = min(a, b)
	}
	byRoot := map[int]int{}
	var out [][]int
	for i := range n {
		r := find(i)
		at, ok := byRoot[r]
		if !ok {
			at = len(out)
			byRoot[r] = at
			out = append(out, nil)
		}
		out[at] = append(out[at], i)
	}
	return out
}

// ratio of width to height that packing aims at.
const ratio = 1.6

// pack puts the components on shelves, larger ones first.
func pack(parts []part, o Options, out *Layout) {
	area, widest := 0.0, 0.0
	for _, p := range parts {
		area += (p.w + o.LayerGap) * (p.h + o.LayerGap)
		widest = max(widest, p.w)
	}
	slices.SortStableFunc(parts, func(a, b part) int { return int(math.Round(b.h - a.h)) })
	limit := max(widest, math.Sqrt(area*ratio))
	x, y, shelf := 0.0, 0.0, 0.0
	for _, p := range parts {
		if x > 0 && x+p.w > limit {
			x, y, shelf = 0, y+shelf+o.LayerGap, 0
		}
		for i, at := range p.nodes {
			out.Nodes[i] = Point{at.X + x, at.Y + y}
		}
		for i, path := range p.edges {
			for _, at := range path {
				out.Edges[i] = append(out.Edges[i], Point{at.X + x, at.Y + y})
			}
		}
		out.W, out.H = max(out.W, x+p.w), max(out.H, y+p.h)
		x += p.w + o.LayerGap
		shelf = max(shelf, p.h)
	}
}

func loop(at Point, b Box) []Point {
	x, d := at.X+b.W/2, b.H/4
	return []Point{{x, at.Y - d}, {x + 18, at.Y - d}, {x + 18, at.Y + d}, {x, at.Y + d}}
}
