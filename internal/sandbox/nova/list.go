package nova

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) listServers(detail bool) rest.Handler {
	return func(c *rest.Call) (rest.Reply, error) {
		keep, err := s.serverFilter(c, detail)
		if err != nil {
			return rest.Reply{}, err
		}
		var found []*cloud.Server
		for v := range s.Cloud.Servers.Where(keep) {
			found = append(found, v)
		}
		slices.Reverse(found) // newest first
		docs := make([]rest.Doc, len(found))
		for i, v := range found {
			docs[i] = s.serverDoc(c, v)
			// Sorting is by database columns; the document shows times in whole seconds.
			docs[i]["created_at"], docs[i]["updated_at"] = v.Created.Format(time.RFC3339Nano), v.Updated.Format(time.RFC3339Nano)
		}
		rest.Sort(docs, sortKeys(c, "", map[string]string{
			"display_name": "name", "uuid": "id", "vm_state": "OS-EXT-STS:vm_state", "task_state": "OS-EXT-STS:task_state",
			"power_state": "OS-EXT-STS:power_state", "project_id": "tenant_id", "launched_at": "OS-SRV-USG:launched_at",
		}))
		page, known, err := rest.Paginate(docs, c.Query, rest.PageOptions{Max: 1000, URL: c.Base + c.URL.Path})
		if err != nil {
			return rest.Reply{}, err
		}
		if !known {
			return rest.Reply{}, rest.Bad("marker [%s] not found", c.Query.Get("marker"))
		}
		for i, d := range page.Docs {
			delete(d, "created_at")
			delete(d, "updated_at")
			if !detail {
				page.Docs[i] = rest.Doc{"id": d["id"], "name": d["name"], "links": d["links"]}
			}
		}
		return rest.OK(paged("servers", page))
	}
}

// memberFilters are what non-administrators may search by; others are ignored for them.
var memberFilters = []string{
	"reservation_id", "name", "status", "image", "flavor", "ip", "ip6", "changes-since", "changes-before", "all_tenants",
	"tags", "tags-any", "not-tags", "not-tags-any", "locked", "availability_zone", "config_drive", "key_name", "created_at",
	"launched_at", "power_state", "progress", "task_state", "vm_state", "user_id", "uuid", "display_name", "description",
}

func (s *Service) serverFilter(c *rest.Call, detail bool) (func(*cloud.Server) bool, error) {
	all, _ := rest.ParseBool(c.Query.Get("all_tenants"))
	if _, given := c.Query["all_tenants"]; given && c.Query.Get("all_tenants") == "" {
		all = true
	}
	if all && !c.Admin() {
		action := "index"
		if detail {
			action = "detail"
		}
		return nil, denied("servers:" + action + ":get_all_tenants")
	}
	project := c.Query.Get("project_id")
	if project == "" {
		project = c.Query.Get("tenant_id")
	}
	tests := []func(*cloud.Server) bool{func(v *cloud.Server) bool {
		if all {
			return project == "" || v.ProjectID == project
		}
		return v.ProjectID == c.Project()
	}}
	for name, values := range c.Query {
		if !slices.Contains(memberFilters, name) && !(c.Admin() && (name == "host" || name == "node")) {
			continue
		}
		test, err := s.filterBy(name, values)
		if err != nil {
			return nil, err
		}
		if test != nil {
			tests = append(tests, test)
		}
	}
	return func(v *cloud.Server) bool {
		for _, t := range tests {
			if !t(v) {
				return false
			}
		}
		return true
	}, nil
}

func (s *Service) filterBy(name string, values []string) (func(*cloud.Server) bool, error) {
	value := values[0]
	switch name {
	case "name", "display_name", "ip", "ip6":
		re, err := regexp.Compile(value)
		if err != nil {
			return nil, rest.Bad("Invalid input for query parameters %s. Value: %s. '%s' is not a 'regex'", name, value, value)
		}
		if name == "name" || name == "display_name" {
			return func(v *cloud.Server) bool { return re.MatchString(v.Name) }, nil
		}
		return func(v *cloud.Server) bool { return s.hasAddress(v, re) }, nil
	case "status":
		return func(v *cloud.Server) bool {
			return slices.ContainsFunc(values, func(w string) bool { return strings.EqualFold(w, status(v)) })
		}, nil
	case "changes-since", "changes-before":
		t, err := time.Parse(time.RFC3339, value)
		if err != nil {
			if t, err = time.Parse("2006-01-02T15:04:05", value); err != nil {
				return nil, rest.Bad("Invalid input for query parameters %s. Value: %s. '%s' is not a 'date-time'", name, value, value)
			}
		}
		since := name == "changes-since"
		return func(v *cloud.Server) bool { return since != v.Updated.Before(t) }, nil
	case "tags", "tags-any", "not-tags", "not-tags-any":
		return tagFilter(name, strings.Split(value, ",")), nil
	case "locked":
		want, err := rest.ParseBool(value)
		if err != nil {
			return nil, rest.Bad("Invalid input for query parameters locked. Value: %s.", value)
		}
		return func(v *cloud.Server) bool { return v.Locked == want }, nil
	}
	field := map[string]func(*cloud.Server) string{
		"flavor": func(v *cloud.Server) string { return v.Flavor.ID }, "image": func(v *cloud.Server) string { return v.ImageID },
		"reservation_id": func(v *cloud.Server) string { return v.ReservationID }, "availability_zone": func(v *cloud.Server) string { return v.Zone },
		"key_name": func(v *cloud.Server) string { return v.KeyName }, "vm_state": func(v *cloud.Server) string { return v.VMState },
		"task_state": func(v *cloud.Server) string { return v.TaskState }, "user_id": func(v *cloud.Server) string { return v.UserID },
		"uuid": func(v *cloud.Server) string { return v.ID }, "host": func(v *cloud.Server) string { return v.Host },
		"node": func(v *cloud.Server) string { return v.Host }, "description": func(v *cloud.Server) string { return v.Description },
	}[name]
	if field == nil {
		return nil, nil
	}
	return func(v *cloud.Server) bool { return slices.Contains(values, field(v)) }, nil
}

func (s *Service) hasAddress(v *cloud.Server, re *regexp.Regexp) bool {
	for _, list := range s.addresses(v) {
		for _, a := range list {
			if re.MatchString(a.(map[string]any)["addr"].(string)) {
				return true
			}
		}
	}
	return false
}

func tagFilter(name string, want []string) func(*cloud.Server) bool {
	return func(v *cloud.Server) bool {
		n := 0
		for _, t := range want {
			if slices.Contains(v.Tags, t) {
				n++
			}
		}
		switch name {
		case "tags":
			return n == len(want)
		case "tags-any":
			return n > 0
		case "not-tags":
			return n < len(want)
		}
		return n == 0
	}
}
