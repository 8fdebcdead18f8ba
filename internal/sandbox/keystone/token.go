package keystone

import (
	"net/http"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

var domainDoc = map[string]any{"id": cloud.DomainID, "name": "Default"}

// tokenDoc is a token as GET and POST /v3/auth/tokens show it.
func (s *Service) tokenDoc(t *cloud.Token, catalog bool) map[string]any {
	doc := map[string]any{
		"methods": t.Methods, "audit_ids": []string{t.AuditID},
		"issued_at": cloud.MicroZulu(t.Issued), "expires_at": cloud.MicroZulu(t.Expires),
		"user": map[string]any{"id": t.User.ID, "name": t.User.Name, "domain": domainDoc, "password_expires_at": nil},
	}
	switch {
	case t.ProjectID != "":
		name := ""
		if p := s.Cloud.Projects.Get(t.ProjectID); p != nil {
			name = p.Name
		}
		doc["project"] = map[string]any{"id": t.ProjectID, "name": name, "domain": domainDoc}
		doc["is_domain"] = false
	case t.Domain:
		doc["domain"] = domainDoc
	case t.System:
		doc["system"] = map[string]any{"all": true}
	default:
		return doc
	}
	doc["roles"] = s.roleDocs(t.Roles)
	if t.AppCredential != "" {
		doc["application_credential"] = map[string]any{"id": t.AppCredential, "name": s.credName(t.AppCredential), "restricted": t.Restricted}
	}
	if catalog {
		doc["catalog"] = s.catalogFor(t.ProjectID)
	}
	return doc
}

func (s *Service) credName(id string) string {
	if a := s.Cloud.AppCredentials.Get(id); a != nil {
		return a.Name
	}
	return ""
}

func (s *Service) roleDocs(names []string) []any {
	out := []any{}
	for _, name := range names {
		if r := s.Cloud.Roles.First(func(r *cloud.Role) bool { return r.Name == name }); r != nil {
			out = append(out, map[string]any{"id": r.ID, "name": r.Name})
		}
	}
	return out
}

// subject is the token of X-Subject-Token; others' tokens are the administrator's only.
func (s *Service) subject(c *rest.Call, policy string) (*cloud.Token, error) {
	id := c.Header.Get("X-Subject-Token")
	if id == "" {
		return nil, rest.Bad("X-Subject-Token header is required")
	}
	t := s.Cloud.Tokens.Get(id)
	if t == nil || !s.Cloud.Now().Before(t.Expires) {
		return nil, rest.Missing("This is not a recognized Fernet token %s", shorten(id))
	}
	if t.User.ID != c.Token.User.ID && !c.Admin() {
		return nil, forbidden(policy)
	}
	return t, nil
}

// shorten keeps a token out of error messages.
func shorten(token string) string {
	if len(token) <= 8 {
		return "***"
	}
	return token[:6] + "***"
}

func (s *Service) validate(c *rest.Call) (rest.Reply, error) {
	t, err := s.subject(c, "validate_token")
	if err != nil {
		return rest.Reply{}, err
	}
	_, noCatalog := c.Query["nocatalog"]
	reply, _ := rest.OK(map[string]any{"token": s.tokenDoc(t, !noCatalog)})
	return reply.With("X-Subject-Token", t.ID).With("Vary", "X-Auth-Token"), nil
}

func (s *Service) revoke(c *rest.Call) (rest.Reply, error) {
	t, err := s.subject(c, "revoke_token")
	if err != nil {
		return rest.Reply{}, err
	}
	s.Cloud.Tokens.Delete(t.ID)
	return rest.Empty()
}

type entry struct {
	Endpoint
	id        string
	endpoints [3]string
}

var interfaces = [3]string{"public", "internal", "admin"}

func newEntry(e Endpoint) entry {
	out := entry{Endpoint: e, id: cloud.Hex(16)}
	for i := range out.endpoints {
		out.endpoints[i] = cloud.Hex(16)
	}
	return out
}

func (s *Service) catalogFor(project string) []any {
	out := []any{}
	for _, e := range s.catalog {
		if strings.Contains(e.Path, "%(project_id)s") && project == "" {
			continue
		}
		url := s.options.URL + strings.ReplaceAll(e.Path, "%(project_id)s", project)
		eps := []any{}
		for i, name := range interfaces {
			eps = append(eps, map[string]any{"id": e.endpoints[i], "interface": name, "region": s.Cloud.Region, "region_id": s.Cloud.Region, "url": url})
		}
		out = append(out, map[string]any{"id": e.id, "type": e.Type, "name": e.Name, "endpoints": eps})
	}
	return out
}

func (s *Service) authCatalog(c *rest.Call) (rest.Reply, error) {
	if c.Token.ProjectID == "" && !c.Token.System && !c.Token.Domain {
		return rest.Reply{}, rest.Forbidden("You are not authorized to perform the requested action: identity:get_auth_catalog.")
	}
	return rest.OK(map[string]any{"catalog": s.catalogFor(c.Project()), "links": self(c)})
}

func self(c *rest.Call) map[string]any {
	return map[string]any{"self": c.Base + c.URL.Path, "next": nil, "previous": nil}
}

func list(c *rest.Call, name string, docs []any) (rest.Reply, error) {
	if docs == nil {
		docs = []any{}
	}
	return rest.OK(map[string]any{name: docs, "links": self(c)})
}

func (s *Service) authProjects(c *rest.Call) (rest.Reply, error) {
	return list(c, "projects", s.projectsOf(c, c.Token.User))
}

func (s *Service) projectsOf(c *rest.Call, u *cloud.User) []any {
	var docs []any
	for p := range s.Cloud.Projects.All() {
		if len(u.Roles[p.ID]) > 0 && !p.Disabled {
			docs = append(docs, projectDoc(c, p))
		}
	}
	return docs
}

func (s *Service) authDomains(c *rest.Call) (rest.Reply, error) {
	var docs []any
	if adminSomewhere(c.Token.User) {
		docs = append(docs, fullDomain(c))
	}
	return list(c, "domains", docs)
}

func (s *Service) authSystem(c *rest.Call) (rest.Reply, error) {
	var docs []any
	if adminSomewhere(c.Token.User) {
		docs = append(docs, map[string]any{"all": true})
	}
	return list(c, "system", docs)
}

func fullDomain(c *rest.Call) map[string]any {
	return map[string]any{
		"id": cloud.DomainID, "name": "Default", "description": "The default domain", "enabled": true, "tags": []string{}, "options": map[string]any{},
		"links": map[string]any{"self": c.Base + "/v3/domains/" + cloud.DomainID},
	}
}

func (s *Service) listDomains(c *rest.Call) (rest.Reply, error) {
	if name := c.Query.Get("name"); name != "" && name != "Default" {
		return list(c, "domains", nil)
	}
	return list(c, "domains", []any{fullDomain(c)})
}

func (s *Service) showDomain(c *rest.Call) (rest.Reply, error) {
	if !c.Admin() {
		return rest.Reply{}, forbidden("get_domain")
	}
	if c.PathValue("id") != cloud.DomainID {
		return rest.Reply{}, missing("domain", c.PathValue("id"))
	}
	return rest.OK(map[string]any{"domain": fullDomain(c)})
}

func regionDoc(c *rest.Call, id string) map[string]any {
	return map[string]any{"id": id, "description": "", "parent_region_id": nil, "links": map[string]any{"self": c.Base + "/v3/regions/" + id}}
}

func (s *Service) listRegions(c *rest.Call) (rest.Reply, error) {
	return list(c, "regions", []any{regionDoc(c, s.Cloud.Region)})
}

func (s *Service) showRegion(c *rest.Call) (rest.Reply, error) {
	if c.PathValue("id") != s.Cloud.Region {
		return rest.Reply{}, missing("region", c.PathValue("id"))
	}
	return rest.OK(map[string]any{"region": regionDoc(c, s.Cloud.Region)})
}

func serviceDoc(c *rest.Call, e entry) map[string]any {
	return map[string]any{"id": e.id, "type": e.Type, "name": e.Name, "enabled": true, "links": map[string]any{"self": c.Base + "/v3/services/" + e.id}}
}

func (s *Service) listServices(c *rest.Call) (rest.Reply, error) {
	var docs []any
	for _, e := range s.catalog {
		if wanted(c, "type", e.Type) && wanted(c, "name", e.Name) {
			docs = append(docs, serviceDoc(c, e))
		}
	}
	return list(c, "services", docs)
}

// wanted applies a filter of the query.
func wanted(c *rest.Call, field, value string) bool {
	f := c.Query.Get(field)
	return f == "" || f == value
}

func (s *Service) showService(c *rest.Call) (rest.Reply, error) {
	for _, e := range s.catalog {
		if e.id == c.PathValue("id") {
			return rest.OK(map[string]any{"service": serviceDoc(c, e)})
		}
	}
	return rest.Reply{}, missing("service", c.PathValue("id"))
}

func (s *Service) endpointDocs(c *rest.Call) []map[string]any {
	var docs []map[string]any
	for _, e := range s.catalog {
		for i, name := range interfaces {
			docs = append(docs, map[string]any{
				"id": e.endpoints[i], "service_id": e.id, "interface": name, "region": s.Cloud.Region, "region_id": s.Cloud.Region,
				"url": s.options.URL + e.Path, "enabled": true, "links": map[string]any{"self": c.Base + "/v3/endpoints/" + e.endpoints[i]},
			})
		}
	}
	return docs
}

func (s *Service) listEndpoints(c *rest.Call) (rest.Reply, error) {
	var docs []any
	for _, d := range s.endpointDocs(c) {
		if wanted(c, "service_id", d["service_id"].(string)) && wanted(c, "interface", d["interface"].(string)) && wanted(c, "region_id", s.Cloud.Region) {
			docs = append(docs, d)
		}
	}
	return list(c, "endpoints", docs)
}

func (s *Service) showEndpoint(c *rest.Call) (rest.Reply, error) {
	for _, d := range s.endpointDocs(c) {
		if d["id"] == c.PathValue("id") {
			return rest.OK(map[string]any{"endpoint": d})
		}
	}
	return rest.Reply{}, &rest.Error{Status: http.StatusNotFound, Message: "Could not find endpoint: " + c.PathValue("id") + "."}
}
