package main

import (
	"context"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *shared) Workflows(ctx context.Context, deployment string) ([]orch.WorkflowInfo, error) {
	return ask(ctx, s, look, func(svc orch.Service) ([]orch.WorkflowInfo, error) { return svc.Workflows(ctx, deployment) })
}

func (s *shared) Sweep(ctx context.Context, req orch.SweepRequest) ([]orch.Resource, error) {
	n := act
	if req.Adopt || req.Delete {
		n = stay
	}
	return ask(ctx, s, n, func(svc orch.Service) ([]orch.Resource, error) { return svc.Sweep(ctx, req) })
}

// Drift runs the checks of software: then this process must stay.
func (s *shared) Drift(ctx context.Context, req orch.DriftRequest) (*orch.Drift, error) {
	return ask(ctx, s, stay, func(svc orch.Service) (*orch.Drift, error) { return svc.Drift(ctx, req) })
}
