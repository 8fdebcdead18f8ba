package topology_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// calculator is an Env whose functions answer with what they were called with.
type calculator struct {
	world
	result func(f *topology.Function, s *topology.Signature, args []any) (any, error)
}

func (c calculator) CallFunction(_ context.Context, _ *topology.Topology, f *topology.Function, s *topology.Signature, args []any) (any, error) {
	return c.result(f, s, args)
}

func TestOwnFunctions(t *testing.T) {
	typed := func(name string) *topology.Schema { return &topology.Schema{Type: topology.Type{name}} }
	script := &topology.Artifact{File: "f.sh"}
	f := &topology.Function{Name: "f", Signatures: []*topology.Signature{
		{Arguments: []*topology.Schema{typed("integer")}, Least: 1, Result: typed("integer"), Implementation: script},
		{Arguments: []*topology.Schema{typed("string"), typed("float")}, Least: 1, Variadic: true, Result: typed("string"), Implementation: script},
	}}
	any1 := &topology.Function{Name: "g", Signatures: []*topology.Signature{{Variadic: true, Implementation: script}}}
	call := func(f *topology.Function, args ...any) *topology.Value {
		c := &topology.Call{Fn: f.Name, Own: f}
		for _, a := range args {
			if v, ok := a.(*topology.Value); ok {
				c.Args = append(c.Args, v)
			} else {
				c.Args = append(c.Args, topology.Lit(a))
			}
		}
		return &topology.Value{Kind: topology.CallValue, Call: c}
	}
	env := calculator{world{secrets: map[string]string{"pw": "hunter2"}}, func(f *topology.Function, s *topology.Signature, args []any) (any, error) {
		if len(f.Signatures) > 1 && s == f.Signatures[0] {
			return args[0], nil
		}
		text, _ := topology.Text(args)
		return text, nil
	}}
	pw := &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_secret", Args: []*topology.Value{topology.Lit("pw")}}}
	for name, c := range map[string]struct {
		v    *topology.Value
		want any
		err  string
	}{
		"the first signature that fits": {call(f, int64(3)), int64(3), ""},
		"the second":                    {call(f, "a"), `["a"]`, ""},
		"numbers become floats":         {call(f, "a", int64(2), 2.5, int64(4)), `["a",2,2.5,4]`, ""},
		"nested":                        {call(f, call(f, "a")), `["[\"a\"]"]`, ""},
		"anything":                      {call(any1, "a", true, int64(1)), `["a",true,1]`, ""},
		"none":                          {call(any1), `[]`, ""},
		"no signature for so few":       {call(f), nil, "no signature of the function f takes 0 arguments"},
		"no signature for these":        {call(f, true), nil, "the arguments fit no signature of the function f: argument 1 must be an integer"},
		"a later one does not fit":      {call(f, "a", "b"), nil, "argument 2 must be a float"},
		"secret":                        {call(any1, pw), secret.New(`["hunter2"]`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := topology.Eval(t.Context(), topology.Scope{Topology: &topology.Topology{}}, c.v, env)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			if s, ok := c.want.(secret.Value); ok {
				if g, ok := got.(secret.Value); !ok || g.Reveal() != s.Reveal() {
					t.Fatalf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || !cmp.Equal(c.want, got) {
				t.Fatalf("got %#v, %v", got, err)
			}
		})
	}
	t.Run("without anybody who runs it", func(t *testing.T) {
		for _, e := range []topology.Env{nil, world{}} {
			got, err := topology.Eval(t.Context(), topology.Scope{}, call(f, int64(3)), e)
			if u, ok := got.(topology.Unknown); !ok || err != nil || u.Refs[0] != "$f" {
				t.Errorf("got %v, %v", got, err)
			}
		}
	})
	t.Run("a result of another type", func(t *testing.T) {
		env := env
		env.result = func(*topology.Function, *topology.Signature, []any) (any, error) { return "three", nil }
		if got, err := topology.Eval(t.Context(), topology.Scope{}, call(f, int64(3)), env); err == nil || !strings.Contains(err.Error(), "must be an integer") {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("a failure", func(t *testing.T) {
		env := env
		env.result = func(*topology.Function, *topology.Signature, []any) (any, error) { return nil, fmt.Errorf("no luck") }
		if got, err := topology.Eval(t.Context(), topology.Scope{}, call(f, int64(3)), env); err == nil || err.Error() != "no luck" {
			t.Errorf("got %v, %v", got, err)
		}
	})
}
