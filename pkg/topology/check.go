package topology

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// Codes of value checks.
const (
	CodeValueType   = "value-type"
	CodeValueFormat = "value-format"
	CodeConstraint  = "constraint"
	CodeUnknownKey  = "unknown-field"
	CodeMissingKey  = "missing-field"
)

// Checker turns the nodes of a document into values of their declared type, reporting what does not fit. Conversion starts from the text of
// a scalar, so that 0777, 1.10 and 2016-04-04 stay texts where a string is declared.
type Checker struct {
	// Call recognises a function of the dialect and parses its arguments; nil: values are data only. It returns false for data.
	Call func(n *source.Node, s *Schema, path string) (*Call, bool)
	// Report takes a finding; nil drops them.
	Report func(d diag.Diagnostic)
	// YAML11 reads yes, no, on and off as booleans where one is declared (Alien4Cloud's documents).
	YAML11 bool
	// Strict takes values only of the declared YAML type (TOSCA 2.0): no null, no quoted numbers.
	Strict bool
	// YAMLTypes takes numbers and booleans only as such, never as quoted text, and anything where a text is declared (Cloudify).
	YAMLTypes bool
	// NoDefaults leaves fields of data types unset that have a default.
	NoDefaults bool
}

func (c *Checker) report(code string, pos diag.Pos, path, hint, format string, args ...any) {
	if c.Report != nil {
		c.Report(diag.Diagnostic{Code: code, Pos: pos, Path: path, Hint: hint, Message: fmt.Sprintf(format, args...)})
	}
}

// Value converts and checks a node. It always returns a value, of best effort when something was reported.
func (c *Checker) Value(n *source.Node, s *Schema, path string) *Value {
	if c.Call != nil && !n.IsNull() {
		if call, ok := c.Call(n, s, path); ok {
			return &Value{Kind: CallValue, Call: call, Schema: s, Pos: n.Pos}
		}
	}
	v := c.convert(n, s, path)
	v.Schema = s
	if s != nil && v.Kind != CallValue && !(v.Kind == LitValue && v.Lit == nil) {
		for _, k := range s.Constraints {
			if msg := k.Check(v, s); msg != "" {
				c.report(CodeConstraint, v.Pos, path, "", "%s %s", lastName(path), msg)
			}
		}
		for _, clause := range s.Validation {
			if ok, err := Holds(clause, v, s); err == nil && !ok {
				c.report(CodeConstraint, v.Pos, path, "", "%s breaks its validation clause: %s", lastName(path), show(v))
			}
		}
	}
	return v
}

func lastName(path string) string {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		path = path[i+1:]
	}
	if path == "" {
		return "the value"
	}
	return path
}

func (c *Checker) mismatch(n *source.Node, s *Schema, path, want string) *Value {
	got := describe(c.plain(n, path))
	if n.Is(source.Scalar) && n.Tag == "!!float" && !n.Quoted {
		got = "the number " + n.Text // as written: 1.0 is no integer
	}
	c.report(CodeValueType, n.At(), path, "", "%s must be %s, not %s", lastName(path), want, got)
	return &Value{Pos: n.At()}
}

// plain converts data of no declared type.
func (c *Checker) plain(n *source.Node, path string) *Value {
	v := &Value{Pos: n.At()}
	switch {
	case n.IsNull():
	case n.Kind == source.Sequence:
		v.Kind = ListValue
		v.List = make([]*Value, len(n.Items))
		for i, it := range n.Items {
			v.List[i] = c.Value(it, nil, path)
		}
	case n.Kind == source.Mapping:
		v.Kind, v.Map = MapValue, NewValues()
		for k, e := range n.All() {
			v.Map.Set(k.Text, c.Value(e, nil, path))
		}
	default:
		v.Lit = n.Any()
	}
	return v
}

func (c *Checker) convert(n *source.Node, s *Schema, path string) *Value {
	if s == nil || len(s.Type) == 0 {
		return c.plain(n, path)
	}
	if n.IsNull() {
		if p := s.Primitive(); c.Strict && p != "nil" && p != "null" && p != "any" {
			return c.mismatch(n, s, path, article(s))
		}
		return &Value{Pos: n.At()}
	}
	switch p := s.Primitive(); {
	case c.YAMLTypes && p == "string":
		return c.plain(n, path)
	case p == "list":
		return c.list(n, s, path)
	case p == "map":
		return c.mapping(n, s, path)
	case p == "range":
		return c.rangeValue(n, s, path)
	case p == "any":
		return c.plain(n, path)
	case p != "":
		return c.scalar(n, s, p, path)
	case len(s.Fields) == 0 && openType(s):
		return c.plain(n, path)
	}
	return c.structure(n, s, path)
}

