package main

import (
	"context"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

// Hosts implements orch.Service.
func (s *shared) Hosts() orch.Hosts { return sharedHosts{s} }

type sharedHosts struct{ s *shared }

func (x sharedHosts) Pools(ctx context.Context) ([]string, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]string, error) { return svc.Hosts().Pools(ctx) })
}

func (x sharedHosts) List(ctx context.Context, pool string, filters []string) (orch.HostList, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.HostList, error) { return svc.Hosts().List(ctx, pool, filters) })
}

func (x sharedHosts) Host(ctx context.Context, pool, name string) (*hostpool.Host, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (*hostpool.Host, error) { return svc.Hosts().Host(ctx, pool, name) })
}

func (x sharedHosts) Add(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return ask(ctx, x.s, enlist, func(svc orch.Service) (*hostpool.Host, error) { return svc.Hosts().Add(ctx, pool, name, w) })
}

func (x sharedHosts) Update(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return ask(ctx, x.s, enlist, func(svc orch.Service) (*hostpool.Host, error) { return svc.Hosts().Update(ctx, pool, name, w) })
}

func (x sharedHosts) Remove(ctx context.Context, pool, name string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Hosts().Remove(ctx, pool, name) })
}

func (x sharedHosts) ApplyHosts(ctx context.Context, pool string, wanted map[string]hostpool.Wanted, at *uint64) (orch.HostList, error) {
	return ask(ctx, x.s, enlist, func(svc orch.Service) (orch.HostList, error) { return svc.Hosts().ApplyHosts(ctx, pool, wanted, at) })
}

// Locations implements orch.Service.
func (s *shared) Locations() orch.Locations { return sharedLocations{s} }

type sharedLocations struct{ s *shared }

func (x sharedLocations) List(ctx context.Context) ([]orch.LocationInfo, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.LocationInfo, error) { return svc.Locations().List(ctx) })
}

func (x sharedLocations) Put(ctx context.Context, l orch.LocationInfo, create bool) error {
	return x.s.use(ctx, place, func(svc orch.Service) error { return svc.Locations().Put(ctx, l, create) })
}

func (x sharedLocations) Usage(ctx context.Context, name string) ([]orch.Usage, error) {
	return ask(ctx, x.s, act, func(svc orch.Service) ([]orch.Usage, error) { return svc.Locations().Usage(ctx, name) })
}

func (x sharedLocations) Remove(ctx context.Context, name string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Locations().Remove(ctx, name) })
}
