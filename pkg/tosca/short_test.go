package tosca

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// shortForm is a place where a document may say the same thing shorter: in the versions of TOSCA ("10-13"), of Alien4Cloud ("12-") or of Cloudify, the
// short and the long lines stand where the base has @.
type shortForm struct {
	name, tosca, a4c, cloudify string
	base, short, long          string
}

// types20 is what documents of TOSCA 2.0, which has no types of its own, need in these tests.
const types20 = `
interface_types: { Standard: { operations: { create: {}, configure: {} } } }
capability_types: { C: { properties: { a: { type: string, required: false } } } }
relationship_types: { R: {} }
artifact_types: { A: { file_ext: [ sh ] } }
node_types:
  T: { capabilities: { c: { type: C } } }
`

const types1x = `
capability_types: { C: { derived_from: tosca.capabilities.Root, properties: { a: { type: string, required: false } } } }
relationship_types: { R: { derived_from: tosca.relationships.DependsOn } }
node_types:
  T: { derived_from: tosca.nodes.Root, capabilities: { c: { type: C } } }
`

var shortForms = []shortForm{
	{"import", "10-13", "12-", "", "imports:\n@\nTOPOLOGY: { node_templates: { n: { type: X } } }", "  - x.yaml", "  - { file: x.yaml }"},
	{"import", "20-", "", "", "imports:\n@\nTOPOLOGY: { node_templates: { n: { type: X } } }", "  - x.yaml", "  - { url: x.yaml }"},
	{"import by name", "10-13", "", "", "imports:\n@\nTOPOLOGY: { node_templates: { n: { type: X } } }", "  - some_name: x.yaml", "  - some_name: { file: x.yaml }"},
	{"repository", "10-", "", "", "repositories:\n@\nTYPES  N: { artifacts: { a: { type: AR, file: y, repository: r } } }\nTOPOLOGY: { node_templates: { n: { type: N } } }", "  r: https://example.org", "  r: { url: https://example.org }"},
	{"capability definition", "10-", "12-", "", "TYPES  N:\n    capabilities:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "      x: C", "      x: { type: C }"},
	{"requirement definition", "10-13", "13-", "", "TYPES  N:\n    requirements:\n@\nTOPOLOGY: { node_templates: { t: { type: T }, n: { type: N, requirements: [ q: t ] } } }", "      - q: C", "      - q: { capability: C }"},
	{"relationship of a requirement definition", "10-", "13-", "", "TYPES  N:\n    requirements:\n      - q:\n          capability: C\n@\nTOPOLOGY: { node_templates: { t: { type: T }, n: { type: N, requirements: [ q: t ] } } }", "          relationship: R", "          relationship: { type: R }"},
	{"requirement assignment", "10-", "12-", "", "TYPES  N: { requirements: [ q: { capability: C, relationship: R } ] }\nTOPOLOGY:\n  node_templates:\n    t: { type: T }\n    n:\n      type: N\n      requirements:\n@", "        - q: t", "        - q: { node: t }"},
	{"relationship of a requirement assignment", "10-", "", "", "TYPES  N: { requirements: [ q: { capability: C, relationship: R } ] }\nTOPOLOGY:\n  node_templates:\n    t: { type: T }\n    n:\n      type: N\n      requirements:\n        - q:\n            node: t\n@", "            relationship: R", "            relationship: { type: R }"},
	{"operation", "10-", "12-", "", "TYPES  N:\n    interfaces:\n      Standard:\nOPS\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "          create: a.sh", "          create: { implementation: a.sh }"},
	{"implementation", "10-", "12-", "", "TYPES  N:\n    interfaces:\n      Standard:\nOPS\n          create:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "            implementation: a.sh", "            implementation: { primary: a.sh }"},
	{"implementation as an artifact", "13-", "", "", "TYPES  N:\n    interfaces:\n      Standard:\nOPS\n          create:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "            implementation: { primary: { file: a.sh, type: AR } }", "            implementation: { file: a.sh, type: AR }"},
	{"operation of a template", "10-", "12-", "", "TYPES  N: { interfaces: { Standard: { STANDARD } } }\nTOPOLOGY:\n  node_templates:\n    n:\n      type: N\n      interfaces:\n        Standard:\nOPS\n@", "          create: a.sh", "          create: { implementation: a.sh }"},
	{"artifact", "10-13", "", "", "TYPES  N:\n    artifacts:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "      a: a.sh", "      a: { file: a.sh }"},
	{"entry schema", "10-", "12-", "", "TYPES  N:\n    properties:\n      p:\n        type: list\n@\nTOPOLOGY: { node_templates: { n: { type: N, properties: { p: [ a ] } } } }", "        entry_schema: string", "        entry_schema: { type: string }"},
	{"key schema", "13-", "", "", "TYPES  N:\n    properties:\n      p:\n        type: map\n        entry_schema: string\n@\nTOPOLOGY: { node_templates: { n: { type: N, properties: { p: { a: b } } } } }", "        key_schema: string", "        key_schema: { type: string }"},
	{"function with one argument", "10-13", "12-", "", "TYPES  N: { properties: { p: { type: string } } }\nTOPOLOGY:\n  inputs: { i: { type: string } }\n  node_templates:\n    n:\n      type: N\n      properties:\n@", "        p: { get_input: i }", "        p: { get_input: [ i ] }"},
	{"property of a node filter", "10-13", "", "", "TYPES  N: { requirements: [ q: { capability: C, relationship: R } ] }\nTOPOLOGY:\n  node_templates:\n    t: { type: T, capabilities: { c: { properties: { a: x } } } }\n    n:\n      type: N\n      requirements:\n        - q:\n            node_filter:\n              capabilities:\n                - c:\n                    properties:\n@", "                      - a: x", "                      - a: { equal: x }"},
	{"call of an operation", "11-", "20-", "", "TYPES  N: { interfaces: { Standard: { STANDARD } } }\nTOPOLOGY:\n  node_templates: { n: { type: N } }\n  workflows:\n    w:\n      steps:\n        s:\n          target: n\n          activities:\n@", "            - call_operation: Standard.create", "            - call_operation: { operation: Standard.create }"},
	{"inlined workflow", "13-", "", "", "TYPES  N: { interfaces: { Standard: { STANDARD } } }\nTOPOLOGY:\n  node_templates: { n: { type: N } }\n  workflows:\n    v: { steps: { s: { target: n, activities: [ set_state: started ] } } }\n    w:\n      steps:\n        s:\n          target: n\n          activities:\n@", "            - inline: v", "            - inline: { workflow: v }"},
	{"delegated workflow", "13-", "", "", "TYPES  N: { interfaces: { Standard: { STANDARD } } }\nTOPOLOGY:\n  node_templates: { n: { type: N } }\n  workflows:\n    w:\n      steps:\n        s:\n          target: n\n          activities:\n@", "            - delegate: deploy", "            - delegate: { workflow: deploy }"},
	{"mapping of a capability", "13", "", "", "TYPES  N: { capabilities: { c: { type: C } } }\nTOPOLOGY:\n  node_templates: { t: { type: T } }\n  substitution_mappings:\n    node_type: N\n    capabilities:\n@", "      c: [ t, c ]", "      c: { mapping: [ t, c ] }"},
	{"mapping of a property", "12-13", "", "", "TYPES  N: { properties: { p: { type: string } } }\nTOPOLOGY:\n  inputs: { i: { type: string } }\n  node_templates: { t: { type: T } }\n  substitution_mappings:\n    node_type: N\n    properties:\n@", "      p: [ i ]", "      p: { mapping: [ i ] }"},
	{"property", "20-", "", "", "TYPES  N:\n    properties:\n@\nTOPOLOGY: { node_templates: { n: { type: N, properties: { p: a } } } }", "      p: string", "      p: { type: string }"},
	{"fixed value of a refined property", "20-", "", "", "TYPES  M: { properties: { p: { type: string } } }\n  N:\n    derived_from: M\n    properties:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "      p: fixed", "      p: { value: fixed }"},

	{"artifacts as a list", "", "12-", "", "TYPES  N:\n    artifacts:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "      - a: { file: a.sh, type: tosca.artifacts.File }", "      a: { file: a.sh, type: tosca.artifacts.File }"},
	{"artifact with its type beside it", "", "12-", "", "TYPES  N:\n    artifacts:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "      - a: a.sh\n        type: tosca.artifacts.File", "      - a: { file: a.sh, type: tosca.artifacts.File }"},
	{"capabilities as a list", "", "12-", "", "TYPES  N:\n    capabilities:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "      - x: C", "      x: { type: C }"},
	{"requirement with its keynames beside it", "", "12-", "", "TYPES  N:\n    requirements:\n@\nTOPOLOGY: { node_templates: { t: { type: T }, n: { type: N, requirements: [ q: t ] } } }", "      - q: C\n        relationship: R\n        occurrences: [ 0, 2 ]", "      - q: { capability: C, relationship: R, occurrences: [ 0, 2 ] }"},
	{"one activity", "", "13-", "", "TYPES  N: { interfaces: { Standard: { STANDARD } } }\nTOPOLOGY:\n  node_templates: { n: { type: N } }\n  workflows:\n    w:\n      steps:\n        t: { target: n, activities: [ set_state: started ] }\n        s:\n@", "          node: n\n          activity: { call_operation: Standard.create }\n          on-success: [ t ]", "          target: n\n          activities: [ call_operation: Standard.create ]\n          on_success: [ t ]"},
	{"input beside inputs", "", "12-", "", "TYPES  N:\n    interfaces:\n      Standard:\n        create:\n          implementation: a.sh\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "          input: { a: 1 }", "          inputs: { a: 1 }"},
	{"interface by its full name", "10-13", "12-", "", "TYPES  N:\n    interfaces:\n@\nTOPOLOGY: { node_templates: { n: { type: N } } }", "      Standard: { create: a.sh }", "      tosca.interfaces.node.lifecycle.Standard: { create: a.sh }"},
	{"type without its prefix", "10-13", "", "", "TOPOLOGY:\n  node_templates:\n@", "    c: { type: Compute }", "    c: { type: tosca.nodes.Compute }"},
	{"type with a short prefix", "10-13", "", "", "TOPOLOGY:\n  node_templates:\n@", "    c: { type: tosca:Compute }", "    c: { type: tosca.nodes.Compute }"},

	{"operation", "", "", "10-", "node_templates:\n  n:\n    type: cloudify.nodes.Compute\n    interfaces:\n      cloudify.interfaces.lifecycle:\n@", "        create: a.sh", "        create: { implementation: a.sh }"},
	{"workflow", "", "", "10-", "workflows:\n@", "  w: a.py", "  w: { mapping: a.py }"},
	{"instances", "", "", "13-", "node_templates:\n  n:\n    type: cloudify.nodes.Compute\n@", "    instances: { deploy: 3 }", "    capabilities: { scalable: { properties: { default_instances: 3 } } }"},
	{"function with one argument", "", "", "10-", "inputs: { i: {} }\noutputs:\n@", "  o: { value: { get_input: i } }", "  o: { value: { get_input: [ i ] } }"},
}

// Each short form means what its long form means.
func TestShortForms(t *testing.T) {
	for _, f := range shortForms {
		for _, d := range append(spoken, cfySpoken...) {
			in := f.tosca
			switch {
			case strings.HasPrefix(d.version, "cloudify"):
				in = f.cloudify
			case d.a4c:
				in = f.a4c
			}
			if !has(in, d.level) {
				continue
			}
			t.Run(f.name+"/"+d.version, func(t *testing.T) {
				short, long := f.dump(t, d.version, f.short), f.dump(t, d.version, f.long)
				if diff := cmp.Diff(long, short); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

var cfySpoken = []struct {
	version string
	level   int
	a4c     bool
}{{"cloudify_dsl_1_0", 10, false}, {"cloudify_dsl_1_3", 13, false}, {"cloudify_dsl_1_5", 15, false}}

func (f shortForm) dump(t *testing.T, version, lines string) string {
	t.Helper()
	topologySection, types, artifact, standard, ops := "topology_template", strings.TrimPrefix(types1x, "\n"), "tosca.artifacts.File", "create: a.sh", ""
	head, x := "", "node_types: { X: {} }\n"
	switch {
	case version == "tosca_2_0":
		topologySection, types, artifact, standard, ops = "service_template", strings.TrimPrefix(types20, "\n"), "A", "type: Standard, operations: { create: { implementation: a.sh } }", "        type: Standard\n        operations:"
	case strings.HasPrefix(version, "alien"):
		head = "imports: [ 'tosca-normative-types:1.0.0-ALIEN20' ]\n"
	case strings.HasPrefix(version, "cloudify"):
		head = "imports: [ cloudify/types/types.yaml ]\n"
	}
	body := f.base
	if strings.HasPrefix(body, "imports:") {
		head = ""
	}
	body = strings.NewReplacer("TYPES", types, "TOPOLOGY", topologySection, "OPS\n", ops+"\n", "STANDARD", standard).Replace(body)
	if f.name == "operation of a template" {
		body = strings.Replace(body, "        type: Standard\n        operations:", "         operations:", 1)
	}
	doc := "tosca_definitions_version: " + version + "\n" + head + strings.Replace(body, "@", lines, 1)
	doc = strings.ReplaceAll(doc, "AR,", artifact+",")
	doc = strings.ReplaceAll(doc, "AR }", artifact+" }")
	files := fstest.MapFS{"app.yaml": {Data: []byte(doc)}, "x.yaml": {Data: []byte("tosca_definitions_version: " + version + "\n" + x)}, "a.sh": {Data: []byte("true")}, "a.py": {Data: []byte("")}}
	b, _ := source.OpenFS("", files, "app.yaml")
	top, list := Load(t.Context(), Options{Bundle: b})
	if list.HasErrors() {
		t.Fatalf("%v\n%s", list, doc)
	}
	dump, err := topology.Dump(top)
	if err != nil {
		t.Fatal(err)
	}
	return string(dump)
}
