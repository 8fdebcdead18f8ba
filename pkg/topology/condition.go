package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
)

// Unmet judges a condition on an instance: it tells what does not hold, "" when everything does. What is not known does not hold.
//
// Conditions are those of preconditions, step filters and triggers. TOSCA 2.0 writes a boolean function. TOSCA 1.1–1.3 (§3.6.25) writes
// clauses, all of which must hold:
//
//	and, or, not, assert   a list of clauses; assert's are attributes
//	ATTRIBUTE              a list of constraints on it; a plain value must be equal. CAPABILITY.ATTRIBUTE is one of a capability
func Unmet(ctx context.Context, sc Scope, cond *Value, env Env) (string, error) {
	if isNull(cond) {
		return "", nil
	}
	switch cond.Kind {
	case CallValue:
		return unmetCall(ctx, sc, cond, env)
	case ListValue:
		return unmetAll(ctx, sc, cond.List, env)
	case MapValue:
		for key, v := range cond.Map.All() {
			why, err := unmetClause(ctx, sc, key, v, env)
			if err != nil || why != "" {
				return why, err
			}
		}
		return "", nil
	}
	if cond.Lit == true {
		return "", nil
	}
	return fmt.Sprintf("the condition is %s", show(cond)), nil
}

func unmetCall(ctx context.Context, sc Scope, cond *Value, env Env) (string, error) {
	r, err := Eval(ctx, sc, cond, env)
	if err != nil {
		return "", err
	}
	switch v := r.(type) {
	case bool:
		if v {
			return "", nil
		}
		if cond.Call.Fn == "and" {
			for _, a := range cond.Call.Args {
				if why, err := Unmet(ctx, sc, a, env); err == nil && why != "" {
					return why, nil
				}
			}
		}
		return told(ctx, sc, cond, env) + " does not hold", nil
	case Unknown:
		return strings.Join(v.Refs, ", ") + " has no value", nil
	}
	return "", &EvalError{Pos: cond.Pos, Message: "a condition must be a boolean function"}
}

// told is a function with what its arguments are: equal(A[0].state = "stopped", "started").
func told(ctx context.Context, sc Scope, v *Value, env Env) string {
	if v.Kind != CallValue {
		return show(v)
	}
	var args []string
	switch v.Call.Fn {
	case "get_attribute", "get_property", "get_input":
		for _, a := range v.Call.Args {
			word := fmt.Sprint(a.Lit)
			if word == "SELF" && sc.Node != nil {
				word = Instance{Node: sc.Node.Name, Index: sc.Instance}.String()
			}
			args = append(args, word)
		}
		have, err := Eval(ctx, sc, v, env)
		if raw, jsonErr := json.Marshal(have); err == nil && jsonErr == nil { // a secret is its mask
			return strings.Join(args, ".") + " = " + string(raw)
		}
		return strings.Join(args, ".")
	}
	for _, a := range v.Call.Args {
		args = append(args, told(ctx, sc, a, env))
	}
	return v.Call.Fn + "(" + strings.Join(args, ", ") + ")"
}

func unmetAll(ctx context.Context, sc Scope, clauses []*Value, env Env) (string, error) {
	for _, c := range clauses {
		if why, err := Unmet(ctx, sc, c, env); err != nil || why != "" {
			return why, err
		}
	}
	return "", nil
}

// clausesOf are the parts of and, or, not and assert: a list, or one clause without the list's dash.
func clausesOf(v *Value) []*Value {
	switch v.Kind {
	case ListValue:
		return v.List
	case MapValue:
		var out []*Value
		for k, x := range v.Map.All() {
			one := NewValues()
			one.Set(k, x)
			out = append(out, &Value{Kind: MapValue, Map: one, Pos: x.Pos})
		}
		return out
	}
	return []*Value{v}
}

func unmetClause(ctx context.Context, sc Scope, key string, v *Value, env Env) (string, error) {
	switch key {
	case "and", "assert":
		return unmetAll(ctx, sc, clausesOf(v), env)
	case "or":
		var all []string
		for _, c := range clausesOf(v) {
			why, err := Unmet(ctx, sc, c, env)
			if err != nil || why == "" {
				return "", err
			}
			all = append(all, why)
		}
		return strings.Join(all, ", and "), nil
	case "not":
		why, err := unmetAll(ctx, sc, clausesOf(v), env)
		if err != nil || why != "" {
			return "", err
		}
		return "what must not hold does", nil
	}
	return unmetAttribute(ctx, sc, key, v, env)
}

func unmetAttribute(ctx context.Context, sc Scope, name string, constraints *Value, env Env) (string, error) {
	args := []*Value{Lit("SELF")}
	if cap, attr, ok := strings.Cut(name, "."); ok && sc.Node != nil && sc.Node.Capability(cap) != nil {
		args, name = append(args, Lit(cap)), attr
	}
	call := &Value{Kind: CallValue, Call: &Call{Fn: "get_attribute", Args: append(args, Lit(name))}, Pos: constraints.Pos}
	r, err := Eval(ctx, sc, call, env)
	if err != nil {
		return "", err
	}
	what := name
	if sc.Node != nil {
		what = Instance{sc.Node.Name, sc.Instance}.String() + "." + name
	}
	if _, unknown := r.(Unknown); unknown || r == nil {
		return what + " has no value", nil
	}
	value, hidden := constant(r)
	for _, c := range constraintsOf(constraints) {
		for i, a := range c.Args {
			if !hasCall(a) {
				continue
			}
			x, err := Eval(ctx, sc, a, env)
			if err != nil {
				return "", err
			}
			c.Args[i], _ = constant(x)
		}
		why := c.Check(value, schemaOf(sc.Node, name))
		switch {
		case why != "" && hidden:
			return what + " is not as the condition wants it", nil
		case why != "":
			return what + " " + why, nil
		}
	}
	return "", nil
}

func schemaOf(n *Node, name string) *Schema {
	if n == nil {
		return nil
	}
	return n.Declared[name]
}

// constraintsOf reads the constraints of an assertion: a list of one-key maps, a map, or a value that must be equal.
func constraintsOf(v *Value) []Constraint {
	switch v.Kind {
	case ListValue:
		var out []Constraint
		for _, x := range v.List {
			out = append(out, constraintsOf(x)...)
		}
		return out
	case MapValue:
		var out []Constraint
		for op, x := range v.Map.All() {
			args := []*Value{x}
			if x.Kind == ListValue && (op == "in_range" || op == "valid_values") {
				args = append([]*Value{}, x.List...)
			}
			out = append(out, Constraint{Op: op, Args: args, Pos: x.Pos})
		}
		return out
	}
	return []Constraint{{Op: "equal", Args: []*Value{v}, Pos: v.Pos}}
}

// constant is a computed value as a literal; hidden when a secret is in it.
func constant(r any) (v *Value, hidden bool) {
	switch t := r.(type) {
	case secret.Value:
		return Lit(t.Reveal()), true
	case []any:
		v = &Value{Kind: ListValue}
		for _, x := range t {
			e, h := constant(x)
			v.List, hidden = append(v.List, e), hidden || h
		}
		return v, hidden
	case map[string]any:
		v = &Value{Kind: MapValue, Map: NewValues()}
		for k, x := range t {
			e, h := constant(x)
			v.Map.Set(k, e)
			hidden = hidden || h
		}
		return v, hidden
	}
	return Lit(r), false
}
