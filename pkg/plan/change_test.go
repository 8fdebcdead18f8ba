package plan_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

func in(node, index string) topology.Instance { return topology.Instance{Node: node, Index: index} }

func TestScaleOut(t *testing.T) {
	top := shop()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 3}}), "scale_out")
}

func TestScaleIn(t *testing.T) {
	top := shop()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 1}}), "scale_in")
}

func TestScaleInPicksVictims(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(rec map[topology.Instance]*plan.Recorded, in *plan.Input)
		want   string
	}{
		"the highest where nobody knows when they were made": {func(map[topology.Instance]*plan.Recorded, *plan.Input) {}, "vm[3] vm[2]"},
		"the newest": {func(rec map[topology.Instance]*plan.Recorded, _ *plan.Input) {
			for i, at := range map[string]int{"0": 9, "1": 1, "2": 5, "3": 2} {
				rec[in("vm", i)].Created = day.Add(time.Duration(at) * time.Hour)
			}
		}, "vm[0] vm[2]"},
		"failed ones first, whatever on them has failed": {func(rec map[topology.Instance]*plan.Recorded, _ *plan.Input) {
			rec[in("web", "1")].State = plan.StateError
		}, "vm[1] vm[3]"},
		"one whose check has failed": {func(rec map[topology.Instance]*plan.Recorded, _ *plan.Input) {
			rec[in("web", "0")].Journal["custom.check"] = plan.Entry{Status: plan.Failed}
		}, "vm[0] vm[3]"},
		"named ones before all": {func(rec map[topology.Instance]*plan.Recorded, pi *plan.Input) {
			rec[in("web", "1")].State = plan.StateError
			pi.Remove = []topology.Instance{in("web", "2")}
		}, "vm[1] vm[2]"},
	} {
		top := shop()
		rec := done(nil, build(t, plan.Input{Topology: top.Topology, Scale: map[string]int{"vm": 4}}).Steps...)
		input := plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 2}}
		c.change(rec, &input)
		var gone []string
		for _, s := range build(t, input).Steps {
			if s.Kind == plan.Infra && s.Action == driver.Delete {
				gone = append(gone, s.Of().String())
			}
		}
		want := strings.Fields(c.want)
		slices.Sort(want)
		slices.Sort(gone)
		if !slices.Equal(gone, want) {
			t.Errorf("%s: gone are %v, not %v", name, gone, want)
		}
	}
}

// A load balancer lets go of what leaves, which then finishes its work, before it is stopped.
func TestScaleInDrains(t *testing.T) {
	top := balanced()
	web := top.NodeNamed("web")
	web.Interfaces = append(web.Interfaces, iface("traffic", "web", "drain"))
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 1}}), "scale_in_drain")
	p := build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Uninstall})
	for _, s := range p.Steps {
		if s.Operation == "drain" {
			t.Errorf("everything is taken down, and yet %s", s.ID)
		}
	}
}

func TestChanges(t *testing.T) {
	old, wanted := shop(), shop()
	size := func(top *topo, v string) {
		p := topology.NewValues()
		p.Set("flavor", topology.Lit(v))
		top.NodeNamed("dbvm").Properties = p
	}
	size(old, "small")
	size(wanted, "large")
	old.NodeNamed("web").Operation("Standard", "configure").Inputs.Set("PORT", topology.Lit(int64(80)))
	wanted.NodeNamed("web").Operation("Standard", "configure").Inputs.Set("PORT", topology.Lit(int64(8080)))
	rec := done(nil, build(t, plan.Input{Topology: old.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: wanted.Topology, Previous: old.Topology, Recorded: rec}), "changes")
	golden(t, build(t, plan.Input{Topology: wanted.Topology, Previous: old.Topology, Recorded: rec,
		Replaced: map[topology.Instance]string{in("dbvm", "0"): "it is replaced because of flavor"}}), "replaced")
}

