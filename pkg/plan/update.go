package plan

import (
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// Update is how an installation treats what exists already, after Cloudify's deployment update. The zero value is its default.
type Update struct {
	// SkipInstall leaves out what is new, SkipUninstall what is gone: both stay on record as not yet as wanted.
	SkipInstall   bool `json:"skip_install,omitempty"`
	SkipUninstall bool `json:"skip_uninstall,omitempty"`
	// InstallFirst uninstalls what is gone after everything else; otherwise it goes first.
	InstallFirst bool `json:"install_first,omitempty"`
	// Reinstall makes these instances anew, ReinstallAll all; SkipReinstall no others than Reinstall.
	Reinstall     []topology.Instance `json:"reinstall,omitempty"`
	ReinstallAll  bool                `json:"reinstall_all,omitempty"`
	SkipReinstall bool                `json:"skip_reinstall,omitempty"`
	// RecordOnly takes the topology over and does nothing.
	RecordOnly bool `json:"record_only,omitempty"`
}

// updateOps bring a changed instance to what is wanted where it is, in this order. The first three and the last three are Cloudify's; one of
// updating is enough for an instance to be updated and not made anew.
var (
	updateOps = []string{"preupdate", "update", "postupdate", "update_config", "update_apply", "update_postapply"}
	updating  = []string{"update", "update_config", "update_apply"}
)

// update is install with Input.Update:
//
//	[removed relationships: unlink] ─▶ uninstall what is gone ─▶ uninstall and install what is made anew, update operations, install what is new
//
// Made anew is what is chosen, what has another type or host, and what has changed and has no operation that updates it, with everything that is
// contained in it. The infrastructure of native nodes is changed where it is, as always, or replaced if it is chosen.
type update struct {
	*Update
	b       *builder
	victims map[topology.Instance]bool
	// changed instances stay, and their own operations are left out: of these, inPlace have operations that update them.
	changed, inPlace map[topology.Instance]bool
	recorded         map[topology.Instance]*Recorded // all of them, while those of victims are hidden
}

func (b *builder) updateTo() {
	if b.in.Topology.Order != topology.Cloudify || declared(b.in.Topology, Install) != nil {
		b.diags.Errorf("update-options", diag.Pos{}, "only Cloudify blueprints can be updated with options (skip_install, reinstall …)").Hint =
			"leave the options out: what is new is installed, what has changed is changed, what is gone is uninstalled"
		return
	}
	u := &update{Update: b.in.Update, b: b, victims: map[topology.Instance]bool{}, changed: map[topology.Instance]bool{},
		inPlace: map[topology.Instance]bool{}, recorded: b.in.Recorded}
	if u.RecordOnly || !u.check() {
		return
	}
	u.choose()
	gone := b.gone()
	if u.SkipUninstall {
		gone = nil
	}
	b.updates, b.healing = u, u.victims
	stay := u.stay(gone)
	down := b.takeDown(stay, u.withVictims(gone))
	u.keepInfrastructure(down)
	before := u.removedRelationships(stay, gone)
	up := u.install()
	u.runUpdates(up)
	u.order(down, up, before)
}

// check reports instances that are to be made anew and do not exist.
func (u *update) check() bool {
	before := len(u.b.diags)
	for _, in := range u.Reinstall {
		if !slices.Contains(u.b.recorded[in.Node], in.Index) {
			u.b.noInstance(u.b.in.Topology.NodeNamed(in.Node), in)
		}
	}
	return len(u.b.diags) == before
}

// choose finds out what becomes of each instance that exists and is still wanted.
func (u *update) choose() {
	b := u.b
	for _, in := range u.Reinstall {
		u.victims[in] = true
	}
	for _, n := range b.in.Topology.Nodes {
		old := b.in.Previous.NodeNamed(n.Name)
		another := old != nil && (old.Type.Name() != n.Type.Name() || old.Host() != n.Host())
		differs := old != nil && u.differs(old, n)
		for _, i := range b.recorded[n.Name] {
			in := topology.Instance{Node: n.Name, Index: i}
			switch {
			case !slices.Contains(b.wanted.wanted[n.Name], i):
			case u.ReinstallAll, another:
				u.victims[in] = true
			case n.Native || u.recorded[in].State != "started" || !differs && !u.outdated(n, in):
			case u.updates(n):
				u.inPlace[in], u.changed[in] = true, true
			case u.SkipReinstall:
				u.changed[in] = true
			default:
				u.victims[in] = true
			}
		}
	}
	b.contained(u.victims)
	for in := range u.victims {
		delete(u.changed, in)
		delete(u.inPlace, in)
	}
}

func (u *update) updates(n *topology.Node) bool {
	return slices.ContainsFunc(updating, func(name string) bool { return implemented(n.Operation(standard, name)) })
}

// differs reports whether the properties or the operations of a node are others than before, as far as they are known without the deployment.
func (u *update) differs(old, n *topology.Node) bool {
	b := u.b
	return !maps.Equal(u.parts(b.in.Previous, old), u.parts(b.in.Topology, n))
}

// parts digests everything that an instance is made from.
func (u *update) parts(t *topology.Topology, n *topology.Node) map[string]string {
	out := map[string]string{}
	for name, v := range n.Properties.All() {
		out["property "+name] = u.b.valueDigest(t, v, topology.Scope{Topology: t, Node: n, Instance: "0"})
	}
	for _, i := range n.Interfaces {
		for _, op := range i.Operations {
			if implemented(op) {
				out[i.Name+"."+op.Name] = sum(u.b.digests.operation(u.b, act{t: t, s: u.b.scale(t), node: n, index: "0", op: op}))
			}
		}
	}
	return out
}

// outdated reports whether something was done otherwise on the instance than it would be done now: an update before this one has failed.
func (u *update) outdated(n *topology.Node, in topology.Instance) bool {
	return slices.ContainsFunc(u.own(n, in), func(s *Step) bool {
		e, known := u.recorded[in].Journal[s.Key()]
		return known && e.Status == Done && e.Digest != s.Digest
	})
}

// own are the steps of an instance's installation on the node itself.
func (u *update) own(n *topology.Node, in topology.Instance) (out []*Step) {
	for _, ph := range cloudifyLives[Install].phases {
		if op := n.Operation(ph.iface, ph.op); implemented(op) {
			out = append(out, u.b.opStep(act{t: u.b.in.Topology, s: u.b.wanted, node: n, index: in.Index, op: op}))
		}
	}
	return out
}

// stay is what is neither gone nor made anew, as moments that the uninstallation may refer to.
func (u *update) stay(gone map[string][]string) *weft {
	stay := &weft{b: u.b, t: u.b.in.Topology, s: u.b.wanted, lanes: map[topology.Instance]*lane{}}
	for in := range u.recorded {
		if n := u.b.in.Topology.NodeNamed(in.Node); n != nil && !u.victims[in] && !slices.Contains(gone[in.Node], in.Index) {
			moment := u.b.g.gate(n)
			stay.lanes[in] = &lane{node: n, index: in.Index, begin: moment, end: moment}
		}
	}
	return stay
}

func (u *update) withVictims(gone map[string][]string) map[string][]string {
	out := map[string][]string{}
	for node, indices := range gone {
		out[node] = slices.Clone(indices)
	}
	for in := range u.victims {
		if !slices.Contains(out[in.Node], in.Index) {
			out[in.Node] = append(out[in.Node], in.Index)
		}
	}
	for _, indices := range out {
		slices.SortFunc(indices, ByNumber)
	}
	return out
}

// keepInfrastructure takes out of the uninstallation what is replaced instead of deleted and made, as heal does.
func (u *update) keepInfrastructure(down []*weft) {
	g := &u.b.g
	for _, w := range down {
		for _, l := range w.order {
			n := u.b.in.Topology.NodeNamed(l.node.Name)
			if !u.victims[l.id()] || !l.node.Native || n == nil || !n.Native || n.Type.Name() != l.node.Type.Name() {
				continue
			}
			g.verts[l.forget].skip = true
			for _, p := range l.phases {
				for _, v := range p.main {
					g.verts[v].skip = g.verts[v].skip || g.verts[v].step.Kind == Infra
				}
			}
		}
	}
}

// removedRelationships lets go of the targets of relationships that are gone between instances that stay.
func (u *update) removedRelationships(stay *weft, gone map[string][]string) (verts []int) {
	b := u.b
	if u.SkipUninstall {
		return nil
	}
	old := b.in.Previous
	for _, n := range old.Nodes {
		now := b.in.Topology.NodeNamed(n.Name)
		if now == nil {
			continue
		}
		for _, r := range n.Relationships {
			if slices.ContainsFunc(now.Relationships, func(x *topology.Relationship) bool { return sameRelationship(x, r) }) {
				continue
			}
			first := len(b.g.verts)
			for _, p := range (&weft{b: b, t: old, s: b.scale(old), instances: b.recorded}).pairs(r) {
				source, target := topology.Instance{Node: r.Source, Index: p[0]}, topology.Instance{Node: r.Target, Index: p[1]}
				if stay.lanes[source] == nil || stay.lanes[target] == nil {
					continue // the end that goes lets go
				}
				b.letGo(old, &lane{node: n, index: p[0]}, n, p[0], r, p[1], b.g.gate(n), b.g.gate(n), "unlink")
			}
			for v := first; v < len(b.g.verts); v++ {
				if s := b.g.verts[v].step; s != nil {
					s.Cause = "the relationship is no longer in the topology"
					verts = append(verts, v)
				}
			}
		}
	}
	return verts
}

func sameRelationship(a, b *topology.Relationship) bool {
	return a.Type.Name() == b.Type.Name() && a.Target == b.Target
}

// install weaves the installation of everything, in which the victims lack all that they need.
func (u *update) install() *weft {
	b := u.b
	rest := maps.Clone(u.recorded)
	for in := range u.victims {
		delete(rest, in)
	}
	b.in.Recorded = rest
	up := b.generated(Install, b.in.Topology, b.wanted, b.wanted.wanted)
	b.in.Recorded = u.recorded
	b.replaceInfrastructure(up)
	return up
}

// leaves reports whether a step of the installation is left out.
func (u *update) leaves(s *Step) bool {
	if u == nil {
		return false
	}
	in := s.Of()
	switch {
	case s.Kind == Infra:
		return u.SkipInstall && u.recorded[in] == nil
	case s.Relationship == "":
		return u.changed[in] || u.SkipInstall && u.recorded[in] == nil
	case u.updatesRelationship(s):
		return true
	}
	return u.SkipInstall && (u.recorded[in] == nil || s.TargetInstance != "" && u.recorded[s.target()] == nil || u.newRelationship(s))
}

// absent reports whether an instance is new and not to be installed.
func (u *update) absent(in topology.Instance) bool {
	return u != nil && u.SkipInstall && u.recorded[in] == nil
}

func (u *update) newRelationship(s *Step) bool {
	old := u.b.in.Previous.NodeNamed(s.Node)
	r := relationship(u.b.in.Topology.NodeNamed(s.Node), s.Relationship)
	return old != nil && r != nil && !slices.ContainsFunc(old.Relationships, func(x *topology.Relationship) bool { return sameRelationship(x, r) })
}

// updatesRelationship reports whether a changed relationship between ends that stay has an operation that updates it.
func (u *update) updatesRelationship(s *Step) bool {
	rec := u.recorded[s.Of()]
	if rec == nil || u.victims[s.Of()] || u.victims[s.target()] {
		return false
	}
	r := relationship(u.b.in.Topology.NodeNamed(s.Node), s.Relationship)
	e, known := rec.Journal[s.Key()]
	return r != nil && known && e.Status == Done && e.Digest != s.Digest && len(operationsNamed(r, "update")) > 0
}

// runUpdates adds the operations that update instances, and relationships, where they are.
func (u *update) runUpdates(up *weft) {
	b := u.b
	for _, l := range up.order {
		at := l.open
		run := func(s *Step, cause string) *Step {
			s.Cause = cause
			v := b.g.add(l.node, s)
			b.steps[s.ID] = v
			b.g.edge(at, v)
			b.g.edge(v, l.phases[0].first)
			at = v
			return s
		}
		if u.inPlace[l.id()] {
			var last *Step
			for _, name := range updateOps {
				if op := l.node.Operation(standard, name); implemented(op) {
					last = run(b.opStep(act{t: up.t, s: up.s, node: l.node, index: l.index, op: op}), "it is updated")
				}
			}
			last.Adopts = u.adopted(u.own(l.node, l.id()), l.id())
		}
		for _, r := range l.node.Relationships {
			for _, c := range b.fan(up.pairs(r), act{t: up.t, s: up.s, node: l.node, rel: r, perPair: true, op: &topology.Operation{}}) {
				if c.index != l.index {
					continue
				}
				changed := u.changedActs(c.act)
				if len(changed) == 0 {
					continue
				}
				for k, op := range operationsNamed(r, "update") {
					a := c.act
					a.op = op
					s := run(b.opStep(a), "the relationship is updated")
					if k == 0 {
						s.Adopts = u.adopted(changed, l.id())
					}
				}
			}
		}
	}
}

// changedActs are the acts on a relationship of an installation that would be done otherwise now.
func (u *update) changedActs(a act) (out []*Step) {
	for _, name := range []string{"preconfigure", "postconfigure", "establish"} {
		for _, op := range relationshipOps(a.rel, name) {
			a.op = op
			if s := u.b.opStep(a); u.updatesRelationship(s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// adopted are the acts on an instance that count as done as they would be done now, once it is updated.
func (u *update) adopted(steps []*Step, in topology.Instance) []Adopted {
	var out []Adopted
	for _, s := range steps {
		if e, known := u.recorded[in].Journal[s.Key()]; known && e.Status == Done && e.Digest != s.Digest {
			out = append(out, Adopted{Key: s.Key(), Digest: s.Digest, Parts: s.Parts})
		}
	}
	return out
}

func operationsNamed(r *topology.Relationship, name string) (ops []*topology.Operation) {
	for _, i := range r.Interfaces {
		for _, op := range i.Operations {
			if op.Name == name && implemented(op) {
				ops = append(ops, op)
			}
		}
	}
	return ops
}

// order puts the parts after each other.
func (u *update) order(down []*weft, up *weft, before []int) {
	g := &u.b.g
	for _, w := range down {
		for _, l := range w.order {
			if lane := up.lanes[l.id()]; lane != nil && u.victims[l.id()] {
				g.edge(l.end, lane.begin)
				g.edge(l.forget, lane.begin)
			}
		}
	}
	edges := g.edges()
	first, last := g.gate(nil), g.gate(nil)
	for _, v := range before {
		g.edge(v, first)
	}
	for _, w := range down {
		for _, l := range w.order {
			switch {
			case u.victims[l.id()]:
				if !u.InstallFirst {
					g.edge(last, l.begin)
				}
			case u.InstallFirst:
				g.edge(last, l.begin)
			default:
				g.edge(first, l.begin)
				g.edge(l.forget, last)
			}
		}
	}
	for _, l := range up.order {
		if u.InstallFirst {
			g.edge(l.end, last)
			continue
		}
		if !u.victims[l.id()] {
			g.edge(first, l.begin)
			g.edge(last, l.begin)
		}
	}
	if order, _ := g.order(); order == nil {
		g.restore(edges) // what is made anew waits for what is gone, or the other way round: only what has to be kept apart is
	}
}

// replaceInfrastructure makes a native victim's infrastructure be replaced rather than made: what belongs to it (ports and their addresses,
// volumes) stays.
func (b *builder) replaceInfrastructure(up *weft) {
	for _, l := range up.order {
		if !b.healing[l.id()] || !l.node.Native || b.in.Recorded[l.id()] == nil {
			continue
		}
		if old := b.in.Previous.NodeNamed(l.node.Name); old != nil && (!old.Native || old.Type.Name() != l.node.Type.Name()) {
			continue
		}
		for _, p := range l.phases {
			for _, v := range p.main {
				if s := b.g.verts[v].step; s.Kind == Infra && s.Action == driver.Create {
					s.Action = driver.Replace
					delete(b.steps, s.ID)
					s.ID = s.Of().String() + "." + string(driver.Replace)
					b.steps[s.ID] = v
				}
			}
		}
	}
}
