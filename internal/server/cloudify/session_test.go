package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// TestCfySession plays what cfy 7 sends: upload, create, install with its events, read everything, update, scale, operate, cancel, resume,
// uninstall, delete.
func TestCfySession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})

	// cfy profiles use
	if st := s.get("/status"); st["status"] != "OK" {
		t.Errorf("status %v", st)
	}
	s.get("/provider/context")
	m, b, d := items(s.get("/managers")), items(s.get("/brokers")), items(s.get("/db-nodes"))
	if len(m) != 1 || m[0]["private_ip"] != b[0]["host"] || m[0]["private_ip"] != d[0]["host"] {
		t.Errorf("not all in one: %v %v %v", m, b, d)
	}

	// cfy blueprints upload
	if v := s.call(200, "GET", "/api/version", nil); v["edition"] != "community" || v["version"] != release {
		t.Errorf("version %v", v)
	}
	s.get("/config?scope=rest")
	up := s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), object{"labels": []object{{"key": "owner", "value": "me"}}})
	if up["state"] != "uploaded" || up["main_file_name"] != "blueprint.yaml" {
		t.Errorf("uploaded %v", up)
	}
	bp := s.get("/blueprints/shop")
	x, events := s.follow(fmt.Sprint(bp["upload_execution"].(object)["id"]))
	if x["workflow_id"] != "upload_blueprint" || x["status"] != "terminated" || len(events) != 2 {
		t.Errorf("the upload's execution %v, events %v", x, events)
	}
	plan := bp["plan"].(object)
	if in := plan["inputs"].(object)["port"].(object); in["default"] != 8080.0 || in["type"] != "integer" {
		t.Errorf("inputs %v", plan["inputs"])
	}
	if l := bp["labels"].([]any); len(l) != 2 {
		t.Errorf("labels %v", l)
	}

	// cfy deployments create
	dep := s.call(201, "PUT", v31+"/deployments/d?async_create=false", object{"blueprint_id": "shop", "inputs": object{"port": 8081}, "visibility": "tenant",
		"display_name": "the shop", "labels": []object{{"env": "test"}}, "skip_plugins_validation": false, "runtime_only_evaluation": false})
	if dep["blueprint_id"] != "shop" || dep["installation_status"] != "inactive" || dep["display_name"] != "the shop" || dep["inputs"].(object)["port"] != 8081.0 {
		t.Errorf("created %v", dep)
	}
	xs := items(s.get("/executions?deployment_id=d"))
	if len(xs) != 1 || xs[0]["workflow_id"] != "create_deployment_environment" || xs[0]["status"] != "terminated" {
		t.Errorf("executions of a created deployment: %v", xs)
	}
	if x, ev := s.follow(fmt.Sprint(xs[0]["id"])); x["status"] != "terminated" || len(ev) != 2 {
		t.Errorf("creation %v %v", x, ev)
	}
	if st := pick(items(s.get("/node-instances?deployment_id=d&_sort=node_id")), "state"); !slices.Equal(st, []string{"uninitialized", "uninitialized"}) {
		t.Errorf("states before install: %v", st)
	}

	// cfy executions start install
	x, events = s.run("d", "install", nil, nil)
	if x["status"] != "terminated" || x["status_display"] != "completed" || x["error"] != nil {
		t.Fatalf("install %v", x)
	}
	types := pick(events, "event_type")
	if types[0] != "workflow_started" || types[len(types)-1] != "workflow_succeeded" || !slices.Contains(types, "task_succeeded") || !slices.Contains(types, "workflow_node_event") {
		t.Errorf("event types %v", types)
	}
	for _, e := range events { // cfy deletes these from every event
		for _, key := range []string{"deployment_id", "execution_id", "node_name", "operation", "workflow_id", "node_instance_id", "message", "error_causes"} {
			if _, ok := e[key]; !ok {
				t.Fatalf("event without %s: %v", key, e)
			}
		}
	}
	if msg := fmt.Sprint(events[0]["message"]); msg != "Starting 'install' workflow execution" {
		t.Errorf("first message %q", msg)
	}

	// reading
	inst := items(s.get("/node-instances?deployment_id=d&_sort=node_id"))
	if !slices.Equal(pick(inst, "state"), []string{"started", "started"}) || inst[1]["runtime_properties"].(object)["address"] != "10.0.0.7" {
		t.Errorf("instances %v", inst)
	}
	one := s.get("/node-instances/" + fmt.Sprint(inst[0]["id"]))
	if rel := one["relationships"].([]any)[0].(object); rel["target_id"] != inst[1]["id"] || rel["target_name"] != "db" {
		t.Errorf("relationship %v", rel)
	}
	db := "/node-instances/" + fmt.Sprint(inst[1]["id"])
	s.refused(409, "conflict_error", "PATCH", v31+db, object{"version": 7, "runtime_properties": object{}})
	s.refused(400, "illegal_action_error", "PATCH", v31+db, object{"version": inst[1]["version"], "state": "stopped"})
	if p := s.call(200, "PATCH", v31+db, object{"version": inst[1]["version"], "runtime_properties": object{"address": "10.0.0.7", "note": []int{1, 2}}}); p["version"] == inst[1]["version"] ||
		fmt.Sprint(p["runtime_properties"]) != "map[address:10.0.0.7 note:[1 2]]" {
		t.Errorf("changed %v", p)
	}
	nodes := items(s.get("/nodes?deployment_id=d&_sort=id"))
	ops := nodes[0]["operations"].(object)
	if create := ops["cloudify.interfaces.lifecycle.create"].(object); create["plugin"] != "script" || create["operation"] != scriptTask {
		t.Errorf("operation %v", create)
	}
	if n := s.get("/nodes/d/app"); n["id"] != "app" || n["number_of_instances"] != 1.0 {
		t.Errorf("node %v", n)
	}
	if o := s.get("/deployments/d/outputs")["outputs"].(object); o["port"] != 8081.0 || o["address"] != "10.0.0.7" {
		t.Errorf("outputs %v", o)
	}
	if c := s.get("/deployments/d/capabilities")["capabilities"].(object); c["endpoint"] != "http://localhost:8081" {
		t.Errorf("capabilities %v", c)
	}
	if dep := s.get("/deployments/d"); dep["installation_status"] != "active" || dep["deployment_status"] != "good" || dep["latest_execution_status"] != "completed" {
		t.Errorf("installed %v", dep)
	}
	s.refused(400, "unavailable_workflow_error", "POST", v31+"/executions", startBody("d", "install", nil, nil))

	// scale, operate
	if x, _ = s.run("d", "scale", object{"scalable_entity_name": "front", "delta": "1"}, nil); x["status"] != "terminated" || x["workflow_id"] != "scale" {
		t.Fatalf("scale %v", x)
	}
	if n := len(items(s.get("/node-instances?deployment_id=d&node_id=app"))); n != 2 {
		t.Errorf("%d instances after scale", n)
	}
	if x, _ = s.run("d", "execute_operation", object{"operation": "admin.backup", "operation_kwargs": object{"where": "/var"}, "allow_kwargs_override": true, "node_ids": []string{"db"}}, nil); x["status"] != "terminated" {
		t.Fatalf("execute_operation %v", x)
	}
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("d", "execute_operation", object{"operation": "admin.backup", "operation_kwargs": object{"where": "/var"}}, nil))
	if x, events = s.run("d", "install_new_agents", object{}, nil); x["status"] != "terminated" || x["error"] != nil || len(events) != 3 {
		t.Errorf("agents: %v %v", x, events)
	}

	for _, w := range []struct {
		name string
		in   object
	}{{"restart", object{"node_instance_ids": []string{"app_0"}}}, {"heal", object{"node_instance_id": inst[0]["id"], "force_reinstall": true}}, {"reinstall", object{"type_names": []string{"cloudify.nodes.Root"}}},
		{"execute_operation", object{"operation": "cloudify.interfaces.lifecycle.stop", "run_by_dependency_order": "true"}}} {
		if x, _ = s.run("d", w.name, w.in, nil); x["status"] != "terminated" || x["workflow_id"] != w.name {
			t.Fatalf("%s %v", w.name, x)
		}
	}
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("d", "heal", object{"node_instance_id": "app_zzzzzz"}, nil))

	// cfy deployments update
	next := map[string]string{}
	for k, v := range shop {
		next[k] = strings.Replace(v, "where the shop listens", "the port", 1)
	}
	next["blueprint.yaml"] = strings.Replace(next["blueprint.yaml"], "  app:\n", "  cache:\n    type: cloudify.nodes.Root\n    interfaces: { cloudify.interfaces.lifecycle: { create: { implementation: scripts/create.sh, executor: central_deployment_agent } } }\n  app:\n", 1)
	s.upload("shop2", "blueprint.yaml", tarball(t, "blueprint", next), nil)
	pre := s.call(200, "POST", v31+"/deployment-updates/d/update/initiate", object{"blueprint_id": "shop2", "preview": true, "skip_install": false, "skip_uninstall": false})
	if steps := pre["steps"].([]any); pre["state"] != "preview" || len(steps) != 1 || steps[0].(object)["entity_type"] != "node" {
		t.Errorf("preview %v", pre)
	}
	u := s.call(200, "POST", v31+"/deployment-updates/d/update/initiate", object{"blueprint_id": "shop2", "preview": false, "skip_install": false, "skip_uninstall": false, "inputs": object{}})
	if x, _ = s.follow(fmt.Sprint(u["execution_id"])); x["status"] != "terminated" || x["workflow_id"] != "update" {
		t.Fatalf("update %v", x)
	}
	if u = s.get("/deployment-updates/" + fmt.Sprint(u["id"])); u["state"] != "successful" || u["old_blueprint_id"] != "shop" || u["new_blueprint_id"] != "shop2" {
		t.Errorf("updated %v", u)
	}
	if st := pick(items(s.get("/node-instances?deployment_id=d&node_id=cache")), "state"); !slices.Equal(st, []string{"started"}) {
		t.Errorf("the new node's instances: %v", st)
	}

	// dry run
	x, events = s.run("d", "uninstall", nil, object{"dry_run": "true"})
	if x["is_dry_run"] != true || x["status"] != "terminated" || !strings.Contains(fmt.Sprint(events), "(dry run)") {
		t.Errorf("dry run %v", x)
	}
	if st := pick(items(s.get("/node-instances?deployment_id=d&node_id=cache")), "state"); !slices.Equal(st, []string{"started"}) {
		t.Errorf("a dry run changed %v", st)
	}

	// deleting what lives is refused; uninstall, delete
	s.refused(400, "dependent_exists_error", "DELETE", v31+"/deployments/d?force=false&delete_logs=false", nil)
	s.refused(400, "dependent_exists_error", "DELETE", v31+"/blueprints/shop2?force=False", nil)
	if x, _ = s.run("d", "uninstall", object{}, nil); x["status"] != "terminated" {
		t.Fatalf("uninstall %v", x)
	}
	if st := pick(items(s.get("/node-instances?deployment_id=d")), "state"); slices.ContainsFunc(st, func(x string) bool { return x != "deleted" }) {
		t.Errorf("states after uninstall: %v", st)
	}
	s.call(204, "DELETE", v31+"/deployments/d?force=false&delete_logs=false", nil)
	if n := len(items(s.get("/executions?deployment_id=d&workflow_id=delete_deployment_environment&_sort=-created_at"))); n != 0 {
		t.Errorf("%d executions of what is deleted", n)
	}
	s.refused(404, "not_found_error", "GET", v31+"/deployments/d", nil)
	s.call(204, "DELETE", v31+"/blueprints/shop2?force=False", nil)
	s.refused(404, "not_found_error", "GET", v31+"/blueprints/shop2", nil)
}

