package orch

import (
	"context"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// Feed is what endpoints in the process of the Service need besides it: long polls over the index of all events, and the resolved topology.
type Feed interface {
	// LastIndex is the index of the newest event of all deployments; 0 if there never was one. It never falls.
	LastIndex(ctx context.Context) (uint64, error)
	// Page returns events after an index, of all deployments or of f.Deployment (ErrNotFound), and waits that long for the first. Of f,
	// Deployment, Task, Node, Instance, Types and After count.
	Page(ctx context.Context, f Filter, limit int, wait time.Duration) (EventPage, error)
	// Announce stores events about a deployment that no task tells of.
	Announce(ctx context.Context, deployment string, events ...event.Event) error
	// Topology is the resolved topology of a deployment; ErrNotFound.
	Topology(ctx context.Context, deployment string) (*topology.Topology, error)
	// Scaling says how far a node can be scaled.
	Scaling(ctx context.Context, deployment, node string) (Scalable, error)
}

// EventPage is a part of the index.
type EventPage struct {
	Events []event.Event
	// Last is where to go on: the index of the last event looked at, the caller's own position if there was nothing new.
	Last uint64
}

var _ Feed = (*Local)(nil)

// LastIndex implements Feed.
func (l *Local) LastIndex(ctx context.Context) (uint64, error) {
	last, err := l.events.LastIndex(ctx)
	return last, storeError(err)
}

// Page implements Feed.
func (l *Local) Page(ctx context.Context, f Filter, limit int, wait time.Duration) (EventPage, error) {
	if f.Deployment != "" {
		if _, err := loadDeployment(ctx, l.store, f.Deployment); err != nil {
			return EventPage{Last: f.After}, err
		}
	}
	filter := state.EventFilter{Deployment: f.Deployment, Task: f.Task, Node: f.Node, Instance: f.Instance, Types: f.Types}
	read := l.events.ReadIndex
	if wait > 0 {
		read = func(ctx context.Context, filter state.EventFilter, after uint64, limit int) (state.Page, error) {
			return l.events.PollIndex(ctx, filter, after, limit, wait)
		}
	}
	page, err := read(ctx, filter, f.After, limit)
	if err != nil {
		return EventPage{Last: f.After}, storeError(err)
	}
	return EventPage{Events: page.Events, Last: page.Last}, nil
}

// Announce implements Feed.
func (l *Local) Announce(ctx context.Context, deployment string, events ...event.Event) error {
	if _, err := loadDeployment(ctx, l.store, deployment); err != nil {
		return err
	}
	_, err := l.events.Append(ctx, deployment, events...)
	return storeError(err)
}

// Topology implements Feed.
func (l *Local) Topology(ctx context.Context, deployment string) (*topology.Topology, error) {
	v, err := l.view(ctx, deployment)
	if err != nil {
		return nil, err
	}
	return v.topology, nil
}
