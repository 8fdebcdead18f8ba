package server

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

func (s *Server) locations(c echo.Context) error {
	all, err := s.opts.Service.Locations().List(c.Request().Context())
	if all == nil {
		all = []orch.LocationInfo{}
	}
	return answer(c, all, err)
}

// locationUsage asks the cloud how much of what it grants is in use.
func (s *Server) locationUsage(c echo.Context) error {
	all, err := s.opts.Service.Locations().Usage(c.Request().Context(), param(c, "location"))
	if all == nil {
		all = []orch.Usage{}
	}
	return answer(c, all, err)
}

// putLocation stores a location; with ?create it must not exist, else it must.
func (s *Server) putLocation(c echo.Context) error {
	var l orch.LocationInfo
	if err := decodeJSON(c, &l); err != nil {
		return err
	}
	l.Name = param(c, "location")
	if err := s.opts.Service.Locations().Put(c.Request().Context(), l, c.QueryParams().Has("create")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) removeLocation(c echo.Context) error {
	if err := s.opts.Service.Locations().Remove(c.Request().Context(), param(c, "location")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
