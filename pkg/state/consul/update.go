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
			if err := pause(ctx, min(n-2, 2)); err != nil {
				return err
			}
		}
	}
}

func (s *Store) attempt(ctx context.Context, fn func(state.Tx) error) error {
	for {
		t := &tx{s: s, ctx: ctx, write: true, got: make(map[string]uint64), puts: make(map[string]*[]byte), turns: make(map[string]*hotKey)}
		index, err := t.run(fn)
		if err != nil && index == fnFailed && t.recall {
			continue // the error may come from what was only remembered; t.done has made it forgotten
		}
		return err
	}
}

// fnFailed is what run returns instead of an index for an error of fn, which nothing has checked.
const fnFailed = ^uint64(0)

// run runs fn and commits. It returns the index of what was written, 0 if nothing was.
func (t *tx) run(fn func(state.Tx) error) (index uint64, err error) {
	defer func() {
		if err != nil {
			t.done(0)
		} else {
			t.done(index)
		}
	}()
	if err := fn(t); err != nil {
		return fnFailed, err
	}
	if t.failed != nil {
		return 0, t.failed
	}
	if err := t.Err(); err != nil {
		return 0, fmt.Errorf("cannot commit: %w", err)
	}
	ops, err := t.ops()
	if err != nil || len(ops) == 0 {
		return 0, err
	}
	return t.s.commit(t.ctx, ops)
}
