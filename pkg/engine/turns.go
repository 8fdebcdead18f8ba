package engine

import (
	"context"
	"sync"
)

// turns lets the operations on one host take turns across tasks: what runs at once in one task is bounded by its own slots, which know nothing
// of the other tasks of the deployment.
type turns struct {
	mu    sync.Mutex
	hosts map[string]*turn
}

type turn struct {
	places chan struct{}
	users  int // who has a place or waits for one
}

// take waits for a place and returns what gives it back. busy is called if it has to wait.
func (t *turns) take(ctx context.Context, host string, limit int, busy func()) (free func(), err error) {
	t.mu.Lock()
	if t.hosts == nil {
		t.hosts = map[string]*turn{}
	}
	h := t.hosts[host]
	if h == nil {
		h = &turn{places: make(chan struct{}, limit)}
		t.hosts[host] = h
	}
	h.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if h.users--; h.users == 0 {
			delete(t.hosts, host)
		}
	}
	free = func() { <-h.places; leave() }
	select {
	case h.places <- struct{}{}:
		return free, nil
	default:
	}
	busy()
	select {
	case h.places <- struct{}{}:
		return free, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
