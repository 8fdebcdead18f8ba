package orch

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// fix changes what is recorded of a step ("settle": it counts as done; "reopen": it is done again) without going on: resume does that.
func (l *Local) fix(ctx context.Context, t engine.Task, c Control) error {
	if !t.Status.Ended() && t.Status != engine.Paused {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s still runs", t.ID), Hint: "cancel it, or wait for its end"}
	}
	h, err := l.hold(ctx, t.Deployment)
	if err != nil {
		return asHeld(t.Deployment, err)
	}
	defer l.letGo(h)
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
			return storeError(engine.Fix(ctx, state.Fenced(l.store, h.lease), t, s, status))
		}
	}
	return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("task %s has no step %q", t.ID, c.Step), Hint: "orch status shows the steps", Err: ErrNotFound}
}
