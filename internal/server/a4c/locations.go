package a4c

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/orch"
)

// locationBody is Yorc's description of a location: its type is orch's plugin.
type locationBody struct {
	Name       string         `json:"name,omitempty"`
	Type       string         `json:"type"`
	Properties map[string]any `json:"properties"`
}

// locationNames are all that nodes may be sent to: locations and, as with Yorc, pools of hosts.
func (s *Server) locationNames(ctx context.Context) ([]string, error) {
	all, err := s.opts.Service.Locations().List(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, l := range all {
		names = append(names, l.Name)
	}
	pools, err := s.opts.Service.Hosts().Pools(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pools {
		if !slices.Contains(names, p) {
			names = append(names, p)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (s *Server) locations(c echo.Context) error {
	names, err := s.locationNames(c.Request().Context())
	if err != nil {
		return err
	}
	links := []link{}
	for _, l := range names {
		if plain(l) {
			links = append(links, to("location", "/locations", l))
		}
	}
	if len(links) == 0 {
		return c.NoContent(http.StatusNoContent)
	}
	return answer(c, http.StatusOK, map[string]any{"locations": links})
}

// location shows a location, its secrets masked: unlike Yorc, which gives them to everybody.
func (s *Server) location(c echo.Context) error {
	name := param(c, "location")
	all, err := s.opts.Service.Locations().List(c.Request().Context())
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Name == name {
			return answer(c, http.StatusOK, locationBody{l.Name, l.Plugin, l.Properties})
		}
	}
	pools, err := s.opts.Service.Hosts().Pools(c.Request().Context())
	if err != nil {
		return err
	}
	if slices.Contains(pools, name) {
		return answer(c, http.StatusOK, locationBody{name, hostsPoolType, map[string]any{}})
	}
	return noSuchLocation(name)
}

const hostsPoolType = "hostspool"

func noSuchLocation(name string) error { return badRequest("there is no location " + quote(name)) }

func (s *Server) createLocation(c echo.Context) error {
	if err := s.putLocation(c, true); err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, "/locations/"+param(c, "location"))
	return c.NoContent(http.StatusCreated)
}

// replaceLocation takes the whole location; what the body leaves out is gone.
func (s *Server) replaceLocation(c echo.Context) error {
	if err := s.putLocation(c, false); err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}

func (s *Server) putLocation(c echo.Context, create bool) error {
	var b locationBody
	if err := body(c, &b); err != nil {
		return err
	}
	if b.Type == "" {
		return badRequest("a location needs a type")
	}
	l := orch.LocationInfo{Name: param(c, "location"), Plugin: strings.ToLower(b.Type), Properties: map[string]any{}}
	for k, v := range b.Properties {
		l.Properties[k] = jsonbody.Plain(v)
	}
	return refused(s.opts.Service.Locations().Put(c.Request().Context(), l, create))
}

func (s *Server) deleteLocation(c echo.Context) error {
	if err := refused(s.opts.Service.Locations().Remove(c.Request().Context(), param(c, "location"))); err != nil {
		return err
	}
	return c.NoContent(http.StatusOK)
}

// refused gives what the service refuses the status that Yorc has for everything wrong with a location: 400.
func refused(err error) error {
	var known *orch.Error
	if errors.As(err, &known) && (known.Kind == orch.KindConflict || known.Kind == orch.KindNotFound || known.Kind == orch.KindUser) {
		return badRequest(problemOf(err).detail)
	}
	return err
}
