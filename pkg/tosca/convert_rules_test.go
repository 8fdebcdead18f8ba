package tosca

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/topology"
)

// TestConvertRules: what a stricter dialect refuses is adapted and named in the report; the result loads by itself.
func TestConvertRules(t *testing.T) {
	for _, c := range []struct {
		name, doc, target string
		want              []string // in the result
		lost              []string // messages of the report, by their beginnings
		differ            []string
	}{
		{
			name: "an heir's requirement for something unrelated", target: "tosca_2_0",
			doc: `tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Runtime: { derived_from: tosca.nodes.Root, capabilities: { host: { type: tosca.capabilities.Container } } }
  App:
    derived_from: tosca.nodes.SoftwareComponent
    requirements: [ { host: { capability: tosca.capabilities.Container, node: Runtime, relationship: tosca.relationships.HostedOn } } ]
topology_template:
  node_templates:
    runtime: { type: Runtime }
    app: { type: App, requirements: [ { host: runtime } ] }
`,
			lost: []string{"the node type tosca.nodes.Compute becomes tosca.nodes.Root"},
		},
		{
			name: "a target and a source that 1.x warns of", target: "tosca_2_0",
			doc: `tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  Box: { derived_from: tosca.nodes.Root, capabilities: { host: { type: tosca.capabilities.Compute, valid_source_types: [ tosca.nodes.SoftwareComponent ] } } }
  Thing: { derived_from: tosca.nodes.Root, requirements: [ { on: { capability: tosca.capabilities.Compute, node: tosca.nodes.Compute, relationship: tosca.relationships.HostedOn } } ] }
topology_template:
  node_templates:
    box: { type: Box }
    thing: { type: Thing, requirements: [ { on: box } ] }
`,
			lost: []string{"the node type tosca.nodes.Compute becomes tosca.nodes.Root", "the source Thing is added"},
		},
		{
			name: "an integer input for a text", target: "tosca_2_0",
			doc: `tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  N: { derived_from: tosca.nodes.Root, properties: { port: { type: string } } }
topology_template:
  inputs: { port: { type: integer } }
  node_templates: { n: { type: N, properties: { port: { get_input: port } } } }
`,
			want: []string{"$concat:"}, differ: []string{"nodes.n.properties.port.$concat", "nodes.n.properties.port.$get_input"},
		},
		{
			name: "a capability called feature", target: "tosca_simple_yaml_1_3",
			doc: `tosca_definitions_version: tosca_2_0
capability_types: { Feature: {} }
node_types: { N: { capabilities: { feature: { type: Feature } } } }
service_template: { node_templates: { n: { type: N } } }
`,
			want: []string{"derived_from: tosca.capabilities.Node"}, lost: []string{"the capability type Feature derives from tosca.capabilities.Node"},
			differ: []string{"nodes.n.attributes", "nodes.n.type"},
		},
		{
			name: "a requirement without a type of relationship", target: "tosca_simple_yaml_1_3",
			doc: `tosca_definitions_version: tosca_2_0
capability_types: { Service: {} }
node_types:
  Server: { capabilities: { service: { type: Service } } }
  Client: { requirements: [ { service: Service } ] }
service_template: { node_templates: { s: { type: Server }, c: { type: Client, requirements: [ { service: s } ] } } }
`,
			want: []string{"relationship: tosca.relationships.Root"}, lost: []string{"that a requirement such as service has no type of relationship"},
		},
		{
			name: "functions of the document", target: "tosca_2_0",
			doc: `tosca_definitions_version: tosca_2_0
functions:
  double: { signatures: [ { arguments: [ integer ], result: { type: integer }, implementation: double.sh } ] }
node_types: { N: { properties: { size: { type: integer } } } }
service_template: { node_templates: { n: { type: N, properties: { size: { $double: [ 2 ] } } } } }
`,
			want: []string{"functions:", "$double:", "implementation: double.sh"}, differ: []string{},
		},
		{
			name: "functions of the document in 1.3", target: "tosca_simple_yaml_1_3",
			doc: `tosca_definitions_version: tosca_2_0
functions:
  double: { signatures: [ { arguments: [ integer ], result: { type: integer }, implementation: double.sh } ] }
node_types: { N: { properties: { size: { type: integer } } } }
service_template: { node_templates: { n: { type: N, properties: { size: { $double: [ 2 ] } } } } }
`,
			want: []string{"required: false"}, lost: []string{"the function double", "that size is required, while a template goes without it,"},
		},
		{
			name: "a workflow inside of itself", target: "tosca_simple_yaml_1_3",
			doc: `tosca_definitions_version: tosca_2_0
node_types: { N: {} }
service_template:
  node_templates: { n: { type: N } }
  workflows: { again: { steps: { one: { target: n, activities: [ { set_state: started }, { inline: again } ] } } } }
`,
			lost: []string{"that the workflow again runs inside of itself"},
		},
		{
			name: "a workflow's inputs that an operation asks for", target: "tosca_simple_yaml_1_3",
			doc: `tosca_definitions_version: alien_dsl_3_0_0
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
node_types:
  N:
    derived_from: tosca.nodes.Root
    interfaces: { Custom: { act: { inputs: { WHAT: { get_input: what } }, implementation: act.sh } } }
topology_template:
  node_templates: { n: { type: N } }
  workflows: { go: { inputs: { what: { type: string } }, steps: { one: { target: n, activities: [ { call_operation: Custom.act } ] } } } }
`,
			want: []string{"get_input: what"}, lost: []string{"the input what, which the topology does not have,", "the workflow's input what is passed to Custom.act"},
		},
		{
			name: "what a template exposes beside its node type", target: "tosca_2_0",
			doc: `tosca_definitions_version: alien_dsl_3_0_0
metadata: { template_name: whole, template_version: 1.0.0 }
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
topology_template:
  substitution_mappings: { node_type: tosca.nodes.Root, capabilities: { machine: [ server, host ] } }
  node_templates: { server: { type: tosca.nodes.Compute } }
`,
			want: []string{"node_type: whole"}, lost: []string{"a node type whole is derived from tosca.nodes.Root"},
		},
		{
			name: "attributes that are outputs of operations", target: "tosca_2_0",
			doc: `tosca_definitions_version: alien_dsl_3_0_0
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
node_types:
  N:
    derived_from: tosca.nodes.Root
    attributes:
      url: { get_operation_output: [ SELF, Standard, create, URL ] }
      other: { get_operation_output: [ SELF, Standard, start, URL ] }
    interfaces: { Standard: { create: { implementation: act.sh } } }
topology_template:
  node_templates: { n: { type: N } }
`,
			want: []string{"outputs:\n              URL:\n                - SELF\n                - url", "url:\n        type: string"}, lost: []string{"the function get_operation_output cannot"},
		},
		{
			name: "nodes in a circle", target: "tosca_simple_yaml_1_3",
			doc: `tosca_definitions_version: alien_dsl_3_0_0
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
topology_template:
  node_templates:
    a: { type: tosca.nodes.Root, requirements: [ { dependency: { node: b, capability: tosca.capabilities.Node, relationship: tosca.relationships.DependsOn } } ] }
    b: { type: tosca.nodes.Root, requirements: [ { dependency: { node: a, capability: tosca.capabilities.Node, relationship: tosca.relationships.DependsOn } } ] }
`,
			lost: []string{"that nodes depend on each other in a circle (a → b → a)"},
		},
		{
			name: "a blueprint", target: "tosca_simple_yaml_1_3", doc: blueprintDoc,
			want: []string{
				"derived_from: tosca.nodes.Compute", "derived_from: tosca.relationships.HostedOn", "derived_from: tosca.relationships.ConnectsTo",
				"- contained_in:", "add_target:", "Standard:", "type: App.settings", "default_instances: 2", "get_attribute:", "members:",
			},
			lost: []string{
				"the plugin's function fabric.fabric_plugin.tasks.run_task, which the operation stop calls,", "the workflow check, which is code",
				"the function merge", "the label env", "that url is a capability of the deployment", "that the groups of the policy grow scale as one",
			},
		},
		{
			name: "a blueprint in TOSCA 2.0", target: "tosca_2_0", doc: blueprintDoc,
			want: []string{"tosca_definitions_version: tosca_2_0", "$get_attribute:", "valid_capability_types:"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "app.yaml")
			for name, text := range map[string]string{file: c.doc, filepath.Join(filepath.Dir(file), "double.sh"): "#!/bin/sh\n", filepath.Join(filepath.Dir(file), "act.sh"): "#!/bin/sh\n"} {
				if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			before, after, lost, wrong, text := converted(t, file, c.target, nil)
			if before == nil {
				_, list := Load(context.Background(), Options{Path: file})
				t.Fatalf("the source does not load: %v", list)
			}
			circle := c.name == "nodes in a circle"
			if after == nil || wrong.HasErrors() != circle {
				t.Fatalf("the result does not load: %v\n%s", wrong, text)
			}
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("the result lacks %q:\n%s", want, text)
				}
			}
			for _, want := range c.lost {
				n := 0
				for _, d := range lost {
					if strings.HasPrefix(d.Message, want) {
						n++
					}
				}
				if n == 0 {
					t.Errorf("the report does not say %q:\n%v", want, lost)
				}
			}
			if differ, err := topology.SameMeaning(before, after); err != nil || c.differ != nil && !slices.Equal(differ, c.differ) && len(differ)+len(c.differ) > 0 {
				t.Errorf("different are %v (%v)", differ, err)
			}
		})
	}
}

