package cloudify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// states of a deployment's node instances by node.
func (s *site) states(deployment string) string {
	s.T.Helper()
	var out []string
	for _, i := range items(s.get("/node-instances?deployment_id=" + deployment + "&_sort=node_id")) {
		out = append(out, fmt.Sprintf("%s %s", i["node_id"], i["state"]))
	}
	return strings.Join(out, ", ")
}

// TestRollback takes back what an installation has left half-way: what was starting is stopped, what was being made is removed.
func TestRollback(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	well := fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}}
	failing := func(step string) fake.Table {
		return fake.Table{"db[0].create": well["db[0].create"], step: {Err: errors.New("no")}, "": {}}
	}
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})

	s.Behave(failing("app[0].start"))
	if x, _ := s.run("d", "install", nil, nil); x["status"] != "failed" {
		t.Fatalf("install: %v", x)
	}
	if got := s.states("d"); got != "app starting, db started" {
		t.Errorf("after the failure: %s", got)
	}
	s.Behave(well)
	if x, _ := s.run("d", "rollback", object{"node_ids": []string{"db"}}, nil); x["status"] != "terminated" || s.World.Begun("db[0].stop") != 0 {
		t.Errorf("of what has not failed: %v, %v", x, s.World.Order())
	}
	x, events := s.run("d", "rollback", nil, nil)
	if x["status"] != "terminated" || x["workflow_id"] != "rollback" || s.World.Begun("app[0].stop") != 1 || s.World.Begun("db[0].stop") != 0 {
		t.Errorf("rollback: %v, %v", x, s.World.Order())
	}
	if !slices.Contains(pick(events, "message"), "'rollback' workflow execution succeeded") {
		t.Errorf("events %v", pick(events, "message"))
	}
	if got := s.states("d"); got != "app configured, db started" {
		t.Errorf("after the rollback: %s", got)
	}
	if x, _ := s.run("d", "install", nil, nil); x["status"] != "terminated" || s.World.Begun("app[0].create") != 1 || s.World.Begun("app[0].start") != 2 {
		t.Errorf("installed again: %v, %v", x, s.World.Order())
	}
	if got := s.states("d"); got != "app started, db started" {
		t.Errorf("installed again: %s", got)
	}
	s.refused(400, "unavailable_workflow_error", "POST", v31+"/executions", startBody("d", "rollback", nil, nil))

	// What nothing stops is not started any more all the same.
	s.upload("unstopped", "blueprint.yaml", tarball(t, "blueprint", map[string]string{"a.sh": "true", "blueprint.yaml": `tosca_definitions_version: cloudify_dsl_1_3
imports: [cloudify/types/types.yaml]
node_templates:
  n:
    type: cloudify.nodes.Root
    interfaces: {cloudify.interfaces.lifecycle: {create: a.sh, start: a.sh, poststart: a.sh}}
`}), nil)
	s.call(201, "PUT", v31+"/deployments/u", object{"blueprint_id": "unstopped"})
	s.Behave(failing("n[0].poststart"))
	s.run("u", "install", nil, nil)
	s.Behave(well)
	s.run("u", "rollback", nil, nil)
	if x, _ := s.run("u", "install", nil, nil); x["status"] != "terminated" || s.World.Begun("n[0].create") != 1 || s.World.Begun("n[0].start") != 2 || s.World.Begun("n[0].poststart") != 2 {
		t.Errorf("started again: %v, %v", x, s.World.Order())
	}

	// What was never made is as it was before; a full rollback leaves nothing.
	s.call(201, "PUT", v31+"/deployments/e", object{"blueprint_id": "shop"})
	s.Behave(failing("app[0].create"))
	s.run("e", "install", nil, nil)
	s.Behave(well)
	s.run("e", "rollback", nil, nil)
	if got := s.states("e"); got != "app uninitialized, db started" {
		t.Errorf("a creation rolled back: %s", got)
	}
	stopped := s.World.Begun("db[0].stop")
	if x, _ := s.run("e", "rollback", object{"full_rollback": "true"}, nil); x["status"] != "terminated" || s.World.Begun("db[0].stop") != stopped+1 {
		t.Errorf("a full rollback: %v", x)
	}
	if got := s.states("e"); got != "app deleted, db deleted" {
		t.Errorf("a full rollback: %s", got)
	}
}

