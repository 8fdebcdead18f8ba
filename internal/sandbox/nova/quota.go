package nova

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// used sums what a project's servers take.
func (s *Service) used(project string) map[string]int {
	out := map[string]int{"instances": 0, "cores": 0, "ram": 0}
	for v := range s.Cloud.Servers.Where(func(v *cloud.Server) bool { return v.ProjectID == project }) {
		out["instances"]++
		out["cores"] += v.Flavor.VCPUs
		out["ram"] += v.Flavor.RAM
	}
	out["server_groups"] = s.Cloud.ServerGroups.Count(func(g *cloud.ServerGroup) bool { return g.ProjectID == project })
	return out
}

// quota refuses servers that would exceed the project's limits.
func (s *Service) quota(c *rest.Call, p *creation) error {
	want := map[string]int{"instances": p.count, "cores": p.count * p.flavor.VCPUs, "ram": p.count * p.flavor.RAM}
	if err := s.exceeds(c.Project(), want); err != nil {
		return err
	}
	if g := p.order.hints.group; g != "" {
		limit := s.Cloud.Quotas.Limit("nova", c.Project(), "server_group_members")
		if limit >= 0 && len(s.members(g))+p.count > limit {
			return rest.Forbidden("Quota exceeded, too many servers in group")
		}
	}
	made := 0
	for _, w := range p.order.nics {
		if w.port == "" {
			made += p.count
		}
	}
	limit := s.Cloud.Quotas.Limit("neutron", c.Project(), "port")
	ports := s.Cloud.Ports.Count(func(p *cloud.Port) bool { return p.ProjectID == c.Project() })
	if made > 0 && limit >= 0 && ports+made > limit {
		return rest.Forbidden("Maximum number of ports exceeded")
	}
	return nil
}

// exceeds words the refusal as Nova does: only the resources that are over, sorted.
func (s *Service) exceeds(project string, want map[string]int) error {
	used := s.used(project)
	var over, requested, have, allowed []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		limit := s.Cloud.Quotas.Limit("nova", project, name)
		if limit < 0 || want[name] <= 0 || used[name]+want[name] <= limit {
			continue
		}
		over, requested = append(over, name), append(requested, fmt.Sprint(want[name]))
		have, allowed = append(have, fmt.Sprint(used[name])), append(allowed, fmt.Sprint(limit))
	}
	if over == nil {
		return nil
	}
	join := func(l []string) string { return strings.Join(l, ", ") }
	return rest.Forbidden("Quota exceeded for %s: Requested %s, but already used %s of %s %s", join(over), join(requested), join(have), join(allowed), join(over))
}

func (s *Service) limits(c *rest.Call) (rest.Reply, error) {
	project := c.Project()
	if p := c.Query.Get("tenant_id"); p != "" && p != project {
		if !c.Admin() {
			return rest.Reply{}, denied("os-used-limits")
		}
		project = p
	}
	l, u := s.Cloud.Quotas.Limits("nova", project), s.used(project)
	absolute := map[string]int{
		"maxTotalInstances": l["instances"], "maxTotalCores": l["cores"], "maxTotalRAMSize": l["ram"], "maxServerMeta": l["metadata_items"],
		"maxTotalKeypairs": l["key_pairs"], "maxServerGroups": l["server_groups"], "maxServerGroupMembers": l["server_group_members"],
		"totalInstancesUsed": u["instances"], "totalCoresUsed": u["cores"], "totalRAMUsed": u["ram"], "totalServerGroupsUsed": u["server_groups"],
	}
	if !c.Version.At(39) {
		absolute["maxImageMeta"] = l["metadata_items"]
	}
	if !c.Version.At(36) {
		absolute["maxSecurityGroups"], absolute["maxSecurityGroupRules"], absolute["maxTotalFloatingIps"] = -1, -1, -1
		absolute["totalSecurityGroupsUsed"], absolute["totalFloatingIpsUsed"] = 0, 0
	}
	if !c.Version.At(57) {
		absolute["maxPersonality"], absolute["maxPersonalitySize"] = l["injected_files"], l["injected_file_content_bytes"]
	}
	return rest.OK(map[string]any{"limits": map[string]any{"rate": []any{}, "absolute": absolute}})
}

// shownQuotas leaves out what newer microversions no longer have.
func shownQuotas(c *rest.Call, limits map[string]int) map[string]int {
	out := maps.Clone(limits)
	if c.Version.At(36) {
		for _, name := range []string{"fixed_ips", "floating_ips", "security_groups", "security_group_rules"} {
			delete(out, name)
		}
	}
	if c.Version.At(57) {
		for _, name := range []string{"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"} {
			delete(out, name)
		}
	}
	return out
}

func (s *Service) quotaReply(c *rest.Call, limits map[string]int) (rest.Reply, error) {
	doc := map[string]any{"id": c.PathValue("project")}
	for name, n := range shownQuotas(c, limits) {
		doc[name] = n
	}
	return rest.OK(map[string]any{"quota_set": doc})
}

func (s *Service) mayQuota(c *rest.Call, action string) error {
	if c.PathValue("project") != c.Project() && !c.Admin() {
		return denied("os-quota-sets:" + action)
	}
	return nil
}

func (s *Service) showQuota(c *rest.Call) (rest.Reply, error) {
	if err := s.mayQuota(c, "show"); err != nil {
		return rest.Reply{}, err
	}
	return s.quotaReply(c, s.Cloud.Quotas.Limits("nova", c.PathValue("project")))
}

func (s *Service) defaultQuota(c *rest.Call) (rest.Reply, error) {
	return s.quotaReply(c, s.Cloud.Quotas.Defaults("nova"))
}

func (s *Service) detailQuota(c *rest.Call) (rest.Reply, error) {
	if err := s.mayQuota(c, "detail"); err != nil {
		return rest.Reply{}, err
	}
	project := c.PathValue("project")
	used := s.used(project)
	doc := map[string]any{"id": project}
	for name, n := range shownQuotas(c, s.Cloud.Quotas.Limits("nova", project)) {
		doc[name] = map[string]int{"limit": n, "in_use": used[name], "reserved": 0}
	}
	return rest.OK(map[string]any{"quota_set": doc})
}

func (s *Service) updateQuota(c *rest.Call) (rest.Reply, error) {
	var want map[string]any
	if json.Unmarshal(c.Object("quota_set"), &want) != nil {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute quota_set. 'quota_set' is a required property")
	}
	project := c.PathValue("project")
	known, used := s.Cloud.Quotas.Defaults("nova"), s.used(project)
	force, _ := want["force"].(bool)
	set := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if name == "force" || name == "tenant_id" || name == "user_id" {
			continue
		}
		n, ok := toInt(want[name])
		if _, exists := known[name]; !exists || !ok || n < -1 {
			return rest.Reply{}, rest.Bad("Invalid input for field/attribute quota_set. Value: %v. Additional properties are not allowed ('%s' was unexpected)", want[name], name)
		}
		if n >= 0 && n < used[name] && !force {
			return rest.Reply{}, rest.Bad("Quota limit %d for %s must be greater than or equal to already used and reserved %d.", n, name, used[name])
		}
		set[name] = n
	}
	for name, n := range set {
		s.Cloud.Quotas.Set("nova", project, name, n)
	}
	return s.quotaReply(c, s.Cloud.Quotas.Limits("nova", project))
}

func (s *Service) deleteQuota(c *rest.Call) (rest.Reply, error) {
	s.Cloud.Quotas.Reset("nova", c.PathValue("project"))
	return rest.Accepted(nil)
}
