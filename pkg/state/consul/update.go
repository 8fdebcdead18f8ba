package consul

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/state"
)

const maxAttempts = 200

// conflictError is the outcome of a transaction whose checks have failed.
type conflictError struct{ keys []string }

func (e *conflictError) Error() string { return "conflict on " + strings.Join(e.keys, ", ") }

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, fn func(state.Tx) error) error {
	ctx, cancel := s.during(ctx)
	defer cancel()
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := s.attempt(ctx, fn)
		var conflict *conflictError
		if !errors.As(err, &conflict) {
			return err
		}
		if n == maxAttempts {
			return fmt.Errorf("%w: %w", state.ErrConflict, err)
		}
		s.hot.mark(conflict.keys)
		if n > 1 { // the first repetition is at once: in turns it succeeds
			if err := pause(ctx, min(n-4, 2)); err != nil {
				return err
			}
		}
	}
}

func (s *Store) attempt(ctx context.Context, fn func(state.Tx) error) error {
	t := &tx{s: s, ctx: ctx, write: true, got: make(map[string]uint64), puts: make(map[string]*[]byte)}
	defer t.done()
	if err := fn(t); err != nil {
		return err
	}
	if t.failed != nil {
		return t.failed
	}
	if err := t.Err(); err != nil {
		return fmt.Errorf("cannot commit: %w", err)
	}
	ops, err := t.ops()
	if err != nil || len(ops) == 0 {
		return err
	}
	return s.commit(ctx, ops)
}
