package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// settled remembers the deployments that need nobody, by the revision of their record: whatever begins or ends a task writes that. So a
// look at many deployments, of which few have work, is one list.
type settled struct {
	mu   sync.Mutex
	revs map[string]state.Rev
}

func (s *settled) is(name string, rev state.Rev) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.revs[name] == rev
}

func (s *settled) set(name string, rev state.Rev) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revs == nil {
		s.revs = map[string]state.Rev{}
	}
	s.revs[name] = rev
}

// keep forgets what no longer exists.
func (s *settled) keep(names map[string]state.Rev) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.revs {
		if _, ok := names[name]; !ok {
			delete(s.revs, name)
		}
	}
}

// Recover goes on with every task that has not ended and that nobody holds: its process has died, or has let go of it. A server does this
// when it starts and every few seconds; of several servers the lease decides. It returns the tasks that it has taken.
func (l *Local) Recover(ctx context.Context) ([]Task, error) {
	l.recovers.Store(true)
	open, err := l.unsettled(ctx)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	held, err := l.owners(ctx)
	if err != nil {
		return nil, err
	}
	var taken []Task
	var errs []error
	for name, rev := range open {
		if held[name] != "" || ctx.Err() != nil {
			continue
		}
		got, busy, err := l.recover(ctx, name)
		taken = append(taken, got...)
		switch {
		case err == nil && !busy:
			l.settled.set(name, rev)
		case err != nil && !errors.Is(err, state.ErrHeld): // then another server was quicker
			errs = append(errs, err)
		}
	}
	return taken, errors.Join(errs...)
}

// takeUp goes on, where that is this process's work, with what another one has left of a deployment that is held now, before anything else is
// done with it: a new request waits for it then, as it would have if it had come a moment later.
func (l *Local) takeUp(ctx context.Context, name string) {
	if !l.recovers.Load() {
		return
	}
	taken, _, err := l.recover(ctx, name)
	for _, t := range taken {
		l.log.Info("going on with a task that its process has left", "deployment", t.Deployment, "task", t.ID)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, state.ErrHeld) {
		l.log.Warn("cannot go on with every task", "deployment", name, "error", err)
	}
}

// recover goes on with what is left of a deployment: tasks whose process has died, and requests that wait for nobody. busy: there is
// something that has not ended.
func (l *Local) recover(ctx context.Context, name string) (taken []Task, busy bool, err error) {
	tasks, err := engine.Tasks(ctx, l.store, name)
	if err != nil {
		return nil, true, storeError(err)
	}
	var left []engine.Task
	for _, t := range tasks {
		busy = busy || t.Status.Works() || t.Status == engine.Queued
		if (t.Status.Works() || t.Status == engine.Queued) && l.runningTask(name, t.ID) == nil && !behindPaused(t, tasks) {
			left = append(left, t)
		}
	}
	d, err := loadDeployment(ctx, l.store, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, true, err
	}
	if len(left) == 0 && !d.Purging {
		return nil, busy, nil
	}
	h, err := l.hold(ctx, name)
	if err != nil {
		return nil, true, err
	}
	defer l.letGo(h)
	if d.Purging {
		if err := l.goOnForgetting(ctx, h); err != nil {
			return nil, true, err
		}
	}
	var errs []error
	for _, t := range left {
		if t.Status == engine.Queued {
			continue
		}
		switch err := l.resume(ctx, t, Control{Deployment: name, Task: t.ID, Verb: "resume"}, true); {
		case err == nil:
			taken = append(taken, l.task(t))
		case errors.Is(err, state.ErrHeld), isConflict(err):
			// It has ended just now.
		default:
			errs = append(errs, fmt.Errorf("cannot go on with task %s of %s: %w", t.ID, name, err))
		}
	}
	l.dispatch(ctx, h)
	return taken, true, errors.Join(errs...)
}

// goOnForgetting ends the purging of a deployment whose process has died.
func (l *Local) goOnForgetting(ctx context.Context, h *holding) error {
	h.admit.Lock()
	defer h.admit.Unlock()
	d, err := loadDeployment(ctx, l.store, h.name)
	if errors.Is(err, ErrNotFound) || err == nil && !d.Purging {
		return nil // it has ended just now
	}
	if err != nil {
		return err
	}
	return storeError(l.forget(ctx, h))
}

// behindPaused: nobody but a user can let the request begin.
func behindPaused(t engine.Task, tasks []engine.Task) bool {
	return t.Status == engine.Queued && slices.ContainsFunc(tasks, func(o engine.Task) bool { return o.Status == engine.Paused && overlap(t, o) != "" })
}

// unsettled are the deployments whose records have changed since their last task was seen to have ended.
func (l *Local) unsettled(ctx context.Context) (map[string]state.Rev, error) {
	all, open := map[string]state.Rev{}, map[string]state.Rev{}
	err := l.store.View(ctx, func(tx state.Tx) error {
		clear(all)
		clear(open)
		for _, prefix := range []string{waitingPrefix, deploymentPrefix} {
			for e, err := range tx.List(prefix) {
				if err != nil {
					return err
				}
				name := state.Last(e.Key)
				all[name] = e.Rev
				if !l.settled.is(name, e.Rev) {
					open[name] = e.Rev
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	l.settled.keep(all)
	return open, nil
}

func isConflict(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == KindConflict
}
