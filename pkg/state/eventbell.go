package state

import (
	"context"
	"strings"
	"sync"
)

// bell wakes readers that wait for events. However many they are, they share one watch of the logs' heads, which runs while anybody waits.
type bell struct {
	mu   sync.Mutex
	subs map[*bellSub]struct{}
	stop context.CancelFunc
}

type bellSub struct {
	prefix string
	wake   chan struct{} // one slot; a wake may be false
	mu     sync.Mutex
	err    error
}

func (s *bellSub) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *bellSub) ring(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// subscribe wakes the result when a head below prefix changes. A watch that is only starting tells of everything that exists, so
// what changes after subscribe returns is always told.
func (b *bell) subscribe(store Store, prefix string) *bellSub {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &bellSub{prefix: prefix, wake: make(chan struct{}, 1)}
	if b.subs == nil {
		b.subs = make(map[*bellSub]struct{})
	}
	b.subs[s] = struct{}{}
	if b.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		b.stop = cancel
		go b.run(ctx, store)
	}
	return s
}

func (b *bell) unsubscribe(s *bellSub) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subs, s)
	if len(b.subs) == 0 && b.stop != nil {
		b.stop()
		b.stop = nil
	}
}

func (b *bell) run(ctx context.Context, store Store) {
	for c, err := range store.Watch(ctx, headPrefix, 0) {
		b.mu.Lock()
		if ctx.Err() != nil {
			b.mu.Unlock()
			return // another may have been started meanwhile
		}
		for s := range b.subs {
			if err != nil || strings.HasPrefix(c.Key, s.prefix) {
				s.ring(err)
			}
		}
		if err != nil {
			b.stop() // the next reader starts a new watch
			b.stop = nil
			clear(b.subs)
		}
		b.mu.Unlock()
	}
}
