package cloudify

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	servers "github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/internal/server/servicetest"
	"github.com/orch-project/orch/pkg/orch"
)

// openstack is a blueprint of the OpenStack plugin's types: a server on a network of its own behind a router, with a security group, a floating IP and
// a key, and a page that scripts serve on it.
var openstack = map[string]string{
	"scripts/page.sh":  "who() { ctx logger info \"a page for $(ctx instance id)\"; ctx instance id; }\nmkdir -p /srv/page && test \"$(who)\" = \"$(ctx instance id)\" && ctx instance id >/srv/page/index.html && ctx instance runtime-properties served \"$(ctx node properties title)\"\n",
	"scripts/serve.sh": "cd /srv/page && (setsid python3 -m http.server 8080 >/var/log/page 2>&1 </dev/null & echo $! >/run/page.pid)\nfor i in $(seq 60); do python3 -c 'import urllib.request; urllib.request.urlopen(\"http://127.0.0.1:8080/\", timeout=5)' && exit 0; sleep 1; done\nexit 1\n",
	"scripts/stop.sh":  "kill $(cat /run/page.pid)\n",
	"blueprint.yaml": `tosca_definitions_version: cloudify_dsl_1_4
imports: [ cloudify/types/types.yaml, plugin:cloudify-openstack-plugin, plugin:cloudify-utilities-plugin ]
inputs:
  title: { type: string, default: hello }
node_types:
  site.Page: { derived_from: cloudify.nodes.ApplicationModule, properties: { title: { type: string } } }
node_templates:
  vm:
    type: cloudify.nodes.openstack.Server
    properties:
      agent_config: { user: debian, install_method: none, key: { get_attribute: [ key, private_key_export ] } }
      resource_config: { image_id: debian-12, flavor_id: m1.small, user_data: { get_attribute: [ init, cloud_config ] } }
      use_public_ip: true
    relationships:
      - { type: cloudify.relationships.openstack.server_connected_to_port, target: port }
      - { type: cloudify.relationships.depends_on, target: init }
  port:
    type: cloudify.nodes.openstack.Port
    relationships:
      - { type: cloudify.relationships.contained_in, target: network }
      - { type: cloudify.relationships.openstack.port_connected_to_subnet, target: subnet }
      - { type: cloudify.relationships.openstack.port_connected_to_security_group, target: group }
      - { type: cloudify.relationships.openstack.port_connected_to_floating_ip, target: ip }
  subnet:
    type: cloudify.nodes.openstack.Subnet
    properties: { resource_config: { ip_version: 4, cidr: 10.10.4.0/24 } }
    relationships:
      - { type: cloudify.relationships.contained_in, target: network }
      - { type: cloudify.relationships.openstack.subnet_connected_to_router, target: router }
  network: { type: cloudify.nodes.openstack.Network }
  router:
    type: cloudify.nodes.openstack.Router
    relationships: [ { type: cloudify.relationships.connected_to, target: outside } ]
  outside:
    type: cloudify.nodes.openstack.Network
    properties: { use_external_resource: true, resource_config: { name: public, kwargs: { routing: { external: true } } } }
  group:
    type: cloudify.nodes.openstack.SecurityGroup
    properties:
      security_group_rules:
        - { direction: ingress, protocol: tcp, port_range_min: 22, port_range_max: 22 }
        - { direction: ingress, protocol: tcp, port_range_min: 8080, port_range_max: 8080 }
  ip:
    type: cloudify.nodes.openstack.FloatingIP
    relationships: [ { type: cloudify.relationships.connected_to, target: outside } ]
  key: { type: cloudify.nodes.keys.RSAKey, properties: { resource_config: { key_name: agent } } }
  init:
    type: cloudify.nodes.CloudInit.CloudConfig
    properties: { resource_config: { users: [ { name: debian, sudo: "ALL=(ALL) NOPASSWD:ALL", ssh-authorized-keys: [ { get_attribute: [ key, public_key_export ] } ] } ] } }
    relationships: [ { type: cloudify.relationships.depends_on, target: key } ]
  page:
    type: site.Page
    properties: { title: { get_input: title } }
    interfaces:
      cloudify.interfaces.lifecycle: { create: { implementation: scripts/page.sh, inputs: { title: { get_input: title } } }, start: scripts/serve.sh, stop: scripts/stop.sh }
    relationships: [ { type: cloudify.relationships.contained_in, target: vm } ]
outputs:
  url: { value: { concat: [ "http://", { get_attribute: [ ip, floating_ip_address ] }, ":8080/" ] } }
`,
}

// cfy against the built server: an OpenStack blueprint becomes servers that one can log in to, is updated, and leaves nothing.
func TestOpenStackBlueprintOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("makes servers")
	}
	t.Parallel()
	_ = os.Getenv("ORCH_TEST_DIGEST") // Go's test cache does not see what the built command is made of: see internal/e2e
	tools.TerraformOrTofu(t)
	tools.ProviderMirror(t)
	if err := servers.Available(); err != nil {
		t.Skipf("no servers on this machine: %v", err)
	}
	s, run := startServer(t)
	s.upload("stack", "blueprint.yaml", tarball(t, "stack", openstack), nil)
	if bp := s.get("/blueprints/stack"); bp["state"] != "uploaded" {
		t.Fatalf("blueprint %v", bp["error"])
	}
	s.call(201, "PUT", v31+"/deployments/stack", object{"blueprint_id": "stack"})
	x, events := s.run("stack", "install", nil, nil)
	if x["status"] != "terminated" {
		t.Fatalf("install: %v", x["error"])
	}
	page := items(s.get("/node-instances?deployment_id=stack&node_id=page"))[0]
	id := fmt.Sprint(page["id"])
	if page["state"] != "started" || page["runtime_properties"].(object)["served"] != "hello" || page["host_id"] != items(s.get("/node-instances?node_id=vm"))[0]["id"] {
		t.Errorf("page %v", page)
	}
	if !slices.ContainsFunc(events, func(e object) bool { return e["message"] == "a page for "+id && e["node_instance_id"] == id }) {
		t.Error("the script's log line is not among the events, or its ctx shows another id")
	}
	if url := fmt.Sprint(s.get("/deployments/stack/outputs")["outputs"].(object)["url"]); !regexp.MustCompile(`^http://[\d.]+:8080/$`).MatchString(url) {
		t.Errorf("url %s", url)
	}
	u := s.call(200, "POST", v31+"/deployment-updates/stack/update/initiate", object{"inputs": object{"title": "once more"}})
	if x, _ = s.follow(fmt.Sprint(u["execution_id"])); x["status"] != "terminated" {
		t.Fatalf("update: %v", x["error"])
	}
	if page = items(s.get("/node-instances?deployment_id=stack&node_id=page"))[0]; page["id"] != id || page["runtime_properties"].(object)["served"] != "once more" {
		t.Errorf("updated %v", page)
	}
	if x, _ = s.run("stack", "uninstall", nil, nil); x["status"] != "terminated" {
		t.Fatalf("uninstall: %v", x["error"])
	}
	s.call(204, "DELETE", v31+"/deployments/stack", nil)
	if left := run("sandbox", "status"); !strings.Contains(left, "nothing of any user exists") {
		t.Errorf("left in the cloud: %s", left)
	}
}

// startServer builds orch and starts a sandbox and a server. run runs a command with the same home.
func startServer(t *testing.T) (s *site, run func(args ...string) string) {
	t.Helper()
	program, run := servicetest.Program(t)
	return &site{Site: program, who: orch.Identity{Tenant: orch.DefaultTenant}, patience: 20 * time.Minute}, run
}
