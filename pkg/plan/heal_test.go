package plan_test

import (
	"testing"

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
