package convert

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/grammar"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// blueprint is what writing a Cloudify blueprint in TOSCA 1.3 has to know of the whole document first. Cloudify's types are open: nodes have
// relationships, operations and runtime properties that no type declares. TOSCA's are closed, so that what is used of them is declared by the
// types that all others derive from.
//
//	Cloudify                         TOSCA
//	depends_on                       DependsOn, to the capability feature
//	connected_to                     ConnectsTo, to endpoint
//	contained_in                     HostedOn, to host
//	interfaces.lifecycle             Standard
//	interfaces.relationship_lifecycle Configure
type blueprint struct {
	// values are those of properties, by the parameter that declares them first; of untyped ones the type is read off them.
	values map[*document.Param][]*source.Node
	// attributes that functions ask for, and whether something inside of them is.
	attributes map[string]bool
	// requirements are the relationships of templates: their names with the types that are used.
	requirements []*neededRequirement
	// operations of interfaces, by the interface's name.
	operations map[string][]string
	interfaces []string
	// schemas are the types that untyped properties get, by the parameter that declares them first.
	schemas map[*document.Param]*document.Schema
	// redefined properties are of different types in types that derive from each other.
	redefined map[*document.Param]bool
	// structures are the data types made for maps, by name.
	structures map[string]*document.Type
}

type neededRequirement struct {
	name string
	of   []resolve.Declared // the relationship's type, with its ancestors: the common one of all that are used
}

// Names of what is written beside Cloudify's own types.
const (
	jsonType       = "tosca.datatypes.json"
	scalableType   = "cloudify.capabilities.Scalable"
	lifecycle      = "cloudify.interfaces.lifecycle"
	standardType   = "tosca.interfaces.node.lifecycle.Standard"
	relationLife   = "cloudify.interfaces.relationship_lifecycle"
	cloudifyNode   = "cloudify.nodes.Root"
	cloudifyServer = "cloudify.nodes.Compute"
)

// standardOperations are those of TOSCA's life cycle.
var standardOperations = []string{"create", "configure", "start", "stop", "delete"}

// relationshipOperations are Cloudify's, at the source and at the target, as TOSCA's Configure has them. Both establish when both ends are
// started; TOSCA adds the target at the source.
var relationshipOperations = map[string][2]string{
	"preconfigure": {"pre_configure_source", "pre_configure_target"}, "postconfigure": {"post_configure_source", "post_configure_target"},
	"establish": {"add_target", "add_source"}, "unlink": {"remove_target", "remove_source"},
}

func (c *converter) readBlueprint(doc *document.Document) *blueprint {
	b := &blueprint{
		values: map[*document.Param][]*source.Node{}, schemas: map[*document.Param]*document.Schema{}, redefined: map[*document.Param]bool{}, structures: map[string]*document.Type{},
		attributes: map[string]bool{}, operations: map[string][]string{},
	}
	given := func(chain []resolve.Declared, list []document.Assign) {
		c.goWithout(chain, func(name string) bool {
			return slices.ContainsFunc(list, func(a document.Assign) bool { return a.Name.Text == name })
		})
		for _, a := range list {
			if at, p := firstParam(chain, a.Name.Text); p != nil {
				c.given(b, at.File, p, a.Value)
			}
			c.asked(b, a.Value)
		}
	}
	seen := map[*document.Type]bool{}
	types := func(chain []resolve.Declared) {
		for _, t := range chain {
			if seen[t.Type] {
				continue
			}
			seen[t.Type] = true
			for _, p := range t.Properties {
				if at, first := firstParam(chainOf(t), p.Name.Text); first != nil && p.Default != nil {
					c.given(b, at.File, first, p.Default)
				}
				if at, first := firstParam(chainOf(t), p.Name.Text); first != nil && first != p && !refines(t.File, at.File, p.Schema, first.Schema) {
					b.redefined[first] = true
				}
				c.asked(b, p.Default)
			}
			c.operationsOf(b, t.Interfaces)
		}
	}
	for _, t := range doc.Types {
		types(c.Root.Lookup(t.Kind, t.Name.Text))
	}
	for _, n := range doc.Topology.Nodes {
		chain := c.Root.Lookup(document.NodeType, n.Type.Text)
		types(chain)
		given(chain, n.Properties)
		c.operationsOf(b, n.Interfaces)
		for _, r := range n.Requirements {
			of := c.Root.Lookup(document.RelationshipType, r.Relationship.Name.Text)
			types(of)
			given(of, r.Relationship.Properties)
			c.operationsOf(b, r.Relationship.Interfaces)
			b.need(r.Name.Text, of)
		}
	}
	for _, p := range append(append([]*document.Param{}, doc.Topology.Outputs...), doc.Topology.Capabilities...) {
		c.asked(b, p.Value)
	}
	return b
}

