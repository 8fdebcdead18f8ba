package orch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/orch-project/orch/pkg/state"
)

// abandoned remembers why this process has left tasks: the store failed for too long, the lease was lost. Their records say that they run, and
// cannot say otherwise where the store cannot be written; who waits for them is told.
type abandoned struct {
	mu     sync.Mutex
	causes map[string]error // by task
}

func (a *abandoned) set(task string, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.causes == nil {
		a.causes = map[string]error{}
	}
	if cause == nil {
		delete(a.causes, task)
		return
	}
	a.causes[task] = cause
}

func (a *abandoned) cause(task string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.causes[task]
}

// leftHere is the error for who waits for a task that this process has left and nobody has taken; nil if somebody works on it.
func (l *Local) leftHere(ctx context.Context, deployment, task string) error {
	cause := l.abandoned.cause(task)
	if cause == nil || l.runningTask(deployment, task) != nil {
		return nil
	}
	if l.recovers.Load() && errors.Is(cause, state.ErrFenced) {
		return nil // another server goes on with it, or this one, within seconds
	}
	holders, err := l.store.Holders(ctx, leaseKey(deployment))
	var gone *state.UnavailableError
	switch {
	case errors.As(err, &gone):
		cause = err // that is why the task stopped
	case err != nil || len(holders) > 0:
		return storeError(err)
	}
	e := &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s stopped in the middle; what it has done is on record", task), Err: cause,
		Hint: "go on with: orch resume " + deployment}
	var away *state.UnavailableError
	if errors.As(cause, &away) {
		bare := *away
		bare.Hint = ""
		e.Kind, e.Err = KindStore, &bare
		if e.Hint = "then go on with: orch resume " + deployment; away.Hint != "" {
			e.Hint = away.Hint + "; " + e.Hint
		}
	}
	return e
}
