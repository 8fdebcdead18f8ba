package plan

import (
	"cmp"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// survivors of scaling in to a number: first those go that are named (Input.Remove), then those that have failed, then the newest.
func (s *scaling) survivors(lead string, have []string, count int) []string {
	type candidate struct {
		index string
		rank  int
		made  int64
	}
	all := make([]candidate, 0, len(have))
	for _, i := range have {
		c := candidate{index: i, rank: 2}
		switch {
		case s.named(lead, i):
			c.rank = 0
		case s.failed(lead, i):
			c.rank = 1
		}
		if rec := s.b.in.Recorded[topology.Instance{Node: lead, Index: i}]; rec != nil && !rec.Created.IsZero() {
			c.made = rec.Created.UnixNano()
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.made, a.made), ByNumber(b.index, a.index))
	})
	gone := map[string]bool{}
	for _, c := range all[:len(have)-max(count, 0)] {
		gone[c.index] = true
	}
	return slices.DeleteFunc(have, func(i string) bool { return gone[i] })
}

// named reports whether an instance that scales with the leader's is to be removed.
func (s *scaling) named(lead, index string) bool {
	return slices.ContainsFunc(s.b.in.Remove, func(in topology.Instance) bool {
		return s.leader[in.Node] == lead && topology.IndexAt(in.Index, 0) == index
	})
}

// failed reports whether anything that scales with the leader's instance is broken.
func (s *scaling) failed(lead, index string) bool {
	for node, l := range s.leader {
		if l != lead {
			continue
		}
		for _, i := range s.b.recorded[node] {
			in := topology.Instance{Node: node, Index: i}
			if rec := s.b.in.Recorded[in]; topology.IndexAt(i, 0) == index && (rec.State == StateError || rec.Unwell() || s.b.in.Lost[in]) {
				return true
			}
		}
	}
	return false
}

// drainOperation of a node is what lets an instance finish its work before it is taken away alone: an operation called drain.
func drainOperation(n *topology.Node) *topology.Operation {
	if op := n.Operation(standard, "drain"); implemented(op) {
		return op
	}
	return findOperation(n, "drain")
}

// drain makes the instances that go finish their work: after what stays has let go of them, before they let go of what they use.
func (b *builder) drain(down *weft) {
	for _, l := range down.order {
		op := drainOperation(l.node)
		rec := b.in.Recorded[l.id()]
		if op == nil || rec == nil || rec.State != "started" && !rec.begun(b.opStep(act{t: down.t, s: down.s, node: l.node, index: l.index, op: op}).Key()) {
			continue
		}
		s := b.opStep(act{t: down.t, s: down.s, node: l.node, index: l.index, op: op})
		v := b.g.add(l.node, s)
		b.steps[s.ID] = v
		b.g.verts[v].skip = !b.need(Uninstall, down.t, s)
		s.Cause = b.downCause(l.id())
		b.g.edge(l.begin, v)
		for _, let := range l.letGo {
			b.g.edge(let, v)
		}
		b.g.edge(v, l.phases[0].first)
		for _, after := range append(slices.Clone(l.leaves), l.phases[0].pre...) {
			b.g.edge(v, after)
		}
	}
}