// goWithout notes the required properties that are not given: Cloudify fills structures whose fields have defaults, and lets external
// resources go without.
func (c *converter) goWithout(chain []resolve.Declared, given func(name string) bool) {
	seen := map[string]bool{}
	for _, t := range chain {
		for _, p := range t.Properties {
			if !seen[p.Name.Text] && p.Default == nil && (p.Required == nil || *p.Required) && !given(p.Name.Text) {
				c.fitted.relaxed[p] = true
			}
			seen[p.Name.Text] = true
		}
	}
}

// refines reports a schema that another one can be refined by in TOSCA: of the same type, or a derived one.
func refines(f, from *resolve.File, s, of *document.Schema) bool {
	if s == nil || of == nil || s.Type.Text == "any" || of.Type.Text == "any" || s.Type.Text == of.Type.Text {
		return true
	}
	named := from.Lookup(document.DataType, of.Type.Text)
	return len(named) > 0 && is(f.Lookup(document.DataType, s.Type.Text), named[0])
}

// given notes a value of a parameter, and those of the fields of its data type.
func (c *converter) given(b *blueprint, f *resolve.File, p *document.Param, v *source.Node) {
	b.values[p] = append(b.values[p], v)
	c.fields(b, f, p.Schema, v)
}

func (c *converter) fields(b *blueprint, f *resolve.File, s *document.Schema, v *source.Node) {
	if s == nil || v == nil {
		return
	}
	if _, _, _, _, call := c.Root.Doc.Traits.Expressions.Call(v); call {
		return
	}
	for _, it := range v.Items {
		c.fields(b, f, s.Entry, it)
	}
	chain := f.Lookup(document.DataType, s.Type.Text)
	for k, x := range v.All() {
		if at, p := firstParam(chain, k.Text); p != nil {
			c.given(b, at.File, p, x)
		} else {
			c.fields(b, f, s.Entry, x)
		}
	}
}

// need notes a relationship of a template.
func (b *blueprint) need(name string, of []resolve.Declared) {
	for _, q := range b.requirements {
		if q.name == name {
			if t := common(q.of, of); t.Type != nil {
				q.of = chainOf(t)
			}
			return
		}
	}
	b.requirements = append(b.requirements, &neededRequirement{name, of})
}

// operationsOf notes the operations that are used of interfaces, and the attributes that their inputs ask for.
func (c *converter) operationsOf(b *blueprint, list []*document.Interface) {
	for _, i := range list {
		name := i.Name.Text
		if _, ok := b.operations[name]; !ok {
			b.interfaces = append(b.interfaces, name)
			b.operations[name] = nil
		}
		for _, o := range i.Operations {
			for _, in := range o.Inputs {
				c.asked(b, in.Value)
				if in.Def != nil {
					c.asked(b, in.Def.Default)
				}
			}
			if !slices.Contains(b.operations[name], o.Name.Text) && (o.Implementation != nil || len(o.Inputs) > 0) {
				b.operations[name] = append(b.operations[name], o.Name.Text)
			}
		}
	}
}

// asked notes the attributes that a value's functions ask for.
func (c *converter) asked(b *blueprint, n *source.Node) {
	switch {
	case n.Is(source.Sequence):
		for _, it := range n.Items {
			c.asked(b, it)
		}
	case n.Is(source.Mapping):
		if fn, args, problem, _, ok := c.Root.Doc.Traits.Expressions.Call(n); ok && problem == "" && fn == "get_attribute" && len(args) > 1 && args[1].Is(source.Scalar) {
			b.attributes[args[1].Text] = b.attributes[args[1].Text] || len(args) > 2
		}
		for _, v := range n.All() {
			c.asked(b, v)
		}
	}
}

// firstParam is the definition of a property by the furthest ancestor that has it.
func firstParam(chain []resolve.Declared, name string) (resolve.Declared, *document.Param) {
	for _, t := range slices.Backward(chain) {
		for _, p := range t.Properties {
			if p.Name.Text == name {
				return t, p
			}
		}
	}
	return resolve.Declared{}, nil
}

// blueprintDocument writes a blueprint.
func (c *converter) blueprintDocument(doc *document.Document) *source.Node {
	c.bp = c.readBlueprint(doc)
	out := newMap()
	out.text("tosca_definitions_version", c.target)
	out.put("metadata", metadata(doc.Metadata))
	out.text("description", doc.Description)
	for _, t := range doc.Types {
		if t.Kind != document.CapabilityType && !(t.Kind == document.PolicyType && t.Name.Text == "cloudify.policies.scaling") {
			c.use(resolve.Declared{Type: t, File: c.Root})
		}
	}
	body := c.blueprintTopology(doc.Topology)
	sections := make([]m, document.Kinds)
	for i := range sections {
		sections[i] = newMap()
	}
	for len(c.queue) > 0 {
		t := c.queue[0]
		c.queue = c.queue[1:]
		sections[t.Kind].put(c.names[t.Type], c.blueprintType(t))
	}
	c.blueprintInterfaces(sections[document.InterfaceType])
	scalable := newMap()
	scalable.text("derived_from", "tosca.capabilities.Scalable")
	props := newMap()
	for _, p := range []struct {
		name  string
		value int64
	}{{"default_instances", 1}, {"min_instances", 0}, {"max_instances", -1}} {
		x := newMap()
		x.text("type", "integer")
		x.put("default", num(p.value))
		props.put(p.name, x.n)
	}
	scalable.put("properties", props.n)
	sections[document.CapabilityType].put(scalableType, scalable.n)
	for kind, s := range sections {
		out.put(document.Kind(kind).Section(), s.or())
	}
	out.put("topology_template", body)
	return out.n
}

