package orch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/state"
)

// running is a task of this process.
type running struct {
	task     string
	asked    Task // as it was when it began
	commands chan engine.Command
	done     chan struct{}
}

// command passes a command on. A task that has many of them before it needs no more.
func (r *running) command(c engine.Command) {
	select {
	case r.commands <- c:
	default:
	}
}

// noTime is the end of what has not ended.
var noTime time.Time

// start runs a stored task in the background, as a user of the holding until its end.
func (l *Local) start(h *holding, d record, t engine.Task, job engine.Job) (Task, error) {
	r := &running{task: t.ID, asked: l.task(t), commands: make(chan engine.Command, 8), done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return Task{}, &Error{Kind: KindConflict, Msg: ErrClosing.Error()}
	}
	h.tasks[t.ID] = r
	h.users++
	l.tasks.Add(1)
	l.mu.Unlock()
	go func() {
		defer l.tasks.Done()
		defer close(r.done)
		defer l.letGo(h)
		l.run(h, d.Location, t, job, r)
		l.mu.Lock()
		delete(h.tasks, t.ID)
		h.ends++
		l.mu.Unlock()
		l.next(h)
	}()
	return l.task(t), nil
}

// next looks at the queue after the end of a task, if there is one.
func (l *Local) next(h *holding) {
	entries, err := l.queue(l.life, h.name)
	if err != nil || len(entries) == 0 || !l.use(h) {
		return
	}
	l.tasks.Add(1)
	go func() {
		defer l.tasks.Done()
		defer l.letGo(h)
		l.dispatch(l.life, h)
	}()
}

// run is the life of a task in this process.
func (l *Local) run(h *holding, location string, t engine.Task, job engine.Job, r *running) {
	ctx, cancel := h.lease.Context(usedByTask(withLocation(l.life, location), t))
	defer cancel()
	t.Status = engine.Running
	if t.Started.IsZero() {
		t.Started = now()
	}
	t.Handled = engine.Resumed(t, job.Skip)
	t.Ended, t.Failure = time.Time{}, nil
	l.abandoned.set(t.ID, nil)
	err := l.write(ctx, h.lease, t, nil)
	var out *engine.Outcome
	if err == nil {
		out, err = l.engine.Run(ctx, h.lease, job, r.commands)
	}
	if err != nil {
		// The task stays as it is: whoever takes the lease next goes on with it.
		l.log.Warn("a task was left", "deployment", h.name, "task", t.ID, "error", err)
		l.abandoned.set(t.ID, err)
		t.Status = engine.Pending
		l.observe(t)
		return
	}
	if out.Status == engine.Done {
		l.results(ctx, &t, job)
	}
	l.mu.Lock()
	h.ends++ // its end is told before this process has let go of it: see over
	l.mu.Unlock()
	if err := l.end(ctx, h, t, out); err != nil {
		l.log.Error("the end of a task could not be stored", "deployment", h.name, "task", t.ID, "error", err)
	}
}

// observe tells Options.Observe of a task's present status; pending is one that this process has left.
func (l *Local) observe(t engine.Task) {
	if l.opts.Observe != nil {
		l.opts.Observe(engine.Observation{Deployment: t.Deployment, Task: t.ID, Verb: t.Verb, Workflow: t.Workflow, Status: t.Status, At: time.Now()})
	}
}

// end records how a task has ended and what that means for the deployment.
func (l *Local) end(ctx context.Context, h *holding, t engine.Task, out *engine.Outcome) error {
	t.Status, t.Failure, t.Progress, t.Ended = out.Status, out.Failure, out.Progress, now()
	t.Handled = out.HandledBy(t.Handled)
	switch {
	case t.Verb == string(Undo):
		return l.undone(ctx, h, t)
	case t.Status == engine.Failed:
		return l.failed(ctx, h, t)
	}
	if t.Verb == string(Undeploy) && t.Status == engine.Done {
		return l.undeployed(ctx, h, t)
	}
	whole := t.Status == engine.Done && t.Limited && l.asWanted(ctx, h.name)
	others := l.alsoDeploying(ctx, h, t)
	if err := l.write(ctx, h.lease, t, func(d *record) { d.ended(t, others, whole) }); err != nil {
		return err
	}
	if t.Verb == string(Deploy) && t.Status == engine.Done {
		l.prune(ctx, h)
	}
	return nil
}

// ended is what the end of a task means for its deployment. others: another task that deploys still runs. whole: everything is as wanted.
func (d *record) ended(t engine.Task, others, whole bool) {
	deploys := t.Verb == string(Deploy) || t.Verb == string(Undeploy) || t.Verb == string(Undo)
	switch {
	case t.Status == engine.Failed || t.Status == engine.Paused:
		d.Cause = cause(t.Failure)
		if deploys {
			d.Status = StatusFailed
		}
		if deploys && t.Status == engine.Paused {
			d.Status = StatusPaused
		}
	case t.Status == engine.Cancelled:
		d.Cause = "cancelled"
		if deploys {
			d.Status = StatusCancelled
		}
	case t.Verb != string(Deploy):
		if d.Status != StatusFailed && d.Status != StatusCancelled {
			d.Cause = ""
		}
	case !t.Limited || whole || d.Status == StatusUpdating && !others:
		d.Status, d.Cause, d.Applied = StatusDeployed, "", t.Revision
	}
}

// alsoDeploying reports whether another task that changes the deployment's status still runs.
func (l *Local) alsoDeploying(ctx context.Context, h *holding, self engine.Task) bool {
	for id := range l.works(h) {
		if id == self.ID {
			continue
		}
		if t, err := engine.LoadTask(ctx, l.store, h.name, id); err == nil && (t.Verb == string(Deploy) || t.Verb == string(Undo)) && t.Status.Works() {
			return true
		}
	}
	return false
}

