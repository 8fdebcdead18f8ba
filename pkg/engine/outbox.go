package engine

import (
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// outbox collects the events that acts emit, from any goroutine, until the loop stores them: soon, and many at once.
type outbox struct {
	mu     sync.Mutex
	space  *sync.Cond
	events []event.Event
	bell   chan struct{}
	timer  *time.Timer
	closed bool
}

const (
	outboxDelay = 50 * time.Millisecond
	outboxMax   = 20_000 // events; who emits more waits for the store
)

func newOutbox() *outbox {
	o := &outbox{bell: make(chan struct{}, 1)}
	o.space = sync.NewCond(&o.mu)
	return o
}

func (o *outbox) add(e event.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.events) >= outboxMax && !o.closed {
		o.space.Wait()
	}
	if o.closed {
		return
	}
	o.events = append(o.events, e)
	if o.timer == nil {
		o.timer = time.AfterFunc(outboxDelay, func() {
			select {
			case o.bell <- struct{}{}:
			default:
			}
		})
	}
}

// due is ready when events have waited long enough.
func (o *outbox) due() <-chan struct{} { return o.bell }

func (o *outbox) take() []event.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
	events := o.events
	o.events = nil
	o.space.Broadcast()
	return events
}

// close lets go of everybody who waits; later events are dropped.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.timer != nil {
		o.timer.Stop()
	}
	o.space.Broadcast()
}
