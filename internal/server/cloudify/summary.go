package cloudify

import "github.com/orch-project/orch/pkg/orch"

// What summaries count.

func deploymentDocuments(s *Server, q *request) ([]deploymentDocument, error) {
	ctx := q.Request().Context()
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return nil, err
	}
	var out []deploymentDocument
	for _, k := range all {
		d, err := s.cheap(ctx, k)
		if err != nil {
			return nil, err
		}
		if err := s.complete(ctx, &d); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func blueprintDocuments(s *Server, q *request) (out []blueprintDocument, err error) {
	all, err := s.blueprintRecords(q.Request().Context())
	for _, r := range all {
		out = append(out, blueprintOf(r))
	}
	return out, err
}

func executionDocuments(s *Server, q *request) ([]executionDocument, error) {
	return s.allExecutions(q.Request().Context(), q, &listing{})
}

func nodeDocuments(s *Server, q *request) (out []nodeDocument, err error) {
	ctx := q.Request().Context()
	err = s.eachModel(ctx, q, &listing{}, func(d deploymentRecord, m *orch.Model) { out = append(out, s.nodesOf(ctx, q, d, m, false)...) })
	return out, err
}

func instanceDocuments(s *Server, q *request) (out []instanceDocument, err error) {
	err = s.eachModel(q.Request().Context(), q, &listing{}, func(d deploymentRecord, m *orch.Model) { out = append(out, instancesOf(d, m)...) })
	return out, err
}
