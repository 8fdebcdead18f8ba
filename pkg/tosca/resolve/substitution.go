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
	known := t != nil && !t.broken && !r.in.Root.Doc.Traits.Lenient // Alien4Cloud makes a type of its own that has what is exposed
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
	for _, m := range spreadTargets(def.Requirements) {
		if known && !hasRequirement(t.reqs, m.Name.Text) {
			r.notOffered(m, "requirement", t, requirementNames(t.reqs))
		}
		if n := r.mappedNode(m); n != nil && len(m.To) > 1 && n.typ != nil && !n.typ.broken && !hasRequirement(n.typ.reqs, m.To[1].Text) {
			d := r.severe(r.in.Root, "unknown-requirement", m.To[1].Pos, m.Path, "%s has no requirement %q", n.Name, m.To[1].Text)
			d.Hint = diag.Suggest(m.To[1].Text, requirementNames(n.typ.reqs))
		}
	}
	r.mappedFeatures(def, t, known)
	for _, m := range def.Properties {
		if known && len(m.Of) == 0 && t.props.get(m.Name.Text) == nil {
			r.notOffered(m, "property", t, t.props.names())
		}
	}
}

// spreadTargets gives each target of a mapping a mapping of its own.
func spreadTargets(list []document.Mapping) (out []document.Mapping) {
	for _, m := range list {
		for _, to := range append([][]document.Name{m.To}, m.More...) {
			one := m
			one.To, one.More = to, nil
			out = append(out, one)
		}
	}
	return out
}

// mappedFeatures checks the capabilities and requirements whose properties and attributes are mapped (TOSCA 2.0).
func (r *resolver) mappedFeatures(def *document.Substitution, t *typ, known bool) {
	for _, m := range append(slices.Clone(def.Properties), def.Attributes...) {
		if len(m.Of) == 0 || !known {
			continue
		}
		of := m
		of.Name = m.Of[1]
		var props, attrs *params
		if m.Of[0].Text == "CAPABILITY" {
			c := findCapability(t.caps, m.Of[1].Text)
			if c == nil {
				r.notOffered(of, "capability", t, capabilityNames(t.caps))
				continue
			}
			props, attrs = c.props, c.attrs
		} else {
			i := slices.IndexFunc(t.reqs, func(q *requirement) bool { return q.name == m.Of[1].Text })
			if i < 0 {
				r.notOffered(of, "requirement", t, requirementNames(t.reqs))
				continue
			}
			if rel := t.reqs[i].relationship; rel == nil || rel.broken {
				continue
			}
			props, attrs = t.reqs[i].relationship.props, t.reqs[i].relationship.attrs
		}
		if props.get(m.Name.Text) == nil && attrs.get(m.Name.Text) == nil {
			names := append(props.names(), attrs.names()...)
			d := r.errorf("unknown-property", m.Name.Pos, m.Path, "%s has no property or attribute %q", m.Of[1].Text, m.Name.Text)
			if d.Hint = diag.Suggest(m.Name.Text, names); d.Hint == "" {
				d.Hint = hintList("it has", names)
			}
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