const blueprintDoc = `tosca_definitions_version: cloudify_dsl_1_4
imports: [ cloudify/types/types.yaml, plugin:cloudify-fabric-plugin ]
inputs: { port: { type: integer, default: 8080 } }
node_types:
  App:
    derived_from: cloudify.nodes.ApplicationServer
    properties: { port: { type: integer }, settings: { default: {} }, tags: { default: {} } }
    interfaces:
      cloudify.interfaces.lifecycle:
        create: { implementation: act.sh, inputs: { PORT: { default: { get_property: [ SELF, port ] } } } }
        stop: fabric.fabric_plugin.tasks.run_task
node_templates:
  vm: { type: cloudify.nodes.Compute, instances: { deploy: 2 } }
  app:
    type: App
    properties: { port: { get_input: port }, settings: { name: x, sizes: [ 1, 2 ] }, tags: { merge: [ { a: b }, { c: d } ] } }
    relationships:
      - { type: cloudify.relationships.contained_in, target: vm }
      - type: cloudify.relationships.connected_to
        target: db
        source_interfaces:
          cloudify.interfaces.relationship_lifecycle: { establish: { implementation: act.sh, inputs: { HOST: { get_attribute: [ TARGET, address ] } } } }
  db: { type: cloudify.nodes.DBMS, relationships: [ { type: cloudify.relationships.contained_in, target: vm } ] }
groups: { all: { members: [ vm ] } }
policies: { grow: { type: cloudify.policies.scaling, targets: [ all ], properties: { default_instances: 1 } } }
outputs: { address: { value: { get_attribute: [ db, address ] } } }
capabilities: { url: { value: { concat: [ 'http://', { get_attribute: [ vm, ip ] } ] } } }
labels: { env: { values: [ test ] } }
workflows: { check: { mapping: scripts/check.py } }
`
