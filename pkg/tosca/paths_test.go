package tosca

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/topology"
)

// Paths of TOSCA 2.0 §10.3: instances by index, relationships by index and backwards, and ALL of them.
func TestPaths(t *testing.T) {
	top, list := loadFiles(map[string]string{"app.yaml": `tosca_definitions_version: tosca_2_0
capability_types: { Service: { properties: { port: { type: integer, default: 80 } } } }
relationship_types: { ServedBy: { properties: { w: { type: integer, default: 5 } } } }
node_types:
  Client: { requirements: [ { service: { capability: Service, relationship: ServedBy, count_range: [ 0, UNBOUNDED ] } } ] }
  Server: { properties: { n: { type: integer } }, capabilities: { service: { type: Service } } }
service_template:
  node_templates:
    s1: { type: Server, properties: { n: 1 } }
    s2: { type: Server, count: 3, properties: { n: { $sum: [ $node_index, 10 ] } } }
    c: { type: Client, requirements: [ { service: s1 }, { service: { node: [ s2, 2 ] } } ] }
    d: { type: Client, requirements: [ { service: s1 } ] }
  outputs:
    second: { value: { $get_property: [ c, RELATIONSHIP, service, 1, TARGET, port ] } }
    ports: { value: { $get_property: [ c, RELATIONSHIP, service, ALL, CAPABILITY, port ] } }
    back: { value: { $get_property: [ s1, CAPABILITY, service, RELATIONSHIP, 1, w ] } }
    around: { value: { $get_property: [ s1, CAPABILITY, service, RELATIONSHIP, ALL, SOURCE, RELATIONSHIP, service, ALL, CAPABILITY, port ] } }
    indexed: { value: { $get_property: [ s2, 1, n ] } }
    none: { value: { $get_property: [ s2, 0, CAPABILITY, service, RELATIONSHIP, 1, w ] } }
    unknown: { value: { $get_property: [ s2, ALL, n ] } }
`})
	if diff := cmp.Diff([]string{"14 unknown-property"}, findings(list)); diff != "" {
		t.Fatal(diff, list)
	}
	got := map[string]any{}
	for _, o := range top.Outputs {
		v, err := topology.Eval(context.Background(), topology.Scope{Topology: top}, o.Value, nil)
		if err != nil {
			v = err.Error()
		}
		if u, ok := v.(topology.Unknown); ok {
			v = u.Refs
		}
		got[o.Name] = v
	}
	delete(got, "second")
	want := map[string]any{
		"ports": []any{int64(80), int64(80)}, "back": int64(5), "around": []any{int64(80), int64(80), int64(80)}, "indexed": int64(11),
		"none": "app.yaml:19:20: no relationship[1] ends at s2.service", "unknown": []string{"instances of s2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPathsBeyondTheLast(t *testing.T) {
	_, list := loadFiles(map[string]string{"app.yaml": `tosca_definitions_version: tosca_2_0
node_types: { Server: { properties: { n: { type: integer, default: 1 } } } }
service_template:
  node_templates: { s: { type: Server, count: 3 }, one: { type: Server } }
  outputs:
    a: { value: { $get_property: [ s, 2, n ] } }
    b: { value: { $get_property: [ s, 3, n ] } }
    c: { value: { $get_property: [ one, 0, m ] } }
`})
	if diff := cmp.Diff([]string{"7 unknown-node", "8 unknown-property"}, findings(list)); diff != "" {
		t.Error(diff, list)
	}
}

// Which nodes of other deployments a node with the directive select can stand for.
func TestSelection(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"1.3": {`tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    s:
      type: Compute
      directives: [ select ]
      node_filter: { capabilities: [ { host: { properties: [ { num_cpus: { in_range: [ 2, 4 ] } }, { mem_size: { greater_or_equal: 2 GB } } ] } }, { tosca.capabilities.OperatingSystem: { properties: [ { type: linux } ] } } ] }
    small: { type: Compute, capabilities: { host: { properties: { num_cpus: 1, mem_size: 4 GB } }, os: { properties: { type: linux } } } }
    right: { type: Compute, capabilities: { host: { properties: { num_cpus: 2, mem_size: 2048 MB } }, os: { properties: { type: linux } } } }
    bsd: { type: Compute, capabilities: { host: { properties: { num_cpus: 2, mem_size: 2 GB } }, os: { properties: { type: bsd } } } }
    other: { type: SoftwareComponent, requirements: [ host: right ] }
`, []string{"right"}},
		"2.0": {`tosca_definitions_version: tosca_2_0
capability_types: { C: { properties: { n: { type: integer } } } }
node_types: { N: { capabilities: { c: C } }, M: { derived_from: N } }
service_template:
  node_templates:
    s: { type: N, directives: [ select ], node_filter: { $greater_than: [ { $get_property: [ SELF, CAPABILITY, c, n ] }, 3 ] } }
    a: { type: N, capabilities: { c: { properties: { n: 3 } } } }
    b: { type: M, capabilities: { c: { properties: { n: 4 } } } }
`, []string{"b"}},
		"without a filter": {`tosca_definitions_version: tosca_2_0
node_types: { N: {} }
service_template: { node_templates: { s: { type: N, directives: [ select, create ] }, a: { type: N } } }
`, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			top, list := loadFiles(map[string]string{"app.yaml": c.text})
			if list.HasErrors() {
				t.Fatal(list)
			}
			s := top.NodeNamed("s")
			if s.Select == nil || s.Select.Else != strings.Contains(c.text, "select, create") {
				t.Fatalf("%+v", s.Select)
			}
			var got []string
			for _, n := range top.Nodes {
				if s.Select.Selects(context.Background(), topology.Scope{Topology: top, Node: n}, s.Type, nil) {
					got = append(got, n.Name)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
