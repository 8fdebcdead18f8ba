// Package keystone is the sandbox's Identity API v3: tokens by password, token and application credential, the
// catalogue, and what clients read and administrators change of projects, users, roles and application credentials.
package keystone

import (
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// Service answers below Prefix.
type Service struct {
	*rest.Service
	catalog []entry
	options Options
}

// Options of the service.
type Options struct {
	Prefix string // "/identity"
	// URL is the address of the whole sandbox, for the catalogue.
	URL string
	// TokenSeconds is how long a token is valid; 0 means an hour.
	TokenSeconds int
	// Endpoints are the catalogue's services.
	Endpoints []Endpoint
}

// Endpoint is a service of the catalogue. Path may contain %(project_id)s.
type Endpoint struct{ Type, Name, Path string }

// New returns the service.
func New(c *cloud.Cloud, o Options) (*Service, http.Handler) {
	s := &Service{options: o}
	for _, e := range o.Endpoints {
		s.catalog = append(s.catalog, newEntry(e))
	}
	s.Service = &rest.Service{
		Cloud: c, Name: "keystone", Prefix: o.Prefix, Errors: WriteError,
		Forbidden: func(_ *rest.Call, policy string) *rest.Error { return forbidden(policy) },
	}
	return s, s.Serve(s.routes())
}

func (s *Service) routes() []rest.Route {
	return []rest.Route{
		{Method: "GET", Path: "/{$}", Handler: s.versions, Public: true},
		{Method: "GET", Path: "/v3", Handler: s.version, Public: true},

		{Method: "POST", Path: "/v3/auth/tokens", Handler: s.issue, Public: true},
		{Method: "GET", Path: "/v3/auth/tokens", Handler: s.validate},
		{Method: "DELETE", Path: "/v3/auth/tokens", Handler: s.revoke},
		{Method: "GET", Path: "/v3/auth/catalog", Handler: s.authCatalog},
		{Method: "GET", Path: "/v3/auth/projects", Handler: s.authProjects},
		{Method: "GET", Path: "/v3/auth/domains", Handler: s.authDomains},
		{Method: "GET", Path: "/v3/auth/system", Handler: s.authSystem},

		{Method: "GET", Path: "/v3/projects", Handler: s.listProjects, Admin: "list_projects"},
		{Method: "POST", Path: "/v3/projects", Handler: s.createProject, Admin: "create_project"},
		{Method: "GET", Path: "/v3/projects/{id}", Handler: s.showProject},
		{Method: "PATCH", Path: "/v3/projects/{id}", Handler: s.updateProject, Admin: "update_project"},
		{Method: "DELETE", Path: "/v3/projects/{id}", Handler: s.deleteProject, Admin: "delete_project"},
		{Method: "GET", Path: "/v3/projects/{id}/users/{user}/roles", Handler: s.listGrants, Admin: "list_grants"},
		{Method: "PUT", Path: "/v3/projects/{id}/users/{user}/roles/{role}", Handler: s.grant, Admin: "create_grant"},
		{Method: "GET", Path: "/v3/projects/{id}/users/{user}/roles/{role}", Handler: s.checkGrant, Admin: "check_grant"},
		{Method: "DELETE", Path: "/v3/projects/{id}/users/{user}/roles/{role}", Handler: s.revokeGrant, Admin: "revoke_grant"},

		{Method: "GET", Path: "/v3/users", Handler: s.listUsers, Admin: "list_users"},
		{Method: "POST", Path: "/v3/users", Handler: s.createUser, Admin: "create_user"},
		{Method: "GET", Path: "/v3/users/{id}", Handler: s.showUser},
		{Method: "PATCH", Path: "/v3/users/{id}", Handler: s.updateUser, Admin: "update_user"},
		{Method: "DELETE", Path: "/v3/users/{id}", Handler: s.deleteUser, Admin: "delete_user"},
		{Method: "POST", Path: "/v3/users/{id}/password", Handler: s.changePassword, Public: true},
		{Method: "GET", Path: "/v3/users/{id}/projects", Handler: s.userProjects},
		{Method: "GET", Path: "/v3/users/{id}/groups", Handler: s.userGroups},

		{Method: "GET", Path: "/v3/users/{id}/application_credentials", Handler: s.listCredentials},
		{Method: "POST", Path: "/v3/users/{id}/application_credentials", Handler: s.createCredential},
		{Method: "GET", Path: "/v3/users/{id}/application_credentials/{cred}", Handler: s.showCredential},
		{Method: "DELETE", Path: "/v3/users/{id}/application_credentials/{cred}", Handler: s.deleteCredential},

		{Method: "GET", Path: "/v3/roles", Handler: s.listRoles, Admin: "list_roles"},
		{Method: "GET", Path: "/v3/roles/{id}", Handler: s.showRole, Admin: "get_role"},
		{Method: "GET", Path: "/v3/role_assignments", Handler: s.listAssignments, Admin: "list_role_assignments"},
		{Method: "GET", Path: "/v3/domains", Handler: s.listDomains, Admin: "list_domains"},
		{Method: "GET", Path: "/v3/domains/{id}", Handler: s.showDomain},
		{Method: "GET", Path: "/v3/regions", Handler: s.listRegions},
		{Method: "GET", Path: "/v3/regions/{id}", Handler: s.showRegion},
		{Method: "GET", Path: "/v3/services", Handler: s.listServices, Admin: "list_services"},
		{Method: "GET", Path: "/v3/services/{id}", Handler: s.showService, Admin: "get_service"},
		{Method: "GET", Path: "/v3/endpoints", Handler: s.listEndpoints, Admin: "list_endpoints"},
		{Method: "GET", Path: "/v3/endpoints/{id}", Handler: s.showEndpoint, Admin: "get_endpoint"},
	}
}

// WriteError is Keystone's format.
func WriteError(w http.ResponseWriter, _ *rest.Call, e *rest.Error) {
	title := http.StatusText(e.Status)
	for k, v := range e.Header {
		w.Header()[k] = v
	}
	rest.WriteJSON(w, e.Status, map[string]any{"error": map[string]any{"code": e.Status, "title": title, "message": e.Message}})
}

func forbidden(policy string) *rest.Error {
	return rest.Forbidden("You are not authorized to perform the requested action: identity:%s.", policy)
}

func missing(kind, id string) *rest.Error { return rest.Missing("Could not find %s: %s.", kind, id) }

func (s *Service) version(c *rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"version": versionDoc(c.Base)})
}

func (s *Service) versions(c *rest.Call) (rest.Reply, error) {
	return rest.Reply{Status: http.StatusMultipleChoices, Body: map[string]any{
		"versions": map[string]any{"values": []any{versionDoc(c.Base)}},
	}}, nil
}

func versionDoc(base string) map[string]any {
	return map[string]any{
		"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
		"links":       []rest.Link{{Rel: "self", Href: base + "/v3/"}},
		"media-types": []any{map[string]any{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}},
	}
}
