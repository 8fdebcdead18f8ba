package state

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// Appender stores the events of one deployment in the background: what is emitted while an append is under way goes into the next, so that
// a thousand lines of output cost a few transactions. Order is kept.
type Appender struct {
	log        *EventLog
	deployment string

	mu     sync.Mutex
	more   *sync.Cond // queue or state has changed
	queue  []event.Event
	bytes  int
	busy   bool // an append is under way
	err    error
	closed bool
	done   chan struct{}
}

// maxQueued bounds what an Appender holds while the store is slow: Emit waits beyond it.
const maxQueued = 4 << 20

// Appender returns one for a deployment. It appends until it is closed, or ctx ends, or an append fails (as when the lease of a Fenced
// store is lost); then it drops what comes and Err says why. The store retries what is worth retrying.
func (l *EventLog) Appender(ctx context.Context, deployment string) *Appender {
	a := &Appender{log: l, deployment: deployment, done: make(chan struct{})}
	a.more = sync.NewCond(&a.mu)
	stop := context.AfterFunc(ctx, func() { a.fail(context.Cause(ctx)) })
	go func() {
		defer close(a.done)
		defer stop()
		a.run(ctx)
	}()
	return a
}

// Emit adds an event; it is an event.Emit. A zero Time becomes now. It waits only while very much is queued.
func (a *Appender) Emit(e event.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.bytes > maxQueued && a.err == nil && !a.closed {
		a.more.Wait()
	}
	if a.err != nil || a.closed {
		return
	}
	a.queue = append(a.queue, e)
	a.bytes += len(e.Message) + len(e.Value) + 200
	a.more.Broadcast()
}

// Flush waits until everything emitted before is stored.
func (a *Appender) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.more.Broadcast()
	})
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for (len(a.queue) > 0 || a.busy) && a.err == nil && ctx.Err() == nil {
		a.more.Wait()
	}
	if a.err == nil && ctx.Err() != nil {
		return fmt.Errorf("events of %s are not stored yet: %w", a.deployment, context.Cause(ctx))
	}
	return a.err
}

// Err says why the appender has stopped; nil while it works.
func (a *Appender) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Close stores what is left and stops. Later events are dropped.
func (a *Appender) Close() error {
	a.mu.Lock()
	a.closed = true
	a.more.Broadcast()
	a.mu.Unlock()
	<-a.done
	return a.Err()
}

func (a *Appender) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
	a.queue, a.bytes = nil, 0
	a.more.Broadcast()
}

func (a *Appender) run(ctx context.Context) {
	for {
		a.mu.Lock()
		for len(a.queue) == 0 && !a.closed && a.err == nil {
			a.more.Wait()
		}
		if a.err != nil || len(a.queue) == 0 {
			a.mu.Unlock()
			return
		}
		batch := a.queue
		a.queue, a.bytes, a.busy = nil, 0, true
		a.more.Broadcast()
		a.mu.Unlock()
		err := a.log.Add(ctx, a.deployment, batch...)
		a.mu.Lock()
		a.busy = false
		a.more.Broadcast()
		a.mu.Unlock()
		if err != nil {
			a.fail(err)
			return
		}
	}
}
