package a4c

import (
	"testing"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
)

// A step that is done on some instances, and not on others, runs only while something is left to do.
func TestStatusOfStepOnSeveralInstances(t *testing.T) {
	for _, c := range []struct {
		second, cause, want string
	}{
		{"done", "", "DONE"},
		{"pending", "", "RUNNING"},
		{"doing", "", "RUNNING"},
		{"failed", "", "ERROR"},
		{"skipped", "skipped because web[1].create failed", "INITIAL"},
		{"skipped", "left out by the filter of pick", "DONE"},
		{"skipped", "", "DONE"},
	} {
		g := group([]orch.StepStatus{
			{Step: &plan.Step{ID: "web[0].start", Node: "web", Instance: "0", WorkflowStep: "start"}, Status: "done"},
			{Step: &plan.Step{ID: "web[1].start", Node: "web", Instance: "1", WorkflowStep: "start"}, Status: c.second, Error: c.cause},
		})
		if got := g.status("start"); got != c.want {
			t.Errorf("%s (%s): %s, want %s", c.second, c.cause, got, c.want)
		}
	}
}
