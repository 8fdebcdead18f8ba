package grammar

import (
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

var sections = [...]string{"node_type", "relationship_type", "capability_type", "interface_type", "data_type", "artifact_type", "group_type", "policy_type"}

func (d *decoder) typeDef(kind document.Kind, e entry) *document.Type {
	t := &document.Type{Kind: kind, Name: key(e.key), Path: e.path}
	n := e.value
	if n.IsNull() {
		if d.v2 {
			d.wrong(n, e.path, "a map")
		}
		return t
	}
	section := sections[kind]
	if kind == document.InterfaceType {
		if !d.isMap(n, e.path) {
			return t // operations are keys of their own
		}
	} else if !d.known(n, section, e.path) {
		return t
	}
	t.DerivedFrom = d.derivedFrom(n.Get("derived_from"), e.path+".derived_from")
	t.Version = d.version(n.Get("version"), e.path+".version")
	t.Description = d.text(n.Get("description"), e.path+".description")
	t.Metadata = d.tags(n.Get("tags"), d.metadata(n.Get("metadata"), e.path+".metadata"))
	if b := d.flag(n.Get("abstract"), e.path+".abstract"); b != nil {
		t.Abstract = *b
	}
	t.Properties = d.params(n.Get("properties"), "property", e.path+".properties")
	if kind != document.InterfaceType {
		t.Attributes = d.params(n.Get("attributes"), "attribute", e.path+".attributes")
	}
	switch kind {
	case document.NodeType:
		d.nodeType(t, n)
	case document.RelationshipType:
		t.Interfaces = d.interfaces(n.Get("interfaces"), t.Path+".interfaces", true)
		t.Artifacts = d.artifacts(n.Get("artifacts"), t.Path+".artifacts")
		t.ValidTargetTypes = d.names(n.Get("valid_target_types"), t.Path+".valid_target_types")
		t.ValidTargetTypes = append(t.ValidTargetTypes, d.names(n.Get("valid_target_node_types"), t.Path+".valid_target_node_types")...)
		t.ValidSourceTypes = d.names(n.Get("valid_source_node_types"), t.Path+".valid_source_node_types")
		t.ValidCapabilityTypes = d.names(n.Get("valid_capability_types"), t.Path+".valid_capability_types")
	case document.CapabilityType:
		t.ValidSourceTypes = d.names(n.Get("valid_source_types"), t.Path+".valid_source_types")
		t.ValidSourceTypes = append(t.ValidSourceTypes, d.names(n.Get("valid_source_node_types"), t.Path+".valid_source_node_types")...)
		t.ValidRelationshipTypes = d.names(n.Get("valid_relationship_types"), t.Path+".valid_relationship_types")
	case document.InterfaceType:
		t.Interface = d.interfaceBody(key(e.key), n, e.path, "interface_type", true)
	case document.DataType:
		t.Schema = d.schemaBody(n, e.path)
		t.Scalar = n
	case document.ArtifactType:
		t.MimeType = d.text(n.Get("mime_type"), t.Path+".mime_type")
		t.FileExt = d.texts(n.Get("file_ext"), t.Path+".file_ext")
	case document.GroupType:
		t.Members = d.names(n.Get("members"), t.Path+".members")
		d.names(d.get(n, "group_type", "targets"), t.Path+".targets")
		if iface := n.Get("interfaces"); iface != nil {
			t.Interfaces = d.interfaces(iface, t.Path+".interfaces", true)
		}
	case document.PolicyType:
		t.Targets = d.names(n.Get("targets"), t.Path+".targets")
		t.Triggers = d.triggers(n.Get("triggers"), t.Path+".triggers")
	}
	return t
}

// derivedFrom is a type's name; Alien4Cloud also writes a list of one.
func (d *decoder) derivedFrom(n *source.Node, path string) document.Name {
	if n.Is(source.Sequence) && d.a4c {
		if len(n.Items) == 0 {
			return document.Name{}
		}
		return d.name(n.Items[0], path)
	}
	return d.name(n, path)
}

func (d *decoder) version(n *source.Node, path string) string {
	v := d.text(n, path)
	if v != "" && !d.a4c {
		if _, err := topology.ParseVersion(v); err != nil {
			d.diags.Errorf(CodeForm, n.Pos, "version: %s", err).Path = path
		}
	}
	return v
}

func (d *decoder) nodeType(t *document.Type, n *source.Node) {
	for _, e := range d.capabilityEntries(n.Get("capabilities"), t.Path+".capabilities") {
		t.Capabilities = append(t.Capabilities, d.capabilityDef(e))
	}
	for _, e := range d.listEntries(n.Get("requirements"), t.Path+".requirements", d.a4c) {
		t.Requirements = append(t.Requirements, d.requirementDef(e))
	}
	t.Interfaces = d.interfaces(n.Get("interfaces"), t.Path+".interfaces", true)
	t.Artifacts = d.artifacts(n.Get("artifacts"), t.Path+".artifacts")
}

func (d *decoder) capabilityEntries(n *source.Node, path string) []entry {
	if d.a4c && n.Is(source.Sequence) {
		return d.listEntries(n, path, true)
	}
	return d.entries(n, path)
}

func (d *decoder) capabilityDef(e entry) *document.CapabilityDef {
	c := &document.CapabilityDef{Name: key(e.key), Path: e.path}
	n := e.merged("type")
	if n.Is(source.Scalar) {
		c.Type = d.name(n, e.path)
		return c
	}
	if n.IsNull() || !d.known(n, "capability_definition", e.path) {
		return c
	}
	c.Type = d.name(n.Get("type"), e.path+".type")
	c.Description = d.text(n.Get("description"), e.path+".description")
	c.Properties, c.Values = d.paramsOrValues(n.Get("properties"), "property", e.path+".properties")
	c.Attributes = d.params(n.Get("attributes"), "attribute", e.path+".attributes")
	for _, k := range []string{"valid_source_types", "valid_source_node_types"} {
		c.ValidSourceTypes = append(c.ValidSourceTypes, d.names(n.Get(k), e.path+"."+k)...)
	}
	c.ValidRelationshipTypes = d.names(n.Get("valid_relationship_types"), e.path+".valid_relationship_types")
	d.metadata(d.get(n, "capability_definition", "metadata"), e.path+".metadata")
	c.Occurrences = d.occurrences(n, e.path)
	return c
}

func (d *decoder) requirementDef(e entry) *document.RequirementDef {
	r := &document.RequirementDef{Name: key(e.key), Path: e.path}
	if e.value.Is(source.Scalar) {
		r.Capability = d.name(e.value, e.path)
		if e.siblings == nil {
			return r
		}
		// Alien4Cloud 1.2: the first key holds the capability's or node's type, `capability` beside it names the target's capability.
		e.value = &source.Node{Kind: source.Null}
		n := e.merged("")
		d.known(n, "requirement_definition", e.path)
		r.CapabilityName = d.name(n.Get("capability"), e.path+".capability")
		d.requirementRest(r, n)
		return r
	}
	n := e.merged("capability")
	if n.IsNull() || !d.known(n, "requirement_definition", e.path) {
		return r
	}
	r.Capability = d.name(n.Get("capability"), e.path+".capability")
	r.CapabilityName = d.name(n.Get("capability_name"), e.path+".capability_name")
	if t := n.Get("type"); t != nil && r.Capability.IsZero() {
		r.Capability = d.name(t, e.path+".type")
	}
	d.requirementRest(r, n)
	return r
}

func (d *decoder) requirementRest(r *document.RequirementDef, n *source.Node) {
	r.Node = d.name(n.Get("node"), r.Path+".node")
	r.Description = d.text(n.Get("description"), r.Path+".description")
	d.metadata(d.get(n, "requirement_definition", "metadata"), r.Path+".metadata")
	rel := n.Get("relationship")
	if rel == nil {
		rel = n.Get("relationship_type")
	}
	r.Relationship = d.relationshipUse(rel, r.Path+".relationship", "relationship_in_def", true)
	r.Occurrences = d.occurrences(n, r.Path)
	if c := n.Get("count_range"); c != nil {
		r.Occurrences = d.rangeOf(c, r.Path+".count_range")
	}
	r.NodeFilter = d.nodeFilter(n.Get("node_filter"), r.Path+".node_filter")
}

func (d *decoder) relationshipUse(n *source.Node, path, section string, def bool) *document.RelationshipUse {
	if n.IsNull() {
		return nil
	}
	u := &document.RelationshipUse{Path: path}
	if n.Is(source.Scalar) {
		u.Name = d.name(n, path)
		return u
	}
	if !d.known(n, section, path) {
		return nil
	}
	u.Name = d.name(n.Get("type"), path+".type")
	if def && !d.a4c && n.Get("type") == nil && !d.slipped(n, section, "type") {
		d.diags.Errorf(CodeMissingKeyname, n.Pos, "the relationship has no type").Path = path
	}
	d.noted(n, section, path)
	u.Interfaces = d.interfaces(n.Get("interfaces"), path+".interfaces", def)
	u.Artifacts = d.artifacts(n.Get("artifacts"), path+".artifacts")
	if !def {
		u.Properties = d.assigns(n.Get("properties"), path+".properties")
		u.Attributes = d.assigns(n.Get("attributes"), path+".attributes")
	} else {
		u.PropertyDefs = d.params(d.get(n, section, "properties"), "property", path+".properties")
		u.AttributeDefs = d.params(d.get(n, section, "attributes"), "attribute", path+".attributes")
	}
	return u
}

// nodeFilter reads property constraints and capability filters, or TOSCA 2.0's boolean function.
func (d *decoder) nodeFilter(n *source.Node, path string) *document.NodeFilter {
	if n.IsNull() {
		return nil
	}
	f := &document.NodeFilter{Pos: n.Pos, Path: path}
	if d.v2 {
		f.Condition = n
		return f
	}
	if !d.known(n, "node_filter", path) {
		return f
	}
	f.Properties = d.filters(n.Get("properties"), path+".properties")
	for _, e := range d.listEntries(n.Get("capabilities"), path+".capabilities", d.a4c) {
		c := document.CapabilityFilter{Name: key(e.key)}
		if e.value.Is(source.Mapping) {
			for _, k := range e.value.Pairs {
				if k.Key.Text != "properties" && k.Key.Text != "attributes" {
					d.unknownKeyname(k.Key, &keyset{names: []string{"properties"}}, "capability filter", e.path)
				}
			}
			c.Properties = d.filters(e.value.Get("properties"), e.path+".properties")
		} else if !e.value.IsNull() {
			d.wrong(e.value, e.path, "a map")
		}
		f.Capabilities = append(f.Capabilities, c)
	}
	return f
}

func (d *decoder) filters(n *source.Node, path string) []document.Filter {
	var out []document.Filter
	for _, e := range d.listEntries(n, path, d.a4c) {
		f := document.Filter{Name: key(e.key)}
		if e.value.Is(source.Sequence) {
			f.Constraints = d.constraints(e.value, e.path)
		} else if c := d.constraint(e.value, e.path); c != nil {
			f.Constraints = []*document.Constraint{c}
		}
		out = append(out, f)
	}
	return out
}
