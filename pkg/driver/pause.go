package driver

import (
	"context"
	"errors"
	"sync"
)

// ErrNotBegun as a cancellation cause ends what a driver waits for before it has begun anything.
var ErrNotBegun = errors.New("cancelled while it waited: nothing was begun")

// Pauses are what an act waits for before it begins anything, and can be given up without harm: a host to become ready, a free place.
//
//	acting ──Pause──▶ waiting ──end──▶ acting        Quit ends what waits, now and from then on
type Pauses struct {
	mu      sync.Mutex
	quit    bool
	idle    bool // the last wait has failed: nothing was begun after it
	waiting map[*pause]bool
}

type pause struct{ stop context.CancelCauseFunc }

type pausesKey struct{}

// WithPauses lets whoever works under the context wait so that p.Quit ends it. An act of which something may have been begun before has none.
func WithPauses(ctx context.Context, p *Pauses) context.Context {
	return context.WithValue(ctx, pausesKey{}, p)
}

// Pause begins a wait before anything is begun: the context for it ends, with the cause ErrNotBegun, when the task is to begin nothing more. end is
// told how the wait has ended, and returns that, or ErrNotBegun; something is begun only if it returns nil.
func Pause(ctx context.Context) (wait context.Context, end func(error) error) {
	p, _ := ctx.Value(pausesKey{}).(*Pauses)
	if p == nil {
		return ctx, func(err error) error { return err }
	}
	wait, stop := context.WithCancelCause(ctx)
	w := &pause{stop}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = map[*pause]bool{}
	}
	p.waiting[w] = true
	if p.quit {
		stop(ErrNotBegun)
	}
	return wait, func(err error) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting, w)
		stop(nil)
		if p.quit {
			err = ErrNotBegun
		}
		p.idle = err != nil
		return err
	}
}

// Quit ends what is waited for, and reports whether anything was.
func (p *Pauses) Quit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quit = true
	for w := range p.waiting {
		w.stop(ErrNotBegun)
	}
	return len(p.waiting) > 0
}

// Begun reports whether something may have been begun, of an act that has ended.
func (p *Pauses) Begun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.idle
}
