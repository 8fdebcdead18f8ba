package plan_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// topo is a topology in the making.
type topo struct{ *topology.Topology }

func newTopo() *topo {
	return &topo{&topology.Topology{Name: "shop", Digest: "d1", Workflows: map[string]*topology.Workflow{}, Files: fstest.MapFS{}}}
}

// node adds a node template; ops are implemented operations of Standard.
func (t *topo) node(name, typ string, ops ...string) *topology.Node {
	n := &topology.Node{Name: name, Type: topology.Type{typ, "tosca.nodes.Root"}, Properties: topology.NewValues(), Attributes: topology.NewValues()}
	n.Interfaces = []*topology.Interface{iface("Standard", name, ops...)}
	t.Nodes = append(t.Nodes, n)
	t.Reindex()
	return n
}

// server adds a native Compute.
func (t *topo) server(name string) *topology.Node {
	n := t.node(name, "tosca.nodes.Compute")
	n.Native = true
	return n
}

func iface(name, owner string, ops ...string) *topology.Interface {
	i := &topology.Interface{Name: name}
	for _, op := range ops {
		file := fmt.Sprintf("scripts/%s_%s.sh", owner, op)
		i.Operations = append(i.Operations, &topology.Operation{Interface: name, Name: op, Retries: -1,
			Implementation: &topology.Artifact{File: file}, Inputs: topology.NewValues()})
	}
	return i
}

func rel(from *topology.Node, name, typ, to string, ops ...string) *topology.Relationship {
	r := &topology.Relationship{Name: name, Requirement: name, Type: topology.Type{typ}, Source: from.Name, Target: to,
		Interfaces: []*topology.Interface{iface("Configure", from.Name+"_"+name, ops...)}}
	from.Relationships = append(from.Relationships, r)
	return r
}

func hosted(from *topology.Node, to string) {
	rel(from, "host", "tosca.relationships.HostedOn", to)
}

func scalable(n *topology.Node, count int64) {
	p := topology.NewValues()
	p.Set("default_instances", topology.Lit(count))
	p.Set("max_instances", topology.Lit(int64(100)))
	n.Capabilities = append(n.Capabilities, &topology.Capability{Name: "scalable", Type: topology.Type{"tosca.capabilities.Scalable"}, Properties: p})
}

// done applies a plan to records as the engine would.
func done(rec map[topology.Instance]*plan.Recorded, steps ...*plan.Step) map[topology.Instance]*plan.Recorded {
	if rec == nil {
		rec = map[topology.Instance]*plan.Recorded{}
	}
	for _, s := range steps {
		if s.Kind == plan.Join {
			continue
		}
		if s.Kind == plan.Forget {
			delete(rec, s.Of())
			continue
		}
		for _, in := range []topology.Instance{s.Of(), s.StateOf()} {
			if rec[in] == nil {
				rec[in] = &plan.Recorded{State: "initial", Generation: "g-" + in.String()}
			}
		}
		e := plan.Entry{Status: plan.Done, Digest: s.Digest, Parts: s.Parts}
		if host, ok := plan.ParseInstance(s.Host); ok && rec[host] != nil {
			e.Host = rec[host].Generation
		}
		if t := rec[topology.Instance{Node: s.Target, Index: s.TargetInstance}]; t != nil && s.PerPair() {
			e.Peer = t.Generation
		}
		rec[s.Of()].Begin(s.Key(), e)
		if s.Kind == plan.Infra && s.Action == driver.Create {
			rec[s.Of()].Made = true
		}
		if s.StateAfter != "" {
			rec[s.StateOf()].State = s.StateAfter
		}
	}
	return rec
}

func build(t *testing.T, in plan.Input) *plan.Plan {
	t.Helper()
	in.Deployment = "shop"
	p, diags := plan.Build(in)
	if diags.HasErrors() {
		t.Fatalf("Build: %v", diags)
	}
	seen := map[string]bool{}
	for _, s := range p.Steps {
		if seen[s.ID] {
			t.Errorf("two steps are called %s", s.ID)
		}
		seen[s.ID] = true
	}
	return p
}

func golden(t *testing.T, p *plan.Plan, name string) {
	t.Helper()
	var b bytes.Buffer
	if err := p.Text(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("plan differs (-want +got), run with -update if that is right:\n%s", diff)
	}
}

// shop is the topology of most tests: a scaled application with a database.
func shop() *topo {
	t := newTopo()
	t.server("vm")
	web := t.node("web", "Web", "create", "configure", "start", "stop", "delete")
	hosted(web, "vm")
	t.server("dbvm")
	db := t.node("db", "DB", "create", "start", "stop")
	hosted(db, "dbvm")
	rel(web, "database", "tosca.relationships.ConnectsTo", "db", "pre_configure_source", "add_target", "remove_target", "add_source")
	scalable(t.NodeNamed("vm"), 2)
	return t
}

func TestInstall(t *testing.T) {
	top := shop()
	golden(t, build(t, plan.Input{Topology: top.Topology}), "install")
}

func TestInstallOldOrder(t *testing.T) {
	top := shop()
	top.Order = topology.CreateInParallel
	golden(t, build(t, plan.Input{Topology: top.Topology}), "install_old")
}

func TestInstallInterleaved(t *testing.T) {
	top := shop()
	top.Order = topology.Interleaved
	golden(t, build(t, plan.Input{Topology: top.Topology}), "install_interleaved")
}

func TestUninstall(t *testing.T) {
	top := shop()
	in := plan.Input{Topology: top.Topology}
	rec := done(nil, build(t, in).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Workflow: plan.Uninstall, Recorded: rec}), "uninstall")
}

func TestSecondInstallDoesNothing(t *testing.T) {
	top := shop()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	p := build(t, plan.Input{Topology: top.Topology, Recorded: rec})
	if len(p.Steps) != 0 || p.Unchanged != 6 {
		golden(t, p, "nothing")
		t.Errorf("%d steps, %d unchanged, want 0 and 6", len(p.Steps), p.Unchanged)
	}
}
