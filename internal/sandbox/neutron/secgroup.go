package neutron

import (
	"encoding/json"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func groupMissing(id string) *rest.Error {
	return notFound("SecurityGroupNotFound", "Security group %s does not exist", id)
}

func (s *Service) securityGroupKind() *kind {
	return &kind{
		one: "security_group", many: "security_groups",
		attrs:  map[string]string{"stateful": "cu", "security_group_rules": "", "shared": ""},
		absent: groupMissing,
		list: func(c *rest.Call) []rest.Doc {
			if c.Project() != "" {
				s.ensureDefaultGroup(c.Project())
			}
			var docs []rest.Doc
			for g := range s.Cloud.SecurityGroups.All() {
				if g.ProjectID == c.Project() || c.Admin() {
					docs = append(docs, groupDoc(g))
				}
			}
			return docs
		},
		create: s.createGroup, update: s.updateGroup, remove: s.removeGroup,
		stamp: func(id string) *cloud.Stamp {
			if g := s.Cloud.SecurityGroups.Get(id); g != nil {
				return &g.Stamp
			}
			return nil
		},
	}
}

func groupDoc(g *cloud.SecurityGroup) rest.Doc {
	d := stampDoc(&g.Stamp)
	rules := []rest.Doc{}
	for _, r := range g.Rules {
		rules = append(rules, ruleDoc(r))
	}
	d["security_group_rules"], d["stateful"], d["shared"] = rules, !g.Stateless, false
	return d
}

// ensureDefaultGroup returns the project's default group; like Neutron it is made when first asked for.
func (s *Service) ensureDefaultGroup(project string) *cloud.SecurityGroup {
	if g := s.Cloud.SecurityGroups.First(func(g *cloud.SecurityGroup) bool { return g.ProjectID == project && g.Name == "default" }); g != nil {
		return g
	}
	g := s.newGroup(project, "default", "Default security group")
	for _, ether := range []string{"IPv4", "IPv6"} {
		g.Rules = append(g.Rules, &cloud.SecurityRule{Stamp: s.newStamp(project), GroupID: g.ID, Direction: "ingress", EtherType: ether, RemoteGroup: g.ID})
	}
	return g
}

func (s *Service) newGroup(project, name, description string) *cloud.SecurityGroup {
	g := &cloud.SecurityGroup{Stamp: s.newStamp(project)}
	g.Name, g.Description = name, description
	for _, ether := range []string{"IPv4", "IPv6"} {
		g.Rules = append(g.Rules, &cloud.SecurityRule{Stamp: s.newStamp(project), GroupID: g.ID, Direction: "egress", EtherType: ether})
	}
	s.Cloud.SecurityGroups.Put(g.ID, g)
	return g
}

type groupBody struct {
	name, description opt[string]
	stateful          opt[boolean]
}

func (b *groupBody) read(body json.RawMessage) error {
	return decode(body, map[string]any{"name": &b.name, "description": &b.description, "stateful": &b.stateful})
}

func (s *Service) createGroup(_ *rest.Call, project string, body json.RawMessage) (rest.Doc, error) {
	var b groupBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	s.ensureDefaultGroup(project)
	if b.name.V == "default" {
		return nil, inUse("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")
	}
	if err := s.quota(project, "security_group"); err != nil {
		return nil, err
	}
	g := s.newGroup(project, b.name.V, b.description.V)
	g.Stateless = !bool(b.stateful.or(true))
	return groupDoc(g), nil
}

func (s *Service) updateGroup(c *rest.Call, id string, body json.RawMessage) (rest.Doc, error) {
	var b groupBody
	if err := b.read(body); err != nil {
		return nil, err
	}
	g := s.Cloud.SecurityGroups.Get(id)
	if g.Name == "default" && b.name.Set && b.name.V != "default" {
		return nil, inUse("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
	}
	if b.stateful.Set && s.groupUsed(id) {
		return nil, inUse("SecurityGroupInUse", "Security Group %s in use.", id)
	}
	setText(&g.Name, &g.Description, b.name, b.description)
	g.Stateless = !bool(b.stateful.or(boolean(!g.Stateless)))
	s.touch(&g.Stamp)
	return groupDoc(g), nil
}

func (s *Service) groupUsed(id string) bool {
	return s.Cloud.Ports.First(func(p *cloud.Port) bool { return slices.Contains(p.SecurityGroups, id) }) != nil
}

func (s *Service) removeGroup(c *rest.Call, id string) error {
	g := s.Cloud.SecurityGroups.Get(id)
	if g.Name == "default" && !c.Admin() {
		return inUse("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
	}
	if s.groupUsed(id) {
		return inUse("SecurityGroupInUse", "Security Group %s in use.", id)
	}
	s.Cloud.SecurityGroups.Delete(id)
	// Rules of other groups that name this one as their peer go with it (a cascade in Neutron's database).
	for o := range s.Cloud.SecurityGroups.All() {
		o.Rules = slices.DeleteFunc(o.Rules, func(r *cloud.SecurityRule) bool { return r.RemoteGroup == id })
	}
	s.agent.filters()
	return nil
}
