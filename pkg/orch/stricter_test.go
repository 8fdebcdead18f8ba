package orch_test

import (
	"context"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// A later orch may find mistakes in a document that an older one has deployed. Those of its workflows and policies hinder nobody: the deployment can be
// updated, worked with and removed. Others say of which revision they are.
func TestAStoredRevisionWithMistakesFoundLater(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "a", "b >a")
	path := "topology_template.workflows.w.steps.s"
	f.opts.Load = func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
		top, list := nodesLoader(ctx, b)
		if !strings.Contains(top.Digest, "c") {
			list.Errorf("unknown-delegate", diag.Pos{File: "app", Line: 1}, "a node cannot be delegated to %q", "foo").Path = path
		}
		return top, list
	}
	f.restart(t)
	if task := finish(t, f, ask(t, f, work("a")).ID); task.Status != "done" {
		t.Errorf("an operation: %+v %+v", task, task.Failure)
	}
	if _, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Source: nodes("a", "b >a", "d")}); len(diagnosticsOf(err)) != 1 {
		t.Errorf("a new document with the mistake: %v", err)
	}
	if task := f.apply(t, orch.Request{Source: nodes("a", "b >a", "c")}); task.Status != "done" {
		t.Errorf("a corrected document: %+v %+v", task, task.Failure)
	}
	if task := f.apply(t, orch.Request{Source: nodes("a", "b >a", "c")}); task.Changed {
		t.Errorf("what was there already was made anew: %+v", task)
	}
	f.restart(t)
	path = "topology_template.node_templates.a.type"
	f.opts.Load = func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
		top, list := nodesLoader(ctx, b)
		list.Errorf("unknown-type", diag.Pos{File: "app", Line: 1}, "unknown type").Path = path
		return top, list
	}
	f.restart(t)
	_, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Verb: orch.Undeploy})
	if len(diagnosticsOf(err)) != 1 || !strings.Contains(err.Error(), "the stored topology (revision 2) cannot be loaded any more") {
		t.Errorf("a mistake elsewhere: %v", err)
	}
}
