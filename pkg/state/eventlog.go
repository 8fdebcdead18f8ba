package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// EventLog stores events: a log per deployment with dense sequence numbers from 1, and one order over all of them, the index.
//
//	eventhead/<deployment>           numbers of the log: {next, first, tail}; every append changes it, which serializes the appends
//	events/<deployment>/t/<seq>      the tail: one small chunk per append
//	events/<deployment>/c/<seq>      sealed chunks, of many appends, compressed; <seq> is that of the first event
//	eventindex/c/<index>             ranges of the logs in the order of the index; <index> is that of the first event
//	eventindex/head, eventpos/<dep>  how far the index goes
//
// A million lines of output thus become a few thousand keys. An append writes its events once; when the tail has grown to
// sealBytes or sealParts, or at half of that if somebody has time (Tidy), it is rewritten once, as a chunk.
//
// The index is not given when events are appended, where all deployments would have to agree on every number, but when somebody
// asks for it: a reader first numbers what is new (see Index). So the order over all deployments is the order in which their
// events were noticed, every event gets exactly one number, and no number is ever given twice, by however many servers.
//
// An EventLog is safe for concurrent use; readers that wait share one watch of the store, so a process should have one for reading.
type EventLog struct {
	store Store
	bell  bell
	index indexState
}

// NewEventLog returns the log in a store. Use a Fenced store to write under a lease.
func NewEventLog(s Store) *EventLog { return &EventLog{store: s} }

// logHead is the record of a log.
type logHead struct {
	ID        string `json:"id"`    // of this log; one that is made again after Drop has another
	Next      uint64 `json:"next"`  // sequence number of the next event
	First     uint64 `json:"first"` // of the first event kept
	Tail      uint64 `json:"tail"`  // of the first event in the tail; Next if that is empty
	TailParts int    `json:"parts"`
	TailBytes int    `json:"bytes"`
}

const (
	sealParts  = 64
	sealBytes  = 96 * 1024 // so that the tail's parts fit into one value even if they do not compress
	partBytes  = 96 * 1024 // JSON of one append; larger ones become several
	headPrefix = "eventhead/"

	// Bytes of the fields of an event. A byte may become six of JSON ("\u0000"); an event must fit into a value even then.
	maxText  = 12 * 1024
	maxValue = 8 * 1024
	maxName  = 512
)

func headKey(deployment string) string { return Join("eventhead", deployment) }

func partPrefix(deployment, kind string) string { return Prefix("events", deployment, kind) }

// Append stores events of one deployment, in their order, and returns them with their numbers. What is in Event.Seq is ignored, Deployment is
// set, a zero Time becomes now. Long log messages become several events, other long texts are cut. Up to partBytes of events
// are stored all or nothing; more become several transactions.
func (l *EventLog) Append(ctx context.Context, deployment string, events ...event.Event) ([]event.Event, error) {
	var stored []event.Event
	err := l.append(ctx, deployment, events, func(p part, first uint64) { stored = append(stored, p.numbered(first)...) })
	return stored, err
}

// Add is Append for who does not need to know the numbers.
func (l *EventLog) Add(ctx context.Context, deployment string, events ...event.Event) error {
	return l.append(ctx, deployment, events, func(part, uint64) {})
}

func (l *EventLog) append(ctx context.Context, deployment string, events []event.Event, stored func(p part, first uint64)) error {
	for _, p := range parts(fit(deployment, events)) {
		var first uint64
		err := l.store.Update(ctx, func(tx Tx) (err error) {
			first, err = appendPart(tx, deployment, p)
			return err
		})
		if err != nil {
			return fmt.Errorf("cannot store events of %s: %w", deployment, err)
		}
		stored(p, first)
	}
	return nil
}

