package topology_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// world is an Env of plain maps.
type world struct {
	inputs    map[string]any
	instances map[string][]string
	attrs     map[string]any // "node[0].capability.name" or "node[0].name"
	outputs   map[string]any // "node[0].rel.iface.op.name"
	secrets   map[string]string
}

func (w world) Input(name string) (any, bool) { v, ok := w.inputs[name]; return v, ok }

func (w world) Instances(node string) []string { return w.instances[node] }

func (w world) Attribute(in topology.Instance, capability, name string) (any, bool) {
	key := in.String() + "."
	if capability != "" {
		key += capability + "."
	}
	v, ok := w.attrs[key+name]
	return v, ok
}

func (w world) RelationshipAttribute(in topology.Instance, rel, target, name string) (any, bool) {
	v, ok := w.attrs[in.String()+"→"+rel+"."+name]
	return v, ok
}

func (w world) OperationOutput(in topology.Instance, rel, iface, op, name string) (any, bool) {
	v, ok := w.outputs[strings.Join([]string{in.String(), rel, iface, op, name}, ".")]
	return v, ok
}

func (w world) Secret(_ context.Context, args []string) (secret.Value, error) {
	v, ok := w.secrets[strings.Join(args, "/")]
	if !ok {
		return secret.Value{}, errors.New("no such secret")
	}
	return secret.New(v), nil
}

const app = `
tosca_definitions_version: yorc_tosca_simple_yaml_1_0
imports: [ <normative-types.yml> ]
node_types:
  Server:
    derived_from: tosca.nodes.Compute
  Web:
    derived_from: tosca.nodes.SoftwareComponent
    properties:
      port: { type: integer, default: 80 }
      name: { type: string, required: false }
      password: { type: string, required: false }
      list: { type: list, required: false, entry_schema: { type: integer } }
      nested: { type: map, required: false, entry_schema: { type: list, entry_schema: { type: string } } }
    attributes:
      url: { concat: [ "http://", { get_attribute: [ HOST, private_address ] }, ":", { get_property: [ SELF, port ] } ] }
      token: { get_operation_output: [ SELF, Standard, create, TOKEN ] }
    capabilities:
      endpoint: { type: tosca.capabilities.Endpoint }
    requirements:
      - db: { capability: tosca.capabilities.Endpoint, relationship: tosca.relationships.ConnectsTo, occurrences: [ 0, UNBOUNDED ] }
    interfaces:
      Standard: { create: { description: makes it } }
topology_template:
  inputs:
    size: { type: integer, default: 7 }
    tags: { type: map, entry_schema: { type: string }, default: { a: x } }
    need: { type: string }
    maybe: { type: string, required: false }
  node_templates:
    host:
      type: Server
      capabilities:
        scalable: { properties: { min_instances: 1, max_instances: 5, default_instances: { get_input: size } } }
        endpoint: { properties: { protocol: ssh } }
    web:
      type: Web
      properties:
        name: { concat: [ web-, { get_input: size } ] }
        password: { concat: [ "pw:", { get_secret: [ db, password ] } ] }
        list: [ 1, 2, 3 ]
        nested: { k: [ a, b ] }
      requirements: [ host: host ]
    dbhost: { type: Server }
    db:
      type: Web
      properties: { port: { get_input: size } }
      capabilities: { endpoint: { properties: { port: 5432 } } }
      requirements: [ host: dbhost ]
    client:
      type: Web
      requirements: [ host: dbhost, db: db, db: web ]
`

func load(t *testing.T, doc string) *topology.Topology {
	t.Helper()
	b, _ := source.OpenFS("test", fstest.MapFS{"app.yaml": {Data: []byte(doc)}}, "app.yaml")
	top, list := tosca.Load(context.Background(), tosca.Options{Bundle: b})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return top
}

