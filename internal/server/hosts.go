package server

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

func (s *Server) pools(c echo.Context) error {
	names, err := s.opts.Service.Hosts().Pools(c.Request().Context())
	if names == nil {
		names = []string{}
	}
	return answer(c, names, err)
}

func (s *Server) poolHosts(c echo.Context) error {
	l, err := s.opts.Service.Hosts().List(c.Request().Context(), param(c, "pool"), c.QueryParams()["filter"])
	return answer(c, listed(c, l), err)
}

func listed(c echo.Context, l orch.HostList) orch.HostList {
	out := orch.HostList{Checkpoint: l.Checkpoint, Hosts: make([]*hostpool.Host, 0, len(l.Hosts))}
	for _, h := range l.Hosts {
		out.Hosts = append(out.Hosts, shown(c, h))
	}
	return out
}

// shown hides which deployments of other tenants have a host, and shows the tenant's own under their own names.
func shown(c echo.Context, h *hostpool.Host) *hostpool.Host {
	if h == nil {
		return nil
	}
	out := *h
	out.Allocations = slices.Clone(h.Allocations)
	for i, a := range out.Allocations {
		tenant, name := orch.SplitName(a.Deployment)
		if tenant != identity(c).Tenant {
			out.Allocations[i].ID, out.Allocations[i].Node, out.Allocations[i].Instance, name = "", "", "", ""
		}
		out.Allocations[i].Deployment = name
	}
	return &out
}

func (s *Server) poolHost(c echo.Context) error {
	h, err := s.opts.Service.Hosts().Host(c.Request().Context(), param(c, "pool"), param(c, "host"))
	return answer(c, shown(c, h), err)
}

func (s *Server) addHost(c echo.Context) error {
	var w hostpool.Wanted
	if err := decodeJSON(c, &w); err != nil {
		return err
	}
	h, err := s.opts.Service.Hosts().Add(c.Request().Context(), param(c, "pool"), param(c, "host"), w)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, shown(c, h))
}

func (s *Server) updateHost(c echo.Context) error {
	var w hostpool.Wanted
	if err := decodeJSON(c, &w); err != nil {
		return err
	}
	h, err := s.opts.Service.Hosts().Update(c.Request().Context(), param(c, "pool"), param(c, "host"), w)
	return answer(c, shown(c, h), err)
}

func (s *Server) removeHost(c echo.Context) error {
	if err := s.opts.Service.Hosts().Remove(c.Request().Context(), param(c, "pool"), param(c, "host")); err != nil {
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
	l, err := s.opts.Service.Hosts().ApplyHosts(c.Request().Context(), param(c, "pool"), wanted, at)
	return answer(c, listed(c, l), err)
}
