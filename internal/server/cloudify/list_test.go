package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/server/servicetest"
)

// TestLists pages, sorts, projects and filters.
func TestLists(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i, id := range []string{"b1", "b2", "b3"} {
		s.upload(id, "blueprint.yaml", tarball(t, "blueprint", shop), object{"labels": []object{{"n": fmt.Sprint(i % 2)}}})
	}
	ids := func(path string) []string { t.Helper(); return pick(items(s.get(path)), "id") }
	equal := func(path string, want ...string) {
		t.Helper()
		if got := ids(path); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	equal("/blueprints?_sort=-id", "b3", "b2", "b1")
	equal("/blueprints?_sort=created_at&_size=1&_offset=1", "b2")
	equal("/blueprints?_size=0")
	equal("/blueprints?_offset=9")
	equal("/blueprints?id=b1&id=b3&_sort=id", "b1", "b3")
	equal("/blueprints?_search=B2", "b2")
	equal("/blueprints?state=uploaded&_sort=id&_get_all_results=true", "b1", "b2", "b3")
	equal("/blueprints?_sort=-label:n&_sort=id", "b2", "b1", "b3")
	page := s.get("/blueprints?_size=2&_include=id,state")
	if p := page["metadata"].(object)["pagination"].(object); p["total"] != 3.0 || p["size"] != 2.0 || p["offset"] != 0.0 {
		t.Errorf("pagination %v", p)
	}
	if one := items(page)[0]; len(one) != 2 || one["state"] != "uploaded" {
		t.Errorf("projected %v", one)
	}
	s.refused(400, "no_such_include_field_error", "GET", v31+"/blueprints?_include=colour", nil)
	s.refused(400, "bad_parameters_error", "GET", v31+"/blueprints?colour=red", nil)
	s.refused(400, "bad_parameters_error", "GET", v31+"/blueprints?_size=-1", nil)
	s.refused(400, "bad_parameters_error", "GET", v31+"/blueprints?_offset=x", nil)
	s.refused(400, "bad_parameters_error", "GET", v31+"/blueprints?_sort=colour", nil)

	// rules, in a search and saved
	found := s.call(200, "POST", v31+"/searches/blueprints?_sort=id", object{"filter_rules": []object{{"key": "n", "values": []string{"0"}, "operator": "any_of", "type": "label"}}})
	if got := pick(items(found), "id"); !slices.Equal(got, []string{"b1", "b3"}) || found["metadata"].(object)["filtered"] != 1.0 {
		t.Errorf("search %v", found)
	}
	s.refused(400, "invalid_filter_rule", "POST", v31+"/searches/blueprints", object{"filter_rules": []object{{"key": "n", "values": []string{"0"}, "operator": "smells_like", "type": "label"}}})
	f := s.call(200, "PUT", v31+"/filters/blueprints/odd", object{"filter_rules": []object{{"key": "id", "values": []string{"2"}, "operator": "ends_with", "type": "attribute"}}})
	if f["id"] != "odd" || len(f["attrs_filter_rules"].([]any)) != 1 {
		t.Errorf("filter %v", f)
	}
	equal("/blueprints?_filter_id=odd", "b2")
	s.refused(409, "conflict_error", "PUT", v31+"/filters/blueprints/odd", object{"filter_rules": []object{{"key": "id", "values": []string{"2"}, "operator": "ends_with", "type": "attribute"}}})
	s.call(204, "DELETE", v31+"/filters/blueprints/odd", nil)
	s.refused(404, "not_found_error", "GET", v31+"/blueprints?_filter_id=odd", nil)
	if keys := s.get("/labels/blueprints"); fmt.Sprint(keys["items"]) != "[kind n]" {
		t.Errorf("label keys %v", keys)
	}
	if vals := s.get("/labels/blueprints/n"); fmt.Sprint(vals["items"]) != "[0 1]" {
		t.Errorf("label values %v", vals)
	}
	if sum := items(s.get("/summary/blueprints?_target_field=tenant_name")); len(sum) != 1 || sum[0]["blueprints"] != 3.0 || sum[0]["tenant_name"] != "default_tenant" {
		t.Errorf("summary %v", sum)
	}
}

func TestDeploymentErrors(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	needy := map[string]string{"blueprint.yaml": `tosca_definitions_version: cloudify_dsl_1_3
imports: [ cloudify/types/types.yaml ]
inputs:
  name: { type: string }
  size: { type: integer, default: 1, constraints: [ { in_range: [ 1, 3 ] } ] }
node_templates:
  n: { type: cloudify.nodes.Root }
`}
	s.upload("needy", "blueprint.yaml", tarball(t, "blueprint", needy), nil)
	put := func(body object) (string, string, string, object) { return "PUT", v31 + "/deployments/x", "", body }
	check := func(status int, code string, body object) object {
		t.Helper()
		m, p, _, b := put(body)
		return s.refused(status, code, m, p, b)
	}
	if e := check(400, "missing_required_deployment_input_error", object{"blueprint_id": "needy"}); !strings.Contains(fmt.Sprint(e["message"]), "'name'") {
		t.Error(e)
	}
	if e := check(400, "unknown_deployment_input_error", object{"blueprint_id": "needy", "inputs": object{"name": "a", "nmae": "b"}}); !strings.Contains(fmt.Sprint(e["message"]), "'nmae'") {
		t.Error(e)
	}
	check(400, "constraint_error", object{"blueprint_id": "needy", "inputs": object{"name": "a", "size": 9}})
	check(404, "not_found_error", object{"blueprint_id": "nothing"})
	check(404, "not_found_error", object{"blueprint_id": "needy", "site_name": "nowhere"})
	check(400, "bad_parameters_error", object{})
	check(400, "bad_parameters_error", object{"blueprint_id": "needy", "visibility": "secret"})
	s.refused(404, "not_found_error", "GET", v31+"/deployments/x", nil)
	s.refused(400, "bad_parameters_error", "PUT", v31+"/deployments/a%20b", object{"blueprint_id": "needy"})
	s.call(201, "PUT", v31+"/deployments/x", object{"blueprint_id": "needy", "inputs": object{"name": "a"}})
	check(409, "conflict_error", object{"blueprint_id": "needy", "inputs": object{"name": "a"}})

	s.refused(400, "nonexistent_workflow_error", "POST", v31+"/executions", startBody("x", "dance", nil, nil))
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("x", "install", object{"colour": "red"}, nil))
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("x", "scale", object{"scalable_entity_name": "n", "delta": "many"}, nil))
	s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("x", "execute_operation", object{}, nil))
	s.refused(404, "not_found_error", "POST", v31+"/executions", startBody("y", "install", nil, nil))
	s.refused(400, "bad_parameters_error", "POST", v31+"/executions", startBody("x", "install", nil, object{"force": "perhaps"}))
	s.refused(404, "not_found_error", "GET", v31+"/executions/00000000-0000-0000-0000-000000000000", nil)
	s.refused(404, "not_found_error", "POST", v31+"/executions/nonsense", object{"action": "cancel"})
	s.refused(404, "not_found_error", "GET", v31+"/node-instances/n_000000", nil)
	s.refused(404, "not_found_error", "GET", v31+"/nodes/x/m", nil)

	for _, c := range []struct {
		method, path, contentType, body string
		status                          int
		code                            string
		header                          []string
	}{
		{"PUT", "/deployments/z", "text/plain", "{}", 415, "unsupported_content_type_error", nil},
		{"PUT", "/deployments/z", "application/json", "{", 400, "bad_parameters_error", nil},
		{"PUT", "/deployments/z", "application/json", "[]", 400, "bad_parameters_error", nil},
		{"GET", "/deployments", "", "", 403, "forbidden_error", []string{"Tenant", ""}},
		{"GET", "/nowhere", "", "", 404, "not_found_error", nil},
		{"PATCH", "/events", "", "", 405, "method_not_allowed_error", nil},
	} {
		r := s.send(c.method, v31+c.path, c.contentType, []byte(c.body), c.header...)
		if r.Status != c.status || !strings.Contains(r.Body, `"`+c.code+`"`) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, r.Status, r.Body, c.status, c.code)
		}
	}
}

