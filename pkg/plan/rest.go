package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// A lane at rest is that of an instance which is installed and to which nothing is done itself: a load balancer when what it balances is scaled
// out. All that happens in it are operations of its relationships to what is new, and these keep their place in the lane's order and stand on
// their own: each needs its own pair of instances only. What becomes of other new instances must not keep a good one from being connected.
//
//	needs                        the host, what waits for this pair, what this pair waits for, earlier operations of the pair
//	comes after, however it ends everything else that the lane waits for
func (w *weft) atRest(l *lane) bool {
	in := l.id()
	return w.name == Install && w.life.forward && w.b.wasThere(l) && !w.changes(l) && !(w.b.updates != nil && w.b.updates.inPlace[in])
}

// wireKey names a relationship of an instance as one of its ends has it, wire an operation of it with the instances that it concerns.
type wireKey struct {
	lane   topology.Instance
	source string // index
	rel    *topology.Relationship
}

type wire struct {
	vert    int
	op      string
	targets []string
}

// wire gives an operation in a lane at rest what it needs.
func (w *weft) wire(l *lane, c call, v int) {
	g, r := &w.b.g, c.rel
	g.edge(l.begin, v)
	source := w.lanes[topology.Instance{Node: r.Source, Index: c.index}]
	switch {
	case !c.atTarget:
		first := released(w.t, w.life, r)
		for _, j := range c.targets {
			if target := w.lanes[topology.Instance{Node: r.Target, Index: j}]; target != nil && !target.rests {
				g.edge(first(target), v)
			}
		}
	case source == nil || source.rests:
	case w.overlap(r):
		at, _ := configuring(source)
		g.edge(v, at)
		if w.t.Order == topology.CreateInParallel {
			g.edge(source.phases[0].leave, v)
		}
	default:
		g.edge(v, source.open)
	}
	w.afterWires(l, c, v)
	w.wired[wireOf(l, c)] = append(w.wired[wireOf(l, c)], wire{v, c.op.Name, c.targets})
}

func wireOf(l *lane, c call) wireKey { return wireKey{l.id(), c.index, c.rel} }

// afterWires puts an operation after the earlier ones of its pair in a lane at rest.
func (w *weft) afterWires(l *lane, c call, v int) {
	for _, before := range w.wired[wireOf(l, c)] {
		if before.op != c.op.Name && slices.ContainsFunc(c.targets, func(j string) bool { return slices.Contains(before.targets, j) }) {
			w.b.g.edge(before.vert, v)
		}
	}
}

// afterEnd puts an operation that concerns an instance after its lane.
func (w *weft) afterEnd(l *lane, c call, v int) {
	if !l.rests {
		w.b.g.edge(l.end, v)
		return
	}
	w.b.g.edge(l.begin, v)
	w.b.g.lax(l.end, v)
	w.afterWires(l, c, v)
}
