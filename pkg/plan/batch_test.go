package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// updated is a shop with four servers that is deployed already, and the same with another port of its web servers.
func updated(t *testing.T) (in plan.Input) {
	t.Helper()
	old, wanted := shop(), shop()
	for _, top := range []*topo{old, wanted} {
		top.NodeNamed("vm").Capabilities = nil
		scalable(top.NodeNamed("vm"), 4)
	}
	old.NodeNamed("web").Operation("Standard", "configure").Inputs.Set("PORT", topology.Lit(int64(80)))
	wanted.NodeNamed("web").Operation("Standard", "configure").Inputs.Set("PORT", topology.Lit(int64(8080)))
	rec := done(nil, build(t, plan.Input{Topology: old.Topology}).Steps...)
	return plan.Input{Topology: wanted.Topology, Previous: old.Topology, Recorded: rec}
}

func TestUpdateInBatches(t *testing.T) {
	in := updated(t)
	in.Batch = &plan.Batch{Size: 2}
	in.Gates = []plan.Gate{{Node: "web", Probe: "tcp:8080"}}
	golden(t, build(t, in), "batches")
	in.Replaced = map[topology.Instance]string{{Node: "vm", Index: "0"}: "", {Node: "vm", Index: "1"}: "", {Node: "vm", Index: "2"}: "", {Node: "vm", Index: "3"}: ""}
	in.Batch = &plan.Batch{Percent: 25}
	p := build(t, in)
	before := reaching(p)
	for k := range 3 {
		was, is := "web["+string(rune('0'+k))+"]", "web["+string(rune('1'+k))+"]"
		for _, s := range p.Steps {
			if s.Of().String() == is && s.Acts() && s.Relationship == "" && !slices.ContainsFunc(before[s.ID], func(id string) bool { return strings.HasPrefix(id, was+".health") }) {
				t.Errorf("%s does not wait for the gate of %s", s.ID, was)
			}
		}
	}
}

// reaching lists for every step what comes before it, however far.
func reaching(p *plan.Plan) map[string][]string {
	out := map[string][]string{}
	for _, s := range p.Steps {
		for _, n := range s.Needs {
			out[s.ID] = append(append(out[s.ID], n), out[n]...)
		}
	}
	return out
}

func TestBatchesHoldBackOnlyWhatExists(t *testing.T) {
	in := updated(t)
	in.Batch = &plan.Batch{Size: 1}
	in.Recorded = nil
	plain := build(t, plan.Input{Topology: in.Topology, Previous: in.Previous})
	if got := build(t, in); got.Digest != plain.Digest {
		t.Error("a first installation is done in batches")
	}
}
