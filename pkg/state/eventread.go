package state

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// EventFilter chooses events; zero fields choose all.
type EventFilter struct {
	Deployment string // required by Read and Follow; may be empty for Index
	Types      []event.Type
	Task       string
	Node       string
	Instance   string
	Level      event.Level // at least this, of log events; others have none and pass
	Since      time.Time
	Match      func(event.Event) bool
}

var levels = []event.Level{event.Debug, event.Info, event.Warn, event.Error}

// Accepts reports whether an event is chosen.
func (f EventFilter) Accepts(e event.Event) bool {
	switch {
	case f.Deployment != "" && e.Deployment != f.Deployment,
		len(f.Types) > 0 && !slices.Contains(f.Types, e.Type),
		f.Task != "" && e.Task != f.Task,
		f.Node != "" && e.Node != f.Node,
		f.Instance != "" && e.Instance != f.Instance,
		!f.Since.IsZero() && e.Time.Before(f.Since),
		f.Level != "" && e.Level != "" && slices.Index(levels, e.Level) < slices.Index(levels, f.Level):
		return false
	}
	return f.Match == nil || f.Match(e)
}

// Page is what a read returns.
type Page struct {
	Events []event.Event
	// Last is where to go on: the number of the last event looked at, chosen or not. It is the caller's own position if there was nothing new.
	Last uint64
	More bool // there was more than the limit
}

// Read returns the events of filter.Deployment after a sequence number, up to limit (at most 0: 1000). Events that were truncated are not
// returned and no error: the first event's number shows the gap.
func (l *EventLog) Read(ctx context.Context, filter EventFilter, after uint64, limit int) (Page, error) {
	if limit <= 0 {
		limit = 1000
	}
	page := Page{Last: after}
	err := l.store.View(ctx, func(tx Tx) error {
		page = Page{Last: after}
		return readLog(tx, filter.Deployment, after, func(e event.Event) bool {
			if len(page.Events) == limit {
				page.More = true
				return false
			}
			page.Last = e.Seq
			if filter.Accepts(e) {
				page.Events = append(page.Events, e)
			}
			return true
		})
	})
	if err != nil {
		return page, fmt.Errorf("cannot read events of %s: %w", filter.Deployment, err)
	}
	return page, nil
}

// readLog visits the events after a number until visit returns false.
//
// On Consul the reads of one transaction happen at different moments, so the tail may be sealed, or a chunk truncated, between them.
// Numbers decide: what was visited is not visited again, and if there is a gap it begins anew from there.
func readLog(tx Tx, deployment string, after uint64, visit func(event.Event) bool) error {
	for range 10 {
		h, err := readHead(tx, deployment)
		if err != nil {
			return err
		}
		next := max(after+1, h.First)
		if next >= h.Next {
			return nil
		}
		gap := false
		take := func(value []byte, key string) (bool, error) {
			events, err := decodeEvents(value)
			if err != nil {
				return false, fmt.Errorf("cannot read %s: %w", key, err)
			}
			for _, e := range events {
				if e.Seq < next {
					continue
				}
				if e.Seq > next {
					gap = true
					return false, nil
				}
				if !visit(e) {
					return false, nil
				}
				next++
			}
			return true, nil
		}
		goOn := true
		if next < h.Tail {
			if goOn, err = readChunks(tx, deployment, next, take); err != nil {
				return err
			}
		}
		if goOn {
			for e, err := range tx.List(partPrefix(deployment, "t")) {
				if err != nil {
					return err
				}
				if goOn, err = take(e.Value, e.Key); err != nil {
					return err
				}
				if !goOn {
					break
				}
			}
		}
		if !gap && (!goOn || next >= h.Next) {
			return nil
		}
		after = next - 1
	}
	return nil // it changes faster than it can be read: the caller has a part and asks again
}

// readChunks passes on the sealed chunks from the one that holds the number next.
func readChunks(tx Tx, deployment string, next uint64, take func([]byte, string) (bool, error)) (bool, error) {
	prefix := partPrefix(deployment, "c")
	var keys []string
	for k, err := range tx.Keys(prefix) {
		if err != nil {
			return false, err
		}
		keys = append(keys, k)
	}
	at, exact := slices.BinarySearch(keys, prefix+Num(next))
	if !exact && at > 0 {
		at--
	}
	for _, k := range keys[min(at, len(keys)):] {
		e, err := tx.Get(k)
		if errors.Is(err, ErrNotFound) {
			continue // truncated meanwhile
		}
		if err != nil {
			return false, err
		}
		if goOn, err := take(e.Value, k); err != nil || !goOn {
			return false, err
		}
	}
	return true, nil
}

// Poll is Read that waits up to wait for something chosen by the filter. The page is empty when the time has passed, with Last advanced over
// what was not chosen.
func (l *EventLog) Poll(ctx context.Context, filter EventFilter, after uint64, limit int, wait time.Duration) (Page, error) {
	return l.poll(ctx, headKey(filter.Deployment), after, wait, func(after uint64) (Page, error) {
		return l.Read(ctx, filter, after, limit)
	})
}

// poll repeats a read, whenever a key below prefix changes, until it finds something or the time has passed.
func (l *EventLog) poll(ctx context.Context, prefix string, after uint64, wait time.Duration, read func(uint64) (Page, error)) (Page, error) {
	if wait <= 0 {
		return read(after)
	}
	sub := l.bell.subscribe(l.store, prefix) // before reading, so that nothing falls between
	defer l.bell.unsubscribe(sub)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		page, err := read(after)
		if err != nil || len(page.Events) > 0 {
			return page, err
		}
		after = page.Last
		if page.More {
			continue
		}
		select {
		case <-sub.wake:
			if err := sub.failure(); err != nil {
				return page, err
			}
		case <-timer.C:
			return page, nil
		case <-ctx.Done():
			return page, context.Cause(ctx)
		}
	}
}

// Follow yields the events of filter.Deployment after a sequence number, and then every new one, until ctx is done, whose cause is
// the last error, or the caller stops. It may begin before the deployment exists.
func (l *EventLog) Follow(ctx context.Context, filter EventFilter, after uint64) iter.Seq2[event.Event, error] {
	return l.follow(ctx, headKey(filter.Deployment), after, func(after uint64) (Page, error) {
		return l.Read(ctx, filter, after, 0)
	})
}

func (l *EventLog) follow(ctx context.Context, prefix string, after uint64, read func(uint64) (Page, error)) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		sub := l.bell.subscribe(l.store, prefix)
		defer l.bell.unsubscribe(sub)
		for {
			page, err := read(after)
			if err != nil {
				yield(event.Event{}, err)
				return
			}
			for _, e := range page.Events {
				if !yield(e, nil) {
					return
				}
			}
			after = page.Last
			if page.More {
				continue
			}
			select {
			case <-sub.wake:
				err = sub.failure()
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
			if err != nil {
				yield(event.Event{}, err)
				return
			}
		}
	}
}
