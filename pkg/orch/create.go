package orch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// Creator records deployments that are not installed yet, as Cloudify has them: created from a blueprint with inputs first, installed by a
// workflow later.
type Creator interface {
	// Create checks a topology and its inputs and keeps both, so that a later Apply without a Source installs them. Nothing runs. What exists
	// is a KindConflict if req.New; otherwise a deployment of which nothing is installed takes the new topology and inputs.
	Create(ctx context.Context, req Request) (Deployment, error)
	// SetAttributes replaces those of an instance, while no task of the deployment runs (KindConflict); what is written as the mask of secrets
	// stays as it is.
	SetAttributes(ctx context.Context, deployment string, in topology.Instance, attributes map[string]any) error
}

var _ Creator = (*Local)(nil)

// Create implements Creator.
func (l *Local) Create(ctx context.Context, req Request) (Deployment, error) {
	req.Verb, req.SkipPreflight = Deploy, true
	req, err := l.fromBlueprint(ctx, req)
	if err != nil {
		return Deployment{}, err
	}
	h, err := l.holdUnrecorded(ctx, req.Deployment)
	if err != nil {
		return Deployment{}, asHeld(req.Deployment, err)
	}
	defer l.letGo(h)
	h.admit.Lock()
	defer h.admit.Unlock()
	if len(l.works(h)) > 0 {
		return Deployment{}, &Error{Kind: KindConflict, Msg: "deployment " + req.Deployment + " is busy", Hint: "orch tasks shows with what"}
	}
	p, err := l.prepare(ctx, req)
	if err != nil {
		return Deployment{}, err
	}
	if err := l.creatable(ctx, p); err != nil {
		return Deployment{}, err
	}
	return l.create(ctx, h, p)
}

// holdUnrecorded holds a deployment, and waits (see unrecordedWait) for one that another process holds and that is not on record.
func (l *Local) holdUnrecorded(ctx context.Context, name string) (*holding, error) {
	for began := time.Now(); ; {
		h, err := l.hold(ctx, name)
		var held *state.HeldError
		if !errors.As(err, &held) || time.Since(began) > unrecordedWait {
			return h, err
		}
		if _, unknown := loadDeployment(ctx, l.store, name); !errors.Is(unknown, ErrNotFound) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(unrecordedPace):
		}
	}
}

// create records a prepared request. h.admit is held.
func (l *Local) create(ctx context.Context, h *holding, p *prepared) (Deployment, error) {
	d := record{Name: p.name, Created: now()}
	if p.have != nil {
		d = *p.have
	}
	rev, err := l.nextRevision(ctx, h.lease, p)
	if err != nil {
		return Deployment{}, err
	}
	d.Last = max(p.last(), rev.N)
	d.Status, d.Doing, d.Cause, d.Updated, d.Revision = StatusCreated, doingCreate, "", now(), rev.N
	d.Topology, d.Description, d.Metadata, d.Location = p.topology.Name, p.topology.Description, p.topology.Metadata, p.location
	if p.req.Source != nil {
		d.Blueprint = p.req.Blueprint
	}
	err = state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) error {
		if p.have == nil {
			if err := state.DropEventsTx(tx, p.name); err != nil { // that one of this name was purged
				return err
			}
		}
		if err := state.Put(tx, revisionKey(p.name, rev.N), rev); err != nil {
			return err
		}
		if err := state.Put(tx, deploymentKey(p.name), d); err != nil {
			return err
		}
		_, err := state.AppendTx(tx, p.name, event.Event{Time: now(), Type: event.DeploymentStatus, Status: string(d.Status), Key: d.Doing})
		return err
	})
	if err != nil {
		return Deployment{}, storeError(err)
	}
	return d.public("", 0), nil
}

// creatable reports what speaks against recording a prepared request.
func (l *Local) creatable(ctx context.Context, p *prepared) error {
	if p.have != nil {
		if p.req.New {
			return existsError(p.name)
		}
		if p.snapshot != nil && len(p.snapshot.Instances) > 0 {
			return &Error{Kind: KindConflict, Msg: fmt.Sprintf("something of deployment %s is installed", p.name), Hint: "update it, or uninstall it first"}
		}
	}
	if !p.diags.HasErrors() {
		l.checkFiles(p)
		l.checkSecrets(ctx, p)
	}
	return p.findings().Err()
}
