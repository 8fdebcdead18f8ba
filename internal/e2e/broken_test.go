package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// edited copies a topology and replaces text in one of its files.
func edited(t *testing.T, dir, file, old, new string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(dir))
	if err := os.CopyFS(to, os.DirFS(filepath.Join("..", "..", dir))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(to, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// What is missing in the cloud is named before anything is created, on the line that asks for it.
func TestWrongImageIsNamedBeforeAnythingIsCreated(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	dir := edited(t, pythonCluster, "topology.yaml", "    store_server:\n      type: tosca.nodes.Compute\n",
		"    store_server:\n      type: orch.nodes.openstack.Compute\n      properties:\n        image: debian-21\n")
	u.fails(1, []string{"topology.yaml:", "debian-21", "debian-12", "Nothing was created"}, "deploy", dir)
	if left := u.resources(); len(left) != 0 {
		t.Errorf("created: %v", left)
	}
}

// Quota is summed up before anything is created.
func TestQuotaIsKnownBefore(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	config := filepath.Join(u.home, "config.yaml")
	if err := os.WriteFile(config, []byte("locations:\n  small: { plugin: openstack, cloud: demo-small, image: debian-12 }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "ORCH_CONFIG="+config, "OS_CLIENT_CONFIG_FILE="+filepath.Join(u.home, "sandbox", "clouds.yaml"))
	u.fails(1, []string{"quota", "instances", "Nothing was created"}, "deploy", pythonCluster)
	if left := u.resources(); len(left) != 0 {
		t.Errorf("created: %v", left)
	}
}

// A script that fails shows where, what it printed and what to do; mended, the deployment goes on.
func TestFailingScriptShowsItsCauseAndGoesOnWhenMended(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	dir := edited(t, pythonCluster, "scripts/configure-store.sh", "umask 077", "echo 'no space on the moon' >&2; exit 7")
	u.fails(3, []string{"store[0]", "configure", "exit code  7", "no space on the moon", "types.yaml:", "orch logs python-cluster", "orch undeploy"}, "deploy", dir)
	u.ok("deploy", pythonCluster)
	answered(t, strings.TrimSpace(u.ok("outputs", "--only", "url").stdout), 2)
	u.ok("undeploy")
	if left := u.resources(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// Wrong credentials are said so, without a trace of Terraform.
func TestWrongPassword(t *testing.T) {
	u := newUser(t).sandboxed()
	u.secret("store_token", "token-of-the-store-0123456789")
	clouds := filepath.Join(u.home, "sandbox", "clouds.yaml")
	text, err := os.ReadFile(clouds)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "clouds.yaml")
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		if k, _, ok := strings.Cut(l, "password:"); ok {
			lines[i] = k + "password: wrong-password-42"
		}
	}
	if err := os.WriteFile(bad, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	u.env = append(u.env, "OS_CLOUD=demo", "OS_CLIENT_CONFIG_FILE="+bad)
	r := u.fails(1, []string{"credentials", "Nothing was created"}, "deploy", pythonCluster)
	if strings.Contains(r.all(), "wrong-password-42") {
		t.Errorf("shows the password: %s", r)
	}
}

// A missing secret and a missing input are named together, before the start.
func TestMissingSecretIsNamedBefore(t *testing.T) {
	u := newUser(t).sandboxed()
	u.fails(1, []string{"store_token", "orch secrets set store_token", "Nothing was created"}, "deploy", pythonCluster)
}

// With its state lost, what a deployment had made is still found and removed.
func TestSweepAfterALostStore(t *testing.T) {
	u := newUser(t).sandboxed()
	app := filepath.Join(t.TempDir(), "pair.yaml")
	if err := os.WriteFile(app, []byte(`tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { template_name: pair, template_version: 1.0.0 }
topology_template:
  node_templates:
    server: { type: tosca.nodes.Compute }
    volume: { type: orch.nodes.openstack.BlockStorage, properties: { size: 1 GB } }
    network: { type: tosca.nodes.network.Network, properties: { cidr: 10.50.0.0/24, ip_version: 4 } }
    port: { type: tosca.nodes.network.Port, requirements: [ { link: network }, { binding: server } ] }
    address: { type: orch.nodes.openstack.FloatingIP, requirements: [ { port: port } ] }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	u.ok("deploy", app)
	u.fails(7, []string{"orch undeploy pair"}, "sweep", "pair", "--delete")
	u.losesTheStore()
	if out := u.ok("sweep", "pair").stdout; !strings.Contains(out, "server") || !strings.Contains(out, "volume") || !strings.Contains(out, "router") {
		t.Errorf("sweep lists\n%s", out)
	}
	u.fails(1, []string{"record-lost", "server (1)", "--adopt", "Nothing was created"}, "deploy", app)
	// Nobody can log in to the server any more: it would have to be made anew, which is not done unasked.
	u.fails(7, []string{"pair-server-0", "made anew"}, "deploy", app, "--adopt")
	if out := u.ok("sweep", "pair").stdout; !strings.Contains(out, ", 0 in the cloud only, 0 in the state only") || !strings.Contains(out, "will replace it") {
		t.Errorf("after the adoption sweep lists\n%s", out)
	}
	u.losesTheStore()
	u.ok("sweep", "pair", "--delete")
	if left := u.resources(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func (u *user) losesTheStore() {
	u.t.Helper()
	for _, f := range []string{"orch.db", "master.key"} {
		if err := os.Remove(filepath.Join(u.home, f)); err != nil {
			u.t.Fatal(err)
		}
	}
}

// With its state lost, a deployment is deployed again under its name: what exists is taken over, nothing is made twice, and undeploying
// removes it.
func TestALostDeploymentIsAdopted(t *testing.T) {
	u := newUser(t).sandboxed()
	app := filepath.Join(t.TempDir(), "store.yaml")
	if err := os.WriteFile(app, []byte(`tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { template_name: store, template_version: 1.0.0 }
topology_template:
  node_templates:
    volume: { type: orch.nodes.openstack.BlockStorage, properties: { size: 1 GB } }
    network: { type: tosca.nodes.network.Network, properties: { cidr: 10.60.0.0/24, ip_version: 4 } }
    port: { type: tosca.nodes.network.Port, requirements: [ { link: network } ] }
    address: { type: orch.nodes.openstack.FloatingIP, requirements: [ { port: port } ] }
    door:
      type: orch.nodes.openstack.SecurityGroup
      properties: { rules: [ { protocol: tcp, port: 80 }, { protocol: tcp, port: 443 } ] }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	u.ok("deploy", app)
	before := u.resources()
	u.losesTheStore()
	u.ok("deploy", app, "--adopt")
	if diff := cmp.Diff(before, u.resources()); diff != "" {
		t.Errorf("the cloud has changed: %s", diff)
	}
	u.ok("plan", app)
	u.ok("drift", "store")
	out := u.ok("undeploy").all()
	if !strings.Contains(out, "0 resources left, checked in nova, neutron, cinder") {
		t.Errorf("no proof: %s", out)
	}
	if left := u.resources(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
