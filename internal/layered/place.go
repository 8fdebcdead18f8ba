package layered

import (
	"math"
	"slices"
)

// place gives every vertex its coordinates. Across: Brandes and Köpf (2001): vertices are aligned with the median of their neighbours in four
// ways (from above or below, leaning left or right), each gives a compact drawing, and the mean of the middle two is taken.
func (g *graph) place(o Options) {
	for v := range g.up {
		g.sortByPos(g.up[v])
		g.sortByPos(g.down[v])
	}
	bad := g.conflicts()
	var runs [4][]float64
	for i := range runs {
		runs[i] = g.aligned(i&1 == 1, i&2 == 2, bad, o)
	}
	g.x = balance(runs, g.width)
	least := math.Inf(1)
	for v := range g.x {
		least = min(least, g.x[v]-g.width(v)/2)
	}
	for v := range g.x {
		g.x[v] -= least
	}
	g.y = make([]float64, len(g.layer))
	y := 0.0
	for _, l := range g.layers {
		h := 0.0
		for _, v := range l {
			h = max(h, g.box[v].H)
		}
		for _, v := range l {
			g.y[v] = y + h/2
		}
		y += h + o.LayerGap
	}
}

// dummyWidth keeps long edges apart.
const dummyWidth = 14

func (g *graph) width(v int) float64 {
	if g.dummy(v) {
		return dummyWidth
	}
	return g.box[v].W
}

type segment struct{ upper, lower int }

// conflicts are the segments that cross a long edge's inner segment: they give way, so that long edges are straight.
func (g *graph) conflicts() map[segment]bool {
	bad := map[segment]bool{}
	for i := 1; i+1 < len(g.layers); i++ {
		lower := g.layers[i+1]
		left, from := 0, 0
		for j, v := range lower {
			inner := -1
			if g.dummy(v) && len(g.up[v]) == 1 && g.dummy(g.up[v][0]) {
				inner = g.up[v][0]
			}
			if inner < 0 && j+1 < len(lower) {
				continue
			}
			right := len(g.layers[i]) - 1
			if inner >= 0 {
				right = g.pos[inner]
			}
			for ; from <= j; from++ {
				w := lower[from]
				for _, u := range g.up[w] {
					if p := g.pos[u]; (p < left || p > right) && !(g.dummy(u) && g.dummy(w)) {
						bad[segment{u, w}] = true
					}
				}
			}
			left = right
		}
	}
	return bad
}

// aligned makes one of the four drawings.
func (g *graph) aligned(fromBelow, leanRight bool, bad map[segment]bool, o Options) []float64 {
	layers := g.snapshot()
	near := g.up
	if fromBelow {
		slices.Reverse(layers)
		near = g.down
	}
	if leanRight {
		for _, l := range layers {
			slices.Reverse(l)
		}
	}
	pos := make([]int, len(g.layer))
	for _, l := range layers {
		for i, v := range l {
			pos[v] = i
		}
	}
	root, next := make([]int, len(g.layer)), make([]int, len(g.layer))
	for v := range root {
		root[v], next[v] = v, v
	}
	for _, l := range layers {
		last := -1
		for _, v := range l {
			ns := near[v]
			if len(ns) == 0 {
				continue
			}
			lo, hi := (len(ns)-1)/2, len(ns)/2
			medians := []int{ns[lo], ns[hi]}
			if leanRight {
				slices.Reverse(medians)
			}
			for _, u := range medians {
				s := segment{u, v}
				if fromBelow {
					s = segment{v, u}
				}
				if next[v] == v && pos[u] > last && !bad[s] {
					next[u], root[v] = v, root[u]
					next[v] = root[v]
					last = pos[u]
				}
			}
		}
	}
	x := g.compact(layers, root, o)
	if leanRight {
		for v := range x {
			x[v] = -x[v]
		}
	}
	return x
}