// openType is a data type that says nothing of its content: the root type itself and broken types.
func openType(s *Schema) bool {
	return s.Type.Name() == "tosca.datatypes.Root" || s.Type.Name() == "Root"
}

func article(s *Schema) string {
	name := s.String()
	switch s.Primitive() {
	case "":
		return "a map (" + name + ")"
	case "integer":
		if name == "integer" {
			return "an integer"
		}
	case "bytes":
		return "base64 text"
	}
	if len(s.Type) > 1 {
		return "a " + name + " (" + s.Primitive() + ")"
	}
	return "a " + name
}

func (c *Checker) list(n *source.Node, s *Schema, path string) *Value {
	if n.Kind != source.Sequence {
		return c.mismatch(n, s, path, "a list")
	}
	v := &Value{Kind: ListValue, Pos: n.Pos, List: make([]*Value, len(n.Items))}
	for i, it := range n.Items {
		v.List[i] = c.Value(it, s.Entry, path+"["+strconv.Itoa(i)+"]")
	}
	return v
}

func (c *Checker) mapping(n *source.Node, s *Schema, path string) *Value {
	if n.Kind != source.Mapping {
		return c.mismatch(n, s, path, "a map")
	}
	v := &Value{Kind: MapValue, Pos: n.Pos, Map: NewValues()}
	for k, e := range n.All() {
		p := path + "." + k.Text
		if s.Key != nil {
			c.Value(k, s.Key, p)
		}
		v.Map.Set(k.Text, c.Value(e, s.Entry, p))
	}
	return v
}

func (c *Checker) structure(n *source.Node, s *Schema, path string) *Value {
	if n.Kind != source.Mapping {
		return c.mismatch(n, s, path, article(s))
	}
	v := &Value{Kind: MapValue, Pos: n.Pos, Map: NewValues()}
	for k, e := range n.All() {
		p := path + "." + k.Text
		f := s.Field(k.Text)
		if f == nil {
			names := make([]string, len(s.Fields))
			for i, f := range s.Fields {
				names[i] = f.Name
			}
			hint := diag.Suggest(k.Text, names)
			if hint == "" && len(names) > 0 {
				hint = "it has " + strings.Join(names, ", ")
			}
			c.report(CodeUnknownKey, k.Pos, p, hint, "the data type %s has no property %q", s.Type.Name(), k.Text)
			v.Map.Set(k.Text, c.plain(e, p))
			continue
		}
		v.Map.Set(k.Text, c.Value(e, f.Schema, p))
	}
	for _, f := range s.Fields {
		switch got := v.Map.Get(f.Name); {
		case got != nil && !(got.Kind == LitValue && got.Lit == nil):
		case f.Default != nil:
			if !c.NoDefaults {
				v.Map.Set(f.Name, f.Default)
			}
		case f.Required && got == nil && slices.ContainsFunc(n.Pairs, func(p source.Pair) bool {
			return s.Field(p.Key.Text) == nil && diag.Suggest(p.Key.Text, []string{f.Name}) != ""
		}): // a slip that has been reported
		case f.Required && got == nil:
			c.report(CodeMissingKey, n.Pos, path, "", "%s needs the property %q of the data type %s", lastName(path), f.Name, s.Type.Name())
		}
	}
	return v
}

