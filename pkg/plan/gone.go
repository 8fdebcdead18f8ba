package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// gone lists the recorded instances that are wanted no more: node → indices.
func (b *builder) gone() map[string][]string {
	gone := map[string][]string{}
	for node, have := range b.recorded {
		for _, i := range have {
			if !slices.Contains(b.wanted.wanted[node], i) {
				gone[node] = append(gone[node], i)
			}
		}
	}
	return gone
}

// remove uninstalls what is gone, by the topology that it was made from. What stays has first been brought away from it: the steps of
// a remaining source run before its former target goes, and the operations by which remaining ends let go of it run as well.
func (b *builder) remove(up *weft, gone map[string][]string) {
	t := b.in.Previous
	s := b.scale(t)
	down := b.workflow(Uninstall, t, s, gone)
	b.orphans(t, gone)
	if up == nil || down == nil {
		return
	}
	for _, l := range down.order {
		for _, n := range t.Nodes {
			for _, r := range n.Relationships {
				if r.Target == l.node.Name {
					b.detach(up, l, n, r)
				}
			}
		}
		for _, r := range l.node.Relationships {
			b.leave(up, l, r)
		}
	}
}

// detach makes remaining sources let go of a target that goes.
func (b *builder) detach(up *weft, l *lane, source *topology.Node, r *topology.Relationship) {
	for _, i := range b.recorded[source.Name] {
		stays := up.lanes[topology.Instance{Node: source.Name, Index: i}]
		if stays == nil {
			continue
		}
		b.g.edge(stays.end, l.begin)
		b.letGo(l, source, i, r, l.index, "remove_target", "unlink")
	}
}

// leave makes a remaining target let go of a source that goes.
func (b *builder) leave(up *weft, l *lane, r *topology.Relationship) {
	for _, j := range b.recorded[r.Target] {
		if up.lanes[topology.Instance{Node: r.Target, Index: j}] != nil {
			b.letGo(l, l.node, l.index, r, j, "remove_source", "remove_target", "unlink")
		}
	}
}

// letGo adds the operations of one pair before the lane of the end that goes begins to stop.
func (b *builder) letGo(l *lane, source *topology.Node, i string, r *topology.Relationship, j string, ops ...string) {
	t := b.in.Previous
	s := b.scale(t)
	if s.together(source.Name, r.Target) && i != j {
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
			b.g.edge(l.begin, v)
			b.g.edge(v, l.phases[0].first)
		}
	}
}

// orphans removes the recorded instances that the previous topology does not know, or that its declared workflow forgets: an instance
// record never outlives an uninstall, and neither does its infrastructure.
func (b *builder) orphans(t *topology.Topology, all map[string][]string) {
	for _, node := range sortedKeys(all) {
		if t.NodeNamed(node) != nil {
			continue
		}
		for _, i := range all[node] {
			in := topology.Instance{Node: node, Index: i}
			b.g.add(nil, &Step{ID: in.String() + ".forget", Kind: Forget, Node: node, Instance: i, StateAfter: "deleted",
				Cause: "the topology does not know it", Retries: -1})
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
