package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Primitive is the built-in type at the root of a schema's type: string, integer, float, boolean, timestamp, version, range, list, map,
// scalar-unit.size …, or "" for a structured data type (also for a nil schema: anything goes).
func (s *Schema) Primitive() string {
	if s == nil || len(s.Type) == 0 {
		return ""
	}
	if last := s.Type[len(s.Type)-1]; IsPrimitive(last) {
		return last
	}
	return ""
}

// primitives are the built-in types.
var primitives = []string{
	"string", "integer", "float", "boolean", "timestamp", "version", "range", "list", "map", "null", "nil", "bytes", "any", "scalar", "scalar-unit",
	"scalar-unit.size", "scalar-unit.time", "scalar-unit.frequency", "scalar-unit.bitrate",
}

// Primitives lists the built-in types.
func Primitives() []string { return slices.Clone(primitives) }

var isPrimitive = func() map[string]bool {
	m := make(map[string]bool, len(primitives))
	for _, p := range primitives {
		m[p] = true
	}
	return m
}()

// IsPrimitive reports whether a type name is built in.
func IsPrimitive(name string) bool { return isPrimitive[name] }

// Field returns the named field of a structured type, or nil.
func (s *Schema) Field(name string) *Field {
	if s == nil {
		return nil
	}
	for _, f := range s.Fields {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// String is the type as a user would say it: string, list of integer, map of Person.
func (s *Schema) String() string {
	if s == nil || len(s.Type) == 0 {
		return "any"
	}
	name := s.Type.Name()
	if s.Entry != nil && (name == "list" || name == "map") {
		if e := s.Entry; e.Entry != nil && len(e.Type) > 0 && (e.Type.Name() == "list" || e.Type.Name() == "map") {
			return name + " of " + e.Type.Name() + "s"
		}
		return name + " of " + s.Entry.Type.Name()
	}
	return name
}

// isUnit reports a scalar-unit type.
func isUnit(prim string) bool { return strings.HasPrefix(prim, "scalar-unit.") }

// PropertyNames lists the keys of ordered values, for suggestions.
func (v *Values) Keys() []string {
	if v == nil {
		return nil
	}
	return slices.Clone(v.keys)
}

// Delete removes a key.
func (v *Values) Delete(key string) {
	if v == nil || v.m[key] == nil {
		return
	}
	delete(v.m, key)
	v.keys = slices.DeleteFunc(v.keys, func(k string) bool { return k == key })
}

// describe says what a literal is, for messages.
func describe(v *Value) string {
	switch v.Kind {
	case ListValue:
		return "a list"
	case MapValue:
		return "a map"
	case CallValue:
		return "the function " + v.Call.Fn
	}
	switch t := v.Lit.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("the text %q", clip(t))
	case bool:
		return fmt.Sprintf("the boolean %v", t)
	case int64:
		return fmt.Sprintf("the integer %d", t)
	default:
		return fmt.Sprintf("the number %v", t)
	}
}

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:37]) + "…"
	}
	return s
}