// shown is the schema that values show: of scalars, lists and maps whose entries are alike, or of a data type made for maps with different
// entries, which is called name. What shows different things is JSON as a text; what shows nothing is a text, too.
func (c *converter) shown(values []*source.Node, name string) *document.Schema {
	var given []*source.Node
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		if _, _, _, _, call := c.Root.Doc.Traits.Expressions.Call(v); !call {
			given = append(given, v)
		}
	}
	all := func(is func(*source.Node) bool) bool {
		return !slices.ContainsFunc(given, func(v *source.Node) bool { return !is(v) })
	}
	typed := func(name string) *document.Schema { return &document.Schema{Type: document.Name{Text: name}} }
	switch {
	case len(given) == 0:
		return typed("string")
	case all(func(v *source.Node) bool { return v.Is(source.Mapping) }):
		return c.shownMap(given, name)
	case all(func(v *source.Node) bool { return v.Is(source.Sequence) }):
		var inner []*source.Node
		for _, v := range given {
			inner = append(inner, v.Items...)
		}
		s := typed("list")
		s.Entry = c.shown(inner, name+".entry")
		return s
	case !all(func(v *source.Node) bool { return v.Is(source.Scalar) }):
		return typed(jsonType)
	case all(func(v *source.Node) bool { _, ok := yaml11[strings.ToLower(v.Text)]; return ok && !v.Quoted }):
		return typed("boolean")
	case all(func(v *source.Node) bool { _, ok := v.Int(); return ok && !v.Quoted }):
		return typed("integer")
	case all(func(v *source.Node) bool { _, ok := v.Float(); return ok && !v.Quoted }):
		return typed("float")
	}
	return typed("string")
}

// shownMap is a map of alike entries, or a data type with a property for each key.
func (c *converter) shownMap(given []*source.Node, name string) *document.Schema {
	var keys []string
	inner := map[string][]*source.Node{}
	var entries []*source.Node
	for _, v := range given {
		for k, x := range v.All() {
			if _, ok := inner[k.Text]; !ok {
				keys = append(keys, k.Text)
			}
			inner[k.Text] = append(inner[k.Text], x)
			entries = append(entries, x)
		}
	}
	kind := ""
	for i, x := range entries {
		k := c.shown([]*source.Node{x}, name+"."+keys[0]).Type.Text
		if i == 0 {
			kind = k
		}
		if k != kind || !topology.IsPrimitive(k) || k == "list" || k == "map" {
			kind = ""
			break
		}
	}
	if kind != "" || len(entries) == 0 {
		s := &document.Schema{Type: document.Name{Text: "map"}, Entry: c.shown(entries, name)}
		return s
	}
	t := c.bp.structures[name]
	if t == nil {
		no := false
		t = &document.Type{Kind: document.DataType, Name: document.Name{Text: name, Pos: given[0].Pos}}
		c.bp.structures[name] = t
		for _, k := range keys {
			t.Properties = append(t.Properties, &document.Param{Name: document.Name{Text: k}, Schema: c.shown(inner[k], name+"."+k), Required: &no})
		}
	}
	return &document.Schema{Type: document.Name{Text: name}}
}

// typeOf is the schema to write for a parameter: Cloudify's may have none, or be a list or map of whatever.
func (c *converter) typeOf(p *document.Param, owner string) *document.Schema {
	if s, ok := c.bp.schemas[p]; ok {
		return s
	}
	s, name := p.Schema, ""
	if s != nil {
		name = s.Type.Text
	}
	// Cloudify takes any value for a text.
	structured := name == "string" && slices.ContainsFunc(append(slices.Clone(c.bp.values[p]), p.Default), func(v *source.Node) bool {
		_, _, _, _, call := c.Root.Doc.Traits.Expressions.Call(v)
		return !call && (v.Is(source.Mapping) || v.Is(source.Sequence))
	})
	if !structured && !c.bp.redefined[p] && name != "" && name != "any" && (name != "list" && name != "map" || s.Entry != nil) {
		c.bp.schemas[p] = s
		return s
	}
	values := c.bp.values[p]
	if p.Default != nil {
		values = append(slices.Clone(values), p.Default)
	}
	out := c.shown(values, owner+"."+p.Name.Text)
	entry := &document.Schema{Type: document.Name{Text: "string"}}
	switch {
	case name == "list" && out.Type.Text != "list", name == "map" && out.Type.Text == "string":
		out = &document.Schema{Type: s.Type, Entry: entry}
	}
	if s != nil {
		with := *out
		with.Constraints, with.Path, with.Pos = s.Constraints, s.Path, s.Pos
		out = &with
	}
	c.bp.schemas[p] = out
	return out
}

