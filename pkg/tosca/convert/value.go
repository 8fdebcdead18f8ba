package convert

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// value writes a value of a schema (nil: unknown), with its functions in the target's words.
func (c *converter) value(f *resolve.File, n *source.Node, s *document.Schema) *source.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == source.Null:
		return &source.Node{Kind: source.Null, Tag: "!!null"}
	}
	data, fields := c.dataType(f, s)
	if fn, args, problem, _, ok := f.Doc.Traits.Expressions.Call(n); ok && !isField(n, fields) {
		if home, own := f.Function(fn); own != nil {
			return c.ownCall(f, home, own, n, args)
		}
		if problem == "" {
			return c.fitCall(f, n, fn, args, s, data.primitive)
		}
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
		out := newMap()
		for name, p := range fields {
			if f.Doc.Traits.Lenient && n.Get(name) == nil && p.Default == nil && (p.Required == nil || *p.Required) {
				c.fitted.relaxed[p] = true
			}
		}
		for k, v := range n.All() {
			in := data.entry
			if p := fields[k.Text]; p != nil {
				in = p.Schema
			}
			out.put(c.key(f, k.Text), c.value(data.file(f), v, in))
		}
		return out.n
	}
	return c.scalar(f, n, data.primitive)
}

// isField: {token: secret} of a data type with that field is data.
func isField(n *source.Node, fields map[string]*document.Param) bool {
	return n.Is(source.Mapping) && len(n.Pairs) == 1 && fields[n.Pairs[0].Key.Text] != nil && !n.Pairs[0].Value.Is(source.Sequence)
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
	in        *resolve.File
}

// file is where the fields' types are looked up.
func (s shape) file(f *resolve.File) *resolve.File {
	if s.in != nil {
		return s.in
	}
	return f
}

