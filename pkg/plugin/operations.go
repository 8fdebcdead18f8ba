package plugin

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// takeOver removes the operations of native nodes, and of relationships with them, that another orchestrator's plugin would do: the mappings do
// the same. Their inputs stay, for $operation.
func (p *Plugin) takeOver(t *topology.Topology) {
	if len(p.Operations) == 0 {
		return
	}
	for _, n := range t.Nodes {
		if n.Native {
			n.Interfaces = p.without(n.Interfaces)
		}
		for _, r := range n.Relationships {
			if target := t.NodeNamed(r.Target); n.Native || target != nil && target.Native {
				r.Interfaces = p.without(r.Interfaces)
			}
		}
	}
}

// without copies what it changes: templates of a type share interfaces.
func (p *Plugin) without(in []*topology.Interface) []*topology.Interface {
	out := slices.Clone(in)
	for i, iface := range in {
		if !slices.ContainsFunc(iface.Operations, p.replaces) {
			continue
		}
		c := *iface
		c.Operations = slices.Clone(iface.Operations)
		for j, o := range c.Operations {
			if p.replaces(o) {
				op := *o
				op.Call = ""
				c.Operations[j] = &op
			}
		}
		out[i] = &c
	}
	return out
}

func (p *Plugin) replaces(o *topology.Operation) bool {
	name, _, called := strings.Cut(o.Call, ".")
	return called && slices.Contains(p.Operations, name)
}
