package server

import (
	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *Server) workflows(c echo.Context) error {
	all, err := s.service(c).Workflows(c.Request().Context(), param(c, "name"))
	if all == nil {
		all = []orch.WorkflowInfo{}
	}
	return answer(c, all, err)
}

// drift may take as long as the cloud and the checks need.
func (s *Server) drift(c echo.Context) error {
	var req orch.DriftRequest
	if err := decodeJSON(c, &req); err != nil {
		return err
	}
	req.Deployment = param(c, "name")
	ctx, cancel := s.streaming(c)
	defer cancel()
	d, err := s.service(c).Drift(ctx, req)
	return answer(c, d, s.interrupted(c, err))
}
