package keystone

import (
	"net/http"
	"slices"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

func projectDoc(c *rest.Call, p *cloud.Project) map[string]any {
	tags := p.Tags
	if tags == nil {
		tags = []string{}
	}
	return map[string]any{
		"id": p.ID, "name": p.Name, "description": p.Description, "domain_id": cloud.DomainID, "parent_id": cloud.DomainID,
		"enabled": !p.Disabled, "is_domain": false, "tags": tags, "options": map[string]any{},
		"links": map[string]any{"self": c.Base + "/v3/projects/" + p.ID},
	}
}

func (s *Service) listProjects(c *rest.Call) (rest.Reply, error) {
	var docs []any
	for p := range s.Cloud.Projects.All() {
		if wanted(c, "name", p.Name) && wanted(c, "domain_id", cloud.DomainID) {
			docs = append(docs, projectDoc(c, p))
		}
	}
	return list(c, "projects", docs)
}

func (s *Service) showProject(c *rest.Call) (rest.Reply, error) {
	id := c.PathValue("id")
	// Policy is checked before existence: a member learns nothing about other projects.
	if id != c.Project() && !c.Admin() {
		return rest.Reply{}, forbidden("get_project")
	}
	p := s.Cloud.Projects.Get(id)
	if p == nil {
		return rest.Reply{}, missing("project", id)
	}
	return rest.OK(map[string]any{"project": projectDoc(c, p)})
}

type projectBody struct {
	Project struct {
		Name, Description *string
		Enabled           *bool
		Tags              []string
	}
}

func (s *Service) createProject(c *rest.Call) (rest.Reply, error) {
	var b projectBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	if b.Project.Name == nil || *b.Project.Name == "" {
		return rest.Reply{}, rest.Bad("'name' is a required property")
	}
	if s.Cloud.Projects.First(func(p *cloud.Project) bool { return p.Name == *b.Project.Name }) != nil {
		return rest.Reply{}, rest.Conflict("Conflict occurred attempting to store project - it is not permitted to have two projects with the same name in the same domain : %s.", *b.Project.Name)
	}
	p := &cloud.Project{ID: cloud.Hex(16)}
	b.apply(p)
	s.Cloud.Projects.Put(p.ID, p)
	return rest.Created(map[string]any{"project": projectDoc(c, p)})
}

func (b *projectBody) apply(p *cloud.Project) {
	if b.Project.Name != nil {
		p.Name = *b.Project.Name
	}
	if b.Project.Description != nil {
		p.Description = *b.Project.Description
	}
	if b.Project.Enabled != nil {
		p.Disabled = !*b.Project.Enabled
	}
	if b.Project.Tags != nil {
		p.Tags = b.Project.Tags
	}
}

func (s *Service) updateProject(c *rest.Call) (rest.Reply, error) {
	p := s.Cloud.Projects.Get(c.PathValue("id"))
	if p == nil {
		return rest.Reply{}, missing("project", c.PathValue("id"))
	}
	var b projectBody
	if err := c.Decode(&b); err != nil {
		return rest.Reply{}, err
	}
	b.apply(p)
	return rest.OK(map[string]any{"project": projectDoc(c, p)})
}

func (s *Service) deleteProject(c *rest.Call) (rest.Reply, error) {
	id := c.PathValue("id")
	if s.Cloud.Projects.Get(id) == nil {
		return rest.Reply{}, missing("project", id)
	}
	s.Cloud.Projects.Delete(id)
	for u := range s.Cloud.Users.All() {
		delete(u.Roles, id)
	}
	for t := range s.Cloud.Tokens.Where(func(t *cloud.Token) bool { return t.ProjectID == id }) {
		s.Cloud.Tokens.Delete(t.ID)
	}
	return rest.Empty()
}

// target resolves the project, user and role of a grant's path; the role is nil when the path has none.
func (s *Service) target(c *rest.Call) (*cloud.Project, *cloud.User, *cloud.Role, error) {
	p := s.Cloud.Projects.Get(c.PathValue("id"))
	if p == nil {
		return nil, nil, nil, missing("project", c.PathValue("id"))
	}
	u := s.Cloud.Users.Get(c.PathValue("user"))
	if u == nil {
		return nil, nil, nil, missing("user", c.PathValue("user"))
	}
	id := c.PathValue("role")
	r := s.Cloud.Roles.Get(id)
	if id != "" && r == nil {
		return nil, nil, nil, missing("role", id)
	}
	return p, u, r, nil
}

func (s *Service) listGrants(c *rest.Call) (rest.Reply, error) {
	p, u, _, err := s.target(c)
	if err != nil {
		return rest.Reply{}, err
	}
	return list(c, "roles", s.roleDocs(u.Roles[p.ID]))
}

func (s *Service) grant(c *rest.Call) (rest.Reply, error) {
	p, u, r, err := s.target(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if u.Roles == nil {
		u.Roles = map[string][]string{}
	}
	if !slices.Contains(u.Roles[p.ID], r.Name) {
		u.Roles[p.ID] = append(u.Roles[p.ID], r.Name)
	}
	return rest.Empty()
}

func (s *Service) checkGrant(c *rest.Call) (rest.Reply, error) {
	p, u, r, err := s.target(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if !slices.Contains(u.Roles[p.ID], r.Name) {
		return rest.Reply{}, missing("role assignment with role", r.ID)
	}
	return rest.Empty()
}

func (s *Service) revokeGrant(c *rest.Call) (rest.Reply, error) {
	p, u, r, err := s.target(c)
	if err != nil {
		return rest.Reply{}, err
	}
	if !slices.Contains(u.Roles[p.ID], r.Name) {
		return rest.Reply{}, missing("role assignment with role", r.ID)
	}
	u.Roles[p.ID] = slices.DeleteFunc(u.Roles[p.ID], func(name string) bool { return name == r.Name })
	return rest.Empty()
}

func roleDoc(c *rest.Call, r *cloud.Role) map[string]any {
	return map[string]any{"id": r.ID, "name": r.Name, "domain_id": nil, "description": nil, "options": map[string]any{},
		"links": map[string]any{"self": c.Base + "/v3/roles/" + r.ID}}
}

func (s *Service) listRoles(c *rest.Call) (rest.Reply, error) {
	var docs []any
	for r := range s.Cloud.Roles.All() {
		if wanted(c, "name", r.Name) {
			docs = append(docs, roleDoc(c, r))
		}
	}
	return list(c, "roles", docs)
}

func (s *Service) showRole(c *rest.Call) (rest.Reply, error) {
	r := s.Cloud.Roles.Get(c.PathValue("id"))
	if r == nil {
		return rest.Reply{}, missing("role", c.PathValue("id"))
	}
	return rest.OK(map[string]any{"role": roleDoc(c, r)})
}

func (s *Service) listAssignments(c *rest.Call) (rest.Reply, error) {
	var docs []any
	for u := range s.Cloud.Users.All() {
		for p := range s.Cloud.Projects.All() {
			for _, name := range u.Roles[p.ID] {
				r := s.Cloud.Roles.First(func(r *cloud.Role) bool { return r.Name == name })
				if r == nil || !wanted(c, "user.id", u.ID) || !wanted(c, "scope.project.id", p.ID) || !wanted(c, "role.id", r.ID) {
					continue
				}
				docs = append(docs, map[string]any{
					"role": map[string]any{"id": r.ID}, "user": map[string]any{"id": u.ID},
					"scope": map[string]any{"project": map[string]any{"id": p.ID}},
					"links": map[string]any{"assignment": c.Base + "/v3/projects/" + p.ID + "/users/" + u.ID + "/roles/" + r.ID},
				})
			}
		}
	}
	reply, err := list(c, "role_assignments", docs)
	reply.Status = http.StatusOK
	return reply, err
}
