package state

import (
	"context"
	"errors"
)

// Prune shortens the event logs of all deployments to what is to be kept, and the index over them. The zero Retention keeps everything.
func Prune(ctx context.Context, s Store, keep Retention) error {
	if keep == (Retention{}) {
		return nil
	}
	l := NewEventLog(s)
	deployments, err := l.Deployments(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range deployments {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := l.Truncate(ctx, d, keep); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, l.PruneIndex(ctx))...)
}
