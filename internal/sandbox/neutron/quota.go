package neutron

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// used counts a project's resources.
func (s *Service) used(project, resource string) int {
	c := s.Cloud
	switch resource {
	case "network":
		return c.Networks.Count(func(n *cloud.Network) bool { return n.ProjectID == project })
	case "subnet":
		return c.Subnets.Count(func(n *cloud.Subnet) bool { return n.ProjectID == project })
	case "port":
		return c.Ports.Count(func(n *cloud.Port) bool { return n.ProjectID == project })
	case "router":
		return c.Routers.Count(func(n *cloud.Router) bool { return n.ProjectID == project })
	case "floatingip":
		return c.FloatingIPs.Count(func(n *cloud.FloatingIP) bool { return n.ProjectID == project })
	case "security_group":
		return c.SecurityGroups.Count(func(n *cloud.SecurityGroup) bool { return n.ProjectID == project })
	case "security_group_rule":
		n := 0
		for g := range c.SecurityGroups.Where(func(g *cloud.SecurityGroup) bool { return g.ProjectID == project }) {
			n += len(g.Rules)
		}
		return n
	}
	return 0
}

func (s *Service) listQuotas(c *rest.Call) (rest.Reply, error) {
	docs := []any{}
	for p := range s.Cloud.Projects.All() {
		limits := s.Cloud.Quotas.Limits("neutron", p.ID)
		if maps.Equal(limits, s.Cloud.Quotas.Defaults("neutron")) {
			continue
		}
		d := map[string]any{"tenant_id": p.ID, "project_id": p.ID}
		for name, n := range limits {
			d[name] = n
		}
		docs = append(docs, d)
	}
	return rest.OK(map[string]any{"quotas": docs})
}

func (s *Service) quotaTenant(c *rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"tenant": map[string]any{"tenant_id": c.Project()}})
}

// quotaProject is the project of the path, the caller's own or any for an administrator.
func (s *Service) quotaProject(c *rest.Call) (string, error) {
	id := c.PathValue("project")
	if id != c.Project() && !c.Admin() {
		return "", disallowed("rule:get_quota")
	}
	return id, nil
}

func (s *Service) showQuota(c *rest.Call) (rest.Reply, error) {
	id, err := s.quotaProject(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"quota": s.Cloud.Quotas.Limits("neutron", id)})
}

func (s *Service) defaultQuota(c *rest.Call) (rest.Reply, error) {
	if _, err := s.quotaProject(c); err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"quota": s.Cloud.Quotas.Defaults("neutron")})
}

func (s *Service) quotaDetails(c *rest.Call) (rest.Reply, error) {
	id, err := s.quotaProject(c)
	if err != nil {
		return rest.Reply{}, err
	}
	out := map[string]any{}
	for name, limit := range s.Cloud.Quotas.Limits("neutron", id) {
		out[name] = map[string]int{"limit": limit, "used": s.used(id, name), "reserved": 0}
	}
	return rest.OK(map[string]any{"quota": out})
}

func (s *Service) updateQuota(c *rest.Call) (rest.Reply, error) {
	var want map[string]json.RawMessage
	if err := json.Unmarshal(c.Object("quota"), &want); err != nil {
		return rest.Reply{}, rest.Bad("Resource body required")
	}
	known := s.Cloud.Quotas.Defaults("neutron")
	set := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if name == "tenant_id" || name == "project_id" || name == "force" || name == "check_limit" {
			continue
		}
		if _, ok := known[name]; !ok {
			return rest.Reply{}, rest.Bad("Unrecognized attribute(s) '%s'", name)
		}
		var n integer
		if err := json.Unmarshal(want[name], &n); err != nil || n < -1 {
			return rest.Reply{}, rest.Bad("Invalid input for %s. Reason: '%s' should be non-negative.", name, want[name])
		}
		set[name] = int(n)
	}
	id := c.PathValue("project")
	for name, n := range set {
		s.Cloud.Quotas.Set("neutron", id, name, n)
	}
	return rest.OK(map[string]any{"quota": s.Cloud.Quotas.Limits("neutron", id)})
}

func (s *Service) deleteQuota(c *rest.Call) (rest.Reply, error) {
	s.Cloud.Quotas.Reset("neutron", c.PathValue("project"))
	return rest.Empty()
}