// AppendTx is Append inside a transaction, so that a record and the event that tells of it are stored together. It counts for at most 5
// operations and somewhat more bytes than the events; ErrTooLarge if they are more than an Append stores at once.
func AppendTx(tx Tx, deployment string, events ...event.Event) ([]event.Event, error) {
	ps := parts(fit(deployment, events))
	switch len(ps) {
	case 0:
		return nil, nil
	case 1:
		first, err := appendPart(tx, deployment, ps[0])
		if err != nil {
			return nil, err
		}
		return ps[0].numbered(first), nil
	}
	size := 0
	for _, p := range ps {
		size += p.size
	}
	return nil, &TooLargeError{What: "value", Key: partPrefix(deployment, "t"), Size: size, Limit: partBytes}
}

// Last returns the sequence number of the last event of a deployment; 0 if it has none.
func (l *EventLog) Last(ctx context.Context, deployment string) (uint64, error) {
	var last uint64
	err := l.store.View(ctx, func(tx Tx) error {
		h, err := readHead(tx, deployment)
		last = h.Next - 1
		return err
	})
	return last, err
}

// First returns the sequence number of the first event that is kept of a deployment: one more than Last if there is none.
func (l *EventLog) First(ctx context.Context, deployment string) (first uint64, err error) {
	err = l.store.View(ctx, func(tx Tx) error {
		h, err := readHead(tx, deployment)
		first = h.First
		return err
	})
	return first, err
}