// blueprintValue writes a value as the schema says that was found for it.
func (c *converter) blueprintValue(f *resolve.File, n *source.Node, s *document.Schema) *source.Node {
	if n == nil || s == nil || n.Kind == source.Null {
		return c.value(f, n, s)
	}
	if _, _, _, _, call := f.Doc.Traits.Expressions.Call(n); call {
		return c.value(f, n, s)
	}
	if s.Type.Text == jsonType {
		text, ok := c.asJSON(f, n)
		if !ok {
			c.lost(n.Pos, s.Path, "a value that is now a text, now a structure, with functions inside of it,")
			return nil
		}
		return &source.Node{Kind: source.Scalar, Tag: "!!str", Text: text, Quoted: true}
	}
	made := c.bp.structures[s.Type.Text]
	chain := c.Root.Lookup(document.DataType, s.Type.Text)
	switch n.Kind {
	case source.Sequence:
		out := seq()
		for _, it := range n.Items {
			if v := c.blueprintValue(f, it, s.Entry); v != nil {
				out.Items = append(out.Items, v)
			}
		}
		return out
	case source.Mapping:
		out := newMap()
		c.goWithout(chain, func(name string) bool { return n.Get(name) != nil })
		for k, v := range n.All() {
			in := s.Entry
			if made != nil {
				if at := slices.IndexFunc(made.Properties, func(p *document.Param) bool { return p.Name.Text == k.Text }); at >= 0 {
					in = made.Properties[at].Schema
				}
			} else if at, p := firstParam(chain, k.Text); p != nil {
				in = c.typeOf(p, at.Name.Text)
			}
			if v.IsNull() {
				continue // as good as absent
			}
			x := c.blueprintValue(f, v, in)
			if _, p := firstParam(chain, k.Text); p != nil && x == nil {
				c.fitted.relaxed[p] = true
			}
			out.put(k.Text, x)
		}
		return out.n
	}
	return c.value(f, n, s)
}

// asJSON is a value as a text; ok is false if it has functions in it.
func (c *converter) asJSON(f *resolve.File, n *source.Node) (string, bool) {
	plain := true
	var walk func(n *source.Node) any
	walk = func(n *source.Node) any {
		if _, _, _, _, call := f.Doc.Traits.Expressions.Call(n); call {
			plain = false
			return nil
		}
		switch {
		case n.IsNull():
			return nil
		case n.Is(source.Sequence):
			out := []any{}
			for _, it := range n.Items {
				out = append(out, walk(it))
			}
			return out
		case n.Is(source.Mapping):
			out := map[string]any{}
			for k, v := range n.All() {
				out[k.Text] = walk(v)
			}
			return out
		}
		if i, ok := n.Int(); ok && !n.Quoted {
			return i
		}
		if b, ok := yaml11[strings.ToLower(n.Text)]; ok && !n.Quoted {
			return b
		}
		return n.Text
	}
	data, err := json.Marshal(walk(n))
	return string(data), plain && err == nil
}

// blueprintParam writes the definition of a property, input or parameter. first is the definition that it refines, or p itself.
func (c *converter) blueprintParam(f *resolve.File, p, first *document.Param, owner string) *source.Node {
	q := *p
	q.Schema = c.typeOf(first, owner)
	if p != first && p.Schema != nil && p.Schema.Type.Text != "any" && !c.bp.redefined[first] {
		if chain := f.Lookup(document.DataType, p.Schema.Type.Text); slices.ContainsFunc(chain, func(t resolve.Declared) bool { return t.Name.Text == q.Schema.Type.Text }) || p.Schema.Type.Text == q.Schema.Type.Text && p.Schema.Entry != nil {
			q.Schema = p.Schema // a refinement
		} else if p.Schema.Type.Text != q.Schema.Type.Text {
			c.lost(p.Name.Pos, p.Path, "that %s is of another type than what it redefines (%s, not %s)", p.Name.Text, p.Schema.Type.Text, q.Schema.Type.Text)
			q.Default = nil
		}
	}
	c.structures(q.Schema)
	if d := c.blueprintValue(f, q.Default, q.Schema); d != nil {
		q.Default = nil
		if c.fitted.relaxed[p] {
			c.fitted.relaxed[&q] = true
		}
		x := c.param(f, &q, "input", nil)
		if d.Kind != source.Null {
			m{x}.put("default", d)
		}
		return x
	}
	if q.Default != nil || c.fitted.relaxed[p] {
		q.Default = nil
		c.fitted.relaxed[&q] = true
	}
	return c.param(f, &q, "input", nil)
}

// structures has the data types written that were made for a schema.
func (c *converter) structures(s *document.Schema) {
	if s == nil {
		return
	}
	if t := c.bp.structures[s.Type.Text]; t != nil && c.names[t] == "" {
		c.use(resolve.Declared{Type: t, File: c.Root})
		for _, p := range t.Properties {
			c.structures(p.Schema)
		}
	}
	c.structures(s.Entry)
}