// TestUploads takes both forms, and refuses what is none without leaving anything.
func TestUploads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	send := func(path string, body []byte) servicetest.Reply {
		return s.send("PUT", v31+path, "application/octet-stream", body)
	}
	if r := send("/blueprints/old?application_file_name=main%2520file.yaml&visibility=private&labels=a%3Db", tarball(t, "anything", map[string]string{"main file.yaml": shopBlueprint,
		"scripts/create.sh": "", "scripts/start.sh": "", "scripts/stop.sh": "", "scripts/link.sh": "", "scripts/backup.sh": ""})); r.Status != 201 || !strings.Contains(r.Body, `"main_file_name":"main file.yaml"`) ||
		!strings.Contains(r.Body, `"visibility":"private"`) {
		t.Errorf("raw upload: %d %s", r.Status, r.Body)
	}
	for _, c := range []struct {
		path string
		body []byte
		code string
	}{
		{"/blueprints/x", []byte("no archive"), "bad_parameters_error"},
		{"/blueprints/x", nil, "bad_parameters_error"},
		{"/blueprints/x", tarball(t, "blueprint", map[string]string{"app.yaml": shopBlueprint}), "bad_parameters_error"},
		{"/blueprints/x?application_file_name=..%2F..%2Fetc", tarball(t, "blueprint", shop), "bad_parameters_error"},
		{"/blueprints/x", tarball(t, "blueprint", map[string]string{"blueprint.yaml": "tosca_definitions_version: cloudify_dsl_1_3\nnode_templates: { n: { type: nothing } }\n"}), "invalid_blueprint_error"},
		{"/blueprints/x?blueprint_archive_url=http://example.com/x.zip", nil, "bad_parameters_error"},
		{"/blueprints/9x", tarball(t, "blueprint", shop), "bad_parameters_error"},
		{"/blueprints/x?async_upload=perhaps", tarball(t, "blueprint", shop), "bad_parameters_error"},
	} {
		if r := send(c.path, c.body); r.Status != 400 || !strings.Contains(r.Body, c.code) {
			t.Errorf("%s: %d %s, want %s", c.path, r.Status, r.Body, c.code)
		}
	}
	s.refused(404, "not_found_error", "GET", v31+"/blueprints/x", nil)
	if r := send("/blueprints/old", tarball(t, "blueprint", shop)); r.Status != 409 {
		t.Errorf("uploaded twice: %d %s", r.Status, r.Body)
	}

	// Asynchronous: the answer is good, the result is not.
	bad := s.upload("x", "blueprint.yaml", tarball(t, "blueprint", map[string]string{"blueprint.yaml": "tosca_definitions_version: cloudify_dsl_1_3\nnode_templates: { n: { type: nothing } }\n"}), nil)
	x, events := s.follow(fmt.Sprint(bad["upload_execution"].(object)["id"]))
	if x["status"] != "failed" || !strings.Contains(fmt.Sprint(x["error"]), "nothing") || events[1]["event_type"] != "workflow_failed" {
		t.Errorf("a bad upload: %v %v", x, events)
	}
	if b := s.get("/blueprints/x"); b["state"] != "invalid" || b["error"] == nil || b["plan"] != nil {
		t.Errorf("a bad blueprint: %v", b)
	}
	s.refused(400, "invalid_blueprint_error", "PUT", v31+"/deployments/d", object{"blueprint_id": "x"})
	s.upload("x", "blueprint.yaml", tarball(t, "blueprint", shop), nil) // again, and better
	if b := s.get("/blueprints/x"); b["state"] != "uploaded" || b["error"] != nil {
		t.Errorf("a better one: %v", b)
	}
	data := tarball(t, "blueprint", shop)
	if r := s.send("GET", v31+"/blueprints/x/archive", "", nil); r.Status != 200 || r.Body != string(data) || r.Header.Get("Content-Disposition") != "attachment; filename=x.tar.gz" {
		t.Errorf("download: %d %v", r.Status, r.Header)
	}

	v := s.send("PUT", v31+"/blueprints/y/validate?application_file_name=blueprint.yaml", "application/octet-stream", data)
	if v.Status != 201 {
		t.Errorf("validate: %d %s", v.Status, v.Body)
	}
	s.refused(404, "not_found_error", "GET", v31+"/blueprints/y", nil)

	l := s.call(200, "PATCH", v31+"/blueprints/x", object{"labels": []object{{"a": "1"}, {"a": []string{"2"}}}})
	if len(l["labels"].([]any)) != 2 {
		t.Errorf("labels %v", l["labels"])
	}
	s.refused(400, "bad_parameters_error", "PATCH", v31+"/blueprints/x", object{"labels": []object{{"a b": "1"}}})
	s.call(200, "PATCH", v31+"/blueprints/x/set-visibility", object{"visibility": "global"})
	s.refused(400, "illegal_action_error", "PATCH", v31+"/blueprints/x/set-visibility", object{"visibility": "private"})
}
