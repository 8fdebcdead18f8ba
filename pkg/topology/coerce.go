package topology

import (
	"context"
	"errors"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// Coerce turns a value that a user gave (on the command line, in an inputs file, over the API) into the declared type: the text "3" into an
// integer, "10GB" into a size. Constraints are checked, defaults of structured types filled in. A nil schema lets everything through.
// The error names everything that does not fit.
func Coerce(raw any, s *Schema) (any, error) {
	var list diag.List
	v := CoerceAt(raw, s, "", diag.Pos{}, &list)
	if list.HasErrors() {
		msgs := make([]string, len(list))
		for i, d := range list {
			msgs[i] = d.Message
			if d.Hint != "" {
				msgs[i] += " (" + d.Hint + ")"
			}
		}
		return nil, errors.New(strings.Join(msgs, "; "))
	}
	return v, nil
}

// CoerceAt is Coerce with diagnostics: name is what the value is called in messages, pos where it was given. Values that hold Unknown or
// secrets pass unchecked.
func CoerceAt(raw any, s *Schema, name string, pos diag.Pos, list *diag.List) any {
	if s == nil || opaque(raw) {
		return raw
	}
	c := &Checker{YAML11: true, Report: func(d diag.Diagnostic) { list.Add(d) }}
	n, ok := raw.(*source.Node)
	if !ok {
		n = source.FromAny(raw, pos, false)
		if text, isText := raw.(string); isText && (s.Primitive() == "list" || s.Primitive() == "map" || s.Primitive() == "range" || s.Primitive() == "") {
			// Structured values may be given as YAML or JSON text.
			if parsed, bad := source.Parse(name, []byte(text)); !bad.HasErrors() && parsed.Kind != source.Scalar {
				n = parsed
			}
		}
	}
	return Plain(c.Value(n, s, name))
}

func opaque(v any) bool {
	switch t := v.(type) {
	case nil, bool, int, int64, float64, string, *source.Node:
		return false
	case []any:
		for _, x := range t {
			if opaque(x) {
				return true
			}
		}
		return false
	case map[string]any:
		for _, x := range t {
			if opaque(x) {
				return true
			}
		}
		return false
	case Unknown:
		return true
	default:
		return isSecret(v)
	}
}

// Plain returns a value without calls as plain Go data; calls become Unknown.
func Plain(v *Value) any {
	if v == nil {
		return nil
	}
	switch v.Kind {
	case ListValue:
		out := make([]any, len(v.List))
		for i, x := range v.List {
			out[i] = Plain(x)
		}
		return out
	case MapValue:
		out := make(map[string]any, v.Map.Len())
		for k, x := range v.Map.All() {
			out[k] = Plain(x)
		}
		return out
	case CallValue:
		return Unknown{Refs: []string{v.Call.Fn}}
	}
	return v.Lit
}

// Holds evaluates a boolean function of TOSCA 2.0 for a value ($value); what cannot be known yet holds.
func Holds(clause, value *Value, s *Schema) (bool, error) {
	if hasCall(value) {
		return true, nil
	}
	e := &evaluator{ctx: context.Background(), value: Plain(value), hasValue: true}
	if s != nil {
		e.scalar = s.Scalar
	}
	r, err := e.eval(Scope{}, clause)
	if err != nil {
		return false, err
	}
	b, ok := r.(bool)
	return b || !ok, nil
}
