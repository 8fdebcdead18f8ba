package topology_test

import (
	"context"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// conditionEnv knows the attributes of one instance.
type conditionEnv struct{ attributes map[string]any }

func (conditionEnv) Input(string) (any, bool)  { return nil, false }
func (conditionEnv) Instances(string) []string { return []string{"0"} }
func (e conditionEnv) Attribute(_ topology.Instance, capability, name string) (any, bool) {
	if capability != "" {
		name = capability + "." + name
	}
	v, ok := e.attributes[name]
	return v, ok
}
func (conditionEnv) RelationshipAttribute(topology.Instance, string, string, string) (any, bool) {
	return nil, false
}
func (conditionEnv) OperationOutput(topology.Instance, string, string, string, string) (any, bool) {
	return nil, false
}
func (conditionEnv) Secret(context.Context, []string) (secret.Value, error) {
	return secret.Value{}, nil
}

func list(v ...*topology.Value) *topology.Value {
	return &topology.Value{Kind: topology.ListValue, List: v}
}

func one(key string, v *topology.Value) *topology.Value {
	m := topology.NewValues()
	m.Set(key, v)
	return &topology.Value{Kind: topology.MapValue, Map: m}
}

func TestUnmet(t *testing.T) {
	lit := topology.Lit
	state := func(want string) *topology.Value { return one("state", list(one("equal", lit(want)))) }
	load := func(op string, args ...any) *topology.Value {
		if len(args) == 1 {
			return one("load", list(one(op, lit(args[0]))))
		}
		return one("load", list(one(op, list(lit(args[0]), lit(args[1])))))
	}
	for name, c := range map[string]struct {
		cond *topology.Value
		want string // "" holds
	}{
		"nothing":                          {nil, ""},
		"an assertion":                     {list(one("assert", list(state("started")))), ""},
		"without assert":                   {list(state("started")), ""},
		"a map":                            {state("started"), ""},
		"a plain value":                    {one("state", lit("started")), ""},
		"not equal":                        {list(state("stopped")), `web[0].state must be "stopped", not "started"`},
		"several constraints":              {one("load", list(one("greater_than", lit(int64(3))), one("less_than", lit(int64(7))))), ""},
		"one of several":                   {one("load", list(one("greater_than", lit(int64(3))), one("less_than", lit(int64(4))))), "web[0].load must be less than 4, not 5"},
		"range":                            {load("in_range", int64(1), int64(5)), ""},
		"out of range":                     {load("in_range", int64(6), int64(9)), "must be within 6 and 9"},
		"valid values":                     {load("valid_values", int64(5), int64(9)), ""},
		"and":                              {one("and", list(state("started"), load("equal", int64(5)))), ""},
		"and fails":                        {one("and", list(state("started"), load("equal", int64(6)))), "load"},
		"or":                               {one("or", list(state("stopped"), load("equal", int64(5)))), ""},
		"or fails":                         {one("or", list(state("stopped"), load("equal", int64(6)))), "state must be"},
		"not":                              {one("not", list(state("stopped"))), ""},
		"not fails":                        {one("not", list(state("started"))), "must not hold"},
		"nested":                           {list(one("or", list(one("and", list(state("stopped"))), one("not", list(state("stopped")))))), ""},
		"unknown attribute":                {list(one("colour", list(one("equal", lit("red"))))), "colour has no value"},
		"a capability's":                   {one("endpoint.port", list(one("equal", lit(int64(80))))), ""},
		"a secret":                         {one("password", list(one("equal", lit("guess")))), "web[0].password is not as the condition wants it"},
		"a function":                       {&topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "equal", Args: []*topology.Value{{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_attribute", Args: []*topology.Value{lit("SELF"), lit("state")}}}, lit("started")}}}, ""},
		"a false function":                 {&topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "equal", Args: []*topology.Value{lit("a"), lit("b")}}}, `equal("a", "b") does not hold`},
		"a false function of an attribute": {call("equal", call("get_attribute", lit("SELF"), lit("state")), lit("stopped")), `equal(web[0].state = "started", "stopped") does not hold`},
		"a false function of a secret":     {call("equal", call("get_attribute", lit("SELF"), lit("password")), lit("guess")), "does not hold"},
		"functions":                        {call("and", call("equal", lit("a"), lit("a")), call("not", call("equal", lit("b"), lit("b")))), `not(equal("b", "b")) does not hold`},
		"either function":                  {call("or", call("equal", lit("a"), lit("c")), call("equal", lit("a"), lit("b"))), `or(equal("a", "c"), equal("a", "b")) does not hold`},
	} {
		t.Run(name, func(t *testing.T) {
			n := &topology.Node{Name: "web", Type: topology.Type{"Web"}, Attributes: topology.NewValues(), Capabilities: []*topology.Capability{{Name: "endpoint", Attributes: topology.NewValues()}}}
			n.Attributes.Set("colour", topology.Lit(nil))
			top := &topology.Topology{Nodes: []*topology.Node{n}}
			top.Reindex()
			env := conditionEnv{map[string]any{"state": "started", "load": int64(5), "endpoint.port": int64(80), "password": secret.New("hunter2")}}
			why, err := topology.Unmet(t.Context(), topology.Scope{Topology: top, Node: n, Instance: "0"}, c.cond, env)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && why != "" || c.want != "" && !strings.Contains(why, c.want) || strings.Contains(why, "hunter2") {
				t.Errorf("got %q, want %q", why, c.want)
			}
		})
	}
}
