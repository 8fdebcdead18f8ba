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
	var deployments []string
	err := s.View(ctx, func(tx Tx) error {
		deployments = nil
		for key, err := range tx.Keys(headPrefix) {
			if err != nil {
				return err
			}
			deployments = append(deployments, Last(key))
		}
		return nil
	})
	if err != nil {
		return err
	}
	l := NewEventLog(s)
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
