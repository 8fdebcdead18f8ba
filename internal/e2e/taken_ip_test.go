package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An update that leaves a floating IP out removes it from the cloud and from the record of the server that had it.
func TestAFloatingIPIsTakenByAnUpdate(t *testing.T) {
	u := newUser(t).sandboxed()
	const ip = "    ip:\n      type: orch.nodes.openstack.FloatingIP\n      requirements: [ { server: vm } ]\n"
	document := `tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    vm: { type: tosca.nodes.Compute }
    net:
      type: tosca.nodes.network.Network
      properties: { cidr: 10.40.0.0/24, ip_version: 4 }
    port:
      type: orch.nodes.openstack.Port
      requirements: [ { link: net }, { binding: vm } ]
` + ip + `  outputs:
    address: { value: { get_attribute: [ vm, public_address ] } }
`
	file := filepath.Join(t.TempDir(), "app.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(document)
	u.ok("deploy", file, "--name", "taken")
	floating := strings.TrimSpace(u.ok("outputs", "taken", "--only", "address").stdout)
	if floating == "" || !strings.Contains(u.ok("status", "taken").stdout, floating) {
		t.Fatalf("the server has no floating address: %q", floating)
	}
	write(strings.Replace(document, ip, "", 1))
	u.ok("deploy", file, "--name", "taken")
	if out := u.ok("sweep", "taken").stdout; strings.Contains(out, "floating IP") {
		t.Errorf("the floating IP is left in the cloud:\n%s", out)
	}
	if out := u.ok("status", "taken").stdout; strings.Contains(out, floating) || !strings.Contains(out, "10.40.0.") {
		t.Errorf("the server is still recorded with its former address:\n%s", out)
	}
	u.ok("undeploy", "taken")
}
