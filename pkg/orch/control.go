package orch

import (
	"context"
	"errors"
	"fmt"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
)

// Control implements Service. Cancel and force reach the process that runs the task wherever it is; resume, retry and skip run an ended
// or orphaned task on in this process.
func (l *Local) Control(ctx context.Context, c Control) error {
	t, err := l.findTask(ctx, c.Deployment, c.Task)
	if err != nil {
		return err
	}
	switch c.Verb {
	case "cancel", "force", "detach":
		return l.command(ctx, t, c.Verb)
	case "resume", "retry", "skip":
		return l.resume(ctx, t, c)
	case "settle", "reopen":
		return l.fix(ctx, t, c)
	}
	return &Error{Kind: KindUser, Msg: fmt.Sprintf("a task cannot be asked to %q", c.Verb), Hint: "cancel, force, resume, retry, skip, settle or reopen"}
}

// findTask returns a task, the latest if id is "".
func (l *Local) findTask(ctx context.Context, deployment, id string) (engine.Task, error) {
	d, err := loadDeployment(ctx, l.store, deployment)
	if err != nil {
		return engine.Task{}, err
	}
	if id == "" {
		id = d.Task
	}
	t, err := engine.LoadTask(ctx, l.store, deployment, id)
	if errors.Is(err, state.ErrNotFound) {
		return t, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no task %q", deployment, id), Hint: "orch status shows its tasks", Err: ErrNotFound}
	}
	return t, storeError(err)
}

func (l *Local) command(ctx context.Context, t engine.Task, verb string) error {
	if t.Status.Ended() {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s has ended already (%s)", t.ID, t.Status)}
	}
	l.mu.Lock()
	r := l.running[t.Deployment]
	l.mu.Unlock()
	if r != nil && r.task == t.ID {
		select {
		case r.commands <- engine.Command(verb):
		case <-r.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return nil
	}
	holders, err := l.store.Holders(ctx, leaseKey(t.Deployment))
	if err != nil {
		return storeError(err)
	}
	if len(holders) == 0 {
		return l.cancelOrphan(ctx, t)
	}
	err = l.store.Update(ctx, func(tx state.Tx) error {
		return state.Put(tx, controlKey(t.Deployment), controlRecord{Task: t.ID, Verb: verb, At: now()})
	})
	return storeError(err)
}

// cancelOrphan ends a task whose process has died: nothing runs that could be waited for. What was being done stays so in the journals
// of the instances, and is observed by whatever comes next.
func (l *Local) cancelOrphan(ctx context.Context, t engine.Task) error {
	lease, err := l.lease(ctx, t.Deployment)
	if err != nil {
		return asHeld(t.Deployment, err)
	}
	defer l.release(lease)
	d, err := loadDeployment(ctx, l.store, t.Deployment)
	if err != nil {
		return err
	}
	t.Status, t.Ended = engine.Cancelled, now()
	if t.Verb == string(Deploy) || t.Verb == string(Undeploy) {
		d.Status = StatusCancelled
	}
	d.Cause, d.Updated = "cancelled", now()
	return storeError(l.write(ctx, lease, d, t))
}

func asHeld(name string, err error) error {
	var held *state.HeldError
	if errors.As(err, &held) {
		return heldError(name, held)
	}
	return err
}

// resume runs a task on: failed and cancelled steps again, interrupted ones under their old operation ids, done ones not.
func (l *Local) resume(ctx context.Context, t engine.Task, c Control) error {
	if t.Status == engine.Done {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s is done: there is nothing to go on with", t.ID)}
	}
	lease, err := l.leaseAfterTask(ctx, t.Deployment)
	if err != nil {
		return asHeld(t.Deployment, err)
	}
	if err := l.resumeHeld(ctx, lease, t, c); err != nil {
		l.release(lease)
		return err
	}
	return nil
}

func (l *Local) resumeHeld(ctx context.Context, lease *state.Lease, t engine.Task, c Control) error {
	d, err := loadDeployment(ctx, l.store, t.Deployment)
	if err != nil {
		return err
	}
	if d.Task != t.ID {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s is not the latest of %s", t.ID, t.Deployment),
			Hint: "deploy or undeploy again: what is done is not repeated"}
	}
	job, err := l.jobOf(ctx, d, t)
	if err != nil {
		return err
	}
	if c.Step != "" && !hasStep(job.Plan, c.Step) {
		return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("task %s has no step %q", t.ID, c.Step), Hint: "orch status shows the steps", Err: ErrNotFound}
	}
	if c.Verb == "skip" {
		job.Skip = map[string]bool{c.Step: true}
	}
	switch Verb(t.Verb) {
	case Undeploy:
		d.Status = StatusUndeploying
	case Deploy:
		d.Status = StatusDeploying
		if d.Applied > 0 {
			d.Status = StatusUpdating
		}
	}
	d.Updated, d.Cause = now(), ""
	// The command that stopped it is not meant for what comes now.
	if err := state.Fenced(l.store, lease).Update(ctx, func(tx state.Tx) error { return tx.Delete(controlKey(d.Name)) }); err != nil {
		return storeError(err)
	}
	_, err = l.start(lease, d, t, job)
	return err
}

func hasStep(p *plan.Plan, id string) bool {
	for _, s := range p.Steps {
		if s.ID == id {
			return true
		}
	}
	return false
}

// jobOf loads from the store what a task needs.
func (l *Local) jobOf(ctx context.Context, d record, t engine.Task) (engine.Job, error) {
	job := engine.Job{Deployment: d.Name, Task: t.ID, Revision: t.Revision, Parallel: t.Parallel}
	var err error
	if job.Plan, err = engine.LoadPlan(ctx, l.store, d.Name, t.ID); err != nil {
		return job, storeError(err)
	}
	rev, err := l.revision(ctx, d.Name, t.Revision)
	if err != nil {
		return job, err
	}
	if job.Topology, job.Inputs, err = l.restore(ctx, rev); err != nil {
		return job, err
	}
	job.Previous, job.PreviousInputs = job.Topology, job.Inputs
	snap, err := engine.Load(ctx, l.store, d.Name)
	if err != nil {
		return job, storeError(err)
	}
	if job.Older, err = l.olderVersions(ctx, d.Name, snap, t.Revision); err != nil {
		return job, err
	}
	if job.WorkflowInputs, err = engine.DecodeMap(t.Inputs, l.opts.Cipher); err != nil {
		return job, &Error{Kind: KindStore, Msg: "the stored inputs cannot be read", Err: err}
	}
	return job, nil
}
