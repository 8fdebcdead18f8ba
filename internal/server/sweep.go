package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *Server) resources(c echo.Context) error { return s.strays(c, false) }

// sweep removes what the cloud has of a deployment. One that is up is undeployed instead, unless force.
func (s *Server) sweep(c echo.Context) error {
	force, err := boolParam(c, "force")
	if err != nil {
		return err
	}
	name := param(c, "name")
	if !force {
		all, err := s.service(c).Deployments(c.Request().Context())
		if err != nil {
			return err
		}
		for _, d := range all {
			if d.Name == name && d.Status != string(orch.StatusUndeployed) {
				return &orch.Error{Kind: orch.KindConflict, Msg: "deployment " + name + " is " + d.Status, Hint: "undeploy it; force=true sweeps all the same"}
			}
		}
	}
	return s.strays(c, true)
}

func (s *Server) strays(c echo.Context, remove bool) error {
	if s.opts.Sweep == nil {
		return &orch.Error{Kind: orch.KindUser, Msg: "this server has no cloud to ask"}
	}
	full := orch.FullName(identity(c).Tenant, param(c, "name"))
	if tenant, _ := orch.SplitName(full); tenant != identity(c).Tenant {
		return &orch.Error{Kind: orch.KindNotFound, Msg: "there is no deployment " + param(c, "name"), Err: orch.ErrNotFound}
	}
	found, err := s.opts.Sweep(c.Request().Context(), full, c.QueryParam("location"), remove)
	if err != nil {
		return err
	}
	if found == nil {
		found = []orch.Stray{}
	}
	return c.JSON(http.StatusOK, found)
}
