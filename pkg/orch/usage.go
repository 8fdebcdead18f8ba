package orch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/state"
)

// Usage is how much of something a location has and how much of that is in use, by whomever.
type Usage struct {
	Service  string `json:"service"`  // compute, network, storage; pool
	Resource string `json:"resource"` // instances, cores, ram …; hosts
	Used     int64  `json:"used"`
	Limit    int64  `json:"limit"`          // -1: none
	Unit     string `json:"unit,omitempty"` // MiB, GiB; "" are pieces
}

// UsageSource is a LocationSource that can ask the cloud of a location; "" and DefaultLocation are the default one.
type UsageSource interface {
	Usage(ctx context.Context, location string) ([]Usage, error)
}

// Usage implements Locations.
func (s storedLocations) Usage(ctx context.Context, name string) ([]Usage, error) {
	pools, err := s.l.Hosts().Pools(ctx)
	if err != nil {
		return nil, err
	}
	if slices.Contains(pools, name) {
		return s.poolUsage(ctx, name)
	}
	src, ok := s.l.opts.Locations.(UsageSource)
	if !ok {
		return nil, noLocation(name)
	}
	if name != "" && name != DefaultLocation {
		all, err := s.List(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(l LocationInfo) bool { return l.Name == name }) {
			return nil, noLocation(name)
		}
	}
	return src.Usage(ctx, name)
}

// poolUsage counts a pool's hosts: those that somebody has are used, and so are those that cannot be.
func (s storedLocations) poolUsage(ctx context.Context, pool string) ([]Usage, error) {
	list, err := s.l.Hosts().List(ctx, pool, nil)
	if err != nil {
		return nil, err
	}
	u := Usage{Service: "pool", Resource: "hosts", Limit: int64(len(list.Hosts))}
	for _, h := range list.Hosts {
		if h.Status() != hostpool.Free {
			u.Used++
		}
	}
	return []Usage{u}, nil
}

// Collector asks for the usage of locations in the background, for clients that come back for the answer. Any server of a store has it.
type Collector interface {
	// Collect begins to ask, or returns the collection that does so already.
	Collect(ctx context.Context, infrastructure, location string) (Collection, error)
	// Collection with what has come of it; ErrNotFound.
	Collection(ctx context.Context, id string) (Collection, error)
	// Collections that are kept, oldest first.
	Collections(ctx context.Context) ([]Collection, error)
	// Forget a collection that has ended; KindConflict for others.
	Forget(ctx context.Context, id string) error
}

// Collection of a location's usage.
//
//	usage/<id>
type Collection struct {
	ID             string    `json:"id"`
	Infrastructure string    `json:"infrastructure"` // openstack
	Location       string    `json:"location"`
	Status         string    `json:"status"` // running done failed
	Created        time.Time `json:"created"`
	Cause          string    `json:"cause,omitempty"`
	Usage          []Usage   `json:"usage,omitempty"`
}

const (
	collectTime = time.Minute
	// collectionsKept in a store: beyond these the oldest go.
	collectionsKept = 100
)

var _ Collector = (*Local)(nil)

func usageKey(id string) string { return state.Join("usage", id) }

// settled is the collection as it is now: one whose server has ended will not end any more.
func (c Collection) settled() Collection {
	if c.Status == "running" && now().After(c.Created.Add(2*collectTime)) {
		c.Status, c.Cause = "failed", "the server that asked has ended"
	}
	return c
}

// Collect implements Collector.
func (l *Local) Collect(ctx context.Context, infrastructure, location string) (Collection, error) {
	c := Collection{ID: ulid.Make().String(), Infrastructure: infrastructure, Location: location, Status: "running", Created: now()}
	var same *Collection
	err := l.store.Update(ctx, func(tx state.Tx) error {
		same = nil
		all, err := collections(tx)
		if err != nil {
			return err
		}
		for i, o := range all {
			if o.Status == "running" && o.Infrastructure == infrastructure && o.Location == location {
				same = &all[i]
				return nil
			}
		}
		for i := range max(0, len(all)+1-collectionsKept) {
			if err := tx.Delete(usageKey(all[i].ID)); err != nil {
				return err
			}
		}
		return state.Put(tx, usageKey(c.ID), c)
	})
	if err != nil || same != nil {
		return deref(same), storeError(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return Collection{}, &Error{Kind: KindConflict, Msg: ErrClosing.Error()}
	}
	l.tasks.Add(1)
	go l.collect(c)
	return c, nil
}

func (l *Local) collect(c Collection) {
	defer l.tasks.Done()
	ctx, cancel := context.WithTimeout(l.life, collectTime)
	defer cancel()
	usage, err := l.Locations().Usage(ctx, c.Location)
	c.Status, c.Usage = "done", usage
	if err != nil {
		c.Status, c.Cause = "failed", l.opts.Redactor.String(err.Error())
	}
	if err := l.store.Update(l.life, func(tx state.Tx) error {
		if _, found, err := state.Find[Collection](tx, usageKey(c.ID)); err != nil || !found {
			return err
		}
		return state.Put(tx, usageKey(c.ID), c)
	}); err != nil {
		l.log.Warn("the usage of a location cannot be stored", "location", c.Location, "error", err)
	}
}

func collections(tx state.Tx) (out []Collection, err error) {
	for r, err := range state.List[Collection](tx, state.Prefix("usage")) {
		if err != nil {
			return nil, err
		}
		out = append(out, r.Value.settled())
	}
	return out, nil
}

// Collection implements Collector.
func (l *Local) Collection(ctx context.Context, id string) (c Collection, err error) {
	found := false
	err = l.store.View(ctx, func(tx state.Tx) error {
		c, found, err = state.Find[Collection](tx, usageKey(id))
		return err
	})
	if err == nil && !found {
		err = &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no collection %q", id), Err: ErrNotFound}
	}
	return c.settled(), storeError(err)
}

// Collections implements Collector.
func (l *Local) Collections(ctx context.Context) (all []Collection, err error) {
	err = l.store.View(ctx, func(tx state.Tx) error {
		all, err = collections(tx)
		return err
	})
	return all, storeError(err)
}

// Forget implements Collector.
func (l *Local) Forget(ctx context.Context, id string) error {
	c, err := l.Collection(ctx, id)
	if err != nil {
		return err
	}
	if c.Status == "running" {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("the collection %s still runs", id)}
	}
	return storeError(l.store.Update(ctx, func(tx state.Tx) error { return tx.Delete(usageKey(id)) }))
}
