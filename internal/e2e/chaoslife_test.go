package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
				if len(tasks) > before+1 && args[0] != "deploy" && args[0] != "undeploy" { // these are planned anew
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
		for _, s := range happened(effects) {
			got = append(got, s)
		}
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
