package resolve

import (
	"errors"
	"regexp/syntax"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// dataType builds the schema of a data type: its fields with the inherited ones, or the primitive it restricts.
func (r *resolver) dataType(t *typ) {
	s := &topology.Schema{Type: t.chain, Description: t.def.Description, Pos: t.def.Name.Pos}
	t.schema = s
	if from := t.def.DerivedFrom.Text; t.parent == nil && topology.IsPrimitive(from) {
		s.Type = append(s.Type, from)
	}
	if t.parent != nil && t.parent.schema != nil {
		p := t.parent.schema
		s.Type = append(topology.Type{t.def.Name.Text}, p.Type...)
		s.Fields = append(s.Fields, p.Fields...)
		s.Constraints = append(s.Constraints, p.Constraints...)
		s.Validation = append(s.Validation, p.Validation...)
		s.Entry, s.Key, s.Scalar = p.Entry, p.Key, p.Scalar
	}
	t.chain = s.Type
	if t.broken {
		s.Type = append(s.Type, "any") // nothing is known of its values
	}
	r.scalarType(t)
	prim := s.Primitive()
	if prim != "" && prim != "any" && len(t.def.Properties) > 0 {
		r.errorf("native-type-properties", t.def.Properties[0].Name.Pos, t.def.Path+".properties",
			"the data type %s derives from %s and cannot have properties", t.def.Name.Text, prim).Hint = "derive it from tosca.datatypes.Root instead, or remove the properties"
		return
	}
	if def := t.def.Schema; def != nil {
		s.Entry = r.part(t.file, s.Entry, def.Entry, "entry_schema", s.Entry != nil)
		s.Key = r.part(t.file, s.Key, def.Key, "key_schema", s.Key != nil)
		s.Constraints = append(s.Constraints, r.constraints(t.file, def, s)...)
		s.Validation = append(s.Validation, r.validations(t.file, def)...)
	}
	for _, def := range t.def.Properties {
		r.field(t, def)
	}
}

func (r *resolver) field(t *typ, def *document.Param) {
	s := t.schema
	def = expandShort(def, false)
	f := &topology.Field{Name: def.Name.Text, Schema: r.schema(t.file, def.Schema), Required: def.Required == nil || *def.Required}
	if old := s.Field(f.Name); old != nil {
		if f.Schema == nil {
			f.Schema = old.Schema
		}
		f.Default = old.Default
		if def.Required == nil {
			f.Required = old.Required
		}
	}
	if def.Default != nil && !def.Default.IsNull() {
		f.Default = r.value(&context{file: t.file, inType: t}, def.Default, f.Schema, def.Path+".default")
	}
	for i, old := range s.Fields {
		if old.Name == f.Name {
			s.Fields = append([]*topology.Field{}, s.Fields...) // the parent's slice is shared
			s.Fields[i] = f
			return
		}
	}
	s.Fields = append(s.Fields[:len(s.Fields):len(s.Fields)], f)
}

// schema resolves a declared schema; nil for none. A schema of unknown type lets everything through.
func (r *resolver) schema(f *File, def *document.Schema) *topology.Schema {
	return r.refinement(f, def, false)
}

// refinement resolves a schema that may refine another one, whose entry_schema and key_schema then need no type of their own.
func (r *resolver) refinement(f *File, def *document.Schema, refines bool) *topology.Schema {
	if def == nil {
		return nil
	}
	s := &topology.Schema{Pos: def.Pos, Description: def.Description}
	if !def.Type.IsZero() {
		if !r.schemaType(f, def, s) {
			return s
		}
	}
	s.Entry = r.part(f, s.Entry, def.Entry, "entry_schema", refines || s.Entry != nil)
	s.Key = r.part(f, s.Key, def.Key, "key_schema", refines || s.Key != nil)
	s.Constraints = append(s.Constraints[:len(s.Constraints):len(s.Constraints)], r.constraints(f, def, s)...)
	s.Validation = append(s.Validation[:len(s.Validation):len(s.Validation)], r.validations(f, def)...)
	return s
}

// part lays the entry_schema or key_schema of a definition over the one that is there. It needs a type of its own unless it refines.
func (r *resolver) part(f *File, old *topology.Schema, def *document.Schema, key string, refines bool) *topology.Schema {
	if def == nil {
		return old
	}
	if def.Type.IsZero() && !refines {
		r.errorf("missing-keyname", def.Pos, def.Path, "%s has no type", key)
	}
	return mergeSchema(old, r.refinement(f, def, refines))
}

// schemaType fills in the named type. A data type that is still being resolved (it contains itself) is completed when it is done.
func (r *resolver) schemaType(f *File, def *document.Schema, s *topology.Schema) bool {
	name := def.Type.Text
	own := f.lookup(document.DataType, name)
	if own == nil || own.file.Library && topology.IsPrimitive(name) {
		if topology.IsPrimitive(name) {
			s.Type = topology.Type{name}
			if name == "scalar" && f.Doc.Traits.Strict {
				r.errorf("scalar-type", def.Type.Pos, def.Path, "scalar is abstract: a value needs a data type that derives from it and has units")
			}
			if (name == "list" || name == "map") && def.Entry == nil && f.Doc.Traits.Strict {
				r.errorf("missing-keyname", def.Type.Pos, def.Path, "a %s needs an entry_schema", name).Hint = "add entry_schema: with the type of its entries"
			}
			return true
		}
		r.unknownType(f, document.DataType, def.Type, def.Path+".type")
		s.Type = topology.Type{"any"}
		return false
	}
	if own.state == 1 {
		s.Type = topology.Type{own.def.Name.Text}
		r.later = append(r.later, func() { complete(s, own.schema) })
		return true
	}
	t := r.flatten(own)
	if t.schema == nil {
		s.Type = topology.Type{"any"}
		return false
	}
	complete(s, t.schema)
	return true
}

func complete(s, from *topology.Schema) {
	if from == nil {
		return
	}
	s.Type, s.Fields, s.Scalar = from.Type, from.Fields, from.Scalar
	if s.Entry == nil {
		s.Entry = from.Entry
	}
	if s.Key == nil {
		s.Key = from.Key
	}
	s.Constraints = append(from.Constraints[:len(from.Constraints):len(from.Constraints)], s.Constraints...)
	s.Validation = append(from.Validation[:len(from.Validation):len(from.Validation)], s.Validation...)
}

// constraints converts arguments to the type that they restrict.
func (r *resolver) constraints(f *File, def *document.Schema, s *topology.Schema) []topology.Constraint {
	var out []topology.Constraint
	bare := *s
	bare.Constraints, bare.Validation = nil, nil
	for _, c := range def.Constraints {
		if k, ok := r.constraint(f, c, &bare, def.Path+".constraints"); ok {
			out = append(out, k)
		}
	}
	return out
}

func (r *resolver) constraint(f *File, c *document.Constraint, s *topology.Schema, docPath string) (topology.Constraint, bool) {
	k := topology.Constraint{Op: c.Op, Pos: c.Pos}
	ctx := &context{file: f}
	arg := func(n *source.Node, s *topology.Schema) *topology.Value {
		if unit := baseUnits[s.Primitive()]; unit != "" && n.Is(source.Scalar) {
			if _, ok := n.Float(); ok { // a bound without unit counts in the base unit
				copied := *n
				copied.Text, copied.Tag = n.Text+" "+unit, "!!str"
				n = &copied
			}
		}
		return r.value(ctx, n, s, docPath+"."+c.Op)
	}
	bound := s
	if p := s.Primitive(); p == "" {
		bound = nil
	} else if s.Primitive() == "range" || s.Primitive() == "list" || s.Primitive() == "map" || s.Primitive() == "any" {
		bound = &topology.Schema{Type: topology.Type{"integer"}}
		if c.Op == "equal" || c.Op == "valid_values" || s.Primitive() == "any" {
			bound = nil
		}
	}
	switch c.Op {
	case "length", "min_length", "max_length":
		switch p := s.Primitive(); p {
		case "integer", "float", "boolean", "timestamp", "range":
			r.errorf("constraint-not-applicable", c.Pos, docPath, "the constraint %s does not apply to the type %s", c.Op, s).Hint = "it is for texts, lists and maps"
			return k, false
		}
		k.Args = []*topology.Value{arg(c.Arg, &topology.Schema{Type: topology.Type{"integer"}})}
	case "pattern":
		k.Args = []*topology.Value{arg(c.Arg, &topology.Schema{Type: topology.Type{"string"}})}
		if p, ok := k.Args[0].Lit.(string); ok {
			r.checkPattern(p, c.Arg.Pos, docPath)
		}
	case "in_range":
		for _, n := range c.Arg.Items {
			if n.Str() == topology.Unbounded || n.Str() == "unbounded" {
				k.Args = append(k.Args, &topology.Value{Lit: topology.Unbounded, Pos: n.Pos})
				continue
			}
			k.Args = append(k.Args, arg(n, bound))
		}
		if len(k.Args) == 2 && bound != nil {
			if lower := (topology.Constraint{Op: "less_or_equal", Args: k.Args[1:]}); k.Args[1].Lit != topology.Unbounded && k.Args[0].Lit != topology.Unbounded &&
				k.Args[0].Lit != nil && lower.Check(k.Args[0], bound) != "" {
				r.errorf("wrong-form", c.Arg.Pos, docPath, "the lower end of in_range is above the upper one")
				return k, false
			}
		}
	case "valid_values":
		for _, n := range c.Arg.Items {
			k.Args = append(k.Args, arg(n, bound))
		}
	case "schema":
		k.Args = []*topology.Value{arg(c.Arg, nil)}
		if text, ok := k.Args[0].Lit.(string); ok {
			if _, err := topology.CompileJSONSchema(text); err != nil {
				r.errorf("wrong-form", c.Arg.Pos, docPath, "the argument of schema is no JSON Schema: %s", err)
			}
		}
	default:
		k.Args = []*topology.Value{arg(c.Arg, bound)}
	}
	return k, true
}

// checkPattern tells a pattern that is malformed from one that RE2 only lacks the syntax for.
func (r *resolver) checkPattern(pattern string, pos diag.Pos, docPath string) {
	if _, err := topology.CompilePattern(pattern); err == nil {
		return
	}
	_, err := syntax.Parse(pattern, syntax.Perl)
	var se *syntax.Error
	if errors.As(err, &se) && se.Code != syntax.ErrInvalidPerlOp && se.Code != syntax.ErrInvalidEscape && se.Code != syntax.ErrInvalidRepeatSize {
		r.errorf("pattern", pos, docPath, "the pattern is not a regular expression: %s", se)
		return
	}
	reason := "it is too large"
	if se != nil {
		reason = se.Error()
	}
	r.warnf("pattern", pos, docPath, "the pattern cannot be checked: %s", reason)
}

var baseUnits = map[string]string{"scalar-unit.size": "B", "scalar-unit.time": "s", "scalar-unit.frequency": "Hz", "scalar-unit.bitrate": "bps"}

func (r *resolver) validations(f *File, def *document.Schema) []*topology.Value {
	if def.Validation == nil {
		return nil
	}
	before := len(*r.diags)
	v := r.value(&context{file: f, validation: true}, def.Validation, nil, def.Path+".validation")
	if (*r.diags)[before:].HasErrors() {
		return nil // values cannot be held against it
	}
	if v.Kind != topology.CallValue {
		if v.Kind != topology.LitValue {
			r.errorf("value-type", def.Validation.Pos, def.Path+".validation", "validation must be a boolean function")
		}
		return nil
	}
	return []*topology.Value{v}
}

func (r *resolver) errorf(code string, pos diag.Pos, docPath, format string, args ...any) *diag.Diagnostic {
	d := r.diags.Errorf(code, pos, format, args...)
	d.Path = docPath
	return d
}

func (r *resolver) warnf(code string, pos diag.Pos, docPath, format string, args ...any) *diag.Diagnostic {
	d := r.diags.Warnf(code, pos, format, args...)
	d.Path = docPath
	return d
}

// maxSuggestions bounds the search for similar names: in a document with thousands of mistakes it would take longer than everything else.
const maxSuggestions = 100

// suggest is diag.Suggest for long lists of names.
func (r *resolver) suggest(name string, names func() []string) string {
	if r.suggestions++; r.suggestions > maxSuggestions {
		return ""
	}
	return diag.Suggest(name, names())
}

// severe reports an error, or a warning in dialects whose own tools let it through.
func (r *resolver) severe(f *File, code string, pos diag.Pos, docPath, format string, args ...any) *diag.Diagnostic {
	if f.Doc.Traits.Lenient {
		return r.warnf(code, pos, docPath, format, args...)
	}
	return r.errorf(code, pos, docPath, format, args...)
}
