package orch

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
)

// Remover is an Inventory that can also remove what it finds.
type Remover interface {
	// Remove removes what carries the deployment's mark (with ids: only these), in the order of its dependencies, but what stays on purpose.
	Remove(ctx context.Context, deployment, location string, ids ...string) error
}

// inventory is what an undeployment has left in the cloud. What is found when nothing is on record any more was made without anybody knowing:
// a reply was lost, or Terraform was killed before it could write. It carries the deployment's mark, so it is removed, and the cloud asked again.
func (l *Local) inventory(ctx context.Context, lease *state.Lease, d *record, t *engine.Task) (left, checked []string, err error) {
	left, checked, err = l.found(ctx, d, t)
	remover, can := l.opts.Inventory.(Remover)
	if err != nil || len(left) == 0 || !can {
		return left, checked, err
	}
	for _, what := range left {
		e := event.Event{Type: event.Log, Level: event.Warn, Task: t.ID, Workflow: t.Workflow,
			Message: "removing what was made without anybody knowing, in an attempt that was cut off: " + what}
		if _, err := state.NewEventLog(state.Fenced(l.store, lease)).Append(ctx, d.Name, e); err != nil {
			return left, checked, err
		}
	}
	removal := remover.Remove(ctx, d.Name, d.Location)
	left, checked, err = l.found(ctx, d, t)
	if err == nil && len(left) > 0 && removal != nil {
		left = append(left, fmt.Sprintf("(%s)", l.opts.Redactor.String(removal.Error())))
	}
	return left, checked, err
}

// found asks once, and notes what stays on purpose.
func (l *Local) found(ctx context.Context, d *record, t *engine.Task) (left, checked []string, err error) {
	if p, ok := l.opts.Inventory.(Prover); ok {
		left, t.Kept, checked, err = p.Proof(ctx, d.Name, d.Location)
		return left, checked, err
	}
	return l.opts.Inventory.Inventory(ctx, d.Name, d.Location)
}
