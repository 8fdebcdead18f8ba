package tosca

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/grammar"
)

// bomb is a document of a version whose aliases expand to a billion values.
func bomb() string {
	var b strings.Builder
	b.WriteString("dsl_definitions:\n  a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [ %s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10))
	}
	return b.String()
}

// deep is nested far deeper than a document may be, in block style.
func deep() string {
	var b strings.Builder
	b.WriteString("metadata:\n")
	for i := range 700 {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

// hostile are documents without their first line, and the code of a finding that each must give.
var hostile = map[string]struct{ text, code string }{
	"alias bomb":       {bomb(), source.CodeAlias},
	"alias of itself":  {"metadata: &m\n  a: *m\n", source.CodeAlias},
	"deep blocks":      {deep(), source.CodeTooDeep},
	"deep brackets":    {"metadata: { a: " + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + " }\n", source.CodeTooDeep},
	"open brackets":    {"metadata: { a: " + strings.Repeat("[", 100_000) + "\n", source.CodeSyntax},
	"a key twice":      {"description: a\ndescription: b\n", source.CodeDuplicateKey},
	"no UTF-8":         {"description: \xff\xfe\n", source.CodeEncoding},
	"UTF-16":           {"d\x00e\x00s\x00", source.CodeSyntax},
	"two documents":    {"description: a\n---\ndescription: b\n", source.CodeDocuments},
	"a map as a key":   {"metadata: { { a: b }: c }\n", source.CodeKey},
	"many values":      {"metadata: { a: [" + strings.Repeat("x,", 4<<20) + "] }\n", source.CodeTooLarge},
	"merge of a text":  {"metadata: { <<: text }\n", source.CodeAlias},
	"unknown anchor":   {"metadata: *nothing\n", source.CodeAlias},
	"control letters":  {"description: \"a\x01b\"\n", source.CodeSyntax},
	"a tab indents it": {"metadata:\n\ta: b\n", source.CodeSyntax},
}

// limited loads within what a hostile document may cost: five seconds of a quiet machine (the limit here allows for a busy one) and one GiB.
func limited(t *testing.T, files fstest.MapFS, entry string) (*topology.Topology, diag.List) {
	t.Helper()
	dog := time.AfterFunc(2*time.Minute, func() { panic(t.Name() + ": loading hangs") })
	defer dog.Stop()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b, _ := source.OpenFS("hostile", files, entry)
	top, list := Load(context.Background(), Options{Bundle: b})
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
		t.Errorf("loading allocated %d MiB", used>>20)
	}
	return top, list
}

func TestHostileDocumentsOfEveryDialectGiveAFinding(t *testing.T) {
	for _, v := range grammar.Versions() {
		for name, h := range hostile {
			if testing.Short() && name == "many values" && v != "tosca_2_0" {
				continue // the same reader; 8 MiB each
			}
			t.Run(v+"/"+name, func(t *testing.T) {
				text := "tosca_definitions_version: " + v + "\n" + h.text
				_, list := limited(t, fstest.MapFS{"a.yaml": {Data: []byte(text)}}, "a.yaml")
				if !slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == h.code }) {
					t.Errorf("%s is not among %.400v", h.code, list)
				}
			})
		}
	}
}

// A file of 100 MB is not read, whether it is the document or an import.
func TestAHugeFileIsNotRead(t *testing.T) {
	huge := &fstest.MapFile{Data: bytes.Repeat([]byte("# comment\n"), 10<<20)}
	for _, v := range []string{"tosca_simple_yaml_1_3", "tosca_2_0", "alien_dsl_2_0_0", "cloudify_dsl_1_3"} {
		doc := "tosca_definitions_version: " + v + "\nimports:\n  - huge.yaml\n"
		if v == "tosca_2_0" {
			doc = strings.Replace(doc, "- huge.yaml", "- url: huge.yaml", 1)
		}
		for _, entry := range []string{"huge.yaml", "a.yaml"} {
			_, list := limited(t, fstest.MapFS{"huge.yaml": huge, "a.yaml": {Data: []byte(doc)}}, entry)
			if !slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == source.CodeTooLarge }) {
				t.Errorf("%s, %s: %v", v, entry, list)
			}
		}
	}
}

