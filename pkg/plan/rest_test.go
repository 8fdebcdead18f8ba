package plan_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// What fails of one new instance keeps no other from being made and connected, in any dialect, whichever end is scaled out.
func TestScaleOutFailsForOneInstanceOnly(t *testing.T) {
	names, _ := filepath.Glob("testdata/dialects/*.txtar")
	tried := map[string]bool{}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var docs []txtar.File
		for _, f := range a.Files {
			if !strings.HasPrefix(f.Name, "plan/") {
				docs = append(docs, f)
			}
		}
		top := load(t, docs)
		for _, n := range top.Nodes {
			n.Capabilities = slices.DeleteFunc(n.Capabilities, func(c *topology.Capability) bool { return c.Type.Is("tosca.capabilities.Scalable") }) // its limits
			if top.ScaleRoot(n) == n && len(scaleOf(t, string(a.Comment))) > 0 {
				connects := failsForOneOnly(t, filepath.Base(name)+" "+n.Name, top, n.Name, 1)
				tried[filepath.Base(name)] = tried[filepath.Base(name)] || connects
			}
		}
	}
	tried["balanced"] = failsForOneOnly(t, "balanced", balanced().Topology, "vm", 2)
	for name, at := range tried {
		if !at {
			t.Errorf("%s: the plan connects nothing to what exists", name)
		}
	}
}

// failsForOneOnly scales a node out by two, and lets every step of the second new one fail. It reports whether there are steps at existing instances.
func failsForOneOnly(t *testing.T, name string, top *topology.Topology, node string, from int) (connects bool) {
	rec := done(nil, build(t, plan.Input{Topology: top, Scale: map[string]int{node: from}}).Steps...)
	p := build(t, plan.Input{Topology: top, Recorded: rec, Scale: map[string]int{node: from + 2}})
	var added []string
	for _, s := range p.Steps {
		if s.Node == node && rec[s.Of()] == nil && !slices.Contains(added, s.Instance) {
			added = append(added, s.Instance)
		}
	}
	if len(added) != 2 {
		t.Fatalf("%s: new are %v", name, added)
	}
	bad := func(s *plan.Step) bool {
		return rec[s.Of()] == nil && belongs(s.Instance, added[1]) ||
			s.TargetInstance != "" && rec[topology.Instance{Node: s.Target, Index: s.TargetInstance}] == nil && belongs(s.TargetInstance, added[1])
	}
	for _, failed := range p.Steps {
		connects = connects || rec[failed.Of()] != nil
		if !bad(failed) {
			continue
		}
		blocked := map[string]bool{failed.ID: true}
		for _, s := range p.Steps {
			for _, need := range s.Needs {
				if blocked[need] && !slices.Contains(s.Tolerates, need) {
					blocked[s.ID] = true
				}
			}
			if blocked[s.ID] && !bad(s) {
				t.Errorf("%s: %s is not done because %s has failed", name, s.ID, failed.ID)
			}
		}
	}
	return connects
}

// belongs reports whether an index is that of a scaled instance or of something in it.
func belongs(index, of string) bool { return index == of || strings.HasPrefix(index, of+"-") }

// Order is kept all the same: what is connected to an existing instance is so when the other new ones have ended, however.
func TestConnectingWaitsForTheEndOfOthers(t *testing.T) {
	top := balanced()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	golden(t, build(t, plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 4}}), "scale_out_balanced")
}

// An existing instance that is not well keeps what depends on it from being connected to it.
func TestConnectingNeedsTheHost(t *testing.T) {
	top := balanced()
	rec := done(nil, build(t, plan.Input{Topology: top.Topology}).Steps...)
	e := rec[in("lbvm", "0")].Journal["create"]
	e.Status = plan.Failed
	rec[in("lbvm", "0")].Journal["create"] = e
	p := build(t, plan.Input{Topology: top.Topology, Recorded: rec, Scale: map[string]int{"vm": 3}})
	for _, s := range p.Steps {
		if s.Node == "lb" && s.Operation == "add_target" && !needs(p, s.ID, "lbvm[0].create") {
			t.Errorf("%s does not need lbvm[0].create", s.ID)
		}
	}
}

// needs reports whether a step must not be done when another has failed.
func needs(p *plan.Plan, id, other string) bool {
	blocked := map[string]bool{other: true}
	for _, s := range p.Steps {
		for _, need := range s.Needs {
			if blocked[need] && !slices.Contains(s.Tolerates, need) {
				blocked[s.ID] = true
			}
		}
	}
	return blocked[id]
}
