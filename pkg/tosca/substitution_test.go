package tosca

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/topology"
)

// graph lists the relationships of a topology as "source -requirement→ target".
func graph(top *topology.Topology) []string {
	var out []string
	for _, n := range top.Nodes {
		for _, r := range n.Relationships {
			out = append(out, n.Name+" -"+r.Requirement+"→ "+r.Target)
		}
	}
	slices.Sort(out)
	return out
}

const boxes = `tosca_definitions_version: tosca_2_0
capability_types: { Cap: { properties: { speed: { type: integer, default: 1 } } }, Other: {} }
relationship_types: { Uses: {} }
node_types:
  Box:
    properties: { size: { type: integer, default: 1 } }
    attributes: { address: { type: string } }
    capabilities: { cap: Cap }
    requirements: [ { peer: { capability: Cap, relationship: Uses, count_range: [ 0, UNBOUNDED ] } } ]
  Leaf:
    properties: { weight: { type: integer, default: 0 } }
    attributes: { address: { type: string } }
    capabilities: { in: Cap }
    requirements: [ { out: { capability: Cap, relationship: Uses, count_range: [ 0, UNBOUNDED ] } } ]
`

// leaf is a template for Box with one Leaf.
const leaf = `tosca_definitions_version: tosca_2_0
imports: [ boxes.yaml ]
service_template:
  inputs: { w: { type: integer, validation: { $less_than: [ $value, 100 ] } } }
  node_templates:
    l: { type: Leaf, properties: { weight: { $get_input: w } } }
  substitution_mappings:
    node_type: Box
    substitution_filter: { $less_than: [ { $get_property: [ SELF, size ] }, 10 ] }
    properties: { size: w }
    attributes: { address: [ l, address ] }
    capabilities: { cap: [ l, in ] }
    requirements: [ { peer: [ l, out ] } ]
`

// big is a template for boxes of size 10 and more: two boxes in a row.
const big = `tosca_definitions_version: tosca_2_0
imports: [ boxes.yaml, leaf.yaml ]
service_template:
  node_templates:
    front: { type: Box, directives: [ substitute ], requirements: [ { peer: back } ] }
    back: { type: Box, directives: [ substitute ] }
  substitution_mappings:
    node_type: Box
    substitution_filter: { $greater_or_equal: [ { $get_property: [ SELF, size ] }, 10 ] }
    capabilities: { cap: [ front, cap ] }
    requirements: [ { peer: [ front, peer ] }, { peer: [ back, peer ] } ]
`

func TestSubstitutionNestsAndFilters(t *testing.T) {
	top, list := loadFiles(map[string]string{"boxes.yaml": boxes, "leaf.yaml": leaf, "big.yaml": big, "app.yaml": `tosca_definitions_version: tosca_2_0
imports: [ boxes.yaml, leaf.yaml, big.yaml ]
service_template:
  node_templates:
    user: { type: Leaf, requirements: [ { out: large } ] }
    large: { type: Box, directives: [ substitute ], properties: { size: 12 }, requirements: [ { peer: small }, { peer: end } ] }
    small: { type: Box, directives: [ substitute ], properties: { size: 3 } }
    end: { type: Leaf }
`})
	if len(list) > 0 {
		t.Fatal(list)
	}
	want := []string{
		"large -peer→ end", "large -peer→ small--l", "large -peer-whole→ small", "large -substitution→ large--front",
		"large--back -substitution→ large--back--l", "large--back--l -out→ end",
		"large--front -peer→ large--back--l", "large--front -peer-whole→ large--back", "large--front -substitution→ large--front--l",
		"large--front--l -out→ large--back--l", "large--front--l -out→ small--l", "large--front--l -out-whole→ large--back", "large--front--l -out-whole→ small",
		"small -substitution→ small--l",
		"user -out→ large--front--l", "user -out-whole→ large",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, graph(top)); diff != "" {
		t.Error(diff)
	}
	v, err := topology.Eval(context.Background(), topology.Scope{Topology: top}, top.NodeNamed("small--l").Properties.Get("weight"), nil)
	if err != nil || v != int64(3) {
		t.Errorf("the input is the node's property: %v, %v", v, err)
	}
	if got := top.NodeNamed("small").Attributes.Get("address"); got == nil || got.Kind != topology.CallValue || got.Call.Args[0].Lit != "small--l" {
		t.Errorf("the attribute is the inner node's: %+v", got)
	}
}