// A port is in the security groups of the server that it is bound to: when the server's change, the port is brought up to date as well.
func TestChangedSecurityGroupsReachThePort(t *testing.T) {
	with := func(change func(*topo)) *topo {
		top := shop()
		port := top.node("port", "orch.nodes.openstack.Port")
		port.Native = true
		rel(port, "binding", "tosca.relationships.network.BindsTo", "dbvm")
		change(top)
		return top
	}
	open := func(port int64) func(*topo) {
		return func(top *topo) {
			p := topology.NewValues()
			p.Set("port", topology.Lit(port))
			db := top.NodeNamed("db")
			db.Capabilities = append(db.Capabilities, &topology.Capability{Name: "endpoint", Type: topology.Type{"tosca.capabilities.Endpoint"}, Properties: p})
		}
	}
	named := func(top *topo) { top.NodeNamed("dbvm").Properties.Set("security_groups", topology.Lit("web")) }
	linked := func(top *topo) {
		top.node("group", "orch.nodes.openstack.SecurityGroup").Native = true
		rel(top.NodeNamed("dbvm"), "security_group", "tosca.relationships.DependsOn", "group")
	}
	plain := func(*topo) {}
	for _, c := range []struct {
		name     string
		old, now func(*topo)
		updated  bool
	}{
		{"the first port is opened", plain, open(80), true},
		{"the last port is closed", open(80), plain, true},
		{"another port is opened", open(80), open(81), false}, // in a group that the port is in already
		{"a group is named", plain, named, true},
		{"a group is linked", plain, linked, true},
	} {
		old, wanted := with(c.old), with(c.now)
		rec := done(nil, build(t, plan.Input{Topology: old.Topology}).Steps...)
		p := build(t, plan.Input{Topology: wanted.Topology, Previous: old.Topology, Recorded: rec})
		updated := map[string]bool{}
		for _, s := range p.Steps {
			updated[s.ID] = true
		}
		if !updated["dbvm[0].update"] || updated["port[0].update"] != c.updated {
			t.Errorf("%s: the port is updated: %t, want %t", c.name, updated["port[0].update"], c.updated)
		}
	}
}

// While a server is being made anew orch is killed: whatever became of the server, what was done on the old one is done again, and nothing is
// taken down on it.
func TestAnInterruptedReplacementIsStillOne(t *testing.T) {
	top := shop()
	on := func(p *plan.Plan) (ids []string) {
		for _, s := range p.Steps {
			if s.Host == "dbvm[0]" {
				ids = append(ids, s.ID)
			}
		}
		return ids
	}
	first := build(t, plan.Input{Topology: top.Topology})
	if len(on(first)) == 0 {
		t.Fatal("nothing runs on dbvm[0]")
	}
	for status, again := range map[plan.Status]bool{plan.Doing: true, plan.Failed: true, plan.Done: false} {
		rec := done(nil, first.Steps...)
		e := rec[in("dbvm", "0")].Journal["create"]
		e.Status, e.Replaces = status, true
		rec[in("dbvm", "0")].Journal["create"] = e
		p := build(t, plan.Input{Topology: top.Topology, Recorded: rec})
		want := []string(nil)
		if again {
			want = on(first)
		}
		if diff := cmp.Diff(want, on(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", status, diff)
		}
		if i := slices.IndexFunc(p.Steps, func(s *plan.Step) bool { return s.ID == "dbvm[0].create" }); again && (i < 0 || !p.Steps[i].Replaces) {
			t.Errorf("%s: the replacement does not go on as one", status)
		}
		if down := on(build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Uninstall})); again && len(down) > 0 {
			t.Errorf("%s: taken down on it: %v", status, down)
		}
	}
}

func TestGoneNode(t *testing.T) {
	old, wanted := shop(), newTopo()
	wanted.server("vm")
	web := wanted.node("web", "Web", "create", "configure", "start", "stop", "delete")
	hosted(web, "vm")
	scalable(wanted.NodeNamed("vm"), 2)
	rec := done(nil, build(t, plan.Input{Topology: old.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: wanted.Topology, Previous: old.Topology, Recorded: rec}), "gone_node")
}

func TestGoneNodeOfAnOlderTopology(t *testing.T) {
	oldest, newer, wanted := shop(), newTopo(), newTopo()
	newer.server("other")
	wanted.server("other")
	rec := done(nil, build(t, plan.Input{Topology: oldest.Topology}).Steps...)
	p := build(t, plan.Input{Topology: wanted.Topology, Previous: newer.Topology, Older: []plan.Version{{Topology: oldest.Topology}}, Recorded: rec})
	var ids []string
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
	}
	for _, want := range []string{"web[0].stop", "web[0].delete", "vm[1].delete", "dbvm[0].delete", "other[0].create"} {
		if !strings.Contains(" "+strings.Join(ids, " ")+" ", " "+want+" ") {
			t.Errorf("%s is not in %v", want, ids)
		}
	}
}

