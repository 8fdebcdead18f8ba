package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// functions resolves the definitions of the user's own documents, so that mistakes in unused ones are found, too.
func (r *resolver) functions() {
	for _, f := range r.in.Files {
		if f.Library {
			continue
		}
		for _, def := range f.Doc.Functions {
			r.function(f, def)
		}
		if t := f.Doc.Topology; t != nil && f == r.in.Root {
			for _, def := range t.Functions {
				r.function(f, def)
			}
		}
	}
}

// function resolves a definition. One of a service template refines that of the same name outside of it: of a signature that exists only the
// implementation can change, and signatures can follow.
func (r *resolver) function(f *File, def *document.Function) *topology.Function {
	if fn, ok := r.signed[def]; ok {
		return fn
	}
	out := &topology.Function{Name: def.Name.Text, Pos: def.Name.Pos}
	r.signed[def] = out
	var outside []*topology.Signature
	if file, refined := f.Refined(def); refined != nil {
		outside = r.function(file, refined).Signatures
	}
	for i, d := range def.Signatures {
		if i < len(outside) {
			s := *outside[i]
			r.implemented(f, &s, d.Implementation)
			out.Signatures = append(out.Signatures, &s)
			continue
		}
		s := &topology.Signature{Least: len(d.Arguments), Variadic: d.Variadic, Result: r.schema(f, d.Result)}
		for _, a := range slices.Concat(d.Arguments, d.Optional) {
			s.Arguments = append(s.Arguments, r.schema(f, a))
		}
		r.implemented(f, s, d.Implementation)
		out.Signatures = append(out.Signatures, s)
	}
	if len(out.Signatures) < len(outside) {
		out.Signatures = append(out.Signatures, outside[len(out.Signatures):]...)
	}
	return out
}

// implemented gives a signature its implementation, if there is one.
func (r *resolver) implemented(f *File, s *topology.Signature, def *document.Operation) {
	if def == nil || def.Implementation == nil {
		return
	}
	ctx := &context{file: f}
	s.Implementation, s.Dependencies, s.Timeout = r.artifactUse(ctx, def.Implementation), nil, 0
	for _, d := range def.Dependencies {
		s.Dependencies = append(s.Dependencies, r.artifactUse(ctx, d))
	}
	if def.Timeout != nil {
		s.Timeout = r.timeout(def.Timeout, def.Path)
	}
}

// Refined is the definition outside of the file's service template that one in it refines, with its file.
func (f *File) Refined(def *document.Function) (*File, *document.Function) {
	if t := f.Doc.Topology; t == nil || !slices.Contains(t.Functions, def) {
		return nil, nil
	}
	return f.outside(def.Name.Text)
}

// outside finds a function that is defined outside of service templates, in the file or what it imports.
func (f *File) outside(name string) (*File, *document.Function) {
	for _, at := range f.reachable() {
		for _, fn := range at.file.Doc.Functions {
			if at.prefix+fn.Name.Text == name {
				return at.file, fn
			}
		}
	}
	return nil, nil
}

// Function finds a function that a document in scope defines (TOSCA 2.0), with the file that has it. What the service template of the root document
// refines is meant wherever it is called, in types of profiles, too.
func (f *File) Function(name string) (*File, *document.Function) {
	if t := f.Doc.Topology; t != nil {
		for _, fn := range t.Functions {
			if fn.Name.Text == name {
				return f, fn
			}
		}
	}
	file, def := f.outside(name)
	if def == nil || f.root == nil || f.root.Doc.Topology == nil {
		return file, def
	}
	for _, fn := range f.root.Doc.Topology.Functions {
		if _, of := f.root.Refined(fn); of == def {
			return f.root, fn
		}
	}
	return file, def
}

// Call splits a function call as the document's dialect does (see document.Expressions); $name alone calls a function that a document defines
// without arguments, too.
func (f *File) Call(n *source.Node) (fn string, args []*source.Node, problem, hint string, ok bool) {
	fn, args, problem, hint, ok = f.Doc.Traits.Expressions.Call(n)
	if !ok && f.Doc.Traits.Strict && n.Is(source.Scalar) && strings.HasPrefix(n.Text, "$") {
		if _, own := f.Function(n.Text[1:]); own != nil {
			return n.Text[1:], nil, "unknown", "", true
		}
	}
	return fn, args, problem, hint, ok
}

