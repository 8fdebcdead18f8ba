package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// cfy deployment-groups: new deployments from a blueprint, members by id, filter and group; the same workflow over all, so many at once.
func TestGroups(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.who.Via = "socket" // a user whom the store does not keep
	s.Behave(fake.Table{"": {}})
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.refused(409, "conflict_error", "PUT", v31+"/deployment-groups/none", object{"new_deployments": []object{{}}})
	g := s.call(200, "PUT", v31+"/deployment-groups/g", object{"blueprint_id": "shop", "default_inputs": object{"port": 81}, "description": "all shops", "labels": []object{{"stage": "test"}},
		"new_deployments": []object{{"id": "{group_id}-{count}", "inputs": object{"port": 91}}, {"id": "{group_id}-{count}"}, {}}})
	ids := g["deployment_ids"].([]any)
	if len(ids) != 3 || ids[0] != "g-1" || ids[1] != "g-2" || !strings.HasPrefix(fmt.Sprint(ids[2]), "g-") || g["default_blueprint_id"] != "shop" {
		t.Fatalf("group %v", g)
	}
	if d := s.get("/deployments/g-1"); d["inputs"].(object)["port"] != 91.0 || !strings.Contains(fmt.Sprint(d["labels"]), "stage") {
		t.Errorf("a member: %v %v", d["inputs"], d["labels"])
	}
	if l := items(s.get("/deployments?_group_id=g&_include=id")); len(l) != 3 {
		t.Errorf("members: %v", l)
	}
	s.refused(404, "not_found_error", "GET", v31+"/deployments?_group_id=nobody", nil)
	s.call(201, "PUT", v31+"/deployments/alone", object{"blueprint_id": "shop"})
	by := s.call(200, "PUT", v31+"/deployment-groups/byrule", object{"filter_rules": []object{{"key": "stage", "values": []string{"test"}, "operator": "any_of", "type": "label"}}})
	if n := len(by["deployment_ids"].([]any)); n != 3 {
		t.Errorf("%d deployments have the label", n)
	}
	by = s.call(200, "PATCH", v31+"/deployment-groups/byrule", object{"add": object{"deployment_ids": []string{"alone"}}, "remove": object{"deployments_from_group": "g"}})
	if fmt.Sprint(by["deployment_ids"]) != "[alone]" {
		t.Errorf("after adding and removing: %v", by["deployment_ids"])
	}
	s.refused(404, "not_found_error", "PATCH", v31+"/deployment-groups/byrule", object{"add": object{"deployment_ids": []string{"nobody"}}})

	// Two of three at once.
	s.Behave(fake.Table{"db[0].create": {Hang: true}, "": {}})
	if n := len(items(s.get("/deployments?_dependencies_of=" + fmt.Sprint(items(s.get("/deployments"))[0]["id"])))); n != 0 {
		t.Errorf("%d deployments are depended on", n)
	}
	s.refused(404, "not_found_error", "GET", v31+"/deployments?_dependencies_of=nobody", nil)
	x := s.call(200, "POST", v31+"/execution-groups", object{"deployment_group_id": "g", "workflow_id": "install", "concurrency": 2, "default_parameters": object{}, "parameters": object{}})
	group := "/execution-groups/" + fmt.Sprint(x["id"])
	if n := len(x["execution_ids"].([]any)); n != 3 || x["status"] != "started" && x["status"] != "pending" {
		t.Fatalf("executions %v", x)
	}
	states := pick(items(s.get("/executions?_group_id="+fmt.Sprint(x["id"]))), "status")
	if slices.Sort(states); states[0] != "pending" || slices.Contains(states, "terminated") {
		t.Errorf("two at once: %v", states)
	}
	s.call(200, "POST", v31+group, object{"action": "kill"})
	for _, id := range x["execution_ids"].([]any) {
		s.until(fmt.Sprint(id), "cancelled")
	}
	s.later(0)
	if c := s.get(group); c["status"] != "cancelled" {
		t.Errorf("cancelled: %v", c)
	}
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	s.call(200, "POST", v31+group, object{"action": "resume"})
	for deadline := time.Now().Add(time.Minute); s.get(group)["status"] != "terminated"; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the group does not end: %v %v", s.get(group), items(s.get("/executions?_include=id,status,error,deployment_id&_group_id="+fmt.Sprint(x["id"]))))
		}
		s.later(0)
	}
	if c := s.get(group); c["status"] != "terminated" {
		t.Errorf("resumed: %v", c)
	}
	if ev := items(s.get("/events?execution_group_id=" + fmt.Sprint(x["id"]) + "&event_type=workflow_succeeded")); len(ev) != 3 || ev[0]["execution_group_id"] != x["id"] {
		t.Errorf("events of the group: %v", ev)
	}
	if e := s.call(200, "PATCH", v31+group, object{"success_group_id": "byrule"}); e["status"] != "terminated" {
		t.Errorf("changed %v", e)
	}
	if by = s.get("/deployment-groups/byrule"); len(by["deployment_ids"].([]any)) != 4 {
		t.Errorf("where it went well: %v", by["deployment_ids"])
	}
	s.refused(400, "bad_parameters_error", "POST", v31+group, object{"action": "requeue"})
	s.refused(400, "dependent_exists_error", "DELETE", v31+"/deployment-groups/g?delete_deployments=true", nil)
	s.call(204, "DELETE", v31+"/deployment-groups/g", nil)
	s.refused(404, "not_found_error", "GET", v31+"/deployment-groups/g", nil)
	s.get("/deployments/g-1")
}