// TestAsking: operations that change no state run on the instances whose nodes have them, in order where that is asked for.
func TestAsking(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	files := map[string]string{}
	for name, text := range shop {
		files[name] = strings.NewReplacer(
			"  db:\n    type: cloudify.nodes.Root\n    interfaces:\n      cloudify.interfaces.lifecycle:\n", "  db:\n    type: cloudify.nodes.Root\n    interfaces:\n      cloudify.interfaces.lifecycle:\n        pull: { implementation: scripts/start.sh, executor: central_deployment_agent }\n",
			"stop: { implementation: scripts/stop.sh, executor: central_deployment_agent }\n    relationships", "stop: { implementation: scripts/stop.sh, executor: central_deployment_agent }\n        pull: { implementation: scripts/start.sh, executor: central_deployment_agent }\n    relationships").Replace(text)
	}
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", files), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop"})
	nothing := func(workflow string, parameters object) {
		t.Helper()
		x, events := s.run("d", workflow, parameters, nil)
		if x["status"] != "terminated" || !strings.Contains(strings.Join(pick(events, "message"), "\n"), "Nothing is to be done") {
			t.Errorf("%s: %v, %v", workflow, x, pick(events, "message"))
		}
	}
	nothing("pull", nil) // nothing is installed
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	s.run("d", "install", nil, nil)
	before := s.states("d")
	if x, _ := s.run("d", "pull", nil, nil); x["status"] != "terminated" || x["workflow_id"] != "pull" {
		t.Errorf("pull: %v", x)
	}
	order := slices.DeleteFunc(s.World.Order(), func(step string) bool { return !strings.HasSuffix(step, ".pull") })
	if !slices.Equal(order, []string{"db[0].pull", "app[0].pull"}) || s.states("d") != before {
		t.Errorf("pulled %v; %s", order, s.states("d"))
	}
	s.run("d", "pull", object{"node_ids": []string{"app"}}, nil)
	if s.World.Begun("app[0].pull") != 2 || s.World.Begun("db[0].pull") != 1 {
		t.Errorf("pulled %v", s.World.Order())
	}
	nothing("check_status", nil)
	nothing("check_drift", object{"type_names": []string{"cloudify.nodes.Root"}})
	nothing("validate_agents", nil)

	if x, _ := s.run("d", "start", object{"operation_parms": object{"colour": "red"}, "node_ids": []string{"db"}}, nil); x["status"] != "terminated" || s.World.Begun("db[0].start") != 2 || s.World.Begun("app[0].start") != 1 {
		t.Errorf("start with inputs: %v, %v", x, s.World.Order())
	}
	if x, _ := s.run("d", "restart", object{"stop_parms": object{"colour": "red"}, "node_ids": []string{"db"}}, nil); x["status"] != "terminated" || x["workflow_id"] != "restart" {
		t.Errorf("restart with inputs: %v", x)
	}
	if order := s.World.Order(); !slices.Equal(order[len(order)-2:], []string{"db[0].stop", "db[0].start"}) {
		t.Errorf("restart with inputs: %v", order)
	}
	for _, workflow := range []string{"update", "csys_new_deployment_update"} {
		s.refused(400, "illegal_execution_parameters_error", "POST", v31+"/executions", startBody("d", workflow, nil, nil))
	}
}

// TestScaleRollsBack: what scaling out has made is removed again if a part of it fails.
func TestScaleRollsBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "app[1].start": {Err: errors.New("no")}, "": {}})
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	for _, c := range []struct {
		deployment, wish, want string
	}{
		{"d", "true", "app started, db started"},
		{"e", "false", "app started, app starting, db started"},
	} {
		s.call(201, "PUT", v31+"/deployments/"+c.deployment, object{"blueprint_id": "shop"})
		s.run(c.deployment, "install", nil, nil)
		x, _ := s.run(c.deployment, "scale", object{"scalable_entity_name": "app", "delta": 1, "rollback_if_failed": c.wish}, nil)
		if x["status"] != "failed" || !strings.Contains(fmt.Sprint(x["error"]), "app[1].start") {
			t.Errorf("scale: %v", x)
		}
		s.finished(c.deployment)
		if got := s.states(c.deployment); got != c.want {
			t.Errorf("rollback_if_failed=%s: %s, want %s", c.wish, got, c.want)
		}
	}
}