// TestCancelFailResume: an installation that is cancelled, resumed, fails, is resumed.
func TestCancelFailResume(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop", "inputs": object{}})
	s.Behave(fake.Table{"db[0].create": {Hang: true}, "": {}})
	x := s.call(201, "POST", v31+"/executions", startBody("d", "install", nil, nil))
	id := fmt.Sprint(x["id"])
	s.refused(400, "existing_running_execution_error", "POST", v31+"/executions", startBody("d", "install", nil, nil))
	s.refused(400, "dependent_exists_error", "DELETE", v31+"/deployments/d", nil)
	s.refused(400, "bad_parameters_error", "POST", v31+"/executions/"+id, object{"action": "dance"})
	c := s.call(200, "POST", v31+"/executions/"+id, object{"action": "kill"})
	if st := c["status"]; st != "kill_cancelling" && st != "cancelled" {
		t.Errorf("killing: %v", c)
	}
	x, _ = s.follow(id)
	if x["status"] != "cancelled" || x["error"] != nil {
		t.Fatalf("cancelled: %v", x)
	}
	s.refused(400, "illegal_action_error", "POST", v31+"/executions/"+id, object{"action": "cancel"})
	if d := s.get("/deployments/d"); d["latest_execution_status"] != "cancelled" {
		t.Errorf("deployment %v", d["latest_execution_status"])
	}

	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "app[0].start": {Err: fmt.Errorf("no such port")}, "": {}})
	x = s.call(200, "POST", v31+"/executions/"+id, object{"action": "resume"})
	if x["status"] != "pending" && !ended(fmt.Sprint(x["status"])) {
		t.Errorf("resumed: %v", x)
	}
	x = s.until(id, "failed")
	if !strings.Contains(fmt.Sprint(x["error"]), "no such port") {
		t.Errorf("error %q", x["error"])
	}
	events := items(s.get("/events?execution_id=" + id + "&event_type=task_failed"))
	if len(events) != 1 || events[0]["node_name"] != "app" || events[0]["operation"] != "cloudify.interfaces.lifecycle.start" || events[0]["error_causes"] == nil {
		t.Errorf("task_failed events %v", events)
	}
	if st := pick(items(s.get("/node-instances?deployment_id=d&node_id=app")), "state"); !slices.Equal(st, []string{"starting"}) {
		t.Errorf("state of what has failed: %v", st)
	}
	if d := s.get("/deployments/d"); d["deployment_status"] != "requires_attention" || d["latest_execution_status"] != "failed" {
		t.Errorf("deployment %v", d)
	}

	s.Restart()
	s.Behave(fake.Table{"": {}})
	s.call(200, "POST", v31+"/executions/"+id, object{"action": "resume"})
	s.until(id, "terminated")
	s.refused(409, "conflict_error", "POST", v31+"/executions/"+id, object{"action": "resume"})
}

