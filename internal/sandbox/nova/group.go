package nova

import (
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func (s *Service) members(group string) []*cloud.Server {
	var out []*cloud.Server
	for v := range s.Cloud.Servers.Where(func(v *cloud.Server) bool { return v.Group == group }) {
		out = append(out, v)
	}
	return out
}

func (s *Service) groupDoc(c *rest.Call, g *cloud.ServerGroup) rest.Doc {
	members := []string{}
	for _, v := range s.members(g.ID) {
		members = append(members, v.ID)
	}
	d := rest.Doc{"id": g.ID, "name": g.Name, "members": members}
	if c.Version.At(64) {
		rules := map[string]any{}
		if g.MaxPerHost > 0 {
			rules["max_server_per_host"] = g.MaxPerHost
		}
		d["policy"], d["rules"] = g.Policy, rules
	} else {
		d["policies"], d["metadata"] = []string{g.Policy}, map[string]any{}
	}
	if c.Version.At(13) {
		d["project_id"], d["user_id"] = g.ProjectID, g.UserID
	}
	return d
}

func (s *Service) listGroups(c *rest.Call) (rest.Reply, error) {
	_, all := c.Query["all_projects"]
	docs := []rest.Doc{}
	for g := range s.Cloud.ServerGroups.All() {
		if g.ProjectID == c.Project() || all && c.Admin() {
			docs = append(docs, s.groupDoc(c, g))
		}
	}
	limit, err := number(c, "limit")
	if err != nil {
		return rest.Reply{}, err
	}
	offset, err := number(c, "offset")
	if err != nil {
		return rest.Reply{}, err
	}
	docs = docs[min(offset, len(docs)):]
	if limit > 0 && len(docs) > limit {
		docs = docs[:limit]
	}
	return rest.OK(map[string]any{"server_groups": docs})
}

func (s *Service) createGroup(c *rest.Call) (rest.Reply, error) {
	var b struct {
		Group struct {
			Name, Policy string
			Policies     []string
			Rules        struct {
				Max any `json:"max_server_per_host"`
			}
		} `json:"server_group"`
	}
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	policy, field := b.Group.Policy, "policy"
	allowed := []string{"anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"}
	if !c.Version.At(64) {
		field = "0"
		if len(b.Group.Policies) != 1 {
			return rest.Reply{}, rest.Bad("Invalid input for field/attribute policies. Value: %v. %v is too short or too long", b.Group.Policies, b.Group.Policies)
		}
		policy = b.Group.Policies[0]
		if !c.Version.At(15) {
			allowed = allowed[:2]
		}
	}
	if b.Group.Name == "" || len(b.Group.Name) > 255 {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute name. Value: %s. '%s' is too short", b.Group.Name, b.Group.Name)
	}
	if !slices.Contains(allowed, policy) {
		return rest.Reply{}, rest.Bad("Invalid input for field/attribute %s. Value: %s. '%s' is not one of %v", field, policy, policy, quoted(allowed))
	}
	perHost, ok := toInt(b.Group.Rules.Max)
	if !ok || perHost < 0 || perHost > 0 && policy != "anti-affinity" {
		return rest.Reply{}, rest.Bad("Only anti-affinity policy supports rules.")
	}
	used := s.Cloud.ServerGroups.Count(func(g *cloud.ServerGroup) bool { return g.ProjectID == c.Project() })
	if limit := s.Cloud.Quotas.Limit("nova", c.Project(), "server_groups"); limit >= 0 && used+1 > limit {
		return rest.Reply{}, rest.Forbidden("Quota exceeded, too many server groups.")
	}
	g := &cloud.ServerGroup{ID: cloud.UUID(), Name: b.Group.Name, ProjectID: c.Project(), UserID: c.Token.User.ID, Policy: policy, MaxPerHost: perHost}
	s.Cloud.ServerGroups.Put(g.ID, g)
	return rest.OK(map[string]any{"server_group": s.groupDoc(c, g)})
}

// quoted is a Python list of strings.
func quoted(list []string) string {
	out := "["
	for i, v := range list {
		if i > 0 {
			out += ", "
		}
		out += "'" + v + "'"
	}
	return out + "]"
}

func (s *Service) group(c *rest.Call) (*cloud.ServerGroup, error) {
	g := s.Cloud.ServerGroups.Get(c.PathValue("id"))
	if g == nil || g.ProjectID != c.Project() && !c.Admin() {
		return nil, rest.Missing("Instance group %s could not be found.", c.PathValue("id"))
	}
	return g, nil
}

func (s *Service) showGroup(c *rest.Call) (rest.Reply, error) {
	g, err := s.group(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{"server_group": s.groupDoc(c, g)})
}

func (s *Service) deleteGroup(c *rest.Call) (rest.Reply, error) {
	g, err := s.group(c)
	if err != nil {
		return rest.Reply{}, err
	}
	for _, v := range s.members(g.ID) {
		v.Group = ""
	}
	s.Cloud.ServerGroups.Delete(g.ID)
	return rest.Empty()
}
