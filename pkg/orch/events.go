package orch

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
)

// pageSize is how many events are read at once.
const pageSize = 1000

// Events implements Service. Without a deployment it yields the events of all, numbered by the index over all of them.
func (l *Local) Events(ctx context.Context, f Filter) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		r := &eventReader{l: l, f: f, filter: state.EventFilter{Deployment: f.Deployment, Task: f.Task, Node: f.Node, Instance: f.Instance, Types: f.Types}}
		if err := r.all(ctx, yield); err != nil {
			yield(event.Event{}, err)
		}
	}
}

type eventReader struct {
	l      *Local
	f      Filter
	filter state.EventFilter
	// looks in a row that found nobody at work, and when the last one was
	looks  int
	looked time.Time
}

// deserted reports whether nobody has held the deployment for a while: the process that worked has died, and no server takes over. Wait says so.
func (r *eventReader) deserted(ctx context.Context) (bool, error) {
	if time.Since(r.looked) < followPace {
		return false, nil
	}
	r.looked = time.Now()
	holders, err := r.l.store.Holders(ctx, leaseKey(r.f.Deployment))
	if r.looks++; err != nil || len(holders) > 0 {
		r.looks = 0
	}
	return r.looks > desertedAfter, err
}

// desertedAfter is how many looks, followPace apart, must find nobody.
const desertedAfter = 4

var errStopped = errors.New("the reader has stopped")

func (r *eventReader) all(ctx context.Context, yield func(event.Event, error) bool) error {
	if r.f.Deployment != "" {
		if _, err := loadDeployment(ctx, r.l.store, r.f.Deployment); err != nil {
			return err
		}
	}
	after, err := r.stored(ctx, yield)
	if err == nil && r.f.Follow {
		err = r.follow(ctx, after, yield)
	}
	if errors.Is(err, errStopped) {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return storeError(err)
}

// stored yields what is stored already, or the last of it, and returns where to go on.
func (r *eventReader) stored(ctx context.Context, yield func(event.Event, error) bool) (uint64, error) {
	after := r.f.After
	var last []event.Event
	for {
		page, err := r.read(ctx, after, 0)
		if err != nil {
			return after, err
		}
		after = page.Last
		for _, e := range page.Events {
			if !r.mine(e) {
				continue
			}
			if r.f.Last > 0 {
				if last = append(last, e); len(last) > 2*r.f.Last {
					last = append(last[:0], last[len(last)-r.f.Last:]...)
				}
			} else if !yield(e, nil) {
				return after, errStopped
			}
		}
		if !page.More {
			break
		}
	}
	for _, e := range last[max(0, len(last)-r.f.Last):] {
		if !yield(e, nil) {
			return after, errStopped
		}
	}
	return after, nil
}

func (r *eventReader) read(ctx context.Context, after uint64, wait time.Duration) (state.Page, error) {
	switch {
	case r.f.Deployment == "" && wait > 0:
		return r.l.events.PollIndex(ctx, r.filter, after, pageSize, wait)
	case r.f.Deployment == "":
		return r.l.events.ReadIndex(ctx, r.filter, after, pageSize)
	case wait > 0:
		return r.l.events.Poll(ctx, r.filter, after, pageSize, wait)
	}
	return r.l.events.Read(ctx, r.filter, after, pageSize)
}

// mine reports whether an event is of the tenant whose events are read.
func (r *eventReader) mine(e event.Event) bool {
	tenant, _ := SplitName(e.Deployment)
	return r.f.tenant == "" || r.f.Deployment != "" || r.f.tenant == tenant
}

// follow yields new events until ctx ends or the task has ended and everything of it was yielded.
func (r *eventReader) follow(ctx context.Context, after uint64, yield func(event.Event, error) bool) error {
	for {
		over, err := r.over(ctx)
		if err != nil {
			return err
		}
		wait := followPace
		if over {
			wait = 0 // only what was stored before the end
		}
		page, err := r.read(ctx, after, wait)
		if err != nil {
			return err
		}
		after = page.Last
		for _, e := range page.Events {
			if r.mine(e) && !yield(e, nil) {
				return errStopped
			}
		}
		if over && !page.More {
			return nil
		}
	}
}

// followPace is how often a follower of a task looks whether it has ended otherwise than by an event.
const followPace = 2 * time.Second

// over reports whether the task that ends the following has ended, or is gone, or nobody works on it any more.
func (r *eventReader) over(ctx context.Context) (bool, error) {
	if r.f.UntilTask == "" || r.f.Deployment == "" {
		return false, nil
	}
	t, err := engine.LoadTask(ctx, r.l.store, r.f.Deployment, r.f.UntilTask)
	if errors.Is(err, state.ErrNotFound) {
		return true, nil
	}
	if err != nil || t.Status.Ended() || t.Status == engine.Paused {
		return true, err
	}
	if r.l.leftHere(ctx, r.f.Deployment, t.ID) != nil {
		return true, nil // Wait says why
	}
	return r.deserted(ctx)
}