func (c *Checker) rangeValue(n *source.Node, s *Schema, path string) *Value {
	if n.Kind != source.Sequence || len(n.Items) != 2 {
		return c.mismatch(n, s, path, "a range [lower, upper]")
	}
	v := &Value{Kind: ListValue, Pos: n.Pos}
	for i, it := range n.Items {
		if i == 1 && isUnbounded(it) || i == 0 && isUnbounded(it) && c.Strict {
			v.List = append(v.List, &Value{Lit: Unbounded, Pos: it.Pos})
			continue
		}
		bound, ok := it.Int()
		if !ok {
			if f, isFloat := it.Float(); isFloat {
				v.List = append(v.List, &Value{Lit: f, Pos: it.Pos})
				continue
			}
			return c.mismatch(n, s, path, "a range of two integers (the upper bound may be UNBOUNDED)")
		}
		v.List = append(v.List, &Value{Lit: bound, Pos: it.Pos})
	}
	if lo, ok := Number(v.List[0].Lit); ok {
		if hi, ok := Number(v.List[1].Lit); ok && hi < lo {
			c.report(CodeValueFormat, n.Pos, path, "write the lower bound first", "%s: the range's lower bound %s is above its upper bound %s", lastName(path), n.Items[0].Text, n.Items[1].Text)
		}
	}
	return v
}

func (c *Checker) scalar(n *source.Node, s *Schema, prim, path string) *Value {
	if n.Kind != source.Scalar {
		if prim == "string" && s.Type.Is("tosca.datatypes.json") {
			return c.plain(n, path)
		}
		return c.mismatch(n, s, path, article(s))
	}
	if (c.Strict || c.YAMLTypes) && c.otherType(n, prim) {
		return c.mismatch(n, s, path, article(s))
	}
	v := &Value{Pos: n.Pos}
	var ok bool
	switch prim {
	case "integer":
		clean := &source.Node{Kind: source.Scalar, Text: strings.ReplaceAll(strings.TrimSpace(n.Text), "_", "")}
		v.Lit, ok = literal(clean.Int())
	case "float":
		v.Lit, ok = literal((&source.Node{Kind: source.Scalar, Text: strings.TrimSpace(n.Text)}).Float())
	case "boolean":
		v.Lit, ok = literal(c.boolean(n))
	case "null", "nil":
	default:
		text, err := c.text(n, s, prim, path)
		if err != nil {
			c.report(CodeValueFormat, n.Pos, path, "", "%s: %s", lastName(path), err)
			return v
		}
		v.Lit, ok = text, true
	}
	if !ok {
		v.Lit = nil
		return c.mismatch(n, s, path, article(s))
	}
	return v
}

// otherType tells a scalar of another YAML type than the declared one, which TOSCA 2.0 does not convert.
func (c *Checker) otherType(n *source.Node, prim string) bool {
	switch prim {
	case "integer", "float", "boolean":
		return n.Quoted
	case "string":
		return !n.Quoted && n.Tag != "!!str" && n.Tag != "!!timestamp"
	}
	return false
}

func literal[T any](v T, ok bool) (any, bool) { return v, ok }

// text checks the types whose values stay texts and returns their canonical form.
func (c *Checker) text(n *source.Node, s *Schema, prim, path string) (string, error) {
	text := n.Text
	switch prim {
	case "string":
		return text, document(s, text)
	case "bytes":
		if _, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return "", fmt.Errorf("the value is not base64 text")
		}
	case "timestamp":
		if _, err := ParseTimestamp(text); err != nil {
			return text, err
		}
		if c.Strict && strings.ContainsAny(text, " \t") { // TOSCA 2.0: RFC 3339, without YAML's looser forms
			return text, fmt.Errorf("%q is not a timestamp such as 2026-01-31T12:00:00Z: no space may stand in it", text)
		}
		return text, nil
	case "version":
		_, err := ParseVersion(text)
		return text, err
	case "scalar", "scalar-unit":
		if s.Scalar == nil {
			return text, nil
		}
		_, canonical, err := s.Scalar.Parse(text)
		if err == nil && s.Scalar.Number != nil {
			num, _, _ := strings.Cut(canonical, " ")
			c.Value(&source.Node{Kind: source.Scalar, Tag: "!!float", Text: num, Pos: n.Pos}, s.Scalar.Number, path)
		}
		return canonical, err
	default: // scalar-unit.*
		_, canonical, err := ParseUnit(prim, text)
		return canonical, err
	}
	return text, nil
}

func (c *Checker) boolean(n *source.Node) (bool, bool) {
	if b, ok := n.Bool(); ok {
		return b, true
	}
	if c.YAML11 {
		t := strings.ToLower(n.Text)
		if slices.Contains([]string{"yes", "on", "y"}, t) {
			return true, true
		}
		if slices.Contains([]string{"no", "off", "n"}, t) {
			return false, true
		}
	}
	return false, false
}
