package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// TestSearches are those of the forms in which inputs are chosen.
func TestSearches(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
	s.call(201, "PUT", v31+"/deployments/other", object{"blueprint_id": "shop", "display_name": "Another"})
	for _, c := range []struct {
		path        string
		constraints object
		key         string
		want        []string
	}{
		{"nodes?deployment_id=d", nil, "id", []string{"app", "db"}},
		{"nodes", object{"deployment_id": "d", "name_pattern": object{"starts_with": "a"}}, "id", []string{"app"}},
		{"node-types?deployment_id=d", nil, "type", []string{"cloudify.nodes.Root"}},
		{"node-types?deployment_id=d", object{"valid_values": []string{"cloudify.nodes.Compute"}}, "type", nil},
		{"node-instances", object{"deployment_id": "other"}, "node_id", []string{"app", "db"}},
		{"scaling-groups?deployment_id=d", nil, "name", []string{"front"}},
		{"scaling-groups?deployment_id=d", object{"name_pattern": object{"contains": "back"}}, "name", nil},
		{"capabilities?_search=http%3A%2F%2Flocalhost%3A8080&deployment_id=d", nil, "deployment_id", []string{"d"}},
		{"capabilities", object{"deployment_id": "d", "name_pattern": object{"ends_with": "point"}}, "deployment_id", []string{"d"}},
		{"capabilities", object{"deployment_id": "d", "valid_values": []string{"none"}}, "deployment_id", nil},
		{"deployments", object{"name_pattern": object{"starts_with": "Ano"}}, "id", []string{"other"}},
		{"deployments?_search=oth", nil, "id", []string{"other"}},
		{"workflows?id=d", nil, "name", nil},
	} {
		body := object{}
		if c.constraints != nil {
			body["constraints"] = c.constraints
		}
		answer := s.call(200, "POST", v31+"/searches/"+c.path, body)
		got := pick(items(answer), c.key)
		slices.Sort(got)
		if strings.HasPrefix(c.path, "workflows") {
			if !slices.Contains(got, "install") || !slices.Contains(got, "execute_operation") {
				t.Errorf("workflows %v", got)
			}
			continue
		}
		if !slices.Equal(got, c.want) || answer["metadata"].(object)["pagination"].(object)["total"] != float64(len(c.want)) {
			t.Errorf("%s %v: %v, want %v", c.path, c.constraints, answer, c.want)
		}
	}
	if c := items(s.call(200, "POST", v31+"/searches/capabilities?deployment_id=d", object{}))[0]["capabilities"].([]any); c[0].(object)["endpoint"].(object)["value"] != "http://localhost:8080" {
		t.Errorf("capabilities %v", c)
	}
	if w := pick(items(s.get("/workflows?id=d")), "name"); !slices.Contains(w, "scale") {
		t.Errorf("workflows %v", w)
	}
	for path, body := range map[string]object{
		"nodes":                           {"constraints": object{"name_pattern": object{"contains": "a"}}},
		"capabilities":                    {},
		"node-types?deployment_id=d":      {"constraints": object{"deployment_id": "d"}},
		"scaling-groups?deployment_id=d":  {"constraints": object{"name_pattern": object{"like": "a"}}},
		"scaling-groups?deployment_id=d&": {"constraints": object{"colour": "red"}},
	} {
		s.refused(400, "bad_parameters_error", "POST", v31+"/searches/"+path, body)
	}
}

// TestDeletedEvents are shown no more, and what comes after them is.
func TestDeletedEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
	x, before := s.run("d", "install", nil, nil)
	list := func(more string) []object {
		return items(s.get("/events?deployment_id=d&_size=1000&type=cloudify_event&type=cloudify_log" + more))
	}
	for _, bad := range []string{"type=cloudify_event", "deployment_id=d", "deployment_id=d&type=cloudify_event&colour=red", "deployment_id=d&deployment_id=e&type=cloudify_event"} {
		s.refused(400, "bad_parameters_error", "DELETE", v31+"/events?"+bad, nil)
	}
	s.refused(404, "not_found_error", "DELETE", v31+"/events?deployment_id=nobody&type=cloudify_event", nil)

	db := len(list("&node_id=db&type=cloudify_event"))
	count := func(query string) int {
		n, ok := s.call(200, "DELETE", v31+"/events?"+query, nil)["items"].([]any)[0].(float64)
		if !ok {
			t.Fatalf("%s: no count", query)
		}
		return int(n)
	}
	if n := count("deployment_id=d&type=cloudify_event&type=cloudify_log&node_id=db"); n == 0 || n != db || len(list("&node_id=db")) != 0 {
		t.Errorf("%d of %d events of db were deleted", n, db)
	}
	logs := len(list("")) - count("deployment_id=d&type=cloudify_event")
	if left := list(""); len(left) != logs || slices.ContainsFunc(left, func(e object) bool { return e["type"] != "cloudify_log" }) {
		t.Errorf("%d left of %d; %d logs", len(left), len(before), logs)
	}
	if n := count("deployment_id=d&type=cloudify_event&type=cloudify_log"); n != logs || len(list("")) != 0 {
		t.Errorf("%d of %d logs were deleted", n, logs)
	}
	s.Restart()
	if left := items(s.get("/events?execution_id=" + fmt.Sprint(x["id"]))); len(left) != 0 {
		t.Errorf("after a restart: %v", left)
	}
	s.run("d", "execute_operation", object{"operation": "admin.backup"}, nil)
	if got := list("&event_type=workflow_succeeded"); len(got) != 1 {
		t.Errorf("what came later: %v", got)
	}
}

