package orch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
)

// queued is a request, or a control of a task that has stopped, that waits until other tasks have ended. It is all that any process needs to
// start it: the one that works on the deployment looks at the queue whenever a task ends or the queue changes.
//
//	d/<deployment>/queue/<task>   queued
type queued struct {
	Task string    `json:"task"`
	At   time.Time `json:"at"`
	// Request without its sources and inputs, which are Bundle and Inputs (sealed).
	Request *Request `json:"request,omitempty"`
	Inputs  []byte   `json:"inputs,omitempty"`
	Bundle  string   `json:"bundle,omitempty"`
	Imports int      `json:"imports,omitempty"`
	// Control of a task, and the status that the task has if it is not carried out after all.
	Control *Control      `json:"control,omitempty"`
	Was     engine.Status `json:"was,omitempty"`
}

func queuePrefix(name string) string { return state.Prefix("d", name, "queue") }

func queueKey(name, task string) string { return state.Join("d", name, "queue", task) }

// errNoQueue is putQueue's of a deployment that is not on record, or just going: its lease is to be waited for.
var errNoQueue = errors.New("nothing can be queued for a deployment that is not on record")

// putQueue records a request that waits; the store need not be fenced: whoever has the lease picks it up.
func putQueue(ctx context.Context, store state.Store, t engine.Task, q queued) error {
	err := store.Update(ctx, func(tx state.Tx) error {
		d, found, err := state.Find[record](tx, deploymentKey(t.Deployment))
		if err == nil && (!found || d.Purging) {
			err = errNoQueue
		}
		if err != nil {
			return err
		}
		// The deployment's record stays as it is, but who looks for work by its revision finds some, and who forgets it does not overlook this.
		if err := state.Put(tx, deploymentKey(t.Deployment), d); err != nil {
			return err
		}
		if err := errors.Join(putQueuedTx(tx, t.Deployment, q), engine.PutTaskTx(tx, t)); err != nil {
			return err
		}
		_, err = state.AppendTx(tx, t.Deployment, queueEvent(t))
		return err
	})
	if errors.Is(err, errNoQueue) {
		return err
	}
	return storeError(err)
}

// putQueuedTx also tells the process that holds the deployment.
func putQueuedTx(tx state.Tx, name string, q queued) error {
	return errors.Join(state.Put(tx, queueKey(name, q.Task), q), askTx(tx, name))
}

func queueEvent(t engine.Task) event.Event {
	return event.Event{Time: now(), Type: event.TaskStatus, Task: t.ID, Workflow: t.Workflow, Status: string(t.Status), Key: t.Doing, Message: t.Waits}
}

