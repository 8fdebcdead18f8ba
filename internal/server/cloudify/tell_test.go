package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestToldEvents: what a client says of an execution is listed as what it is, in its place, and stays.
func TestToldEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
	x, _ := s.run("d", "install", nil, nil)
	id := fmt.Sprint(x["id"])
	app := items(s.get("/node-instances?deployment_id=d&node_id=app"))[0]["id"]
	const op = "cloudify.interfaces.lifecycle.create"
	s.call(201, "POST", v31+"/events", object{"execution_id": id, "agent_name": nil, "manager_name": nil,
		"events": []object{{"event_type": "task_started", "message": object{"text": "100% begun"}, "context": object{"node_id": app, "operation": op}}},
		"logs":   []object{{"level": "warning", "logger": "mine", "message": object{"text": "look out"}, "context": object{"execution_id": id, "node_id": "nobody"}}}})
	s.call(204, "POST", v31+"/events", object{"execution_id": id, "events": nil, "logs": []object{}})
	s.Restart()
	all := items(s.get("/events?execution_id=" + id + "&type=cloudify_event&type=cloudify_log&_size=1000"))
	e := all[slices.IndexFunc(all, func(o object) bool { return o["message"] == "100% begun" })]
	if e["type"] != "cloudify_event" || e["event_type"] != "task_started" || e["node_instance_id"] != app || e["node_name"] != "app" || e["operation"] != op || e["execution_id"] != id {
		t.Errorf("event %v", e)
	}
	l := all[slices.IndexFunc(all, func(o object) bool { return o["message"] == "look out" })]
	if l["type"] != "cloudify_log" || l["level"] != "warning" || l["node_instance_id"] != nil {
		t.Errorf("log %v", l)
	}
	for name, body := range map[string]object{
		"no execution": {"logs": []object{{"message": "x"}}}, "two": {"execution_id": id, "logs": []object{{"message": "x", "context": object{"execution_id": "y"}}}},
		"large": {"execution_id": id, "logs": []object{{"message": strings.Repeat("x", maxToldMessage+1)}}}, "no text": {"execution_id": id, "logs": []object{{"message": 5}}},
	} {
		if got := s.refused(400, "bad_parameters_error", "POST", v31+"/events", body); got["message"] == "" {
			t.Error(name)
		}
	}
	s.refused(404, "not_found_error", "POST", v31+"/events", object{"execution_id": "none", "logs": []object{{"message": "x"}}})
	up := s.get("/blueprints/shop")["upload_execution"].(object)["id"]
	s.refused(400, "illegal_action_error", "POST", v31+"/events", object{"execution_id": up, "logs": []object{{"message": "x"}}})
}

// TestSetGlobal is how Cloudify 4 makes things visible in every tenant.
func TestSetGlobal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(200, "PUT", v31+"/secrets/word", object{"value": "geheim"})
	for _, path := range []string{"/api/v3/blueprints/shop", v31 + "/secrets/word"} {
		if got := s.call(200, "PATCH", path+"/set-global", nil); got["visibility"] != "global" {
			t.Errorf("%s: %v", path, got)
		}
	}
	s.refused(404, "not_found_error", "PATCH", v31+"/plugins/none/set-global", nil)
	if got := s.get("/snapshot-status"); got["status"] != "not-running" {
		t.Errorf("%v", got)
	}
}
