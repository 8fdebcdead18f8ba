package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

func TestFootprint(t *testing.T) {
	vm := &topology.Node{Name: "vm", Native: true}
	app := &topology.Node{Name: "app", Interfaces: []*topology.Interface{{Name: "Custom", Operations: []*topology.Operation{
		{Interface: "Custom", Name: "ask", Outputs: []topology.OutputMapping{{Output: "A", Target: []string{"cache", "size"}}}}}}}}
	top := &topology.Topology{Nodes: []*topology.Node{vm, app, {Name: "cache"}, {Name: "db"}}}
	top.Reindex()
	for _, tc := range []struct {
		name  string
		steps []*plan.Step
		want  plan.Footprint
	}{
		{"nothing", nil, plan.Footprint{}},
		{"an operation", []*plan.Step{{Kind: plan.Op, Node: "db", Host: "vm[0]"}}, plan.Footprint{Writes: []string{"db"}, Reads: []string{"vm"}}},
		{"on the orchestrator", []*plan.Step{{Kind: plan.Op, Node: "db", Host: plan.OnOrchestrator}}, plan.Footprint{Writes: []string{"db"}}},
		{"a join", []*plan.Step{{Kind: plan.Join}}, plan.Footprint{}},
		{"infrastructure", []*plan.Step{{Kind: plan.Infra, Action: driver.Create, Node: "vm"}}, plan.Footprint{Writes: []string{"vm"}, Infra: true}},
		{"an operation of infrastructure", []*plan.Step{{Kind: plan.Op, Node: "vm", Host: "vm[0]"}}, plan.Footprint{Writes: []string{"vm"}, Infra: true}},
		{"the source's side", []*plan.Step{{Kind: plan.Op, Node: "app", Relationship: "db", Target: "db"}}, plan.Footprint{Writes: []string{"app"}, Reads: []string{"db"}}},
		{"the target's side", []*plan.Step{{Kind: plan.Op, Node: "app", Relationship: "db", Target: "db", AtTarget: true}}, plan.Footprint{Writes: []string{"app", "db"}}},
		{"published elsewhere", []*plan.Step{{Kind: plan.Op, Node: "app", Interface: "Custom", Operation: "ask"}}, plan.Footprint{Writes: []string{"app", "cache"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := (&plan.Plan{Steps: tc.steps}).Footprint(top)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFootprintsConflict(t *testing.T) {
	app := plan.Footprint{Writes: []string{"app"}, Reads: []string{"vm"}}
	for _, tc := range []struct {
		name  string
		other plan.Footprint
		want  []string
	}{
		{"on the same server", plan.Footprint{Writes: []string{"db"}, Reads: []string{"vm"}}, nil},
		{"the same node", plan.Footprint{Writes: []string{"app", "db"}}, []string{"app"}},
		{"its server", plan.Footprint{Writes: []string{"vm"}, Infra: true}, []string{"vm"}},
		{"node and server", plan.Footprint{Writes: []string{"app", "vm"}}, []string{"app", "vm"}},
		{"what it is seen by", plan.Footprint{Writes: []string{"lb"}, Reads: []string{"app"}}, []string{"app"}},
		{"nothing", plan.Footprint{}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, app.Conflicts(tc.other)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tc.want, tc.other.Conflicts(app)); d != "" {
				t.Errorf("the other way round: %s", d)
			}
		})
	}
	one, two := plan.Footprint{Writes: []string{"a"}, Infra: true}, plan.Footprint{Writes: []string{"b"}, Infra: true}
	if d := cmp.Diff([]string{plan.Infrastructure}, one.Conflicts(two)); d != "" {
		t.Error(d)
	}
}
