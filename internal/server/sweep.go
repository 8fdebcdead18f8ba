package server

import (
	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// resources compares what the cloud has of a deployment with what is on record.
func (s *Server) resources(c echo.Context) error {
	return s.swept(c, orch.SweepRequest{})
}

// adopt takes over what nobody has on record.
func (s *Server) adopt(c echo.Context) error {
	req := orch.SweepRequest{}
	var body struct {
		IDs []string `json:"ids"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	req.Adopt, req.IDs = true, body.IDs
	return s.swept(c, req)
}

// sweep removes what the cloud has of a deployment. One that is up is undeployed instead, unless force.
func (s *Server) sweep(c echo.Context) error {
	force, err := boolParam(c, "force")
	if err != nil {
		return err
	}
	return s.swept(c, orch.SweepRequest{Delete: true, Force: force, IDs: c.QueryParams()["id"]})
}

// swept may take as long as the cloud needs.
func (s *Server) swept(c echo.Context, req orch.SweepRequest) error {
	req.Deployment, req.Location = param(c, "name"), c.QueryParam("location")
	ctx, cancel := s.streaming(c)
	defer cancel()
	all, err := s.service(c).Sweep(ctx, req)
	if all == nil {
		all = []orch.Resource{}
	}
	return answer(c, all, err)
}
