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
	commands chan engine.Command
	done     chan struct{}
}

// start runs a stored task in the background, under its lease, which it gives back at the end.
func (l *Local) start(lease *state.Lease, d record, t engine.Task, job engine.Job) (Task, error) {
	r := &running{task: t.ID, commands: make(chan engine.Command, 8), done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return Task{}, &Error{Kind: KindConflict, Msg: ErrClosing.Error()}
	}
	l.running[d.Name] = r
	l.tasks.Add(1)
	l.mu.Unlock()
	go func() {
		defer l.tasks.Done()
		defer func() {
			l.release(lease)
			l.mu.Lock()
			if l.running[d.Name] == r {
				delete(l.running, d.Name)
			}
			l.mu.Unlock()
			close(r.done)
		}()
		l.run(lease, d, t, job, r)
	}()
	return l.task(t), nil
}

// run is the life of a task in this process.
func (l *Local) run(lease *state.Lease, d record, t engine.Task, job engine.Job, r *running) {
	ctx, cancel := lease.Context(usedByTask(withLocation(l.life, d.Location), t))
	defer cancel()
	t.Status = engine.Running
	if t.Started.IsZero() {
		t.Started = now()
	}
	t.Ended, t.Failure = time.Time{}, nil
	l.observe(t)
	err := l.write(ctx, lease, d, t)
	var out *engine.Outcome
	if err == nil {
		watching, stop := context.WithCancel(ctx)
		listening := make(chan struct{})
		go func() {
			defer close(listening)
			l.listen(watching, d.Name, t.ID, r.commands)
		}()
		out, err = l.engine.Run(ctx, lease, job, r.commands)
		stop()
		<-listening
	}
	if err != nil {
		// The task stays as it is: whoever takes the lease next goes on with it.
		l.log.Warn("a task was left", "deployment", d.Name, "task", t.ID, "error", err)
		t.Status = engine.Pending
		l.observe(t)
		return
	}
	if out.Status == engine.Done {
		l.results(ctx, &t, job)
	}
	if err := l.end(ctx, lease, d, t, out); err != nil {
		l.log.Error("the end of a task could not be stored", "deployment", d.Name, "task", t.ID, "error", err)
	}
}

// observe tells Options.Observe of a task's present status; pending is one that this process has left.
func (l *Local) observe(t engine.Task) {
	if l.opts.Observe != nil {
		l.opts.Observe(engine.Observation{Deployment: t.Deployment, Task: t.ID, Verb: t.Verb, Workflow: t.Workflow, Status: t.Status, At: time.Now()})
	}
}

// end records how a task has ended and what that means for the deployment.
func (l *Local) end(ctx context.Context, lease *state.Lease, d record, t engine.Task, out *engine.Outcome) error {
	t.Status, t.Failure, t.Progress = out.Status, out.Failure, out.Progress
	d.Cause = ""
	switch {
	case t.Status == engine.Failed:
		d.Cause = cause(out.Failure)
		if t.Verb == string(Deploy) || t.Verb == string(Undeploy) {
			d.Status = StatusFailed
		}
	case t.Status == engine.Cancelled:
		d.Cause = "cancelled"
		if t.Verb == string(Deploy) || t.Verb == string(Undeploy) {
			d.Status = StatusCancelled
		}
	case t.Verb == string(Deploy):
		d.Status, d.Applied = StatusDeployed, d.Revision
	case t.Verb == string(Undeploy):
		l.prove(ctx, &d, &t)
	}
	t.Ended, d.Updated = now(), now()
	l.observe(t)
	if d.Status == StatusUndeployed {
		l.forgetSecrets(ctx, plugin.SecretRef(d.Name, "", "", "")+"/")
	}
	if t.Purge && d.Status == StatusUndeployed {
		return l.purge(ctx, lease, d, t)
	}
	return l.write(ctx, lease, d, t)
}

func cause(f *engine.Failure) string {
	if f == nil {
		return ""
	}
	return f.Step + ": " + f.Message
}

// prove ends an undeployment: nothing of it may exist any more, on record or in the cloud.
func (l *Local) prove(ctx context.Context, d *record, t *engine.Task) {
	d.Status = StatusUndeployed
	if l.opts.Inventory == nil || !d.Infra {
		return
	}
	left, checked, err := []string(nil), []string(nil), error(nil)
	if p, ok := l.opts.Inventory.(Prover); ok {
		left, t.Kept, checked, err = p.Proof(ctx, d.Name, d.Location)
	} else {
		left, checked, err = l.opts.Inventory.Inventory(ctx, d.Name, d.Location)
	}
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

// write stores deployment and task with the events that tell of them.
func (l *Local) write(ctx context.Context, lease *state.Lease, d record, t engine.Task) error {
	return state.Fenced(l.store, lease).Update(ctx, func(tx state.Tx) error {
		if err := state.Put(tx, deploymentKey(d.Name), d); err != nil {
			return err
		}
		if err := engine.PutTaskTx(tx, t); err != nil {
			return err
		}
		_, err := state.AppendTx(tx, d.Name, statusEvents(d, t)...)
		return err
	})
}

// purge forgets an undeployed deployment altogether. A watcher sees its last event before it goes.
func (l *Local) purge(ctx context.Context, lease *state.Lease, d record, t engine.Task) error {
	if err := l.write(ctx, lease, d, t); err != nil {
		return err
	}
	store := state.Fenced(l.store, lease)
	blobs := state.NewBlobs(store)
	for _, prefix := range []string{state.Prefix("bundle", d.Name), state.Prefix("plan", d.Name)} {
		infos, err := blobs.List(ctx, prefix)
		if err != nil {
			return err
		}
		for _, b := range infos {
			if err := blobs.Delete(ctx, b.Key); err != nil {
				return err
			}
		}
	}
	return store.Update(ctx, func(tx state.Tx) error {
		return errors.Join(engine.ForgetTx(tx, d.Name), tx.Delete(deploymentKey(d.Name)), state.DropEventsTx(tx, d.Name))
	})
}

// listen passes commands that other processes have left in the store.
func (l *Local) listen(ctx context.Context, name, task string, commands chan<- engine.Command) {
	for c, err := range l.store.Watch(ctx, controlKey(name), 0) {
		if err != nil {
			return
		}
		if c.Deleted {
			continue
		}
		req, err := state.DecodeRecord[controlRecord](c.Value)
		if err != nil || req.Task != task {
			continue
		}
		select {
		case commands <- engine.Command(req.Verb):
		case <-ctx.Done():
			return
		}
	}
}

// controlRecord is a command to the process that runs a task.
type controlRecord struct {
	Task string    `json:"task"`
	Verb string    `json:"verb"`
	At   time.Time `json:"at"`
	User string    `json:"user,omitempty"`
}
