// Package hostpool owns the hosts that exist already and that deployments may use: who they are, how to log in, their labels, and which
// instances they are given to.
//
// A pool is a location of the plugin "hostspool". Hosts lie in the store, so that several servers share one pool and no host is given away
// twice; passwords and keys lie among the secrets. The package must not know drivers, documents or HTTP.
package hostpool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

// Errors that callers tell apart.
var (
	ErrNotFound  = errors.New("there is no such host")
	ErrExists    = errors.New("the host exists already")
	ErrAllocated = errors.New("the host is in use")
	// ErrStale: the pool has changed since the checkpoint.
	ErrStale = errors.New("the pool has changed since it was read")
	// ErrInvalid is a mistake in what was asked.
	ErrInvalid = errors.New("invalid")
	// ErrNoHost: no host fits and is free.
	ErrNoHost = errors.New("no host of the pool fits")
)

// Connection says how to log in. Secrets are references into the secrets store.
type Connection struct {
	Host        string `json:"host"`
	Port        int    `json:"port,omitempty"`
	User        string `json:"user,omitempty"`
	PasswordRef string `json:"password_ref,omitempty"`
	KeyRef      string `json:"key_ref,omitempty"`
}

// Allocation gives a host to an instance.
type Allocation struct {
	ID         string `json:"id"` // deployment/node/instance
	Deployment string `json:"deployment"`
	Node       string `json:"node"`
	Instance   string `json:"instance"`
	Shareable  bool   `json:"shareable,omitempty"`
	// Resources taken of a shared host: quantities by label, in bytes or numbers.
	Resources map[string]float64 `json:"resources,omitempty"`
	// Policy by which the host was chosen.
	Policy string `json:"policy,omitempty"`
	// Instead is the operation that has given it in place of another host.
	Instead string    `json:"instead,omitempty"`
	Since   time.Time `json:"since"`
}

// Host of a pool.
type Host struct {
	Location    string            `json:"location"`
	Name        string            `json:"name"`
	Connection  Connection        `json:"connection"`
	Labels      map[string]string `json:"labels,omitempty"`
	Allocations []Allocation      `json:"allocations,omitempty"`
	// Reason is why the host cannot be used; "" when it can.
	Reason  string    `json:"reason,omitempty"`
	Updated time.Time `json:"updated"`
}

// Status of a host.
type Status string

const (
	Free      Status = "free"
	Allocated Status = "allocated"
	Failed    Status = "error"
)

// Status is what can be done with the host now.
func (h *Host) Status() Status {
	switch {
	case h.Reason != "":
		return Failed
	case len(h.Allocations) > 0:
		return Allocated
	}
	return Free
}

// Secrets keeps passwords and keys of hosts.
type Secrets interface {
	// Put stores a value under a reference, over what is there.
	Put(ctx context.Context, ref string, value []byte) error
	Remove(ctx context.Context, ref string) error
}

// Options of a Pool. Store must be set.
type Options struct {
	Store state.Store
	// Secrets must be set for hosts that have any.
	Secrets Secrets
	// Reach tries to log in; its error is why a host cannot be used. Nil: hosts are believed to be there.
	Reach func(ctx context.Context, h *Host) error
	// Now is time.Now unless given.
	Now func() time.Time
}

// Pool of all locations.
type Pool struct{ opts Options }

// New returns the pools in a store.
func New(o Options) *Pool {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Pool{opts: o}
}

// The records:
//
//	hosts/<location>/pool          revision: the checkpoint
//	hosts/<location>/host/<name>   Host
func poolKey(location string) string { return state.Join("hosts", location, "pool") }

func hostKey(location, name string) string { return state.Join("hosts", location, "host", name) }

func hostPrefix(location string) string { return state.Prefix("hosts", location, "host") }

type revision struct {
	Location   string `json:"location"`
	Checkpoint uint64 `json:"checkpoint"`
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,199}$`)

func checkNames(location, host string) error {
	for what, name := range map[string]string{"location": location, "host": host} {
		if !validName.MatchString(name) {
			return fmt.Errorf("%w: %q cannot be the name of a %s", ErrInvalid, name, what)
		}
	}
	return nil
}

// touch counts a change of the pool.
func touch(tx state.Tx, location string) error {
	r, _, err := state.Find[revision](tx, poolKey(location))
	if err != nil {
		return err
	}
	return state.Put(tx, poolKey(location), revision{location, r.Checkpoint + 1})
}

func hostsOf(tx state.Tx, location string) ([]*Host, error) {
	var out []*Host
	for r, err := range state.List[Host](tx, hostPrefix(location)) {
		if err != nil {
			return nil, err
		}
		h := r.Value
		out = append(out, &h)
	}
	return out, nil
}

// Locations with hosts, sorted.
func (p *Pool) Locations(ctx context.Context) ([]string, error) {
	names := map[string]bool{}
	err := p.opts.Store.View(ctx, func(tx state.Tx) error {
		clear(names)
		for r, err := range state.List[revision](tx, state.Prefix("hosts")) {
			if err == nil && r.Value.Location != "" && r.Key == poolKey(r.Value.Location) {
				names[r.Value.Location] = true
			}
		}
		return nil
	})
	return slices.Sorted(maps.Keys(names)), err
}

// Hosts of a location that all filters accept, by name, and the pool's checkpoint.
func (p *Pool) Hosts(ctx context.Context, location string, filters ...*Filter) (out []*Host, checkpoint uint64, err error) {
	err = p.opts.Store.View(ctx, func(tx state.Tx) error {
		out = nil
		r, _, err := state.Find[revision](tx, poolKey(location))
		if err != nil {
			return err
		}
		checkpoint = r.Checkpoint
		all, err := hostsOf(tx, location)
		for _, h := range all {
			if matches(h, filters) {
				out = append(out, h)
			}
		}
		return err
	})
	return out, checkpoint, err
}

func matches(h *Host, filters []*Filter) bool {
	return !slices.ContainsFunc(filters, func(f *Filter) bool { return !f.Matches(h.Labels) })
}

// Host by name, or ErrNotFound.
func (p *Pool) Host(ctx context.Context, location, name string) (*Host, error) {
	var h Host
	err := p.opts.Store.View(ctx, func(tx state.Tx) (err error) {
		h, _, err = state.Get[Host](tx, hostKey(location, name))
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s in the pool %s", ErrNotFound, name, location)
	}
	return &h, err
}
