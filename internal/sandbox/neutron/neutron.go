// Package neutron is the sandbox's Networking API v2.0: networks, subnets, ports, routers, floating IPs and security
// groups with quotas, tags, filters, sorting and pages, and the agents that bring them to the machine.Host.
//
// Nova uses it through ports.go's methods, which expect the cloud's lock to be held.
package neutron

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// Service answers below its prefix.
type Service struct {
	*rest.Service
	kinds []*kind
	agent agent
	// PortGone is called with the lock held when a server's port was deleted through this API.
	PortGone func(serverID, portID string)
	// PortChanged is called with the lock held when a plugged port's addresses changed.
	PortChanged func(serverID, portID string)
	// Zone is the only availability zone.
	Zone string
}

// New returns the service and its handler.
func New(c *cloud.Cloud, prefix string) (*Service, http.Handler) {
	s := &Service{Zone: "nova"}
	s.agent = agent{s: s, routers: map[string]bool{}}
	s.Service = &rest.Service{
		Cloud: c, Name: "neutron", Prefix: prefix, Errors: WriteError, Clean: cleanPath,
		Forbidden: func(_ *rest.Call, policy string) *rest.Error { return disallowed(policy) },
	}
	s.kinds = []*kind{
		s.networkKind(), s.subnetKind(), s.portKind(), s.routerKind(), s.floatingIPKind(),
		s.securityGroupKind(), s.securityRuleKind(), s.subnetPoolKind(),
	}
	return s, s.Serve(s.routes())
}

// cleanPath drops the ".json" that old clients append.
func cleanPath(path string) string { return strings.TrimSuffix(path, ".json") }

func (s *Service) routes() []rest.Route {
	routes := []rest.Route{
		{Method: "GET", Path: "/{$}", Handler: s.versions, Public: true},
		{Method: "GET", Path: "/v2.0", Handler: s.version},
		{Method: "GET", Path: "/v2.0/extensions", Handler: s.listExtensions},
		{Method: "GET", Path: "/v2.0/extensions/{alias}", Handler: s.showExtension},
		{Method: "GET", Path: "/v2.0/availability_zones", Handler: s.listZones},
		{Method: "GET", Path: "/v2.0/agents", Handler: s.listAgents},
		{Method: "GET", Path: "/v2.0/service-providers", Handler: s.listProviders},
		{Method: "GET", Path: "/v2.0/network-ip-availabilities", Handler: s.listAvailabilities, Admin: "rule:get_network_ip_availability"},
		{Method: "GET", Path: "/v2.0/network-ip-availabilities/{id}", Handler: s.showAvailability, Admin: "rule:get_network_ip_availability"},

		{Method: "GET", Path: "/v2.0/quotas", Handler: s.listQuotas, Admin: "rule:get_quota"},
		{Method: "GET", Path: "/v2.0/quotas/tenant", Handler: s.quotaTenant},
		{Method: "GET", Path: "/v2.0/quotas/project", Handler: s.quotaTenant},
		{Method: "GET", Path: "/v2.0/quotas/{project}", Handler: s.showQuota},
		{Method: "GET", Path: "/v2.0/quotas/{project}/default", Handler: s.defaultQuota},
		{Method: "GET", Path: "/v2.0/quotas/{project}/details.json", Handler: s.quotaDetails},
		{Method: "GET", Path: "/v2.0/quotas/{project}/details", Handler: s.quotaDetails},
		{Method: "PUT", Path: "/v2.0/quotas/{project}", Handler: s.updateQuota, Admin: "rule:update_quota"},
		{Method: "DELETE", Path: "/v2.0/quotas/{project}", Handler: s.deleteQuota, Admin: "rule:delete_quota"},

		{Method: "PUT", Path: "/v2.0/routers/{id}/add_router_interface", Handler: s.addInterface},
		{Method: "PUT", Path: "/v2.0/routers/{id}/remove_router_interface", Handler: s.removeInterface},
		{Method: "PUT", Path: "/v2.0/routers/{id}/add_extraroutes", Handler: s.addRoutes},
		{Method: "PUT", Path: "/v2.0/routers/{id}/remove_extraroutes", Handler: s.removeRoutes},
	}
	for _, k := range s.kinds {
		path := "/v2.0/" + strings.ReplaceAll(k.many, "_", "-")
		routes = append(routes,
			rest.Route{Method: "GET", Path: path, Handler: k.handleList},
			rest.Route{Method: "POST", Path: path, Handler: k.handleCreate},
			rest.Route{Method: "GET", Path: path + "/{id}", Handler: k.handleShow},
			rest.Route{Method: "PUT", Path: path + "/{id}", Handler: k.handleUpdate},
			rest.Route{Method: "DELETE", Path: path + "/{id}", Handler: k.handleDelete},
			rest.Route{Method: "GET", Path: path + "/{id}/tags", Handler: k.listTags},
			rest.Route{Method: "PUT", Path: path + "/{id}/tags", Handler: k.replaceTags},
			rest.Route{Method: "DELETE", Path: path + "/{id}/tags", Handler: k.clearTags},
			rest.Route{Method: "GET", Path: path + "/{id}/tags/{tag}", Handler: k.checkTag},
			rest.Route{Method: "PUT", Path: path + "/{id}/tags/{tag}", Handler: k.addTag},
			rest.Route{Method: "DELETE", Path: path + "/{id}/tags/{tag}", Handler: k.removeTag},
		)
	}
	return routes
}

