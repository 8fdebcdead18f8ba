package tosca

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/cloudify"
	"github.com/orch-project/orch/pkg/tosca/grammar"
)

var updateSchemas = flag.Bool("update-schemas", false, "write docs/schema anew")

const schemaDir = "../../docs/schema"

// schemas are all published schemas by their files' names.
func schemas(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	add := func(name string, schema any) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		if err := e.Encode(schema); err != nil {
			t.Fatal(err)
		}
		out[name] = b.Bytes()
	}
	for _, o := range grammar.Outlines() {
		add(o.SchemaFile(), o.JSONSchema())
	}
	add("tosca.json", grammar.AnySchema())
	return out
}

func TestSchemasAreGenerated(t *testing.T) {
	all := schemas(t)
	for name, want := range all {
		p := filepath.Join(schemaDir, name)
		if *updateSchemas {
			if err := os.MkdirAll(schemaDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s is not what the grammar says; run `go test ./pkg/tosca -run Schemas -update-schemas`: %s", p, cmp.Diff(string(got), string(want)))
		}
	}
	files, err := filepath.Glob(schemaDir + "/*.json")
	if err != nil || len(files) != len(all) {
		t.Errorf("%d schemas are published, %d generated (%v)", len(files), len(all), err)
	}
}

// compiled makes the schema that chooses by version, with all others.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	for name, raw := range schemas(t) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(grammar.SchemaID+name, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(grammar.SchemaID + "tosca.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain is a document as an editor hands it to a schema's validator.
func plain(t *testing.T, n *source.Node) any {
	t.Helper()
	raw, err := json.Marshal(finite(n.Any()))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// finite writes numbers that JSON does not have as texts.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return fmt.Sprint(v)
		}
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = finite(v[k])
		}
	}
	return v
}

// Every valid document of the corpus passes the schema of its dialect, its imports included.
func TestValidDocumentsPassTheirSchema(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(corpusDir, "corpus.json"))
	if err != nil {
		t.Skip("the corpus is not here")
	}
	if raceDetector {
		t.Skip("nothing runs at the same time")
	}
	var entries []corpusEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	schema := compiled(t)
	seen, checked := map[string]bool{}, map[string]int{}
	for _, e := range entries {
		if e.Expect != "valid" || strings.HasSuffix(e.Path, ".csar") || strings.HasSuffix(e.Path, ".zip") {
			continue
		}
		var needs []string
		for _, n := range e.Needs {
			needs = append(needs, filepath.Join(corpusDir, n))
		}
		top, list := Load(context.Background(), Options{Path: filepath.Join(corpusDir, e.Path), ImportPath: needs})
		if list.HasErrors() {
			continue // TestCorpus lists it
		}
		for _, src := range top.Sources {
			if ext := filepath.Ext(src); ext != ".yaml" && ext != ".yml" {
				continue
			}
			n, list := source.ParseFile(top.Files, src, "")
			version := n.Get("tosca_definitions_version").Str()
			key := e.Path + "!" + src
			if list.HasErrors() || version == "" || seen[key] || cloudify.Is(n) {
				continue
			}
			if src != top.Entry && n.Get("topology_template") != nil {
				continue // what an imported document's template holds is no concern of the importer
			}
			seen[key] = true
			if err := schema.Validate(plain(t, n)); err != nil {
				t.Errorf("%s (%s) is refused: %.600s", e.Path, src, err)
			}
			checked[version]++
		}
	}
	for v, n := range checked {
		t.Logf("%s: %d documents", v, n)
	}
}

func TestValidBlueprintsPassTheirSchema(t *testing.T) {
	var files []string
	_ = filepath.WalkDir(filepath.Join(corpusDir, "cloudify"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(p) == ".yaml" {
			if data, err := os.ReadFile(p); err == nil && bytes.Contains(data, []byte("cloudify_dsl_1_")) {
				files = append(files, p)
			}
		}
		return nil
	})
	if len(files) == 0 {
		t.Skip("the corpus is not here")
	}
	if raceDetector {
		t.Skip("nothing runs at the same time")
	}
	schema := compiled(t)
	n := 0
	for _, p := range files {
		top, list := Load(context.Background(), Options{Path: p, ImportPath: []string{filepath.Join(corpusDir, "cloudify/plugins")}})
		if top == nil || list.HasErrors() {
			continue
		}
		root, _ := source.ParseFile(top.Files, top.Entry, "")
		if err := schema.Validate(plain(t, root)); err != nil {
			t.Errorf("%s is refused: %.600s", p, err)
		}
		n++
	}
	t.Logf("%d blueprints", n)
}

// What the form alone shows to be wrong is refused.
func TestWrongDocumentsFailTheirSchema(t *testing.T) {
	schema := compiled(t)
	v13, v20, cfy := "tosca_definitions_version: tosca_simple_yaml_1_3\n", "tosca_definitions_version: tosca_2_0\n", "tosca_definitions_version: cloudify_dsl_1_3\n"
	for name, text := range map[string]string{
		"no version":                "node_types: {}\n",
		"unknown version":           "tosca_definitions_version: tosca_9_9\n",
		"unknown keyname":           v13 + "topology_templat: {}\n",
		"keyname of 2.0":            v13 + "service_template: { node_templates: {} }\n",
		"keyname of 1.x":            v20 + "topology_template: { node_templates: {} }\n",
		"keyname in a template":     v13 + "topology_template: { node_templates: { a: { type: T, propertys: {} } } }\n",
		"template without type":     v13 + "topology_template: { node_templates: { a: {} } }\n",
		"list for a map":            v13 + "node_types: []\n",
		"requirements as a map":     v13 + "topology_template: { node_templates: { a: { type: T, requirements: { host: b } } } }\n",
		"two keys in a requirement": v13 + "topology_template: { node_templates: { a: { type: T, requirements: [ { host: b, node: c } ] } } }\n",
		"unknown constraint":        v13 + "data_types: { D: { derived_from: string, constraints: [ { minimum: 1 } ] } }\n",
		"short in_range":            v13 + "data_types: { D: { derived_from: integer, constraints: [ { in_range: [ 1 ] } ] } }\n",
		"property without type":     v13 + "node_types: { T: { properties: { a: { default: 1 } } } }\n",
		"occurrences":               v13 + "node_types: { T: { requirements: [ { h: { capability: C, occurrences: 1 } } ] } }\n",
		"null section in 2.0":       v20 + "node_types:\n",
		"unknown activity":          v13 + "topology_template: { workflows: { w: { steps: { s: { target: a, activities: [ { call: x } ] } } } } }\n",
		"blueprint relationship":    cfy + "node_templates: { a: { type: T, relationships: [ { type: R } ] } }\n",
		"blueprint keyname":         cfy + "topology_template: {}\n",
		"too new for Cloudify 1.0":  "tosca_definitions_version: cloudify_dsl_1_0\ndsl_definitions: {}\n",
	} {
		n, list := source.Parse("x.yaml", []byte(text))
		if list.HasErrors() {
			t.Fatal(list.Err())
		}
		if schema.Validate(plain(t, n)) == nil {
			t.Errorf("%s is let through:\n%s", name, text)
		}
	}
}
