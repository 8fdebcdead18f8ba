package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
)

// Fix rewrites what is recorded of a step of a task that has ended: Done counts as done when the task is resumed, Pending is done again
// even if it was done before. The store must be fenced by the deployment's lease.
func Fix(ctx context.Context, store state.Store, t Task, s *plan.Step, status Status) error {
	dep, task := t.Deployment, t.ID
	if status != Done && status != Pending {
		return fmt.Errorf("cannot fix step %s: it can be made done or pending, not %s", s.ID, status)
	}
	past, next, err := journal(ctx, store, dep, task)
	if err != nil {
		return err
	}
	tr := Transition{Step: s.ID, Status: status, At: time.Now().UTC()}
	for _, p := range past {
		if p.Step == s.ID {
			tr.Attempt = p.Attempt
		}
	}
	return store.Update(ctx, func(tx state.Tx) error {
		if status == Pending {
			if err := reopen(tx, dep, s); err != nil {
				return err
			}
		}
		if err := state.Put(tx, journalPrefix(dep, task)+state.Num(next), []Transition{tr}); err != nil {
			return err
		}
		_, err := state.AppendTx(tx, dep, event.Event{Time: tr.At, Type: event.StepStatus, Task: task, Workflow: t.Workflow, Status: string(status), Step: s.ID,
			WorkflowStep: s.WorkflowStep, Node: s.Node, Instance: s.Instance, Relationship: s.Relationship, Target: s.Target,
			Interface: s.Interface, Operation: s.Operation})
		return err
	})
}

// reopen makes the journal of the step's instance forget that the act has succeeded.
func reopen(tx state.Tx, dep string, s *plan.Step) error {
	in, ok, err := state.Find[Instance](tx, instanceKey(dep, s.Of()))
	if err != nil || !ok {
		return err
	}
	e, ok := in.Journal[s.Key()]
	if !ok {
		return nil
	}
	e.Status = plan.Failed
	in.Journal[s.Key()] = e
	return state.Put(tx, instanceKey(dep, s.Of()), in)
}
