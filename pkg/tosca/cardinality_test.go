package tosca

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/topology"
)

const many = `tosca_definitions_version: tosca_2_0
data_types:
  Size: { derived_from: scalar, units: { B: 1, MB: 1000000 }, canonical_unit: B }
capability_types: { Feature: { properties: { slots: { type: integer, default: 3 }, memory: { type: Size, default: 8 MB } } } }
relationship_types: { Uses: {} }
node_types:
  Right: { capabilities: { feature: Feature } }
  Left: { requirements: [ { uses: { capability: Feature, relationship: Uses, count_range: [ 0, 3 ] } } ] }
service_template:
  inputs: { n: { type: integer, default: 4 } }
  node_templates:
`

func TestRequirementCounts(t *testing.T) {
	all := []string{"0", "1", "2", "3"}
	for name, c := range map[string]struct {
		left string
		want [][]string // the targets of the instances 0, 1 and 2
	}{
		"one by default":  {"count: 4, requirements: [ { uses: right } ]", [][]string{{"0"}, {"1"}, {"2"}}},
		"several":         {"count: 4, requirements: [ { uses: { node: right, count: 2 } } ]", [][]string{{"0", "1"}, {"2", "3"}, {"0", "1"}}},
		"full mesh":       {"count: 4, requirements: [ { uses: { node: right, count: { $get_input: n } } } ]", [][]string{all, all, all}},
		"matched pairs":   {"count: { $get_input: n }, requirements: [ { uses: [ right, $node_index ] } ]", [][]string{{"0"}, {"1"}, {"2"}}},
		"one in the list": {"count: 4, requirements: [ { uses: { node: [ right, 3 ] } } ]", [][]string{{"3"}, {"3"}, {"3"}}},
	} {
		t.Run(name, func(t *testing.T) {
			top, list := loadFiles(map[string]string{"app.yaml": many + "    right: { type: Right, count: { $get_input: n } }\n    left: { type: Left, " + c.left + " }\n"})
			if list.HasErrors() {
				t.Fatal(list)
			}
			r := top.NodeNamed("left").Relationships[0]
			var got [][]string
			for i := range 3 {
				got = append(got, top.Related(r, all[i], i, all, nil))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if paired := top.NodeNamed("left").ScalesWith == "right"; paired != (name == "matched pairs") {
				t.Errorf("scales with %q", top.NodeNamed("left").ScalesWith)
			}
		})
	}
}

func TestRequirementCountsAndAllocationsThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		nodes string
		want  []string
	}{
		"too many":        {"right: { type: Right }\n    left: { type: Left, requirements: [ { uses: { node: right, count: 4 } } ] }", []string{"13 ~too-many-requirements"}},
		"negative":        {"right: { type: Right }\n    left: { type: Left, requirements: [ { uses: { node: right, count: -1 } } ] }", []string{"13 value-type"}},
		"no such index":   {"right: { type: Right, count: 2 }\n    left: { type: Left, requirements: [ { uses: [ right, 2 ] } ] }", []string{"13 unknown-node"}},
		"no such slot":    {"right: { type: Right }\n    left: { type: Left, requirements: [ { uses: { node: right, allocation: { slot: 1 } } } ] }", []string{"13 unknown-property"}},
		"wrong type":      {"right: { type: Right }\n    left: { type: Left, requirements: [ { uses: { node: right, allocation: { slots: x } } } ] }", []string{"13 value-type"}},
		"more than there": {"right: { type: Right }\n    left: { type: Left, count: 2, requirements: [ { uses: { node: right, allocation: { slots: 2 } } } ] }", []string{"13 allocation"}},
		"enough together": {"right: { type: Right, count: 2 }\n    left: { type: Left, count: 3, requirements: [ { uses: { node: right, allocation: { slots: 2 } } } ] }", nil},
		"quantities":      {"right: { type: Right }\n    left: { type: Left, requirements: [ { uses: { node: right, allocation: { memory: 9000000 B } } } ] }", []string{"13 allocation"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, list := loadFiles(map[string]string{"app.yaml": many + "    " + c.nodes + "\n"})
			if diff := cmp.Diff(append([]string{}, c.want...), findings(list)); diff != "" {
				t.Error(diff, list)
			}
		})
	}
}

func TestAvailableAllocation(t *testing.T) {
	top, list := loadFiles(map[string]string{"app.yaml": many + `    right: { type: Right }
    left: { type: Left, requirements: [ { uses: { node: right, allocation: { slots: 1, memory: 6 MB } } } ] }
`})
	if len(list) > 0 {
		t.Fatal(list)
	}
	call := func(fn string, args ...any) *topology.Value {
		v := &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: fn}}
		for _, a := range args {
			if x, ok := a.(*topology.Value); ok {
				v.Call.Args = append(v.Call.Args, x)
			} else {
				v.Call.Args = append(v.Call.Args, topology.Lit(a))
			}
		}
		return v
	}
	left := func(property string) *topology.Value {
		return call("available_allocation", "right", "CAPABILITY", "feature", property)
	}
	for _, c := range []struct {
		v    *topology.Value
		want any
	}{
		{left("slots"), 2.0}, {left("memory"), "2000000 B"},
		{call("greater_or_equal", left("memory"), "2 MB"), true}, {call("greater_than", left("memory"), "2 MB"), false},
		{call("less_than", call("get_property", "right", "feature", "memory"), "10 MB"), true}, // as text it would be more
	} {
		if got, err := topology.Eval(context.Background(), topology.Scope{Topology: top}, c.v, nil); err != nil || got != c.want {
			t.Errorf("%v: %v, %v, want %v", c.v.Call, got, err, c.want)
		}
	}
}
