package openstack_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// blueprint loads a Cloudify blueprint and binds it to a location of the plugin.
func blueprint(t *testing.T, text string, settings map[string]any) *plugin.Renderer {
	t.Helper()
	b, list := source.OpenFS("app", fstest.MapFS{"blueprint.yaml": {Data: []byte(text)}}, "blueprint.yaml")
	if list.HasErrors() {
		t.Fatal(list)
	}
	top, list := tosca.Load(t.Context(), tosca.Options{Bundle: b})
	if list.HasErrors() {
		t.Fatal(list)
	}
	s := set(t)
	loc, list := s.Complete(plugin.Location{Name: "test", Plugin: "openstack", Settings: settings})
	list = append(list, s.Bind(top, loc)...)
	if list.HasErrors() {
		t.Fatal(list)
	}
	return &plugin.Renderer{Deployment: "app", Set: s, Location: loc, Topology: top, Catalogue: cloud, Secrets: secrets{}}
}

func natives(top *topology.Topology) []topology.Instance {
	var ids []topology.Instance
	for _, n := range top.Nodes {
		if n.Native {
			ids = append(ids, topology.Instance{Node: n.Name, Index: "0"})
		}
	}
	return ids
}

// Each testdata/cloudify_*.yaml is a blueprint, rendered to the .json beside it.
func TestBlueprintsMatchTheGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/cloudify_*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := blueprint(t, string(text), nil)
			for _, id := range natives(r.Topology) {
				for _, d := range r.Check(t.Context(), id) {
					t.Error(d)
				}
			}
			entries, err := r.Fresh().Render(t.Context(), natives(r.Topology))
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(module(entries), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".json"
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.TrimSpace(string(want)), string(got)); d != "" {
				t.Errorf("rendered configuration (-want +got):\n%s", d)
			}
		})
	}
}

// The plugin's own operations are what the mappings do: only scripts stay.
func TestOperationsOfTheOpenStackPluginAreTakenOver(t *testing.T) {
	r := blueprint(t, `tosca_definitions_version: cloudify_dsl_1_3
imports: [cloudify/types/types.yaml, plugin:cloudify-openstack-plugin]
node_templates:
  net:
    type: cloudify.nodes.openstack.Network
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: openstack.openstack_plugin.resources.network.network.create, inputs: {args: {mtu: 1400}}}
        start: {implementation: "#!/bin/sh\necho hello\n"}
`, nil)
	n := r.Topology.NodeNamed("net")
	if op := n.Operation("Standard", "create"); op == nil || op.Call != "" || op.Inputs.Get("args") == nil {
		t.Errorf("create is left to the mapping, its inputs stay: %+v", op)
	}
	if op := n.Operation("Standard", "start"); op == nil || op.Implementation == nil {
		t.Errorf("scripts stay: %+v", op)
	}
}

func TestHostOfACloudifyServer(t *testing.T) {
	for name, c := range map[string]struct{ agent, key, user string }{
		"a secret of the store": {`{user: admin, key: {get_secret: agent_key}}`, "agent_key", "admin"},
		"a generated key":       {`{user: admin, key: {get_attribute: [key, private_key_export]}}`, "deployments/app/key/ssh-key", "admin"},
		"made for want of one":  {`{}`, "deployments/app/ssh-key", "debian"},
	} {
		t.Run(name, func(t *testing.T) {
			r := blueprint(t, `tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml, plugin:cloudify-openstack-plugin, plugin:cloudify-utilities-plugin]
node_templates:
  vm:
    type: cloudify.nodes.openstack.Server
    properties:
      agent_config: `+c.agent+`
      resource_config: {image_id: debian-12, flavor_id: m1.small}
    relationships: [{type: cloudify.relationships.depends_on, target: key}]
  key: {type: cloudify.nodes.keys.RSAKey}
`, nil)
			r.State = func(address string) (map[string]any, bool) {
				return map[string]any{"id": "srv", "name": "vm", "access_ip_v4": "10.0.0.5"}, address == "openstack_compute_instance_v2.vm_0_server"
			}
			p, err := r.Publish(t.Context(), topology.Instance{Node: "vm", Index: "0"})
			if err != nil {
				t.Fatal(err)
			}
			if p.Host == nil || p.Host.Key != c.key || p.Host.User != c.user || len(p.Host.Addresses) != 1 {
				t.Errorf("host %+v", p.Host)
			}
			if p.Attributes["ip"] != "10.0.0.5" || p.Attributes["external_id"] != "srv" {
				t.Errorf("attributes %v", p.Attributes)
			}
		})
	}
}

// What a blueprint calls external is named in the message when the cloud does not have it.
func TestExternalResourcesThatAreMissing(t *testing.T) {
	r := blueprint(t, `tosca_definitions_version: cloudify_dsl_1_3
imports: [cloudify/types/types.yaml, plugin:cloudify-openstack-plugin]
node_templates:
  net: {type: cloudify.nodes.openstack.Network, properties: {use_external_resource: true, resource_config: {name: publik}}}
  none: {type: cloudify.openstack.nodes.Router, properties: {use_external_resource: true}}
`, nil)
	for node, want := range map[string]string{"net": `no network matches "publik"`, "none": "the existing router has neither name nor id"} {
		list := r.Check(t.Context(), topology.Instance{Node: node, Index: "0"})
		if len(list) == 0 || !strings.Contains(list[0].Message, want) {
			t.Errorf("%s: %v", node, list)
		}
	}
}