// WriteError is Neutron's format. Errors of the framework have the class of their status.
func WriteError(w http.ResponseWriter, _ *rest.Call, e *rest.Error) {
	typ := e.Type
	if typ == "" {
		typ = map[int]string{
			400: "HTTPBadRequest", 403: "PolicyNotAuthorized", 404: "HTTPNotFound", 405: "HTTPMethodNotAllowed",
			409: "Conflict", 500: "HTTPInternalServerError", 501: "HTTPNotImplemented",
		}[e.Status]
	}
	rest.WriteJSON(w, e.Status, map[string]any{"NeutronError": map[string]any{"type": typ, "message": e.Message, "detail": ""}})
}

func disallowed(policy string) *rest.Error {
	return rest.Typed(http.StatusForbidden, "PolicyNotAuthorized", "%s is disallowed by policy", policy)
}

func notFound(typ, format, id string) *rest.Error {
	return rest.Typed(http.StatusNotFound, typ, format, id)
}

func badInput(format string, args ...any) *rest.Error {
	return rest.Typed(http.StatusBadRequest, "InvalidInput", "Invalid input for operation: "+format+".", args...)
}

func badRequest(resource, format string, args ...any) *rest.Error {
	return rest.Typed(http.StatusBadRequest, "BadRequest", "Bad "+resource+" request: "+format+".", args...)
}

func inUse(typ, format string, args ...any) *rest.Error {
	return rest.Typed(http.StatusConflict, typ, format, args...)
}

// kind is one collection of the API.
type kind struct {
	one, many string
	// attrs says which attributes a body may have: c in POST, u in PUT; a needs an administrator, A only in PUT.
	attrs    map[string]string
	required []string
	// list returns what the caller may see; show words the absence of one.
	list   func(*rest.Call) []rest.Doc
	absent func(id string) *rest.Error
	create func(c *rest.Call, project string, body json.RawMessage) (rest.Doc, error)
	update func(c *rest.Call, id string, body json.RawMessage) (rest.Doc, error)
	remove func(c *rest.Call, id string) error
	// stamp finds the record for its tags and ownership.
	stamp func(id string) *cloud.Stamp
	// filters are query parameters that are no attributes.
	filters map[string]func(doc rest.Doc, values []string) bool
}

func (k *kind) handleList(c *rest.Call) (rest.Reply, error) {
	docs, err := k.filter(k.list(c), c)
	if err != nil {
		return rest.Reply{}, err
	}
	if err := sortDocs(docs, c, k); err != nil {
		return rest.Reply{}, err
	}
	page, known, err := rest.Paginate(docs, c.Query, rest.PageOptions{Reverse: true, URL: c.Base + c.URL.Path})
	if err != nil {
		return rest.Reply{}, rest.Typed(http.StatusBadRequest, "BadRequest", "Bad limit request: Limit must be an integer 0 or greater and not '%s'.", c.Query.Get("limit"))
	}
	if !known {
		page = rest.Page{Docs: docs} // Neutron ignores a marker that it does not know
	}
	out := map[string]any{k.many: selectFields(page.Docs, c.Query["fields"])}
	var links []rest.Link
	if page.Next != "" {
		links = append(links, rest.Link{Rel: "next", Href: page.Next})
	}
	if page.Prev != "" {
		links = append(links, rest.Link{Rel: "previous", Href: page.Prev})
	}
	if links != nil {
		out[k.many+"_links"] = links
	}
	return rest.OK(out)
}

func (k *kind) find(c *rest.Call, id string) (rest.Doc, error) {
	for _, d := range k.list(c) {
		if d["id"] == id {
			return d, nil
		}
	}
	return nil, k.absent(id)
}

