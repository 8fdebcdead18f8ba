package tosca

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// loadFiles loads app.yaml of the given files.
func loadFiles(files map[string]string) (*topology.Topology, diag.List) {
	fsys := fstest.MapFS{}
	for name, body := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(body)}
	}
	b, _ := source.OpenFS("", fsys, "app.yaml")
	return Load(context.Background(), Options{Bundle: b})
}

// findings are the diagnostics as "line code", warnings with a "~".
func findings(list diag.List) []string {
	out := []string{}
	for _, d := range list {
		mark := ""
		if d.Severity != diag.Error {
			mark = "~"
		}
		out = append(out, fmt.Sprintf("%d %s%s", d.Pos.Line, mark, d.Code))
		if _, ok := diag.Explain(d.Code); !ok {
			out = append(out, "undocumented code "+d.Code)
		}
	}
	return out
}

// Every rule with the smallest document that breaks it. The first line of a document is line 1; v names the dialect.
var rules = map[string]struct {
	v    string // default tosca_simple_yaml_1_3
	doc  string
	want []string
	hint string // part of the first hint
}{
	"valid": {doc: `
topology_template:
  node_templates:
    a: { type: Compute }
    b: { type: tosca:SoftwareComponent, requirements: [ host: a ] }
    c: { type: tosca.nodes.SoftwareComponent, requirements: [ { host: { node: b2 } } ] }
    b2: { type: tosca.nodes.Compute }
`},
	"a missing import has no follow-ups": {doc: `
imports: [ lost.yaml ]
topology_template:
  node_templates:
    a:
      type: tosca.nodes.vendor.Compute
      interfaces: { Vnflcm: { begin: app.yaml } }
      requirements: [ { link: b } ]
    b: { type: tosca.nodes.Compte }
  policies: [ { p: { type: tosca.policies.vendor.Scaling, targets: [ a ] } } ]
`, want: []string{"2 missing-import", "9 unknown-type"}},
	"an unknown type has no follow-ups": {doc: `
topology_template:
  node_templates:
    a: { type: Machine, interfaces: { Vnflcm: { begin: app.yaml } } }
`, want: []string{"4 unknown-type"}},
	"values that look like definitions": {doc: `
node_types:
  N:
    derived_from: tosca.nodes.Root
    properties: { size: { type: integer, required: no }, name: { type: string, required: yes, default: x } }
    interfaces: { Standard: { operations: { create: { inputs: { strategy: { type: map, required: off } } } } } }
topology_template:
  node_templates:
    a:
      type: N
      interfaces: { Standard: { operations: { create: { inputs: { strategy: { type: Recreate } } }, start: [] } } }
`},
	"import without a name": {doc: `
imports:
- file: ""
- file: "  "
- { file: 1, namespace_prefix: x }
`, want: []string{"3 wrong-form", "4 wrong-form", "5 missing-import"}},
	"reserved prefix": {doc: `
imports: [ { file: app.yaml, namespace_prefix: tosca } ]
`, want: []string{"2 wrong-form"}},
	"three-part version": {v: "tosca_simple_yaml_1_1_0", doc: `
topology_template: { node_templates: { a: { type: Compute } }, workflows: {} }
`},
	"triggers before 1.1": {v: "tosca_simple_yaml_1_0", doc: `
topology_template:
  node_templates: { a: { type: Compute } }
  policies:
  - grow:
      type: tosca.policies.Scaling
      targets: [ a ]
      triggers:
        high:
          event_type: { type: tosca.events.resource.cpu.utilization, implementation: Ceilometer }
          condition: { constraint: utilization greater_than 50%, period: 60 }
          action: { scale_out: { type: SCALE_OUT, implementation: webhook } }
`},
	"condition without a function": {v: "tosca_2_0", doc: `
policy_types:
  P:
    triggers:
      t:
        event: changed
        condition: { constraint: { state: [ { equal: active } ] } }
        action: []
`, want: []string{"7 wrong-form"}, hint: "$equal"},
	"nodes of an unknown type": {doc: `
topology_template:
  outputs:
    a: { value: { get_nodes_of_type: Compute } }
    b: { value: { get_nodes_of_type: Compte } }
`, want: []string{"5 unknown-type"}, hint: "Compute"},
	"artifact without a file": {doc: `
node_types:
  N: { derived_from: tosca.nodes.Root, artifacts: { known: { type: tosca.artifacts.File, file: app.yaml } } }
topology_template:
  node_templates:
    a: { type: N, artifacts: { known: { description: the type names its file }, other: { type: tosca.artifacts.File } } }
`, want: []string{"6 missing-keyname"}},
	"what a relationship's operation asks its target for": {doc: `
relationship_types:
  On:
    derived_from: tosca.relationships.HostedOn
    interfaces:
      Configure:
        operations:
          add_source:
            implementation: x.sh
            inputs:
              good: { value: { get_attribute: [ TARGET, private_address ] } }
              mine: { value: { get_attribute: [ SOURCE, host, private_address ] } }
              bad: { value: { concat: [ a, { get_attribute: [ TARGET, adress ] } ] } }
topology_template:
  node_templates:
    a: { type: Compute }
    b: { type: SoftwareComponent, requirements: [ { host: { node: a, relationship: On } } ] }
    c: { type: SoftwareComponent, requirements: [ { host: { node: a, relationship: On } } ] }
`, want: []string{"9 missing-file", "13 ~asks-in-vain"}},
	"what a node lacks beside one of an unknown type": {doc: `
relationship_types:
  Asks:
    derived_from: tosca.relationships.DependsOn
    interfaces: { Configure: { operations: { add_source: { implementation: x.sh, inputs: { a: { value: { get_attribute: [ TARGET, adress ] } } } } } } }
topology_template:
  node_templates:
    lost: { type: Nope }
    vm: { type: Compute }
    soft: { type: SoftwareComponent, requirements: [ host: vmm, dependency: { node: vm, relationship: Asks } ] }
    other: { type: SoftwareComponent, requirements: [ host: vm, dependency: { node: lost, relationship: Asks } ] }
`, want: []string{"5 missing-file", "5 ~asks-in-vain", "8 unknown-type", "10 unknown-node"}},
	"what a target's host has, Alien4Cloud": {v: "alien_dsl_3_0_0", doc: `
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
relationship_types:
  Reads:
    derived_from: tosca.relationships.DependsOn
    interfaces:
      Configure:
        pre_configure_source:
          implementation: x.sh
          inputs:
            good: { get_attribute: [ TARGET, ip_address ] }
            mem: { get_property: [ SOURCE, host, mem_size ] }
            bad: { get_attribute: [ TARGET, ipaddress ] }
node_types:
  App:
    derived_from: tosca.nodes.SoftwareComponent
    requirements: [ store: { capability: tosca.capabilities.Node, relationship: Reads, occurrences: [ 0, 1 ] } ]
topology_template:
  node_templates:
    vm: { type: tosca.nodes.Compute }
    app: { type: App, requirements: [ host: vm, store: { node: db, capability: tosca.capabilities.Node, relationship: Reads } ] }
    db: { type: App, requirements: [ host: vm ] }
`, want: []string{"9 missing-file", "13 ~asks-in-vain"}},
	"a capability and a requirement of one name": {doc: `
node_types:
  Both: { derived_from: SoftwareComponent, capabilities: { host: tosca.capabilities.Compute } }
topology_template:
  node_templates:
    vm: { type: Compute }
    both: { type: Both, requirements: [ host: vm ] }
  outputs:
    cpus: { value: { get_property: [ both, host, num_cpus ] } }
    address: { value: { get_attribute: [ both, host, private_address ] } }
    wrong: { value: { get_attribute: [ both, host, privat_address ] } }
`, want: []string{"11 unknown-attribute"}},
	"external requirements are not fulfilled by nodes of the template": {v: "tosca_2_0", doc: `
capability_types: { C: {} }
relationship_types: { R: {} }
node_types:
  M: { capabilities: { c: C } }
  N: { requirements: [ { r: { capability: C, relationship: R, node: M, count_range: [ 0, 5 ] } } ] }
service_template:
  node_templates:
    m: { type: M }
    n:
      type: N
      requirements:
      - r: { directives: [ external ] }
      - r: { directives: [ external ], optional: true }
      - r: { directives: [ internal, external ] }
      - r: { node: m, directives: [ external ] }
`, want: []string{"13 ~unfulfilled-requirement"}},
	"unknown keyname": {doc: `
topology_template:
  node_template: {}
`, want: []string{"3 unknown-keyname"}, hint: `did you mean "node_templates"?`},
	"a section of another language": {v: "alien_dsl_3_0_0", doc: `
functions: { f: { signatures: [ { arguments: [ x ] } ] } }
interface_types: { I: { o: {} } }
topology_template: { relationship_templates: { r: { type: x } } }
`, want: []string{"2 ~unknown-keyname", "3 ~unknown-keyname", "4 ~unknown-keyname"}},
	"keyname of another version": {v: "tosca_simple_yaml_1_0", doc: `
topology_template:
  workflows: {}
`, want: []string{"3 unknown-keyname"}, hint: "from version 1.1 on"},
	"unknown keyname in A4C is a warning": {v: "alien_dsl_2_0_0", doc: `
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
topology_template:
  node_templates:
    a: { type: tosca.nodes.Compute, propertys: {} }
`, want: []string{"5 ~unknown-keyname"}},
	"unknown types of every kind": {doc: `
node_types:
  N:
    derived_from: tosca.nodes.Rooot
    properties: { p: { type: strin } }
    capabilities: { c: tosca.capabilities.Nodee }
    requirements: [ { r: { capability: X, node: Y, relationship: Z } } ]
    interfaces: { i: { type: I } }
    artifacts: { f: { type: A, file: app.yaml } }
topology_template:
  node_templates: { n: { type: M } }
  groups: { g: { type: G, members: [ n ] } }
  policies: [ { p: { type: P } } ]
`, want: []string{"4 unknown-type", "5 unknown-type", "6 unknown-type", "7 unknown-type", "7 unknown-type", "7 unknown-type", "8 unknown-type", "9 unknown-type",
		"11 unknown-type", "12 unknown-type", "13 unknown-type"}, hint: `did you mean "tosca.nodes.Root"?`},
	"no follow-up noise of an unknown type": {doc: `
node_types:
  N: { derived_from: Nope }
topology_template:
  node_templates:
    n:
      type: N
      properties: { a: 1 }
      attributes: { b: 2 }
      capabilities: { c: { properties: { d: 3 } } }
      requirements: [ { host: m } ]
      interfaces: { foo: { bar: x.sh } }
    m: { type: Compute }
  outputs:
    o: { value: { get_property: [ n, x ] } }
`, want: []string{"3 unknown-type", "12 missing-file"}},
	"type cycle": {doc: `
node_types:
  A: { derived_from: B }
  B: { derived_from: C }
  C: { derived_from: A }
`, want: []string{"5 type-cycle"}},
	"undeclared names": {doc: `
topology_template:
  node_templates:
    n:
      type: Compute
      properties: { a: 1 }
      attributes: { b: 2 }
      capabilities: { hots: {}, host: { properties: { num_cpu: 1 } } }
      requirements: [ { hosst: m } ]
      interfaces: { Standrd: { create: x }, Standard: { operations: { creat: {} } } }
`, want: []string{"6 unknown-property", "7 unknown-attribute", "8 unknown-capability", "8 unknown-property", "9 unknown-requirement", "10 unknown-interface", "10 missing-file", "10 unknown-operation"}},
	"values of the wrong type": {doc: `
node_types:
  N:
    derived_from: tosca.nodes.Root
    properties:
      i: { type: integer }
      f: { type: float }
      b: { type: boolean }
      s: { type: string }
      l: { type: list, entry_schema: integer }
      m: { type: map, entry_schema: { type: integer } }
      v: { type: version }
      t: { type: timestamp }
      r: { type: range }
      z: { type: scalar-unit.size }
      q: { type: scalar-unit.time }
topology_template:
  node_templates:
    n:
      type: N
      properties:
        i: three
        f: [ 1 ]
        b: 7
        s: { a: b }
        l: [ 1, x ]
        m: { a: y }
        v: a.b
        t: yesterday
        r: [ 3, 1 ]
        z: 10
        q: 5 parsecs
`, want: []string{"22 value-type", "23 value-type", "24 value-type", "25 value-type", "26 value-type", "27 value-type", "28 value-format", "29 value-format", "30 value-format",
		"31 value-format", "32 value-format"}},
	"values that are tolerated": {doc: `
node_types:
  N:
    derived_from: tosca.nodes.Root
    properties: { i: { type: integer }, f: { type: float }, s: { type: string }, v: { type: version }, l: { type: list }, z: { type: scalar-unit.size }, r: { type: range } }
topology_template:
  node_templates:
    n: { type: N, properties: { i: "3", f: 1, s: 1.10, v: 6.5, l: [ 1, a ], z: 10 gib, r: [ 1, UNBOUNDED ] } }
`},
	"constraints": {doc: `
node_types:
  N:
    derived_from: tosca.nodes.Root
    properties:
      a: { type: integer, constraints: [ { in_range: [ 1, 4 ] } ] }
      b: { type: string, constraints: [ { valid_values: [ x, y ] } ] }
      c: { type: string, constraints: [ { pattern: "[a-z]+" } ] }
      d: { type: string, constraints: [ { min_length: 2 }, { max_length: 3 } ] }
      e: { type: scalar-unit.size, constraints: [ { greater_or_equal: 1 GB } ] }
      f: { type: version, constraints: [ { less_than: 2.0 } ] }
      g: { type: list, entry_schema: { type: integer, constraints: [ { greater_than: 0 } ] }, constraints: [ { length: 2 } ] }
      h: { type: float, constraints: [ { equal: 1 } ] }
topology_template:
  node_templates:
    n:
      type: N
      properties:
        a: 5
        b: z
        c: A
        d: abcd
        e: 999 MB
        f: 2.1
        g: [ 0 ]
        h: 1.5
`, want: []string{"19 constraint", "20 constraint", "21 constraint", "22 constraint", "23 constraint", "24 constraint", "25 constraint", "25 constraint", "26 constraint"}},
	"malformed constraints": {doc: `
data_types:
  D: { derived_from: integer, constraints: [ { in_rage: [ 1, 2 ] }, { in_range: 3 }, { valid_values: x }, { min_length: 1 }, { greater_than: x } ] }
  E: { derived_from: string, properties: { a: { type: string } } }
`, want: []string{"3 wrong-form", "3 wrong-form", "3 wrong-form", "3 constraint-not-applicable", "3 value-type", "4 native-type-properties"}},
	"data types": {doc: `
data_types:
  Person:
    derived_from: tosca.datatypes.Root
    properties:
      name: { type: string }
      age: { type: integer, required: false }
      friend: { type: Person, required: false }
node_types:
  N: { derived_from: tosca.nodes.Root, properties: { p: { type: Person } } }
topology_template:
  node_templates:
    a: { type: N, properties: { p: { name: x, friend: { name: y, friend: { age: z } } } } }
    b: { type: N, properties: { p: { nme: x } } }
`, want: []string{"13 missing-field", "13 value-type", "14 unknown-field"}},
	"required properties": {doc: `
node_types:
  N: { derived_from: tosca.nodes.Root, properties: { a: { type: string }, b: { type: string, default: x }, c: { type: string, required: false } } }
topology_template:
  node_templates:
    n: { type: N }
`, want: []string{"6 missing-property"}},
	"refinement": {doc: `
node_types:
  A: { derived_from: tosca.nodes.Root, properties: { p: { type: string }, q: { type: integer, constraints: [ { less_than: 10 } ] } }, capabilities: { c: tosca.capabilities.Endpoint } }
  B: { derived_from: A, properties: { p: { type: integer }, q: { type: integer, constraints: [ { greater_than: 3 } ] } }, capabilities: { c: tosca.capabilities.Node } }
topology_template:
  node_templates: { b: { type: B, properties: { p: 1, q: 20 } }, c: { type: B, properties: { p: 1, q: 2 } } }
`, want: []string{"4 refinement", "4 refinement", "6 constraint", "6 constraint"}},
	"requirements": {doc: `
topology_template:
  node_templates:
    a: { type: SoftwareComponent, requirements: [ { host: nobody } ] }
    b: { type: SoftwareComponent, requirements: [ { host: { node: net } } ] }
    c: { type: SoftwareComponent, requirements: [ { host: { node: server, relationship: Nope } } ] }
    net: { type: tosca.nodes.network.Network }
    server: { type: Compute }
`, want: []string{"4 unknown-node", "5 wrong-target", "6 unknown-type"}},
	"unfulfilled requirements": {doc: `
topology_template:
  node_templates:
    a: { type: SoftwareComponent }
    b: { type: WebApplication, requirements: [ { host: { node: WebServer } } ] }
    c: { type: LoadBalancer }
`, want: []string{"4 ~unfulfilled-requirement", "5 ~unfulfilled-requirement"}},
	"cycle of nodes": {doc: `
topology_template:
  node_templates:
    a: { type: tosca.nodes.Root, requirements: [ dependency: b ] }
    b: { type: tosca.nodes.Root, requirements: [ dependency: c ] }
    c: { type: tosca.nodes.Root, requirements: [ dependency: a ] }
`, want: []string{"6 node-cycle"}},
	"functions": {doc: `
topology_template:
  inputs: { size: { type: integer } }
  node_templates:
    a:
      type: Compute
      metadata: { x: y }
      capabilities:
        host:
          properties:
            num_cpus: { get_input: sise }
            mem_size: { get_property: [ SELF, hots, mem_size ] }
            disk_size: { get_property: [ SELF, os, typ ] }
        os:
          properties:
            type: { get_attribute: [ b, private_address ] }
            distribution: { concat: x }
            architecture: { token: [ a, b ] }
            version: { get_property: [ TARGET, x ] }
  outputs:
    o: { value: { get_attribute: [ a, networks, n, network_nam ] } }
    p: { value: { get_attribute: [ a, private_address, 0 ] } }
    q: { value: { get_artifact: [ a, nothing ] } }
    r: { value: { get_operation_output: [ a, Standard, creat, x ] } }
    s: { value: { get_attribute: [ a, private_adress ] } }
`, want: []string{"11 unknown-input", "12 unknown-property", "13 unknown-property", "16 unknown-node", "17 bad-function", "18 bad-function", "19 bad-reference",
		"21 unknown-field", "22 unknown-field", "23 unknown-artifact", "24 unknown-operation", "25 unknown-attribute"}, hint: `did you mean "size"?`},
	"token as a property is data": {doc: `
topology_template:
  node_templates:
    a: { type: SoftwareComponent, properties: { admin_credential: { token: abc } } }
`, want: []string{"4 ~unfulfilled-requirement"}},
	"groups and policies": {doc: `
topology_template:
  node_templates: { a: { type: tosca.nodes.Root } }
  groups: { g: { type: tosca.groups.Root, members: [ a, b ] } }
  policies:
    - p: { type: tosca.policies.Scaling, targets: [ a, g, aa ] }
    - q: { type: tosca.policies.Scaling, triggers: { t: { event: e, action: [ { inline: nope } ] } } }
`, want: []string{"4 unknown-node", "6 unknown-node", "7 unknown-workflow"}},
	"workflows": {doc: `
topology_template:
  node_templates: { a: { type: SoftwareComponent, requirements: [ { host: h } ] }, h: { type: Compute } }
  workflows:
    w:
      inputs: { x: { type: string, default: y } }
      preconditions: [ { target: nobody, condition: [ { assert: [ { state: [ { equal: started } ] } ] } ] } ]
      steps:
        s1: { target: b, activities: [ { set_state: x } ], on_success: [ s2, s9 ] }
        s2: { target: a, activities: [ { call_operation: Standard.creatte }, { delegat: x } ], on_success: s1 }
        s3: { target: a, target_relationship: hots, activities: [ { call_operation: Configure.add_target } ] }
        s4: { activities: [ { inline: v } ] }
        s5: { target: a }
        s6: { target: a, target_relationship: host, activities: [ { call_operation: Configure.add_target } ] }
    v: { steps: { s: { activities: [ { inline: w } ] } } }
`, want: []string{"5 workflow-cycle", "5 workflow-cycle", "7 unknown-node", "9 unknown-node", "9 unknown-step", "10 unknown-operation", "10 wrong-form", "11 unknown-relationship", "13 missing-keyname"}},
	"parts of workflows": {doc: `
topology_template:
  node_templates: { a: { type: SoftwareComponent, requirements: [ { host: h } ] }, h: { type: Compute } }
  workflows:
    w:
      inputs: { x: { type: string }, y: { type: string, default: z }, z: { type: string, required: false } }
      preconditions: [ { target: a, target_relationship: hots, condition: [ { assert: [ { state: [ { equal: started } ] } ] } ] } ]
      steps:
        s1: { target: a, activities: [ { delegate: heal } ] }
        s2: { target: a, activities: [ { delegate: restart }, { delegate: deploy }, { delegate: v } ] }
        s3: { target: a, activities: [ { inline: heal } ], on_success: [ s4 ] }
        s4: { target: a, activities: [ { inline: check }, { inline: undeploy }, { set_state: x, delegate: stop } ] }
        s5: { target: a, operation_host: HOTS, activities: [ { call_operation: Standard.create } ] }
        s6: { target: a, operation_host: TARGET, activities: [ { call_operation: Standard.create } ] }
        s7: { target: a, operation_host: h, activities: [ { call_operation: Standard.create } ] }
    v:
      steps:
        s1: { activities: [ { inline: w } ] }
        s2: { activities: [ { inline: { workflow: w, inputs: { x: 1, yy: 2 } } } ] }
        s3: { activities: [ { inline: { workflow: stop, inputs: { x: 1 } } } ] }
    u:
      inputs: { x: { type: string } }
      steps: { s: { activities: [ { inline: w } ] } }
`, want: []string{"7 unknown-relationship", "9 unknown-delegate", "10 unknown-delegate", "11 unknown-workflow", "12 wrong-form", "13 unknown-node",
		"14 ~operation-host", "18 missing-input", "19 unknown-input", "20 unknown-input"}, hint: "did you mean \"host\""},
	"steps of Alien4Cloud without a target": {v: "alien_dsl_3_0_0", doc: `
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
topology_template:
  node_templates: { a: { type: tosca.nodes.Compute } }
  workflows:
    w: { steps: { s: { activities: [ { set_state: x } ] }, t: { activities: [ { inline: v } ] } } }
    v: { steps: { s: { target: a, activities: [ { set_state: x } ], on_cancel: [ t ] }, t: { target: a, activities: [ { set_state: y } ], on_success: [ s ] } } }
`, want: []string{"6 missing-keyname", "7 workflow-cycle"}},
	"operations that run nowhere": {doc: `
node_types:
  N:
    derived_from: tosca.nodes.Root
    interfaces:
      Standard:
        operations:
          create: { implementation: { primary: a.sh, operation_host: SELFF } }
          start: { implementation: { primary: a.sh, operation_host: ORCHESTRATOR } }
          stop: { implementation: { primary: a.sh, operation_host: b } }
topology_template:
  node_templates: { a: { type: N }, b: { type: N } }
`, want: []string{"8 unknown-node", "8 missing-file", "9 missing-file", "10 missing-file"}, hint: "did you mean \"SELF\""},
	"substitution": {doc: `
topology_template:
  node_templates: { a: { type: Compute } }
  substitution_mappings:
    node_type: Compute
    properties: { x: [ nope ] }
    capabilities: { hots: [ a, host ], host: [ a, hots ], os: [ b, os ] }
    requirements: { local: [ a, local_storage ] }
`, want: []string{"6 unknown-property", "6 unknown-input", "7 unknown-capability", "7 unknown-capability", "7 unknown-node", "8 unknown-requirement"}},
	"imports": {doc: `
imports:
  - nope.yaml
  - ../outside.yaml
  - <nope.yml>
  - nope:1.0
  - https://example.org/x.yaml
  - { repository: r }
  - { file: x.yaml, repository: r }
  - []
`, want: []string{"3 missing-import", "4 bad-path", "5 missing-import", "6 missing-import", "7 network-import", "8 missing-keyname", "9 unknown-repository", "10 wrong-form"}},
	"no follow-up noise of a missing import": {doc: `
imports: [ nope.yaml ]
topology_template:
  node_templates:
    a: { type: my.Thing, properties: { x: 1 }, requirements: [ { host: b } ] }
    b: { type: Compute, requirements: [ { dependency: { node: my.Other, relationship: my.Rel } } ] }
    c: { type: Compte }
`, want: []string{"2 missing-import", "7 unknown-type"}},
	"forms": {doc: `
description: [ a ]
metadata: x
node_types: []
topology_template:
  inputs: [ a ]
  node_templates:
    a: { type: [ x ], requirements: { host: b } }
    b:
    c: { type: Compute, requirements: [ host ] }
  outputs: { o: { description: x } }
`, want: []string{"2 wrong-form", "3 wrong-form", "4 wrong-form", "6 wrong-form", "8 wrong-form", "8 wrong-form", "9 missing-keyname", "10 wrong-form", "11 missing-keyname"}},
	"occurrences": {doc: `
node_types:
  N:
    derived_from: tosca.nodes.Root
    requirements:
      - a: { capability: tosca.capabilities.Node, occurrences: [ 2, 1 ] }
      - b: { capability: tosca.capabilities.Node, occurrences: 1 }
      - c: { capability: tosca.capabilities.Node, occurrences: [ 0, 1 ] }
topology_template:
  node_templates:
    n: { type: N, requirements: [ { a: m }, { b: m }, { c: m }, { c: m } ] }
    m: { type: tosca.nodes.Root }
`, want: []string{"6 wrong-form", "7 wrong-form", "11 ~too-many-requirements"}},
	"copy": {doc: `
topology_template:
  node_templates:
    a: { type: Compute, capabilities: { host: { properties: { num_cpus: 2 } } } }
    b: { copy: a, capabilities: { host: { properties: { mem_size: 1 GB } } } }
    c: { copy: x, type: Compute }
`, want: []string{"6 unknown-node"}},
	"2.0: empty sections, null, quoted numbers": {v: "tosca_2_0", doc: `
node_types:
  N: { properties: { i: { type: integer }, s: { type: string, required: false } } }
service_template:
  inputs:
  node_templates:
    n: { type: N, properties: { i: "3", s: null } }
`, want: []string{"5 empty-section", "7 value-type", "7 value-type"}},
	"2.0: validation and functions": {v: "tosca_2_0", doc: `
data_types:
  Port: { derived_from: integer, validation: { $and: [ { $greater_than: [ $value, 0 ] }, { $less_than: [ $value, 100 ] } ] } }
node_types:
  N: { properties: { p: { type: Port }, q: { type: string, required: false } } }
service_template:
  node_templates:
    a: { type: N, properties: { p: 50, q: { $concat: [ a, b ] } } }
    b: { type: N, properties: { p: 100, q: { $$x: y } } }
    c: { type: N, properties: { p: { $nope: [] }, q: { $token: [ a ] } } }
`, want: []string{"9 constraint", "9 value-type", "10 bad-function", "10 bad-function"}},
	"2.0: the simple profile": {v: "tosca_2_0", doc: `
imports: [ { profile: "org.oasis-open.simple:2.0", namespace: t } ]
node_types:
  App: { derived_from: "t:SoftwareComponent", properties: { port: { type: "t:network.PortDef" } } }
service_template:
  node_templates:
    h: { type: "t:Compute", capabilities: { host: { properties: { mem_size: 4 GB, num_cpus: 0 } }, scalable: { properties: { max_instances: 2 } } } }
    a: { type: App, properties: { port: 70000 }, requirements: [ host: h ] }
    n: { type: "t:network.Network" }
    p: { type: "t:network.Port", requirements: [ { link: n }, { binding: h } ] }
`, want: []string{"7 constraint", "8 constraint"}},
	"2.0 needs imports": {v: "tosca_2_0", doc: `
service_template:
  node_templates: { a: { type: tosca.nodes.Compute } }
`, want: []string{"3 unknown-type"}},
	"A4C: requirement by relationship name, artifacts as list": {v: "alien_dsl_2_0_0", doc: `
imports: [ tosca-normative-types:1.0.0-ALIEN20 ]
node_types:
  my.App:
    derived_from: tosca.nodes.SoftwareComponent
    artifacts: [ { scripts: app.yaml, type: tosca.artifacts.File } ]
    capabilities: [ { web: tosca.capabilities.Endpoint } ]
topology_template:
  node_templates:
    h: { type: tosca.nodes.Compute }
    a:
      type: my.App
      requirements:
        - hostedOnH: { type_requirement: host, node: h, capability: tosca.capabilities.Container, relationship: tosca.relationships.HostedOn }
        - bogus: { node: h, capability: tosca.capabilities.Container }
  workflows:
    install:
      steps:
        s: { target: a, target_relationship: hostedOnH, operation_host: SOURCE, activities: [ { call_operation: Configure.pre_configure_source } ] }
`, want: []string{"15 unknown-requirement"}},
	"A4C 1.2: requirement with sibling keys": {v: "alien_dsl_1_2_0", doc: `
imports: [ tosca-normative-types:1.0.0-ALIEN14 ]
node_types:
  my.App:
    derived_from: tosca.nodes.Root
    requirements:
      - server: tosca.nodes.Compute
        relationship: tosca.relationships.HostedOn
        capability: host
topology_template:
  node_templates:
    h: { type: tosca.nodes.Compute }
    a: { type: my.App, requirements: [ { server: { node: h } } ] }
`, want: []string{"2 ~other-version"}},
	"A4C: versions of archives": {v: "alien_dsl_2_0_0", doc: `
imports:
  - tosca-normative-types:1.0.0-ALIEN20
  - tosca-normative-types:1.0.0-ALIEN21
  - base: alien-base-types:2.2.0
  - { file: yorc-types:* }
  - tosca-normative-types:2.0.0
topology_template: { node_templates: { a: { type: tosca.nodes.Compute } } }
`, want: []string{"4 ~other-version", "5 ~other-version", "7 missing-import"}, hint: "or import tosca-normative-types:1.0.0-ALIEN20"},
	"2.0: a profile with a template": {v: "tosca_2_0", doc: `
profile: org.example:1
imports: [ { url: "https://example.org/x.yaml", repository: r } ]
repositories: { r: "https://example.org" }
service_template: { node_templates: {} }
`, want: []string{"3 network-import", "3 wrong-form", "5 ~profile-template"}},
	"2.0: another version of a profile": {v: "tosca_2_0", doc: `
imports: [ { profile: "org.oasis-open.simple:2.0.1" }, { profile: "org.oasis-open.simple:2.0", namespace: t } ]
service_template: { node_templates: { a: { type: Compute }, b: { type: "t:Compute" } } }
`, want: []string{"2 ~other-version"}},
}