func call(fn string, args ...any) *topology.Value {
	c := &topology.Call{Fn: fn}
	for _, a := range args {
		switch x := a.(type) {
		case *topology.Value:
			c.Args = append(c.Args, x)
		case int:
			c.Args = append(c.Args, topology.Lit(int64(x)))
		case []any:
			l := &topology.Value{Kind: topology.ListValue}
			for _, e := range x {
				l.List = append(l.List, topology.Lit(e))
			}
			c.Args = append(c.Args, l)
		default:
			c.Args = append(c.Args, topology.Lit(a))
		}
	}
	return &topology.Value{Kind: topology.CallValue, Call: c}
}

func TestEval(t *testing.T) {
	top := load(t, app)
	env := world{
		inputs:    map[string]any{"tags": map[string]any{"a": "y", "b": []any{"z"}}},
		instances: map[string][]string{"host": {"0", "1", "2"}, "web": {"0", "1", "2"}, "dbhost": {"0"}, "db": {"0"}, "client": {"0"}},
		attrs: map[string]any{
			"host[0].private_address": "10.0.0.1", "host[1].private_address": "10.0.0.2", "host[2].private_address": "10.0.0.3",
			"dbhost[0].private_address": "10.0.1.1", "db[0].endpoint.ip_address": "10.0.1.9", "client[0]→db.state": "started",
			"web[1].extra": map[string]any{"k": []any{"v0", "v1"}},
		},
		outputs: map[string]any{"web[1]..Standard.create.TOKEN": "t1", "client[0].db.Configure.add_target.X": "rel-out"},
		secrets: map[string]string{"db/password": "hunter2"},
	}
	at := func(node, instance string) topology.Scope {
		return topology.Scope{Topology: top, Node: top.NodeNamed(node), Instance: instance}
	}
	clientRel := at("client", "0")
	clientRel.Relationship, clientRel.TargetInstance = top.NodeNamed("client").Relationships[1], "0"
	pair := at("client", "0")
	pair.Relationship, pair.TargetInstance = top.NodeNamed("client").Relationships[2], "1"
	outside := topology.Scope{Topology: top}
	unknown := func(ref string) any { return topology.Unknown{Refs: []string{ref}} }

	for name, tc := range map[string]struct {
		scope topology.Scope
		value *topology.Value
		want  any
	}{
		"input default":                {outside, call("get_input", "size"), int64(7)},
		"input given, nested":          {outside, call("get_input", "tags", "b", 0), "z"},
		"required input without value": {outside, call("get_input", "need"), unknown("input need")},
		"optional input without value": {outside, call("get_input", "maybe"), nil},
		"own property":                 {at("web", "1"), call("get_property", "SELF", "port"), int64(80)},
		"property of an input":         {at("web", "1"), call("get_property", "SELF", "name"), "web-7"},
		"property as declared type":    {outside, call("get_property", "db", "port"), int64(7)},
		"list index":                   {outside, call("get_property", "web", "list", 1), int64(2)},
		"nested":                       {outside, call("get_property", "web", "nested", "k", 1), "b"},
		"capability property":          {outside, call("get_property", "db", "endpoint", "port"), int64(5432)},
		"capability attribute":         {outside, call("get_attribute", "db", "endpoint", "ip_address"), "10.0.1.9"},
		"host's capability property":   {at("web", "1"), call("get_property", "HOST", "endpoint", "protocol"), "ssh"},
		"requirement's target":         {at("client", "0"), call("get_property", "SELF", "db", "port"), int64(5432)},
		"requirement's target, Yorc":   {at("client", "0"), call("get_property", "REQ_TARGET", "db", "port"), int64(5432)},
		"secret":                       {outside, call("get_secret", "db", "password"), secret.New("hunter2")},
		"text with a secret":           {outside, call("get_property", "web", "password"), secret.New("pw:hunter2")},
		"attribute formula":            {at("web", "1"), call("get_attribute", "SELF", "url"), "http://10.0.0.2:80"},
		"attribute of every instance":  {outside, call("get_attribute", "host", "private_address"), []any{"10.0.0.1", "10.0.0.2", "10.0.0.3"}},
		"attribute of one instance":    {outside, call("get_attribute", "dbhost", "private_address"), "10.0.1.1"},
		"instance that scales with it": {at("web", "2"), call("get_attribute", "host", "private_address"), "10.0.0.3"},
		"instances of another":         {at("client", "0"), call("get_attribute", "web", "url"), []any{"http://10.0.0.1:80", "http://10.0.0.2:80", "http://10.0.0.3:80"}},
		"attribute falls to property":  {outside, call("get_attribute", "web", "port"), []any{int64(80), int64(80), int64(80)}},
		"property falls to attribute":  {outside, call("get_property", "dbhost", "private_address"), "10.0.1.1"},
		"attribute nested":             {at("web", "1"), call("get_attribute", "SELF", "extra", "k", 1), "v1"},
		"attribute not known yet":      {outside, call("get_attribute", "dbhost", "public_address"), unknown("dbhost.public_address")},
		"operation output":             {at("web", "1"), call("get_operation_output", "SELF", "Standard", "create", "TOKEN"), "t1"},
		"operation output, full name":  {at("web", "1"), call("get_operation_output", "SELF", "tosca.interfaces.node.lifecycle.Standard", "create", "TOKEN"), "t1"},
		"output through attribute":     {at("web", "1"), call("get_attribute", "SELF", "token"), "t1"},
		"output not there yet":         {at("web", "0"), call("get_attribute", "SELF", "token"), unknown("web.Standard.create.TOKEN")},
		"relationship output":          {clientRel, call("get_operation_output", "SELF", "Configure", "add_target", "X"), "rel-out"},
		"relationship attribute":       {clientRel, call("get_attribute", "SELF", "state"), "started"},
		"source":                       {clientRel, call("get_property", "SOURCE", "port"), int64(80)},
		"target":                       {clientRel, call("get_property", "TARGET", "port"), int64(7)},
		"target's host":                {pair, call("get_attribute", "TARGET", "host", "private_address"), "10.0.0.2"},
		"host of a target, by name":    {pair, call("get_attribute", "host", "private_address"), "10.0.0.2"},
		"host's attribute":             {at("web", "1"), call("get_attribute", "SELF", "private_address"), "10.0.0.2"},
		"attribute of target's host":   {pair, call("get_attribute", "TARGET", "private_address"), "10.0.0.2"},
		"capability of target's host":  {pair, call("get_property", "TARGET", "scalable", "max_instances"), int64(5)},
		"property nowhere, Yorc":       {outside, call("get_property", "web", "prot"), nil},
		"attribute nowhere, Yorc":      {outside, call("get_attribute", "dbhost", "nothing"), nil},
		"concat with unknown":          {outside, call("concat", "a", call("get_attribute", "dbhost", "public_address")), unknown("dbhost.public_address")},
		"join":                         {outside, call("join", []any{"a", int64(1), true}, "-"), "a-1-true"},
		"join instances":               {outside, call("join", call("get_attribute", "host", "private_address"), ","), "10.0.0.1,10.0.0.2,10.0.0.3"},
		"token":                        {outside, call("token", "a:b:c", ":", 1), "b"},
		"token of a secret":            {outside, call("token", call("get_secret", "db", "password"), "n", 1), secret.New("ter2")},
		"nodes of type":                {outside, call("get_nodes_of_type", "Server"), []any{"host", "dbhost"}},
		"concat lists":                 {outside, call("concat", []any{"a"}, []any{"b"}), []any{"a", "b"}},
		"2.0 path to a capability":     {outside, call("get_property", "client", "RELATIONSHIP", "db", 0, "TARGET", "CAPABILITY", "endpoint", "port"), int64(5432)},
		"2.0 sum":                      {outside, call("sum", 1, 2, 3), int64(6)},
		"2.0 quotient":                 {outside, call("quotient", 3, 2), 1.5},
		"2.0 union":                    {outside, call("union", []any{int64(1), int64(2)}, []any{int64(2), int64(3)}), []any{int64(1), int64(2), int64(3)}},
		"2.0 and":                      {outside, call("and", call("equal", "a", "a"), call("greater_than", "2 GB", "1000 MB")), true},
		"2.0 has_any_key":              {outside, call("has_any_key", call("get_input", "tags"), []any{"q", "a"}), true},
		"2.0 length":                   {outside, call("length", "größe"), int64(5)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := topology.Eval(context.Background(), tc.scope, tc.value, env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateComparable(secret.Value{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}

	for name, tc := range map[string]struct {
		scope topology.Scope
		value *topology.Value
		want  string
	}{
		"unknown input":      {outside, call("get_input", "sise"), `did you mean "size"?`},
		"unknown node":       {outside, call("get_property", "wep", "port"), `did you mean "web"?`},
		"self outside":       {outside, call("get_property", "SELF", "port"), "SELF means nothing here"},
		"target outside":     {at("web", "0"), call("get_property", "TARGET", "port"), "TARGET means nothing here"},
		"index out of range": {outside, call("get_property", "web", "list", 9), "there is no entry 9"},
		"secret missing":     {outside, call("get_secret", "nope"), "no such secret"},
		"token index":        {outside, call("token", "a", ":", 1), "there is no part 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := topology.Eval(context.Background(), tc.scope, tc.value, env)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// Only Alien4Cloud's and Yorc's tools look at the host for what a node has not.
func TestEvalNowhere(t *testing.T) {
	top := load(t, strings.NewReplacer("yorc_tosca_simple_yaml_1_0", "tosca_simple_yaml_1_3", "imports: [ <normative-types.yml> ]", "").Replace(app))
	for name, tc := range map[string]struct {
		value *topology.Value
		want  string
	}{
		"property":  {call("get_property", "web", "prot"), `did you mean "port"?`},
		"attribute": {call("get_attribute", "web", "nothing"), `web has no attribute "nothing"`},
		"host's":    {call("get_attribute", "web", "private_address"), `web has no attribute "private_address"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := topology.Eval(context.Background(), topology.Scope{Topology: top}, tc.value, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestEvalCircle(t *testing.T) {
	top := load(t, `
tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  N: { derived_from: tosca.nodes.Root, properties: { a: { type: string }, b: { type: string } } }
topology_template:
  node_templates:
    n: { type: N, properties: { a: { get_property: [ SELF, b ] }, b: { get_property: [ SELF, a ] } } }
`)
	_, err := topology.Eval(context.Background(), topology.Scope{Topology: top}, call("get_property", "n", "a"), world{})
	if err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("error %v", err)
	}
}

func TestEvalWithoutEnv(t *testing.T) {
	top := load(t, app)
	got, err := topology.Eval(context.Background(), topology.Scope{Topology: top}, call("get_attribute", "web", "url"), nil)
	if _, ok := got.(topology.Unknown); !ok || err != nil {
		t.Errorf("got %v, %v; want Unknown", got, err)
	}
	got, err = topology.Eval(context.Background(), topology.Scope{Topology: top}, call("get_property", "web", "port"), nil)
	if got != int64(80) || err != nil {
		t.Errorf("got %v, %v; want 80", got, err)
	}
}

func TestScale(t *testing.T) {
	top := load(t, app)
	for _, tc := range []struct {
		node          string
		inputs        map[string]any
		min, max, def int
		err           string
	}{
		{node: "web", inputs: map[string]any{"size": int64(3)}, min: 1, max: 5, def: 3},
		{node: "host", inputs: map[string]any{"size": int64(5)}, min: 1, max: 5, def: 5},
		{node: "db", min: 1, max: 1, def: 1},
		{node: "web", err: "default_instances 7 must be within min_instances 1 and max_instances 5"},
		{node: "nope", err: "no node"},
	} {
		min, max, def, err := top.Scale(context.Background(), tc.node, world{inputs: tc.inputs})
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v, want %q", tc.node, err, tc.err)
			}
			continue
		}
		if err != nil || min != tc.min || max != tc.max || def != tc.def {
			t.Errorf("%s: %d %d %d %v", tc.node, min, max, def, err)
		}
	}
}
