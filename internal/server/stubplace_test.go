package server

import (
	"context"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

type (
	stubHosts     struct{ s *stub }
	stubLocations struct{ s *stub }
)

func stubHost(pool, name string) *hostpool.Host {
	return &hostpool.Host{Location: pool, Name: name, Connection: hostpool.Connection{Host: "box.example", Port: 22, User: "me"}, Labels: map[string]string{"gpu": "1"}}
}

func (h stubHosts) Pools(context.Context) ([]string, error) { return []string{"lab"}, h.s.err }
func (h stubHosts) List(_ context.Context, pool string, _ []string) (orch.HostList, error) {
	return orch.HostList{Checkpoint: 1, Hosts: []*hostpool.Host{stubHost(pool, "box")}}, h.s.err
}
func (h stubHosts) Host(_ context.Context, pool, name string) (*hostpool.Host, error) {
	return stubHost(pool, name), h.s.err
}
func (h stubHosts) Add(_ context.Context, pool, name string, _ hostpool.Wanted) (*hostpool.Host, error) {
	return stubHost(pool, name), h.s.err
}
func (h stubHosts) Update(_ context.Context, pool, name string, _ hostpool.Wanted) (*hostpool.Host, error) {
	return stubHost(pool, name), h.s.err
}
func (h stubHosts) Remove(context.Context, string, string) error { return h.s.err }
func (h stubHosts) ApplyHosts(_ context.Context, pool string, _ map[string]hostpool.Wanted, _ *uint64) (orch.HostList, error) {
	return orch.HostList{Checkpoint: 2, Hosts: []*hostpool.Host{stubHost(pool, "box")}}, h.s.err
}

func (l stubLocations) List(context.Context) ([]orch.LocationInfo, error) {
	return []orch.LocationInfo{{Name: "lab", Plugin: "hostspool"}}, l.s.err
}
func (l stubLocations) Usage(context.Context, string) ([]orch.Usage, error) {
	return []orch.Usage{{Service: "compute", Resource: "ram", Used: 512, Limit: -1, Unit: "MiB"}}, l.s.err
}
func (l stubLocations) Put(context.Context, orch.LocationInfo, bool) error { return l.s.err }
func (l stubLocations) Remove(context.Context, string) error               { return l.s.err }