// asWanted reports whether nothing of a deployment is missing or different from what is wanted.
func (l *Local) asWanted(ctx context.Context, name string) bool {
	p, err := l.prepare(ctx, Request{Verb: Deploy, Deployment: name, SkipPreflight: true})
	return err == nil && p.plan != nil && len(p.plan.Steps) == 0
}

// undeployed ends an undeployment with the proof that nothing is left.
func (l *Local) undeployed(ctx context.Context, h *holding, t engine.Task) error {
	d, err := loadDeployment(ctx, l.store, h.name)
	if err != nil {
		return err
	}
	l.prove(ctx, h.lease, &d, &t)
	t.Ended = now()
	if d.Status == StatusUndeployed {
		l.forgetSecrets(ctx, plugin.SecretRef(d.Name, "", "", "")+"/")
	}
	if t.Purge && d.Status == StatusUndeployed {
		return l.purge(ctx, h, d, t)
	}
	return l.write(ctx, h.lease, t, func(now *record) { now.Status, now.Cause = d.Status, d.Cause })
}

func cause(f *engine.Failure) string {
	if f == nil {
		return ""
	}
	return f.Step + ": " + f.Message
}

// prove ends an undeployment: nothing of it may exist any more, on record or in the cloud.
func (l *Local) prove(ctx context.Context, lease *state.Lease, d *record, t *engine.Task) {
	d.Status = StatusUndeployed
	if l.opts.Inventory == nil || !d.Infra {
		return
	}
	left, checked, err := l.inventory(ctx, lease, d, t)
	t.Left, t.Checked = left, checked
	switch {
	case err != nil:
		t.Status, d.Status = engine.Failed, StatusFailed
		t.Failure = &engine.Failure{Step: "inventory", Message: "cannot prove that nothing is left: " + l.opts.Redactor.String(err.Error()), Infra: true,
			Hint: "undeploy again when the cloud answers"}
	case len(left) > 0:
		t.Status, d.Status = engine.Failed, StatusFailed
		t.Failure = &engine.Failure{Step: "inventory", Infra: true, Message: fmt.Sprintf("%d resources are left in the cloud", len(left)), Stderr: left,
			Hint: "undeploy again, or look at them with orch sweep"}
	}
	if t.Failure != nil {
		d.Cause = cause(t.Failure)
	}
}

// write stores a task with what it means for its deployment, and the events that tell of both.
func (l *Local) write(ctx context.Context, lease *state.Lease, t engine.Task, change func(*record)) error {
	err := state.Fenced(l.store, lease).Update(ctx, func(tx state.Tx) error {
		d, _, err := state.Get[record](tx, deploymentKey(t.Deployment))
		if err != nil {
			return err
		}
		if change != nil {
			change(&d)
			d.Updated = now()
			if err := state.Put(tx, deploymentKey(d.Name), d); err != nil {
				return err
			}
		}
		if err := engine.PutTaskTx(tx, t); err != nil {
			return err
		}
		_, err = state.AppendTx(tx, d.Name, statusEvents(d, t)...)
		return err
	})
	if err == nil {
		l.observe(t)
	}
	return err
}

// purge forgets an undeployed deployment altogether, but not the requests that wait for that. A watcher sees its last events before it goes; who
// comes too late for that finds them and one that says that it is purged, until the name is used again (begun) or PrunePurged drops them.
// From the first transaction on no request can be queued, so that what is forgotten is what was looked at. If the process dies before the last
// one, whoever finds the record goes on.
func (l *Local) purge(ctx context.Context, h *holding, d record, t engine.Task) error {
	h.admit.Lock()
	defer h.admit.Unlock()
	if err := l.write(ctx, h.lease, t, func(now *record) { now.Status, now.Cause, now.Purging = d.Status, d.Cause, true }); err != nil {
		return err
	}
	return l.forget(ctx, h)
}

// forget everything of a deployment that is being purged, but what waits. h.admit is held.
func (l *Local) forget(ctx context.Context, h *holding) error {
	name := h.name
	waiting, err := l.queue(ctx, name)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, q := range waiting {
		keep[q.Bundle] = true
	}
	store := state.Fenced(l.store, h.lease)
	blobs := state.NewBlobs(store)
	for _, prefix := range []string{state.Prefix("bundle", name), state.Prefix("plan", name)} {
		infos, err := blobs.List(ctx, prefix)
		if err != nil {
			return err
		}
		for _, b := range infos {
			if keep[b.Key] {
				continue
			}
			if err := blobs.Delete(ctx, b.Key); err != nil {
				return err
			}
		}
	}
	return store.Update(ctx, func(tx state.Tx) error {
		var waiting []queued
		var tasks []engine.Task
		for r, err := range state.List[queued](tx, queuePrefix(name)) {
			if err != nil {
				return err
			}
			t, _, err := engine.FindTaskTx(tx, name, r.Value.Task)
			if err != nil {
				return err
			}
			waiting, tasks = append(waiting, r.Value), append(tasks, t)
		}
		if err := errors.Join(engine.ForgetTx(tx, name), tx.Delete(deploymentKey(name)), tx.Delete(askKey(name)), state.EndEventsTx(tx, name, purgedEvent())); err != nil {
			return err
		}
		if len(waiting) > 0 {
			if err := state.Put(tx, waitingKey(name), struct{}{}); err != nil {
				return err
			}
		}
		for i, q := range waiting {
			if err := errors.Join(putQueuedTx(tx, name, q), engine.PutTaskTx(tx, tasks[i])); err != nil {
				return err
			}
		}
		return nil
	})
}
