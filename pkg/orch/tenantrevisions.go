package orch

import "context"

func (s *inTenant) Revisions(ctx context.Context, deployment string) ([]Revision, error) {
	full, err := s.name(deployment)
	if err != nil {
		return nil, err
	}
	all, err := s.svc.Revisions(s.of(ctx), full)
	return all, s.fail(err)
}