func TestSubstitutionMistakes(t *testing.T) {
	files := map[string]string{"boxes.yaml": boxes, "leaf.yaml": leaf, "self.yaml": `tosca_definitions_version: tosca_2_0
imports: [ boxes.yaml ]
service_template:
  node_templates: { again: { type: Box, directives: [ substitute ] } }
  substitution_mappings: { node_type: Box }
`}
	for name, c := range map[string]struct {
		imports, node string
		want          []string
		hint          string
	}{
		"none":                {"boxes.yaml", "{ type: Box, directives: [ substitute ] }", []string{"4 ~no-substitution"}, "substitution_mappings have node_type: Box"},
		"refused by filter":   {"leaf.yaml, boxes.yaml", "{ type: Box, directives: [ substitute ], properties: { size: 10 } }", []string{"4 ~no-substitution"}, "substitution_filter"},
		"value of an input":   {"leaf.yaml, boxes.yaml", "{ type: Box, directives: [ substitute ], properties: { size: 9 } }", nil, ""},
		"cycle":               {"self.yaml, boxes.yaml", "{ type: Box, directives: [ substitute ] }", []string{"4 substitution-cycle"}, ""},
		"several":             {"leaf.yaml, two.yaml, boxes.yaml", "{ type: Box, directives: [ substitute ] }", []string{"4 ~ambiguous-substitution"}, ""},
		"2.0 asks explicitly": {"leaf.yaml, boxes.yaml", "{ type: Box }", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files["two.yaml"] = leaf
			files["app.yaml"] = "tosca_definitions_version: tosca_2_0\nimports: [ " + c.imports + " ]\nservice_template: { node_templates: {\n  b: " + c.node + "\n} }\n"
			_, list := loadFiles(files)
			if diff := cmp.Diff(append([]string{}, c.want...), findings(list)); diff != "" {
				t.Error(diff, list)
			}
			if c.hint != "" && !strings.Contains(list[0].Hint, c.hint) {
				t.Errorf("hint %q", list[0].Hint)
			}
		})
	}
}

// Templates that use each other several times would make more nodes than anything could hold.
func TestSubstitutionIsBounded(t *testing.T) {
	files := map[string]string{"types.yaml": "tosca_definitions_version: tosca_2_0\nnode_types: { T0: {} }\n"}
	for i := range 20 {
		files["types.yaml"] = strings.Replace(files["types.yaml"], " T0", fmt.Sprintf(" T%d: {}, T0", i+1), 1)
		files[fmt.Sprintf("t%d.yaml", i)] = fmt.Sprintf(`tosca_definitions_version: tosca_2_0
imports: [ types.yaml, t%[2]d.yaml ]
service_template:
  node_templates: { a: { type: T%[2]d, directives: [ substitute ] }, b: { type: T%[2]d, directives: [ substitute ] }, c: { type: T%[2]d, directives: [ substitute ] } }
  substitution_mappings: { node_type: T%[1]d }
`, i, i+1)
	}
	files["t20.yaml"] = "tosca_definitions_version: tosca_2_0\nimports: [ types.yaml ]\nservice_template: { node_templates: {}, substitution_mappings: { node_type: T20 } }\n"
	files["app.yaml"] = "tosca_definitions_version: tosca_2_0\nimports: [ types.yaml, t0.yaml ]\nservice_template: { node_templates: { a: { type: T0, directives: [ substitute ] } } }\n"
	_, list := loadFiles(files)
	if codes := findings(list); len(codes) != 1 || !strings.Contains(codes[0], "substitution-cycle") {
		t.Error(list)
	}
}

func TestSubstitutionChecksInputs(t *testing.T) {
	strict := strings.Replace(leaf, "$less_than: [ $value, 100 ]", "$less_than: [ $value, 5 ]", 1)
	_, list := loadFiles(map[string]string{"boxes.yaml": boxes, "leaf.yaml": strict, "app.yaml": `tosca_definitions_version: tosca_2_0
imports: [ boxes.yaml, leaf.yaml ]
service_template:
  node_templates:
    b: { type: Box, directives: [ substitute ], properties: { size: 7 } }
`})
	if diff := cmp.Diff([]string{"5 constraint"}, findings(list)); diff != "" {
		t.Fatal(diff, list)
	}
	if len(list[0].Related) == 0 || !strings.Contains(list[0].Message, `the input "w"`) {
		t.Errorf("%+v", list[0])
	}
}

