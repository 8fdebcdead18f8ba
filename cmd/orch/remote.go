package main

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// remoteDriver gives the SSH driver hosts with the way to them and the keys pinned for them.
type remoteDriver struct {
	driver.Driver
	keys hostKeys
	ways *bastions
}

// reach completes a host with its bastion and with the host keys of both.
func (d remoteDriver) reach(ctx context.Context, deployment string, h *driver.Host, say func(string)) (*driver.Host, error) {
	h, err := d.ways.via(ctx, deployment, h, say)
	if err != nil || h == nil {
		return h, err
	}
	if h, err = d.keys.known(ctx, h); err != nil {
		return nil, fmt.Errorf("cannot read the pinned host keys: %w", err)
	}
	if h.Bastion == nil {
		return h, nil
	}
	with := *h
	if with.Bastion, err = d.keys.known(ctx, h.Bastion); err != nil {
		return nil, fmt.Errorf("cannot read the pinned host keys: %w", err)
	}
	return &with, nil
}

func (d remoteDriver) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	h, err := d.reach(ctx, req.Deployment, req.Host, waitingEvent(req, emit))
	if err != nil {
		return driver.Result{}, err
	}
	with := *req
	with.Host = h
	return d.Driver.Run(ctx, &with, emit)
}

func (d remoteDriver) Check(ctx context.Context, reqs []*driver.Request) diag.List {
	return d.Driver.(driver.Checker).Check(ctx, reqs)
}

func (d remoteDriver) Explain(req *driver.Request) string {
	return d.Driver.(driver.Explainer).Explain(req)
}

func instanceOf(node, index string) topology.Instance {
	return topology.Instance{Node: node, Index: index}
}
