package engine_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// Drivers are told that a deployment is undeployed only if nothing of it stays: an uninstallation may be of a part.
func TestUninstallingAPartIsNoUndeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for node, want := range map[string]bool{"b": false, "": true} {
			top := chain("a", "b")
			undeploys := map[string]bool{}
			for _, n := range top.Nodes {
				std := n.Interfaces[0]
				std.Operations = append(std.Operations, &topology.Operation{Interface: "Standard", Name: "delete", Retries: -1, Implementation: &topology.Artifact{File: "delete.sh"}})
			}
			b := newBench(t, top)
			for _, n := range []string{"a", "b"} {
				b.d.do[n+"[0].delete"] = func(_ context.Context, req *driver.Request, _ int) (driver.Result, error) {
					undeploys[n] = req.Undeploy
					return driver.Result{}, nil
				}
			}
			b.plan(plan.Input{})
			b.run(nil)
			in := plan.Input{Workflow: plan.Uninstall}
			if node != "" {
				in.Instances = []topology.Instance{{Node: node, Index: "0"}}
			}
			b.plan(in)
			b.job.Task = "down"
			b.run(nil)
			if got, ran := undeploys["b"]; !ran || got != want {
				t.Errorf("of %q: undeployment %v", node, undeploys)
			}
		}
	})
}
