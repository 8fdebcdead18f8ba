package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// balanced is a load balancer that is told of each web server.
func balanced() *topology.Topology {
	top := chain("web", "lb")
	lb := top.NodeNamed("lb")
	lb.Relationships[0].Interfaces = []*topology.Interface{{Name: "Configure", Operations: []*topology.Operation{{Interface: "Configure", Name: "add_target", Retries: -1,
		Implementation: &topology.Artifact{File: "add.sh"}, Inputs: topology.NewValues()}}}}
	return top
}

// Of three new instances one fails: the two good ones are connected, when it is known what has become of all, and told of no
// others. Resuming makes and connects the third, and runs nothing again.
func TestScaleOutConnectsTheGoodOnes(t *testing.T) {
	t.Run("generated", func(t *testing.T) { connectsTheGoodOnes(t, balanced()) })
	t.Run("declared", func(t *testing.T) {
		top := balanced()
		step := func(node, op, next string) *topology.WorkflowStep {
			return &topology.WorkflowStep{Name: node + "_" + op, Target: node, OnSuccess: strings.Fields(next),
				Activities: []topology.Activity{{Kind: topology.ActivityCall, Interface: "Standard", Name: op}}}
		}
		started := &topology.WorkflowStep{Name: "web_started", Target: "web", OnSuccess: []string{"lb_create"}, Activities: []topology.Activity{{Kind: topology.ActivitySetState, Name: "started"}}}
		up := &topology.WorkflowStep{Name: "lb_started", Target: "lb", OnSuccess: []string{"lb_add"}, Activities: []topology.Activity{{Kind: topology.ActivitySetState, Name: "started"}}}
		add := step("lb", "add_target", "")
		add.Name, add.Relationship, add.Activities[0].Interface = "lb_add", top.NodeNamed("lb").Relationships[0].Name, "Configure"
		top.Workflows["install"] = &topology.Workflow{Name: "install", Steps: []*topology.WorkflowStep{step("web", "create", "web_started"), started, step("lb", "create", "lb_started"), up, add}}
		connectsTheGoodOnes(t, top)
	})
}

func connectsTheGoodOnes(t *testing.T, top *topology.Topology) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, top)
		for _, i := range []string{"0", "1", "2", "3"} {
			b.d.do["web["+i+"].create"] = func(_ context.Context, _ *driver.Request, attempt int) (driver.Result, error) {
				if i == "3" && attempt == 1 {
					return driver.Result{}, errors.New("no more space")
				}
				return driver.Result{}, nil
			}
		}
		b.plan(plan.Input{})
		if out := b.run(nil); out.Status != engine.Done {
			t.Fatalf("%+v", out.Failure)
		}
		b.d.log = nil
		b.plan(plan.Input{Scale: map[string]int{"web": 4}})
		b.job.Task = "scale"
		out := b.run(nil)
		got := slices.Sorted(slices.Values(b.d.log))
		want := []string{"lb[0].dep[1].add_target", "lb[0].dep[2].add_target", "web[1].create", "web[2].create", "web[3].create"}
		if out.Status != engine.Failed || out.Failure.Step != "web[3].create" || !slices.Equal(got, want) {
			t.Errorf("done %v, failure %+v", got, out.Failure)
		}
		if all := b.d.vars["lb[0].dep[2].add_target"]["TARGET_INSTANCES"].Value; all != "web_0,web_1,web_2" {
			t.Errorf("all are %s", all)
		}
		b.d.log = nil
		out = b.run(nil)
		if want := []string{"web[3].create", "lb[0].dep[3].add_target"}; out.Status != engine.Done || !slices.Equal(b.d.log, want) {
			t.Errorf("resumed: done %v, failure %+v", b.d.log, out.Failure)
		}
		if all := b.d.vars["lb[0].dep[3].add_target"]["TARGET_INSTANCES"].Value; all != "web_0,web_1,web_2,web_3" {
			t.Errorf("all are %s", all)
		}
	})
}