// compact places the blocks as far left as their neighbours allow, then moves each to the right towards those that follow it.
func (g *graph) compact(layers [][]int, root []int, o Options) []float64 {
	type need struct {
		block int
		dist  float64
	}
	n := len(g.layer)
	before, after := make([][]need, n), make([][]need, n)
	open := make([]int, n) // blocks on the left without a place
	for _, l := range layers {
		for i := 1; i < len(l); i++ {
			a, b := l[i-1], l[i]
			d := (g.width(a)+g.width(b))/2 + o.Gap
			before[root[b]] = append(before[root[b]], need{root[a], d})
			after[root[a]] = append(after[root[a]], need{root[b], d})
			open[root[b]]++
		}
	}
	var order []int
	for v := range n {
		if root[v] == v && open[v] == 0 {
			order = append(order, v)
		}
	}
	x := make([]float64, n)
	for i := 0; i < len(order); i++ {
		v := order[i]
		for _, b := range before[v] {
			x[v] = max(x[v], x[b.block]+b.dist)
		}
		for _, a := range after[v] {
			if open[a.block]--; open[a.block] == 0 {
				order = append(order, a.block)
			}
		}
	}
	for _, v := range slices.Backward(order) {
		room := math.Inf(1)
		for _, a := range after[v] {
			room = min(room, x[a.block]-a.dist)
		}
		if !math.IsInf(room, 1) {
			x[v] = max(x[v], room)
		}
	}
	for v := range n {
		x[v] = x[root[v]]
	}
	return x
}

// balance moves the drawings to the borders of the narrowest one and takes the mean of the middle two for each vertex.
func balance(runs [4][]float64, width func(int) float64) []float64 {
	var lo, hi [4]float64
	narrowest := 0
	for i, x := range runs {
		lo[i], hi[i] = math.Inf(1), math.Inf(-1)
		for v, at := range x {
			lo[i], hi[i] = min(lo[i], at-width(v)/2), max(hi[i], at+width(v)/2)
		}
		if hi[i]-lo[i] < hi[narrowest]-lo[narrowest] {
			narrowest = i
		}
	}
	out := make([]float64, len(runs[0]))
	for v := range out {
		var at [4]float64
		for i, x := range runs {
			if i&2 == 0 {
				at[i] = x[v] + lo[narrowest] - lo[i]
			} else {
				at[i] = x[v] + hi[narrowest] - hi[i]
			}
		}
		s := at[:]
		slices.Sort(s)
		out[v] = (s[1] + s[2]) / 2
	}
	return out
}

// part reads the drawing off: boxes, and for each edge where it leaves, what it passes, and where it arrives.
func (g *graph) part(o Options) part {
	p := part{nodes: map[int]Point{}, edges: map[int][]Point{}}
	for v := range g.layer {
		p.w = max(p.w, g.x[v]+g.width(v)/2)
		p.h = max(p.h, g.y[v]+g.box[v].H/2)
		if !g.dummy(v) {
			p.nodes[g.ids[v]] = Point{g.x[v], g.y[v]}
		}
	}
	below, above := g.ports()
	for i, a := range g.arcs {
		path := []Point{{below[i], g.y[a.from] + g.box[a.from].H/2}}
		for _, v := range a.chain[1 : len(a.chain)-1] {
			h := g.layerHeight(g.layer[v])
			path = append(path, Point{g.x[v], g.y[v] - h/2}, Point{g.x[v], g.y[v] + h/2})
		}
		path = append(path, Point{above[i], g.y[a.to] - g.box[a.to].H/2})
		if a.turned {
			slices.Reverse(path)
		}
		p.edges[a.edge] = path
	}
	return p
}

func (g *graph) layerHeight(layer int) float64 {
	h := 0.0
	for _, v := range g.layers[layer] {
		h = max(h, g.box[v].H)
	}
	return h
}

// ports spreads the arcs' ends along the lower and upper borders of their boxes, in the order of what they lead to.
func (g *graph) ports() (below, above []float64) {
	below, above = make([]float64, len(g.arcs)), make([]float64, len(g.arcs))
	outs, ins := make([][]int, g.real), make([][]int, g.real)
	for i, a := range g.arcs {
		outs[a.from] = append(outs[a.from], i)
		ins[a.to] = append(ins[a.to], i)
	}
	spread := func(v int, arcs []int, far func(i int) int, at []float64) {
		slices.SortStableFunc(arcs, func(i, j int) int { return g.pos[far(i)] - g.pos[far(j)] })
		step := min(26, g.box[v].W*0.8/float64(len(arcs)))
		for k, i := range arcs {
			at[i] = g.x[v] + step*(float64(k)-float64(len(arcs)-1)/2)
		}
	}
	for v := range g.real {
		spread(v, outs[v], func(i int) int { return g.arcs[i].chain[1] }, below)
		spread(v, ins[v], func(i int) int { c := g.arcs[i].chain; return c[len(c)-2] }, above)
	}
	return below, above
}
