package cloudify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// TestAlienSession plays Alien4Cloud's Cloudify provider: API v3, archives as bodies, events of version 2.1 by spans of time.
func TestAlienSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	const api = "/api/v3"
	if v := s.call(200, "GET", api+"/version", nil); v["version"] == "" {
		t.Errorf("version %v", v)
	}
	s.call(201, "PUT", v31+"/users", object{"username": "admin", "password": "long enough", "role": "sys_admin"})
	if tok := s.call(200, "GET", api+"/tokens", nil); tok["role"] != "sys_admin" || !strings.HasPrefix(fmt.Sprint(tok["value"]), "orch_") {
		t.Errorf("token %v", tok)
	}

	// The archive has no directory at its root, and the main file's name comes in the query.
	raw := s.send("PUT", api+"/blueprints/Shop-Environment?application_file_name=blueprint.yaml", "application/octet-stream", tarball(t, "", shop))
	var bp object
	if err := json.Unmarshal([]byte(raw.Body), &bp); err != nil || raw.Status != 201 || bp["id"] != "Shop-Environment" {
		t.Fatalf("upload: %d %s", raw.Status, raw.Body)
	}
	s.call(201, "PUT", api+"/deployments/Shop-Environment", object{"blueprint_id": "Shop-Environment", "inputs": object{}})
	s.finished("Shop-Environment")
	begun := time.Now().Add(-time.Second)
	x := s.call(201, "POST", api+"/executions", object{"deployment_id": "Shop-Environment", "workflow_id": "install", "parameters": object{}, "allow_custom_parameters": false, "force": false})
	if x["is_system_workflow"] != false {
		t.Errorf("execution %v", x)
	}
	s.until(fmt.Sprint(x["id"]), "terminated")
	s.finished("Shop-Environment")

	// What makes instances' states in Alien4Cloud, page by page.
	var tasks []object
	span := url.QueryEscape(fmt.Sprintf("@timestamp,%s,%s", begun.UTC().Format("2006-01-02T15:04:05.000Z"), time.Now().Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")))
	for offset := 0; ; offset += 10 {
		page := items(s.call(200, "GET", fmt.Sprintf("/api/v2.1/events?_range=%s&_offset=%d&_size=10&type=cloudify_event&type=cloudify_log&_sort=@timestamp", span, offset), nil))
		for _, e := range page {
			if e["event_type"] == "task_succeeded" {
				tasks = append(tasks, e)
			}
		}
		if len(page) < 10 {
			break
		}
	}
	var done []string
	for _, e := range tasks {
		c := e["context"].(object)
		if c["deployment_id"] != "Shop-Environment" || c["node_id"] == nil || e["@timestamp"] == "" || e["message"].(object)["text"] == "" {
			t.Errorf("event %v", e)
		}
		done = append(done, fmt.Sprintf("%s %s", c["node_name"], c["operation"]))
	}
	for _, want := range []string{"db cloudify.interfaces.lifecycle.create", "app cloudify.interfaces.lifecycle.start", "app cloudify.interfaces.relationship_lifecycle.establish"} {
		if !slices.Contains(done, want) {
			t.Errorf("%s is not in %v", want, done)
		}
	}

	if n := items(s.call(200, "GET", api+"/nodes?deployment_id=Shop-Environment&id=app", nil)); len(n) != 1 || n[0]["id"] != "app" {
		t.Errorf("nodes %v", n)
	}
	if in := items(s.call(200, "GET", api+"/node-instances?deployment_id=Shop-Environment", nil)); len(in) != 2 || in[0]["state"] != "started" {
		t.Errorf("instances %v", in)
	}
	if total := s.call(200, "GET", api+"/executions?deployment_id=Shop-Environment&_offset=0&_size=0&_include_system_workflows=true", nil); len(items(total)) != 0 ||
		total["metadata"].(object)["pagination"].(object)["total"] != 2.0 {
		t.Errorf("totals %v", total)
	}

	s.call(200, "PUT", api+"/secrets/password", object{"value": "geheim"})
	if sec := s.call(200, "GET", api+"/secrets/password", nil); sec["value"] != "geheim" || sec["key"] != "password" {
		t.Errorf("secret %v", sec)
	}
	s.call(200, "DELETE", api+"/secrets/password", nil)

	// An update is the new archive.
	next := map[string]string{}
	for k, v := range shop {
		next[k] = strings.Replace(v, "default: 8080", "default: 9090", 1)
	}
	raw = s.send("POST", api+"/deployment-updates/Shop-Environment/update/initiate?application_file_name=blueprint.yaml", "application/octet-stream", tarball(t, "", next))
	var u object
	if err := json.Unmarshal([]byte(raw.Body), &u); err != nil || raw.Status != 200 {
		t.Fatalf("update: %d %s", raw.Status, raw.Body)
	}
	s.until(fmt.Sprint(u["execution_id"]), "terminated")
	s.finished("Shop-Environment")

	// Undeployment: cancel what runs, uninstall, delete the deployment and the blueprint.
	x = s.call(201, "POST", api+"/executions", object{"deployment_id": "Shop-Environment", "workflow_id": "uninstall", "parameters": object{}, "allow_custom_parameters": false, "force": false})
	s.until(fmt.Sprint(x["id"]), "terminated")
	s.finished("Shop-Environment")
	s.call(200, "DELETE", api+"/deployments/Shop-Environment", nil)
	s.refused(404, "not_found_error", "GET", api+"/deployments/Shop-Environment", nil)
	s.call(200, "DELETE", api+"/blueprints/Shop-Environment", nil)
}

// finished waits as the provider does: there are executions, and all of them have ended.
func (s *site) finished(deployment string) {
	s.T.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		all := items(s.call(200, "GET", "/api/v3/executions?deployment_id="+deployment+"&_include_system_workflows=true", nil))
		if len(all) > 0 && !slices.ContainsFunc(all, func(x object) bool { return !ended(fmt.Sprint(x["status"])) }) {
			return
		}
		if time.Now().After(deadline) {
			s.T.Fatalf("executions do not end: %v", all)
		}
	}
}
