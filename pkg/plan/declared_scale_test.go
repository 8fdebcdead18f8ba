package plan_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// written is a topology's own order of installing, written out as a workflow: a step for every operation and state, and a chain through all. So
// a document sent by Alien4Cloud has it.
func written(top *topology.Topology) *topology.Workflow {
	wf := &topology.Workflow{Name: "install"}
	add := func(n *topology.Node, rel string, acts ...topology.Activity) {
		st := wfStep(n.Name+"_"+rel+strconv.Itoa(len(wf.Steps)), n.Name, nil, acts...)
		st.Relationship = rel
		if k := len(wf.Steps) - 1; k >= 0 {
			wf.Steps[k].OnSuccess = []string{st.Name}
		}
		wf.Steps = append(wf.Steps, st)
	}
	calls := func(n *topology.Node, names ...string) {
		for _, r := range n.Relationships {
			for _, name := range names {
				for _, iface := range r.Interfaces {
					if slices.ContainsFunc(iface.Operations, func(op *topology.Operation) bool { return op.Name == name && op.Implementation != nil }) {
						add(n, r.Name, callOp(iface.Name, name))
					}
				}
			}
		}
	}
	for _, n := range targetsFirst(top) {
		if n.Native {
			add(n, "", delegate("install"))
			continue
		}
		add(n, "", setState("initial"), setState("creating"))
		add(n, "", callOp("Standard", "create"), setState("created"))
		calls(n, "pre_configure_source", "pre_configure_target", "preconfigure")
		add(n, "", callOp("Standard", "configure"))
		calls(n, "post_configure_source", "post_configure_target", "postconfigure")
		add(n, "", callOp("Standard", "start"))
		add(n, "", setState("started"))
		calls(n, "add_source", "add_target", "establish")
	}
	return wf
}

// targetsFirst orders nodes by what they need.
func targetsFirst(top *topology.Topology) (out []*topology.Node) {
	var visit func(n *topology.Node)
	visit = func(n *topology.Node) {
		if slices.Contains(out, n) {
			return
		}
		for _, r := range n.Relationships {
			if target := top.NodeNamed(r.Target); target != nil && target != n {
				visit(target)
			}
		}
		out = append(out, n)
	}
	for _, n := range top.Nodes {
		visit(n)
	}
	return out
}

// What fails of one new instance keeps no other from going on where the document says every step of the installation itself, in one chain.
func TestDeclaredScaleOutFailsForOneInstanceOnly(t *testing.T) {
	names, _ := filepath.Glob("testdata/dialects/*.txtar")
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		docs := slices.DeleteFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "plan/") })
		top := load(t, docs)
		if top.Order == topology.Cloudify {
			continue // has no workflows of steps
		}
		top.Workflows = map[string]*topology.Workflow{"install": written(top)}
		dialect := strings.TrimSuffix(filepath.Base(name), ".txtar")
		connects := false
		for _, n := range top.Nodes {
			n.Capabilities = slices.DeleteFunc(n.Capabilities, func(c *topology.Capability) bool { return c.Type.Is("tosca.capabilities.Scalable") })
			if top.ScaleRoot(n) != n {
				continue
			}
			for _, from := range []int{1, 2} {
				connects = failsForOneOnly(t, dialect+" "+n.Name, top, n.Name, from) || connects
			}
		}
		if !connects {
			t.Errorf("%s: the plan connects nothing to what exists", dialect)
		}
		scale := scaleOf(t, string(a.Comment))
		if len(scale) == 0 {
			continue
		}
		rec := done(nil, build(t, plan.Input{Topology: top}).Steps...)
		golden(t, build(t, plan.Input{Topology: top, Recorded: rec, Scale: scale}), "declared_scale_"+dialect)
	}
	top := balanced()
	top.Workflows["install"] = written(top.Topology)
	failsForOneOnly(t, "balanced", top.Topology, "vm", 2)
	top.Workflows["whole"] = top.Workflows["install"]
	top.Workflows["install"] = &topology.Workflow{Name: "install", Steps: []*topology.WorkflowStep{wfStep("all", "", nil, inline("whole"))}}
	failsForOneOnly(t, "inline", top.Topology, "vm", 2)
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 4}}), "declared_scale_balanced")
	top.Workflows["install"].Steps[0].Activities[0] = inline("deploy")
	delete(top.Workflows, "whole")
	failsForOneOnly(t, "inline deploy", top.Topology, "vm", 2)
}

// At the first installation a failure keeps back the same family, and what does not scale with it: that needs all instances.
func TestDeclaredInstallFailsForOneInstanceOnly(t *testing.T) {
	top := balanced()
	top.Workflows["install"] = written(top.Topology)
	p := build(t, plan.Input{Topology: top.Topology, Scale: map[string]int{"vm": 3}})
	for _, of := range []string{"web[1].create", "web[1].start"} {
		for id, want := range map[string]bool{"web[1].started": true, "lb[0].create": true, "lb[0].start": true, "web[0].started": false, "web[2].start": false} {
			if needs(p, id, of) != want {
				t.Errorf("%s needs %s: %v", id, of, !want)
			}
		}
	}
	if !needs(p, "web[0].create", "db[0].start") {
		t.Error("a step does not need what its node does not scale with")
	}
}
