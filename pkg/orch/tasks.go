package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// Tasks implements Service: newest first.
func (l *Local) Tasks(ctx context.Context, deployment string) ([]Task, error) {
	if _, err := loadDeployment(ctx, l.store, deployment); err != nil {
		return nil, err
	}
	ts, err := engine.Tasks(ctx, l.store, deployment)
	if err != nil {
		return nil, storeError(err)
	}
	out := make([]Task, 0, len(ts))
	for _, t := range slices.Backward(ts) {
		if !t.Status.Ended() {
			t.Progress = l.progress(ctx, t)
		}
		out = append(out, l.task(t))
	}
	return out, nil
}

// progress counts the steps of a task that has not ended.
func (l *Local) progress(ctx context.Context, t engine.Task) (p engine.Progress) {
	steps, _, err := l.steps(ctx, t)
	if err != nil {
		return t.Progress // as of its beginning
	}
	for _, s := range steps {
		if !s.Acts() {
			continue
		}
		p.Total++
		switch engine.Status(s.Status) {
		case engine.Done:
			p.Done++
		case engine.Failed:
			p.Failed++
		case engine.Skipped, engine.Cancelled:
			p.Skipped++
		case engine.Doing:
			p.Running++
		}
	}
	return p
}

// task is a record as the Service shows it.
func (l *Local) task(t engine.Task) Task {
	return Task{ID: t.ID, Deployment: t.Deployment, Verb: Verb(t.Verb), Workflow: t.Workflow, Status: string(t.Status), User: t.User, Created: t.Created,
		Started: t.Started, Ended: t.Ended, Steps: Progress(t.Progress), Failure: t.Failure, Waits: t.Waits, Touches: t.Footprint.Writes, Doing: t.Doing, OnFailure: t.OnFailure,
		Undo: t.Undo, Undoes: t.Undoes, Revision: t.Revision, Changed: t.Changed, Left: t.Left, Checked: t.Checked, Kept: t.Kept, Outputs: l.outputsOf(t), Handled: t.Handled}
}

func (l *Local) outputsOf(t engine.Task) map[string]any {
	m, err := engine.DecodeMap(t.Outputs, l.opts.Cipher)
	if err != nil {
		l.log.Warn("the outputs of a task cannot be read", "deployment", t.Deployment, "task", t.ID, "error", err)
	}
	return masked(m, l.opts.Redactor)
}

// Steps implements Service: the plan's steps with what has become of them.
func (l *Local) Steps(ctx context.Context, deployment, task string) ([]StepStatus, error) {
	t, err := l.findTask(ctx, deployment, task)
	if err != nil {
		return nil, err
	}
	steps, at, err := l.steps(ctx, t)
	if err != nil {
		return nil, err
	}
	return steps, l.addWaits(ctx, t, steps, at)
}

// steps by the plan and the journal; at is where each is.
func (l *Local) steps(ctx context.Context, t engine.Task) (_ []StepStatus, at map[string]int, _ error) {
	if t.Status == engine.Queued && t.Started.IsZero() {
		return []StepStatus{}, nil, nil // it is planned when it begins
	}
	p, err := engine.LoadPlan(ctx, l.store, t.Deployment, t.ID)
	if err != nil {
		return nil, nil, storeError(err)
	}
	journal, err := engine.Journal(ctx, l.store, t.Deployment, t.ID)
	if err != nil {
		return nil, nil, storeError(err)
	}
	at = make(map[string]int, len(p.Steps))
	out := make([]StepStatus, len(p.Steps))
	for i, s := range p.Steps {
		at[s.ID] = i
		out[i] = StepStatus{Step: s, Status: string(engine.Pending)}
	}
	for _, tr := range journal {
		i, ok := at[tr.Step]
		if !ok {
			continue
		}
		s := &out[i]
		s.Status, s.Attempts, s.Error = string(tr.Status), tr.Attempt, tr.Error
		switch {
		case tr.Status == engine.Doing:
			if s.Started.IsZero() || !s.Ended.IsZero() {
				s.Started = tr.At
			}
			s.Ended = time.Time{}
		case tr.Status.Ended():
			s.Ended = tr.At
			if s.Started.IsZero() && tr.Status == engine.Done {
				s.Started = tr.At
			}
		}
		if tr.LeftOut {
			s.Status, s.Error = string(engine.Skipped), "left out by the filter of "+s.WorkflowStep
		}
		if tr.Because != "" && tr.Status == engine.Skipped {
			s.Error = "skipped because " + tr.Because + " failed"
		}
	}
	if !t.Status.Ended() {
		waiting(out, at, t.Started)
	}
	return out, at, nil
}

// freePlace is what a step waits for that needs nothing more, where nobody has said more.
const freePlace = "a free place"

// waiting says for what pending steps wait, and since when: the start, or the last end of what they have waited for before.
func waiting(steps []StepStatus, at map[string]int, start time.Time) {
	for i := range steps {
		s := &steps[i]
		if s.Status != string(engine.Pending) {
			continue
		}
		var names []string
		s.Since = start
		for _, n := range slices.Concat(s.Needs, s.OnFailureOf, s.OnCancelOf) {
			if slices.Contains(names, n) {
				continue
			}
			if j, ok := at[n]; ok && !engine.Status(steps[j].Status).Ended() {
				names = append(names, n)
			} else if ok && steps[j].Ended.After(s.Since) {
				s.Since = steps[j].Ended
			}
		}
		if len(names) > 3 {
			names = append(names[:3], fmt.Sprintf("%d more", len(names)-3))
		}
		s.Waiting = strings.Join(names, ", ")
		if s.Waiting == "" {
			s.Waiting = freePlace
		}
	}
}

// Wait implements Service.
func (l *Local) Wait(ctx context.Context, deployment, task string) (Task, error) {
	t, err := l.findTask(ctx, deployment, task)
	if err != nil {
		return Task{}, err
	}
	if r := l.runningTask(deployment, t.ID); r != nil {
		select {
		case <-r.done:
		case <-ctx.Done():
			return l.task(t), context.Cause(ctx)
		}
	}
	for orphaned := 0; ; {
		last := t
		if t, err = engine.LoadTask(ctx, l.store, deployment, t.ID); err != nil {
			if errors.Is(err, state.ErrNotFound) { // purged when it was done
				last.Status = engine.Done
				return l.task(last), nil
			}
			return l.task(last), storeError(err)
		}
		if t.Status.Ended() || t.Status == engine.Paused {
			return l.task(t), nil
		}
		holders, err := l.store.Holders(ctx, leaseKey(deployment))
		if err != nil {
			return l.task(t), storeError(err)
		}
		if err := l.leftHere(ctx, deployment, t.ID); err != nil {
			return l.task(t), err
		}
		if orphaned++; len(holders) > 0 {
			orphaned = 0
		}
		if orphaned > orphanedAfter {
			return l.task(t), &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s is not finished, and nobody works on it: its process has ended", t.ID),
				Hint: "go on with: orch resume " + deployment}
		}
		select {
		case <-ctx.Done():
			return l.task(t), context.Cause(ctx)
		case <-time.After(waitPace):
		}
	}
}

const (
	waitPace = 500 * time.Millisecond
	// orphanedAfter is how many looks in a row must find nobody at work: a server may be about to take over.
	orphanedAfter = 20
)