// queue lists what waits, longest first.
func (l *Local) queue(ctx context.Context, name string) (out []queued, err error) {
	err = l.store.View(ctx, func(tx state.Tx) error {
		out = nil
		for r, err := range state.List[queued](tx, queuePrefix(name)) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	return out, storeError(err)
}

// enqueue keeps a prepared request until what it waits for has ended.
func (l *Local) enqueue(ctx context.Context, p *prepared, t engine.Task) (Task, error) {
	req := p.asked
	req.Source, req.ImportPath, req.Inputs = nil, nil, nil
	q := queued{Task: t.ID, At: now(), Request: &req}
	var err error
	if q.Inputs, err = engine.EncodeMap(p.req.Inputs, l.opts.Cipher); err != nil {
		return Task{}, storeError(err)
	}
	if p.parts != nil {
		packed, digest, err := pack(p.parts)
		if err != nil {
			return Task{}, &Error{Kind: KindUser, Msg: "cannot store the topology", Err: err}
		}
		q.Bundle, q.Imports = bundleBlob(p.name, digest), len(p.req.ImportPath)
		if _, err := l.blobs.Put(ctx, q.Bundle, packed); err != nil {
			return Task{}, storeError(err)
		}
	}
	t.Status = engine.Queued
	if err := putQueue(ctx, l.store, t, q); err != nil {
		return Task{}, err
	}
	l.tend(p.name, t.ID)
	return l.task(t), nil
}

// request of an entry as it was made.
func (l *Local) request(ctx context.Context, q queued) (Request, error) {
	req := *q.Request
	var err error
	if req.Inputs, err = engine.DecodeMap(q.Inputs, l.opts.Cipher); err != nil {
		return req, &Error{Kind: KindStore, Msg: "the stored inputs cannot be read", Hint: "is the encryption key the one of this store?", Err: err}
	}
	if q.Bundle == "" {
		return req, nil
	}
	b, err := l.unpack(ctx, revision{Bundle: q.Bundle, Imports: q.Imports, Entry: req.Entry, SourceName: req.SourceName})
	req.Source, req.ImportPath = b.FS, b.ImportPath
	return req, storeError(err)
}

// tend sees to it that a request of this process is begun even if the process that works on the deployment ends without looking at the queue.
func (l *Local) tend(name, task string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return // the queue is in the store: another process goes on with it
	}
	l.tasks.Add(1)
	go func() {
		defer l.tasks.Done()
		for pace := tendPace; ; pace = min(2*pace, tendSlowest) {
			select {
			case <-l.life.Done():
				return
			case <-time.After(pace):
			}
			if !l.waiting(name, task) {
				return
			}
			h, err := l.hold(l.life, name)
			if err != nil {
				continue // somebody else works on it, or the store is away
			}
			l.takeUp(l.life, name)
			l.dispatch(l.life, h)
			l.letGo(h)
		}
	}()
}

const (
	tendPace    = 200 * time.Millisecond
	tendSlowest = 5 * time.Second
)

// waiting reports whether a request still waits.
func (l *Local) waiting(name, task string) bool {
	t, err := engine.LoadTask(l.life, l.store, name, task)
	if err != nil {
		return !errors.Is(err, state.ErrNotFound) && l.life.Err() == nil
	}
	return t.Status == engine.Queued
}

// dispatch begins whatever waits no longer.
func (l *Local) dispatch(ctx context.Context, h *holding) {
	h.admit.Lock()
	defer h.admit.Unlock()
	entries, err := l.queue(ctx, h.name)
	if err != nil {
		l.log.Warn("cannot read the queue", "deployment", h.name, "error", err)
		return
	}
	for _, q := range entries {
		if ctx.Err() != nil || h.lease.Err() != nil {
			return
		}
		t, err := engine.LoadTask(ctx, l.store, h.name, q.Task)
		if err != nil || t.Status != engine.Queued {
			if err == nil || errors.Is(err, state.ErrNotFound) {
				l.unqueue(ctx, h, q.Task) // a process has died between two writes
			}
			continue
		}
		if err := l.begin(ctx, h, t, q); err != nil && ctx.Err() == nil {
			l.refuse(ctx, h, t, q, err)
		}
	}
}

// begin starts what an entry asks for, or notes what it waits for now.
func (l *Local) begin(ctx context.Context, h *holding, t engine.Task, q queued) error {
	ctx = usedByTask(ctx, t) // who asked for it, not who has just ended
	if q.Control != nil {
		t.Status = q.Was
		return l.resumeHeld(ctx, h, t, *q.Control, true)
	}
	req, err := l.request(ctx, q)
	if err != nil {
		return err
	}
	_, err = l.admit(ctx, h, req, &t)
	return err
}

func (l *Local) unqueue(ctx context.Context, h *holding, task string) {
	err := state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) error { return tx.Delete(queueKey(h.name, task)) })
	if err != nil {
		l.log.Warn("cannot remove an entry of the queue", "deployment", h.name, "task", task, "error", err)
	}
}

