package main

import (
	"context"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *shared) Workflows(ctx context.Context, deployment string) ([]orch.WorkflowInfo, error) {
	return ask(ctx, s, false, func(svc orch.Service) ([]orch.WorkflowInfo, error) { return svc.Workflows(ctx, deployment) })
}

// Drift runs the checks of software: then this process must stay.
func (s *shared) Drift(ctx context.Context, req orch.DriftRequest) (*orch.Drift, error) {
	return ask(ctx, s, true, func(svc orch.Service) (*orch.Drift, error) { return svc.Drift(ctx, req) })
}