// Deployments are the names of those that have a log, of which some may be no more.
func (l *EventLog) Deployments(ctx context.Context) (names []string, err error) {
	err = l.store.View(ctx, func(tx Tx) error {
		names = nil
		for key, err := range tx.Keys(headPrefix) {
			if err != nil {
				return err
			}
			names = append(names, Last(key))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the logs of events: %w", err)
	}
	return names, nil
}

// Drop removes the log of a deployment. One that is appended to later begins at 1 again.
func (l *EventLog) Drop(ctx context.Context, deployment string) error {
	return l.store.Update(ctx, func(tx Tx) error { return DropEventsTx(tx, deployment) })
}

// DropEventsTx is Drop inside a transaction: 3 operations.
func DropEventsTx(tx Tx, deployment string) error {
	return errors.Join(
		tx.DeletePrefix(Prefix("events", deployment)),
		tx.Delete(headKey(deployment)),
		tx.Delete(posKey(deployment)),
	)
}

// EndEventsTx ends the log of a deployment that is no more: of what there was only the last append stays, under its numbers, so that who has not
// read it yet still does, and the given events follow it.
func EndEventsTx(tx Tx, deployment string, events ...event.Event) error {
	h, err := readHead(tx, deployment)
	if err != nil {
		return err
	}
	var last Entry
	for e, err := range tx.List(partPrefix(deployment, "t")) {
		if err != nil {
			return err
		}
		last = e
	}
	if err := tx.DeletePrefix(Prefix("events", deployment)); err != nil {
		return err
	}
	h.First, h.Tail, h.TailParts, h.TailBytes = h.Next, h.Next, 0, 0
	if last.Key != "" {
		kept, err := decodeEvents(last.Value)
		if err != nil || len(kept) == 0 {
			return fmt.Errorf("cannot read %s: %w", last.Key, errors.Join(ErrCorrupt, err))
		}
		h.First, h.Tail, h.TailParts, h.TailBytes = kept[0].Seq, kept[0].Seq, 1, len(last.Value)
		if err := tx.Put(last.Key, last.Value); err != nil {
			return err
		}
	}
	if err := Put(tx, headKey(deployment), h); err != nil {
		return err
	}
	_, err = AppendTx(tx, deployment, events...)
	return err
}

func readHead(tx Tx, deployment string) (logHead, error) {
	h, ok, err := Find[logHead](tx, headKey(deployment))
	if !ok {
		h = logHead{ID: rand.Text()[:12], Next: 1, First: 1, Tail: 1}
	}
	return h, err
}

// appendPart numbers the events, seals the tail if it is full, and adds a part to it. It returns the first number.
func appendPart(tx Tx, deployment string, p part) (uint64, error) {
	h, err := readHead(tx, deployment)
	if err != nil {
		return 0, err
	}
	first, raw := h.Next, p.lines(h.Next)
	if h.TailParts >= sealParts || h.TailParts > 0 && h.TailBytes+len(raw) > sealBytes {
		if err := seal(tx, deployment, &h); err != nil {
			return 0, err
		}
	}
	if err := tx.Put(partPrefix(deployment, "t")+Num(first), raw); err != nil {
		return 0, err
	}
	h.Next += uint64(len(p.events))
	h.TailParts++
	h.TailBytes += len(raw)
	return first, Put(tx, headKey(deployment), h)
}

// seal rewrites the tail as one compressed chunk. The list of the tail is safe although lists are not checked for conflicts: who adds
// to the tail changes the head, which this transaction has got.
func seal(tx Tx, deployment string, h *logHead) error {
	prefix := partPrefix(deployment, "t")
	var all strings.Builder
	for e, err := range tx.List(prefix) {
		if err != nil {
			return err
		}
		all.Write(e.Value)
	}
	if err := tx.DeletePrefix(prefix); err != nil {
		return err
	}
	if err := tx.Put(partPrefix(deployment, "c")+Num(h.Tail), pack([]byte(all.String()))); err != nil {
		return err
	}
	h.Tail, h.TailParts, h.TailBytes = h.Next, 0, 0
	return nil
}

// Tidy seals the tail if it is half full, for who has time for that now and may not have it when the tail is full.
func (l *EventLog) Tidy(ctx context.Context, deployment string) error {
	half := func(h logHead) bool { return h.TailParts >= sealParts/2 || h.TailBytes >= sealBytes/2 }
	var due bool
	err := l.store.View(ctx, func(tx Tx) error {
		h, err := readHead(tx, deployment)
		due = half(h)
		return err
	})
	if err != nil || !due {
		return err
	}
	return l.store.Update(ctx, func(tx Tx) error {
		h, err := readHead(tx, deployment)
		if err != nil || !half(h) {
			return err
		}
		if err := seal(tx, deployment, &h); err != nil {
			return err
		}
		return Put(tx, headKey(deployment), h)
	})
}

// Retention says what to keep of a log; zero fields keep everything.
type Retention struct {
	Events int           // at least so many of the newest
	Age    time.Duration // at least those younger
}

// Truncate removes whole chunks of which every event is beyond all the given bounds, and returns the number of the first event kept.
func (l *EventLog) Truncate(ctx context.Context, deployment string, keep Retention) (uint64, error) {
	var first uint64
	for {
		more := false
		err := l.store.Update(ctx, func(tx Tx) error {
			h, err := readHead(tx, deployment)
			first, more = h.First, false
			if err != nil || keep == (Retention{}) {
				return err
			}
			chunk, end, err := oldestChunk(tx, deployment, h)
			if err != nil || chunk == nil {
				return err
			}
			if keep.Events > 0 && end+uint64(keep.Events) >= h.Next {
				return nil
			}
			if keep.Age > 0 && time.Since(chunk[len(chunk)-1].Time) < keep.Age {
				return nil
			}
			first, more = end+1, true
			if err := tx.Delete(partPrefix(deployment, "c") + Num(chunk[0].Seq)); err != nil {
				return err
			}
			h.First = end + 1
			return Put(tx, headKey(deployment), h)
		})
		if err != nil {
			return first, fmt.Errorf("cannot shorten the events of %s: %w", deployment, err)
		}
		if !more {
			return first, nil
		}
	}
}

// oldestChunk returns the first sealed chunk and the number of its last event; nil if nothing is sealed.
func oldestChunk(tx Tx, deployment string, h logHead) ([]event.Event, uint64, error) {
	if h.First >= h.Tail {
		return nil, 0, nil
	}
	e, err := tx.Get(partPrefix(deployment, "c") + Num(h.First))
	if err != nil {
		return nil, 0, err
	}
	events, err := decodeEvents(e.Value)
	if err != nil || len(events) == 0 {
		return nil, 0, fmt.Errorf("cannot read %s: %w", e.Key, errors.Join(ErrCorrupt, err))
	}
	return events, events[len(events)-1].Seq, nil
}
