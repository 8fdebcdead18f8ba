package plan

import (
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// heal makes instances anew, with everything that is contained in them: uninstall, then install, of those alone. Infrastructure is replaced
// rather than deleted and made, so that what belongs to it (ports and their addresses, volumes) stays. What is related to them and stays
// lets go of them and takes them up again, as when scaling.
//
//	victims ─▶ [stay: remove_target, unlink] ─▶ stop ─▶ delete ─▶ forgotten ─▶ replaced, create … start ─▶ [stay: add_target, establish]
//
// An instance with an operation that heals (Cloudify's lifecycle.heal) has that run instead, if nothing above it is made anew and it has not
// failed to heal it before.
func (b *builder) heal() {
	b.checkInstances()
	if b.diags.HasErrors() {
		return
	}
	t := b.in.Topology
	victims := b.victims()
	defer b.repair(maps.Clone(victims))
	for in := range victims {
		if n := t.NodeNamed(in.Node); n != nil && b.heals(n, in, victims) {
			b.healInPlace(n, in)
			delete(victims, in)
		}
	}
	if len(victims) == 0 {
		return
	}
	if b.in.InPlace {
		b.notAnew(victims)
		return
	}
	these := map[string][]string{}
	for _, n := range t.Nodes {
		for _, i := range b.recorded[n.Name] {
			if victims[topology.Instance{Node: n.Name, Index: i}] {
				these[n.Name] = append(these[n.Name], i)
			}
		}
	}
	b.healing = victims
	stay := &weft{lanes: map[topology.Instance]*lane{}}
	for in := range b.in.Recorded {
		if n := t.NodeNamed(in.Node); n != nil && !victims[in] {
			moment := b.g.gate(n)
			stay.lanes[in] = &lane{node: n, index: in.Index, begin: moment, end: moment}
		}
	}
	down := b.generated(Uninstall, t, b.wanted, these)
	b.letGoOf(stay, down)
	b.dropLost(down)
	first := len(b.g.verts)
	up := b.reinstall(b.unmade(victims))
	for _, l := range down.order {
		end := l.end
		if l.forget != 0 {
			end = l.forget
		}
		b.g.edge(end, up.lanes[l.id()].begin)
		// What runs at the other end of a relationship is in that one's lane: it must not come before the old one is gone, either.
		for v := first; v < len(b.g.verts); v++ {
			if s := b.g.verts[v].step; s != nil && s.Relationship != "" && s.Of() == l.id() {
				b.g.edge(end, v)
			}
		}
	}
}

// repair brings back, where it is, what has drifted and is not made anew. It comes last: what differs from the topology is brought up to date already.
func (b *builder) repair(victims map[topology.Instance]bool) {
	for _, in := range b.in.Repair {
		n := b.in.Topology.NodeNamed(in.Node)
		if n == nil || !n.Native || victims[in] {
			continue
		}
		s := b.infraStep(b.in.Topology, n, in.Index, driver.Update)
		if _, planned := b.steps[s.ID]; planned {
			continue
		}
		s.Cause = "it has drifted"
		b.steps[s.ID] = b.g.add(n, s)
	}
}

// victims are the chosen instances and all that is contained in them. Cloudify heals the whole host of an instance
// that is chosen.
func (b *builder) victims() map[topology.Instance]bool {
	t, out := b.in.Topology, map[topology.Instance]bool{}
	for _, in := range b.in.Instances {
		if host, ok := ParseInstance(ServerOf(t, t.NodeNamed(in.Node), in.Index)); ok && t.Order == topology.Cloudify && !b.in.Found {
			in = host
		}
		out[in] = true
	}
	b.contained(out)
	if b.in.Spare {
		for in := range out {
			n, rec := t.NodeNamed(in.Node), b.in.Recorded[in]
			if n != nil && rec != nil && CheckOperation(n) != nil && rec.State == "started" && !rec.Unwell() {
				delete(out, in)
			}
		}
		b.contained(out)
	}
	return out
}

// notAnew reports what only making it anew would heal.
func (b *builder) notAnew(victims map[topology.Instance]bool) {
	for _, n := range b.in.Topology.Nodes {
		for _, i := range b.recorded[n.Name] {
			if in := (topology.Instance{Node: n.Name, Index: i}); victims[in] {
				b.diags.Errorf("heal-in-place", n.Pos, "%s is not well and has no operation that heals it", in).Hint = "allow that it is made anew (allow_reinstall)"
			}
		}
	}
}

// contained adds all that is contained in instances.
func (b *builder) contained(out map[topology.Instance]bool) {
	for again := true; again; {
		again = false
		for _, n := range b.in.Topology.Nodes {
			for _, r := range n.Relationships {
				if !r.HostedOn() {
					continue
				}
				for _, p := range b.existing(r) {
					in := topology.Instance{Node: n.Name, Index: p[0]}
					if out[topology.Instance{Node: r.Target, Index: p[1]}] && !out[in] {
						out[in], again = true, true
					}
				}
			}
		}
	}
}

// heals reports whether the instance is healed by an operation of its own.
func (b *builder) heals(n *topology.Node, in topology.Instance, victims map[topology.Instance]bool) bool {
	if b.in.Reinstall || !implemented(n.Operation(standard, "heal")) || b.in.Recorded[in].failed("heal", "preheal", "postheal") {
		return false
	}
	host, ok := ParseInstance(ServerOf(b.in.Topology, n, in.Index))
	return !ok || host == in || !victims[host] || b.in.Topology.Order == topology.Cloudify && !slices.Contains(b.in.Instances, host)
}

func (b *builder) healInPlace(n *topology.Node, in topology.Instance) {
	at := -1
	for _, name := range []string{"preheal", "heal", "postheal"} {
		op := n.Operation(standard, name)
		if !implemented(op) {
			continue
		}
		s := b.opStep(act{t: b.in.Topology, s: b.wanted, node: n, index: in.Index, op: op})
		s.Cause = "it is healed"
		v := b.g.add(n, s)
		b.steps[s.ID] = v
		if at >= 0 {
			b.g.edge(at, v)
		}
		at = v
	}
	if at >= 0 {
		b.g.verts[at].step.StateAfter = "started"
	}
}

// dropLost takes out of an uninstallation what cannot or need not be done: operations on servers that are lost, and the deletion of
// infrastructure, which is replaced instead. Scripts of what is broken may fail.
func (b *builder) dropLost(down *weft) {
	for v := range b.g.verts {
		s := b.g.verts[v].step
		if s == nil {
			continue
		}
		host, onServer := ParseInstance(s.Host)
		switch {
		case s.Kind == Infra:
			b.g.verts[v].skip = true
		case s.Kind == Op && onServer && b.in.Lost[host]:
			b.g.verts[v].skip = true
		case s.Kind == Op && s.Operation != "heal" && s.Operation != "preheal" && s.Operation != "postheal":
			s.IgnoreFailure = true
		}
	}
	for _, l := range down.order {
		if l.node.Native {
			b.g.verts[l.forget].skip = true // its record stays: what is in its journal counts until it is replaced
		}
	}
}

// unmade adds to the victims what is wanted in them and does not exist, as an earlier healing has failed before it made it again. It returns all
// instances that there will be.
func (b *builder) unmade(victims map[topology.Instance]bool) map[string][]string {
	all := map[string][]string{}
	for node, indices := range b.recorded {
		all[node] = slices.Clone(indices)
	}
	for again := true; again; {
		again = false
		for _, n := range b.in.Topology.Nodes {
			for _, r := range n.Relationships {
				if !r.HostedOn() {
					continue
				}
				for _, p := range (&weft{b: b, t: b.in.Topology, s: b.wanted, instances: b.wanted.wanted}).pairs(r) {
					in := topology.Instance{Node: n.Name, Index: p[0]}
					if victims[topology.Instance{Node: r.Target, Index: p[1]}] && b.in.Recorded[in] == nil && !victims[in] {
						victims[in], again = true, true
						all[n.Name] = append(all[n.Name], in.Index)
						slices.SortFunc(all[n.Name], ByNumber)
					}
				}
			}
		}
	}
	return all
}

// reinstall weaves the installation of all instances, in which only the victims lack what they need.
func (b *builder) reinstall(all map[string][]string) *weft {
	recorded := b.in.Recorded
	rest := maps.Clone(recorded)
	for in := range b.healing {
		delete(rest, in)
	}
	b.in.Recorded = rest
	up := b.generated(Install, b.in.Topology, b.wanted, all)
	b.in.Recorded = recorded
	b.replaceInfrastructure(up)
	return up
}
