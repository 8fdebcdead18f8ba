package a4c

import (
	"context"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// cache keeps what was read of deployments while nothing new has happened. After a deployment the plugin asks for every node, every instance
// and every attribute, one by one; reading the whole deployment each time would take minutes for a large one.
//
// An entry is as old as the index that was read before it, so what is newer than the index is never missed. It does not live long either:
// not everything that changes a deployment has an event.
type cache struct {
	mu      sync.Mutex
	entries map[string]entry
	now     func() time.Time
}

type entry struct {
	index  uint64
	at     time.Time
	detail *orch.Detail
}

const (
	cacheAge  = 5 * time.Second
	cacheSize = 32
)

// detail of a deployment.
func (s *Server) detail(ctx context.Context, id string) (*orch.Detail, error) {
	index, err := s.opts.Feed.LastIndex(ctx)
	if err != nil {
		return nil, err
	}
	k := &s.cache
	k.mu.Lock()
	e, ok := k.entries[id]
	k.mu.Unlock()
	if ok && e.index == index && k.now().Sub(e.at) < cacheAge {
		return e.detail, nil
	}
	d, err := s.opts.Service.Deployment(ctx, id)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for old, e := range k.entries {
		if len(k.entries) < cacheSize && k.now().Sub(e.at) < cacheAge {
			continue
		}
		delete(k.entries, old)
	}
	k.entries[id] = entry{index, k.now(), d}
	return d, nil
}
