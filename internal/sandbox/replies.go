package sandbox

import (
	"fmt"
	"net/http"

	"github.com/orch-project/orch/internal/sandbox/cinder"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/internal/sandbox/glance"
	"github.com/orch-project/orch/internal/sandbox/keystone"
	"github.com/orch-project/orch/internal/sandbox/neutron"
	"github.com/orch-project/orch/internal/sandbox/nova"
	"github.com/orch-project/orch/internal/sandbox/rest"
)

// replies are how an injected fault speaks: in the service's own format and words.
func replies(service string) fault.Reply {
	write := map[string]func(http.ResponseWriter, *rest.Call, *rest.Error){
		"keystone": keystone.WriteError, "nova": nova.WriteError, "neutron": neutron.WriteError, "glance": glance.WriteError, "cinder": cinder.WriteError,
	}[service]
	send := func(w http.ResponseWriter, r *http.Request, e *rest.Error) { write(w, &rest.Call{Request: r}, e) }
	return fault.Reply{
		Error: func(w http.ResponseWriter, r *http.Request, status int, message string) {
			send(w, r, &rest.Error{Status: status, Message: message})
		},
		Quota: func(w http.ResponseWriter, r *http.Request, resource string) {
			send(w, r, quotaRefusal(service, resource))
		},
	}
}

func quotaRefusal(service, resource string) *rest.Error {
	or := func(standard string) string {
		if resource == "" {
			return standard
		}
		return resource
	}
	switch service {
	case "nova":
		r := or("instances")
		return rest.Forbidden("Quota exceeded for %s: Requested 1, but already used 10 of 10 %s", r, r)
	case "neutron":
		return rest.Typed(http.StatusConflict, "OverQuota", "Quota exceeded for resources: ['%s'].", or("port"))
	case "cinder":
		return rest.Fail(http.StatusRequestEntityTooLarge, "VolumeLimitExceeded: Maximum number of volumes allowed (10) exceeded for quota '%s'.", or("volumes"))
	case "glance":
		return rest.Fail(http.StatusRequestEntityTooLarge, "User is over the quota of %s.", or("image_count_total"))
	}
	return rest.Forbidden("%s", fmt.Sprintf("Unable to create additional %s: the limit is reached.", or("application credentials")))
}