// blueprintAssigns gives values to properties.
func (c *converter) blueprintAssigns(list []document.Assign, chain []resolve.Declared) *source.Node {
	out := newMap()
	for _, a := range list {
		at, first := firstParam(chain, a.Name.Text)
		var s *document.Schema
		if first != nil {
			s = c.typeOf(first, at.Name.Text)
		}
		v := c.blueprintValue(c.Root, a.Value, s)
		if v == nil || v.Kind == source.Null {
			for _, t := range chain {
				for _, p := range t.Properties {
					if p.Name.Text == a.Name.Text {
						c.fitted.relaxed[p] = true
					}
				}
			}
			continue
		}
		out.put(a.Name.Text, v)
	}
	return out.or()
}

// blueprintType writes a type.
func (c *converter) blueprintType(t resolve.Declared) *source.Node {
	x, f := newMap(), t.File
	base, merged := "", []resolve.Declared{t}
	chain := f.Lookup(t.Kind, t.Name.Text)
	switch t.Kind {
	case document.NodeType:
		switch {
		case t.Name.Text == cloudifyServer:
			base, merged = "tosca.nodes.Compute", chain
		case t.DerivedFrom.IsZero():
			base = "tosca.nodes.Root"
		}
	case document.RelationshipType:
		switch {
		case t.Name.Text == "cloudify.relationships.connected_to":
			base, merged = "tosca.relationships.ConnectsTo", chain
		case t.Name.Text == "cloudify.relationships.contained_in":
			base, merged = "tosca.relationships.HostedOn", chain
		case t.Name.Text == "cloudify.relationships.depends_on":
			base = "tosca.relationships.DependsOn"
		case t.DerivedFrom.IsZero():
			base = "tosca.relationships.Root"
		}
	case document.PolicyType:
		if base = "tosca.policies.Root"; t.Name.Text == "cloudify.policies.scaling" {
			base = "tosca.policies.Scaling"
		}
	case document.DataType:
		if t.DerivedFrom.IsZero() {
			base = "tosca.datatypes.Root"
		}
	}
	rebased := base != ""
	if !rebased {
		base = c.ref(f, t.Kind, t.DerivedFrom)
	}
	x.text("derived_from", base)
	x.text("version", t.Version)
	x.text("description", t.Description)
	props, seen := newMap(), map[string]bool{}
	for _, a := range merged {
		for _, p := range a.Properties {
			if seen[p.Name.Text] {
				continue
			}
			seen[p.Name.Text] = true
			at, first := firstParam(chain, p.Name.Text)
			if first == nil {
				at, first = t, p
			}
			props.put(p.Name.Text, c.blueprintParam(a.File, p, first, at.Name.Text))
		}
	}
	x.put("properties", props.or())
	switch t.Kind {
	case document.NodeType:
		c.blueprintNodeType(x, t, merged, rebased)
	case document.RelationshipType:
		if rebased && t.Name.Text == "cloudify.relationships.contained_in" {
			x.put("valid_target_types", texts([]string{"tosca.capabilities.Container"}))
		}
		var list []*document.Interface
		for _, a := range merged {
			list = append(list, a.Interfaces...)
		}
		x.put("interfaces", c.blueprintEnds(f, list, true, rebased))
	}
	return x.n
}

// native attributes of TOSCA's nodes.
var nativeAttributes = []string{"tosca_id", "tosca_name", "state", "private_address", "public_address", "networks", "ports"}

func (c *converter) blueprintNodeType(x m, t resolve.Declared, merged []resolve.Declared, rebased bool) {
	f := t.File
	attrs := newMap()
	var list []*document.Interface
	for _, a := range merged {
		for _, p := range a.Attributes {
			if attrs.n.Get(p.Name.Text) == nil {
				attrs.put(p.Name.Text, c.blueprintParam(a.File, p, p, a.Name.Text))
			}
		}
		list = append(list, a.Interfaces...)
	}
	if rebased {
		for _, name := range sortedKeys(c.bp.attributes) {
			if attrs.n.Get(name) != nil || slices.Contains(nativeAttributes, name) {
				continue
			}
			typ := newMap()
			typ.text("type", "string")
			if c.bp.attributes[name] {
				typ = m{one("type", str(jsonType))} // something inside of it is asked for
			}
			attrs.put(name, typ.n)
		}
	}
	x.put("attributes", attrs.or())
	if rebased {
		caps := newMap()
		caps.put("scalable", one("type", str(scalableType)))
		if t.Name.Text == cloudifyServer {
			host := newMap()
			host.text("type", "tosca.capabilities.Compute")
			host.put("valid_source_types", texts([]string{"tosca.nodes.Root"}))
			caps.put("host", host.n)
		} else {
			caps.put("host", one("type", str("tosca.capabilities.Container")))
			caps.put("endpoint", one("type", str("tosca.capabilities.Endpoint")))
		}
		x.put("capabilities", caps.n)
		reqs := seq()
		for _, q := range c.bp.requirements {
			y := newMap()
			y.text("capability", end(q.of))
			if len(q.of) > 0 {
				y.text("relationship", c.use(q.of[0]))
			}
			y.put("occurrences", seq(num(0), plain(topology.Unbounded)))
			reqs.Items = append(reqs.Items, one(q.name, y.n))
		}
		if len(reqs.Items) > 0 {
			x.put("requirements", reqs)
		}
	}
	x.put("interfaces", c.blueprintNodeInterfaces(f, list, true, rebased))
}

