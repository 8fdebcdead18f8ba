package engine

import (
	"time"

	"github.com/orch-project/orch/pkg/plan"
)

// Observation is a change of the status of a task, or of a step that acts, for metrics and traces. It holds no values and no messages.
type Observation struct {
	Deployment, Task string
	Verb, Workflow   string // of a task
	Step             string // "" for the task itself
	Node, Operation  string // of a step
	Driver           string // of a step
	Status           Status
	Attempt          int
	At               time.Time
}

// observe tells Options.Observe of a step's present status.
func (r *run) observe(st *step, at time.Time) {
	if r.e.opts.Observe == nil || st.Kind != plan.Op && st.Kind != plan.Infra {
		return
	}
	name := "none"
	if d := r.driver(st); d != nil {
		name = d.Name()
	}
	r.e.opts.Observe(Observation{Deployment: r.job.Deployment, Task: r.job.Task, Step: st.ID, Node: st.Node, Operation: st.operation(), Driver: name,
		Status: st.status, Attempt: st.attempt, At: at})
}
