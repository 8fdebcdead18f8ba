package yorc_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
	"github.com/orch-project/orch/plugins"
)

// document has every type of Yorc's for OpenStack, as Alien4Cloud writes it.
const document = `tosca_definitions_version: alien_dsl_3_0_0
metadata: { template_name: All, template_version: 0.1.0, template_author: admin }
imports:
  - <normative-types.yml>
  - <yorc-types.yml>
  - <yorc-openstack-types.yml>
topology_template:
  node_templates:
    Server:
      metadata: { location: openstack }
      type: yorc.nodes.openstack.Compute
      properties: { imageName: debian-12, flavorName: m1.small, key_pair: k, security_groups: "a,b", metadata: { x: y } }
      requirements:
        - networkFIP:
            type_requirement: network
            node: FIPServer
            capability: yorc.capabilities.openstack.FIPConnectivity
            relationship: tosca.relationships.Network
        - networkPrivate:
            type_requirement: network
            node: Net
            capability: tosca.capabilities.Connectivity
            relationship: tosca.relationships.Network
        - memberOfGroup:
            type_requirement: group
            node: Group
            capability: yorc.capabilities.Group
            relationship: yorc.relationships.MemberOf
      capabilities:
        endpoint: { properties: { protocol: tcp, initiator: source, secure: true, network_name: PRIVATE, credentials: { user: debian } } }
        scalable: { properties: { min_instances: 1, max_instances: 3, default_instances: 2 } }
    Disk:
      type: yorc.nodes.openstack.BlockStorage
      properties: { size: 10 GB, deletable: true }
      requirements:
        - attachToServer:
            type_requirement: attachment
            node: Server
            capability: tosca.capabilities.Attachment
            relationship: tosca.relationships.AttachTo
            properties: { device: /dev/vdb }
    FIPServer:
      type: yorc.nodes.openstack.FloatingIP
      properties: { floating_network_name: public }
    Net:
      type: yorc.nodes.openstack.Network
      properties: { cidr: 10.1.0.0/24, start_ip: 10.1.0.10, end_ip: 10.1.0.20, gateway_ip: 10.1.0.1 }
    Group:
      type: yorc.nodes.openstack.ServerGroup
      properties: { name: g, policy: anti-affinity }
    Boot:
      type: yorc.nodes.openstack.Compute
      properties:
        flavor: 2
        boot_volume: { uuid: 4bde6002-649d-4868-a5cb-fcd36d5ffa63, source: image, destination: volume, size: 10 GB, delete_on_termination: true }
`

func load(t *testing.T, text string) *topology.Topology {
	t.Helper()
	b, list := source.OpenFS("app.zip", fstest.MapFS{"topology.yml": {Data: []byte(text)}}, "topology.yml")
	top, more := tosca.Load(t.Context(), tosca.Options{Bundle: b, Libraries: tosca.Builtin()})
	for _, d := range append(list, more...) {
		t.Error(d)
	}
	if t.Failed() {
		t.FailNow()
	}
	return top
}

// Every node of Yorc's and Janus' types becomes infrastructure of the OpenStack plugin, and what belongs to a server scales with it.
func TestEveryTypeIsMapped(t *testing.T) {
	t.Parallel()
	for _, product := range []string{"yorc", "janus"} {
		t.Run(product, func(t *testing.T) {
			t.Parallel()
			top := load(t, strings.ReplaceAll(document, "yorc", product))
			set, list := plugin.LoadAll(plugins.FS, "")
			if err := list.Err(); err != nil {
				t.Fatal(err)
			}
			loc, list := set.Complete(plugin.Location{Name: "l", Plugin: "openstack", Settings: map[string]any{}})
			if err := append(list, set.Bind(top, loc)...).Err(); err != nil {
				t.Fatal(err)
			}
			for name, mapping := range map[string]string{"Server": "compute", "Boot": "compute", "Disk": "block_storage", "FIPServer": "floating_ip",
				"Net": "network", "Group": "server_group"} {
				n := top.NodeNamed(name)
				m := set.MappingFor(n, loc)
				if m == nil || m.Name != mapping || !n.Native {
					t.Errorf("%s is mapped to %v, want %s", name, m, mapping)
				}
			}
			for node, leader := range map[string]string{"Disk": "Server", "FIPServer": "Server", "Net": "", "Group": ""} {
				if got := top.NodeNamed(node).ScalesWith; got != leader {
					t.Errorf("%s scales with %q, want %q", node, got, leader)
				}
			}
		})
	}
}
