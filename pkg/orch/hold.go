package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// holding is a deployment that this process holds: one lease for all tasks of it that run here, and for the requests that are being looked at.
//
//	(nobody) ──hold──▶ held by its users ──the last one lets go──▶ leaving ──lease given back──▶ (nobody)
type holding struct {
	name  string
	ready chan struct{} // closed when lease or err is set
	gone  chan struct{} // closed when the lease is given back
	lease *state.Lease
	err   error
	stop  context.CancelFunc // of what looks for other processes' requests
	asked chan struct{}      // one slot: other processes may have asked for something

	// guarded by Local.mu
	users   int
	leaving bool
	tasks   map[string]*running
	ends    int // of tasks: what was planned before one is of a state that is no more

	// admit is held while a request is planned and its task started or queued: nothing else starts meanwhile, though tasks may end.
	admit sync.Mutex
}

// hold takes the deployment's lease, or shares it. Whoever gets a holding calls letGo. Where another process has the lease the error is a
// *state.HeldError.
func (l *Local) hold(ctx context.Context, name string) (*holding, error) {
	if !validName(name) {
		return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no name for a deployment", name),
			Hint: "use letters, digits, '-', '_' and '.', up to 128 of them"}
	}
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return nil, &Error{Kind: KindConflict, Msg: ErrClosing.Error()}
		}
		h := l.holdings[name]
		if h == nil {
			h = &holding{name: name, ready: make(chan struct{}), gone: make(chan struct{}), asked: make(chan struct{}, 1), users: 1, tasks: map[string]*running{}, stop: func() {}}
			l.holdings[name] = h
			l.mu.Unlock()
			return h, l.take(ctx, h)
		}
		leaving := h.leaving
		if !leaving {
			h.users++
		}
		l.mu.Unlock()
		if !leaving {
			switch shared, err := l.share(ctx, h); {
			case shared:
				return h, nil
			case err != nil:
				return nil, err
			}
		}
		select {
		case <-h.gone:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// share waits until a holding is ready. It is no use when its lease was lost: then the next one is to be waited for.
func (l *Local) share(ctx context.Context, h *holding) (bool, error) {
	select {
	case <-h.ready:
	case <-ctx.Done():
		l.letGo(h)
		return false, context.Cause(ctx)
	}
	switch {
	case errors.Is(h.err, context.Canceled), errors.Is(h.err, context.DeadlineExceeded):
		return false, nil // who asked first gave up, which is nobody else's affair
	case h.err != nil:
		return false, h.err // it has no users: see take
	case h.lease.Err() != nil:
		l.letGo(h)
		return false, nil
	}
	return true, nil
}

// take gets the lease of a new holding.
func (l *Local) take(ctx context.Context, h *holding) error {
	h.lease, h.err = l.leaseAfterTask(ctx, h.name)
	if h.err != nil {
		l.mu.Lock()
		delete(l.holdings, h.name)
		l.mu.Unlock()
		close(h.ready)
		close(h.gone)
		return h.err
	}
	watching, stop := h.lease.Context(l.life)
	h.stop = stop
	l.mu.Lock()
	if !l.closed {
		l.listen()
		l.tasks.Go(func() { l.answer(watching, h) })
	}
	l.mu.Unlock()
	close(h.ready)
	return nil
}

// letGo ends a use of a holding; the last one gives the lease back.
func (l *Local) letGo(h *holding) {
	l.mu.Lock()
	h.users--
	last := h.users == 0
	h.leaving = h.leaving || last
	l.mu.Unlock()
	if !last {
		return
	}
	h.stop()
	l.release(h.lease)
	l.mu.Lock()
	delete(l.holdings, h.name)
	l.mu.Unlock()
	close(h.gone)
}

// use takes part in a holding that exists, for what its own watchers have seen; false if it is being left.
func (l *Local) use(h *holding) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.leaving || l.closed {
		return false
	}
	h.users++
	return true
}

// running finds a task that runs in this process.
func (l *Local) runningTask(deployment, task string) *running {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.holdings[deployment]; h != nil {
		return h.tasks[task]
	}
	return nil
}

// works lists the tasks of a deployment that run here.
func (l *Local) works(h *holding) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]bool, len(h.tasks))
	for id := range h.tasks {
		out[id] = true
	}
	return out
}

// endsOf counts the tasks of a holding that have ended.
func (l *Local) endsOf(h *holding) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return h.ends
}

// Working lists the tasks that run in this process.
func (l *Local) Working() []Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Task
	for _, h := range l.holdings {
		for _, r := range h.tasks {
			out = append(out, r.asked)
		}
	}
	slices.SortFunc(out, func(a, b Task) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Idle waits until nothing runs here any more.
func (l *Local) Idle(ctx context.Context) error {
	for {
		l.mu.Lock()
		var gone chan struct{}
		for _, h := range l.holdings {
			gone = h.gone
		}
		l.mu.Unlock()
		if gone == nil {
			return nil
		}
		select {
		case <-gone:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *Local) lease(ctx context.Context, name string, wait time.Duration) (*state.Lease, error) {
	lease, err := l.store.Lease(ctx, leaseKey(name), state.LeaseOptions{Owner: l.opts.Owner, Host: l.opts.Host, TTL: l.opts.TTL, Wait: wait})
	var held *state.HeldError
	if err != nil && !errors.As(err, &held) {
		return nil, storeError(err)
	}
	return lease, err
}

// leaseAfterTask takes the lease; where the deployment's tasks have ended it waits for their process to give the lease back: clients react
// to the event of the end, which is stored before.
func (l *Local) leaseAfterTask(ctx context.Context, name string) (*state.Lease, error) {
	lease, err := l.lease(ctx, name, 0)
	if err == nil || asHeld(name, err) == err {
		return lease, err
	}
	tasks, terr := engine.Tasks(ctx, l.store, name)
	if terr != nil || len(tasks) == 0 {
		return lease, err
	}
	for _, t := range tasks {
		if t.Status.Works() {
			return lease, err
		}
	}
	return l.lease(ctx, name, releaseWait)
}

const releaseWait = 10 * time.Second

func (l *Local) release(lease *state.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.life), 5*time.Second)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		l.log.Warn("cannot give a lease back; it ends by itself", "lease", lease.Key(), "error", err)
	}
}

func heldError(name string, held *state.HeldError) error {
	return &Error{Kind: KindConflict, Msg: fmt.Sprintf("deployment %s is busy: %s works on it", name, held.Holder),
		Hint: "follow it with orch status or orch events -f, or stop it with orch cancel; if that process is dead, its hold ends by itself within seconds", Err: held}
}

func asHeld(name string, err error) error {
	var held *state.HeldError
	if errors.As(err, &held) {
		return heldError(name, held)
	}
	return err
}
