package orch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/engine"
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
	case "resume", "retry", "skip", "rollback":
		return l.resume(ctx, t, c, false)
	case "settle", "reopen":
		return l.fix(ctx, t, c)
	}
	return &Error{Kind: KindUser, Msg: fmt.Sprintf("a task cannot be asked to %q", c.Verb), Hint: "cancel, force, resume, retry, skip, rollback, settle or reopen"}
}

// findTask returns a task. If id is "" it is the one that goes on or has stopped last: of those that have not ended the newest, or else the latest.
func (l *Local) findTask(ctx context.Context, deployment, id string) (engine.Task, error) {
	if id == "" {
		d, err := loadDeployment(ctx, l.store, deployment)
		if err != nil {
			return engine.Task{}, err
		}
		id = d.Task
	}
	t, err := engine.LoadTask(ctx, l.store, deployment, id)
	if errors.Is(err, state.ErrNotFound) {
		if _, err := loadDeployment(ctx, l.store, deployment); err != nil {
			return t, err
		}
		return t, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no task %q", deployment, id), Hint: "orch tasks shows its tasks", Err: ErrNotFound}
	}
	return t, storeError(err)
}

// command reaches the process that runs the task, wherever it is.
func (l *Local) command(ctx context.Context, t engine.Task, verb string) error {
	switch {
	case t.Status == engine.Queued:
		return l.cancelQueued(ctx, t)
	case t.Status.Ended():
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s has ended already (%s)", t.ID, t.Status)}
	}
	if r := l.runningTask(t.Deployment, t.ID); r != nil {
		r.command(engine.Command(verb))
		return nil
	}
	h, err := l.hold(ctx, t.Deployment)
	var held *state.HeldError
	switch {
	case errors.As(err, &held) && t.Status != engine.Paused:
		err = l.store.Update(ctx, func(tx state.Tx) error {
			return errors.Join(state.Put(tx, controlKey(t.Deployment, t.ID), controlRecord{Task: t.ID, Verb: verb, At: now()}), askTx(tx, t.Deployment))
		})
		return storeError(err)
	case err != nil:
		return asHeld(t.Deployment, err)
	}
	defer l.letGo(h)
	return l.cancelOrphan(ctx, h, t.ID)
}

// cancelOrphan ends a task that nobody works on: it is paused, or its process has died. Nothing runs that could be waited for; what was being done
// stays so in the journals of the instances, and is observed by whatever comes next.
func (l *Local) cancelOrphan(ctx context.Context, h *holding, id string) error {
	h.admit.Lock()
	defer h.admit.Unlock()
	t, err := engine.LoadTask(ctx, l.store, h.name, id)
	if err != nil {
		return storeError(err)
	}
	if r := l.runningTask(h.name, id); r != nil {
		r.command(engine.CommandCancel)
		return nil
	}
	if t.Status.Ended() {
		return nil
	}
	t = ended(t, engine.Cancelled)
	if err := l.write(ctx, h.lease, t, func(d *record) { d.ended(t, false, false) }); err != nil {
		return storeError(err)
	}
	l.next(h)
	return nil
}

// resume runs a task on: failed and cancelled steps again, interrupted ones under their old operation ids, done ones not. While it cannot, it
// waits in the queue. orphan: only if its process has died.
func (l *Local) resume(ctx context.Context, t engine.Task, c Control, orphan bool) error {
	if t.Status == engine.Done {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s is done: there is nothing to go on with", t.ID)}
	}
	h, err := l.hold(ctx, t.Deployment)
	var held *state.HeldError
	switch {
	case errors.As(err, &held) && (t.Status.Ended() || t.Status == engine.Paused):
		return l.leave(ctx, t, c, "the process that works on the deployment: "+held.Holder.String())
	case err != nil:
		return asHeld(t.Deployment, err)
	}
	defer l.letGo(h)
	h.admit.Lock()
	defer h.admit.Unlock()
	if t, err = engine.LoadTask(ctx, l.store, t.Deployment, t.ID); err != nil {
		return storeError(err)
	}
	switch {
	case orphan && (!t.Status.Works() || l.runningTask(t.Deployment, t.ID) != nil):
		return nil
	case l.runningTask(t.Deployment, t.ID) != nil:
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s runs", t.ID), Hint: "orch status " + t.Deployment + " shows what it does"}
	case t.Status == engine.Queued:
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s waits for %s", t.ID, t.Waits), Hint: "it begins by itself"}
	}
	return l.resumeHeld(ctx, h, t, c, false)
}

// leave puts a control of a stopped task into the queue, where it waits for the process that works on the deployment, or for other tasks.
func (l *Local) leave(ctx context.Context, t engine.Task, c Control, waits string) error {
	c, err := l.named(ctx, t, c)
	if err != nil {
		return err
	}
	q := queued{Task: t.ID, At: now(), Control: &c, Was: t.Status}
	t.Status, t.Waits = engine.Queued, waits
	if err := putQueue(ctx, l.store, t, q); err != nil {
		return err
	}
	l.tend(t.Deployment, t.ID)
	return nil
}

