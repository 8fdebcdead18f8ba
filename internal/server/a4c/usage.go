package a4c

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// infrastructures whose usage can be collected: locations of these plugins.
var infrastructures = []string{"openstack", hostsPoolType}

func (s *Server) collectors(c echo.Context) error {
	out := []registered{}
	if s.opts.Collector != nil {
		for _, i := range infrastructures {
			out = append(out, registered{ID: i, Origin: builtin})
		}
	}
	return answer(c, http.StatusOK, map[string]any{"infrastructure_usage_collectors": out})
}

func collectionPath(of orch.Collection) string {
	return "/infra_usage/" + of.Infrastructure + "/" + of.Location + "/tasks/" + of.ID
}

// collect begins to ask a location what of it is in use; a second request while it is being asked is answered with the first one's task.
func (s *Server) collect(c echo.Context) error {
	ctx, infra, location := c.Request().Context(), param(c, "infra"), param(c, "location")
	if s.opts.Collector == nil || !slices.Contains(infrastructures, infra) {
		return badRequest("there is no collector for the infrastructure " + quote(infra))
	}
	plugin, err := s.pluginOf(c, location)
	if err != nil {
		return err
	}
	if plugin != infra {
		return badRequest(fmt.Sprintf("the location %q is not of the infrastructure %q", location, infra))
	}
	of, err := s.opts.Collector.Collect(ctx, infra, location)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, collectionPath(of))
	return c.NoContent(http.StatusAccepted)
}

// pluginOf is the plugin of a location. The default one is there without being listed.
func (s *Server) pluginOf(c echo.Context, location string) (string, error) {
	all, err := s.opts.Service.Locations().List(c.Request().Context())
	if err != nil {
		return "", err
	}
	for _, l := range all {
		if l.Name == location {
			return l.Plugin, nil
		}
	}
	pools, err := s.opts.Service.Hosts().Pools(c.Request().Context())
	switch {
	case err != nil:
		return "", err
	case slices.Contains(pools, location):
		return hostsPoolType, nil
	case location == orch.DefaultLocation && len(all) == 0:
		return "openstack", nil
	}
	return "", noSuchLocation(location)
}

func (s *Server) findCollection(c echo.Context) (orch.Collection, error) {
	if s.opts.Collector == nil {
		return orch.Collection{}, notFound("Requested content not found.")
	}
	of, err := s.opts.Collector.Collection(c.Request().Context(), param(c, "task"))
	if err == nil && (of.Infrastructure != param(c, "infra") || of.Location != param(c, "location")) {
		err = notFound("Requested content not found.")
	}
	return of, err
}

type queryDocument struct {
	taskDocument
	// Result is by service and resource: {"compute": {"cores": {"used": 4, "limit": 20}}}.
	Result map[string]map[string]usageDocument `json:"result_set,omitempty"`
}

type usageDocument struct {
	Used int64 `json:"used"`
	// Limit is absent where there is none.
	Limit *int64 `json:"limit,omitempty"`
	Unit  string `json:"unit,omitempty"`
}

func (s *Server) collection(c echo.Context) error {
	of, err := s.findCollection(c)
	if err != nil {
		return err
	}
	doc := queryDocument{taskDocument: taskDocument{ID: of.ID, Target: "infra_usage:" + of.Infrastructure + ":" + of.Location, Type: "Query",
		Status: taskStatus(of.Status), ErrorMessage: of.Cause}}
	for _, u := range of.Usage {
		if doc.Result == nil {
			doc.Result = map[string]map[string]usageDocument{}
		}
		if doc.Result[u.Service] == nil {
			doc.Result[u.Service] = map[string]usageDocument{}
		}
		one := usageDocument{Used: u.Used, Unit: u.Unit}
		if u.Limit >= 0 {
			one.Limit = &u.Limit
		}
		doc.Result[u.Service][u.Resource] = one
	}
	return answer(c, http.StatusOK, doc)
}

func (s *Server) forgetCollection(c echo.Context) error {
	of, err := s.findCollection(c)
	if err != nil {
		return err
	}
	if err := s.opts.Collector.Forget(c.Request().Context(), of.ID); err != nil {
		return turned(err, orch.KindConflict, http.StatusBadRequest)
	}
	return c.NoContent(http.StatusAccepted)
}

// collections links to what was collected, of ?target=INFRASTRUCTURE only, or of everything.
func (s *Server) collections(c echo.Context) error {
	var doc struct {
		Tasks []link `json:"tasks,omitempty"`
	}
	if s.opts.Collector == nil {
		return answer(c, http.StatusOK, doc)
	}
	all, err := s.opts.Collector.Collections(c.Request().Context())
	if err != nil {
		return err
	}
	for _, of := range all {
		if t := c.QueryParam("target"); t == "" || t == of.Infrastructure || t == of.Infrastructure+":"+of.Location {
			doc.Tasks = append(doc.Tasks, to("task", collectionPath(of)))
		}
	}
	return answer(c, http.StatusOK, doc)
}