// clinic is a blueprint whose nodes can tell how they are: one can be healed where it is, the other cannot, and the page on it can tell nothing.
const clinic = `tosca_definitions_version: cloudify_dsl_1_4
imports: [ cloudify/types/types.yaml ]
node_templates:
  curable:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.validation: { check_status: { implementation: s.sh, executor: central_deployment_agent } }
      cloudify.interfaces.lifecycle:
        create: { implementation: s.sh, executor: central_deployment_agent }
        heal: { implementation: s.sh, executor: central_deployment_agent }
  frail:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.validation: { check_status: { implementation: s.sh, executor: central_deployment_agent } }
      cloudify.interfaces.lifecycle: { create: { implementation: s.sh, executor: central_deployment_agent } }
  page:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle: { create: { implementation: s.sh, executor: central_deployment_agent } }
    relationships: [ { type: cloudify.relationships.contained_in, target: frail } ]
`

// TestHeal asks first who is not well; what can heal itself does, or is made anew with what it contains if that has failed.
func TestHeal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("clinic", "blueprint.yaml", tarball(t, "blueprint", map[string]string{"blueprint.yaml": clinic, "s.sh": "#!/bin/sh\n"}), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "clinic"})
	s.run("d", "install", nil, nil)
	sick := func(steps ...string) {
		table := fake.Table{"": {}}
		for _, step := range steps {
			table[step] = fake.Behaviour{Err: errors.New("not well"), Duration: 30 * time.Millisecond} // the heal comes before its end
		}
		s.Behave(table)
	}
	done := map[string]int{}
	// heal runs the workflow and returns what was done beside the checks.
	heal := func(want string, parameters object) string {
		t.Helper()
		x, _ := s.run("d", "heal", parameters, nil)
		if x["status"] != want {
			t.Errorf("heal: %v", x)
		}
		s.finished("d")
		var did []string
		for _, step := range []string{"curable[0].heal", "curable[0].create", "frail[0].create", "page[0].create"} {
			if n := s.World.Begun(step); n != done[step] {
				done[step] = n
				did = append(did, step)
			}
		}
		return strings.Join(did, " ")
	}
	done["curable[0].create"], done["frail[0].create"], done["page[0].create"] = 1, 1, 1
	instance := func(node string) string {
		return fmt.Sprint(items(s.get("/node-instances?deployment_id=d&node_id=" + node))[0]["id"])
	}
	for _, c := range []struct {
		what       string
		sick       []string
		parameters object
		status     string
		want       string
	}{
		{"all are well", nil, nil, "terminated", ""},
		{"one heals itself", []string{"curable[0].check_status"}, nil, "terminated", "curable[0].heal"},
		{"it does not help", []string{"curable[0].check_status", "curable[0].heal"}, nil, "failed", "curable[0].heal"},
		{"so it is made anew", []string{"curable[0].check_status"}, nil, "terminated", "curable[0].create"},
		{"one cannot heal itself", []string{"frail[0].check_status"}, nil, "terminated", "frail[0].create page[0].create"},
		{"what is on one that is well", nil, object{"node_instance_id": instance("frail")}, "terminated", "page[0].create"},
		{"one that can tell nothing is chosen", nil, object{"node_instance_id": instance("page")}, "terminated", "page[0].create"},
		{"nobody is asked", nil, object{"node_instance_id": instance("frail"), "check_status": false}, "terminated", "frail[0].create page[0].create"},
		{"by force", nil, object{"node_instance_id": instance("curable"), "force_reinstall": true}, "terminated", "curable[0].create"},
	} {
		sick(c.sick...)
		if got := heal(c.status, c.parameters); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	sick("frail[0].check_status")
	if x, _ := s.run("d", "heal", object{"allow_reinstall": false}, nil); x["status"] != "failed" || !strings.Contains(fmt.Sprint(x["error"]), "frail[0] is not well and has no operation that heals it") {
		t.Errorf("without making anything anew: %v", x)
	}
	workflows := pick(items(s.get("/executions?deployment_id=d&_sort=created_at")), "workflow_id")
	if n := len(slices.DeleteFunc(workflows, func(w string) bool { return w != "check_status" })); n != 7 {
		t.Errorf("%d checks in %v", n, workflows)
	}
}
