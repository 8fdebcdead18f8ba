package tosca

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/convert"
	"github.com/orch-project/orch/pkg/tosca/grammar"
)

// FuzzDialect feeds documents with the first line of every dialect. What loads is also converted.
func FuzzDialect(f *testing.F) {
	versions := grammar.Versions()
	for i := range versions {
		f.Add(uint8(i), []byte("node_types: { T: { derived_from: tosca.nodes.Root, properties: { p: { type: list, entry_schema: { type: string } } } } }\ntopology_template: { node_templates: { n: { type: T, properties: { p: [ a ] } } } }\n"))
	}
	f.Add(uint8(0), []byte("service_template: { node_templates: { n: { type: T, count: 2, requirements: [ { r: [ n, $node_index ] } ] } } }\nnode_types: { T: { requirements: [ { r: { count_range: [ 0, 1 ] } } ] } }\n"))
	f.Add(uint8(9), []byte("node_types: { T: { interfaces: { i: { o: { inputs: { a: { default: { get_property: [ SELF, a ] } } } } } } } }\nnode_templates: { n: { type: T, relationships: [ { type: R, target: n } ] } }\n"))
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		defer bounded.Input(t)()
		data := append([]byte("tosca_definitions_version: "+versions[int(which)%len(versions)]+"\n"), body...)
		b, _ := source.OpenFS("fuzz", fstest.MapFS{"app.yaml": {Data: data}}, "app.yaml")
		a := Analyze(context.Background(), Options{Bundle: b})
		if a.Topology == nil && !a.Findings.HasErrors() {
			t.Fatal("neither a topology nor an error")
		}
		if a.Topology == nil || a.Root == nil || a.Findings.HasErrors() {
			return
		}
		evaluate(a.Topology)
		for _, target := range convert.Targets {
			n, _ := convert.To(target, convert.Input{Root: a.Root, Topology: a.Topology})
			if n == nil {
				continue
			}
			if _, err := source.Marshal(n); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzExpression feeds values with functions, in a dialect of each kind of syntax.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"{ concat: [ a, { get_property: [ SELF, p ] } ] }", "{ $join: [ [ a, b ], $value ] }", "{ get_attribute: [ n, host, ip, 0 ] }", "{ token: [ { get_input: x }, ',', 1 ] }",
		"{ $sum: [ 1, { $product: [ 2, 3.5 ] } ] }", "{ get_secret: [ a, b ] }", "{ string_replace: [ { get_sys: [ tenant, name ] }, a, b ] }", "{ $$x: { $get_input: [ x ] } }",
		"{ $quotient: [ 1, 0 ] }", "{ $remainder: [ 1, 0 ] }", "{ $round: [ .nan ] }", "{ get_operation_output: [ SELF, Standard, create, x ] }",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		if strings.ContainsAny(expr, "\n") {
			return
		}
		defer bounded.Input(t)()
		for _, doc := range []string{
			"tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types: { T: { derived_from: tosca.nodes.Root, properties: { p: { type: string }, q: { type: string, default: x } } } }\ntopology_template:\n  inputs: { x: { type: string, default: y } }\n  node_templates:\n    n:\n      type: T\n      properties:\n        p: " + expr + "\n",
			"tosca_definitions_version: tosca_2_0\nnode_types: { T: { properties: { p: { type: float }, q: { type: string, default: x } } } }\nservice_template:\n  inputs: { x: { type: string, default: y } }\n  node_templates:\n    n:\n      type: T\n      properties:\n        p: " + expr + "\n",
			"tosca_definitions_version: cloudify_dsl_1_5\nnode_types: { T: { properties: { p: {} } } }\ninputs: { x: { default: y } }\nnode_templates:\n  n:\n    type: T\n    properties:\n      p: " + expr + "\n",
			"tosca_definitions_version: alien_dsl_3_0_0\ntopology_template:\n  outputs:\n    o: { value: " + expr + " }\n",
		} {
			b, _ := source.OpenFS("fuzz", fstest.MapFS{"app.yaml": {Data: []byte(doc)}}, "app.yaml")
			if top, list := Load(context.Background(), Options{Bundle: b}); top != nil && !list.HasErrors() {
				evaluate(top)
			}
		}
	})
}
