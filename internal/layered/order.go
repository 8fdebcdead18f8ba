package layered

import (
	"cmp"
	"slices"
)

// sweeps bounds the work on crossings: many for small graphs, few for huge ones.
func (g *graph) sweeps() int { return max(4, min(48, 400_000/(len(g.layer)+1))) }

// order reduces crossings: sweeps down and up sort each layer by the mean place of its neighbours in the layer before, and neighbours in a
// layer change places where that helps. The best order that was seen stays.
func (g *graph) order() {
	best := g.crossings()
	keep := g.snapshot()
	for round, idle := 0, 0; round < g.sweeps() && best > 0 && idle < 6; round++ {
		g.sweep(round%2 == 0, round%4 < 2)
		if len(g.layer) < 4_000 {
			g.transpose()
		}
		idle++
		if c := g.crossings(); c < best {
			best, keep, idle = c, g.snapshot(), 0
		}
	}
	g.layers = keep
	for _, l := range g.layers {
		g.reindex(l)
	}
}

func (g *graph) snapshot() [][]int {
	out := make([][]int, len(g.layers))
	for i, l := range g.layers {
		out[i] = slices.Clone(l)
	}
	return out
}

// sweep sorts the layers from one end to the other. With keep, equal means keep their order; else it is turned around, which leads out of
// orders that are best only in their neighbourhood.
func (g *graph) sweep(down, keep bool) {
	n := len(g.layers)
	mean := make([]float64, len(g.layer))
	for i := 1; i < n; i++ {
		l, near := g.layers[i], g.up
		if !down {
			l, near = g.layers[n-1-i], g.down
		}
		for _, v := range l {
			if mean[v] = float64(g.pos[v]); len(near[v]) == 0 {
				continue
			}
			sum := 0
			for _, u := range near[v] {
				sum += g.pos[u]
			}
			mean[v] = float64(sum) / float64(len(near[v]))
		}
		if !keep {
			slices.Reverse(l)
		}
		slices.SortStableFunc(l, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
		g.reindex(l)
	}
}

// transpose lets neighbours in a layer change places as long as that removes crossings.
func (g *graph) transpose() {
	for better, round := true, 0; better && round < 8; round++ {
		better = false
		for _, l := range g.layers {
			for i := 0; i+1 < len(l); i++ {
				v, w := l[i], l[i+1]
				if g.between(v, w) > g.between(w, v) {
					l[i], l[i+1] = w, v
					g.pos[v], g.pos[w] = i+1, i
					better = true
				}
			}
		}
	}
}

// maxPairs bounds the comparisons for two vertices with very many edges.
const maxPairs = 1 << 14

// between counts the crossings of v's and w's edges with v on the left.
func (g *graph) between(v, w int) int {
	n := 0
	for _, near := range [][][]int{g.up, g.down} {
		if len(near[v])*len(near[w]) > maxPairs {
			continue
		}
		for _, a := range near[v] {
			for _, b := range near[w] {
				if g.pos[a] > g.pos[b] {
					n++
				}
			}
		}
	}
	return n
}

// crossings counts those between all adjacent layers: inversions of the targets' places, with a binary indexed tree.
func (g *graph) crossings() int {
	total := 0
	for i := 0; i+1 < len(g.layers); i++ {
		size := len(g.layers[i+1])
		tree := make([]int, size+1)
		seen := 0
		var targets []int
		for _, v := range g.layers[i] {
			targets = targets[:0]
			for _, w := range g.down[v] {
				targets = append(targets, g.pos[w])
			}
			for _, p := range targets { // those of earlier vertices that lie to the right cross
				upTo := 0
				for k := p + 1; k > 0; k -= k & -k {
					upTo += tree[k]
				}
				total += seen - upTo
			}
			for _, p := range targets {
				for k := p + 1; k <= size; k += k & -k {
					tree[k]++
				}
			}
			seen += len(targets)
		}
	}
	return total
}
