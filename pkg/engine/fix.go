package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
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
		change := settle
		if status == Pending {
			change = reopen
		}
		if err := change(tx, dep, t.ID, s); err != nil {
			return err
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

// settle writes the act into the journal of the step's instance as if it had succeeded: later tasks do not do it either.
func settle(tx state.Tx, dep, task string, s *plan.Step) error {
	in, ok, err := state.Find[Instance](tx, instanceKey(dep, s.Of()))
	if err != nil || !ok || !s.Acts() {
		return err
	}
	e, begun := in.Journal[s.Key()]
	if !begun {
		e = plan.Entry{Task: task, Digest: s.Digest, Parts: s.Parts}
		if e.Host, err = generationOf(tx, dep, s.Host); err != nil {
			return err
		}
		if s.PerPair() {
			if e.Peer, err = generationOf(tx, dep, topology.Instance{Node: s.Target, Index: s.TargetInstance}.String()); err != nil {
				return err
			}
		}
	}
	e.Status, e.At = plan.Done, time.Now().UTC()
	in.Begin(s.Key(), e)
	if s.StateAfter != "" && s.StateOf() == s.Of() && in.State != s.StateAfter {
		in.State, in.Updated = s.StateAfter, e.At
		ev := event.Event{Time: e.At, Type: event.InstanceState, Status: in.State, Task: task, Node: s.Node, Instance: s.Instance}
		if _, err := state.AppendTx(tx, dep, ev); err != nil {
			return err
		}
	}
	return state.Put(tx, instanceKey(dep, s.Of()), in)
}

func generationOf(tx state.Tx, dep, instance string) (string, error) {
	of, ok := plan.ParseInstance(instance)
	if !ok {
		return "", nil
	}
	rec, _, err := state.Find[Instance](tx, instanceKey(dep, of))
	return rec.Generation, err
}

// reopen makes the journal of the step's instance forget that the act has succeeded.
func reopen(tx state.Tx, dep, _ string, s *plan.Step) error {
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

// BegunTx records of instances that exist, although no task is known to have made them, that their creation was begun: the next installation
// goes on with it, and an uninstallation removes them. Of those whose creation is on record already nothing changes. The events tell of the
// others.
func BegunTx(tx state.Tx, dep string, ins []topology.Instance, revision int) (events []event.Event, err error) {
	for _, in := range ins {
		rec, found, err := state.Find[Instance](tx, instanceKey(dep, in))
		if err != nil {
			return nil, err
		}
		create := string(driver.Create)
		if _, known := rec.Journal[create]; known {
			continue
		}
		at := time.Now().UTC()
		if !found {
			rec = Instance{Recorded: plan.Recorded{Generation: newGeneration(at.String(), in), Created: at}, Revision: revision}
		}
		rec.Begin(create, plan.Entry{Status: plan.Doing, At: at})
		rec.State, rec.Updated = "creating", at
		if err := state.Put(tx, instanceKey(dep, in), rec); err != nil {
			return nil, err
		}
		events = append(events, event.Event{Time: at, Type: event.InstanceState, Status: rec.State, Node: in.Node, Instance: in.Index})
	}
	return events, nil
}

// MarkTx changes the recorded state of an instance that no task works on, if it is still the one that was seen, in the state from; false if not.
// Whoever calls it holds the deployment.
func MarkTx(tx state.Tx, dep string, in topology.Instance, generation, from, to string) (bool, error) {
	rec, found, err := state.Find[Instance](tx, instanceKey(dep, in))
	if err != nil || !found || rec.Generation != generation || rec.State != from {
		return false, err
	}
	rec.State, rec.Updated = to, time.Now().UTC()
	if err := state.Put(tx, instanceKey(dep, in), rec); err != nil {
		return false, err
	}
	_, err = state.AppendTx(tx, dep, event.Event{Time: rec.Updated, Type: event.InstanceState, Status: to, Node: in.Node, Instance: in.Index})
	return true, err
}
