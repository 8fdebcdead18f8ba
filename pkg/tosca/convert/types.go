package convert

import (
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

func (c *converter) typeDef(t resolve.Declared) *source.Node {
	x, f := newMap(), t.File
	from := t.DerivedFrom
	if chain := f.Lookup(t.Kind, t.Name.Text); from.IsZero() && len(chain) > 1 {
		x.text("derived_from", c.use(chain[1])) // what the dialect means by saying nothing
	} else {
		x.text("derived_from", c.ref(f, t.Kind, from))
	}
	if from.IsZero() && c.fitted.roots[t.Type] {
		x.text("derived_from", "tosca.capabilities.Node")
		c.adapted(t.Name.Pos, t.Path, "the capability type %s derives from tosca.capabilities.Node: a node type has a capability \"feature\" of it", t.Name.Text)
	}
	if f.Doc.Traits.Strict && !c.v2 && from.IsZero() && t.Kind != document.DataType && !c.rooted {
		c.rooted = true
		c.lost(t.Name.Pos, t.Path, "that a type such as %s derives from nothing (every type derives from a normative root there)", t.Name.Text)
	}
	x.text("version", t.Version)
	x.put("metadata", metadata(t.Metadata))
	x.text("description", t.Description)
	if t.Abstract {
		c.lost(t.Name.Pos, t.Path+".abstract", "that the type %s is abstract", t.Name.Text)
	}
	whole := t
	if c.v2 && (t.Kind == document.NodeType || t.Kind == document.RelationshipType) {
		if t.Type = withOutputs(t.Type); t.Type != whole.Type {
			c.fitted.targets[t.Type] = c.fitted.targets[whole.Type]
			c.adapted(t.Name.Pos, t.Path, "outputs of operations of the type %s are mapped to its attributes, which asked for them by get_operation_output", t.Name.Text)
		}
	}
	if t.Kind != document.DataType && t.Kind != document.InterfaceType {
		x.put("properties", c.params(f, t.Properties, "property", c.inherited(whole, "properties")))
		if len(t.Attributes) > 0 && t.Kind != document.ArtifactType && t.Kind != document.PolicyType {
			x.put("attributes", c.params(f, t.Attributes, "attribute", c.inherited(whole, "attributes")))
		}
	}
	switch t.Kind {
	case document.NodeType:
		c.nodeType(x, t)
	case document.RelationshipType:
		c.relationshipType(x, t)
	case document.CapabilityType:
		x.put(c.either("valid_source_types", "valid_source_node_types"), c.sources(f, t.Type, t.ValidSourceTypes, t.Path))
		if c.v2 {
			x.put("valid_relationship_types", c.typeNames(f, t.ValidRelationshipTypes, document.RelationshipType))
		}
	case document.InterfaceType:
		if t.Interface != nil {
			c.interfaceBody(x, f, t.Interface, true)
		}
	case document.DataType:
		c.dataTypeDef(x, t)
	case document.ArtifactType:
		x.text("mime_type", t.MimeType)
		x.put("file_ext", texts(t.FileExt))
	case document.GroupType:
		x.put("members", c.typeNames(f, t.Members, document.NodeType))
		if len(t.Interfaces) > 0 && c.v2 {
			c.lost(t.Name.Pos, t.Path+".interfaces", "the interfaces of the group type %s", t.Name.Text)
		} else {
			x.put("interfaces", c.interfaces(f, t.Interfaces, true))
		}
	case document.PolicyType:
		x.put("targets", c.memberTypes(f, t.Targets))
		x.put("triggers", c.triggers(f, t.Triggers))
	}
	if len(x.n.Pairs) == 0 && c.v2 {
		x.text("description", t.Name.Text)
	}
	return x.n
}

// either chooses 1.3's or 2.0's keyname.
func (c *converter) either(v1, v2 string) string {
	if c.v2 {
		return v2
	}
	return v1
}

func (c *converter) typeNames(f *resolve.File, names []document.Name, kind document.Kind) *source.Node {
	return texts(c.typeList(f, names, kind))
}

func (c *converter) typeList(f *resolve.File, names []document.Name, kind document.Kind) []string {
	var out []string
	for _, n := range names {
		out = append(out, c.ref(f, kind, n))
	}
	return out
}

// sources are the node types that a capability (its type, or the definition def) takes relationships from.
func (c *converter) sources(f *resolve.File, def any, names []document.Name, at string) *source.Node {
	out := c.typeList(f, names, document.NodeType)
	if len(names) > 0 {
		out = c.allowed(names[0].Pos, at, "the source", out, c.fitted.sources[def])
	}
	return texts(out)
}

// memberTypes are node or group types.
func (c *converter) memberTypes(f *resolve.File, names []document.Name) *source.Node {
	var out []string
	for _, n := range names {
		kind := document.NodeType
		if len(f.Lookup(kind, n.Text)) == 0 {
			kind = document.GroupType
		}
		out = append(out, c.ref(f, kind, n))
	}
	return texts(out)
}

// inherited finds what an ancestor declares of the name, for refinements that leave the type out.
func (c *converter) inherited(t resolve.Declared, section string) func(name string) *document.Param {
	chain := t.File.Lookup(t.Kind, t.Name.Text)
	return func(name string) *document.Param {
		for i, a := range chain {
			if i == 0 {
				continue
			}
			list := a.Properties
			if section == "attributes" {
				list = a.Attributes
			}
			for _, p := range list {
				if p.Name.Text == name && p.Schema != nil && !p.Schema.Type.IsZero() {
					return p
				}
			}
		}
		return nil
	}
}

func (c *converter) params(f *resolve.File, list []*document.Param, what string, inherited func(string) *document.Param) *source.Node {
	out := newMap()
	for _, p := range list {
		var above *document.Param
		if inherited != nil {
			above = inherited(p.Name.Text)
		}
		out.put(p.Name.Text, c.param(f, p, what, above))
	}
	return out.or()
}

// param writes the definition of a property, attribute, input or output.
func (c *converter) param(f *resolve.File, p *document.Param, what string, above *document.Param) *source.Node {
	x := newMap()
	s := p.Schema
	value := p.Value
	if p.Short != nil { // TOSCA 2.0's short form: a type, or the fixed value of a refinement
		if above != nil {
			value = p.Short
		} else {
			s = &document.Schema{Type: document.Name{Text: p.Short.Text, Pos: p.Short.Pos}, Path: p.Path}
		}
	}
	of := s
	if above != nil && (s == nil || s.Type.IsZero()) {
		of = above.Schema
		if s == nil {
			s = &document.Schema{Path: p.Path}
		}
		t := *s
		t.Type = above.Schema.Type
		if t.Entry == nil {
			t.Entry = above.Schema.Entry
		}
		s = &t
	}
	if s == nil || s.Type.IsZero() {
		if what == "attribute" || what == "input" && !c.v2 {
			t := document.Schema{Type: document.Name{Text: "string"}}
			if s != nil {
				t.Constraints, t.Entry, t.Path = s.Constraints, s.Entry, s.Path
			}
			s = &t
		}
	}
	c.schema(f, x, s)
	x.text("description", p.Description)
	if c.fitted.relaxed[p] {
		c.lost(p.Name.Pos, p.Path, "that %s is required, while a template goes without it,", p.Name.Text)
		x.put("required", flag(false))
	} else if p.Required != nil && what != "attribute" && (what != "output" || *p.Required) {
		x.put("required", flag(*p.Required))
	}
	x.text("status", p.Status)
	x.put("metadata", metadata(p.Metadata))
	switch def := c.value(f, p.Default, of); {
	case def != nil && def.Kind != source.Null && what == "output" && c.v2:
		if value == nil {
			x.put("value", def)
		}
	case def != nil && def.Kind != source.Null:
		x.put("default", def)
	case what == "attribute" && value != nil:
		x.put("default", c.value(f, value, of))
		value = nil
	}
	if value != nil {
		key := "value"
		if what == "property" && !c.v2 {
			key = "default" // a fixed value
		}
		x.put(key, c.value(f, value, of))
	}
	if len(p.Mapping) > 0 {
		if c.v2 {
			x.put("mapping", texts(p.Mapping))
		} else {
			c.lost(p.Name.Pos, p.Path, "where the value of %s goes", p.Name.Text)
		}
	}
	return x.n
}

func (c *converter) dataTypeDef(x m, t resolve.Declared) {
	if s := t.Schema; s != nil {
		of := *s
		of.Type = document.Name{Text: t.Name.Text}
		if topology.IsPrimitive(t.DerivedFrom.Text) {
			of.Type = t.DerivedFrom
		}
		typed := of
		of.Type = document.Name{}
		y := newMap()
		c.schema(t.File, y, &of)
		for _, p := range y.n.Pairs {
			if p.Key.Text != "constraints" && p.Key.Text != "validation" {
				x.put(p.Key.Text, p.Value)
			}
		}
		c.conditions(t.File, x, &typed)
	}
	for _, k := range []string{"units", "prefixes", "canonical_unit", "data_type"} {
		if n := t.Scalar.Get(k); n != nil {
			if c.v2 {
				x.put(k, n)
			} else {
				c.lost(n.Pos, t.Path+"."+k, "the scalar type %s", t.Name.Text)
			}
		}
	}
	x.put("properties", c.params(t.File, t.Properties, "property", c.inherited(t, "properties")))
}

func (c *converter) relationshipType(x m, t resolve.Declared) {
	f := t.File
	x.put("interfaces", c.interfaces(f, t.Interfaces, true))
	var caps, nodes []string
	for _, n := range t.ValidTargetTypes {
		switch {
		case len(f.Lookup(document.CapabilityType, n.Text)) > 0:
			caps = append(caps, c.ref(f, document.CapabilityType, n))
		case f.Doc.Traits.Lenient && len(f.Lookup(document.NodeType, n.Text)) == 0:
			c.lost(n.Pos, t.Path+".valid_target_types", "that relationships of the type %s may end at %s, which nobody declares,", t.Name.Text, n.Text)
		default:
			nodes = append(nodes, c.ref(f, document.NodeType, n))
		}
	}
	for _, n := range t.ValidCapabilityTypes {
		caps = append(caps, c.ref(f, document.CapabilityType, n))
	}
	if c.v2 {
		if len(caps) > 0 {
			caps = c.allowed(t.Name.Pos, t.Path, "the target", caps, c.fitted.targets[wide{t.Type, document.CapabilityType}])
		}
		if len(nodes) > 0 {
			nodes = c.allowed(t.Name.Pos, t.Path, "the target", nodes, c.fitted.targets[wide{t.Type, document.NodeType}])
		}
		x.put("valid_capability_types", texts(caps))
		x.put("valid_target_node_types", texts(nodes))
		x.put("valid_source_node_types", c.typeNames(f, t.ValidSourceTypes, document.NodeType))
		return
	}
	if len(caps)+len(nodes) > 0 {
		caps = c.allowed(t.Name.Pos, t.Path, "the target", caps, c.fitted.targets[t.Type])
	}
	x.put("valid_target_types", texts(append(caps, nodes...)))
	if len(t.ValidSourceTypes) > 0 {
		c.lost(t.Name.Pos, t.Path, "which nodes may be sources of %s", t.Name.Text)
	}
}

func (c *converter) nodeType(x m, t resolve.Declared) {
	f := t.File
	caps := newMap()
	for _, d := range t.Capabilities {
		caps.put(d.Name.Text, c.capability(t, d))
	}
	x.put("capabilities", caps.or())
	reqs := seq()
	for _, d := range t.Requirements {
		reqs.Items = append(reqs.Items, one(d.Name.Text, c.requirementDef(t, d)))
	}
	if len(reqs.Items) > 0 {
		x.put("requirements", reqs)
	}
	x.put("interfaces", c.interfaces(f, t.Interfaces, true))
	x.put("artifacts", c.artifacts(f, t.Artifacts, parentsOf(t), true))
}

func (c *converter) capability(t resolve.Declared, d *document.CapabilityDef) *source.Node {
	x, f := newMap(), t.File
	typ := d.Type
	if typ.IsZero() {
		for _, a := range f.Lookup(document.NodeType, t.Name.Text) {
			for _, o := range a.Capabilities {
				if o.Name.Text == d.Name.Text && typ.IsZero() && !o.Type.IsZero() {
					typ = document.Name{Text: c.ref(a.File, document.CapabilityType, o.Type)}
				}
			}
		}
		x.text("type", typ.Text)
	} else {
		x.text("type", c.fittedName(f, d, document.CapabilityType, typ, d.Path))
	}
	x.text("description", d.Description)
	chain := f.Lookup(document.CapabilityType, typ.Text)
	above := func(name string) *document.Param {
		for _, a := range chain {
			for _, p := range append(append([]*document.Param{}, a.Properties...), a.Attributes...) {
				if p.Name.Text == name && p.Schema != nil {
					return p
				}
			}
		}
		return nil
	}
	props := newMap()
	for _, p := range d.Properties {
		props.put(p.Name.Text, c.param(f, p, "property", above(p.Name.Text)))
	}
	for _, v := range d.Values { // Alien4Cloud: a value in the definition
		p := &document.Param{Name: v.Name, Default: v.Value, Path: d.Path}
		if a := above(v.Name.Text); a != nil {
			p.Schema = a.Schema
		}
		props.put(v.Name.Text, c.param(f, p, "property", nil))
	}
	x.put("properties", props.or())
	x.put("attributes", c.params(f, d.Attributes, "attribute", above))
	x.put(c.either("valid_source_types", "valid_source_node_types"), c.sources(f, d, d.ValidSourceTypes, d.Path))
	if d.Occurrences != nil {
		if !c.v2 {
			x.put("occurrences", rangeOf(d.Occurrences))
		} else if d.Occurrences.Lower != 1 || d.Occurrences.Upper != -1 {
			c.lost(d.Occurrences.Pos, d.Path+".occurrences", "how often the capability %s can be used", d.Name.Text)
		}
	}
	return x.n
}

func rangeOf(r *document.Range) *source.Node {
	upper := str(topology.Unbounded)
	if r.Upper >= 0 {
		upper = num(r.Upper)
	}
	if r.Upper < 0 {
		upper = plain(topology.Unbounded)
	}
	return seq(num(r.Lower), upper)
}

func (c *converter) requirementDef(t resolve.Declared, d *document.RequirementDef) *source.Node {
	x, f := newMap(), t.File
	x.text("description", d.Description)
	capability, node := needs(f, d)
	if _, declared := declaredIn(parentsOf(t), func(t *document.Type) []*document.RequirementDef { return t.Requirements }, func(o *document.RequirementDef) bool {
		return o.Name.Text == d.Name.Text
	}); capability.IsZero() && declared == nil {
		capability.Text = "tosca.capabilities.Root"
		c.lost(d.Name.Pos, d.Path, "that the requirement %s names no capability (%s is written)", d.Name.Text, capability.Text)
	}
	x.text("capability", c.fittedName(f, d, document.CapabilityType, capability, d.Path))
	x.text("node", c.fittedName(f, d, document.NodeType, node, d.Path))
	if !d.CapabilityName.IsZero() {
		c.lost(d.CapabilityName.Pos, d.Path, "the name of the capability that the requirement %s is for", d.Name.Text)
	}
	if u := d.Relationship; u != nil {
		if len(u.Interfaces) == 0 && len(u.Properties) == 0 {
			x.text("relationship", c.fittedName(f, d, document.RelationshipType, u.Name, d.Path))
		} else {
			y := newMap()
			y.text("type", c.fittedName(f, d, document.RelationshipType, u.Name, d.Path))
			y.put("interfaces", c.interfaces(f, u.Interfaces, true))
			x.put("relationship", y.n)
		}
	}
	if c.unrelated(t, d) {
		x.text("relationship", "tosca.relationships.Root")
		if !c.plain {
			c.plain = true
			c.lost(d.Name.Pos, d.Path, "that a requirement such as %s has no type of relationship (tosca.relationships.Root is written)", d.Name.Text)
		}
	}
	if d.Occurrences != nil {
		x.put(c.either("occurrences", "count_range"), rangeOf(d.Occurrences))
	}
	x.put("node_filter", c.nodeFilter(f, d.NodeFilter, c.targetOf(t, d)))
	return x.n
}

// targetOf is the node type that a requirement is for, named in its definition or in one that it refines.
func (c *converter) targetOf(t resolve.Declared, d *document.RequirementDef) []resolve.Declared {
	at, named := declaredIn(append([]resolve.Declared{t}, chainOf(t)...), func(t *document.Type) []*document.RequirementDef { return t.Requirements }, func(o *document.RequirementDef) bool {
		_, node := needs(t.File, o)
		return o.Name.Text == d.Name.Text && !node.IsZero()
	})
	if named == nil {
		return nil
	}
	return c.named(at.File, named, document.NodeType)
}

// unrelated reports a requirement that no type names a relationship for: TOSCA 1.3 then takes one that only some capabilities allow.
func (c *converter) unrelated(t resolve.Declared, d *document.RequirementDef) bool {
	if c.v2 || !c.Root.Doc.Traits.Strict {
		return false
	}
	if k := t.File.Lookup(document.CapabilityType, d.Capability.Text); len(k) == 0 || c.normative(k[len(k)-1]) != "" {
		return false
	}
	_, named := declaredIn(append([]resolve.Declared{t}, chainOf(t)...), func(t *document.Type) []*document.RequirementDef { return t.Requirements }, func(o *document.RequirementDef) bool {
		return o.Name.Text == d.Name.Text && o.Relationship != nil
	})
	return named == nil
}

// nodeFilter writes conditions on nodes: lists of constraints (1.3), or one boolean function (2.0).
func (c *converter) nodeFilter(f *resolve.File, nf *document.NodeFilter, of []resolve.Declared) *source.Node {
	if nf == nil {
		return nil
	}
	if c.v2 {
		if nf.Condition != nil {
			return c.value(f, nf.Condition, nil)
		}
		return c.filterCondition(f, c.knownFilters(f, nf, of))
	}
	nf = c.knownFilters(f, nf, of)
	if nf.Condition != nil {
		c.lost(nf.Pos, nf.Path, "the node filter's condition")
		return nil
	}
	x := newMap()
	x.put("properties", c.filters(f, nf.Properties))
	caps := seq()
	for _, k := range nf.Capabilities {
		y := newMap()
		y.put("properties", c.filters(f, k.Properties))
		name := k.Name.Text
		if len(f.Lookup(document.CapabilityType, name)) > 0 {
			name = c.ref(f, document.CapabilityType, k.Name)
		}
		caps.Items = append(caps.Items, one(name, y.n))
	}
	if len(caps.Items) > 0 {
		x.put("capabilities", caps)
	}
	return x.n
}

// knownFilters leaves out filters on properties that nodes of the type do not have, which Alien4Cloud lets through.
func (c *converter) knownFilters(f *resolve.File, nf *document.NodeFilter, of []resolve.Declared) *document.NodeFilter {
	if !f.Doc.Traits.Lenient || len(of) == 0 {
		return nf
	}
	out := *nf
	out.Properties = nil
	for _, p := range nf.Properties {
		_, def := declaredIn(of, func(t *document.Type) []*document.Param { return t.Properties }, func(q *document.Param) bool { return q.Name.Text == p.Name.Text })
		if def == nil {
			c.lost(p.Name.Pos, nf.Path, "a filter on the property %s, which the node type %s does not have,", p.Name.Text, of[0].Name.Text)
			continue
		}
		out.Properties = append(out.Properties, p)
	}
	return &out
}

func (c *converter) filters(f *resolve.File, list []document.Filter) *source.Node {
	out := seq()
	for _, p := range list {
		ks := seq()
		for _, k := range p.Constraints {
			if arg := c.argument(f, k, nil); arg != nil {
				ks.Items = append(ks.Items, one(k.Op, arg))
			}
		}
		out.Items = append(out.Items, one(p.Name.Text, ks))
	}
	if len(out.Items) == 0 {
		return nil
	}
	return out
}

// filterCondition says 1.x's filters by 2.0's functions.
func (c *converter) filterCondition(f *resolve.File, nf *document.NodeFilter) *source.Node {
	var all []*source.Node
	add := func(p document.Filter, way ...string) {
		get := one("$get_property", texts(append(way, p.Name.Text)))
		for _, k := range p.Constraints {
			for _, fn := range c.asFunctions(f, k, nil) {
				all = append(all, replaceValue(fn, get))
			}
		}
	}
	for _, p := range nf.Properties {
		add(p, "SELF")
	}
	for _, k := range nf.Capabilities {
		for _, p := range k.Properties {
			add(p, "SELF", "CAPABILITY", k.Name.Text)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return one("$and", seq(all...))
}

// replaceValue puts a call in the place of $value.
func replaceValue(n, with *source.Node) *source.Node {
	switch {
	case n.Is(source.Scalar) && n.Text == "$value" && !n.Quoted:
		return with
	case n.Is(source.Sequence):
		out := seq()
		for _, it := range n.Items {
			out.Items = append(out.Items, replaceValue(it, with))
		}
		return out
	case n.Is(source.Mapping):
		out := newMap()
		for k, v := range n.All() {
			out.put(k.Text, replaceValue(v, with))
		}
		return out.n
	}
	return n
}
