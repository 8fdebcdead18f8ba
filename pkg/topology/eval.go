package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
)

// EvalError says what an expression asked for and did not find.
type EvalError struct {
	Pos     diag.Pos
	Message string
	Hint    string

	missing string  // "property" or "attribute": there is none of that name
	at      located // where it was looked for, if something is missing
	beyond  int     // an index of a path is past the last one: how many words of the path begin with it
}

func (e *EvalError) Error() string {
	s := e.Message
	if !e.Pos.IsZero() {
		s = e.Pos.String() + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Diagnostic is the error as a finding.
func (e *EvalError) Diagnostic() diag.Diagnostic {
	return diag.Diagnostic{Code: "expression", Pos: e.Pos, Message: e.Message, Hint: e.Hint}
}

// maxEvalDepth bounds properties that refer to each other in a circle.
const maxEvalDepth = 64

// Eval computes a value. The result is nil, bool, int64, float64, string, []any, map[string]any, secret.Value or Unknown; lists and maps may
// hold secrets and Unknown, too. A text joined with a secret is a secret; what depends on an Unknown is Unknown.
//
// An attribute of a node with several instances is the matching instance's value where both nodes scale together (see Node.ScalesWith), the
// value itself where there is one instance, and otherwise the list of all instances' values in the order of the instances.
//
// Errors are *EvalError (what was not found, where), the Env's own (secrets), or the context's.
func Eval(ctx context.Context, sc Scope, v *Value, env Env) (any, error) {
	e := &evaluator{ctx: ctx, env: env}
	return e.eval(sc, v)
}

type evaluator struct {
	ctx   context.Context
	env   Env
	depth int
	// value is what $value stands for inside a validation clause.
	value    any
	hasValue bool
	scalar   *ScalarType
	// strict makes what is nowhere an error in every dialect.
	strict bool
}

func (e *evaluator) eval(sc Scope, v *Value) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch v.Kind {
	case ListValue:
		out := make([]any, len(v.List))
		for i, item := range v.List {
			r, err := e.eval(sc, item)
			if err != nil {
				return nil, err
			}
			out[i] = r
		}
		return out, nil
	case MapValue:
		out := make(map[string]any, v.Map.Len())
		for k, item := range v.Map.All() {
			r, err := e.eval(sc, item)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
		return out, nil
	case CallValue:
		return e.call(sc, v)
	}
	return v.Lit, nil
}

func (e *evaluator) call(sc Scope, v *Value) (any, error) {
	if err := e.ctx.Err(); err != nil {
		return nil, context.Cause(e.ctx)
	}
	if e.depth++; e.depth > maxEvalDepth {
		return nil, &EvalError{Pos: v.Pos, Message: "the value refers to itself in a circle"}
	}
	defer func() { e.depth-- }()
	r, err := e.apply(sc, v.Call)
	var ee *EvalError
	if errors.As(err, &ee) && ee.Pos.IsZero() {
		ee.Pos = v.Pos
	}
	if err != nil {
		return nil, err
	}
	return typed(r, v.Schema), nil
}

// typed gives the text that a function made the type that its property declares: concat of digits may be an integer.
func typed(r any, s *Schema) any {
	text, ok := r.(string)
	if !ok || s == nil {
		return r
	}
	if got, err := Coerce(text, &Schema{Type: Type{s.Primitive()}}); err == nil && s.Primitive() != "" && got != nil {
		return got
	}
	return r
}

func (e *evaluator) apply(sc Scope, c *Call) (any, error) {
	if c.Own != nil {
		return e.ownFunction(sc, c)
	}
	switch c.Fn {
	case "get_input":
		return e.getInput(sc, c)
	case "get_property":
		return e.getProperty(sc, c)
	case "get_attribute":
		return e.getAttribute(sc, c)
	case "get_operation_output":
		return e.getOperationOutput(sc, c)
	case "get_secret":
		return e.getSecret(sc, c)
	case "get_artifact":
		return e.getArtifact(sc, c)
	case "get_nodes_of_type":
		return e.getNodesOfType(sc, c)
	case "available_allocation":
		return e.availableAllocation(sc, c)
	}
	if comparisons[c.Fn] && e.scalar == nil {
		if s := e.scalarOf(sc, c.Args); s != nil {
			e.scalar = s
			defer func() { e.scalar = nil }()
		}
	}
	if f := running[c.Fn]; f != nil {
		return f(e, sc, c)
	}
	args, err := e.arguments(sc, c)
	if err != nil {
		return nil, err
	}
	return e.function(sc, c.Fn, args)
}

func (e *evaluator) arguments(sc Scope, c *Call) ([]any, error) {
	args := make([]any, len(c.Args))
	for i, a := range c.Args {
		r, err := e.eval(sc, a)
		if err != nil {
			return nil, err
		}
		args[i] = r
	}
	return args, nil
}

// words evaluates arguments that name things: texts, numbers and functions that give them.
func (e *evaluator) words(sc Scope, c *Call) ([]any, *Unknown, error) {
	out := make([]any, 0, len(c.Args))
	for _, a := range c.Args {
		r, err := e.eval(sc, a)
		if err != nil {
			return nil, nil, err
		}
		if u, ok := r.(Unknown); ok {
			return nil, &u, nil
		}
		out = append(out, r)
	}
	return out, nil, nil
}

func word(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return fmt.Sprint(v)
}

func (e *evaluator) getInput(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	if len(args) == 0 {
		return nil, &EvalError{Message: "get_input needs the name of an input"}
	}
	name := word(args[0])
	v, ok := sc.Inputs[name]
	if !ok && e.env != nil {
		v, ok = e.env.Input(name)
	}
	if !ok {
		p := sc.Topology.Input(name)
		if p == nil {
			return nil, &EvalError{Message: fmt.Sprintf("there is no input %q", name), Hint: diag.Suggest(name, inputNames(sc))}
		}
		switch {
		case p.Value != nil:
			if v, err = e.eval(Scope{Topology: sc.Topology}, p.Value); err != nil {
				return nil, err
			}
		case p.Required:
			return Unknown{Refs: []string{"input " + name}}, nil
		}
	}
	return descend(v, args[1:], "input "+name)
}

func deref(u *Unknown) any {
	if u == nil {
		return nil
	}
	return *u
}

func inputNames(sc Scope) []string {
	var names []string
	for n := range sc.Inputs {
		names = append(names, n)
	}
	if sc.Topology != nil {
		for _, p := range sc.Topology.Inputs {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// descend follows nested keys and indexes into a value.
func descend(v any, path []any, what string) (any, error) {
	for _, key := range path {
		switch t := v.(type) {
		case Unknown:
			return t, nil
		case nil:
			return nil, nil
		case map[string]any:
			next, ok := t[word(key)]
			if !ok {
				var names []string
				for k := range t {
					names = append(names, k)
				}
				return nil, &EvalError{Message: fmt.Sprintf("%s has no key %q", what, word(key)), Hint: diag.Suggest(word(key), names)}
			}
			v = next
		case []any:
			i, ok := Number(key)
			if !ok {
				return nil, &EvalError{Message: fmt.Sprintf("%s is a list; %q is no index", what, word(key))}
			}
			if int(i) < 0 || int(i) >= len(t) {
				return nil, &EvalError{Message: fmt.Sprintf("%s has %d entries; there is no entry %d", what, len(t), int(i))}
			}
			v = t[int(i)]
		default:
			return nil, &EvalError{Message: fmt.Sprintf("%s is neither list nor map; it has no %q", what, word(key))}
		}
		what += "." + word(key)
	}
	return v, nil
}

func (e *evaluator) getSecret(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = word(a)
	}
	if e.env == nil {
		return Unknown{Refs: []string{"secret " + strings.Join(texts, " ")}}, nil
	}
	s, err := e.env.Secret(e.ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("cannot read the secret %s: %w", strings.Join(texts, " "), err)
	}
	return s, nil
}

// ArtifactPaths is an optional interface of an Env: where an instance's artifact is on the host that runs its operations.
type ArtifactPaths interface {
	ArtifactPath(in Instance, artifact string) (string, bool)
}

func (e *evaluator) getArtifact(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	if len(args) < 2 {
		return nil, &EvalError{Message: "get_artifact needs an entity and the name of an artifact"}
	}
	sub, err := e.subject(sc, word(args[0]))
	if err != nil {
		return nil, err
	}
	artifacts := sub.artifacts()
	name := word(args[1])
	var names []string
	for _, a := range artifacts {
		if a.Name == name {
			if paths, ok := envAs[ArtifactPaths](e.env); ok && sub.node != nil && len(sub.instances) == 1 {
				if p, ok := paths.ArtifactPath(Instance{sub.node.Name, sub.instances[0]}, name); ok {
					return p, nil
				}
			}
			return a.File, nil
		}
		names = append(names, a.Name)
	}
	return nil, &EvalError{Message: fmt.Sprintf("%s has no artifact %q", sub, name), Hint: diag.Suggest(name, names)}
}

func (e *evaluator) getNodesOfType(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	out := []any{}
	if len(args) == 1 {
		for _, n := range sc.Topology.Nodes {
			if n.Type.Is(word(args[0])) {
				out = append(out, n.Name)
			}
		}
	}
	return out, nil
}

func (e *evaluator) getOperationOutput(sc Scope, c *Call) (any, error) {
	args, unknown, err := e.words(sc, c)
	if err != nil || unknown != nil {
		return deref(unknown), err
	}
	if len(args) < 4 {
		return nil, &EvalError{Message: "get_operation_output needs an entity, an interface, an operation and the name of an output"}
	}
	sub, err := e.subject(sc, word(args[0]))
	if err != nil {
		return nil, err
	}
	iface, op, name := word(args[1]), word(args[2]), word(args[3])
	if o := sub.operation(iface, op); o != nil {
		iface, op = o.Interface, o.Name
	}
	rel := ""
	if sub.rel != nil {
		rel = sub.rel.Name
	}
	return e.each(sub, func(i string) (any, error) {
		ref := Unknown{Refs: []string{fmt.Sprintf("%s.%s.%s.%s", sub, iface, op, name)}}
		if e.env == nil {
			return ref, nil
		}
		v, ok := e.env.OperationOutput(Instance{sub.node.Name, i}, rel, iface, op, name)
		if !ok {
			return ref, nil
		}
		return descend(v, args[4:], "the output "+name)
	})
}

// each collects a value per instance: the value itself for one instance, else the list. Without known instances it is Unknown.
func (e *evaluator) each(sub *subject, f func(instance string) (any, error)) (any, error) {
	if sub.instances == nil {
		return Unknown{Refs: []string{sub.String()}}, nil
	}
	if len(sub.instances) == 1 {
		return f(sub.instances[0])
	}
	out := make([]any, 0, len(sub.instances))
	for _, i := range sub.instances {
		v, err := f(i)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// Text is a value as the text that a script's environment or a joined string holds; lists and maps as JSON. secret is set when it holds one.
func Text(v any) (text string, isSecret bool) {
	switch t := v.(type) {
	case nil:
		return "", false
	case string:
		return t, false
	case secret.Value:
		return t.Reveal(), true
	case bool, int64, int:
		return fmt.Sprint(t), false
	case float64:
		return floatText(t), false
	}
	return jsonText(v)
}
