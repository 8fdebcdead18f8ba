package terraform_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/terraform"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/openstack"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
	openstackplugin "github.com/orch-project/orch/plugins/openstack"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	terraform.MaybeSupervise(openDirStates)
	// Idle connections to the sandboxes belong to the HTTP client.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// states is a StateStore in memory that keeps what it was given.
type states struct {
	mu    sync.Mutex
	data  map[string][]byte
	saves int
	fail  error
}

func (s *states) Load(_ context.Context, d string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[d], nil
}

func (s *states) Save(_ context.Context, d string, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if s.data == nil {
		s.data = map[string][]byte{}
	}
	s.data[d] = append([]byte(nil), b...)
	s.saves++
	return nil
}

func (s *states) Remove(_ context.Context, d string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.data, d)
	return nil
}

// secrets is a driver.Secrets in memory.
type secrets struct {
	mu sync.Mutex
	m  map[string]secret.Value
}

func (s *secrets) Resolve(_ context.Context, ref string) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.m[ref]; ok {
		return v, nil
	}
	return secret.Value{}, errors.New("no secret " + ref)
}

func (s *secrets) Generate(_ context.Context, ref string, make func() ([]byte, error)) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.m[ref]; ok {
		return v, nil
	}
	b, err := make()
	if err != nil {
		return secret.Value{}, err
	}
	s.m[ref] = secret.New(string(b))
	return s.m[ref], nil
}

func (s *secrets) Remove(_ context.Context, ref string) error { delete(s.m, ref); return nil }

// rig is a sandbox with a driver on it.
type rig struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	cloud   *openstack.Client
	states  *states
	secrets *secrets
	home    string
	set     *plugin.Set
	loc     plugin.Location
	driver  *terraform.Driver
	binary  string
	mirror  string // of providers; "" is the tool cache's
}

const provider = "terraform-provider-openstack/openstack"

func needTools(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs Terraform")
	}
	tools.TerraformOrTofu(t)
	tools.ProviderMirror(t)
}

func newRig(t *testing.T, o sandbox.Options, settings map[string]any) *rig {
	t.Helper()
	needTools(t)
	sb, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sb.Close() })
	r := &rig{t: t, sandbox: sb, states: &states{}, secrets: &secrets{m: map[string]secret.Value{}}, home: t.TempDir(), set: &plugin.Set{}, mirror: tools.ProviderMirror(t)}
	if list := r.set.Add(openstackplugin.Files, "plugins/openstack"); len(list) > 0 {
		t.Fatal(list)
	}
	env := map[string]string{"OS_AUTH_URL": sb.AuthURL(), "OS_USERNAME": "demo", "OS_PASSWORD": sb.Password, "OS_PROJECT_NAME": "demo",
		"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_NAME": "Default", "OS_REGION_NAME": sb.Region()}
	cfg, err := openstack.LoadConfig(openstack.Source{Getenv: func(k string) string { return env[k] }})
	if err != nil {
		t.Fatal(err)
	}
	if r.cloud, err = openstack.Connect(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	r.loc = plugin.Location{Name: "sandbox", Plugin: "openstack", Settings: settings}
	r.driver = r.newDriver()
	return r
}

