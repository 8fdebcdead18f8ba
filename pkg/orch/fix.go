package orch

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// fix changes what is recorded of a step ("settle": it counts as done; "reopen": it is done again) without going on: resume does that.
func (l *Local) fix(ctx context.Context, t engine.Task, c Control) error {
	if !t.Status.Ended() {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s still runs", t.ID), Hint: "cancel it, or wait for its end"}
	}
	lease, err := l.leaseAfterTask(ctx, t.Deployment)
	if err != nil {
		return asHeld(t.Deployment, err)
	}
	defer l.release(lease)
	p, err := engine.LoadPlan(ctx, l.store, t.Deployment, t.ID)
	if err != nil {
		return storeError(err)
	}
	status := engine.Done
	if c.Verb == "reopen" {
		status = engine.Pending
	}
	for _, s := range p.Steps {
		if s.ID == c.Step {
			return storeError(engine.Fix(ctx, state.Fenced(l.store, lease), t, s, status))
		}
	}
	return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("task %s has no step %q", t.ID, c.Step), Hint: "orch status shows the steps", Err: ErrNotFound}
}

// leaseAfterTask is lease, but where the deployment's task has just ended it waits for its process to give the lease back: clients react
// to the event of the end, which is stored before.
func (l *Local) leaseAfterTask(ctx context.Context, name string) (*state.Lease, error) {
	lease, err := l.lease(ctx, name)
	if err == nil || asHeld(name, err) == err {
		return lease, err
	}
	d, derr := loadDeployment(ctx, l.store, name)
	if derr != nil || d.Task == "" {
		return lease, err
	}
	t, terr := engine.LoadTask(ctx, l.store, name, d.Task)
	if terr != nil || !t.Status.Ended() {
		return lease, err
	}
	return l.store.Lease(ctx, leaseKey(name), state.LeaseOptions{Owner: l.opts.Owner, Host: l.opts.Host, TTL: l.opts.TTL, Wait: releaseWait})
}
