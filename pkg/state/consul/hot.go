package consul

import (
	"context"
	"sync"
	"time"
)

// hotKeys makes the transactions of one process take turns over keys on which they have come into conflict, such as the head of an event log
// that many steps append to. Without it all but one of N would fail, and try again, each time. It is no guarantee, only manners: who waits
// too long goes on without, and the check of the commit decides. So a deadlock of turns costs a moment, not more.
type hotKeys struct {
	mu   sync.Mutex
	keys map[string]*hotKey
}

type hotKey struct {
	turn  chan struct{} // one slot
	until time.Time
	users int
}

const (
	hotTime  = 10 * time.Second
	turnTime = 200 * time.Millisecond
)

// mark makes keys hot for a while.
func (h *hotKeys) mark(keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.keys == nil {
		h.keys = make(map[string]*hotKey)
	}
	now := time.Now()
	for k, v := range h.keys {
		if v.users == 0 && now.After(v.until) {
			delete(h.keys, k)
		}
	}
	for _, k := range keys {
		if h.keys[k] == nil {
			h.keys[k] = &hotKey{turn: make(chan struct{}, 1)}
		}
		h.keys[k].until = now.Add(hotTime)
	}
}

// lock waits for the turn on a hot key and returns what ends it; nil if the key is not hot, or it took too long.
func (h *hotKeys) lock(ctx context.Context, key string) (unlock func()) {
	h.mu.Lock()
	k := h.keys[key]
	if k == nil {
		h.mu.Unlock()
		return nil
	}
	k.users++
	h.mu.Unlock()
	leave := func() {
		h.mu.Lock()
		k.users--
		h.mu.Unlock()
	}
	timer := time.NewTimer(turnTime)
	defer timer.Stop()
	select {
	case k.turn <- struct{}{}:
		return func() { <-k.turn; leave() }
	case <-timer.C:
	case <-ctx.Done():
	}
	leave()
	return nil
}
