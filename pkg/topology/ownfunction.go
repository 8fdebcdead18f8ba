package topology

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/source"
)

// Function that a document defines (TOSCA 2.0 §10.4). Of its signatures, in their order, the first that the arguments fit is the one that is
// run.
type Function struct {
	Name       string
	Signatures []*Signature
	Pos        diag.Pos
}

// Signature of a function: what it takes, by position, and gives.
type Signature struct {
	Arguments []*Schema // nil: anything
	Least     int       // the others are optional
	// Variadic: the last argument may be repeated; without Arguments, anything in any number.
	Variadic bool
	Result   *Schema // nil: anything
	// Implementation and what it needs beside it; nil if orch is to know the function by itself.
	Implementation *Artifact
	Dependencies   []*Artifact
	Timeout        time.Duration // 0: the runner's
}

// Functions is an optional interface of an Env: it runs what implements a document's own function, or knows what that has given. arguments are as
// Eval returns them, without Unknown. What is not known yet is Unknown.
type Functions interface {
	CallFunction(ctx context.Context, t *Topology, f *Function, s *Signature, arguments []any) (any, error)
}

// Takes reports whether a signature has room for that many arguments.
func (s *Signature) Takes(n int) bool { return n >= s.Least && (n <= len(s.Arguments) || s.Variadic) }

// Argument is the schema of an argument by its position; nil: anything.
func (s *Signature) Argument(i int) *Schema {
	if i >= len(s.Arguments) {
		i = len(s.Arguments) - 1
	}
	if i < 0 {
		return nil
	}
	return s.Arguments[i]
}

// Runnable tells whether there is something to run: a file of the topology.
func (s *Signature) Runnable() bool {
	return s.Implementation != nil && s.Implementation.Repository == nil && s.Implementation.File != ""
}

// ownFunction evaluates the arguments, chooses the signature, and checks what the Env says the result is. Texts of what a secret went into are
// secrets.
func (e *evaluator) ownFunction(sc Scope, c *Call) (any, error) {
	args, err := e.arguments(sc, c)
	if err != nil {
		return nil, err
	}
	if refs := unknowns(args, nil); refs != nil {
		return Unknown{Refs: refs}, nil
	}
	later := Unknown{Refs: []string{"$" + c.Own.Name}}
	env, ok := envAs[Functions](e.env)
	if !ok || holds(args, func(v any) bool { _, is := v.(Deferred); return is }) {
		return later, nil
	}
	s, args, err := c.Own.choose(args)
	if err != nil {
		return nil, err
	}
	r, err := env.CallFunction(e.ctx, sc.Topology, c.Own, s, args)
	if err != nil {
		return nil, err
	}
	if refs := unknowns(r, nil); refs != nil {
		return later, nil
	}
	if r, err = c.Own.Result(s, r); err != nil {
		return nil, err
	}
	if holds(args, isSecret) {
		r = MapLeaves(r, func(leaf any) any {
			if text, ok := leaf.(string); ok {
				return secret.New(text)
			}
			return leaf
		})
	}
	return r, nil
}

// Result gives what a function gave the type that the signature declares. What does not fit is an *EvalError.
func (f *Function) Result(s *Signature, v any) (any, error) {
	v, problem := fitting(v, s.Result, "the result")
	if problem != "" {
		return nil, &EvalError{Message: fmt.Sprintf("the function %s gave what its signature does not allow: %s", f.Name, problem)}
	}
	return v, nil
}

// choose finds the signature for arguments, and gives these the types that it declares.
func (f *Function) choose(args []any) (*Signature, []any, error) {
	var problems []string
	for _, s := range f.Signatures {
		if !s.Takes(len(args)) {
			continue
		}
		out, bad := make([]any, len(args)), ""
		for i, a := range args {
			var problem string
			if out[i], problem = fitting(a, s.Argument(i), fmt.Sprintf("argument %d", i+1)); bad == "" {
				bad = problem
			}
		}
		if bad == "" {
			return s, out, nil
		}
		problems = append(problems, bad)
	}
	if problems == nil {
		return nil, nil, &EvalError{Message: fmt.Sprintf("no signature of the function %s takes %d arguments", f.Name, len(args))}
	}
	return nil, nil, &EvalError{Message: fmt.Sprintf("the arguments fit no signature of the function %s: %s", f.Name, strings.Join(problems, "; "))}
}

// fitting gives a value the type of a schema, as TOSCA 2.0 has it: nothing is converted but integers to floats. A value that holds a secret is taken
// as it is. problem is what does not fit.
func fitting(v any, s *Schema, name string) (out any, problem string) {
	if s == nil || opaque(v) {
		return v, ""
	}
	c := &Checker{Strict: true, Report: func(d diag.Diagnostic) {
		if problem == "" && d.Severity == diag.Error {
			problem = d.Message
		}
	}}
	checked := c.Value(source.FromAny(v, diag.Pos{}, true), s, name)
	if problem != "" {
		return v, problem
	}
	return Plain(checked), ""
}

// holds reports a leaf of a value for which f is true.
func holds(v any, f func(leaf any) bool) (found bool) {
	MapLeaves(v, func(leaf any) any { found = found || f(leaf); return leaf })
	return found
}

// OwnFunctions are the functions that the topology calls and a document defines, each once, in the order of their calls.
func OwnFunctions(t *Topology) []*Function {
	var out []*Function
	Walk(t, func(v *Value) {
		if v.Call != nil && v.Call.Own != nil && !slices.Contains(out, v.Call.Own) {
			out = append(out, v.Call.Own)
		}
	})
	return out
}