// end is the capability type that a relationship of Cloudify ends at in TOSCA.
func end(of []resolve.Declared) string {
	for _, t := range of {
		switch t.Name.Text {
		case "cloudify.relationships.contained_in":
			return "tosca.capabilities.Container"
		case "cloudify.relationships.connected_to":
			return "tosca.capabilities.Endpoint"
		}
	}
	return "tosca.capabilities.Node"
}

// interfaceName is how a node's interface is called in TOSCA.
func interfaceName(name string) string {
	if name == lifecycle {
		return "Standard"
	}
	return name
}

// blueprintNodeInterfaces writes interfaces of a node type (def) or template; types that others derive from declare all that are used.
func (c *converter) blueprintNodeInterfaces(f *resolve.File, list []*document.Interface, def, all bool) *source.Node {
	out := newMap()
	seen := map[string]bool{}
	if all {
		for _, name := range c.bp.interfaces {
			if name != relationLife && !strings.HasPrefix(name, grammar.TargetEnd) && len(c.bp.operations[name]) > 0 {
				out.put(interfaceName(name), one("type", str(name)))
			}
		}
	}
	for _, i := range list {
		ops := newMap()
		for _, o := range i.Operations {
			if key := i.Name.Text + "." + o.Name.Text; seen[key] {
				continue
			} else {
				seen[key] = true
			}
			if n := c.blueprintOperation(f, i, o, def, o.Name.Text); n != nil {
				ops.put(o.Name.Text, n)
				if i.Name.Text == lifecycle && !slices.Contains(standardOperations, o.Name.Text) && o.Implementation != nil {
					c.lost(o.Name.Pos, o.Path, "that the operation %s belongs to the life cycle", o.Name.Text)
				}
			}
		}
		if ops.or() == nil {
			continue
		}
		name := interfaceName(i.Name.Text)
		x := out.n.Get(name)
		if x == nil {
			x = newMap().n
			if def {
				m{x}.text("type", i.Name.Text)
			}
			out.put(name, x)
		}
		m{x}.put("operations", ops.n)
	}
	return out.or()
}

// blueprintEnds writes the interfaces of a relationship.
func (c *converter) blueprintEnds(f *resolve.File, list []*document.Interface, def, all bool) *source.Node {
	out, ops := newMap(), newMap()
	for _, i := range list {
		name, target := strings.CutPrefix(i.Name.Text, grammar.TargetEnd)
		for _, o := range i.Operations {
			if o.Implementation == nil && o.Call.IsZero() && len(o.Inputs) == 0 {
				continue
			}
			to, known := relationshipOperations[o.Name.Text]
			if name != relationLife || !known {
				c.lost(o.Name.Pos, o.Path, "the operation %s.%s of a relationship", name, o.Name.Text)
				continue
			}
			at := 0
			if target {
				at = 1
				if strings.HasSuffix(to[1], "configure_target") && o.Implementation != nil {
					c.lost(o.Name.Pos, o.Path, "that %s of the target runs when the source is configured (it becomes %s, which runs when the target is)", o.Name.Text, to[1])
				}
			}
			if ops.n.Get(to[at]) == nil {
				ops.put(to[at], c.blueprintOperation(f, i, o, def, to[at]))
			}
		}
	}
	if ops.or() == nil {
		return nil
	}
	x := newMap()
	if def {
		x.text("type", "tosca.interfaces.relationship.Configure")
	}
	x.put("operations", ops.n)
	out.put("Configure", x.n)
	return out.or()
}

// usesCtx are the calls by which a script asks Cloudify's agent.
var usesCtx = regexp.MustCompile(`(?m)(^|[\s$(` + "`" + `;|&])ctx[ .]|from cloudify|import cloudify`)

