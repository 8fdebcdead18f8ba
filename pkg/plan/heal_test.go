package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// balanced is a load balancer with two scaled servers behind it, each with an application that uses a database.
func balanced() *topo {
	top := shop()
	top.server("lbvm")
	lb := top.node("lb", "LB", "create", "start")
	hosted(lb, "lbvm")
	rel(lb, "backends", "tosca.relationships.ConnectsTo", "web", "add_target", "remove_target")
	return top
}

func TestHeal(t *testing.T) {
	top := balanced()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	heal := func(in plan.Input) *plan.Plan {
		in.Topology, in.Recorded, in.Workflow = top.Topology, rec, plan.Heal
		return build(t, in)
	}
	golden(t, heal(plan.Input{Instances: []topology.Instance{in("web", "1")}}), "heal_software")
	golden(t, heal(plan.Input{Instances: []topology.Instance{in("vm", "1")}}), "heal_server")
	golden(t, heal(plan.Input{Instances: []topology.Instance{in("vm", "1")}, Lost: map[topology.Instance]bool{in("vm", "1"): true}}), "heal_lost_server")
}

// A healing that has failed before it made everything again is completed by the next one.
func TestHealMakesWhatAnEarlierOneHasNotMadeAgain(t *testing.T) {
	top := balanced()
	all := build(t, plan.Input{Topology: top.Topology}).Steps
	made := func(p *plan.Plan) (ids []string) {
		for _, s := range p.Steps {
			if s.Of() == in("web", "1") && s.Operation != "stop" && s.Operation != "delete" && s.Operation != "remove_target" && s.Kind == plan.Op {
				ids = append(ids, s.ID)
			}
		}
		return ids
	}
	heal := func(rec map[topology.Instance]*plan.Recorded) *plan.Plan {
		return build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Heal, Instances: []topology.Instance{in("vm", "1")}})
	}
	want := made(heal(done(nil, all...)))
	half := done(nil, all...)
	delete(half, in("web", "1"))
	got := made(heal(half))
	if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
		t.Errorf("made in vm[1] (-want +got):\n%s", diff)
	}
}

// What has drifted is brought back beside what is made anew, once though the topology says something else of it now.
func TestHealRepairsBesideWhatIsMadeAnew(t *testing.T) {
	top := balanced()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	for _, changed := range []bool{false, true} {
		if changed {
			top.NodeNamed("lbvm").Properties.Set("flavor", topology.Lit("large"))
		}
		p := build(t, plan.Input{Topology: top.Topology, Recorded: rec, Workflow: plan.Heal,
			Instances: []topology.Instance{in("web", "1")}, Repair: []topology.Instance{in("lbvm", "0")}})
		count := map[string]int{}
		for _, s := range p.Steps {
			count[s.ID]++
		}
		if count["lbvm[0].update"] != 1 || count["web[1].create"] != 1 {
			t.Errorf("changed %t: want lbvm[0] repaired and web[1] made anew, once each: %v", changed, count)
		}
	}
}
