package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stage of a deployment's life: a command, and what it makes happen, however often orch is killed meanwhile.
type stage struct {
	args []string
	want []string // "instance operation", sorted
}

// through takes the deployment through a stage. Killed, a user looks at what the task came to, and resumes it or asks again.
func (c *chaos) through(args ...string) {
	c.t.Helper()
	before := len(c.tasks())
	var last string
	for range 200 {
		now := append(args[:len(args):len(args)], "--plain")
		if tasks := c.tasks(); len(tasks) > before {
			if newest := tasks[len(tasks)-1]; newest.Status == "done" {
				if len(tasks) > before+1 && !slices.Contains([]string{"deploy", "undeploy", "scale"}, args[0]) { // these may be planned anew
					c.t.Errorf("%v made %d tasks: %+v", args, len(tasks)-before, tasks[before:])
				}
				return
			}
			if c.rng.IntN(2) == 0 {
				now = []string{"resume", c.name, "--plain"}
			}
		}
		if killed, code, out := c.broken(now...); !killed && code != 0 {
			last = out
		}
	}
	c.t.Fatalf("%v was not reached in 200 attempts; the last that was not killed:\n%s", args, last)
}

// taskRow is what `orch tasks` says of a task.
type taskRow struct{ ID, Verb, Status string }

// tasks of the deployment, oldest first.
func (c *chaos) tasks() (all []taskRow) {
	c.t.Helper()
	if c.exists() {
		c.json(&all, "tasks", c.name)
		slices.SortFunc(all, func(a, b taskRow) int { return strings.Compare(a.ID, b.ID) })
	}
	return all
}