// TestTasksGraphs shows an execution's plan as cfy's list of operations reads it.
func TestTasksGraphs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
	x, _ := s.run("d", "install", nil, nil)
	graphs := items(s.get("/tasks_graphs?execution_id=" + fmt.Sprint(x["id"]) + "&name=install"))
	if len(graphs) != 1 || graphs[0]["execution_id"] != x["id"] {
		t.Fatalf("graphs %v", graphs)
	}
	all := items(s.get("/operations?graph_id=" + fmt.Sprint(graphs[0]["id"])))
	byName := map[string]object{}
	for _, o := range all {
		if o["state"] != "succeeded" || o["tasks_graph_id"] != graphs[0]["id"] {
			t.Errorf("operation %v", o)
		}
		byName[fmt.Sprint(o["name"])] = o
	}
	create := byName["db[0].create"]
	if create["type"] != "RemoteWorkflowTask" || create["parameters"].(object)["operation"] != "cloudify.interfaces.lifecycle.create" {
		t.Errorf("db[0].create is %v", create)
	}
	ids := pick(all, "id")
	for _, o := range all {
		for _, d := range o["dependencies"].([]any) {
			if !slices.Contains(ids, fmt.Sprint(d)) {
				t.Errorf("%v depends on %v, which is not there", o["name"], d)
			}
		}
	}
	if page := s.get("/operations?execution_id=" + fmt.Sprint(x["id"]) + "&_size=1&_offset=1"); len(items(page)) != 1 || page["metadata"].(object)["pagination"].(object)["total"] != float64(len(all)) {
		t.Errorf("a page: %v", page)
	}
	s.refused(400, "bad_parameters_error", "GET", v31+"/operations", nil)
	s.refused(404, "not_found_error", "GET", v31+"/operations?graph_id=x", nil)
	s.refused(400, "illegal_action_error", "PATCH", v31+"/executions/"+fmt.Sprint(x["id"]), object{"status": "failed"})
	if got := s.call(200, "PATCH", v31+"/executions/"+fmt.Sprint(x["id"]), object{"creator": "ann"}); got["created_by"] != "ann" {
		t.Errorf("owner %v", got["created_by"])
	}
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop", "inputs": object{"port": 81}})
	s.call(200, "PUT", v31+"/secrets/word", object{"value": "geheim"})
	s.run("d", "install", nil, nil)
	id := fmt.Sprint(items(s.get("/node-instances?deployment_id=d&node_id=db"))[0]["id"])
	got := s.call(200, "POST", v31+"/evaluate/functions", object{"deployment_id": "d", "context": object{"self": id}, "payload": object{
		"url":    object{"concat": []any{"http://", object{"get_attribute": []any{"SELF", "address"}}, ":", object{"get_input": "port"}}},
		"list":   []any{object{"get_attribute": []any{"db", "address"}}, 1},
		"secret": object{"get_secret": "word"}, "plain": object{"a": object{"b": true}}}})["payload"].(object)
	if got["url"] != "http://10.0.0.7:81" || fmt.Sprint(got["list"]) != "[10.0.0.7 1]" || got["plain"].(object)["a"].(object)["b"] != true || strings.Contains(fmt.Sprint(got), "geheim") {
		t.Errorf("evaluated %v", got)
	}
	app := fmt.Sprint(items(s.get("/node-instances?deployment_id=d&node_id=app"))[0]["id"])
	if got := s.call(200, "POST", v31+"/evaluate/functions", object{"deployment_id": "d", "context": object{"source": app, "target": id}, "payload": object{
		"to": object{"get_attribute": []any{"TARGET", "address"}}}})["payload"].(object); got["to"] != "10.0.0.7" {
		t.Errorf("a relationship's: %v", got)
	}
	for code, b := range map[string]object{
		"functions_evaluation_error": {"deployment_id": "d", "payload": object{"x": object{"get_input": "colour"}}},
		"bad_parameters_error":       {"deployment_id": "d"},
		"not_found_error":            {"deployment_id": "d", "context": object{"self": "nobody"}, "payload": object{}},
	} {
		status := 400
		if code == "not_found_error" {
			status = 404
		}
		s.refused(status, code, "POST", v31+"/evaluate/functions", b)
	}
}

// TestAbsent tells what there is instead of what this server has not.
func TestAbsent(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, r := range absentRoutes() {
		path := strings.NewReplacer(":id", "x", ":name", "x", ":role", "x", ":permission", "x", ":state", "activate").Replace(r.path)
		got := s.send(r.method, v31+path, "application/json", []byte("{}"))
		var e errorDocument
		if err := decode([]byte(got.Body), &e); err != nil || len(e.Message) < 20 ||
			!(got.Status == 400 && e.Code == "illegal_action_error" || got.Status == 404 && e.Code == "missing_premium_package_error") {
			t.Errorf("%s %s: %d %s", r.method, path, got.Status, got.Body)
		}
	}
	for _, path := range []string{"/nowhere", "/blueprints/x/y/z", "/"} {
		s.refused(404, "not_found_error", "GET", v31+path, nil)
	}
}
