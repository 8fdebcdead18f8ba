package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/orch-project/orch/internal/server"
	"github.com/orch-project/orch/internal/server/a4c"
	"github.com/orch-project/orch/internal/server/cloudify"
	"github.com/orch-project/orch/pkg/orch"
)

// mounts are the endpoints beside the native API: Alien4Cloud's at the root, Cloudify's below its versions.
func mounts(ctx context.Context, svc *service, clouds *clouds, log *slog.Logger) []server.Mount {
	aliens := &byTenant{make: func(tenant string) http.Handler {
		return a4c.New(a4c.Options{Service: orch.InTenant(svc, tenant), Feed: orch.FeedInTenant(svc, tenant), Collector: svc, Logger: log, Stop: ctx.Done()}).Handler()
	}}
	handler := &byTenant{make: func(tenant string) http.Handler { return clouds.of(tenant).Handler() }}
	out := []server.Mount{{Handler: aliens, Needs: a4c.Needs, Refuse: a4c.Refuse}}
	for _, p := range cloudify.Prefixes() {
		out = append(out, server.Mount{Prefix: p, Handler: handler, Needs: cloudify.Needs, Refuse: cloudify.Refuse})
	}
	return out
}

// clouds are Cloudify's endpoints, one for each tenant.
type clouds struct {
	svc   *service
	log   *slog.Logger
	fetch func(ctx context.Context, url string) (io.ReadCloser, error)

	mu  sync.Mutex
	all map[string]*cloudify.Server
}

func (c *clouds) of(tenant string) *cloudify.Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.all[tenant]
	if s == nil {
		if c.all == nil {
			c.all = map[string]*cloudify.Server{}
		}
		s = cloudify.New(cloudify.Options{Service: orch.InTenant(c.svc, tenant), Engine: inTenant{orch.FeedInTenant(c.svc, tenant), orch.CreatorInTenant(c.svc, tenant),
			orch.ModellerInTenant(c.svc, tenant)}, Store: c.svc.store, Tenant: tenant, Logger: c.log, Fetch: c.fetch, Peer: c.of})
		c.all[tenant] = s
	}
	return s
}

// keepTimes starts what Cloudify's clients have scheduled, in every tenant, until ctx ends.
func (c *clouds) keepTimes(ctx context.Context) {
	said := ""
	for {
		tenants, err := cloudify.Due(ctx, c.svc.store, time.Now())
		for _, tenant := range tenants {
			err = errors.Join(err, c.of(tenant).Work(ctx))
		}
		if err != nil && ctx.Err() == nil && err.Error() != said { // once, not every few seconds
			c.log.Warn("cannot start everything that is due", "error", err)
		}
		if said = ""; err != nil {
			said = err.Error()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(recoverPace):
		}
	}
}

// inTenant is what Cloudify's endpoint needs of the engine, as a tenant sees it.
type inTenant struct {
	orch.Feed
	orch.Creator
	orch.Modeller
}
