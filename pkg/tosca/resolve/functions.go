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

// signature of a function that a document defines, with its types resolved.
type signature struct {
	args           []*topology.Schema
	least          int
	variadic       bool
	result         *topology.Schema
	implementation *topology.Artifact
}

// functions resolves the definitions of the user's own documents, so that mistakes in unused ones are found, too.
func (r *resolver) functions() {
	for _, f := range r.in.Files {
		if f.Library {
			continue
		}
		for _, def := range f.Doc.Functions {
			r.signatures(f, def)
		}
		if t := f.Doc.Topology; t != nil && f == r.in.Root {
			for _, def := range t.Functions {
				r.signatures(f, def)
			}
		}
	}
}

func (r *resolver) signatures(f *File, def *document.Function) []*signature {
	if s, ok := r.signed[def]; ok {
		return s
	}
	var out []*signature
	var outside []*signature // what a template's own definition refines
	if t := f.Doc.Topology; t != nil && slices.Contains(t.Functions, def) {
		for _, at := range f.reachable() {
			for _, fn := range at.file.Doc.Functions {
				if at.prefix+fn.Name.Text == def.Name.Text && outside == nil {
					outside = r.signatures(at.file, fn)
				}
			}
		}
	}
	for i, d := range def.Signatures {
		if i < len(outside) { // of a signature that exists only the implementation can change
			s := *outside[i]
			if im := d.Implementation; im != nil && im.Implementation != nil {
				s.implementation = r.artifactUse(&context{file: f}, im.Implementation)
			}
			out = append(out, &s)
			continue
		}
		s := &signature{least: len(d.Arguments), variadic: d.Variadic, result: r.schema(f, d.Result)}
		for _, a := range append(append([]*document.Schema{}, d.Arguments...), d.Optional...) {
			s.args = append(s.args, r.schema(f, a))
		}
		if im := d.Implementation; im != nil && im.Implementation != nil {
			s.implementation = r.artifactUse(&context{file: f}, im.Implementation)
		}
		out = append(out, s)
	}
	if len(out) < len(outside) {
		out = append(out, outside[len(out):]...)
	}
	r.signed[def] = out
	return out
}

// takes reports whether a signature has room for that many arguments.
func (s *signature) takes(n int) bool {
	return n >= s.least && (n <= len(s.args) || s.variadic && len(s.args) > 0)
}

// argument is the schema of an argument by its position.
func (s *signature) argument(i int) *topology.Schema {
	if i >= len(s.args) {
		i = len(s.args) - 1
	}
	if i < 0 {
		return nil
	}
	return s.args[i]
}

// Function finds a function that a document in scope defines (TOSCA 2.0), with the file that has it.
func (f *File) Function(name string) (*File, *document.Function) {
	if t := f.Doc.Topology; t != nil {
		for _, fn := range t.Functions {
			if fn.Name.Text == name {
				return f, fn
			}
		}
	}
	for _, at := range f.reachable() {
		for _, fn := range at.file.Doc.Functions {
			if at.prefix+fn.Name.Text == name {
				return at.file, fn
			}
		}
	}
	return nil, nil
}

// apply checks the arguments of a call against the function's signatures and parses them. It returns the result's schema, nil for any.
func (r *resolver) apply(c *topology.Checker, f *File, def *document.Function, n *source.Node, args []*source.Node, out *topology.Call, path string) *topology.Schema {
	var fits []*signature
	all := r.signatures(f, def)
	for _, s := range all {
		if s.takes(len(args)) {
			fits = append(fits, s)
		}
	}
	if len(fits) == 0 && len(all) > 0 {
		d := r.errorf("bad-function", n.Pos, path, "no signature of the function %s takes %d arguments", def.Name.Text, len(args))
		d.Related = []diag.Related{{Pos: def.Name.Pos, Message: "declared here"}}
	}
	var chosen *signature
	for _, s := range fits {
		if len(fits) == 1 || r.quietly(c, args, s, path) {
			chosen = s
			break
		}
	}
	if chosen == nil && len(fits) > 1 {
		d := r.errorf("bad-function", n.Pos, path, "the arguments fit no signature of the function %s", def.Name.Text)
		d.Related = []diag.Related{{Pos: def.Name.Pos, Message: "declared here"}}
	}
	for i, a := range args {
		var s *topology.Schema
		if chosen != nil {
			s = chosen.argument(i)
		}
		out.Args[i] = c.Value(a, s, path)
	}
	if chosen == nil {
		return nil
	}
	return chosen.result
}

// quietly tells whether arguments fit a signature, without saying what does not.
func (r *resolver) quietly(c *topology.Checker, args []*source.Node, s *signature, path string) bool {
	findings, calls := len(*r.diags), len(r.calls)
	for i, a := range args {
		c.Value(a, s.argument(i), path)
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