func (k *kind) handleShow(c *rest.Call) (rest.Reply, error) {
	doc, err := k.find(c, c.PathValue("id"))
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{k.one: selectFields([]rest.Doc{doc}, c.Query["fields"])[0]})
}

// owned refuses changes of what the caller sees but does not own (shared and external networks).
func (k *kind) owned(c *rest.Call, verb string) error {
	id := c.PathValue("id")
	if _, err := k.find(c, id); err != nil {
		return err
	}
	if st := k.stamp(id); st != nil && st.ProjectID != c.Project() && !c.Admin() {
		return disallowed("rule:" + verb + "_" + k.one)
	}
	return nil
}

func (k *kind) handleCreate(c *rest.Call) (rest.Reply, error) {
	if c.Project() == "" && !c.Admin() {
		return rest.Reply{}, disallowed("rule:create_" + k.one)
	}
	if bulk := c.Object(k.many); bulk != nil {
		return k.createMany(c, bulk)
	}
	body := c.Object(k.one)
	if body == nil || body[0] != '{' {
		return rest.Reply{}, rest.Bad("Unable to find '%s' in request body", k.one)
	}
	project, err := k.check(c, body, "POST")
	if err != nil {
		return rest.Reply{}, err
	}
	doc, err := k.create(c, project, body)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.Created(map[string]any{k.one: doc})
}

// createMany is all or nothing.
func (k *kind) createMany(c *rest.Call, bulk json.RawMessage) (rest.Reply, error) {
	var bodies []json.RawMessage
	if err := json.Unmarshal(bulk, &bodies); err != nil || len(bodies) == 0 {
		return rest.Reply{}, rest.Bad("Resources required")
	}
	projects := make([]string, len(bodies))
	for i, b := range bodies {
		var err error
		if projects[i], err = k.check(c, b, "POST"); err != nil {
			return rest.Reply{}, err
		}
	}
	docs := []rest.Doc{}
	for i, b := range bodies {
		doc, err := k.create(c, projects[i], b)
		if err != nil {
			for _, made := range slices.Backward(docs) {
				_ = k.remove(c, made["id"].(string)) // just made, and nothing refers to it yet
			}
			return rest.Reply{}, err
		}
		docs = append(docs, doc)
	}
	return rest.Created(map[string]any{k.many: docs})
}

func (k *kind) handleUpdate(c *rest.Call) (rest.Reply, error) {
	body := c.Object(k.one)
	if body == nil || body[0] != '{' {
		return rest.Reply{}, rest.Bad("Unable to find '%s' in request body", k.one)
	}
	if _, err := k.check(c, body, "PUT"); err != nil {
		return rest.Reply{}, err
	}
	if err := k.owned(c, "update"); err != nil {
		return rest.Reply{}, err
	}
	doc, err := k.update(c, c.PathValue("id"), body)
	if err != nil {
		return rest.Reply{}, err
	}
	return rest.OK(map[string]any{k.one: doc})
}

func (k *kind) handleDelete(c *rest.Call) (rest.Reply, error) {
	if err := k.owned(c, "delete"); err != nil {
		return rest.Reply{}, err
	}
	if err := k.remove(c, c.PathValue("id")); err != nil {
		return rest.Reply{}, err
	}
	return rest.Empty()
}

// newStamp is the common part of a new resource.
func (s *Service) newStamp(project string) cloud.Stamp {
	now := s.Cloud.Now()
	return cloud.Stamp{ID: cloud.UUID(), ProjectID: project, Created: now, Updated: now, Revision: 1}
}

func (s *Service) touch(st *cloud.Stamp) {
	st.Updated = s.Cloud.Now()
	st.Revision++
}

// stampDoc is the common part of a document.
func stampDoc(st *cloud.Stamp) rest.Doc {
	tags := st.Tags
	if tags == nil {
		tags = []string{}
	}
	return rest.Doc{
		"id": st.ID, "name": st.Name, "description": st.Description, "tenant_id": st.ProjectID, "project_id": st.ProjectID,
		"tags": tags, "created_at": cloud.Zulu(st.Created), "updated_at": cloud.Zulu(st.Updated), "revision_number": st.Revision,
	}
}

// quota refuses when one more of the resource would exceed the project's limit.
func (s *Service) quota(project, resource string) error {
	if project == "" {
		return nil // Neutron's own ports (gateways, floating IPs) are nobody's
	}
	limit := s.Cloud.Quotas.Limit("neutron", project, resource)
	if limit >= 0 && s.used(project, resource)+1 > limit {
		return rest.Typed(http.StatusConflict, "OverQuota", "Quota exceeded for resources: ['%s'].", resource)
	}
	return nil
}