// lively is a topology of two workers and a hub that knows them, whose operations write down where orch runs that they begin and end.
func lively(t *testing.T) (dir, effects string) {
	t.Helper()
	dir = t.TempDir()
	effects = filepath.Join(dir, "effects")
	write := func(file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("op.sh", fmt.Sprintf("echo \"begin $WHO $OP\" >>'%[1]s'\nsleep 0.1\necho \"end $WHO $OP\" >>'%[1]s'\n", effects))
	write("topology.yaml", `tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { template_name: life, template_version: 1.0.0 }
node_types:
  life.Node:
    derived_from: tosca.nodes.Root
    properties: { size: { type: string, default: small } }
    capabilities: { scalable: tosca.capabilities.Scalable }
    interfaces:
      Standard:
        inputs: { WHO: { type: string, value: { get_attribute: [ SELF, tosca_id ] } } }
        operations:
          create: { implementation: op.sh, inputs: { OP: create } }
          configure: { implementation: op.sh, inputs: { OP: configure, SIZE: { get_property: [ SELF, size ] } } }
          start: { implementation: op.sh, inputs: { OP: start } }
          stop: { implementation: op.sh, inputs: { OP: stop } }
          delete: { implementation: op.sh, inputs: { OP: delete } }
relationship_types:
  life.Knows:
    derived_from: tosca.relationships.DependsOn
    interfaces:
      Configure:
        inputs: { WHO: { type: string, value: { concat: [ knows_, { get_attribute: [ TARGET, tosca_id ] } ] } } }
        operations:
          add_target: { implementation: op.sh, inputs: { OP: add } }
          remove_target: { implementation: op.sh, inputs: { OP: remove } }
topology_template:
  inputs: { size: { type: string, default: small } }
  node_templates:
    worker:
      type: life.Node
      properties: { size: { get_input: size } }
      capabilities: { scalable: { properties: { min_instances: 1, max_instances: 4, default_instances: 2 } } }
    hub:
      type: life.Node
      requirements: [ { dependency: { node: worker, relationship: life.Knows } } ]
`)
	return dir, effects
}

// each returns every one of the operations for every one of the instances.
func each(instances, operations string) (all []string) {
	for in := range strings.FieldsSeq(instances) {
		for op := range strings.FieldsSeq(operations) {
			all = append(all, in+" "+op)
		}
	}
	return all
}

// orch is killed at step boundaries all through the life of a deployment; every task is completed, and nothing in it happens twice or too little.
// TestChaosLifeOnServers is the same with servers and Terraform.
func TestChaosLife(t *testing.T) {
	dir, effects := lively(t)
	c := &chaos{user: newUser(t), rng: chance(t), name: "life", seen: map[string]bool{}, kills: 8, chance: 10}
	if long() {
		c.kills, c.chance = 1000, 100
	}
	all, gone := "create configure start", "stop delete"
	for _, s := range []stage{
		{[]string{"deploy", dir}, append(each("worker-0 worker-1 hub-0", all), each("knows_worker-0 knows_worker-1", "add")...)},
		{[]string{"heal", "life", "worker[0]"}, append(each("worker-0", all+" "+gone), each("knows_worker-0", "remove add")...)},
		{[]string{"scale", "life", "worker=+1"}, append(each("worker-2", all), each("knows_worker-2", "add")...)},
		{[]string{"scale", "life", "worker=-1"}, append(each("worker-2", gone), each("knows_worker-2", "remove")...)},
		{[]string{"deploy", dir, "-i", "size=big"}, each("worker-0 worker-1", "configure")},
		{[]string{"rollback", "life"}, each("worker-0 worker-1", "configure")},
		{[]string{"run", "life", "restart"}, each("worker-0 worker-1 hub-0", "stop start")},
		{[]string{"undeploy", "life"}, append(each("worker-0 worker-1 hub-0", gone), each("knows_worker-0 knows_worker-1", "remove")...)},
	} {
		clear(c.seen)
		c.through(s.args...)
		var got, want []string
		got = append(got, happened(effects)...)
		for _, w := range s.want {
			w = strings.ReplaceAll(w, " ", "_")
			want = append(want, "begin_"+w, "end_"+w)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", s.args, diff)
		}
		if err := os.Remove(effects); err != nil {
			t.Fatal(err)
		}
	}
}

// The same with servers: orch is killed at step boundaries, and while Terraform works Terraform, its supervisor, or both, with orch or without.
func TestChaosLifeOnServers(t *testing.T) {
	if !long() {
		t.Skip("only in ./task chaos: it makes servers thirteen times")
	}
	c := newChaos(t)
	c.kills, c.chance, c.also = 1000, 100, c.killTerraform
	defer func() {
		if t.Failed() {
			t.Log(c.run(nil, "status", c.name), c.run(nil, "sweep", c.name), c.run(nil, "tasks", c.name), c.run(nil, "events", c.name))
		}
	}()
	rewrite(t, filepath.Join(c.dir, "topology.yaml"), "    app_server:\n      type: tosca.nodes.Compute\n",
		"    app_server:\n      type: orch.nodes.openstack.Compute\n      properties: { user_data: { concat: [ \"#!/bin/sh\\n# \", { get_input: generation }, \"\\n\" ] } }\n")
	rewrite(t, filepath.Join(c.dir, "topology.yaml"), "  inputs:\n", "  inputs:\n    generation: { type: string, default: one }\n")
	for _, s := range []struct {
		args         []string
		apps         int
		added, taken int // how often a backend has been since the beginning
	}{
		{[]string{"deploy", c.dir}, 2, 2, 0},
		{[]string{"heal", c.name, "app[0]"}, 2, 3, 1},
		{[]string{"heal", c.name, "app_server[1]"}, 2, 4, 2},
		{[]string{"scale", c.name, "app_server=+1"}, 3, 5, 2},
		{[]string{"scale", c.name, "app_server=2"}, 2, 5, 3},
		{[]string{"deploy", c.dir, "-i", "generation=two"}, 2, 5, 3},
		{[]string{"rollback", c.name}, 2, 5, 3},
	} {
		clear(c.seen)
		c.through(s.args...)
		want := map[string]map[string]int{
			"store 0":    {"create.sh": 1, "configure-store.sh": 1, "start.sh": 1},
			"balancer 0": {"create.sh": 1, "start.sh": 1, "add-backend.sh": s.added},
		}
		if s.taken > 0 {
			want["balancer 0"]["remove-backend.sh"] = s.taken
		}
		for i := range s.apps {
			want[fmt.Sprintf("app %d", i)] = map[string]int{"create.sh": 1, "use-store.sh": 1, "start.sh": 1}
		}
		if s.args[0] == "heal" || s.args[0] == "scale" { // healed on the server that it had
			want["app 0"] = map[string]int{"create.sh": 2, "use-store.sh": 2, "start.sh": 2, "stop.sh": 1, "delete.sh": 1}
		}
		c.ran(want)
		answered(t, strings.TrimSpace(c.ok("outputs", "--only", "url").stdout), s.apps)
		if n := c.resources()["server"]; n != s.apps+2 {
			t.Errorf("after %v there are %d servers: %v", s.args, n, c.resources())
		}
	}
	c.through("undeploy", c.name)
	if diff := cmp.Diff(c.before, c.resources()); diff != "" {
		t.Errorf("the cloud is not as it was:\n%s", diff)
	}
}

// rewrite replaces text in a file, once.
func rewrite(t *testing.T, file, old, text string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(b), old) != 1 {
		t.Fatalf("%s has not one %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(b), old, text, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// killTerraform kills the supervisors of runs, Terraform, or both.
func (c *chaos) killTerraform() {
	names := [][]string{{"supervisor.json"}, {"terraform.json"}, {"supervisor.json", "terraform.json"}}[c.rng.IntN(3)]
	for _, name := range names {
		files, _ := filepath.Glob(filepath.Join(c.home, "terraform", "deployments", "*", "work", name))
		for _, file := range files {
			var p struct {
				PID   int
				Start string
			}
			b, err := os.ReadFile(file)
			if err != nil || json.Unmarshal(b, &p) != nil {
				continue // it has just ended
			}
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
			if _, fields, _ := strings.Cut(string(stat), ") "); err == nil && p.Start != "" && strings.Contains(fields, " "+p.Start+" ") {
				c.t.Logf("%s is killed", strings.TrimSuffix(name, ".json"))
				_ = syscall.Kill(p.PID, syscall.SIGKILL)
			}
		}
	}
}
