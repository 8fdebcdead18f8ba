package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/orch-project/orch/internal/server"
	"github.com/orch-project/orch/internal/server/a4c"
	"github.com/orch-project/orch/internal/server/cloudify"
	"github.com/orch-project/orch/pkg/orch"
)

// mounts are the endpoints beside the native API: Alien4Cloud's at the root, Cloudify's below its versions.
func mounts(ctx context.Context, svc *service, log *slog.Logger) []server.Mount {
	aliens := &byTenant{make: func(tenant string) http.Handler {
		return a4c.New(a4c.Options{Service: orch.InTenant(svc, tenant), Feed: orch.FeedInTenant(svc, tenant), Collector: svc, Logger: log, Stop: ctx.Done()}).Handler()
	}}
	clouds := &byTenant{make: func(tenant string) http.Handler {
		return cloudify.New(cloudify.Options{Service: orch.InTenant(svc, tenant), Engine: inTenant{orch.FeedInTenant(svc, tenant), orch.CreatorInTenant(svc, tenant),
			orch.ModellerInTenant(svc, tenant)}, Store: svc.store, Tenant: tenant, Logger: log}).Handler()
	}}
	out := []server.Mount{{Handler: aliens, Needs: a4c.Needs}}
	for _, p := range cloudify.Prefixes() {
		out = append(out, server.Mount{Prefix: p, Handler: clouds, Needs: cloudify.Needs, Refuse: cloudify.Refuse})
	}
	return out
}

// inTenant is what Cloudify's endpoint needs of the engine, as a tenant sees it.
type inTenant struct {
	orch.Feed
	orch.Creator
	orch.Modeller
}