func (c *converter) blueprintOperation(f *resolve.File, i *document.Interface, o *document.Operation, def bool, as string) *source.Node {
	with := *o
	with.Name.Text = as
	switch {
	case !o.Call.IsZero():
		c.lost(o.Call.Pos, o.Path, "the plugin's function %s, which the operation %s calls,", o.Call.Text, o.Name.Text)
		return nil
	case o.Implementation != nil && o.Implementation.Source != "":
		c.lost(o.Name.Pos, o.Path, "the script that the operation %s has in the document", o.Name.Text)
		return nil
	case o.Implementation == nil && len(o.Inputs) == 0:
		return nil
	}
	if a := o.Implementation; a != nil {
		for _, dir := range []string{path.Dir(f.Path), f.Root} {
			if data, err := fs.ReadFile(c.Topology.Files, path.Join(dir, a.File.Text)); err == nil && usesCtx.Match(data) && !bytes.HasPrefix(data, []byte("\x7fELF")) && !c.ctx[a.File.Text] {
				c.ctx[a.File.Text] = true
				c.lost(a.File.Pos, o.Path, "what the script %s asks of Cloudify's ctx", a.File.Text)
			}
		}
	}
	for _, x := range []struct {
		what string
		n    *source.Node
	}{{"max_retries", o.Retries}, {"retry_interval", o.RetryInterval}} {
		if x.n != nil {
			c.lost(o.Name.Pos, o.Path, "%s of the operation %s", x.what, o.Name.Text)
		}
	}
	if o.Host != "ORCHESTRATOR" {
		with.Host = ""
	}
	with.Inputs = nil
	ins := newMap()
	for _, in := range o.Inputs {
		switch {
		case in.Def == nil:
			ins.put(in.Name.Text, c.value(f, in.Value, nil))
		case in.Def.Schema != nil && in.Def.Schema.Type.Text != "any" || in.Def.Default != nil:
			ins.put(in.Name.Text, c.blueprintParam(f, in.Def, in.Def, i.Path+"."+o.Name.Text))
		}
	}
	out := c.operation(f, &with, def)
	if ins.or() != nil {
		out.Pairs = append([]source.Pair{{Key: plain("inputs"), Value: ins.n}}, out.Pairs...)
	}
	return out
}

// blueprintInterfaces writes the interface types: all operations that are used of each.
func (c *converter) blueprintInterfaces(out m) {
	for _, name := range c.bp.interfaces {
		if name == relationLife || strings.HasPrefix(name, grammar.TargetEnd) || len(c.bp.operations[name]) == 0 {
			continue
		}
		x, ops := newMap(), newMap()
		if name == lifecycle {
			x.text("derived_from", standardType)
		}
		for _, o := range c.bp.operations[name] {
			if name != lifecycle || !slices.Contains(standardOperations, o) {
				ops.put(o, one("description", str("An operation.")))
			}
		}
		x.put("operations", ops.or())
		if x.or() != nil {
			out.put(name, x.n)
		}
	}
}

func (c *converter) blueprintTopology(t *document.Topology) *source.Node {
	x, f := newMap(), c.Root
	inputs := newMap()
	for _, p := range t.Inputs {
		inputs.put(p.Name.Text, c.blueprintParam(f, p, p, "inputs"))
	}
	x.put("inputs", inputs.or())
	nodes := newMap()
	for _, n := range t.Nodes {
		nodes.put(n.Name.Text, c.blueprintNode(n))
	}
	x.put("node_templates", nodes.n)
	groups := newMap()
	for _, g := range t.Groups {
		y := newMap()
		y.text("type", "tosca.groups.Root")
		y.put("members", c.groupMembers(t, g))
		groups.put(g.Name.Text, y.n)
	}
	x.put("groups", groups.or())
	policies := seq()
	for _, p := range t.Policies {
		y := newMap()
		chain := f.Lookup(document.PolicyType, p.Type.Text)
		y.text("type", c.ref(f, document.PolicyType, p.Type))
		y.put("properties", c.blueprintAssigns(p.Properties, chain))
		y.put("targets", names(p.Targets))
		policies.Items = append(policies.Items, one(p.Name.Text, y.n))
		for _, tr := range p.Triggers {
			c.lost(tr.Name.Pos, tr.Path, "the trigger %s of the policy %s", tr.Name.Text, p.Name.Text)
		}
		if p.Type.Text == "cloudify.policies.scaling" {
			c.lost(p.Name.Pos, p.Path, "that the groups of the policy %s scale as one (each member has the number of instances that it begins with)", p.Name.Text)
		}
	}
	if len(policies.Items) > 0 {
		x.put("policies", policies)
	}
	outputs := newMap()
	output := func(p *document.Param) {
		y := newMap()
		y.text("description", p.Description)
		v := c.value(f, p.Value, nil)
		if v == nil {
			c.lost(p.Name.Pos, p.Path, "the value of %s", p.Name.Text)
			return
		}
		y.put("value", v)
		outputs.put(p.Name.Text, y.n)
	}
	for _, p := range t.Outputs {
		output(p)
	}
	for _, p := range t.Capabilities {
		if outputs.n.Get(p.Name.Text) != nil {
			c.lost(p.Name.Pos, p.Path, "the capability %s of the deployment, beside an output of that name", p.Name.Text)
			continue
		}
		c.lost(p.Name.Pos, p.Path, "that %s is a capability of the deployment (an output is written)", p.Name.Text)
		output(p)
	}
	x.put("outputs", outputs.or())
	for _, s := range []struct {
		what string
		list []*document.Param
	}{{"the label", t.Labels}, {"the blueprint label", t.BlueprintLabels}, {"the resource tag", t.ResourceTags}, {"the setting", t.Settings}} {
		for _, p := range s.list {
			c.lost(p.Name.Pos, p.Path, "%s %s", s.what, p.Name.Text)
		}
	}
	for _, w := range t.Workflows {
		c.lost(w.Name.Pos, w.Path, "the workflow %s, which is code (%s),", w.Name.Text, w.Call)
	}
	return x.n
}