// refuse ends a request that cannot be begun: what it asks for makes no sense any more.
func (l *Local) refuse(ctx context.Context, h *holding, t engine.Task, q queued, cause error) {
	l.log.Info("a queued request cannot be begun", "deployment", h.name, "task", t.ID, "error", cause)
	t.Status, t.Ended, t.Waits = engine.Failed, now(), ""
	if q.Control != nil {
		t.Status = q.Was
	}
	t.Failure = &engine.Failure{Step: "plan", Message: l.opts.Redactor.String(cause.Error())}
	var known *Error
	if errors.As(cause, &known) {
		t.Failure.Hint = known.Hint
	}
	err := state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) error {
		if err := errors.Join(tx.Delete(queueKey(h.name, t.ID)), engine.PutTaskTx(tx, t)); err != nil {
			return err
		}
		_, err := state.AppendTx(tx, h.name, event.Event{Time: now(), Type: event.TaskStatus, Task: t.ID, Workflow: t.Workflow, Status: string(t.Status),
			Key: t.Doing, Message: t.Failure.Message})
		return err
	})
	if err != nil {
		l.log.Warn("cannot end a request", "deployment", h.name, "task", t.ID, "error", err)
	}
}

// waits says what a task has to wait for, "" for nothing: the tasks that run here, those that are paused, and those that wait longer than it; one
// of the queue also for those that a dead process has left, where this process goes on with them. self need not be on record yet.
func (l *Local) waits(ctx context.Context, h *holding, self engine.Task, queued bool) (string, error) {
	tasks, err := engine.Tasks(ctx, l.store, h.name)
	if err != nil {
		return "", storeError(err)
	}
	here := l.works(h)
	var reasons []string
	for _, t := range tasks {
		longer := t.Status == engine.Queued && t.ID < self.ID
		left := queued && self.Verb != string(Undeploy) && t.Status.Works() && l.recovers.Load()
		if t.ID == self.ID || !here[t.ID] && t.Status != engine.Paused && !longer && !left || self.Verb == string(Undeploy) && longer || over(t, self) {
			continue
		}
		if what := overlap(self, t); what != "" {
			reasons = append(reasons, called(t)+": "+what)
		}
	}
	return strings.Join(reasons, "; "), nil
}

// over reports whether a task is of no concern to another any more although its process has not let go of it yet: its end is on record, and told.
// What only runs on what exists need not wait for the housekeeping that follows; what makes revisions or comes after an undeployment does.
func over(t, next engine.Task) bool {
	return t.Status.Ended() && t.Verb != string(Undeploy) && (next.Verb == string(Workflow) || next.Verb == string(Operate))
}

// overlap says why two tasks cannot run at once.
func overlap(a, b engine.Task) string {
	if a.Verb == string(Undeploy) || b.Verb == string(Undeploy) {
		return "touches everything"
	}
	if names := a.Footprint.Conflicts(b.Footprint); len(names) > 0 {
		return "touches " + strings.Join(names, ", ")
	}
	return ""
}

// called names a task for people: "task 01K… of alice (scale)".
func called(t engine.Task) string {
	name := "task " + t.ID
	if t.User != "" {
		name += " of " + t.User
	}
	name += fmt.Sprintf(" (%s)", t.Workflow)
	switch t.Status {
	case engine.Paused:
		name += ", which is paused after a failure"
	case engine.Queued:
		name += ", which waits itself"
	}
	return name
}

// cancelQueued takes a request back before it was begun.
func (l *Local) cancelQueued(ctx context.Context, t engine.Task) error {
	return storeError(l.store.Update(ctx, func(tx state.Tx) error { return cancelQueuedTx(tx, t) }))
}

func cancelQueuedTx(tx state.Tx, t engine.Task) error {
	now := now()
	have, found, err := engine.FindTaskTx(tx, t.Deployment, t.ID)
	if err != nil || !found {
		return err
	}
	if have.Status != engine.Queued {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s has just begun", t.ID), Hint: "cancel it again"}
	}
	q, found, err := state.Find[queued](tx, queueKey(t.Deployment, t.ID))
	if err != nil {
		return err
	}
	have.Status, have.Ended, have.Waits = engine.Cancelled, now, ""
	if found && q.Control != nil {
		have.Status = q.Was // only what was to be done with it is taken back
	}
	if err := errors.Join(tx.Delete(queueKey(t.Deployment, t.ID)), engine.PutTaskTx(tx, have)); err != nil {
		return err
	}
	_, err = state.AppendTx(tx, t.Deployment, event.Event{Time: now, Type: event.TaskStatus, Task: t.ID, Workflow: t.Workflow, Status: string(have.Status), Key: have.Doing})
	return err
}
