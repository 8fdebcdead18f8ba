package plan

import "github.com/orch-project/orch/pkg/topology"

// limit is the part of a topology that a plan keeps to (Input.Only): the nodes themselves with all that scales with them, and what they
// require, without which they cannot work. Of other nodes only the acts on relationships to the nodes themselves belong to it.
type limit struct {
	nodes map[string]bool
	below map[string]bool
}

// limited is nil where the whole topology is meant.
func (b *builder) limited() *limit {
	if b.in.Only == nil {
		return nil
	}
	l := &limit{nodes: map[string]bool{}, below: map[string]bool{}}
	leaders := map[string]bool{}
	for _, name := range b.in.Only {
		l.nodes[name] = true
		if lead, ok := b.wanted.leader[name]; ok {
			leaders[lead] = true
		}
	}
	for _, n := range b.in.Topology.Nodes {
		if leaders[b.wanted.leader[n.Name]] {
			l.nodes[n.Name] = true
		}
	}
	for _, n := range b.in.Topology.Nodes {
		if l.nodes[n.Name] {
			l.require(b.in.Topology, n)
		}
	}
	return l
}

func (l *limit) require(t *topology.Topology, n *topology.Node) {
	for _, r := range n.Relationships {
		if target := t.NodeNamed(r.Target); target != nil && !l.below[r.Target] {
			l.below[r.Target] = true
			l.require(t, target)
		}
	}
}

// has reports whether everything that a node lacks belongs to the plan.
func (l *limit) has(node string) bool { return l == nil || l.nodes[node] || l.below[node] }

// step reports whether the step belongs to the plan.
func (l *limit) step(s *Step) bool { return l.has(s.Node) || s.Target != "" && l.nodes[s.Target] }
