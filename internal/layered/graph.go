package layered

import (
	"cmp"
	"slices"
)

// graph is one component on its way to a drawing. The first `real` vertices are boxes, the others dummies on long edges.
type graph struct {
	real  int
	ids   []int // of the boxes in the input
	box   []Box
	arcs  []arc
	layer []int // of each vertex; 0 is at the bottom until addDummies turns it around
	// layers from top to bottom with the vertices from left to right; pos is the index in the layer.
	layers [][]int
	pos    []int
	// up and down are the neighbours in the layers above and below, after addDummies.
	up, down [][]int
	x, y     []float64
}

// arc is an edge of the input without cycles: from above to to, turned around where it closed a cycle.
type arc struct {
	edge     int // in the input
	from, to int
	turned   bool
	chain    []int // from, dummies, to
}

func newGraph(members []int, boxes []Box, edges []Edge) *graph {
	g := &graph{real: len(members), ids: members, box: make([]Box, len(members))}
	index := make(map[int]int, len(members))
	for i, id := range members {
		index[id] = i
		g.box[i] = boxes[id]
	}
	for i, e := range edges {
		from, ok := index[e.From]
		if ok && e.From != e.To {
			g.arcs = append(g.arcs, arc{edge: i, from: from, to: index[e.To]})
		}
	}
	return g
}

// breakCycles turns the arcs around that a depth-first search finds to lead back.
func (g *graph) breakCycles() {
	out := make([][]int, g.real)
	for i, a := range g.arcs {
		out[a.from] = append(out[a.from], i)
	}
	const (
		fresh = iota
		open
		done
	)
	state := make([]int, g.real)
	type frame struct{ v, next int }
	for start := range g.real {
		if state[start] != fresh {
			continue
		}
		state[start] = open
		for stack := []frame{{v: start}}; len(stack) > 0; {
			top := &stack[len(stack)-1]
			if top.next == len(out[top.v]) {
				state[top.v] = done
				stack = stack[:len(stack)-1]
				continue
			}
			a := &g.arcs[out[top.v][top.next]]
			top.next++
			switch state[a.to] {
			case open:
				a.turned = true
			case fresh:
				state[a.to] = open
				stack = append(stack, frame{v: a.to})
			}
		}
	}
	for i := range g.arcs {
		if a := &g.arcs[i]; a.turned {
			a.from, a.to = a.to, a.from
		}
	}
}

// assignLayers puts every node above all that it points to: as low as possible first, then towards where most of its edges go.
func (g *graph) assignLayers() {
	in, out := make([][]int, g.real), make([][]int, g.real)
	for _, a := range g.arcs {
		out[a.from] = append(out[a.from], a.to)
		in[a.to] = append(in[a.to], a.from)
	}
	g.layer = make([]int, g.real)
	left := make([]int, g.real) // targets without a layer yet
	var ready []int
	for v := range g.real {
		if left[v] = len(out[v]); left[v] == 0 {
			ready = append(ready, v)
		}
	}
	for i := 0; i < len(ready); i++ {
		for _, u := range in[ready[i]] {
			g.layer[u] = max(g.layer[u], g.layer[ready[i]]+1)
			if left[u]--; left[u] == 0 {
				ready = append(ready, u)
			}
		}
	}
	for moved, round := true, 0; moved && round < 8; round++ {
		moved = false
		for _, v := range slices.Backward(ready) {
			if len(in[v]) <= len(out[v]) {
				continue
			}
			lowest := g.layer[in[v][0]]
			for _, u := range in[v] {
				lowest = min(lowest, g.layer[u])
			}
			if lowest-1 > g.layer[v] {
				g.layer[v], moved = lowest-1, true
			}
		}
	}
	bottom := slices.Min(g.layer)
	for v := range g.layer {
		g.layer[v] -= bottom
	}
}

// addDummies makes every arc a chain of vertices in adjacent layers and fills the layers.
func (g *graph) addDummies() {
	top := slices.Max(g.layer)
	for v := range g.layer {
		g.layer[v] = top - g.layer[v]
	}
	g.up, g.down = make([][]int, g.real), make([][]int, g.real)
	for i := range g.arcs {
		a := &g.arcs[i]
		a.chain = []int{a.from}
		at := a.from
		for l := g.layer[a.from] + 1; l <= g.layer[a.to]; l++ {
			next := a.to
			if l < g.layer[a.to] {
				next = len(g.layer)
				g.layer = append(g.layer, l)
				g.box = append(g.box, Box{})
				g.up, g.down = append(g.up, nil), append(g.down, nil)
			}
			g.down[at], g.up[next] = append(g.down[at], next), append(g.up[next], at)
			a.chain = append(a.chain, next)
			at = next
		}
	}
	g.layers = make([][]int, top+1)
	g.pos = make([]int, len(g.layer))
	g.firstOrder()
}

// firstOrder fills the layers in the order of a depth-first walk, which keeps neighbours together.
func (g *graph) firstOrder() {
	seen := make([]bool, len(g.layer))
	visit := func(start int) {
		for stack := []int{start}; len(stack) > 0; {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if seen[v] {
				continue
			}
			seen[v] = true
			g.pos[v] = len(g.layers[g.layer[v]])
			g.layers[g.layer[v]] = append(g.layers[g.layer[v]], v)
			for _, list := range [][]int{g.up[v], g.down[v]} {
				for _, n := range slices.Backward(list) {
					if !seen[n] {
						stack = append(stack, n)
					}
				}
			}
		}
	}
	for v := range g.real {
		visit(v)
	}
}

func (g *graph) dummy(v int) bool { return v >= g.real }

// reindex sets the positions of a layer.
func (g *graph) reindex(layer []int) {
	for i, v := range layer {
		g.pos[v] = i
	}
}

// sortByPos orders neighbours from left to right.
func (g *graph) sortByPos(list []int) {
	slices.SortFunc(list, func(a, b int) int { return cmp.Compare(g.pos[a], g.pos[b]) })
}
