package resolve

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// context is where a value stands: what SELF and the others mean, and which inputs are in scope.
type context struct {
	file *File
	// node and rel are the template that the value belongs to; inType the type that declares it.
	node   *topology.Node
	rel    *topology.Relationship
	inType *typ
	// untyped: the type of the template is not known.
	untyped bool
	// inputs of the enclosing workflow or operation.
	inputs map[string]bool
	// types of the enclosing workflow's inputs.
	types map[string]*topology.Schema
	// optional workflow inputs without a default.
	optional   map[string]bool
	validation bool
	// artifacts that implementations may name.
	artifacts []*topology.Artifact
}

// call is a function call that is checked when everything is resolved.
type call struct {
	*topology.Call
	ctx  *context
	pos  diag.Pos
	path string
	want *topology.Schema // what stands where the call stands; nil for anything
}

// value converts a node to a value of a schema, reporting what does not fit.
func (r *resolver) value(ctx *context, n *source.Node, s *topology.Schema, docPath string) *topology.Value {
	traits := ctx.file.Doc.Traits
	c := &topology.Checker{
		Report: func(d diag.Diagnostic) {
			if d.Code == topology.CodeMissingKey && traits.Lenient {
				d.Severity = diag.Warning
			}
			if d.Code == topology.CodeMissingKey && traits.Replace && ctx.inType != nil && ctx.node == nil {
				return // a type's default is part of the value: templates complete it
			}
			r.diags.Add(d)
		},
		YAML11:    traits.YAML11,
		Strict:    traits.Strict,
		YAMLTypes: traits.YAMLTypes,
	}
	c.Call = func(n *source.Node, s *topology.Schema, path string) (*topology.Call, bool) {
		return r.call(ctx, c, n, s, path)
	}
	return c.Value(n, s, docPath)
}

// call recognises a function call and parses its arguments.
func (r *resolver) call(ctx *context, c *topology.Checker, n *source.Node, s *topology.Schema, path string) (*topology.Call, bool) {
	if n.Kind == source.Mapping && len(n.Pairs) == 1 && s.Field(n.Pairs[0].Key.Text) != nil && !n.Pairs[0].Value.Is(source.Sequence) {
		return nil, false // {token: secret} of the data type Credential
	}
	if n.Kind == source.Sequence {
		return nil, false
	}
	fn, args, problem, hint, ok := ctx.file.Call(n)
	if !ok {
		return r.misspelt(ctx, n, s, path)
	}
	var defined *document.Function
	var home *File
	if problem == "unknown" {
		problem = ""
		if home, defined = ctx.file.Function(fn); defined == nil {
			problem = "unknown function " + n.String()
			if n.Kind == source.Mapping {
				problem = "unknown function " + n.Pairs[0].Key.Text
			}
		}
	}
	if problem != "" {
		r.errorf("bad-function", n.Pos, path, "%s", problem).Hint = hint
	}
	out := &topology.Call{Fn: fn, Args: make([]*topology.Value, len(args))}
	var gives *topology.Schema
	if defined != nil {
		gives = r.apply(c, r.function(home, defined), n, args, out, path)
	} else {
		for i, a := range args {
			out.Args[i] = c.Value(a, nil, path)
		}
		gives = result(out)
	}
	if problem == "" {
		r.fitsInto(ctx, gives, s, n.Pos, path, describeCall(out))
		r.calls = append(r.calls, call{Call: out, ctx: ctx, pos: n.Pos, path: path, want: s})
	}
	return out, true
}

// misspelt reports a function that is not written as it should be, where nothing else can be meant: a one-key map in place of a single value,
// or a text that begins with a dollar sign in TOSCA 2.0.
func (r *resolver) misspelt(ctx *context, n *source.Node, s *topology.Schema, path string) (*topology.Call, bool) {
	e := ctx.file.Doc.Traits.Expressions
	name := ""
	switch k := valueKind(s); {
	case n.Is(source.Mapping) && len(n.Pairs) == 1 && (k == "string" || k == "integer" || k == "float" || k == "boolean"):
		name = n.Pairs[0].Key.Text
	case ctx.file.Doc.Traits.Strict && n.Is(source.Scalar) && !n.Quoted && strings.HasPrefix(n.Text, "$") && !strings.HasPrefix(n.Text, "$$"):
		name = n.Text
	}
	if name == "" {
		return nil, false
	}
	hint := diag.Suggest(name, e.Names())
	if hint == "" {
		return nil, false
	}
	r.errorf("bad-function", n.Pos, path, "unknown function %s", name).Hint = hint
	return &topology.Call{Fn: name}, true
}

