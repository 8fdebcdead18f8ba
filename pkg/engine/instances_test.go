package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// What follows a step on success is done for the instances for which it has succeeded, and what follows that likewise; not for the one whose
// failure was handled. Where the ways meet again, all go on.
func TestOnFailureIsOfTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b")
		a, other := top.NodeNamed("a"), top.NodeNamed("b")
		for _, op := range []string{"check", "fine", "more", "after", "repair"} {
			for _, n := range []*topology.Node{a, other} {
				std := n.Interfaces[0]
				std.Operations = append(std.Operations, &topology.Operation{Interface: "Standard", Name: op, Retries: -1, Implementation: &topology.Artifact{File: op}})
			}
		}
		step := func(node, name string, ok, bad []string) *topology.WorkflowStep {
			return &topology.WorkflowStep{Name: name, Target: node, OnSuccess: ok, OnFailure: bad,
				Activities: []topology.Activity{{Kind: topology.ActivityCall, Interface: "Standard", Name: name}}}
		}
		top.Workflows["w"] = &topology.Workflow{Name: "w", Steps: []*topology.WorkflowStep{
			step("a", "check", []string{"fine", "after"}, []string{"repair"}), step("a", "fine", []string{"more"}, nil), step("a", "more", nil, nil),
			step("b", "repair", []string{"after"}, nil), step("a", "after", nil, nil)}}
		b := newBench(t, top)
		b.plan(plan.Input{Scale: map[string]int{"a": 3}})
		if out := b.run(nil); out.Status != engine.Done {
			t.Fatalf("%+v", out.Failure)
		}
		b.d.do["a[1].check"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			return driver.Result{}, errors.New("broken")
		}
		b.d.log = nil
		b.plan(plan.Input{Workflow: "w"})
		b.job.Task = "w"
		out := b.run(nil)
		want := []string{"a[0].after", "a[0].check", "a[0].fine", "a[0].more", "a[1].after", "a[1].check", "a[2].after", "a[2].check", "a[2].fine", "a[2].more", "b[0].repair"}
		if got := slices.Sorted(slices.Values(b.d.log)); out.Status != engine.Done || !slices.Equal(got, want) {
			t.Errorf("%+v, done %v, want %v", out, got, want)
		}
	})
}
