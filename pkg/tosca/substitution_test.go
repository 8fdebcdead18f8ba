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

// A requirement's assignments are shared out by the mappings' counts, and one can go to several requirements; what capabilities and relationships of
// the node have reaches inside (TOSCA 2.0 §15).
func TestSubstitutionMappingForms(t *testing.T) {
	types := `tosca_definitions_version: tosca_2_0
capability_types: { Service: { properties: { port: { type: integer, default: 80 } }, attributes: { url: { type: string } } } }
relationship_types: { ServedBy: { properties: { w: { type: integer, default: 5 } } } }
node_types:
  Client: { capabilities: { offers: Service }, requirements: [ { service: { capability: Service, relationship: ServedBy, count_range: [ 0, UNBOUNDED ] } } ] }
  Server: { capabilities: { service: Service } }
`
	in := `tosca_definitions_version: tosca_2_0
imports: [ types.yaml ]
node_types: { Soft: { properties: { a: { type: integer }, b: { type: integer } }, requirements: [ { service: { capability: Service, relationship: ServedBy, count_range: [ 0, UNBOUNDED ] } } ] } }
service_template:
  inputs: { weight: { type: integer, default: 1 }, port: { type: integer, default: 2 } }
  outputs: { where: { value: there } }
  substitution_mappings:
    node_type: Client
    properties: { [ RELATIONSHIP, service, 1, w ]: weight, [ CAPABILITY, offers, port ]: port }
    attributes: { [ CAPABILITY, offers, url ]: where }
    requirements:
    - [ service, 2 ]: [ soft1, service ]
    - service: [ [ soft1, service ], [ soft2, service ] ]
    - [ service, UNBOUNDED ]: [ soft2, service ]
  node_templates:
    soft1: { type: Soft, properties: { a: { $get_input: weight }, b: { $get_input: port } } }
    soft2: { type: Soft, properties: { a: 0, b: 0 } }
`
	app := `tosca_definitions_version: tosca_2_0
imports: [ types.yaml, in.yaml ]
service_template:
  node_templates:
    s: { type: Server }
    c:
      type: Client
      directives: [ substitute ]
      capabilities: { offers: { properties: { port: 8080 } } }
      requirements: [ { service: s }, { service: { node: s, relationship: { properties: { w: 9 } } } }, { service: s }, { service: s }, { service: s } ]
`
	top, list := loadFiles(map[string]string{"types.yaml": types, "in.yaml": in, "app.yaml": app})
	if len(list) > 0 {
		t.Fatal(list)
	}
	if got := [2]int{len(top.NodeNamed("c--soft1").Relationships), len(top.NodeNamed("c--soft2").Relationships)}; got != [2]int{3, 3} {
		t.Errorf("assignments of the inner nodes: %v", got)
	}
	for node, want := range map[string][2]any{"c--soft1": {int64(9), int64(8080)}} {
		for i, p := range []string{"a", "b"} {
			got, err := topology.Eval(context.Background(), topology.Scope{Topology: top, Node: top.NodeNamed(node)}, top.NodeNamed(node).Properties.Get(p), nil)
			if err != nil || got != want[i] {
				t.Errorf("%s.%s is %v, %v", node, p, got, err)
			}
		}
	}
	url := top.NodeNamed("c").Capability("offers").Attributes.Get("url")
	if got, err := topology.Eval(context.Background(), topology.Scope{Topology: top, Node: top.NodeNamed("c")}, url, nil); err != nil || got != "there" {
		t.Errorf("the capability's attribute is %v, %v", got, err)
	}
	for from, to := range map[string]string{
		"[ service, 2 ]: [ soft1": "[ service, two ]: [ soft1", "[ CAPABILITY, offers, port ]": "[ CAPABILITY, offer, port ]", "offers, url ]": "offers, uri ]",
		"[ RELATIONSHIP, service, 1, w ]": "[ WHERE, service, w ]", "[ soft2, service ] ]": "[ soft3, service ] ]",
	} {
		_, list := loadFiles(map[string]string{"types.yaml": types, "app.yaml": strings.Replace(in, from, to, 1)})
		if len(list) != 1 || !list.HasErrors() {
			t.Errorf("%s: %v", to, list)
		}
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
	in, app := `tosca_definitions_version: tosca_simple_yaml_1_3
node_types: { my.Db: { derived_from: tosca.nodes.Root, interfaces: { Ops: { type: my.Ops } } } }
interface_types: { my.Ops: { operations: { backup: {} } } }
topology_template:
  node_templates:
    soft: { type: SoftwareComponent, requirements: [ { host: vm } ] }
    vm: { type: Compute }
  workflows: { save: { steps: { s: { target: vm, activities: [ { set_state: saved } ] } } } }
  substitution_mappings: { node_type: my.Db, interfaces: { Ops: { backup: save } } }
`, `tosca_definitions_version: tosca_simple_yaml_1_3
imports: [ in.yaml ]
topology_template:
  node_templates: { db: { type: my.Db } }
  workflows:
    all:
      steps:
        up: { target: db, activities: [ { delegate: install } ], on_success: [ save ] }
        save: { target: db, activities: [ { call_operation: Ops.backup } ], on_success: [ down ] }
        down: { target: db, activities: [ { delegate: uninstall } ] }
`
	top, list := loadFiles(map[string]string{"in.yaml": in, "app.yaml": app})
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
	if _, list := loadFiles(map[string]string{"in.yaml": in, "app.yaml": strings.Replace(app, "call_operation: Ops.backup", "set_state: saved", 1)}); len(list) != 1 || list[0].Code != "uncalled-mapping" {
		t.Errorf("nothing calls the mapped operation: %v", list)
	}
	if w := top.Workflows["db--save"]; w == nil || w.Steps[0].Target != "db--vm" {
		t.Errorf("the template's workflow: %+v", w)
	}
}

// Alien4Cloud makes a node type of a topology with substitution_mappings, called like its archive.
func TestCompositeTypes(t *testing.T) {
	docs := map[string]string{
		"app.yaml": `tosca_definitions_version: alien_dsl_2_0_0
metadata: { template_name: app, template_version: 1.0.0, template_author: me }
imports: [ "tosca-normative-types:1.0.0-ALIEN20", databases.yaml ]
topology_template:
  node_templates:
    dbs: { type: my.Databases, properties: { memory: 8 GB } }
    app: { type: tosca.nodes.Root, requirements: [ { dependency: { node: dbs, capability: tosca.capabilities.Node } } ] }
    db: { type: tosca.nodes.Database, properties: { name: a, user: b, password: c }, requirements: [ { host: { node: dbs, capability: tosca.capabilities.Container, relationship: tosca.relationships.HostedOn } } ] }
  outputs: { address: { value: { get_attribute: [ dbs, address ] } } }
`,
		"databases.yaml": `tosca_definitions_version: alien_dsl_2_0_0
metadata: { template_name: my.Databases, template_version: 1.0.0, template_author: me }
imports: [ "tosca-normative-types:1.0.0-ALIEN20" ]
topology_template:
  inputs: { memory: { type: string, default: 4 GB } }
  node_templates:
    vm: { type: tosca.nodes.Compute, capabilities: { host: { properties: { mem_size: { get_input: memory } } } } }
    dbms: { type: tosca.nodes.DBMS, requirements: [ { host: { node: vm, capability: tosca.capabilities.Container, relationship: tosca.relationships.HostedOn } } ] }
  outputs: { address: { value: { get_attribute: [ vm, ip_address ] } } }
  substitution_mappings: { node_type: tosca.nodes.DBMS, capabilities: { host: [ dbms, host ], feature: [ dbms, feature ] } }
`,
	}
	top, list := loadFiles(docs)
	if len(list) > 0 {
		t.Fatal(list)
	}
	want := []string{"app -dependency-whole→ dbs", "app -dependency→ dbs--dbms", "db -host-whole→ dbs", "db -host→ dbs--dbms", "dbs -substitution→ dbs--dbms", "dbs--dbms -host→ dbs--vm"}
	if diff := cmp.Diff(want, graph(top)); diff != "" {
		t.Error(diff)
	}
	got, err := topology.Eval(t.Context(), topology.Scope{Topology: top, Node: top.NodeNamed("dbs--vm")}, top.NodeNamed("dbs--vm").Capability("host").Properties.Get("mem_size"), nil)
	if err != nil || got != "8 GB" {
		t.Errorf("the memory is %v (%v)", got, err)
	}
	docs["app.yaml"] = strings.Replace(docs["app.yaml"], "memory: 8 GB", "memry: 8 GB", 1)
	if _, list := loadFiles(docs); !strings.Contains(list.Err().Error(), "memory") {
		t.Error(list)
	}
}
