package orch

import (
	"context"
	"errors"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/hostpool"
)

// Hosts are the pools of hosts that exist already (package hostpool). Errors are *Error: KindNotFound, KindConflict for what exists, is in use
// or has changed, KindUser for what is wrong.
type Hosts interface {
	// Pools with hosts.
	Pools(ctx context.Context) ([]string, error)
	// List the hosts of a pool that all filters accept.
	List(ctx context.Context, pool string, filters []string) (HostList, error)
	Host(ctx context.Context, pool, name string) (*hostpool.Host, error)
	// Add and Update return the host with the reason why it cannot be used, if so.
	Add(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error)
	Update(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error)
	Remove(ctx context.Context, pool, name string) error
	// ApplyHosts makes the pool consist of these hosts, unless it has changed since the checkpoint (nil: whatever has changed).
	ApplyHosts(ctx context.Context, pool string, hosts map[string]hostpool.Wanted, checkpoint *uint64) (HostList, error)
}

// HostList of a pool. The checkpoint grows with every change of the pool.
type HostList struct {
	Checkpoint uint64           `json:"checkpoint"`
	Hosts      []*hostpool.Host `json:"hosts"`
}

// PoolSecrets lets a pool keep its passwords and keys among a driver's secrets.
type PoolSecrets struct{ driver.Secrets }

var _ hostpool.Secrets = PoolSecrets{}

// Put implements hostpool.Secrets.
func (s PoolSecrets) Put(ctx context.Context, ref string, value []byte) error {
	if err := s.Remove(ctx, ref); err != nil {
		return err
	}
	_, err := s.Generate(ctx, ref, func() ([]byte, error) { return value, nil })
	return err
}

// Hosts implements Service.
func (l *Local) Hosts() Hosts { return hosts{l.opts.Pool} }

type hosts struct{ pool *hostpool.Pool }

func (h hosts) Pools(ctx context.Context) ([]string, error) {
	if h.pool == nil {
		return nil, nil
	}
	names, err := h.pool.Locations(ctx)
	return names, storeError(err)
}

func (h hosts) List(ctx context.Context, pool string, filters []string) (HostList, error) {
	parsed, err := hostpool.ParseFilters(filters)
	if err != nil {
		return HostList{}, hostError(err)
	}
	if h.pool == nil {
		return HostList{}, nil
	}
	all, at, err := h.pool.Hosts(ctx, pool, parsed...)
	return HostList{at, all}, hostError(err)
}

var errNoPool = &Error{Kind: KindUser, Msg: "this service keeps no pools of hosts"}

func hostCall[T any](h hosts, fn func(*hostpool.Pool) (T, error)) (T, error) {
	if h.pool == nil {
		var none T
		return none, errNoPool
	}
	v, err := fn(h.pool)
	return v, hostError(err)
}

func (h hosts) Host(ctx context.Context, pool, name string) (*hostpool.Host, error) {
	return hostCall(h, func(p *hostpool.Pool) (*hostpool.Host, error) { return p.Host(ctx, pool, name) })
}

func (h hosts) Add(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return hostCall(h, func(p *hostpool.Pool) (*hostpool.Host, error) { return p.Add(ctx, pool, name, w) })
}

func (h hosts) Update(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return hostCall(h, func(p *hostpool.Pool) (*hostpool.Host, error) { return p.Update(ctx, pool, name, w) })
}

func (h hosts) Remove(ctx context.Context, pool, name string) error {
	_, err := hostCall(h, func(p *hostpool.Pool) (struct{}, error) { return struct{}{}, p.Remove(ctx, pool, name) })
	return err
}

func (h hosts) ApplyHosts(ctx context.Context, pool string, wanted map[string]hostpool.Wanted, checkpoint *uint64) (HostList, error) {
	return hostCall(h, func(p *hostpool.Pool) (HostList, error) {
		if _, err := p.Apply(ctx, pool, wanted, checkpoint); err != nil {
			return HostList{}, err
		}
		all, at, err := p.Hosts(ctx, pool)
		return HostList{at, all}, err
	})
}

// hostError gives a pool's error its kind.
func hostError(err error) error {
	var known *Error
	kinds := []struct {
		err  error
		kind Kind
		hint string
	}{
		{hostpool.ErrNotFound, KindNotFound, "orch hosts list shows the hosts of a pool"},
		{hostpool.ErrExists, KindConflict, "change it with orch hosts update"},
		{hostpool.ErrAllocated, KindConflict, "undeploy what uses it first"},
		{hostpool.ErrStale, KindConflict, "read the pool again and decide anew"},
		{hostpool.ErrInvalid, KindUser, ""},
	}
	if err == nil || errors.As(err, &known) {
		return err
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			e := &Error{Kind: k.kind, Msg: err.Error(), Hint: k.hint}
			if k.kind == KindNotFound {
				e.Err = ErrNotFound
			}
			return e
		}
	}
	return storeError(err)
}
