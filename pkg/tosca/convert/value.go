package convert

import (
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// value writes a value of a schema (nil: unknown), with its functions in the target's words. It is nil for what cannot be said.
func (c *converter) value(f *resolve.File, n *source.Node, s *document.Schema) *source.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == source.Null:
		return &source.Node{Kind: source.Null, Tag: "!!null"}
	}
	data := c.dataType(f, s)
	if fn, args, problem, _, ok := f.Call(n); ok && !data.isField(n) {
		if home, own := f.Function(fn); own != nil {
			return c.ownCall(f, home, own, n, args)
		}
		if problem == "" {
			return c.fitCall(f, n, fn, args, s, data.primitive)
		}
	}
	if c.bp != nil && s != nil && s.Type.Text == jsonType {
		return c.jsonValue(f, n, s)
	}
	switch n.Kind {
	case source.Sequence:
		out := seq()
		for _, it := range n.Items {
			if v := c.value(f, it, data.entry); v != nil {
				out.Items = append(out.Items, v)
			}
		}
		return out
	case source.Mapping:
		return c.mapping(f, n, data)
	}
	return c.scalar(f, n, data.primitive)
}

// mapping writes a map, or a structure. Fields that are not given are relaxed where the source's dialect lets them be.
func (c *converter) mapping(f *resolve.File, n *source.Node, data shape) *source.Node {
	for name, p := range data.fields {
		if (f.Doc.Traits.Lenient || c.bp != nil) && n.Get(name) == nil && p.Default == nil && (p.Required == nil || *p.Required) {
			c.fitted.relaxed[p.Param] = true
		}
	}
	out := newMap()
	for k, v := range n.All() {
		p, in := data.fields[k.Text], data.entry
		if p.Param != nil {
			in = c.schemaOf(p)
		}
		if c.bp != nil && v.IsNull() {
			continue // as good as absent
		}
		x := c.value(data.file(f), v, in)
		if c.bp != nil && p.Param != nil && x == nil {
			c.fitted.relaxed[p.Param] = true
		}
		out.put(c.key(f, k.Text), x)
	}
	return out.n
}

// isField: {token: secret} of a data type with that field is data.
func (s shape) isField(n *source.Node) bool {
	return n.Is(source.Mapping) && len(n.Pairs) == 1 && s.fields[n.Pairs[0].Key.Text].Param != nil && !n.Pairs[0].Value.Is(source.Sequence)
}

// key escapes what would be read as a function.
func (c *converter) key(f *resolve.File, key string) string {
	key = f.Doc.Traits.Expressions.Data(key)
	if c.v2 && callLike.MatchString(key) {
		return "$" + key
	}
	return key
}

// callLike are the keys that TOSCA 2.0 takes for functions.
var callLike = regexp.MustCompile(`^\$[-_.:0-9A-Za-z]+$`)

// shape of values of a data type.
type shape struct {
	primitive string
	entry     *document.Schema
	fields    map[string]field
	in        *resolve.File
}

// field of a data type, with the type that declares it first.
type field struct {
	*document.Param
	owner *document.Type
}

// file is where the fields' types are looked up.
func (s shape) file(f *resolve.File) *resolve.File {
	if s.in != nil {
		return s.in
	}
	return f
}

func (c *converter) dataType(f *resolve.File, s *document.Schema) shape {
	if s == nil {
		return shape{}
	}
	out := shape{entry: s.Entry, fields: map[string]field{}}
	chain := f.Lookup(document.DataType, s.Type.Text)
	if c.bp != nil && c.bp.structures[s.Type.Text] != nil {
		chain = []resolve.Declared{{Type: c.bp.structures[s.Type.Text], File: f}}
	}
	if len(chain) == 0 {
		out.primitive = s.Type.Text
		return out
	}
	out.in = chain[0].File
	for _, t := range chain {
		for _, p := range t.Properties {
			if have := out.fields[p.Name.Text]; have.Param == nil || c.bp != nil {
				out.fields[p.Name.Text] = field{p, t.Type} // blueprints' properties have their types from where they are declared first
			}
		}
		if t.Schema != nil && out.entry == nil {
			out.entry = t.Schema.Entry
		}
		if topology.IsPrimitive(t.DerivedFrom.Text) {
			out.primitive = t.DerivedFrom.Text
		}
	}
	return out
}

// schemaOf is the type that a field is written with.
func (c *converter) schemaOf(p field) *document.Schema {
	if c.bp == nil || c.bp.structures[p.owner.Name.Text] == p.owner {
		return p.Schema
	}
	return c.typeOf(p.Param, p.owner.Name.Text)
}

var yaml11 = map[string]bool{"yes": true, "on": true, "true": true, "no": false, "off": false, "false": false}

