package lsp

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.lsp.dev/protocol"
)

// sessions are an editor's work on a document of each dialect: a mistake and its repair, what things are, where they are declared, what fits.
var sessions = map[string]struct {
	text       string
	wrong      [2]string // what is replaced by what
	code       string
	hover      map[string]string // word → part of the text
	definition map[string]uint32 // word → line of its declaration in the document
	complete   string            // the line that is typed at the end, ‸ is the cursor
	want, not  []string
}{
	"tosca_simple_yaml_1_3": {
		text: "tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types:\n  My: { derived_from: tosca.nodes.SoftwareComponent, properties: { port: { type: integer } } }\n" +
			"topology_template:\n  node_templates:\n    vm: { type: tosca.nodes.Compute }\n    my: { type: My, properties: { port: 80 }, requirements: [ host: vm ] }\n",
		wrong: [2]string{"port: 80", "port: eighty"}, code: "value-type",
		hover:      map[string]string{"My,": "node type derived from `tosca.nodes.SoftwareComponent`", "port: 80": "**port**: integer", "host: vm": "requirement"},
		definition: map[string]uint32{"My,": 2, "port: 80": 2, "vm ]": 5},
		complete:   "    more: { type: ‸ }", want: []string{"My", "tosca.nodes.WebServer"}, not: []string{"Compute.host"},
	},
	"tosca_2_0": {
		text: "tosca_definitions_version: tosca_2_0\nimports: [ { profile: \"org.oasis-open.simple:2.0\", namespace: t } ]\nnode_types:\n  My: { derived_from: \"t:SoftwareComponent\", properties: { port: { type: integer } } }\n" +
			"service_template:\n  node_templates:\n    vm: { type: \"t:Compute\" }\n    my: { type: My, properties: { port: 80 }, requirements: [ host: vm ] }\n",
		wrong: [2]string{"port: 80", "port: { $length: [] }"}, code: "bad-function",
		hover:      map[string]string{"My,": "node type derived from", "port: 80": "**port**: integer", "host: vm": "requirement"},
		definition: map[string]uint32{"My,": 3, "port: 80": 3, "vm ]": 6},
		complete:   "    more: { type: ‸ }", want: []string{"My", "t:WebServer"}, not: []string{"tosca.nodes.WebServer"},
	},
	"alien_dsl_3_0_0": {
		text: "tosca_definitions_version: alien_dsl_3_0_0\nimports: [ tosca-normative-types:1.0.0-ALIEN20 ]\nnode_types:\n  My: { derived_from: tosca.nodes.SoftwareComponent, properties: { port: { type: integer } } }\n" +
			"topology_template:\n  node_templates:\n    vm: { type: tosca.nodes.Compute }\n    my: { type: My, properties: { port: 80 }, requirements: [ host: { node: vm, type_requirement: host } ] }\n",
		wrong: [2]string{"port: 80", "prot: 80"}, code: "unknown-property",
		hover:      map[string]string{"My,": "node type derived from `tosca.nodes.SoftwareComponent`", "port: 80": "**port**: integer"},
		definition: map[string]uint32{"My,": 3, "port: 80": 3, "vm, type": 6},
		complete:   "    more: { type: ‸ }", want: []string{"My", "tosca.nodes.Compute"}, not: []string{"cloudify.nodes.Compute"},
	},
	"cloudify_dsl_1_3": {
		text: "tosca_definitions_version: cloudify_dsl_1_3\nimports: [ cloudify/types/types.yaml ]\nnode_types:\n  My: { derived_from: cloudify.nodes.SoftwareComponent, properties: { port: { type: integer } } }\n" +
			"node_templates:\n  vm: { type: cloudify.nodes.Compute }\n  my: { type: My, properties: { port: 80 }, relationships: [ { type: cloudify.relationships.contained_in, target: vm } ] }\n",
		wrong: [2]string{"target: vm", "target: vn"}, code: "unknown-node",
		hover:      map[string]string{"My,": "node type derived from", "port: 80": "**port**: integer"},
		definition: map[string]uint32{"My,": 3, "port: 80": 3, "vm }": 5},
		complete:   "  more: { type: ‸ }", want: []string{"My", "cloudify.nodes.Compute"}, not: []string{"tosca.nodes.Compute"},
	},
}

func TestSessionsOfEveryDialect(t *testing.T) {
	for version, s := range sessions {
		t.Run(version, func(t *testing.T) {
			dir := t.TempDir()
			e := open(t, "")
			doc := e.didOpen(filepath.Join(dir, "app.yaml"), s.text)
			e.await(doc, "a document without mistakes", clean)
			for word, want := range s.hover {
				h, err := e.server.Hover(context.Background(), &protocol.HoverParams{TextDocumentPositionParams: spot(doc, s.text, word, 0)})
				if err != nil || h == nil || !strings.Contains(h.Contents.Value, want) {
					t.Errorf("hover over %s: %+v, %v; want %q", word, h, err, want)
				}
			}
			for word, line := range s.definition {
				l, err := e.server.Definition(context.Background(), &protocol.DefinitionParams{TextDocumentPositionParams: spot(doc, s.text, word, 0)})
				if err != nil || len(l) != 1 || !strings.HasSuffix(string(l[0].URI), "/app.yaml") || l[0].Range.Start.Line != line {
					t.Errorf("definition of %s: %v, %v; want line %d", word, l, err, line)
				}
			}
			edit, broken := replace(s.text, s.wrong[0], s.wrong[1])
			e.change(doc, 2, edit)
			e.await(doc, s.code, has(s.code))
			edit, _ = replace(broken, s.wrong[1], s.wrong[0])
			e.change(doc, 3, edit)
			e.await(doc, "the repaired document", clean)
			got := complete(t, e, dir, s.text+s.complete+"\n")
			for _, w := range s.want {
				if !slices.Contains(got, w) {
					t.Errorf("%q is not offered: %.300q", w, got)
				}
			}
			for _, w := range s.not {
				if slices.Contains(got, w) {
					t.Errorf("%q is offered", w)
				}
			}
		})
	}
}
