package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// knot is where parts of a declared workflow meet: what comes behind it comes after all that leads to it. When something is installed, an
// instance of what is scaled needs its own family only (what is on the same host, or its host) and what does not scale with it: the others of its
// kind only have to have ended, so that what fails of one keeps no other from going on.
//
//	step of web[1]  needs     own[web 1]      what leads here of the same family
//	                          others[web]     what leads here of nodes that do not scale with it
//	                tolerates all             the rest: it keeps the order
//	step of db[0]   needs     all             it has no others of its kind
//
// What is done already leads to all only: it has nothing to say about new instances that come before it.
type knot struct {
	all    int
	own    map[topology.Instance]int // by the root of the family
	others map[string]int            // by the name of the root's node
}

// families are the instances of the nodes that decide about numbers, where there are several.
func (lm *loom) families() (out []topology.Instance) {
	if lm.name != Install {
		return nil
	}
	for _, n := range lm.t.Nodes {
		if of := lm.instances[n.Name]; lm.s.leader[n.Name] == n.Name && len(of) > 1 {
			for _, i := range of {
				out = append(out, topology.Instance{Node: n.Name, Index: i})
			}
		}
	}
	return out
}

func (lm *loom) knot() knot {
	k := knot{all: lm.b.g.gate(nil), own: map[topology.Instance]int{}, others: map[string]int{}}
	for _, f := range lm.scaled {
		k.own[f] = lm.b.g.gate(nil)
		if _, known := k.others[f.Node]; !known {
			k.others[f.Node] = lm.b.g.gate(nil)
		}
	}
	return k
}

// follow says that what leads to one knot leads to the other.
func (lm *loom) follow(a, b knot) {
	g := &lm.b.g
	g.edge(a.all, b.all)
	for f, v := range a.own {
		g.edge(v, b.own[f])
	}
	for root, v := range a.others {
		g.edge(v, b.others[root])
	}
}

// tie puts a vertex behind a knot.
func (lm *loom) tie(from knot, v int) {
	g := &lm.b.g
	f := lm.family(g.verts[v].step)
	own, several := from.own[f]
	if !several {
		g.edge(from.all, v)
		return
	}
	g.edge(own, v)
	g.edge(from.others[f.Node], v)
	g.lax(from.all, v)
}

// lead puts a vertex before a knot.
func (lm *loom) lead(v int, to knot) {
	g := &lm.b.g
	g.edge(v, to.all)
	if !g.verts[v].real() {
		return
	}
	f := lm.family(g.verts[v].step)
	if own, several := to.own[f]; several {
		g.edge(v, own)
	}
	for root, others := range to.others {
		if root != f.Node {
			g.edge(v, others)
		}
	}
}

// family is the root instance of what a step concerns. What happens between an installed instance and a new one concerns the new one.
func (lm *loom) family(s *Step) topology.Instance {
	if s == nil {
		return topology.Instance{}
	}
	at := lm.root(s.Of())
	if s.PerPair() && lm.installed(s.Of()) && !(slices.Contains(lm.scaled, at) && lm.installed(s.target())) {
		at = lm.root(s.target())
	}
	return at
}

func (lm *loom) root(in topology.Instance) topology.Instance {
	lead := lm.t.NodeNamed(lm.s.leader[in.Node])
	if lead == nil {
		return in
	}
	return topology.Instance{Node: lead.Name, Index: lm.t.HostIndex(lead, in.Index)}
}

func (lm *loom) installed(in topology.Instance) bool {
	rec := lm.b.in.Recorded[in]
	return rec != nil && rec.Installed()
}
