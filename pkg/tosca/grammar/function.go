package grammar

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// arity of a function: the least and most arguments; most 0 is any number.
type arity struct{ least, most int }

// expressions is a function syntax: one-key maps, with a prefix in TOSCA 2.0.
type expressions struct {
	prefix string
	fns    map[string]arity
	// alias maps other spellings to canonical names.
	alias map[string]string
}

var fns1 = map[string]arity{
	"get_input": {1, 0}, "get_property": {2, 0}, "get_attribute": {2, 0}, "get_operation_output": {4, 0}, "get_nodes_of_type": {1, 1},
	"get_artifact": {2, 4}, "concat": {1, 0}, "token": {3, 3},
	// Not TOSCA 1.x's own, but A4C's, Cloudify's and ours: a document of any dialect may use the secrets store.
	"get_secret": {1, 0},
}

func functions1(level int) *expressions {
	e := &expressions{fns: maps.Clone(fns1)}
	if level >= 12 {
		e.fns["join"] = arity{1, 2}
	}
	return e
}

func functionsA4C(level int) *expressions {
	e := &expressions{fns: maps.Clone(fns1), alias: map[string]string{"get_vault_secret": "get_secret"}}
	e.fns["join"] = arity{1, 2}
	delete(e.fns, "get_nodes_of_type")
	if level >= 20 {
		e.fns["get_vault_secret"] = arity{1, 0}
	}
	return e
}

func functions2() *expressions {
	e := &expressions{prefix: "$", fns: map[string]arity{
		"get_secret": {1, 0}, "get_input": {1, 0}, "get_property": {2, 0}, "get_attribute": {2, 0}, "get_artifact": {2, 4}, "value": {0, 0}, "node_index": {0, 0},
		"relationship_index": {0, 0}, "available_allocation": {2, 0},
		"and": {1, 0}, "or": {1, 0}, "not": {1, 1}, "xor": {2, 2},
		"equal": {2, 2}, "greater_than": {2, 2}, "greater_or_equal": {2, 2}, "less_than": {2, 2}, "less_or_equal": {2, 2},
		"valid_values": {2, 2}, "matches": {2, 2}, "has_suffix": {2, 2}, "has_prefix": {2, 2}, "contains": {2, 2},
		"has_entry": {2, 2}, "has_key": {2, 2}, "has_all_entries": {2, 2}, "has_all_keys": {2, 2}, "has_any_entry": {2, 2}, "has_any_key": {2, 2},
		"length": {1, 1}, "concat": {1, 0}, "join": {1, 2}, "token": {3, 3}, "union": {1, 0}, "intersection": {1, 0},
		"sum": {1, 0}, "difference": {1, 0}, "product": {1, 0}, "quotient": {2, 2}, "remainder": {2, 2}, "round": {1, 1}, "floor": {1, 1}, "ceil": {1, 1},
	}}
	return e
}

// constraints1 says how conditions of TOSCA 1.x that TOSCA 2.0 has no function for are written there.
var constraints1 = map[string]string{
	"in_range":             "TOSCA 2.0 writes $and of $greater_or_equal and $less_or_equal",
	"min_length":           "TOSCA 2.0 writes $greater_or_equal: [ { $length: [ $value ] }, … ]",
	"max_length":           "TOSCA 2.0 writes $less_or_equal: [ { $length: [ $value ] }, … ]",
	"pattern":              "TOSCA 2.0 writes $matches: [ $value, … ]",
	"get_operation_output": "TOSCA 2.0 maps an operation's outputs to attributes: outputs: { name: [ SELF, attribute ] }",
}

// Names lists the functions as written.
func (e *expressions) Names() []string {
	out := slices.Sorted(maps.Keys(e.fns))
	for i := range out {
		out[i] = e.prefix + out[i]
	}
	return out
}

func (e *expressions) Data(key string) string {
	if e.prefix != "" && strings.HasPrefix(key, e.prefix+e.prefix) {
		return key[len(e.prefix):]
	}
	return key
}

func (e *expressions) Call(n *source.Node) (fn string, args []*source.Node, problem, hint string, ok bool) {
	name, arg := "", (*source.Node)(nil)
	switch {
	case n.Is(source.Mapping) && len(n.Pairs) == 1:
		name, arg = n.Pairs[0].Key.Text, n.Pairs[0].Value
	case e.prefix != "" && n.Is(source.Mapping):
		for _, p := range n.Pairs {
			if e.isCall(p.Key.Text) {
				return p.Key.Text, nil, "a function call must be alone in its map", "write $$ for a key that begins with a dollar sign", true
			}
		}
		return
	case e.prefix != "" && n.Is(source.Scalar) && e.isCall(n.Text):
		if _, known := e.fns[n.Text[1:]]; !known {
			return
		}
		name = n.Text
	default:
		return
	}
	if e.prefix != "" {
		if !e.isCall(name) {
			return
		}
		name = name[len(e.prefix):]
	}
	a, known := e.fns[name]
	if !known && e.prefix == "" {
		return
	}
	fn = name
	if c := e.alias[name]; c != "" {
		fn = c
	}
	switch {
	case arg.Is(source.Sequence):
		args = arg.Items
	case arg != nil && !arg.IsNull():
		args = []*source.Node{arg}
	}
	if !known {
		hint := constraints1[name]
		if hint == "" {
			hint = diag.Suggest(e.prefix+name, e.Names())
		}
		return fn, args, "unknown", hint, true
	}
	switch {
	case len(args) < a.least:
		problem = fmt.Sprintf("%s needs at least %d arguments, not %d", e.prefix+name, a.least, len(args))
		if a.least == a.most {
			problem = fmt.Sprintf("%s needs %d arguments, not %d", e.prefix+name, a.least, len(args))
		}
		if name == "get_property" || name == "get_attribute" {
			hint = "write " + e.prefix + name + ": [ NODE, NAME ]"
		}
	case a.most > 0 && len(args) > a.most:
		problem = fmt.Sprintf("%s takes at most %d arguments, not %d", e.prefix+name, a.most, len(args))
	case e.prefix == "" && (name == "concat" || name == "join" || name == "token") && !arg.Is(source.Sequence):
		problem = name + " needs a list of arguments"
	}
	return fn, args, problem, hint, true
}

// isCall tells $name from $$escaped and from plain text.
func (e *expressions) isCall(s string) bool {
	if !strings.HasPrefix(s, e.prefix) || strings.HasPrefix(s, e.prefix+e.prefix) || len(s) == len(e.prefix) {
		return false
	}
	for _, r := range s[len(e.prefix):] {
		if !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == ':') {
			return false
		}
	}
	return true
}
