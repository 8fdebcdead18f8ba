package cloudify

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver/fake"
)

// renewed is the shop with further nodes, and operations of app.
func renewed(operations, nodes string) map[string]string {
	out := map[string]string{}
	for k, v := range shop {
		out[k] = v
	}
	bp := strings.Replace(shopBlueprint, "  app:\n", nodes+"  app:\n", 1)
	out["blueprint.yaml"] = strings.Replace(bp, "    relationships:\n", operations+"    relationships:\n", 1)
	return out
}

const cacheNode = `  cache:
    type: cloudify.nodes.Root
    interfaces: { cloudify.interfaces.lifecycle: { create: { implementation: scripts/create.sh, executor: central_deployment_agent }, delete: { implementation: scripts/stop.sh, executor: central_deployment_agent } } }
`

const updateOperations = `        preupdate: { implementation: scripts/start.sh, executor: central_deployment_agent }
        update: { implementation: scripts/start.sh, executor: central_deployment_agent }
`

// installed is a site with the shop installed as d.
func installed(t *testing.T, files map[string]string) *site {
	t.Helper()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", files), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop", "inputs": object{}})
	if x, _ := s.run("d", "install", nil, nil); x["status"] != "terminated" {
		t.Fatalf("install: %v", x)
	}
	return s
}

// acts are the operations that an execution has carried out, "node operation", in their order.
func acts(events []object) (out []string) {
	for _, e := range events {
		if e["event_type"] == "task_succeeded" {
			op := fmt.Sprint(e["operation"])
			out = append(out, fmt.Sprint(e["node_name"])+"."+op[strings.LastIndexByte(op, '.')+1:])
		}
	}
	return out
}

// update updates d and follows it to its end.
func (s *site) update(body object) (update object, done []string) {
	s.T.Helper()
	u := s.call(200, "POST", v31+"/deployment-updates/d/update/initiate", body)
	x, events := s.follow(fmt.Sprint(u["execution_id"]))
	if x["status"] != "terminated" {
		s.T.Fatalf("update %v: %v", body, x)
	}
	return s.get("/deployment-updates/" + fmt.Sprint(u["id"])), acts(events)
}

// cfy deployments update with each of its options.
func TestUpdateOptions(t *testing.T) {
	t.Parallel()
	remade := []string{"app.stop", "app.create", "app.start", "app.establish", "app.establish"}
	t.Run("inputs", func(t *testing.T) {
		s := installed(t, shop)
		pre := s.call(200, "POST", v31+"/deployment-updates/d/update/initiate", object{"inputs": object{"port": "8099"}, "auto_correct_types": true, "preview": true, "skip_install": true})
		if fmt.Sprint(pre["steps"]) != "[map[action:modify entity_id:[nodes app operations cloudify.interfaces.lifecycle.create] entity_type:operation topology_order:0]]" || pre["state"] != "preview" {
			t.Errorf("steps of a preview: %v", pre)
		}
		if d := s.get("/deployments/d"); d["inputs"].(object)["port"] != 8080.0 {
			t.Errorf("a preview has changed %v", d["inputs"])
		}
		s.refused(400, "deployment_creation_error", "POST", v31+"/deployment-updates/d/update/initiate", object{"inputs": object{"port": "many"}})
		u, done := s.update(object{"inputs": object{"port": "8099"}, "auto_correct_types": true, "runtime_only_evaluation": true})
		if u["state"] != "successful" || u["new_inputs"].(object)["port"] != 8099.0 || u["runtime_only_evaluation"] != true || !slices.Equal(done, remade) {
			t.Errorf("update %v did %v", u, done)
		}
		if d := s.get("/deployments/d"); d["inputs"].(object)["port"] != 8099.0 || d["installation_status"] != "active" || d["runtime_only_evaluation"] != true {
			t.Errorf("updated %v", d)
		}
		if _, done = s.update(object{"inputs": object{"port": 8100}, "skip_reinstall": true}); len(done) != 0 {
			t.Errorf("with skip_reinstall: %v", done)
		}
	})
	t.Run("reinstall", func(t *testing.T) {
		s := installed(t, shop)
		id := items(s.get("/node-instances?node_id=app"))[0]["id"]
		if _, done := s.update(object{"blueprint_id": "shop", "reinstall_list": []any{id}}); !slices.Equal(done, append([]string{"app.stop"}, remade[1:]...)) {
			t.Errorf("reinstall_list: %v", done)
		}
		s.refused(400, "bad_parameters_error", "POST", v31+"/deployment-updates/d/update/initiate", object{"blueprint_id": "shop", "reinstall_list": []string{"app_zzzzzz"}})
		if _, done := s.update(object{"blueprint_id": "shop", "force_reinstall": "true"}); !slices.Contains(done, "db.create") || !slices.Contains(done, "app.start") {
			t.Errorf("force_reinstall: %v", done)
		}
	})
	t.Run("in place", func(t *testing.T) {
		s := installed(t, renewed(updateOperations, ""))
		if _, done := s.update(object{"inputs": object{"port": 8099}}); !slices.Equal(done, []string{"app.preupdate", "app.update"}) {
			t.Errorf("with operations that update: %v", done)
		}
		if _, done := s.update(object{"blueprint_id": "shop"}); len(done) != 0 {
			t.Errorf("once more: %v", done)
		}
	})
	t.Run("parts", func(t *testing.T) {
		s := installed(t, renewed("", cacheNode))
		s.upload("other", "blueprint.yaml", tarball(t, "blueprint", renewed("", strings.Replace(cacheNode, "cache:", "queue:", 1))), nil)
		if _, done := s.update(object{"blueprint_id": "other", "skip_uninstall": true, "skip_install": true}); len(done) != 0 {
			t.Errorf("nothing but the record: %v", done)
		}
		if st := pick(items(s.get("/node-instances?node_id=queue")), "state"); !slices.Equal(st, []string{"uninitialized"}) {
			t.Errorf("what was not installed: %v", st)
		}
		if _, done := s.update(object{"blueprint_id": "other", "install_first": true}); !slices.Equal(done, []string{"queue.create", "cache.delete"}) {
			t.Errorf("what was left: %v", done)
		}
		if _, done := s.update(object{"blueprint_id": "shop"}); !slices.Equal(done, []string{"queue.delete", "cache.create"}) {
			t.Errorf("back again: %v", done)
		}
	})
	t.Run("workflow", func(t *testing.T) {
		s := installed(t, shop)
		s.upload("more", "blueprint.yaml", tarball(t, "blueprint", renewed("", cacheNode)), nil)
		s.refused(400, "bad_parameters_error", "POST", v31+"/deployment-updates/d/update/initiate", object{"blueprint_id": "more", "workflow_id": "restart", "skip_install": true})
		s.refused(400, "nonexistent_workflow_error", "POST", v31+"/deployment-updates/d/update/initiate", object{"blueprint_id": "more", "workflow_id": "dance"})
		if d := s.get("/deployments/d"); d["blueprint_id"] != "shop" {
			t.Errorf("a refused update has changed the blueprint to %v", d["blueprint_id"])
		}
		_, done := s.update(object{"blueprint_id": "more", "workflow_id": "restart"})
		if slices.Sort(done); !slices.Equal(done, []string{"app.start", "app.stop", "db.start", "db.stop"}) {
			t.Errorf("a workflow in place of the update: %v", done)
		}
		if d := s.get("/deployments/d"); d["blueprint_id"] != "more" {
			t.Errorf("the blueprint is %v", d["blueprint_id"])
		}
	})
}
