package orch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
)

// purgedEvent is the last one of a deployment that is no more.
func purgedEvent() event.Event {
	return event.Event{Time: now(), Type: event.DeploymentStatus, Status: event.Purged, Key: doingPurge}
}

// PrunePurged drops what is kept of deployments that were purged before a time.
func PrunePurged(ctx context.Context, s state.Store, before time.Time) error {
	l := state.NewEventLog(s)
	names, err := l.Deployments(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if _, err := loadDeployment(ctx, s, name); !errors.Is(err, ErrNotFound) {
			continue
		}
		end, err := l.Last(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		page, err := l.Read(ctx, state.EventFilter{Deployment: name}, end-min(end, 1), 1)
		if err != nil || len(page.Events) == 0 || page.Events[0].Status != event.Purged || !page.Events[0].Time.Before(before) {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, s.Update(ctx, func(tx state.Tx) error {
			if _, found, err := state.Find[record](tx, deploymentKey(name)); err != nil || found {
				return err // the name has just been used again
			}
			return state.DropEventsTx(tx, name)
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot drop what is kept of purged deployments: %w", err)
	}
	return nil
}