// scalar writes a text as the type's values are written, so that stricter dialects read the same.
func (c *converter) scalar(f *resolve.File, n *source.Node, primitive string) *source.Node {
	out := &source.Node{Kind: source.Scalar, Tag: n.Tag, Text: n.Text, Quoted: n.Quoted}
	switch primitive {
	case "string", "version", "timestamp", "scalar-unit.size", "scalar-unit.time", "scalar-unit.frequency", "scalar-unit.bitrate", "bytes":
		out.Tag, out.Quoted = "!!str", !bare(n.Text)
	case "boolean":
		if b, ok := yaml11[strings.ToLower(n.Text)]; ok && (f.Doc.Traits.YAML11 || strings.EqualFold(n.Text, "true") || strings.EqualFold(n.Text, "false")) {
			return flag(b)
		}
	case "integer":
		if i, ok := n.Int(); ok {
			return num(i)
		}
	case "float":
		if _, ok := n.Float(); ok {
			out.Tag, out.Quoted = "!!float", false
			if c.v2 && !strings.ContainsAny(n.Text, ".eE") {
				out.Text += ".0"
			}
		}
	}
	if out.Tag == "!!str" && c.v2 && strings.HasPrefix(out.Text, "$") && !strings.HasPrefix(out.Text, "$$") {
		out.Quoted = true
	}
	return out
}

// call writes a function call.
func (c *converter) call(f *resolve.File, n *source.Node, fn string, args []*source.Node) *source.Node {
	name := fn
	if c.v2 {
		name = "$" + fn
	}
	if !slices.Contains(c.functions, name) {
		c.lost(n.Pos, "", "the function %s", fn)
		return nil
	}
	if fn == "get_input" && len(args) > 0 && !c.hasInput(args[0].Text) {
		c.lost(n.Pos, "", "the input %s, which the topology does not have,", args[0].Text)
		return nil
	}
	out := c.arguments(f, args)
	if out == nil {
		return nil
	}
	if len(out.Items) == 1 && out.Items[0].Is(source.Scalar) && fn != "concat" && fn != "join" {
		return one(name, out.Items[0])
	}
	if len(out.Items) == 0 && c.v2 {
		return plain(name)
	}
	return one(name, out)
}

// arguments of a call; nil if one was lost, and with it the call.
func (c *converter) arguments(f *resolve.File, args []*source.Node) *source.Node {
	out := seq()
	for _, a := range args {
		v := c.value(f, a, nil)
		if v == nil {
			return nil
		}
		out.Items = append(out.Items, v)
	}
	return out
}

// hasInput reports an input of the topology, or of the workflow that is written. Documents of types alone may ask for any.
func (c *converter) hasInput(name string) bool {
	t := c.Root.Doc.Topology
	is := func(p *document.Param) bool { return p.Name.Text == name }
	return t == nil || slices.ContainsFunc(t.Inputs, is) || slices.ContainsFunc(c.flowInputs, is) ||
		slices.ContainsFunc(t.InputArtifacts, func(a *document.Artifact) bool { return a.Name.Text == name })
}

// fitCall writes a call where a type is expected. TOSCA 2.0 wants the result to be of that type; before, an integer was as good as its text.
func (c *converter) fitCall(f *resolve.File, n *source.Node, fn string, args []*source.Node, s *document.Schema, primitive string) *source.Node {
	out := c.call(f, n, fn, args)
	t := c.Root.Doc.Topology
	if out == nil || s == nil || !c.v2 || f.Doc.Traits.Strict || fn != "get_input" || len(args) != 1 || t == nil {
		return out
	}
	at := slices.IndexFunc(t.Inputs, func(p *document.Param) bool { return p.Name.Text == args[0].Text && p.Schema != nil })
	if at < 0 {
		return out
	}
	given := c.dataType(c.Root, t.Inputs[at].Schema)
	have, want := kindOf(given.primitive), kindOf(primitive)
	if given.in != nil && given.primitive == "" {
		have = "a " + t.Inputs[at].Schema.Type.Text
	}
	if data := c.dataType(f, s); data.in != nil && data.primitive == "" {
		want = "a " + s.Type.Text
	}
	switch {
	case have == "" || want == "" || have == want || have == "integer" && want == "float":
		return out
	case want == "string" && have != "list" && have != "map":
		return one("$concat", seq(out))
	}
	c.lost(n.Pos, "", "the input %s, which is %s, where %s is wanted,", args[0].Text, have, want)
	return nil
}

// kindOf is what values of a primitive type look like; "" is anything.
func kindOf(primitive string) string {
	switch primitive {
	case "", "any":
		return ""
	case "boolean", "integer", "float", "list", "map":
		return primitive
	case "range":
		return "list"
	}
	return "string"
}

// schema writes what definitions and schemas share: type, entry and key schemas, and conditions.
func (c *converter) schema(f *resolve.File, x m, s *document.Schema) {
	if s == nil {
		return
	}
	x.text("type", c.ref(f, document.DataType, s.Type))
	if c.v2 && s.Entry == nil && (s.Type.Text == "list" || s.Type.Text == "map") {
		x.put("entry_schema", one("type", str("string"))) // 2.0 wants to know; the source says nothing
	}
	for _, part := range []struct {
		key string
		sub *document.Schema
	}{{"key_schema", s.Key}, {"entry_schema", s.Entry}} {
		if part.sub == nil {
			continue
		}
		y := newMap()
		y.text("description", part.sub.Description)
		c.schema(f, y, part.sub)
		x.put(part.key, y.or())
	}
	c.conditions(f, x, s)
}
