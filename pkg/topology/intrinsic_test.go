package topology_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// aroundEnv knows two instances of web, one secret and its surroundings.
type aroundEnv struct{}

func (aroundEnv) Input(string) (any, bool)       { return nil, false }
func (aroundEnv) Instances(node string) []string { return []string{"0", "1"} }
func (aroundEnv) Attribute(in topology.Instance, _, name string) (any, bool) {
	if name == "ip" {
		return "10.0.0." + in.Index, true
	}
	return nil, false
}
func (aroundEnv) RelationshipAttribute(topology.Instance, string, string, string) (any, bool) {
	return nil, false
}
func (aroundEnv) OperationOutput(topology.Instance, string, string, string, string) (any, bool) {
	return nil, false
}
func (aroundEnv) Secret(context.Context, []string) (secret.Value, error) {
	return secret.New(`{"users": ["root", "ann"]}`), nil
}
func (aroundEnv) Surrounding(_ context.Context, fn string, path []any) (any, bool, error) {
	if fn == "get_capability" && len(path) == 2 {
		return path[1], true, nil
	}
	return nil, false, nil
}

func fnCall(fn string, args ...any) *topology.Value {
	c := &topology.Call{Fn: fn}
	for _, a := range args {
		v, ok := a.(*topology.Value)
		if !ok {
			v = topology.Lit(a)
		}
		c.Args = append(c.Args, v)
	}
	return &topology.Value{Kind: topology.CallValue, Call: c}
}

func TestIntrinsicFunctions(t *testing.T) {
	web := &topology.Node{Name: "web"}
	top := &topology.Topology{Nodes: []*topology.Node{web}, OpenAttributes: true}
	a, b := topology.NewValues(), topology.NewValues()
	a.Set("x", topology.Lit(int64(1)))
	b.Set("x", topology.Lit(int64(2)))
	mapOf := func(v *topology.Values) *topology.Value { return &topology.Value{Kind: topology.MapValue, Map: v} }
	for name, tc := range map[string]struct {
		v    *topology.Value
		want any
		err  string
	}{
		"merge":           {fnCall("merge", mapOf(a), mapOf(b)), map[string]any{"x": int64(2)}, ""},
		"merge of text":   {fnCall("merge", "x"), nil, "merge takes maps"},
		"find":            {fnCall("string_find", "hello", "l"), int64(2), ""},
		"find nothing":    {fnCall("string_find", "hello", "z"), int64(-1), ""},
		"replace":         {fnCall("string_replace", "a-a-a", "a", "b"), "b-b-b", ""},
		"replace once":    {fnCall("string_replace", "a-a-a", "a", "b", int64(1)), "b-a-a", ""},
		"split":           {fnCall("string_split", "a,b", ","), []any{"a", "b"}, ""},
		"split part":      {fnCall("string_split", "a,b", ",", int64(-1)), "b", ""},
		"split too far":   {fnCall("string_split", "a,b", ",", int64(2)), nil, "there is no part 2"},
		"upper":           {fnCall("string_upper", "aB"), "AB", ""},
		"lower":           {fnCall("string_lower", "aB"), "ab", ""},
		"list":            {fnCall("get_attributes_list", "web", "ip"), []any{"10.0.0.0", "10.0.0.1"}, ""},
		"capability":      {fnCall("get_capability", "other", "endpoint"), "endpoint", ""},
		"unknown sibling": {fnCall("get_label", "env"), topology.Unknown{Refs: []string{"get_label env"}}, ""},
		"dict": {fnCall("get_attributes_dict", "web", "ip"), map[string]any{
			"web[0]": map[string]any{"ip": "10.0.0.0"}, "web[1]": map[string]any{"ip": "10.0.0.1"},
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := topology.Eval(t.Context(), topology.Scope{Topology: top}, tc.v, aroundEnv{})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	got, err := topology.Eval(t.Context(), topology.Scope{Topology: top}, fnCall("secret_field", fnCall("get_secret", "login"), "users", int64(1)), aroundEnv{})
	if s, ok := got.(secret.Value); err != nil || !ok || s.Reveal() != "ann" {
		t.Errorf("a field of a secret: %v %v", got, err)
	}
}
