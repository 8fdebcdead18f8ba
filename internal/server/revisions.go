package server

import (
	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *Server) revisions(c echo.Context) error {
	all, err := s.service(c).Revisions(c.Request().Context(), param(c, "name"))
	if all == nil {
		all = []orch.Revision{}
	}
	return answer(c, all, err)
}
