package consul

import (
	"context"
	"sync"
	"time"
)

// hotKeys makes the transactions of one process take turns over keys on which they have come into conflict, such as the head of an event log
// that many steps append to. Without it all but one of N would fail, and try again, each time. It is no guarantee, only manners: who waits
// too long goes on without, and the check of the commit decides. So a deadlock of turns costs a moment, not more.
//
// Who has the turn also finds what the one before has written, and need not ask Consul for it. Should another process have changed it, the
// commit fails and the next attempt asks.
type hotKeys struct {
	mu   sync.Mutex
	keys map[string]*hotKey
}

type hotKey struct {
	turn  chan struct{} // one slot
	until time.Time
	users int

	// What Consul holds, as far as this process knows; for who has the turn.
	known bool
	value []byte
	index uint64 // 0: absent
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

// lock waits for the turn on a hot key, which unlock ends; nil if the key is not hot, or it took too long.
func (h *hotKeys) lock(ctx context.Context, key string) *hotKey {
	h.mu.Lock()
	k := h.keys[key]
	if k == nil {
		h.mu.Unlock()
		return nil
	}
	k.users++
	k.until = time.Now().Add(hotTime)
	h.mu.Unlock()
	timer := time.NewTimer(turnTime)
	defer timer.Stop()
	select {
	case k.turn <- struct{}{}:
		return k
	case <-timer.C:
	case <-ctx.Done():
	}
	h.leave(k)
	return nil
}

func (h *hotKeys) unlock(k *hotKey) {
	<-k.turn
	h.leave(k)
}

func (h *hotKeys) leave(k *hotKey) {
	h.mu.Lock()
	k.users--
	h.mu.Unlock()
}
