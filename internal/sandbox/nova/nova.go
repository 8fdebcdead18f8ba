// Package nova is the sandbox's Compute API v2.1 with microversions: servers with their actions, ports, volumes, metadata and
// tags, flavors, key pairs, server groups, quotas; and the compute agent that builds servers on the machine.Host, or records them
// only when there is none.
//
// It uses neutron and cinder as Nova does, by their methods instead of their APIs.
package nova

import (
	"context"
	"net/http"
	"strings"

	"github.com/orch-project/orch/internal/sandbox/cinder"
	"github.com/orch-project/orch/internal/sandbox/cloud"
	"github.com/orch-project/orch/internal/sandbox/neutron"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// Service answers below its prefix.
type Service struct {
	*rest.Service
	Neutron *neutron.Service
	Cinder  *cinder.Service
	// Zone is the only availability zone.
	Zone string
	// building holds what interrupts the build of a server that is deleted meanwhile; guarded by the cloud's lock.
	building map[string]context.CancelFunc
}

// versions are the microversions of Nova in OpenStack Zed.
var versions = &rest.Range{
	Min: rest.Version{Major: 2, Minor: 1}, Max: rest.Version{Major: 2, Minor: 93},
	Service: "compute", Legacy: "X-OpenStack-Nova-API-Version",
}

// New returns the service and its handler.
func New(c *cloud.Cloud, prefix string, net *neutron.Service, block *cinder.Service) (*Service, http.Handler) {
	s := &Service{Neutron: net, Cinder: block, Zone: "nova", building: map[string]context.CancelFunc{}}
	s.Service = &rest.Service{
		Cloud: c, Name: "nova", Prefix: prefix, Errors: WriteError, Versions: versions, Clean: cleanPath,
		Forbidden: func(_ *rest.Call, policy string) *rest.Error { return denied(policy) },
	}
	net.PortGone, net.PortChanged = s.portGone, s.portChanged
	return s, s.Serve(s.routes())
}

func denied(policy string) *rest.Error {
	return rest.Forbidden("Policy doesn't allow os_compute_api:%s to be performed.", policy)
}

// cleanPath drops the project id of old endpoints.
func cleanPath(path string) string {
	tail, ok := strings.CutPrefix(path, "/v2.1/")
	if !ok {
		return path
	}
	first, more, _ := strings.Cut(tail, "/")
	if len(first) == 32 && strings.Trim(first, "0123456789abcdef") == "" {
		return strings.TrimSuffix("/v2.1/"+more, "/")
	}
	return path
}

var faultNames = map[int]string{
	400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 409: "conflictingRequest",
	413: "overLimit", 415: "badMediaType", 429: "overLimit", 500: "computeFault", 501: "notImplemented", 503: "serviceUnavailable",
}

// WriteError is the service's format.
func WriteError(w http.ResponseWriter, _ *rest.Call, e *rest.Error) {
	if e.Status == http.StatusNotAcceptable {
		// Version negotiation answers before the API's own fault wrapper.
		rest.WriteJSON(w, e.Status, map[string]any{"computeFault": map[string]any{"code": e.Status, "message": e.Message}})
		return
	}
	name := faultNames[e.Status]
	if name == "" {
		name = "computeFault"
	}
	if e.Status == http.StatusInternalServerError {
		e.Message = "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible.\n" + e.Message
	}
	rest.WriteJSON(w, e.Status, map[string]any{name: map[string]any{"code": e.Status, "message": e.Message}})
}
