package plan_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// A rollback stops what has failed to start, removes what was not finished, and leaves everything else as it is.
func TestRollbackOfCloudify(t *testing.T) {
	top := cloudify(t, application)
	inputs := map[string]any{"port": int64(80)}
	web, db := topology.Instance{Node: "web", Index: "0"}, topology.Instance{Node: "db", Index: "0"}
	// until plays an installation up to the steps of these names, which fail.
	until := func(failing ...string) map[topology.Instance]*plan.Recorded {
		p := build(t, plan.Input{Topology: top, Inputs: inputs})
		lost := map[string]bool{}
		var rec map[topology.Instance]*plan.Recorded
		for _, s := range p.Steps {
			switch {
			case slices.ContainsFunc(s.Needs, func(n string) bool { return lost[n] }):
				lost[s.ID] = true
			case slices.Contains(failing, s.ID):
				lost[s.ID] = true
				if rec[s.Of()] == nil {
					rec = done(rec, &plan.Step{ID: s.Of().String() + ".initial", Kind: plan.SetState, Node: s.Node, Instance: s.Instance, StateAfter: "initial"})
				}
				rec[s.Of()].Begin(s.Key(), plan.Entry{Status: plan.Failed, Digest: s.Digest})
				rec[s.Of()].State = plan.StateError
			default:
				rec = done(rec, s)
			}
		}
		return rec
	}
	for name, c := range map[string]struct {
		rec    map[topology.Instance]*plan.Recorded
		chosen []topology.Instance
		want   string
	}{
		"nothing has failed":      {rec: until(), want: ""},
		"a start has failed":      {rec: until("web[0].start"), want: "web[0].stop"},
		"an establish has failed": {rec: until("web[0].connected_to[0].establish"), want: "web[0].stop"},
		"a creation has failed":   {rec: until("web[0].create", "db[0].create"), want: "db[0].forget"},
		"another one was chosen":  {rec: until("web[0].start"), chosen: []topology.Instance{db}, want: ""},
		"a page was not finished": {rec: until("page[0].create"), want: "page[0].delete page[0].forget"},
		"only the web was chosen": {rec: until("web[0].start"), chosen: []topology.Instance{web}, want: "web[0].stop"},
		"it stopped being stopped": {rec: func() map[topology.Instance]*plan.Recorded {
			r := until("web[0].start")
			r[web].Begin("stop", plan.Entry{Status: plan.Failed})
			return r
		}(), want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := build(t, plan.Input{Workflow: plan.Rollback, Topology: top, Inputs: inputs, Recorded: c.rec, Instances: c.chosen})
			var got []string
			for _, s := range p.Steps {
				if s.Acts() || s.Kind == plan.Forget {
					got = append(got, s.ID)
				}
				if s.Kind == plan.Op && !s.IgnoreFailure {
					t.Errorf("a failure of %s would stop it", s.ID)
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
			rec := done(c.rec, p.Steps...)
			if again := build(t, plan.Input{Workflow: plan.Rollback, Topology: top, Inputs: inputs, Recorded: rec, Instances: c.chosen}); len(again.Steps) != 0 {
				t.Errorf("a second one does %s", again.Steps[0].ID)
			}
			if c.want == "web[0].stop" && rec[web].State != "configured" {
				t.Errorf("web is %s", rec[web].State)
			}
		})
	}
}

// Other dialects have no such workflow.
func TestRollbackElsewhere(t *testing.T) {
	top := cloudify(t, application)
	top.Order = topology.CreateInParallel
	if _, list := plan.Build(plan.Input{Workflow: plan.Rollback, Topology: top, Inputs: map[string]any{"port": int64(80)}}); !list.HasErrors() {
		t.Error("it was planned")
	}
}
