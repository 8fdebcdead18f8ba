package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
)

// Servers that exist already are reached by what a blueprint says of them: Cloudify's ip and agent_config, an operation's fabric_env. Passwords stay out of everything that is printed.
func TestExistingServers(t *testing.T) {
	t.Parallel()
	home, documents := t.TempDir(), t.TempDir() // the state is no part of the blueprint
	orch := func(code int, in string, args ...string) string {
		t.Helper()
		cmd := exec.Command("orch", args...) // testscript.Main puts this test binary on the PATH as orch
		cmd.Env = append(os.Environ(), "ORCH_HOME="+home, "HOME="+home, "XDG_CONFIG_HOME="+home)
		cmd.Stdin = strings.NewReader(in)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("orch %v: exit code %d, want %d\n%s", args, got, code, out)
		}
		if strings.Contains(string(out), "open sesame") {
			t.Errorf("orch %v shows a password:\n%s", args, out)
		}
		return string(out)
	}
	write := func(name, text string) string {
		p := filepath.Join(documents, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	s := sshtest.Start(t, sshtest.Options{Password: "open sesame", NoKey: true})
	write("where.sh", "echo \"on ${SSH_CONNECTION:-this machine} as $USER in $HOME\"\n")
	orch(0, "open sesame\n", "secrets", "set", "pw")

	blueprint := write("bp.yaml", fmt.Sprintf(existingBlueprint, s.Port, s.Port))
	out := orch(0, "", "deploy", "-v", blueprint, "--name", "bp")
	for _, want := range []string{"app[0] on ", "as tester in " + s.Home, "far[0] fabric was in " + s.Home} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	orch(0, "", "undeploy", "bp")
	if out := orch(0, "", "secrets", "list"); strings.Contains(out, "login") {
		t.Errorf("a login is left among the secrets:\n%s", out)
	}

	lost := write("lost.yaml", strings.ReplaceAll(fmt.Sprintf(existingBlueprint, s.Port, s.Port), "ip: 127.0.0.1", "os_family: linux"))
	if out := orch(1, "", "deploy", lost, "--name", "lost"); !strings.Contains(out, "lost.yaml:4:") || !strings.Contains(out, "nothing says where it is") {
		t.Error(out)
	}
}

const existingBlueprint = `tosca_definitions_version: cloudify_dsl_1_3
imports: [http://www.getcloudify.org/spec/cloudify/5.1.0/types.yaml, "plugin:cloudify-fabric-plugin"]
node_templates:
  host:
    type: cloudify.nodes.Compute
    properties:
      ip: 127.0.0.1
      agent_config: { install_method: none, user: tester, port: %d, password: { get_secret: pw } }
  app:
    type: cloudify.nodes.ApplicationModule
    interfaces:
      cloudify.interfaces.lifecycle:
        create: where.sh
    relationships: [ { type: cloudify.relationships.contained_in, target: host } ]
  far:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create:
          implementation: fabric.fabric_plugin.tasks.run_commands
          inputs:
            commands: [ "echo fabric was in $HOME" ]
            fabric_env: { host_string: "tester@127.0.0.1:%d", password: { get_secret: pw } }
`