// apply checks the arguments of a call against the function's signatures and parses them. It returns the result's schema, nil for any.
func (r *resolver) apply(c *topology.Checker, fn *topology.Function, n *source.Node, args []*source.Node, out *topology.Call, path string) *topology.Schema {
	out.Own = fn
	var fits []*topology.Signature
	for _, s := range fn.Signatures {
		if s.Takes(len(args)) {
			fits = append(fits, s)
		}
	}
	declared := []diag.Related{{Pos: fn.Pos, Message: "declared here"}}
	if len(fits) == 0 && len(fn.Signatures) > 0 {
		r.errorf("bad-function", n.Pos, path, "no signature of the function %s takes %d arguments", fn.Name, len(args)).Related = declared
	}
	var chosen *topology.Signature
	for _, s := range fits {
		if len(fits) == 1 || r.quietly(c, args, s, path) {
			chosen = s
			break
		}
	}
	if chosen == nil && len(fits) > 1 {
		r.errorf("bad-function", n.Pos, path, "the arguments fit no signature of the function %s", fn.Name).Related = declared
	}
	for i, a := range args {
		var s *topology.Schema
		if chosen != nil {
			s = chosen.Argument(i)
		}
		out.Args[i] = c.Value(a, s, path)
	}
	if chosen == nil {
		return nil
	}
	if !chosen.Runnable() {
		d := r.warnf(CodeOwnFunction, n.Pos, path, "the function %s has no implementation here that could be run, so this cannot be deployed", fn.Name)
		d.Related, d.Hint = []diag.Related{{Pos: fn.Pos, Message: "defined here"}}, "add implementation to its signature: a script of the archive"
	}
	return chosen.Result
}

// quietly tells whether arguments fit a signature, without saying what does not.
func (r *resolver) quietly(c *topology.Checker, args []*source.Node, s *topology.Signature, path string) bool {
	findings, calls := len(*r.diags), len(r.calls)
	for i, a := range args {
		c.Value(a, s.Argument(i), path)
	}
	ok := true
	for _, d := range (*r.diags)[findings:] {
		ok = ok && d.Severity != diag.Error
	}
	*r.diags, r.calls = (*r.diags)[:findings], r.calls[:calls]
	return ok
}

// results of TOSCA 2.0's own functions, where they are always of one kind.
var results = map[string]string{
	"and": "boolean", "or": "boolean", "not": "boolean", "xor": "boolean", "equal": "boolean", "greater_than": "boolean", "greater_or_equal": "boolean",
	"less_than": "boolean", "less_or_equal": "boolean", "valid_values": "boolean", "matches": "boolean", "has_suffix": "boolean", "has_prefix": "boolean",
	"contains": "boolean", "has_entry": "boolean", "has_key": "boolean", "has_all_entries": "boolean", "has_all_keys": "boolean", "has_any_entry": "boolean",
	"has_any_key": "boolean", "length": "integer", "join": "string", "token": "string", "union": "list", "intersection": "list", "round": "integer",
	"floor": "integer", "ceil": "integer", "node_index": "integer", "relationship_index": "integer", "quotient": "float",
}

// result is the schema of what a call gives, as far as the function alone decides it.
func result(call *topology.Call) *topology.Schema {
	if t := results[call.Fn]; t != "" {
		return &topology.Schema{Type: topology.Type{t}}
	}
	if call.Fn == "concat" && len(call.Args) > 0 && call.Args[0].Kind == topology.LitValue {
		return &topology.Schema{Type: topology.Type{"string"}}
	}
	return nil
}

// fitsInto reports a value of one type where another is declared. Only what can never fit is refused: derived types are checked when the value
// is known.
func (r *resolver) fitsInto(ctx *context, have, want *topology.Schema, pos diag.Pos, path, what string) {
	if !ctx.file.Doc.Traits.Strict || have == nil || want == nil || kindsFit(have, want) {
		return
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	d := r.errorf(topology.CodeValueType, pos, path, "%s must be %s, and %s is %s", name, want, what, have)
	d.Hint = "use a function or property of that type"
}

func kindsFit(have, want *topology.Schema) bool {
	h, w := valueKind(have), valueKind(want)
	switch {
	case h == "" || w == "" || h == w && h != "map":
	case h == "integer" && w == "float":
	case h == "map" && w == "map":
	default:
		return false
	}
	if h == "structure" && w == h {
		return have.Type.Is(want.Type.Name()) || want.Type.Is(have.Type.Name())
	}
	return have.Entry == nil || want.Entry == nil || h != "list" && h != "map" || kindsFit(have.Entry, want.Entry)
}

// valueKind is what a value looks like; "" is anything.
func valueKind(s *topology.Schema) string {
	if s == nil || len(s.Type) == 0 {
		return ""
	}
	switch p := s.Primitive(); p {
	case "any", "null", "nil":
		return ""
	case "":
		if len(s.Fields) == 0 {
			return "" // a broken or open type
		}
		return "structure"
	case "boolean", "integer", "float", "list", "map":
		return p
	case "range":
		return "list"
	}
	return "string"
}

func describeCall(c *topology.Call) string { return fmt.Sprintf("the result of $%s", c.Fn) }
