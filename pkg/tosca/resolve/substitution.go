package resolve

import (
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// substitution checks what the topology offers in place of a node: the names on both sides must exist.
func (r *resolver) substitution(def *document.Substitution) {
	s := &topology.Substitution{Pos: def.Type.Pos}
	r.top.Substitution = s
	t := r.typeRef(r.in.Root, document.NodeType, def.Type, def.Path+".node_type")
	if t != nil {
		s.Type = r.flatten(t).chain
	}
	s.Properties = r.mappings(def.Properties)
	s.Attributes = r.mappings(def.Attributes)
	s.Capabilities = r.mappings(def.Capabilities)
	s.Requirements = r.mappings(def.Requirements)
	s.Interfaces = r.mappings(def.Interfaces)
	r.condition(def.Filter, r.in.Root)
	ctx := &context{file: r.in.Root}
	for _, m := range def.Properties {
		if m.Value != nil {
			r.value(ctx, m.Value, nil, m.Path)
		}
		if len(m.To) == 1 && r.top.Input(m.To[0].Text) == nil {
			r.unknownInput(m.To[0].Text, m.To[0].Pos, m.Path, nil)
		}
	}
	known := t != nil && !t.broken
	for _, m := range def.Capabilities {
		if known && findCapability(t.caps, m.Name.Text) == nil {
			var names []string
			for _, c := range t.caps {
				names = append(names, c.name)
			}
			r.notOffered(m, "capability", t, names)
		}
		if n := r.mappedNode(m); n != nil && len(m.To) > 1 && n.typ != nil && !n.typ.broken && findCapability(n.typ.caps, m.To[1].Text) == nil {
			var names []string
			for _, c := range n.typ.caps {
				names = append(names, c.name)
			}
			d := r.errorf("unknown-capability", m.To[1].Pos, m.Path, "%s has no capability %q", n.Name, m.To[1].Text)
			d.Hint = diag.Suggest(m.To[1].Text, names)
		}
	}
	for _, m := range def.Requirements {
		if known && !hasRequirement(t.reqs, m.Name.Text) {
			r.notOffered(m, "requirement", t, requirementNames(t.reqs))
		}
		if n := r.mappedNode(m); n != nil && len(m.To) > 1 && n.typ != nil && !n.typ.broken && !hasRequirement(n.typ.reqs, m.To[1].Text) {
			d := r.severe(r.in.Root, "unknown-requirement", m.To[1].Pos, m.Path, "%s has no requirement %q", n.Name, m.To[1].Text)
			d.Hint = diag.Suggest(m.To[1].Text, requirementNames(n.typ.reqs))
		}
	}
	for _, m := range def.Properties {
		if known && t.props.get(m.Name.Text) == nil {
			r.notOffered(m, "property", t, t.props.names())
		}
	}
}

func hasRequirement(reqs []*requirement, name string) bool {
	return slices.ContainsFunc(reqs, func(q *requirement) bool { return q.name == name })
}

func requirementNames(reqs []*requirement) []string {
	var out []string
	for _, q := range reqs {
		out = append(out, q.name)
	}
	return out
}

func (r *resolver) notOffered(m document.Mapping, what string, t *typ, names []string) {
	d := r.severe(r.in.Root, "unknown-"+what, m.Name.Pos, m.Path, "the node type %s, which the topology substitutes, has no %s %q", t.def.Name.Text, what, m.Name.Text)
	if d.Hint = diag.Suggest(m.Name.Text, names); d.Hint == "" {
		d.Hint = hintList("it has", names)
	}
}

func (r *resolver) mappedNode(m document.Mapping) *node {
	if len(m.To) < 2 {
		return nil
	}
	n := r.byName[m.To[0].Text]
	if n == nil && r.groups[m.To[0].Text] == nil {
		r.unknownMember(m.To[0], m.Path, "the mapping names")
	}
	return n
}

func (r *resolver) mappings(defs []document.Mapping) []topology.Mapping {
	var out []topology.Mapping
	for _, d := range defs {
		m := topology.Mapping{Name: d.Name.Text, Pos: d.Name.Pos}
		for _, t := range d.To {
			m.To = append(m.To, t.Text)
		}
		out = append(out, m)
	}
	return out
}
