package tosca

import (
	"context"
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
