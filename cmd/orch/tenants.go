package main

import (
	"net/http"
	"os/user"
	"sync"

	"github.com/orch-project/orch/pkg/orch"
)

// byTenant is an endpoint with one handler for each tenant: what it caches is that tenant's own.
type byTenant struct {
	make func(tenant string) http.Handler

	mu  sync.Mutex
	all map[string]http.Handler
}

// ServeHTTP implements http.Handler. The server has checked that the tenant exists.
func (b *byTenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.of(orch.TenantOf(r.Context())).ServeHTTP(w, r)
}

func (b *byTenant) of(tenant string) http.Handler {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.all[tenant]
	if h == nil {
		if b.all == nil {
			b.all = map[string]http.Handler{}
		}
		h = b.make(tenant)
		b.all[tenant] = h
	}
	return h
}

// userName of who runs this process.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "owner"
}
