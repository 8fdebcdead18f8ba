package server

import (
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

func (s *Server) pools(c echo.Context) error {
	names, err := s.service(c).Hosts().Pools(c.Request().Context())
	if names == nil {
		names = []string{}
	}
	return answer(c, names, err)
}

func (s *Server) poolHosts(c echo.Context) error {
	l, err := s.service(c).Hosts().List(c.Request().Context(), param(c, "pool"), c.QueryParams()["filter"])
	return answer(c, listed(l), err)
}

// listed has a list of hosts where there are none.
func listed(l orch.HostList) orch.HostList {
	if l.Hosts == nil {
		l.Hosts = []*hostpool.Host{}
	}
	return l
}

func (s *Server) poolHost(c echo.Context) error {
	h, err := s.service(c).Hosts().Host(c.Request().Context(), param(c, "pool"), param(c, "host"))
	return answer(c, h, err)
}

func (s *Server) addHost(c echo.Context) error {
	var w hostpool.Wanted
	if err := decodeJSON(c, &w); err != nil {
		return err
	}
	h, err := s.service(c).Hosts().Add(c.Request().Context(), param(c, "pool"), param(c, "host"), w)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, h)
}

func (s *Server) updateHost(c echo.Context) error {
	var w hostpool.Wanted
	if err := decodeJSON(c, &w); err != nil {
		return err
	}
	h, err := s.service(c).Hosts().Update(c.Request().Context(), param(c, "pool"), param(c, "host"), w)
	return answer(c, h, err)
}

func (s *Server) removeHost(c echo.Context) error {
	if err := s.service(c).Hosts().Remove(c.Request().Context(), param(c, "pool"), param(c, "host")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// applyHosts takes the whole pool, by name; ?checkpoint=N refuses if it has changed since.
func (s *Server) applyHosts(c echo.Context) error {
	var wanted map[string]hostpool.Wanted
	if err := decodeJSON(c, &wanted); err != nil {
		return err
	}
	var at *uint64
	if text := c.QueryParam("checkpoint"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return &orch.Error{Kind: orch.KindUser, Msg: "checkpoint is not a number"}
		}
		at = &n
	}
	l, err := s.service(c).Hosts().ApplyHosts(c.Request().Context(), param(c, "pool"), wanted, at)
	return answer(c, listed(l), err)
}
