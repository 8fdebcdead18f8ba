package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// turn matches the beginning and the end of what a rollout does to an instance.
var turn = regexp.MustCompile(`(?m)^\S+ (app\[\d\]) (update|health tcp:22) (…|done)`)

// Three servers are replaced by Terraform one after the other, each when the one before has passed its gate; an update whose gate fails is
// rolled back, and the servers that it had not come to are left alone.
func TestServersAreReplacedInBatches(t *testing.T) {
	if !long() {
		t.Skip("only in ./task chaos: it replaces servers five times, one after the other")
	}
	u := newUser(t).sandboxed()
	app := filepath.Join(t.TempDir(), "three.yaml")
	if err := os.WriteFile(app, []byte(`tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { template_name: three, template_version: 1.0.0 }
topology_template:
  inputs: { generation: { type: string, default: one } }
  node_templates:
    app:
      type: orch.nodes.openstack.Compute
      properties: { floating_ip: true, user_data: { concat: [ "#!/bin/sh\n# ", { get_input: generation }, "\n" ] } }
      capabilities: { scalable: { properties: { min_instances: 1, max_instances: 3, default_instances: 3 } } }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	u.ok("deploy", app)
	first := u.servers("three")
	out := u.ok("deploy", "--plain", app, "-i", "generation=two", "--batch", "1", "--health", "tcp:22").stdout
	var turns []string
	for _, m := range turn.FindAllStringSubmatch(out, -1) {
		turns = append(turns, m[1]+" "+m[2]+" "+m[3])
	}
	var want []string
	for _, in := range []string{"app[0]", "app[1]", "app[2]"} {
		want = append(want, in+" update …", in+" update done", in+" health tcp:22 …", in+" health tcp:22 done")
	}
	if !slices.Equal(turns, want) {
		t.Errorf("the servers took turns like this: %q\n%s", turns, out)
	}
	second := u.servers("three")
	for in, id := range first {
		if second[in] == id || second[in] == "" {
			t.Errorf("%s was not replaced: %s", in, second[in])
		}
	}
	// Nothing listens there.
	u.fails(3, []string{"app[0] is not healthy", "three is rolled back"}, "deploy", "--plain", app, "-i", "generation=three", "--batch", "1", "--health", "tcp:9",
		"--health-timeout", "3s", "--on-failure", "rollback")
	third := u.servers("three")
	if third["app[0]"] == second["app[0]"] || third["app[1]"] != second["app[1]"] || third["app[2]"] != second["app[2]"] {
		t.Errorf("before %v, after the rollback %v", second, third)
	}
	if out := u.ok("deploy", app, "-i", "generation=two").all(); !strings.Contains(out, "nothing to do") {
		t.Errorf("the rollback has not brought everything back: %s", out)
	}
	u.ok("drift", "three")
	u.ok("undeploy")
	if left := u.resources(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// servers of a deployment: ids by instance.
func (u *user) servers(deployment string) map[string]string {
	u.t.Helper()
	var found []struct{ Kind, ID, Node, Instance string }
	u.json(&found, "sweep", deployment)
	ids := map[string]string{}
	for _, f := range found {
		if f.Kind == "server" {
			ids[f.Node+"["+f.Instance+"]"] = f.ID
		}
	}
	return ids
}
