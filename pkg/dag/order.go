package dag

import (
	"slices"
	"time"
)

// Order returns all nodes so that every edge goes forward; among nodes that could come next the smallest id does.
// It returns a *CycleError if there is a cycle.
func (g *Graph[K]) Order() ([]K, error) {
	x := g.index()
	order, ok := x.order()
	if !ok {
		return nil, g.cycleError(x)
	}
	return x.names(order), nil
}

// order is Kahn's algorithm with a heap. It reports false if a cycle stops it.
func (x indexed[K]) order() ([]int32, bool) {
	left := slices.Clone(x.in)
	var ready minHeap
	for i, n := range left {
		if n == 0 {
			ready = append(ready, int32(i)) // ascending: already a heap
		}
	}
	order := make([]int32, 0, len(left))
	for len(ready) > 0 {
		i := ready.pop()
		order = append(order, i)
		for _, to := range x.after[i] {
			if left[to]--; left[to] == 0 {
				ready.push(to)
			}
		}
	}
	return order, len(order) == len(left)
}

type minHeap []int32

func (h *minHeap) push(v int32) {
	*h = append(*h, v)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up] <= s[i] {
			return
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *minHeap) pop() int32 {
	s := *h
	top, last := s[0], len(s)-1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && s[c+1] < s[c] {
			c++
		}
		if s[i] <= s[c] {
			break
		}
		s[i], s[c] = s[c], s[i]
		i = c
	}
	*h = s
	return top
}

// Reduce returns the graph without the edges that follow from others (its transitive reduction, which for a graph without cycles is
// unique). It returns a *CycleError if there is a cycle.
func (g *Graph[K]) Reduce() (*Graph[K], error) {
	x := g.index()
	order, ok := x.order()
	if !ok {
		return nil, g.cycleError(x)
	}
	place := make([]int32, len(order))
	for p, i := range order {
		place[i] = int32(p)
	}
	r := &Graph[K]{}
	r.Add(x.ids...)
	for _, i := range order { // near successors first: they may reach the far ones
		slices.SortFunc(x.after[i], func(a, b int32) int { return int(place[a] - place[b]) })
	}
	// Reachability in bits, for a block of target nodes at a time to bound the memory.
	const words = 64
	const block = words * 64
	for base := 0; base < len(order); base += block {
		reach := make([][words]uint64, len(order)) // by place: which nodes of the block it reaches
		for p := len(order) - 1; p >= 0; p-- {
			i := order[p]
			mine := &reach[p]
			for _, to := range x.after[i] {
				q := int(place[to])
				if q >= base && q < base+block {
					w, bit := (q-base)/64, uint64(1)<<((q-base)%64)
					if mine[w]&bit == 0 {
						r.Edge(x.ids[i], x.ids[to])
					}
					mine[w] |= bit
				}
				if q < base+block { // later places reach nothing in the block
					for w := range mine {
						mine[w] |= reach[q][w]
					}
				}
			}
		}
	}
	return r, nil
}

// CriticalPath returns the chain of nodes that takes longest, and how long: the least time a walk without limits can take.
// Of equally long chains it returns the one with the smallest ids. It returns a *CycleError if there is a cycle.
func (g *Graph[K]) CriticalPath(duration func(K) time.Duration) ([]K, time.Duration, error) {
	x := g.index()
	order, ok := x.order()
	if !ok {
		return nil, 0, g.cycleError(x)
	}
	total := make([]time.Duration, len(order)) // from the start of the node to the end of everything after it
	next := make([]int32, len(order))
	best := int32(-1)
	for _, i := range slices.Backward(order) {
		next[i] = -1
		for _, to := range x.after[i] {
			if next[i] < 0 || total[to] > total[next[i]] {
				next[i] = to
			}
		}
		total[i] = duration(x.ids[i])
		if next[i] >= 0 {
			total[i] += total[next[i]]
		}
	}
	for i := range total {
		if best < 0 || total[i] > total[best] {
			best = int32(i)
		}
	}
	if best < 0 {
		return nil, 0, nil
	}
	var path []int32
	for i := best; i >= 0; i = next[i] {
		path = append(path, i)
	}
	return x.names(path), total[best], nil
}