func TestRules(t *testing.T) {
	for name, tc := range rules {
		t.Run(name, func(t *testing.T) {
			v := tc.v
			if v == "" {
				v = "tosca_simple_yaml_1_3"
			}
			_, list := loadFiles(map[string]string{"app.yaml": "tosca_definitions_version: " + v + tc.doc})
			want := tc.want
			if want == nil {
				want = []string{}
			}
			if diff := cmp.Diff(want, findings(list)); diff != "" {
				t.Errorf("%s\n%v", diff, list)
			}
			if tc.hint != "" && (len(list) == 0 || !strings.Contains(list[0].Hint, tc.hint)) {
				t.Errorf("hint %q, want %q", list[0].Hint, tc.hint)
			}
		})
	}
}

// Types of the TOSCA 2.0 profile are the normative ones for everything that knows those by name.
func TestProfileTypesKeepTheirMeaning(t *testing.T) {
	top, list := loadFiles(map[string]string{"app.yaml": `tosca_definitions_version: tosca_2_0
imports: [ { profile: "org.oasis-open.simple:2.0" } ]
service_template:
  node_templates:
    h: { type: Compute, capabilities: { scalable: { properties: { max_instances: 4, default_instances: 3 } } } }
    a: { type: SoftwareComponent, requirements: [ host: h ] }
`})
	if list.HasErrors() {
		t.Fatal(list)
	}
	if n := top.NodeNamed("h"); !n.Type.Is("tosca.nodes.Compute") {
		t.Errorf("h is %v", n.Type)
	}
	if a := top.NodeNamed("a"); a.Host() != "h" || a.ScalesWith != "h" {
		t.Errorf("a is hosted on %q", a.Host())
	}
	if _, max, def, err := top.Scale(context.Background(), "a", nil); max != 4 || def != 3 || err != nil {
		t.Errorf("scale %d %d %v", max, def, err)
	}
}
