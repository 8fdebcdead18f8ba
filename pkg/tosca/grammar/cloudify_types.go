package grammar

import (
	"slices"
	"strconv"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// cloudifyTypes are Cloudify's primitive types with the model's; those that name things of the manager are texts.
var cloudifyTypes = map[string]string{
	"string": "string", "integer": "integer", "float": "float", "boolean": "boolean", "list": "list", "dict": "map", "regex": "string", "textarea": "string",
	"blueprint_id": "string", "deployment_id": "string", "capability_value": "any", "scaling_group": "string", "node_id": "string", "node_type": "string",
	"node_instance": "string", "secret_key": "string", "operation_name": "string",
}

// typesSince are the levels of the primitive types that came later.
var typesSince = map[string]int{
	"blueprint_id": 14, "deployment_id": 14, "capability_value": 14, "scaling_group": 14, "node_id": 14, "node_type": 14, "node_instance": 14,
	"secret_key": 14, "operation_name": 15,
}

func (b *blueprint) typeDef(kind document.Kind, e entry) *document.Type {
	t := &document.Type{Kind: kind, Name: key(e.key), Path: e.path}
	n := e.value
	if n.IsNull() || !b.known(n, sections[kind], e.path) {
		if kind == document.NodeType {
			t.Capabilities = scalable()
		}
		return t
	}
	t.DerivedFrom = b.name(n.Get("derived_from"), e.path+".derived_from")
	t.Description = b.text(n.Get("description"), e.path+".description")
	for _, p := range b.entries(n.Get("properties"), e.path+".properties") {
		t.Properties = append(t.Properties, b.param(p, "property"))
	}
	switch kind {
	case document.NodeType:
		t.Interfaces = b.interfaces(n.Get("interfaces"), e.path+".interfaces", "", true)
		for _, p := range b.entries(n.Get("runtime_properties"), e.path+".runtime_properties") {
			t.Attributes = append(t.Attributes, b.param(p, "property"))
		}
		if t.DerivedFrom.IsZero() {
			t.Capabilities = scalable()
		}
	case document.RelationshipType:
		t.Interfaces = b.ends(n, e.path, true)
	case document.DataType:
		t.Version = b.text(n.Get("version"), e.path+".version")
	}
	return t
}

// scalable is the capability of every node; what derives from a type inherits it.
func scalable() []*document.CapabilityDef {
	return []*document.CapabilityDef{{Name: document.Name{Text: "scalable"}, Type: document.Name{Text: "tosca.capabilities.Scalable"}}}
}

// param reads the schema of a property, input or parameter.
func (b *blueprint) param(e entry, section string) *document.Param {
	p := &document.Param{Name: key(e.key), Path: e.path}
	n := e.value
	if n.IsNull() || !b.known(n, section, e.path) {
		return p
	}
	p.Description = b.text(n.Get("description"), e.path+".description")
	p.Required = b.flag(n.Get("required"), e.path+".required")
	if p.Default = n.Get("default"); p.Default != nil && p.Default.IsNull() {
		no := false // null is a default like any other
		p.Required, p.Default = &no, nil
	}
	typ := n.Get("type")
	if typ.IsNull() && n.Get("constraints").IsNull() && n.Get("item_type").IsNull() {
		b.display(p, n)
		return p
	}
	s := &document.Schema{Pos: n.Pos, Path: e.path, Type: b.primitive(typ, e.path+".type")}
	if typ.IsNull() {
		s.Type = document.Name{Text: "any", Pos: n.Pos}
	}
	s.Constraints = b.constraints(n.Get("constraints"), e.path+".constraints")
	if it := n.Get("item_type"); it != nil {
		if typ.Str() != "list" {
			b.diags.Errorf(CodeForm, it.At(), "item_type is for lists; %s is none", e.key.Text).Path = e.path + ".item_type"
		} else {
			// The constraints of a list with item_type are of its items.
			if item := b.primitive(it, e.path+".item_type"); !item.IsZero() {
				s.Entry = &document.Schema{Pos: it.Pos, Path: e.path + ".item_type", Type: item, Constraints: s.Constraints}
			}
			s.Constraints = nil
			if it.Is(source.Scalar) && cloudifyTypes[it.Text] == "" {
				b.diags.Errorf(CodeForm, it.Pos, "item_type must be a primitive type, not %s", it.Text).Path = e.path + ".item_type"
			}
		}
	}
	if len(s.Constraints) > 0 && p.Default != nil {
		if fn, _, _, _, call := b.traits.Expressions.Call(p.Default); call {
			b.diags.Warnf(CodeForm, p.Default.Pos, "the default of %s comes from %s, so its constraints are checked late", e.key.Text, fn).Path = e.path + ".default"
		}
	}
	p.Schema = s
	b.display(p, n)
	return p
}

// primitive maps a type's name to the model's.
func (b *blueprint) primitive(n *source.Node, path string) document.Name {
	name := b.name(n, path)
	if to := cloudifyTypes[name.Text]; to != "" {
		if since := typesSince[name.Text]; since > b.level && !b.o.Library {
			d := b.diags.Errorf(CodeForm, name.Pos, "%s does not know the type %s", b.title, name.Text)
			d.Path, d.Hint = path, spanText(strconv.Itoa(since), false)
		}
		name.Text = to
	} else if topology.IsPrimitive(name.Text) {
		d := b.diags.Errorf("unknown-type", name.Pos, "unknown data type %q", name.Text)
		d.Path, d.Hint = path, "Cloudify's types are string, integer, float, boolean, list, dict, regex, textarea and data_types"
		name.Text = "any"
	}
	return name
}

// display reads how an input is shown.
func (b *blueprint) display(p *document.Param, n *source.Node) {
	p.Metadata = map[string]string{}
	b.text(n.Get("display_label"), p.Path+".display_label")
	for _, k := range []string{"display_label", "hidden"} {
		if v := n.Get(k); v.Is(source.Scalar) {
			p.Metadata[k] = v.Text
		}
	}
	if hidden := b.flag(n.Get("hidden"), p.Path+".hidden"); hidden != nil && *hidden && p.Default == nil && (p.Required == nil || *p.Required) {
		b.diags.Errorf(CodeForm, n.Pos, "%s is hidden and required but has no default, so nobody can give it", p.Name.Text).Path = p.Path
	}
	if d := n.Get("display"); d != nil && n.Get("type").Str() != "textarea" {
		b.diags.Errorf(CodeForm, d.At(), "display is for the type textarea").Path = p.Path + ".display"
	}
	if len(p.Metadata) == 0 {
		p.Metadata = nil
	}
}

// managerConstraints ask the manager's lists; without one they hold.
var managerConstraints = []string{"filter_id", "labels", "tenants", "name_pattern", "deployment_id"}

func (b *blueprint) constraints(n *source.Node, path string) []*document.Constraint {
	if n.IsNull() {
		return nil
	}
	if !n.Is(source.Sequence) {
		b.wrong(n, path, "a list of constraints")
		return nil
	}
	var out []*document.Constraint
	for i, it := range n.Items {
		p := path + "[" + strconv.Itoa(i) + "]"
		var op *source.Pair
		for j, pair := range it.Pairs {
			switch {
			case pair.Key.Text == "error_message" && b.level >= 15:
			case op != nil:
				b.diags.Errorf(CodeForm, pair.Key.Pos, "a constraint has one operator; this one has also %s", pair.Key.Text).Path = p
			default:
				op = &it.Pairs[j]
			}
		}
		if op == nil {
			b.wrong(it, p, "a constraint: a map with one key")
			continue
		}
		if slices.Contains(managerConstraints, op.Key.Text) {
			continue
		}
		if _, ok := constraintOps[op.Key.Text]; !ok || op.Key.Text == "schema" {
			names := append([]string{}, managerConstraints...)
			for o := range constraintOps {
				names = append(names, o)
			}
			slices.Sort(names)
			d := b.diags.Errorf(CodeForm, op.Key.Pos, "unknown constraint %q", op.Key.Text)
			d.Path, d.Hint = p, diag.Suggest(op.Key.Text, names)
			continue
		}
		if _, _, _, _, call := b.traits.Expressions.Call(op.Value); call {
			continue // computed with the inputs
		}
		if c := b.constraintOf(op.Key, op.Value, p); c != nil && b.argument(c, p) {
			out = append(out, c)
		}
	}
	return out
}

// argument checks the kind of a constraint's argument.
func (b *blueprint) argument(c *document.Constraint, path string) bool {
	number := func(n *source.Node) bool {
		_, ok := n.Float()
		_, _, _, _, call := b.traits.Expressions.Call(n)
		if !ok && !call {
			b.wrong(n, path+"."+c.Op, "a number")
		}
		return ok
	}
	switch c.Op {
	case "greater_than", "greater_or_equal", "less_than", "less_or_equal", "length", "min_length", "max_length":
		return number(c.Arg)
	case "in_range":
		return number(c.Arg.Items[0]) && number(c.Arg.Items[1])
	case "pattern":
		if !c.Arg.Is(source.Scalar) {
			b.wrong(c.Arg, path+".pattern", "a regular expression")
			return false
		}
		// Python's match is anchored at the start only, the model's at both ends.
		anchored := *c.Arg
		anchored.Text, anchored.Tag = "(?:"+c.Arg.Text+")(?s:.*)", "!!str"
		c.Arg = &anchored
	}
	return true
}
