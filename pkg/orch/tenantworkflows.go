package orch

import "context"

func (s *inTenant) Workflows(ctx context.Context, deployment string) ([]WorkflowInfo, error) {
	full, err := s.name(deployment)
	if err != nil {
		return nil, err
	}
	all, err := s.svc.Workflows(s.of(ctx), full)
	return all, s.fail(err)
}

func (s *inTenant) Sweep(ctx context.Context, req SweepRequest) (_ []Resource, err error) {
	if req.Deployment, err = s.name(req.Deployment); err != nil {
		return nil, err
	}
	if id, ok := IdentityOf(ctx); ok && id.User != "" && req.User == "" {
		req.User = id.User
	}
	all, err := s.svc.Sweep(s.of(ctx), req)
	return all, s.fail(err)
}

func (s *inTenant) Drift(ctx context.Context, req DriftRequest) (_ *Drift, err error) {
	if req.Deployment, err = s.name(req.Deployment); err != nil {
		return nil, err
	}
	if id, ok := IdentityOf(ctx); ok && id.User != "" && req.User == "" {
		req.User = id.User
	}
	d, err := s.svc.Drift(s.of(ctx), req)
	if err != nil {
		return nil, s.fail(err)
	}
	out := *d
	out.Deployment, _ = s.bare(d.Deployment)
	return &out, nil
}
