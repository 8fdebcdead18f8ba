package plan

import (
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// gone lists the recorded instances that are wanted no more: node → indices.
func (b *builder) gone() map[string][]string {
	gone := map[string][]string{}
	for node, have := range b.recorded {
		if b.limit != nil && !b.limit.nodes[node] {
			continue
		}
		for _, i := range have {
			if !slices.Contains(b.wanted.wanted[node], i) {
				gone[node] = append(gone[node], i)
			}
		}
	}
	return gone
}

// takeDown uninstalls instances, each by the newest topology that knows its node. up is what stays, nil if nothing does: it has first been
// brought away from what goes, and the operations by which remaining ends let go run as well.
func (b *builder) takeDown(up *weft, all map[string][]string) (wefts []*weft) {
	left := maps.Clone(all)
	for _, v := range append([]Version{{b.in.Previous, b.in.PreviousInputs}}, b.in.Older...) {
		these := map[string][]string{}
		for node, indices := range left {
			if v.Topology.NodeNamed(node) != nil {
				these[node] = indices
				delete(left, node)
			}
		}
		if len(these) == 0 {
			continue
		}
		down := b.workflow(Uninstall, v.Topology, b.scale(v.Topology), these)
		if up != nil && down != nil {
			b.letGoOf(up, down)
			b.drain(down)
		}
		if down != nil {
			wefts = append(wefts, down)
		}
	}
	b.orphans(left)
	return wefts
}

func (b *builder) letGoOf(up, down *weft) {
	for _, l := range down.order {
		for _, n := range down.t.Nodes {
			for _, r := range n.Relationships {
				if r.Target == l.node.Name {
					b.detach(up, down.t, l, n, r)
				}
			}
		}
		for _, r := range l.node.Relationships {
			b.leave(up, down.t, l, r)
		}
	}
}

// detach makes remaining sources let go of a target that goes.
func (b *builder) detach(up *weft, t *topology.Topology, l *lane, source *topology.Node, r *topology.Relationship) {
	for _, i := range b.recorded[source.Name] {
		stays := up.lanes[topology.Instance{Node: source.Name, Index: i}]
		if stays == nil {
			continue
		}
		b.g.edge(stays.end, l.begin)
		b.letGo(t, l, source, i, r, l.index, l.begin, l.phases[0].first, "remove_target", "unlink")
	}
}

// leave makes a remaining target let go of a source that goes.
func (b *builder) leave(up *weft, t *topology.Topology, l *lane, r *topology.Relationship) {
	for _, j := range b.recorded[r.Target] {
		if up.lanes[topology.Instance{Node: r.Target, Index: j}] != nil {
			b.letGo(t, l, l.node, l.index, r, j, l.begin, l.phases[0].first, "remove_source", "remove_target")
			after, before := l.begin, l.phases[0].first
			if k := unlinking(t); k >= 0 && k < len(l.phases) {
				after, before = l.phases[k].enter, l.phases[k].leave
			}
			b.letGo(t, l, l.node, l.index, r, j, after, before, "unlink")
		}
	}
}

// letGo adds the operations of one pair between two moments of the lane of the end that goes: before it begins to stop, or where its
// dialect wants it.
func (b *builder) letGo(t *topology.Topology, l *lane, source *topology.Node, i string, r *topology.Relationship, j string, after, before int, ops ...string) {
	s := b.scale(t)
	if !s.belong(r, i, j) {
		return
	}
	for _, name := range ops {
		for _, op := range relationshipOps(r, name) {
			st := b.opStep(act{t: t, s: s, node: source, index: i, rel: r, op: op, target: j, atTarget: relOps[name].atTarget, perPair: true})
			if _, twice := b.steps[st.ID]; twice {
				continue
			}
			v := b.g.add(source, st)
			b.steps[st.ID] = v
			b.g.verts[v].skip = !b.need(Uninstall, t, st)
			st.Cause = b.downCause(l.id())
			b.g.edge(after, v)
			b.g.edge(v, before)
			if source != l.node {
				l.letGo = append(l.letGo, v)
			} else {
				l.leaves = append(l.leaves, v)
			}
		}
	}
}

// orphans forgets the recorded instances that no topology knows: nothing is known of how to take them down.
func (b *builder) orphans(left map[string][]string) {
	for _, node := range sortedKeys(left) {
		for _, i := range left[node] {
			in := topology.Instance{Node: node, Index: i}
			b.diags.Warnf("unknown-instance", diag.Pos{}, "%s is on record, but no known topology has its node: it is forgotten as it is", in)
			b.g.add(nil, &Step{ID: in.String() + ".forget", Kind: Forget, Node: node, Instance: i, StateAfter: "deleted",
				Cause: "no topology knows it", Retries: -1})
		}
	}
}

// made reports whether the infrastructure of an instance may exist.
func (b *builder) made(in topology.Instance) bool {
	rec := b.in.Recorded[in]
	if rec == nil {
		return false
	}
	e, ok := rec.Journal[string(driver.Delete)]
	return rec.begun(string(driver.Create)) || ok && e.Status != Done
}
