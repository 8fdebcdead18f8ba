package plan

import (
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// Footprint says what a plan works with: plans whose footprints do not overlap may run at the same time.
type Footprint struct {
	// Writes are the nodes whose instances are acted on or change their state.
	Writes []string `json:"writes,omitempty"`
	// Reads are the nodes that must stay as they are meanwhile: the servers that operations run on, the other ends of relationships.
	Reads []string `json:"reads,omitempty"`
	// Infra: infrastructure is changed, or what is recorded of it. A deployment has one Terraform state, so only one plan at a time may.
	Infra bool `json:"infra,omitempty"`
}

// Footprint of a plan over the topologies that its steps belong to.
func (p *Plan) Footprint(topologies ...*topology.Topology) Footprint {
	writes, reads := map[string]bool{}, map[string]bool{}
	var f Footprint
	for _, s := range p.Steps {
		if s.Node == "" {
			continue // a join
		}
		writes[s.Node] = true
		f.Infra = f.Infra || s.Kind == Infra
		if host, ok := ParseInstance(s.Host); ok {
			reads[host.Node] = true
		}
		if s.Target != "" {
			if s.AtTarget {
				writes[s.Target] = true
			} else {
				reads[s.Target] = true
			}
		}
		for _, t := range topologies {
			published(t, s, writes)
		}
	}
	for node := range writes {
		delete(reads, node)
		for _, t := range topologies {
			if n := t.NodeNamed(node); n != nil && n.Native {
				f.Infra = true
			}
		}
	}
	f.Writes, f.Reads = sortedKeys(writes), sortedKeys(reads)
	return f
}

// published adds the nodes whose attributes the outputs of the step's operation are published as.
func published(t *topology.Topology, s *Step, into map[string]bool) {
	if t == nil || s.Kind != Op {
		return
	}
	n := t.NodeNamed(s.Node)
	if n == nil {
		return
	}
	op := n.Operation(s.Interface, s.Operation)
	if s.Relationship != "" {
		op = nil
		if r := relationship(n, s.Relationship); r != nil {
			op = r.Operation(s.Interface, s.Operation)
		}
	}
	if op == nil {
		return
	}
	for _, m := range op.Outputs {
		if len(m.Target) < 2 {
			continue
		}
		switch node := m.Target[0]; {
		case node == "TARGET" && s.Target != "":
			into[s.Target] = true
		case t.NodeNamed(node) != nil:
			into[node] = true
		}
	}
}

// Infrastructure is what Conflicts calls it when two plans both change infrastructure, beside the nodes.
const Infrastructure = "the infrastructure"

// Conflicts names what keeps two plans from running at the same time, in order; nil if nothing does.
func (f Footprint) Conflicts(o Footprint) []string {
	var out []string
	for _, n := range f.Writes {
		if slices.Contains(o.Writes, n) || slices.Contains(o.Reads, n) {
			out = append(out, n)
		}
	}
	for _, n := range f.Reads {
		if slices.Contains(o.Writes, n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	if f.Infra && o.Infra && len(out) == 0 {
		out = append(out, Infrastructure)
	}
	return out
}
