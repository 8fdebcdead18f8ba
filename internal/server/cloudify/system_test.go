package cloudify

import (
	"net/http"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

// TestSystem: what cfy asks at ordinary commands is answered in every version that has it.
func TestSystem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/api/version", "/api/v2.1/version", "/api/v3/status", "/api/v3.1/status?summary=true", "/api/v3.1/ok", "/api/v3.1/maintenance", "/api/v3.1/provider/context",
		"/api/v3.1/managers", "/api/v3.1/brokers", "/api/v3.1/db-nodes", "/api/v3.1/cluster-status", "/api/v3.1/config?scope=rest", "/api/v3.1/config/blueprint_folder_max_files", "/api/v3.1/ssl",
		"/api/v3.1/license", "/api/v3.1/user", "/api/v3.1/user-groups", "/api/v3.1/snapshots", "/api/v3.1/agents", "/api/v3.1/deployment-groups", "/api/v3.1/execution-groups",
		"/api/v3.1/execution-schedules", "/api/v3.1/secrets-providers", "/api/v3.1/deployment-updates", "/api/v2/deployments", "/api/v2.1/events?type=cloudify_event"} {
		if r := s.send("GET", path, "", nil); r.Status != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d %s", path, r.Status, r.Body)
		}
	}
	c := s.get("/config?scope=rest")
	if c["blueprint_folder_max_size_mb"].(object)["value"] != 50.0 || c["metadata"].(object)["pagination"].(object)["total"] != 2.0 {
		t.Errorf("config %v", c)
	}
	for _, path := range []string{"/api/v3/managers", "/api/v2/secrets", "/api/v9/blueprints"} { // newer than their version
		if r := s.send("GET", path, "", nil); r.Status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.Status)
		}
	}
}

// TestOthersDeployments: what was not made through this endpoint is shown, and what had a name before says nothing of what has it now.
func TestOthersDeployments(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx := t.Context()
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop", "display_name": "the first"})
	for _, req := range []orch.Request{{Verb: orch.Undeploy, Deployment: "d", Purge: true}, {Verb: orch.Deploy, Deployment: "d", Blueprint: "shop"}} {
		task, err := s.Local.Apply(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Local.Wait(ctx, "d", task.ID); err != nil {
			t.Fatal(err)
		}
	}
	if d := s.get("/deployments/d"); d["display_name"] != "d" || d["blueprint_id"] != "shop" {
		t.Errorf("deployment %v of %v", d["display_name"], d["blueprint_id"])
	}
	if d := s.call(200, "PATCH", v31+"/deployments/d", object{"display_name": "the second"}); d["display_name"] != "the second" {
		t.Errorf("renamed to %v", d["display_name"])
	}
}