// assign gives a template's values to declared parameters: checked values for what is assigned, defaults for the rest. what is "property" or
// "attribute", of names the owner in messages.
func (r *resolver) assign(ctx *context, decl *params, given []document.Assign, what, of, docPath string, broken bool) *topology.Values {
	out := topology.NewValues()
	if len(given) == 0 {
		if decl != nil {
			r.defaults(out, decl, what)
		}
		return out
	}
	byName := make(map[string]*topology.Value, len(given))
	for _, g := range given {
		if what == "attribute" {
			g.Value = attributeValue(g.Value, decl.get(g.Name.Text))
		}
		p := docPath + "." + g.Name.Text
		d := decl.get(g.Name.Text)
		var s *topology.Schema
		switch {
		case d != nil:
			s = d.schema
			if d.fixed {
				r.errorf("fixed-value", g.Name.Pos, p, "the %s %s has a fixed value and cannot be assigned", what, g.Name.Text)
			}
		case broken:
		default:
			r.undeclared(ctx.file, g.Name, decl, what, of, p)
		}
		if d != nil && ctx.file.Doc.Traits.Replace && d.def != nil && s != nil && len(s.Fields) > 0 {
			g.Value = completed(g.Value, d.def.Default)
		}
		byName[g.Name.Text] = r.value(ctx, g.Value, s, p)
	}
	if decl != nil {
		for _, d := range decl.list {
			v := byName[d.name]
			switch {
			case v != nil && !(v.Kind == topology.LitValue && v.Lit == nil):
				out.Set(d.name, v)
			case d.value != nil && (v == nil || !ctx.file.Doc.Traits.Strict):
				out.Set(d.name, d.value)
			case v != nil && ctx.file.Doc.Traits.Strict:
				out.Set(d.name, v)
			case what == "attribute":
				out.Set(d.name, &topology.Value{Schema: d.schema})
			}
		}
	}
	for _, g := range given {
		if decl.get(g.Name.Text) == nil {
			out.Set(g.Name.Text, byName[g.Name.Text])
		}
	}
	return out
}

// completed is a structure with the fields that it lacks from a default.
func completed(n, def *source.Node) *source.Node {
	if !n.Is(source.Mapping) || !def.Is(source.Mapping) {
		return n
	}
	out := *n
	out.Pairs = slices.Clone(n.Pairs)
	for i, p := range out.Pairs {
		out.Pairs[i].Value = completed(p.Value, def.Get(p.Key.Text))
	}
	for _, p := range def.Pairs {
		if n.Get(p.Key.Text) == nil {
			out.Pairs = append(out.Pairs, p)
		}
	}
	return &out
}

// attributeValue unwraps the long notation of an attribute's value: {description: …, value: …}.
func attributeValue(n *source.Node, p *param) *source.Node {
	if !n.Is(source.Mapping) || n.Get("value") == nil || p != nil && p.schema.Field("value") != nil {
		return n
	}
	for k := range n.All() {
		if k.Text != "value" && k.Text != "description" {
			return n
		}
	}
	return n.Get("value")
}

func (r *resolver) undeclared(f *File, name document.Name, decl *params, what, of, docPath string) {
	d := diag.Diagnostic{Code: "unknown-" + what, Pos: name.Pos, Path: docPath, Message: of + " has no " + what + " \"" + name.Text + "\""}
	if what == "attribute" && f.Doc.Traits.Lenient {
		d.Severity = diag.Warning
	}
	names := decl.names()
	if d.Hint = diag.Suggest(name.Text, names); d.Hint == "" {
		d.Hint = hintList("it has", names)
	}
	r.diags.Add(d)
}

func (r *resolver) defaults(out *topology.Values, decl *params, what string) {
	for _, d := range decl.list {
		switch {
		case d.value != nil:
			out.Set(d.name, d.value)
		case what == "attribute":
			out.Set(d.name, &topology.Value{Schema: d.schema})
		}
	}
}

// required reports declared properties that have no value. A null value counts as none, a malformed one (which was reported) as one.
func (r *resolver) required(f *File, decl *params, got *topology.Values, given []document.Assign, at document.Name, of, docPath string) {
	if decl == nil {
		return
	}
	for _, d := range decl.list {
		if !d.required || got.Get(d.name) != nil || f.Doc.Traits.Lenient && fillable(d.schema, 0) || slices.ContainsFunc(given, func(g document.Assign) bool {
			return g.Name.Text == d.name && (!g.Value.IsNull() || d.schema.Primitive() == "null" || d.schema.Primitive() == "nil") ||
				decl.get(g.Name.Text) == nil && diag.Suggest(g.Name.Text, []string{d.name}) != "" // a slip that has been reported
		}) {
			continue
		}
		dg := r.severe(f, "missing-property", at.Pos, docPath, "%s needs a value for the property %q", of, d.name)
		if d.def != nil {
			dg.Related = []diag.Related{{Pos: d.def.Name.Pos, Message: "declared here, required and without default"}}
		}
	}
}

func hintList(lead string, names []string) string {
	switch {
	case len(names) == 0:
		return ""
	case len(names) > 12:
		names = append(names[:12:12], "…")
	}
	s := lead + " "
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}