// groupMembers are the nodes of a group, also of the groups inside of it.
func (c *converter) groupMembers(t *document.Topology, g *document.Group) *source.Node {
	var out []string
	seen := map[string]bool{}
	var add func(g *document.Group)
	add = func(g *document.Group) {
		for _, member := range g.Members {
			at := slices.IndexFunc(t.Groups, func(o *document.Group) bool { return o.Name.Text == member.Text })
			switch {
			case at < 0 && !slices.Contains(out, member.Text):
				out = append(out, member.Text)
			case at >= 0 && !seen[member.Text]:
				seen[member.Text] = true
				c.lost(member.Pos, g.Path, "that the group %s contains the group %s (its nodes are written)", g.Name.Text, member.Text)
				add(t.Groups[at])
			}
		}
	}
	add(g)
	return texts(out)
}

func (c *converter) blueprintNode(n *document.NodeTemplate) *source.Node {
	x, f := newMap(), c.Root
	chain := f.Lookup(document.NodeType, n.Type.Text)
	x.text("type", c.ref(f, document.NodeType, n.Type))
	x.put("properties", c.blueprintAssigns(n.Properties, chain))
	node := c.Topology.NodeNamed(n.Name.Text)
	if node != nil {
		if k := node.Capability("scalable"); k != nil && (len(n.Capabilities) > 0 || c.scaled(n.Name.Text)) {
			props := newMap()
			for _, name := range []string{"default_instances", "min_instances", "max_instances"} {
				switch v := k.Properties.Get(name); {
				case v == nil:
				case v.Kind == topology.LitValue:
					if i, ok := v.Lit.(int64); ok {
						props.put(name, num(i))
					}
				default:
					props.put(name, c.assigned(n, name))
				}
			}
			x.put("capabilities", one("scalable", one("properties", props.n)))
		}
		for _, i := range node.Interfaces {
			for _, o := range i.Operations {
				if o.Host == "ORCHESTRATOR" && o.Implementation != nil && !c.central[n.Name.Text] && node.Host() == "" && !node.Type.Is(cloudifyServer) {
					c.central[n.Name.Text] = true
					c.lost(n.Name.Pos, n.Path, "that the scripts of %s, which is on no server, run beside the orchestrator", n.Name.Text)
				}
			}
		}
	}
	reqs := seq()
	for _, r := range n.Requirements {
		y := newMap()
		of := f.Lookup(document.RelationshipType, r.Relationship.Name.Text)
		y.text("node", r.Node.Text)
		rel := newMap()
		rel.text("type", c.ref(f, document.RelationshipType, r.Relationship.Name))
		rel.put("properties", c.blueprintAssigns(r.Relationship.Properties, of))
		rel.put("interfaces", c.blueprintEnds(f, r.Relationship.Interfaces, false, false))
		if len(rel.n.Pairs) == 1 {
			y.put("relationship", rel.n.Pairs[0].Value)
		} else {
			y.put("relationship", rel.n)
		}
		for _, p := range r.Relationship.Properties {
			if p.Name.Text == "connection_type" && p.Value.Str() == "all_to_one" {
				c.lost(p.Name.Pos, r.Path, "that all instances of %s are related to one of %s", n.Name.Text, r.Node.Text)
			}
		}
		reqs.Items = append(reqs.Items, one(r.Name.Text, y.n))
	}
	if len(reqs.Items) > 0 {
		x.put("requirements", reqs)
	}
	x.put("interfaces", c.blueprintNodeInterfaces(f, n.Interfaces, false, false))
	return x.n
}

// assigned is the value that a template gives a number of instances.
func (c *converter) assigned(n *document.NodeTemplate, name string) *source.Node {
	for _, k := range n.Capabilities {
		for _, a := range k.Properties {
			if a.Name.Text == name {
				return c.value(c.Root, a.Value, nil)
			}
		}
	}
	return nil
}

// scaled reports a member of a group that a policy scales.
func (c *converter) scaled(node string) bool {
	return slices.ContainsFunc(c.Root.Doc.Topology.Groups, func(g *document.Group) bool {
		return slices.ContainsFunc(g.Members, func(m document.Name) bool { return m.Text == node }) && slices.ContainsFunc(c.Root.Doc.Topology.Policies, func(p *document.Policy) bool {
			return p.Type.Text == "cloudify.policies.scaling" && slices.ContainsFunc(p.Targets, func(t document.Name) bool { return t.Text == g.Name.Text })
		})
	})
}
