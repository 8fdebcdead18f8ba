package main

import (
	"context"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *shared) Revisions(ctx context.Context, deployment string) ([]orch.Revision, error) {
	return ask(ctx, s, look, func(svc orch.Service) ([]orch.Revision, error) { return svc.Revisions(ctx, deployment) })
}
