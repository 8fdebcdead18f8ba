package topology

import (
	"iter"

	"github.com/orch-project/orch/pkg/diag"
)

// Value is a parsed expression: exactly one of Lit (also nil: null), List, Map and Call is meaningful, by Kind.
type Value struct {
	Kind ValueKind
	// Lit is nil, bool, int64, float64 or string. Typed scalars (scalar-unit, version, timestamp, range bound) stay strings in
	// canonical form after coercion to their Schema.
	Lit  any
	List []*Value
	Map  *Values
	Call *Call
	// Schema that the value was checked against; nil where none is declared.
	Schema *Schema
	Pos    diag.Pos
}

// ValueKind tells which field of a Value holds.
type ValueKind int

const (
	LitValue ValueKind = iota
	ListValue
	MapValue
	CallValue
)

// Call is a function call with its dialect-independent name: get_input, get_property, get_attribute, get_operation_output, get_secret,
// get_artifact, get_nodes_of_type, concat, join, token, and TOSCA 2.0's operators by their bare names (equal, and, union …).
type Call struct {
	Fn   string
	Args []*Value
	// Own is the function, if the document defines it.
	Own *Function
}

// Values is an ordered map of values. A nil *Values is empty; only Set needs a non-nil one.
type Values struct {
	keys []string
	m    map[string]*Value
}

// NewValues returns an empty ordered map.
func NewValues() *Values { return &Values{m: map[string]*Value{}} }

// Get returns the value of a key, or nil.
func (v *Values) Get(key string) *Value {
	if v == nil {
		return nil
	}
	return v.m[key]
}

// Set adds or replaces a value, keeping the first position of the key.
func (v *Values) Set(key string, val *Value) {
	if _, ok := v.m[key]; !ok {
		v.keys = append(v.keys, key)
	}
	v.m[key] = val
}

// Len is the number of keys.
func (v *Values) Len() int {
	if v == nil {
		return 0
	}
	return len(v.keys)
}

// All iterates in insertion order.
func (v *Values) All() iter.Seq2[string, *Value] {
	return func(yield func(string, *Value) bool) {
		if v == nil {
			return
		}
		for _, k := range v.keys {
			if !yield(k, v.m[k]) {
				return
			}
		}
	}
}

// Lit makes a literal without a place.
func Lit(v any) *Value { return &Value{Lit: v} }
