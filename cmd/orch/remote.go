package main

import (
	"context"
	"fmt"
	"time"

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
	// cloud of a deployment, to ask for what it knows of a server that cannot be reached
	cloud func(ctx context.Context, deployment string) (driver.Cloud, error)
}

// reach completes a host with its bastion and with the host keys of both.
func (d remoteDriver) reach(ctx context.Context, deployment string, h *driver.Host, most time.Duration, say func(string)) (*driver.Host, error) {
	h, err := d.ways.via(ctx, deployment, h, most, say)
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
	most := time.Duration(0)
	if req.Removal {
		most = driver.RemovalPatience
	}
	h, err := d.reach(ctx, req.Deployment, req.Host, most, waitingEvent(req, emit))
	if err != nil {
		return driver.Result{}, err
	}
	with := *req
	with.Host = h
	res, err := d.Driver.Run(ctx, &with, emit)
	if err != nil {
		err = d.words(ctx, req.Deployment, h, err)
	}
	return res, err
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