// named is the control with the step that it means: by its id, or by its instance where one step of that has failed.
func (l *Local) named(ctx context.Context, t engine.Task, c Control) (Control, error) {
	if c.Step == "" {
		return c, nil
	}
	steps, at, err := l.steps(ctx, t)
	if err != nil {
		return c, err
	}
	if _, known := at[c.Step]; known {
		return c, nil
	}
	var failed, meant []string
	for _, s := range steps {
		if s.Status == string(engine.Failed) {
			failed = append(failed, s.ID)
			if s.Of().String() == c.Step {
				meant = append(meant, s.ID)
			}
		}
	}
	switch len(meant) {
	case 0:
		e := &Error{Kind: KindNotFound, Msg: fmt.Sprintf("task %s has no step %q", t.ID, c.Step), Hint: "nothing of it has failed", Err: ErrNotFound}
		if len(failed) > 0 {
			e.Hint = "what has failed: " + strings.Join(failed, ", ")
		}
		return c, e
	case 1:
		c.Step = meant[0]
		return c, nil
	}
	return c, &Error{Kind: KindUser, Msg: fmt.Sprintf("%d steps of %s have failed", len(meant), c.Step), Hint: "name one: " + strings.Join(meant, ", ")}
}

// resumeHeld goes on with a task. waited: it comes out of the queue, and stays there if it has to wait on.
func (l *Local) resumeHeld(ctx context.Context, h *holding, t engine.Task, c Control, waited bool) error {
	if err := l.resumable(ctx, t, c); err != nil {
		return err
	}
	c, err := l.named(ctx, t, c)
	if err != nil {
		return err
	}
	waits, err := l.waits(ctx, h, t, false)
	switch {
	case err != nil:
		return err
	case waits != "" && waited:
		return nil
	case waits != "":
		return l.leave(ctx, t, c, waits)
	}
	if c.Verb == "rollback" {
		return l.undo(ctx, h, t)
	}
	d, err := loadDeployment(ctx, l.store, t.Deployment)
	if err != nil {
		return err
	}
	job, err := l.jobOf(ctx, d, t)
	if err != nil {
		return err
	}
	// A task that has not ended was left by a process that died: what that had decided about a failure stands.
	job.Again = !t.Status.Works() || c.Verb == "retry" || c.Verb == "skip"
	if c.Verb == "skip" {
		job.Skip = map[string]bool{c.Step: true}
	}
	t.Status, t.Waits = engine.Pending, ""
	err = state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) (err error) {
		if d, _, err = state.Get[record](tx, deploymentKey(t.Deployment)); err != nil {
			return err
		}
		d.resumed(t)
		// The command that stopped it is not meant for what comes now.
		if err := errors.Join(tx.Delete(controlKey(h.name, t.ID)), tx.Delete(queueKey(h.name, t.ID))); err != nil {
			return err
		}
		return errors.Join(state.Put(tx, deploymentKey(d.Name), d), engine.PutTaskTx(tx, t))
	})
	if err != nil {
		return storeError(err)
	}
	_, err = l.start(h, d, t, job)
	return err
}

// resumed is what going on with a task means for its deployment.
func (d *record) resumed(t engine.Task) {
	d.Updated, d.Task = now(), t.ID
	switch Verb(t.Verb) {
	case Undo:
		d.Status = StatusRollingBack
	case Undeploy:
		d.Status, d.Cause = StatusUndeploying, ""
	case Deploy:
		d.Status, d.Cause = StatusDeploying, ""
		if d.Applied > 0 {
			d.Status = StatusUpdating
		}
	}
}

// resumable reports what speaks against going on with a task: others have worked on the same since.
func (l *Local) resumable(ctx context.Context, t engine.Task, c Control) error {
	if c.Verb == "rollback" && t.Verb != string(Deploy) {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s (%s) cannot be rolled back", t.ID, t.Workflow), Hint: "only a deployment, an update or scaling can"}
	}
	tasks, err := engine.Tasks(ctx, l.store, t.Deployment)
	if err != nil {
		return storeError(err)
	}
	if t.Undo != "" {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s was rolled back by task %s", t.ID, t.Undo), Hint: "deploy again"}
	}
	for _, o := range tasks {
		if o.ID > t.ID && (!o.Started.IsZero() || o.Status.Works()) && (overlap(t, o) != "" || t.Request == "") {
			return &Error{Kind: KindConflict, Msg: fmt.Sprintf("%s has worked on the same since task %s", called(o), t.ID),
				Hint: "deploy or undeploy again: what is done is not repeated"}
		}
	}
	return nil
}

// jobOf loads from the store what a task needs.
func (l *Local) jobOf(ctx context.Context, d record, t engine.Task) (engine.Job, error) {
	job := engine.Job{Deployment: d.Name, Task: t.ID, Revision: t.Revision, Parallel: t.Parallel, Halt: halts(t)}
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
