package layered

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func same(n int) []Box {
	b := make([]Box, n)
	for i := range b {
		b[i] = Box{100, 40}
	}
	return b
}

// check holds a drawing against what every drawing must fulfil.
func check(t *testing.T, boxes []Box, edges []Edge, l Layout) {
	t.Helper()
	for i, p := range l.Nodes {
		b := boxes[i]
		if p.X-b.W/2 < -0.01 || p.Y-b.H/2 < -0.01 || p.X+b.W/2 > l.W+0.01 || p.Y+b.H/2 > l.H+0.01 || math.IsNaN(p.X+p.Y) {
			t.Fatalf("node %d at %v is outside of the drawing %v × %v", i, p, l.W, l.H)
		}
		for j := range i {
			q, c := l.Nodes[j], boxes[j]
			if math.Abs(p.X-q.X) < (b.W+c.W)/2-0.01 && math.Abs(p.Y-q.Y) < (b.H+c.H)/2-0.01 {
				t.Fatalf("the nodes %d at %v and %d at %v lie on each other", i, p, j, q)
			}
		}
	}
	for i, e := range edges {
		path := l.Edges[i]
		if len(path) < 2 {
			t.Fatalf("edge %d has no path", i)
		}
		for end, v := range map[int]int{0: e.From, len(path) - 1: e.To} {
			p, at, b := path[end], l.Nodes[v], boxes[v]
			if math.Abs(p.X-at.X) > b.W/2+0.01 || math.Abs(p.Y-at.Y) > b.H/2+0.01 {
				t.Fatalf("edge %d ends at %v, not at its node %v", i, p, at)
			}
		}
	}
}

func TestArrowsPointDownwards(t *testing.T) {
	edges := []Edge{{0, 1}, {1, 2}, {0, 2}, {3, 2}, {4, 0}}
	l := Do(same(5), edges, Options{})
	check(t, same(5), edges, l)
	for _, e := range edges {
		if l.Nodes[e.From].Y >= l.Nodes[e.To].Y {
			t.Errorf("%d is not above %d: %v", e.From, e.To, l.Nodes)
		}
	}
}

func TestAChainIsStraight(t *testing.T) {
	l := Do(same(4), []Edge{{0, 1}, {1, 2}, {2, 3}}, Options{})
	for _, p := range l.Nodes {
		if math.Abs(p.X-l.Nodes[0].X) > 0.01 {
			t.Errorf("%v", l.Nodes)
		}
	}
}

func TestParentsAreCentredAboveTheirChildren(t *testing.T) {
	l := Do(same(4), []Edge{{0, 1}, {0, 2}, {0, 3}}, Options{})
	if mid := (l.Nodes[1].X + l.Nodes[3].X) / 2; math.Abs(l.Nodes[0].X-l.Nodes[2].X) > 0.01 || math.Abs(mid-l.Nodes[2].X) > 0.01 {
		t.Errorf("%v", l.Nodes)
	}
}

// Two columns that are given crosswise are drawn without a crossing.
func TestCrossingsAreRemoved(t *testing.T) {
	edges := []Edge{{0, 4}, {1, 3}, {2, 5}, {0, 5}, {1, 4}, {6, 0}, {6, 1}, {6, 2}}
	g := newGraph([]int{0, 1, 2, 3, 4, 5, 6}, same(7), edges)
	g.breakCycles()
	g.assignLayers()
	g.addDummies()
	g.order()
	if n := g.crossings(); n != 0 {
		t.Errorf("%d crossings are left: %v", n, g.layers)
	}
}

func TestCyclesLoopsAndParallelEdges(t *testing.T) {
	edges := []Edge{{0, 1}, {1, 2}, {2, 0}, {0, 0}, {0, 1}, {0, 1}}
	l := Do(same(4), edges, Options{})
	check(t, same(4), edges[:3], l)
	if len(l.Edges[3]) != 4 {
		t.Errorf("the loop is %v", l.Edges[3])
	}
	if l.Edges[0][0] == l.Edges[4][0] || l.Edges[4][0] == l.Edges[5][0] {
		t.Error("parallel edges lie on each other")
	}
}

func TestNothing(t *testing.T) {
	if l := Do(nil, nil, Options{}); l.W != 0 || len(l.Nodes) != 0 {
		t.Errorf("%v", l)
	}
}

func TestComponentsArePacked(t *testing.T) {
	l := Do(same(100), nil, Options{})
	check(t, same(100), nil, l)
	if r := l.W / l.H; r < 0.5 || r > 4 {
		t.Errorf("a hundred single nodes make %v × %v", l.W, l.H)
	}
}

func TestRandomGraphsAreDrawnRightAndAlwaysAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		n := 1 + r.IntN(40)
		boxes := make([]Box, n)
		for i := range boxes {
			boxes[i] = Box{20 + 200*r.Float64(), 20 + 60*r.Float64()}
		}
		var edges []Edge
		for range r.IntN(2 * n) {
			edges = append(edges, Edge{r.IntN(n), r.IntN(n)})
		}
		l := Do(boxes, edges, Options{})
		check(t, boxes, edges, l)
		if again := Do(boxes, edges, Options{}); !reflect.DeepEqual(l, again) {
			t.Fatal("the same graph is drawn in two ways")
		}
	}
}

func BenchmarkDo(b *testing.B) {
	const n = 1000
	var edges []Edge
	for i := 4; i < n; i++ {
		edges = append(edges, Edge{i, i - i%4}, Edge{i, i - 4})
	}
	boxes := same(n)
	for b.Loop() {
		Do(boxes, edges, Options{})
	}
}
