package state

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// DefaultTTL is how long a holder may be silent before another may take its lease. It is chosen so that a takeover happens
// within 15 s of a death, looking for the dead included.
const DefaultTTL = 10 * time.Second

// Forever in LeaseOptions.Wait waits as long as the context allows.
const Forever time.Duration = -1

// LeaseOptions says who asks. The zero value works.
type LeaseOptions struct {
	Owner string        // who, for people: "orch server a1", "alice"; default the program's name
	Host  string        // where; default the host's name
	TTL   time.Duration // default DefaultTTL; at least 1 s on Consul
	Wait  time.Duration // how long to wait while another holds it: 0 not at all, Forever until the context ends
}

// Defaults fills what is empty.
func (o LeaseOptions) Defaults() LeaseOptions {
	if o.Owner == "" {
		o.Owner = "orch"
	}
	if o.Host == "" {
		o.Host, _ = os.Hostname()
	}
	if o.TTL <= 0 {
		o.TTL = DefaultTTL
	}
	return o
}

// Holder says who holds a lease, where, and since when.
type Holder struct {
	Key        string    `json:"key"`
	Owner      string    `json:"owner"`
	Host       string    `json:"host"`
	PID        int       `json:"pid"`
	Since      time.Time `json:"since"`
	Generation uint64    `json:"generation"` // of this key; 1, 2, 3 … each taking raises it
}

func (h Holder) String() string {
	return fmt.Sprintf("%s (process %d on %s, since %s)", h.Owner, h.PID, h.Host, h.Since.UTC().Format(time.RFC3339))
}

// Lease is the right to act on something, kept alive in the background until it is released or lost.
//
//	held ──Release──▶ released        (others may take it at once)
//	  └──TTL passed without contact, broken, store closed──▶ lost   (Lost is closed before another can have it,
//	                                                                 or, when it was broken, within a fifth of the TTL)
//
// Work under a lease uses its Context, and fences every Update: the context is the fast way to stop, the fence the certain one.
type Lease struct {
	holder  Holder
	token   any // of the implementation
	release func(context.Context) error

	lost     chan struct{}
	mu       sync.Mutex
	cause    error // why it ended; nil while held
	released bool
}

// NewLease is for implementations. release is called once, by Release; token is given back by Token.
func NewLease(h Holder, token any, release func(context.Context) error) *Lease {
	return &Lease{holder: h, token: token, release: release, lost: make(chan struct{})}
}

// Lose is for implementations: the lease is over, for this reason. Only the first call counts.
func (l *Lease) Lose(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = fmt.Errorf("%s: %w: %w", l.holder.Key, ErrFenced, cause)
		close(l.lost)
	}
}

// Token is for implementations.
func (l *Lease) Token() any { return l.token }

// Key is what the lease is for.
func (l *Lease) Key() string { return l.holder.Key }

// Holder is how others see this holder.
func (l *Lease) Holder() Holder { return l.holder }

// Generation grows with every taking of the key; what is done under a lower one is outdated.
func (l *Lease) Generation() uint64 { return l.holder.Generation }

// Lost is closed when the lease is over, by release or by loss.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Err is nil while the lease is held; later it says why it ended and is ErrFenced.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// Context derives a context that ends, with Err as cause, when the lease does, and that LeaseOf finds it in. The caller calls cancel when done.
func (l *Lease) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, leaseOf{}, l))
	go func() {
		select {
		case <-l.lost:
			cancel(l.Err())
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

type leaseOf struct{}

// LeaseOf is the lease under which the work of a context is done, by which its writes are to be fenced; nil without one. It outlasts
// context.WithoutCancel: who was stopped for so long that the lease was lost finds that out by the fence only.
func LeaseOf(ctx context.Context) *Lease {
	l, _ := ctx.Value(leaseOf{}).(*Lease)
	return l
}

// ErrReleased is the reason of a lease that its own holder gave back.
var ErrReleased = fmt.Errorf("released by its holder")

// Release gives the lease back, so that another can take it at once. Releasing a lost lease, or twice, is no error.
func (l *Lease) Release(ctx context.Context) error {
	l.mu.Lock()
	again := l.released || l.cause != nil
	l.released = true
	l.mu.Unlock()
	if again {
		return nil
	}
	l.Lose(ErrReleased) // before others can see it free
	return l.release(ctx)
}
