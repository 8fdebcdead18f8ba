package cloudify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// pyClient behaves as cloudify_rest_client does: Python's forms of booleans in the query, parameters that are None left out, one expected status
// per call, and documents whose keys are read without looking whether they are there.
type pyClient struct {
	*site
	prefix string
}

// pyError is what the client raises; its class follows from the code.
type pyError struct {
	status        int
	code, message string
}

// do sends a call and decodes the answer. A body that the client could not read fails the test.
func (c pyClient) do(method, uri string, params object, data any, expected int) (any, *pyError) {
	c.T.Helper()
	query := url.Values{}
	for key, v := range params {
		switch x := v.(type) {
		case nil:
		case bool:
			query.Set(key, map[bool]string{true: "True", false: "False"}[x])
		case []string:
			query[key] = x
		default:
			query.Set(key, fmt.Sprint(x))
		}
	}
	var body io.Reader
	switch x := data.(type) {
	case nil:
	case io.Reader:
		body = x
	default:
		raw, err := json.Marshal(x)
		if err != nil {
			c.T.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(c.T.Context(), method, c.HTTP.URL+c.prefix+uri+"?"+query.Encode(), body)
	if err != nil {
		c.T.Fatal(err)
	}
	for key, v := range map[string]string{"Content-type": "application/json", "Tenant": defaultTenant, "Authorization": "Basic YWRtaW46YWRtaW4=", "Accept": "*/*",
		"User-Agent": "python-requests/2.32.3", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"} {
		req.Header.Set(key, v)
	}
	if _, stream := data.(io.Reader); stream { // requests sends a generator in chunks
		req.ContentLength = -1
		req.Header.Del("Content-Type")
	}
	got := c.Do(req)
	if got.Status != expected {
		var e object
		if err := json.Unmarshal([]byte(got.Body), &e); err != nil {
			c.T.Fatalf("%s %s: %d: no JSON: %s", method, uri, got.Status, got.Body)
		}
		for _, key := range []string{"message", "error_code", "server_traceback"} {
			c.has(e, uri, key)
		}
		return nil, &pyError{got.Status, fmt.Sprint(e["error_code"]), fmt.Sprint(e["message"])}
	}
	if expected == http.StatusNoContent {
		if got.Body != "" {
			c.T.Errorf("%s %s: 204 with a body", method, uri)
		}
		return nil, nil
	}
	var out any
	if err := json.Unmarshal([]byte(got.Body), &out); err != nil {
		c.T.Fatalf("%s %s: %v: %s", method, uri, err, got.Body)
	}
	return out, nil
}

// must is do for what has to succeed.
func (c pyClient) must(method, uri string, params object, data any, expected int) any {
	c.T.Helper()
	out, e := c.do(method, uri, params, data, expected)
	if e != nil {
		c.T.Fatalf("%s %s %v: %+v, want %d", method, uri, params, *e, expected)
	}
	return out
}

// has is a lookup that raises KeyError.
func (c pyClient) has(o object, what string, keys ...string) {
	c.T.Helper()
	for _, key := range keys {
		if _, ok := o[key]; !ok {
			c.T.Errorf("%s: KeyError: %q in %v", what, key, o)
		}
	}
}

// list reads a ListResponse, page by page as cfy does, and looks up the columns that its tables print.
func (c pyClient) list(uri string, params object, columns ...string) []object {
	c.T.Helper()
	all := object{"_size": 1000, "_offset": 0}
	for k, v := range params {
		all[k] = v
	}
	answer, _ := c.must("GET", uri, all, nil, 200).(object)
	c.has(answer, uri, "items", "metadata")
	meta, _ := answer["metadata"].(object)
	page, _ := meta["pagination"].(object)
	c.has(page, uri, "total", "size", "offset")
	out := items(answer)
	for _, o := range out {
		c.has(o, uri, columns...)
	}
	return out
}

func (c pyClient) object(method, uri string, params object, data any, expected int, keys ...string) object {
	c.T.Helper()
	o, ok := c.must(method, uri, params, data, expected).(object)
	if !ok {
		c.T.Fatalf("%s %s is no object", method, uri)
	}
	c.has(o, uri, keys...)
	return o
}

var (
	ownedColumns     = []string{"created_at", "visibility", "tenant_name", "created_by"}
	blueprintColumns = append([]string{"id", "description", "main_file_name", "updated_at", "state", "error", "labels", "upload_execution"}, ownedColumns...)
	deployedColumns  = append([]string{"id", "display_name", "blueprint_id", "updated_at", "site_name", "labels", "inputs", "outputs", "capabilities", "workflows", "groups",
		"deployment_status", "installation_status", "unavailable_instances", "drifted_instances", "latest_execution", "environment_type"}, ownedColumns...)
	executionColumns = append([]string{"id", "workflow_id", "status", "status_display", "is_dry_run", "deployment_id", "deployment_display_name", "ended_at", "started_at",
		"scheduled_for", "error", "parameters", "total_operations", "finished_operations", "is_system_workflow"}, ownedColumns...)
	nodeColumns = append([]string{"id", "deployment_id", "blueprint_id", "host_id", "type", "type_hierarchy", "properties", "operations", "relationships", "plugins",
		"number_of_instances", "planned_number_of_instances", "unavailable_instances", "drifted_instances"}, ownedColumns...)
	instanceColumns = append([]string{"id", "deployment_id", "host_id", "node_id", "state", "version", "runtime_properties", "relationships", "scaling_groups", "is_status_check_ok",
		"has_configuration_drift", "system_properties"}, ownedColumns...)
	secretColumns = append([]string{"key", "updated_at", "is_hidden_value", "provider_name", "schema"}, ownedColumns...)
	siteColumns   = append([]string{"name", "location", "latitude", "longitude"}, ownedColumns...)
	pluginColumns = append([]string{"id", "package_name", "package_version", "title", "distribution", "supported_platform", "distribution_release", "uploaded_at", "yaml_url_path",
		"installation_state", "labels", "blueprint_labels"}, ownedColumns...)
	updateColumns = append([]string{"id", "deployment_id", "state", "execution_id", "old_blueprint_id", "new_blueprint_id", "steps", "old_inputs", "new_inputs",
		"recursive_dependencies", "modified_entity_ids"}, ownedColumns...)
	filterColumns = append([]string{"id", "labels_filter_rules", "attrs_filter_rules"}, ownedColumns...)
	eventColumns  = []string{"deployment_id", "execution_id", "node_name", "operation", "workflow_id", "node_instance_id", "message", "error_causes", "type", "timestamp",
		"reported_timestamp"}
)

// TestPythonClient walks through the calls of cfy's commands, in the order in which its user gives them.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	for _, version := range []string{"v3.1", "v3", "v2.1", "v2"} {
		c := pyClient{s, "/api/" + version}
		c.object("GET", "/version", nil, nil, 200, "version", "edition", "distribution", "distro_release", "build", "date", "commit")
		c.object("GET", "/status", nil, nil, 200, "status", "services")
		c.list("/blueprints", object{"_sort": "created_at"})
		c.list("/deployments", object{"_sort": "id", "_all_tenants": false})
		c.list("/executions", object{"_sort": "created_at", "_include_system_workflows": false})
		c.list("/nodes", nil)
		c.list("/node-instances", nil)
	}
	c := pyClient{s, v31}

	// cfy profiles use, cfy status
	c.object("GET", "/maintenance", nil, nil, 200, "status", "activated_at", "activation_requested_at", "remaining_executions", "requested_by")
	c.object("GET", "/provider/context", nil, nil, 200, "name", "context")
	for uri, keys := range map[string][]string{"/managers": {"hostname", "private_ip", "public_ip", "version", "edition"}, "/brokers": {"name", "host", "port"}, "/db-nodes": {"name", "host"}} {
		if got := c.list(uri, nil, keys...); len(got) != 1 {
			t.Errorf("%s: %v", uri, got)
		}
	}

	// cfy blueprints upload, as clients before 7 do it: in chunks, the main file's name quoted twice.
	up := c.object("PUT", "/blueprints/shop", object{"application_file_name": url.QueryEscape("blueprint.yaml"), "visibility": "tenant", "async_upload": true},
		io.MultiReader(bytes.NewReader(tarball(t, "blueprint", shop))), 201, blueprintColumns...)
	c.object("GET", "/executions/"+fmt.Sprint(up["upload_execution"].(object)["id"]), nil, nil, 200, executionColumns...)
	c.list("/blueprints", object{"_sort": "created_at", "_search": "sho"}, blueprintColumns...)
	c.object("GET", "/blueprints/shop", object{"_include": "plan"}, nil, 200, "plan")
	c.object("GET", "/blueprints/shop", nil, nil, 200, append([]string{"plan", "requirements"}, blueprintColumns...)...)
	if _, e := c.do("GET", "/blueprints/none", nil, nil, 200); e == nil || e.status != 404 || e.code != "not_found_error" {
		t.Errorf("no blueprint: %+v", e)
	}

	// cfy deployments create, inputs, labels, site
	c.object("PUT", "/deployments/d", object{"async_create": false}, object{"blueprint_id": "shop", "visibility": "tenant", "skip_plugins_validation": false, "inputs": object{"port": 8081},
		"labels": []object{{"team": "green"}}, "display_name": "The shop"}, 201, deployedColumns...)
	if _, e := c.do("PUT", "/deployments/e", nil, object{"blueprint_id": "shop", "inputs": object{"colour": 1}}, 201); e == nil || e.code != "unknown_deployment_input_error" {
		t.Errorf("an unknown input: %+v", e)
	}
	c.object("PATCH", "/deployments/d", nil, object{"labels": []object{{"team": "green"}, {"tier": []string{"a", "b"}}}}, 200, deployedColumns...)
	c.object("PUT", "/sites/here", nil, object{"location": "1, 2", "visibility": "tenant"}, 200, siteColumns...)
	c.list("/sites", nil, siteColumns...)
	c.object("POST", "/deployments/d/set-site", nil, object{"site_name": "here"}, 200, deployedColumns...)
	c.list("/deployments", object{"_sort": "id", "blueprint_id": "shop", "_search": "d", "_search_name": nil}, deployedColumns...)
	c.list("/labels/deployments", nil)

	// cfy executions start install, as its waiting does it
	x := c.object("POST", "/executions", nil, startBody("d", "install", nil, nil), 201, executionColumns...)
	c.follow(fmt.Sprint(x["id"]))
	c.list("/executions", object{"deployment_id": "d", "_include": strings.Join(executionColumns[:6], ","), "_sort": "-created_at"}, executionColumns[:6]...)
	c.list("/nodes", object{"deployment_id": "d", "_evaluate_functions": false}, nodeColumns...)
	c.object("GET", "/nodes/d/db", object{"_evaluate_functions": true}, nil, 200, nodeColumns...)
	in := c.list("/node-instances", object{"deployment_id": "d", "_sort": "node_id", "_all_tenants": false}, instanceColumns...)
	c.object("GET", "/node-instances/"+fmt.Sprint(in[0]["id"]), object{"_evaluate_functions": true}, nil, 200, instanceColumns...)
	changed := c.object("PATCH", "/node-instances/"+fmt.Sprint(in[1]["id"]), object{"force": false}, object{"version": in[1]["version"], "runtime_properties": object{"address": "10.0.0.8"}}, 200, instanceColumns...)
	if _, e := c.do("PATCH", "/node-instances/"+fmt.Sprint(in[1]["id"]), nil, object{"version": in[1]["version"], "runtime_properties": object{}}, 200); e == nil || e.status != 409 || e.code != "conflict_error" {
		t.Errorf("an old version, of %v: %+v", changed["version"], e)
	}
	out := c.object("GET", "/deployments/d", object{"_include": "outputs"}, nil, 200, "outputs")["outputs"].(object)
	got := c.object("GET", "/deployments/d/outputs", nil, nil, 200, "deployment_id", "outputs")["outputs"].(object)
	for name := range got { // cfy looks up the description of each
		c.has(out, "outputs", name)
	}
	c.object("GET", "/deployments/d/capabilities", nil, nil, 200, "deployment_id", "capabilities")
	c.list("/events", object{"execution_id": x["id"], "type": []string{"cloudify_event", "cloudify_log"}, "_sort": "reported_timestamp", "_size": 100}, eventColumns...)
	for _, field := range []string{"deployments", "blueprints", "executions", "nodes", "node_instances"} {
		c.list("/summary/"+field, object{"_target_field": "tenant_name"}, "tenant_name", field)
	}

	// cfy deployments update, get-update, history
	u := c.object("POST", "/deployment-updates/d/update/initiate", nil, object{"blueprint_id": "shop", "inputs": object{"port": 8082}, "skip_install": false, "skip_uninstall": false,
		"skip_reinstall": false, "force": false, "ignore_failure": false, "install_first": false, "preview": false, "update_plugins": true, "runtime_only_evaluation": nil,
		"auto_correct_types": nil, "reevaluate_active_statuses": nil, "reinstall_list": []string{}, "workflow_id": nil}, 200, updateColumns...)
	c.follow(fmt.Sprint(u["execution_id"]))
	c.object("GET", "/deployment-updates/"+fmt.Sprint(u["id"]), nil, nil, 200, updateColumns...)
	c.list("/deployment-updates", object{"_sort": "created_at", "deployment_id": "d"}, updateColumns...)

	// cfy secrets, filters, plugins, tenants, users, tokens
	c.object("PUT", "/secrets/word", nil, object{"value": "geheim", "update_if_exists": false, "is_hidden_value": false, "visibility": "tenant"}, 200, secretColumns...)
	if _, e := c.do("PUT", "/secrets/word", nil, object{"value": "x", "update_if_exists": false}, 200); e == nil || e.status != 409 || e.code != "conflict_error" {
		t.Errorf("a secret twice: %+v", e)
	}
	c.object("GET", "/secrets/word", nil, nil, 200, append([]string{"value"}, secretColumns...)...)
	c.list("/secrets", object{"_sort": "key"}, secretColumns...)
	c.object("PATCH", "/secrets/word", nil, object{"value": "neu"}, 200, secretColumns...)
	c.must("DELETE", "/secrets/word", nil, nil, 204)
	c.object("PUT", "/filters/deployments/red", nil, object{"filter_rules": []object{{"key": "team", "values": []string{"red"}, "operator": "any_of", "type": "label"}}, "visibility": "tenant"}, 200, filterColumns...)
	c.list("/filters/deployments", nil, filterColumns...)
	c.list("/plugins", object{"_sort": "uploaded_at"}, pluginColumns...)
	c.list("/tenants", object{"_get_data": false}, "name", "groups", "users")
	c.object("PUT", "/users", nil, object{"username": "ann", "password": "long enough", "role": "default"}, 201, "username", "role", "tenants", "active", "last_login_at", "groups")
	c.list("/users", object{"_get_data": true}, "username", "role", "tenants", "groups", "active", "last_login_at")
	c.object("GET", "/user", nil, nil, 200, "username", "role")
	c.list("/tokens", nil, "id", "username", "role", "expiration_date", "value", "description")
	for _, uri := range []string{"/user-groups", "/snapshots", "/agents", "/secrets-providers", "/license", "/log-bundles", "/plugins-updates", "/execution-schedules", "/deployment-groups", "/execution-groups"} {
		c.list(uri, object{"_sort": nil})
	}

	// cfy uninstall
	c.follow(fmt.Sprint(c.object("POST", "/executions", nil, startBody("d", "uninstall", nil, nil), 201, executionColumns...)["id"]))
	if _, e := c.do("DELETE", "/blueprints/shop", object{"force": false}, nil, 204); e == nil || e.code != "dependent_exists_error" {
		t.Errorf("a blueprint in use: %+v", e)
	}
	c.must("DELETE", "/deployments/d", object{"force": false, "delete_logs": false, "recursive": false}, nil, 204)
	if left := c.list("/executions", object{"deployment_id": "d", "workflow_id": "delete_deployment_environment", "_sort": "-created_at", "_include_system_workflows": true}); len(left) != 0 {
		t.Errorf("executions of what is gone: %v", left)
	}
	c.must("DELETE", "/blueprints/shop", object{"force": false}, nil, 204)
}

// follow waits for an execution as cfy does.
func (c pyClient) follow(id string) {
	c.T.Helper()
	seen := 0
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		x := c.object("GET", "/executions/"+id, nil, nil, 200, executionColumns...)
		batch := c.list("/events", object{"execution_id": id, "_offset": seen, "_size": 100, "_sort": "reported_timestamp", "type": []string{"cloudify_event", "cloudify_log"}}, eventColumns...)
		seen += len(batch)
		if slices.Contains([]any{"terminated", "failed", "cancelled"}, x["status"]) && len(batch) == 0 {
			if x["error"] != nil || x["status"] != "terminated" {
				c.T.Fatalf("execution %v", x)
			}
			return
		}
		if time.Now().After(deadline) {
			c.T.Fatalf("it does not end: %v", x)
		}
	}
}
