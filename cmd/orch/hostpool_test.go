package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
)

// A deployment on hosts of a pool: they are chosen by their labels, logged in to with their keys pinned, and given back.
func TestDeployOnPool(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	orch := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.Command("orch", args...) // testscript.Main puts this test binary on the PATH as orch
		cmd.Env = append(os.Environ(), "ORCH_HOME="+home, "HOME="+home, "XDG_CONFIG_HOME="+home)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("orch %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for i, cpus := range []string{"1", "4"} {
		s := sshtest.Start(t, sshtest.Options{Password: "let me in " + cpus, NoKey: true})
		out := orch("let me in "+cpus+"\n", "hosts", "add", "box"+strconv.Itoa(i), "--pool", "lab", "--host", "127.0.0.1", "--port", strconv.Itoa(s.Port), "--user", "tester",
			"--password", "--label", "host.num_cpus="+cpus, "--label", "public_address=box.example")
		if !strings.Contains(out, "is free") {
			t.Fatal(out)
		}
	}
	// The server for tests has no sudo.
	if err := os.MkdirAll(filepath.Join(home, "orch"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "orch", "config.yaml"), []byte("locations: { lab: { plugin: hostspool, sudo: false } }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	app := filepath.Join(home, "app.yaml")
	if err := os.WriteFile(app, []byte(poolApp), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "start.sh"), []byte("echo running on $WHERE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := orch("", "deploy", "-v", app, "--name", "app", "--location", "lab")
	if !strings.Contains(out, "server[0] allocated host box1 of the pool lab") || !strings.Contains(out, "running on box.example") {
		t.Error(out)
	}
	if out := orch("", "deploy", app, "--name", "app", "--location", "lab"); !strings.Contains(out, "nothing to do") {
		t.Error(out)
	}
	if out := orch("", "hosts", "list"); !strings.Contains(out, "allocated") || !strings.Contains(out, "app/server/0") {
		t.Error(out)
	}
	if out := orch("", "undeploy", "app"); !strings.Contains(out, "0 resources left, checked in pool lab") {
		t.Error(out)
	}
	if out := orch("", "hosts", "list"); strings.Contains(out, "allocated") {
		t.Error(out)
	}
}

const poolApp = `tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  my.App:
    derived_from: tosca.nodes.SoftwareComponent
    interfaces:
      Standard:
        operations:
          start:
            inputs: { WHERE: { type: string, default: { get_attribute: [ HOST, public_address ] } } }
            implementation: start.sh
topology_template:
  node_templates:
    server:
      type: tosca.nodes.Compute
      capabilities: { host: { properties: { num_cpus: 2 } } }
    app:
      type: my.App
      requirements: [ host: server ]
`