// newDriver stands for another orch process on the same machine and store.
func (r *rig) newDriver() *terraform.Driver {
	r.t.Helper()
	d, err := terraform.New(terraform.Options{Home: r.home, Binary: r.binary, Mirror: r.mirror, Plugins: r.set, States: r.states, Secrets: r.secrets,
		Location: func(context.Context, string) (plugin.Location, error) { return r.loc, nil },
		Cloud:    func(context.Context, plugin.Location) (driver.Cloud, error) { return r.cloud, nil }})
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// node of a test's topology.
type node struct {
	name, typ string
	props     map[string]any
	requires  []string // requirement=target
}

var ancestors = map[string][]string{
	"orch.nodes.openstack.Compute":      {"tosca.nodes.Compute"},
	"orch.nodes.openstack.Network":      {"tosca.nodes.network.Network"},
	"orch.nodes.openstack.Port":         {"tosca.nodes.network.Port"},
	"orch.nodes.openstack.BlockStorage": {"tosca.nodes.Storage.BlockStorage"},
}

func (r *rig) topology(nodes ...node) *topology.Topology {
	r.t.Helper()
	t := &topology.Topology{Name: "test"}
	for i, n := range nodes {
		tn := &topology.Node{Name: n.name, Type: append(topology.Type{n.typ}, ancestors[n.typ]...), Properties: topology.NewValues(),
			Pos: diag.Pos{File: "app.yaml", Line: 10 * (i + 1), Col: 3}}
		for k, v := range n.props {
			val := value(v)
			val.Pos = diag.Pos{File: "app.yaml", Line: 10*(i+1) + 2, Col: 5}
			tn.Properties.Set(k, val)
		}
		for _, q := range n.requires {
			for j := range q {
				if q[j] == '=' {
					tn.Relationships = append(tn.Relationships, &topology.Relationship{Name: q[:j], Requirement: q[:j], Source: n.name,
						Target: q[j+1:], Type: topology.Type{"tosca.relationships.DependsOn"}, Properties: topology.NewValues()})
				}
			}
		}
		t.Nodes = append(t.Nodes, tn)
	}
	t.Reindex()
	if list := r.set.Bind(t, r.loc); list.HasErrors() {
		r.t.Fatal(list.Err())
	}
	return t
}

func value(v any) *topology.Value {
	switch t := v.(type) {
	case []any:
		out := &topology.Value{Kind: topology.ListValue}
		for _, e := range t {
			out.List = append(out.List, value(e))
		}
		return out
	case map[string]any:
		out := &topology.Value{Kind: topology.MapValue, Map: topology.NewValues()}
		for k, e := range t {
			out.Map.Set(k, value(e))
		}
		return out
	case int:
		return topology.Lit(int64(t))
	}
	return topology.Lit(v)
}

// env knows the number of instances of each node, 1 by default.
type env map[string]int

func (env) Input(string) (any, bool) { return nil, false }
func (e env) Instances(n string) []string {
	if e[n] == 0 {
		return []string{"0"}
	}
	var out []string
	for i := range e[n] {
		out = append(out, string(rune('0'+i)))
	}
	return out
}
func (env) Attribute(topology.Instance, string, string) (any, bool) { return nil, false }
func (env) RelationshipAttribute(topology.Instance, string, string, string) (any, bool) {
	return nil, false
}
func (env) OperationOutput(topology.Instance, string, string, string, string) (any, bool) {
	return nil, false
}
func (env) Secret(context.Context, []string) (secret.Value, error) {
	return secret.New("s3cret-value"), nil
}

// requests for all instances of the nodes.
func requests(t *topology.Topology, e env, action driver.Action, op string, nodes ...string) []*driver.Request {
	var out []*driver.Request
	for _, n := range t.Nodes {
		if len(nodes) > 0 {
			found := false
			for _, m := range nodes {
				found = found || m == n.Name
			}
			if !found {
				continue
			}
		}
		for _, i := range e.Instances(n.Name) {
			out = append(out, &driver.Request{Deployment: "app", Task: "t", Step: n.Name, OpID: op + n.Name + i, Action: action, Attempt: 1,
				Topology: t, Node: n, Instance: i, Env: e})
		}
	}
	return out
}

// outcome of a batch.
type outcome struct {
	results map[string]driver.Result
	errs    map[string]error
	order   []string
	events  []event.Event
	err     error
}

func run(ctx context.Context, d *terraform.Driver, reqs []*driver.Request) *outcome {
	o := &outcome{results: map[string]driver.Result{}, errs: map[string]error{}}
	var mu sync.Mutex
	o.err = d.RunBatch(ctx, reqs, func(e event.Event) {
		mu.Lock()
		defer mu.Unlock()
		o.events = append(o.events, e)
	}, func(i int, res driver.Result, err error) {
		mu.Lock()
		defer mu.Unlock()
		id := reqs[i].ID().String()
		o.order = append(o.order, id)
		o.results[id] = res
		if err != nil {
			o.errs[id] = err
		}
	})
	return o
}

func (o *outcome) must(t *testing.T, reqs []*driver.Request) {
	t.Helper()
	if o.err != nil {
		t.Fatalf("batch: %+v", o.err)
	}
	for id, err := range o.errs {
		t.Errorf("%s: %v", id, err)
	}
	if len(o.order) != len(reqs) {
		t.Fatalf("%d of %d requests were reported: %v", len(o.order), len(reqs), o.order)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// nothingLeft is the proof after an undeploy.
func (r *rig) nothingLeft() {
	r.t.Helper()
	left, err := r.cloud.Inventory(r.t.Context(), "app")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range left {
		r.t.Errorf("left in the cloud: %+v", l)
	}
	if b := r.states.data["app"]; b != nil {
		r.t.Errorf("a state record is left: %s", b)
	}
}
