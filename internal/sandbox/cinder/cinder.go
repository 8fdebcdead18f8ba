// Package cinder is the sandbox's Block Storage API v3: volumes and their actions, types, snapshots, attachments, limits and
// quotas. Nova uses it through attach.go's methods, which expect the cloud's lock to be held.
package cinder

import (
	"net/http"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// Service answers below its prefix.
type Service struct {
	*rest.Service
	Zone string
	// Zone is the only availability zone.
}

// versions are the microversions of Cinder in OpenStack Zed.
var versions = &rest.Range{Min: rest.Version{Major: 3, Minor: 0}, Max: rest.Version{Major: 3, Minor: 70}, Service: "volume"}

// New returns the service and its handler.
func New(c *cloud.Cloud, prefix string) (*Service, http.Handler) {
	s := &Service{Zone: "nova"}
	s.Service = &rest.Service{
		Cloud: c, Name: "cinder", Prefix: prefix, Errors: WriteError, Versions: versions, Clean: cleanPath,
		Forbidden: func(_ *rest.Call, policy string) *rest.Error {
			return rest.Forbidden("Policy doesn't allow %s to be performed.", policy)
		},
	}
	return s, s.Serve(s.routes())
}

// cleanPath drops the project id, which says nothing that the token does not say.
func cleanPath(path string) string {
	rest, ok := strings.CutPrefix(path, "/v3/")
	if !ok {
		return path
	}
	first, tail, more := strings.Cut(rest, "/")
	if len(first) == 32 && strings.Trim(first, "0123456789abcdef") == "" {
		if more {
			return "/v3/" + tail
		}
		return "/v3"
	}
	return path
}

func (s *Service) routes() []rest.Route {
	return []rest.Route{
		{Method: "GET", Path: "/{$}", Handler: s.roots, Public: true},
		{Method: "GET", Path: "/v3", Handler: s.root, Public: true},

		{Method: "GET", Path: "/v3/volumes", Handler: s.listVolumes(false)},
		{Method: "GET", Path: "/v3/volumes/detail", Handler: s.listVolumes(true)},
		{Method: "GET", Path: "/v3/volumes/summary", Handler: s.summary},
		{Method: "POST", Path: "/v3/volumes", Handler: s.createVolume},
		{Method: "GET", Path: "/v3/volumes/{id}", Handler: s.showVolume},
		{Method: "PUT", Path: "/v3/volumes/{id}", Handler: s.updateVolume},
		{Method: "DELETE", Path: "/v3/volumes/{id}", Handler: s.deleteVolume},
		{Method: "POST", Path: "/v3/volumes/{id}/action", Handler: s.action},
		{Method: "GET", Path: "/v3/volumes/{id}/metadata", Handler: s.showMetadata},
		{Method: "POST", Path: "/v3/volumes/{id}/metadata", Handler: s.mergeMetadata},
		{Method: "PUT", Path: "/v3/volumes/{id}/metadata", Handler: s.replaceMetadata},
		{Method: "GET", Path: "/v3/volumes/{id}/metadata/{key}", Handler: s.showMeta},
		{Method: "PUT", Path: "/v3/volumes/{id}/metadata/{key}", Handler: s.setMeta},
		{Method: "DELETE", Path: "/v3/volumes/{id}/metadata/{key}", Handler: s.deleteMeta},

		{Method: "GET", Path: "/v3/attachments", Handler: s.listAttachments(false)},
		{Method: "GET", Path: "/v3/attachments/detail", Handler: s.listAttachments(true)},
		{Method: "POST", Path: "/v3/attachments", Handler: s.createAttachment},
		{Method: "GET", Path: "/v3/attachments/{id}", Handler: s.showAttachment},
		{Method: "PUT", Path: "/v3/attachments/{id}", Handler: s.updateAttachment},
		{Method: "DELETE", Path: "/v3/attachments/{id}", Handler: s.deleteAttachment},
		{Method: "POST", Path: "/v3/attachments/{id}/action", Handler: s.completeAttachment},

		{Method: "GET", Path: "/v3/snapshots", Handler: s.listSnapshots},
		{Method: "GET", Path: "/v3/snapshots/detail", Handler: s.listSnapshots},
		{Method: "POST", Path: "/v3/snapshots", Handler: s.createSnapshot},
		{Method: "GET", Path: "/v3/snapshots/{id}", Handler: s.showSnapshot},
		{Method: "PUT", Path: "/v3/snapshots/{id}", Handler: s.updateSnapshot},
		{Method: "DELETE", Path: "/v3/snapshots/{id}", Handler: s.deleteSnapshot},

		{Method: "GET", Path: "/v3/types", Handler: s.listTypes},
		{Method: "POST", Path: "/v3/types", Handler: s.createType, Admin: "volume_extension:type_create"},
		{Method: "GET", Path: "/v3/types/{id}", Handler: s.showType},
		{Method: "PUT", Path: "/v3/types/{id}", Handler: s.updateType, Admin: "volume_extension:type_update"},
		{Method: "DELETE", Path: "/v3/types/{id}", Handler: s.deleteType, Admin: "volume_extension:type_delete"},
		{Method: "GET", Path: "/v3/types/{id}/extra_specs", Handler: s.extraSpecs},
		{Method: "POST", Path: "/v3/types/{id}/extra_specs", Handler: s.setExtraSpecs, Admin: "volume_extension:types_extra_specs:create"},

		{Method: "GET", Path: "/v3/limits", Handler: s.limits},
		{Method: "GET", Path: "/v3/os-quota-sets/{project}", Handler: s.showQuota},
		{Method: "GET", Path: "/v3/os-quota-sets/{project}/defaults", Handler: s.defaultQuota},
		{Method: "PUT", Path: "/v3/os-quota-sets/{project}", Handler: s.updateQuota, Admin: "volume_extension:quotas:update"},
		{Method: "DELETE", Path: "/v3/os-quota-sets/{project}", Handler: s.deleteQuota, Admin: "volume_extension:quotas:delete"},
		{Method: "GET", Path: "/v3/os-availability-zone", Handler: s.zones},
		{Method: "GET", Path: "/v3/extensions", Handler: s.extensions},
		{Method: "GET", Path: "/v3/backups", Handler: s.none("backups")},
		{Method: "GET", Path: "/v3/backups/detail", Handler: s.none("backups")},
		{Method: "GET", Path: "/v3/os-volume-transfer", Handler: s.none("transfers")},
		{Method: "GET", Path: "/v3/os-volume-transfer/detail", Handler: s.none("transfers")},
		{Method: "GET", Path: "/v3/groups", Handler: s.none("groups")},
		{Method: "GET", Path: "/v3/groups/detail", Handler: s.none("groups")},
		{Method: "GET", Path: "/v3/consistencygroups", Handler: s.none("consistencygroups")},
		{Method: "GET", Path: "/v3/os-services", Handler: s.services, Admin: "volume_extension:services:index"},
		{Method: "GET", Path: "/v3/scheduler-stats/get_pools", Handler: s.none("pools"), Admin: "scheduler_extension:scheduler_stats:get_pools"},
	}
}

// faultNames are the keys of error documents.
var faultNames = map[int]string{
	400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 406: "notAcceptable", 409: "conflictingRequest",
	413: "overLimit", 415: "badMediaType", 429: "overLimit", 500: "computeFault", 501: "notImplemented", 503: "serviceUnavailable",
}

// WriteError is the service's format.
func WriteError(w http.ResponseWriter, _ *rest.Call, e *rest.Error) {
	name := faultNames[e.Status]
	if name == "" {
		name = "computeFault"
	}
	inner := map[string]any{"code": e.Status, "message": e.Message}
	if e.Status == http.StatusRequestEntityTooLarge {
		inner["retryAfter"] = "0"
		w.Header().Set("Retry-After", "0")
	}
	rest.WriteJSON(w, e.Status, map[string]any{name: inner})
}

func versionDoc(base string) rest.Doc {
	return rest.Doc{
		"id": "v3.0", "status": "CURRENT", "version": versions.Max.String(), "min_version": versions.Min.String(), "updated": "2022-08-31T00:00:00Z",
		"links":       []rest.Link{{Rel: "describedby", Href: "https://docs.openstack.org/"}, {Rel: "self", Href: base + "/v3/"}},
		"media-types": []any{map[string]any{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}},
	}
}

func (s *Service) roots(c *rest.Call) (rest.Reply, error) {
	return rest.Reply{Status: http.StatusMultipleChoices, Body: map[string]any{"versions": []any{versionDoc(c.Base)}}}, nil
}

func (s *Service) root(c *rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"versions": []any{versionDoc(c.Base)}})
}

func (s *Service) none(name string) rest.Handler {
	return func(*rest.Call) (rest.Reply, error) { return rest.OK(map[string]any{name: []any{}}) }
}

func (s *Service) zones(*rest.Call) (rest.Reply, error) {
	return rest.OK(map[string]any{"availabilityZoneInfo": []any{map[string]any{"zoneName": s.Zone, "zoneState": map[string]any{"available": true}}}})
}

func (s *Service) extensions(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, alias := range []string{"os-quota-sets", "os-availability-zone", "os-types-extra-specs", "os-volume-actions", "os-used-limits"} {
		docs = append(docs, map[string]any{"alias": alias, "name": alias, "description": alias, "updated": "2011-08-25T00:00:00+00:00", "links": []any{}})
	}
	return rest.OK(map[string]any{"extensions": docs})
}

func (s *Service) services(*rest.Call) (rest.Reply, error) {
	docs := []any{}
	for _, name := range []string{"cinder-scheduler", "cinder-volume"} {
		docs = append(docs, map[string]any{"binary": name, "host": "sandbox", "zone": s.Zone, "status": "enabled", "state": "up", "updated_at": cloud.Micro(s.Cloud.Now())})
	}
	return rest.OK(map[string]any{"services": docs})
}
