package nova

import (
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/rest"
)

func versionDoc(base string) rest.Doc {
	return rest.Doc{
		"id": "v2.1", "status": "CURRENT", "version": versions.Max.String(), "min_version": versions.Min.String(), "updated": "2013-07-23T11:33:21Z",
		"links": []rest.Link{{Rel: "self", Href: base + "/v2.1/"}},
	}
}

func (s *Service) roots(c *rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"versions": []any{
		rest.Doc{"id": "v2.0", "status": "SUPPORTED", "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z", "links": []rest.Link{{Rel: "self", Href: c.Base + "/v2/"}}},
		versionDoc(c.Base),
	}})
}

func (s *Service) root(c *rest.Call) (rest.Reply, error) {
	d := versionDoc(c.Base)
	d["links"] = []any{
		rest.Link{Rel: "self", Href: c.Base + "/v2.1/"},
		map[string]string{"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
	}
	d["media-types"] = []any{map[string]any{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}}
	return rest.OK(map[string]any{"version": d})
}

var aliases = []string{
	"os-availability-zone", "os-attach-interfaces", "os-console-output", "os-extended-volumes", "os-flavor-extra-specs", "os-instance-actions",
	"os-keypairs", "os-quota-sets", "os-scheduler-hints", "os-security-groups", "os-server-groups", "os-server-usage", "os-used-limits",
	"os-user-data", "os-volumes", "os-tenant-networks", "servers", "flavors", "limits",
}

func aliasDoc(alias string) rest.Doc {
	return rest.Doc{"alias": alias, "name": alias, "description": "", "namespace": "http://docs.openstack.org/compute/ext/fake_xml", "updated": "2014-12-03T00:00:00Z", "links": []any{}}
}

func (s *Service) listExtensions(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, a := range aliases {
		docs = append(docs, aliasDoc(a))
	}
	return rest.OK(map[string]any{"extensions": docs})
}

func (s *Service) showExtension(c *rest.Call) (rest.Reply, error) {
	for _, a := range aliases {
		if a == c.PathValue("alias") {
			return rest.OK(map[string]any{"extension": aliasDoc(a)})
		}
	}
	return rest.Reply{}, &rest.Error{Status: http.StatusNotFound, Message: "The resource could not be found."}
}

// proxy is an API that was withdrawn after the microversion 2.last.
func (s *Service) proxy(last int, h rest.Handler) rest.Handler {
	return func(c *rest.Call) (rest.Reply, error) {
		if c.Version.Minor > last {
			return rest.Reply{}, rest.Missing("The resource could not be found.")
		}
		return h(c)
	}
}
