package orch

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// CreatorInTenant is a Creator as a tenant sees it.
func CreatorInTenant(c Creator, tenant string) Creator {
	return creatorInTenant{c, InTenant(nil, tenant).(*inTenant)}
}

type creatorInTenant struct {
	c Creator
	s *inTenant
}

func (x creatorInTenant) Create(ctx context.Context, req Request) (Deployment, error) {
	req, err := x.s.request(ctx, req)
	if err != nil {
		return Deployment{}, err
	}
	d, err := x.c.Create(x.s.of(ctx), req)
	d.Name, _ = x.s.bare(d.Name)
	return d, x.s.fail(err)
}

func (x creatorInTenant) SetAttributes(ctx context.Context, deployment string, in topology.Instance, attributes map[string]any) error {
	full, err := x.s.name(deployment)
	if err != nil {
		return err
	}
	return x.s.fail(x.c.SetAttributes(x.s.of(ctx), full, in, attributes))
}

// ModellerInTenant is a Modeller as a tenant sees it.
func ModellerInTenant(m Modeller, tenant string) Modeller {
	return modellerInTenant{m, InTenant(nil, tenant).(*inTenant)}
}

type modellerInTenant struct {
	m Modeller
	s *inTenant
}

func (x modellerInTenant) Model(ctx context.Context, deployment string) (*Model, error) {
	full, err := x.s.name(deployment)
	if err != nil {
		return nil, err
	}
	m, err := x.m.Model(x.s.of(ctx), full)
	if err != nil {
		return nil, x.s.fail(err)
	}
	out, detail := *m, *m.Detail
	detail.Name, _ = x.s.bare(detail.Name)
	out.Detail = &detail
	return &out, nil
}

// TaskOf does not know the tasks of other tenants.
func (x modellerInTenant) TaskOf(ctx context.Context, id string) (Task, error) {
	t, err := x.m.TaskOf(x.s.of(ctx), id)
	if err != nil {
		return t, x.s.fail(err)
	}
	if _, mine := x.s.bare(t.Deployment); !mine {
		return Task{}, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no task %s", id), Err: ErrNotFound}
	}
	return x.s.task(t, nil)
}

// Resolve is the same in every tenant but for the location's settings.
func (x modellerInTenant) Resolve(ctx context.Context, b Bundle) (*topology.Topology, diag.List) {
	return x.m.Resolve(x.s.of(ctx), b)
}
