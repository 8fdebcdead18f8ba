package resolve

import (
	"reflect"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// times is how many relationships an assignment stands for, where that is a literal (TOSCA 2.0's count).
func times(def *document.Requirement) int64 {
	if i, ok := def.Count.Int(); ok && def.Count != nil {
		return i
	}
	return 1
}

// cardinality says which instances of the target a relationship leads to. In TOSCA 2.0 an assignment is one relationship unless it has a count;
// [node, $node_index] pairs two nodes of the same count one to one.
func (r *resolver) cardinality(ctx *context, rel *topology.Relationship, q *requirement, def *document.Requirement, target *node) {
	integer := &topology.Schema{Type: topology.Type{"integer"}}
	if def.Count != nil {
		rel.Count = r.value(ctx, def.Count, integer, def.Path+".count")
		if n, ok := rel.Count.Lit.(int64); ok && n < 0 {
			r.errorf("value-type", def.Count.At(), def.Path+".count", "count must be 0 or more, not %d", n)
		}
	}
	if def.NodeIndex != nil {
		rel.TargetIndex = r.value(ctx, def.NodeIndex, integer, def.Path+".node")
		source := r.byName[rel.Source]
		if c := rel.TargetIndex; c.Kind == topology.CallValue && c.Call.Fn == "node_index" && source.ScalesWith == "" && sameCount(source.Node, target.Node) {
			source.ScalesWith = target.Name
		}
		if i, ok := rel.TargetIndex.Lit.(int64); ok {
			count := int64(1)
			if target.Count != nil {
				if count, ok = target.Count.Lit.(int64); !ok {
					return
				}
			}
			if i < 0 || i >= count {
				r.errorf("unknown-node", def.NodeIndex.At(), def.Path+".node", "%s has %d instances; there is none with the index %d", target.Name, count, i)
			}
		}
		return
	}
	if rel.Count == nil && r.in.Root.Doc.Traits.Strict && target.Count != nil && !rel.HostedOn() {
		rel.Count = topology.Lit(int64(1))
	}
}

// sameCount reports nodes whose numbers of instances are the same expression.
func sameCount(a, b *topology.Node) bool {
	return a != b && a.Count != nil && b.Count != nil && reflect.DeepEqual(bare(a.Count), bare(b.Count))
}

// bare is a value without places and schemas, for comparison.
func bare(v *topology.Value) any {
	if v == nil {
		return nil
	}
	switch v.Kind {
	case topology.CallValue:
		out := []any{v.Call.Fn}
		for _, a := range v.Call.Args {
			out = append(out, bare(a))
		}
		return out
	case topology.LitValue:
		return v.Lit
	}
	return v
}

// allocate takes over what an assignment takes of the target's capability, checked as values of the capability's properties.
func (r *resolver) allocate(ctx *context, rel *topology.Relationship, def *document.Requirement, c *capability) {
	if len(def.Allocation) == 0 {
		return
	}
	rel.Allocation = topology.NewValues()
	for _, a := range def.Allocation {
		docPath := def.Path + ".allocation." + a.Name.Text
		var s *topology.Schema
		if c != nil {
			p := c.props.get(a.Name.Text)
			if p == nil && c.typ != nil && !c.typ.broken {
				// The tools of origin take it; nothing can be taken of what the capability does not have. A slip is a mistake all the same.
				d := r.warnf("unknown-property", a.Name.Pos, docPath, "the capability %s of %s has no property %q to allocate", c.name, rel.Target, a.Name.Text)
				if d.Hint = diag.Suggest(a.Name.Text, c.props.names()); d.Hint != "" {
					d.Severity = diag.Error
				} else {
					d.Hint = hintList("it has", c.props.names())
				}
				continue
			}
			if p != nil {
				s = p.schema
			}
		}
		rel.Allocation.Set(a.Name.Text, r.value(ctx, a.Value, s, docPath))
	}
}

// allocations checks that no capability is asked for more than it has, as far as the numbers are literal. What a target's instances give
// together must do for what all the sources' instances take.
func (r *resolver) allocations() {
	type place struct{ node, capability, property string }
	taken := map[place]float64{}
	first := map[place]*topology.Relationship{}
	for _, n := range r.list {
		for _, rel := range n.Relationships {
			each, ok := relations(n.Node, rel)
			if !ok {
				continue
			}
			for k, v := range rel.Allocation.All() {
				f, err := topology.Quantity(v)
				if err != nil {
					continue
				}
				p := place{rel.Target, rel.Capability, k}
				if taken[p] += f * each; first[p] == nil {
					first[p] = rel
				}
			}
		}
	}
	for p, sum := range taken {
		target := r.byName[p.node]
		c := target.Capability(p.capability)
		if c == nil {
			continue
		}
		have, err := topology.Quantity(c.Properties.Get(p.property))
		instances, ok := literalCount(target.Node)
		if err != nil || !ok || sum <= have*instances {
			continue
		}
		rel := first[p]
		r.errorf("allocation", rel.Pos, r.byName[rel.Source].def.Path+".requirements",
			"the requirements of %s.%s take more %s than there is: %v of %v", p.node, p.capability, p.property, sum, have*instances).Hint = "count the sources' instances, too"
	}
}

// relations is the number of relationships between instances, where it is known.
func relations(n *topology.Node, rel *topology.Relationship) (float64, bool) {
	sources, ok := literalCount(n)
	if !ok || rel.Count == nil {
		return sources, ok
	}
	c, ok := rel.Count.Lit.(int64)
	return sources * float64(c), ok
}

func literalCount(n *topology.Node) (float64, bool) {
	if n.Count == nil {
		return 1, true
	}
	c, ok := n.Count.Lit.(int64)
	return float64(c), ok
}