func (c *converter) dataType(f *resolve.File, s *document.Schema) (shape, map[string]*document.Param) {
	if s == nil {
		return shape{}, nil
	}
	out := shape{entry: s.Entry}
	chain := f.Lookup(document.DataType, s.Type.Text)
	if len(chain) == 0 {
		out.primitive = s.Type.Text
		return out, nil
	}
	fields := map[string]*document.Param{}
	for _, t := range chain {
		out.in = chain[0].File
		for _, p := range t.Properties {
			if fields[p.Name.Text] == nil {
				fields[p.Name.Text] = p
			}
		}
		if t.Schema != nil && out.entry == nil {
			out.entry = t.Schema.Entry
		}
		if topology.IsPrimitive(t.DerivedFrom.Text) {
			out.primitive = t.DerivedFrom.Text
		}
	}
	return out, fields
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
	given, _ := c.dataType(c.Root, t.Inputs[at].Schema)
	have, want := kindOf(given.primitive), kindOf(primitive)
	if given.in != nil && given.primitive == "" {
		have = "a " + t.Inputs[at].Schema.Type.Text
	}
	if data, _ := c.dataType(f, s); data.in != nil && data.primitive == "" {
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

// ownCall writes the call of a function that a document defines.
func (c *converter) ownCall(f, home *resolve.File, def *document.Function, n *source.Node, args []*source.Node) *source.Node {
	if !c.v2 {
		c.lost(n.Pos, "", "the function %s", def.Name.Text)
		return nil
	}
	name := c.define(home, def)
	if out := c.arguments(f, args); out != nil {
		return one("$"+name, out)
	}
	return nil
}

// definedFunction is a function with the file that defines it.
type definedFunction struct {
	def  *document.Function
	home *resolve.File
}

// define has a function written and returns its name.
func (c *converter) define(home *resolve.File, def *document.Function) string {
	if name, ok := c.defined[def]; ok {
		return name
	}
	name := def.Name.Text
	for _, other := range c.defined {
		if other == name {
			name = strings.TrimSuffix(path.Base(home.Path), path.Ext(home.Path)) + "." + name
			c.diags.Warnf(CodeLost, def.Name.Pos, "two functions are called %s; this one becomes %s", def.Name.Text, name).Path = def.Path
		}
	}
	c.defined[def] = name
	if !c.v2 {
		c.lost(def.Name.Pos, def.Path, "the function %s", def.Name.Text)
		return name
	}
	c.calls = append(c.calls, definedFunction{def, home})
	return name
}

// definitions writes the functions that are called.
func (c *converter) definitions(out m) {
	for len(c.calls) > 0 {
		d := c.calls[0]
		c.calls = c.calls[1:]
		list := seq()
		for _, s := range d.def.Signatures {
			list.Items = append(list.Items, c.signature(d.home, s))
		}
		out.put(c.defined[d.def], one("signatures", list))
	}
}

func (c *converter) signature(f *resolve.File, s *document.Signature) *source.Node {
	x := newMap()
	schemas := func(list []*document.Schema) *source.Node {
		if len(list) == 0 {
			return nil
		}
		out := seq()
		for _, a := range list {
			y := newMap()
			c.schema(f, y, a)
			out.Items = append(out.Items, y.n)
		}
		return out
	}
	x.put("arguments", schemas(s.Arguments))
	x.put("optional_arguments", schemas(s.Optional))
	if s.Variadic {
		x.put("variadic", flag(true))
	}
	if s.Result != nil {
		y := newMap()
		c.schema(f, y, s.Result)
		x.put("result", y.or())
	}
	if s.Implementation != nil {
		x.put("implementation", c.operation(f, s.Implementation, true).Get("implementation"))
	}
	return x.n
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

// conditions writes constraints (1.x) or a validation (2.0).
func (c *converter) conditions(f *resolve.File, x m, s *document.Schema) {
	if !c.v2 {
		list := seq()
		for _, k := range s.Constraints {
			if arg := c.argument(f, k, s); arg != nil {
				list.Items = append(list.Items, one(k.Op, arg))
			}
		}
		if s.Validation != nil {
			if more, ok := c.asConstraints(f, s.Validation, s); ok {
				list.Items = append(list.Items, more...)
			} else {
				c.lost(s.Validation.Pos, s.Path+".validation", "the validation")
			}
		}
		if len(list.Items) > 0 {
			x.put("constraints", list)
		}
		return
	}
	var all []*source.Node
	for _, k := range s.Constraints {
		all = append(all, c.asFunctions(f, k, s)...)
	}
	if s.Validation != nil {
		if v := c.value(f, s.Validation, nil); v != nil {
			all = append(all, v)
		}
	}
	switch len(all) {
	case 0:
	case 1:
		x.put("validation", all[0])
	default:
		x.put("validation", one("$and", seq(all...)))
	}
}

// argument of a constraint: of the constrained type, but for lengths and patterns.
func (c *converter) argument(f *resolve.File, k *document.Constraint, s *document.Schema) *source.Node {
	switch k.Op {
	case "length", "min_length", "max_length":
		return c.value(f, k.Arg, nil)
	case "pattern":
		return c.scalar(f, k.Arg, "string")
	case "schema":
		return c.value(f, k.Arg, nil)
	}
	of := s
	if s != nil {
		of = &document.Schema{Type: s.Type}
	}
	if k.Arg.Is(source.Sequence) && k.Op != "equal" {
		out := seq()
		for _, it := range k.Arg.Items {
			v := c.value(f, it, of)
			if v == nil {
				return nil
			}
			out.Items = append(out.Items, v)
		}
		return out
	}
	return c.value(f, k.Arg, of)
}

func (c *converter) asFunctions(f *resolve.File, k *document.Constraint, s *document.Schema) []*source.Node {
	value := plain("$value")
	with := func(fn string, args ...*source.Node) *source.Node { return one("$"+fn, seq(args...)) }
	arg := c.argument(f, k, s)
	if arg == nil || k.Op == "in_range" && len(arg.Items) < 2 {
		return nil
	}
	size := one("$length", seq(value))
	switch k.Op {
	case "in_range":
		out := []*source.Node{with("greater_or_equal", value, arg.Items[0])}
		if !strings.EqualFold(arg.Items[1].Text, topology.Unbounded) {
			out = append(out, with("less_or_equal", value, arg.Items[1]))
		}
		return out
	case "length":
		return []*source.Node{with("equal", size, arg)}
	case "min_length":
		return []*source.Node{with("greater_or_equal", size, arg)}
	case "max_length":
		return []*source.Node{with("less_or_equal", size, arg)}
	case "pattern":
		return []*source.Node{with("matches", value, arg)}
	case "schema":
		c.lost(k.Pos, "", "the constraint schema")
		return nil
	}
	return []*source.Node{with(k.Op, value, arg)}
}

// asConstraints reads the validations that constraints can say.
func (c *converter) asConstraints(f *resolve.File, n *source.Node, s *document.Schema) ([]*source.Node, bool) {
	if !n.Is(source.Mapping) || len(n.Pairs) != 1 || !n.Pairs[0].Value.Is(source.Sequence) {
		return nil, false
	}
	op, args := strings.TrimPrefix(n.Pairs[0].Key.Text, "$"), n.Pairs[0].Value.Items
	if op == "and" {
		var out []*source.Node
		for _, a := range args {
			more, ok := c.asConstraints(f, a, s)
			if !ok {
				return nil, false
			}
			out = append(out, more...)
		}
		return out, true
	}
	if op == "matches" {
		op = "pattern"
	}
	ops := []string{"equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal", "valid_values", "pattern"}
	if len(args) != 2 || args[0].Str() != "$value" || !slices.Contains(ops, op) {
		return nil, false
	}
	arg := c.argument(f, &document.Constraint{Op: op, Arg: args[1]}, s)
	if arg == nil {
		return nil, false
	}
	return []*source.Node{one(op, arg)}, true
}