// A requirement that is mapped to a node with the directive select lets the requirement's target take that node's place.
func TestSubstitutionSelectableNode(t *testing.T) {
	top, list := loadFiles(map[string]string{"boxes.yaml": boxes, "in.yaml": `tosca_definitions_version: tosca_2_0
imports: [ boxes.yaml ]
service_template:
  node_templates:
    a: { type: Leaf, requirements: [ { out: there } ] }
    there: { type: Leaf, directives: [ select ] }
  substitution_mappings: { node_type: Box, requirements: [ { peer: there } ], capabilities: { cap: [ a, in ] } }
`, "app.yaml": `tosca_definitions_version: tosca_2_0
imports: [ boxes.yaml, in.yaml ]
service_template:
  node_templates:
    b: { type: Box, directives: [ substitute ], requirements: [ { peer: outside } ] }
    outside: { type: Leaf }
`})
	if len(list) > 0 {
		t.Fatal(list)
	}
	want := []string{"b -peer→ outside", "b -substitution→ b--a", "b--a -out→ outside"}
	if diff := cmp.Diff(want, graph(top)); diff != "" {
		t.Error(diff)
	}
}

// TOSCA 1.x needs no directive for a type that nothing implements, and templates of the import path serve nodes that ask for one.
func TestSubstitutionWithoutImport(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const types = "node_types: { my.Db: { derived_from: tosca.nodes.Root } }\n"
	template := "tosca_definitions_version: tosca_simple_yaml_1_3\nmetadata: { template_name: db, template_version: 1.0.0 }\n" + types +
		"topology_template: { node_templates: { vm: { type: Compute } }, substitution_mappings: { node_type: my.Db } }\n"
	write("search/db.yaml", template)
	write("app.yaml", "tosca_definitions_version: tosca_simple_yaml_1_3\n"+types+
		"topology_template: { node_templates: { db: { type: my.Db, directives: [ substitutable ] } } }\n")
	write("here/db.yaml", template)
	write("here/app.yaml", "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ db.yaml ]\ntopology_template: { node_templates: { db: { type: my.Db } } }\n")
	for _, o := range []Options{
		{Path: filepath.Join(dir, "app.yaml"), ImportPath: []string{filepath.Join(dir, "search")}},
		{Path: filepath.Join(dir, "here/app.yaml")},
	} {
		top, list := Load(context.Background(), o)
		if len(list) > 0 {
			t.Fatal(o.Path, list)
		}
		if diff := cmp.Diff([]string{"db--vm", "db"}, top.NodeNames()); diff != "" {
			t.Error(o.Path, diff)
		}
	}
}

// Steps that concern the substituted node concern what is inside of it: a mapped operation is the template's workflow, delegation goes to its
// nodes in their order.
func TestSubstitutionInWorkflows(t *testing.T) {
	top, list := loadFiles(map[string]string{"in.yaml": `tosca_definitions_version: tosca_simple_yaml_1_3
node_types: { my.Db: { derived_from: tosca.nodes.Root, interfaces: { Ops: { type: my.Ops } } } }
interface_types: { my.Ops: { operations: { backup: {} } } }
topology_template:
  node_templates:
    soft: { type: SoftwareComponent, requirements: [ { host: vm } ] }
    vm: { type: Compute }
  workflows: { save: { steps: { s: { target: vm, activities: [ { set_state: saved } ] } } } }
  substitution_mappings: { node_type: my.Db, interfaces: { Ops: { backup: save } } }
`, "app.yaml": `tosca_definitions_version: tosca_simple_yaml_1_3
imports: [ in.yaml ]
topology_template:
  node_templates: { db: { type: my.Db } }
  workflows:
    all:
      steps:
        up: { target: db, activities: [ { delegate: install } ], on_success: [ save ] }
        save: { target: db, activities: [ { call_operation: Ops.backup } ], on_success: [ down ] }
        down: { target: db, activities: [ { delegate: uninstall } ] }
`})
	if len(list) > 0 {
		t.Fatal(list)
	}
	var got []string
	for _, s := range top.Workflows["all"].Steps {
		got = append(got, strings.Join([]string{s.Name, s.Target, s.Activities[0].Kind, s.Activities[0].Name, strings.Join(s.OnSuccess, " ")}, "|"))
	}
	want := []string{
		"up|db--vm|delegate|install|up--db--soft", "up--db--soft|db--soft|delegate|install|save", "save|db|inline|db--save|down",
		"down|db--soft|delegate|uninstall|down--db--vm", "down--db--vm|db--vm|delegate|uninstall|",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w := top.Workflows["db--save"]; w == nil || w.Steps[0].Target != "db--vm" {
		t.Errorf("the template's workflow: %+v", w)
	}
}