// TestQueue: an execution that has to wait is queued, and may be taken back.
func TestQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop", "inputs": object{}})
	s.Behave(fake.Table{"db[0].create": {Hang: true}, "": {}})
	first := fmt.Sprint(s.call(201, "POST", v31+"/executions", startBody("d", "install", nil, nil))["id"])
	second := s.call(201, "POST", v31+"/executions", startBody("d", "scale", object{"scalable_entity_name": "front"}, object{"queue": "true", "force": "true"}))
	if second["status"] != "queued" {
		t.Errorf("queued: %v", second)
	}
	third := s.call(201, "POST", v31+"/executions", startBody("d", "scale", object{"scalable_entity_name": "front"}, object{"queue": "true", "force": "true"}))
	if third["status"] != "queued" || third["id"] == second["id"] {
		t.Errorf("queued once more: %v", third)
	}
	s.call(200, "POST", v31+"/executions/"+fmt.Sprint(third["id"]), object{"action": "cancel"})
	s.refused(400, "existing_running_execution_error", "POST", v31+"/executions", startBody("d", "install", nil, object{"force": "true"}))
	if x := s.call(200, "POST", v31+"/executions/"+fmt.Sprint(second["id"]), object{"action": "cancel"}); x["status"] != "cancelled" {
		t.Errorf("taken back: %v", x)
	}
	s.call(200, "POST", v31+"/executions/"+first, object{"action": "force-cancel"})
	s.until(first, "cancelled")
}
