package main

import (
	"context"
	"log/slog"
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

// tenantKnown refuses to work in a tenant that does not exist, as a server does: what is put there could not be found by anybody.
func tenantKnown(ctx context.Context, svc *service, tenant string) error {
	if tenant == "" || tenant == orch.DefaultTenant {
		return nil
	}
	known, err := svc.access.HasTenant(ctx, tenant)
	if err == nil && !known {
		err = &orch.Error{Kind: orch.KindNotFound, Msg: "there is no tenant " + tenant, Hint: "an admin of the server makes one: orch tenants add"}
	}
	return err
}

// asOwner is the service in this process as its user sees it in a tenant; what it changes is in the audit log.
func asOwner(svc *service, tenant string, log *slog.Logger) orch.Service {
	who, _ := whoAmI(tenant)(context.Background()) // it cannot fail
	who.Via = "local"
	return orch.Audited(orch.InTenant(svc, tenant), who, func(err error) { log.Error("cannot write the audit log", "error", err) })
}

// userName of who runs this process.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "owner"
}