// Whatever leads back to itself is said, or is no mistake (documents may import each other), and never followed for ever.
func TestCircles(t *testing.T) {
	v13, v20 := "tosca_definitions_version: tosca_simple_yaml_1_3\n", "tosca_definitions_version: tosca_2_0\n"
	for name, c := range map[string]struct {
		files map[string]string
		code  string // "" for none
	}{
		"node types":         {map[string]string{"a.yaml": v13 + "node_types: { A: { derived_from: B }, B: { derived_from: C }, C: { derived_from: A } }\n"}, "type-cycle"},
		"a type of itself":   {map[string]string{"a.yaml": v13 + "capability_types: { A: { derived_from: A } }\n"}, "type-cycle"},
		"data types":         {map[string]string{"a.yaml": v20 + "data_types: { A: { derived_from: B }, B: { derived_from: A } }\n"}, "type-cycle"},
		"types over files":   {map[string]string{"a.yaml": v13 + "imports: [ b.yaml ]\nnode_types: { A: { derived_from: B } }\n", "b.yaml": v13 + "imports: [ a.yaml ]\nnode_types: { B: { derived_from: A } }\n"}, "type-cycle"},
		"imports":            {map[string]string{"a.yaml": v13 + "imports: [ b.yaml ]\n", "b.yaml": v13 + "imports: [ c.yaml ]\n", "c.yaml": v13 + "imports: [ a.yaml, c.yaml ]\n"}, ""},
		"prefixed imports":   {map[string]string{"a.yaml": v13 + "imports: [ { file: a.yaml, namespace_prefix: p } ]\ntopology_template: { node_templates: { n: { type: p:p:p:tosca.nodes.Root } } }\n"}, ""},
		"blueprint imports":  {map[string]string{"a.yaml": "tosca_definitions_version: cloudify_dsl_1_3\nimports: [ cloudify/types/types.yaml, b.yaml ]\n", "b.yaml": "imports: [ a.yaml, b.yaml ]\n"}, ""},
		"fields of a type":   {map[string]string{"a.yaml": v13 + "data_types: { T: { derived_from: tosca.datatypes.Root, properties: { next: { type: T, required: false } } } }\nnode_types: { N: { derived_from: tosca.nodes.Root, properties: { t: { type: T, required: false } } } }\ntopology_template: { node_templates: { n: { type: N } } }\n"}, ""},
		"inline workflows":   {map[string]string{"a.yaml": v13 + "topology_template: { node_templates: { n: { type: tosca.nodes.Root } }, workflows: { a: { steps: { s: { target: n, activities: [ { inline: b } ] } } }, b: { steps: { s: { target: n, activities: [ { inline: a } ] } } } } }\n"}, "workflow-cycle"},
		"nodes":              {map[string]string{"a.yaml": v13 + "topology_template: { node_templates: { a: { type: tosca.nodes.Root, requirements: [ { dependency: b } ] }, b: { type: tosca.nodes.Root, requirements: [ { dependency: a } ] } } }\n"}, "node-cycle"},
		"copies":             {map[string]string{"a.yaml": v13 + "topology_template: { node_templates: { a: { copy: b, type: tosca.nodes.Root }, b: { copy: a, type: tosca.nodes.Root } } }\n"}, ""},
		"steps":              {map[string]string{"a.yaml": v13 + "topology_template: { node_templates: { n: { type: tosca.nodes.Root } }, workflows: { w: { steps: { a: { target: n, activities: [ { set_state: x } ], on_success: [ b ] }, b: { target: n, activities: [ { set_state: x } ], on_success: [ a ] } } } } }\n"}, "workflow-cycle"},
		"a substitution":     {map[string]string{"a.yaml": v20 + "node_types: { T: {description: t} }\nservice_template: { substitution_mappings: { node_type: T }, node_templates: { n: { type: T, directives: [ substitute ] } } }\n"}, "*"},
		"a property of self": {map[string]string{"a.yaml": v13 + "node_types: { N: { derived_from: tosca.nodes.Root, properties: { a: { type: string, default: { get_property: [ SELF, b ] } }, b: { type: string, default: { get_property: [ SELF, a ] } } } } }\ntopology_template: { node_templates: { n: { type: N } } }\n"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for p, text := range c.files {
				files[p] = &fstest.MapFile{Data: []byte(text)}
			}
			top, list := limited(t, files, "a.yaml")
			found := slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == c.code })
			if c.code != "" && c.code != "*" && !found {
				t.Errorf("%s is not among %v", c.code, list)
			}
			if top != nil {
				evaluate(top)
			}
		})
	}
}

// A long line of ancestors costs no more than other types do, whichever end is declared first.
func TestTypesThatDeriveTooDeep(t *testing.T) {
	for _, v := range []string{"tosca_simple_yaml_1_3", "tosca_2_0", "alien_dsl_3_0_0", "cloudify_dsl_1_5"} {
		for name, line := range map[string]string{"ancestors last": "  T%d: { derived_from: T%[2]d }\n", "ancestors first": "  T%[2]d: { derived_from: T%[1]d }\n"} {
			t.Run(v+"/"+name, func(t *testing.T) {
				var b strings.Builder
				fmt.Fprintf(&b, "tosca_definitions_version: %s\nnode_types:\n", v)
				for i := range 20_000 {
					fmt.Fprintf(&b, line, i, i+1)
				}
				_, list := limited(t, fstest.MapFS{"a.yaml": {Data: []byte(b.String())}}, "a.yaml")
				if !slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return d.Code == "type-depth" }) || len(list) > 3 {
					t.Errorf("got %d findings: %.400v", len(list), list)
				}
			})
		}
	}
}

// Nodes that contain each other, in a line or in a circle, are each looked at once.
func TestBlueprintsOfDeepContainment(t *testing.T) {
	for name, last := range map[string]string{"a line": "  n3999: { type: cloudify.nodes.Root }\n", "a circle": "  n3999: { type: cloudify.nodes.Root, relationships: [ { type: cloudify.relationships.contained_in, target: n0 } ] }\n"} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("tosca_definitions_version: cloudify_dsl_1_5\nimports: [ cloudify/types/types.yaml ]\nnode_templates:\n")
			for i := range 3999 {
				fmt.Fprintf(&b, "  n%d: { type: cloudify.nodes.Root, relationships: [ { type: cloudify.relationships.contained_in, target: n%d } ] }\n", i, i+1)
			}
			b.WriteString(last)
			top, list := limited(t, fstest.MapFS{"a.yaml": {Data: []byte(b.String())}}, "a.yaml")
			if top == nil || len(top.Nodes) != 4000 || (len(list) > 0) != (name == "a circle") {
				t.Errorf("%.300v", list)
			}
		})
	}
}
