package orch

import (
	"context"
	"slices"

	"github.com/orch-project/orch/pkg/hostpool"
)

// Hosts and Locations belong to the server: every tenant may deploy to them, and only the server's admin changes them (the routes say so).

func (s *inTenant) Locations() Locations { return s.svc.Locations() }

// Hosts are shown with the tenant's own deployments under their own names. That others have a host is seen, but not who.
func (s *inTenant) Hosts() Hosts { return hostsInTenant{s.svc.Hosts(), s.scope} }

type hostsInTenant struct {
	Hosts
	scope scope
}

func (h hostsInTenant) shown(host *hostpool.Host) *hostpool.Host {
	if host == nil {
		return nil
	}
	out := *host
	out.Allocations = slices.Clone(host.Allocations)
	for i := range out.Allocations {
		a := &out.Allocations[i]
		name, own := h.scope.bare(a.Deployment)
		if !own {
			*a = hostpool.Allocation{Shareable: a.Shareable, Resources: a.Resources, Since: a.Since}
			continue
		}
		a.Deployment, a.ID = name, name+"/"+a.Node+"/"+a.Instance
	}
	return &out
}

func (h hostsInTenant) list(l HostList, err error) (HostList, error) {
	out := HostList{Checkpoint: l.Checkpoint}
	for _, host := range l.Hosts {
		out.Hosts = append(out.Hosts, h.shown(host))
	}
	return out, h.scope.fail(err)
}

func (h hostsInTenant) one(host *hostpool.Host, err error) (*hostpool.Host, error) {
	return h.shown(host), h.scope.fail(err)
}

func (h hostsInTenant) List(ctx context.Context, pool string, filters []string) (HostList, error) {
	return h.list(h.Hosts.List(ctx, pool, filters))
}

func (h hostsInTenant) Host(ctx context.Context, pool, name string) (*hostpool.Host, error) {
	return h.one(h.Hosts.Host(ctx, pool, name))
}

func (h hostsInTenant) Add(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return h.one(h.Hosts.Add(ctx, pool, name, w))
}

func (h hostsInTenant) Update(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return h.one(h.Hosts.Update(ctx, pool, name, w))
}

func (h hostsInTenant) Remove(ctx context.Context, pool, name string) error {
	return h.scope.fail(h.Hosts.Remove(ctx, pool, name))
}

func (h hostsInTenant) ApplyHosts(ctx context.Context, pool string, wanted map[string]hostpool.Wanted, checkpoint *uint64) (HostList, error) {
	return h.list(h.Hosts.ApplyHosts(ctx, pool, wanted, checkpoint))
}