func TestGoesOnWhereItStopped(t *testing.T) {
	top := shop()
	steps := build(t, plan.Input{Topology: top.Topology}).Steps
	rec := map[topology.Instance]*plan.Recorded{}
	for _, s := range steps {
		switch s.ID {
		case "web[0].configure":
			rec[in("web", "0")].Begin("configure", plan.Entry{Status: plan.Failed, Digest: s.Digest})
			rec[in("web", "0")].State = plan.StateError
		case "web[1].create":
			rec[in("web", "1")] = &plan.Recorded{State: "creating", Generation: "g"}
			rec[in("web", "1")].Begin("create", plan.Entry{Status: plan.Doing, OpID: "x", Digest: s.Digest})
		default:
			if strings.HasPrefix(s.ID, "web[1]") || strings.HasPrefix(s.ID, "web[0].start") || strings.HasPrefix(s.ID, "web[0].database[0]") {
				continue
			}
			done(rec, s)
		}
	}
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec}), "goes_on")
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Uninstall}), "uninstall_half_made")
}

func TestStopThenInstallStarts(t *testing.T) {
	top := shop()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	stop := build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Stop})
	golden(t, stop, "stop")
	done(rec, stop.Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec}), "install_after_stop")
}

func TestRestart(t *testing.T) {
	top := shop()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Restart}), "restart")
}

func TestOperate(t *testing.T) {
	top := shop()
	top.NodeNamed("web").Interfaces = append(top.NodeNamed("web").Interfaces, iface("custom", "web", "backup"))
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	p := build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Operation, Operate: &plan.Operate{Node: "web", Interface: "custom", Operation: "backup", Instances: []string{"1"}}})
	if len(p.Steps) != 1 || p.Steps[0].ID != "web[1].custom.backup" || p.Steps[0].Host != "vm[1]" {
		t.Errorf("steps %+v", p.Steps)
	}
	for _, bad := range []plan.Operate{{Node: "wep", Operation: "backup"}, {Node: "web", Operation: "backupp"}, {Node: "web", Operation: "backup", Instances: []string{"7"}}} {
		if p, diags := plan.Build(plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Operation, Operate: &bad}); p != nil || len(diags) != 1 {
			t.Errorf("%+v: %v", bad, diags)
		}
	}
}

func TestCycleNamesItsPath(t *testing.T) {
	top := newTopo()
	a, b, c := top.node("a", "A", "create"), top.node("b", "B", "create"), top.node("c", "C", "create")
	rel(a, "r", "tosca.relationships.DependsOn", "b")
	rel(b, "r", "tosca.relationships.DependsOn", "c")
	rel(c, "r", "tosca.relationships.DependsOn", "a")
	p, diags := plan.Build(plan.Input{Topology: top.Topology})
	if p != nil || len(diags) != 1 || diags[0].Code != "dependency-cycle" || !strings.Contains(diags[0].Message, "a -> c -> b -> a") {
		t.Errorf("plan %v, findings %v", p, diags)
	}
}

func TestPlanSurvivesJSON(t *testing.T) {
	top := shop()
	p := build(t, plan.Input{Topology: top.Topology})
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q plan.Plan
	if err := json.Unmarshal(b, &q); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, &q); diff != "" {
		t.Error(diff)
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	var first []byte
	for range 5 {
		top := shop()
		rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
		p := build(t, plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 4}})
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		} else if !bytes.Equal(first, b) {
			t.Fatal("two plans of the same differ")
		}
	}
}

func TestPath(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"", "creating", "initial creating"},
		{"initial", "started", "creating created configuring configured starting started"},
		{"started", "stopping", "stopping"},
		{"started", "deleted", "stopping stopped deleting deleted"},
		{"error", "configuring", "configuring"},
		{"started", "configuring", "configuring"},
		{"started", "started", ""},
		{"stopped", "starting", "starting"},
		{"created", "deleting", "stopping stopped deleting"},
		{"started", "submitting", "submitting"},
		{"submitted", "executed", "executing executed"},
	} {
		if got := strings.Join(plan.Path(c.from, c.to), " "); got != c.want {
			t.Errorf("Path(%q, %q) = %q, want %q", c.from, c.to, got, c.want)
		}
	}
}
