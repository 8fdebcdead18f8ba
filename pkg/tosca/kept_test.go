package tosca

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// remote is a network with documents, which counts what is read of it.
type remote struct {
	docs map[string]string
	read int
}

func (r *remote) fetch(_ context.Context, url string) ([]byte, error) {
	r.read++
	if text, ok := r.docs[url]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("the server answers 404 Not Found")
}

const remoteApp = `tosca_definitions_version: tosca_simple_yaml_1_3
imports: [ "https://types.example/lib/types.yaml" ]
topology_template: { node_templates: { n: { type: my.Node, properties: { size: 1 } } } }
`

func remoteTypes() *remote {
	return &remote{docs: map[string]string{
		"https://types.example/lib/types.yaml":     "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ more/base.yaml ]\nnode_types: { my.Node: { derived_from: my.Base } }\n",
		"https://types.example/lib/more/base.yaml": "tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types: { my.Base: { derived_from: tosca.nodes.Root, properties: { size: { type: integer } } } }\n",
	}}
}

// TestKeptImports: what came from the network, also by relative paths, is kept by address and sum, and read again without the network.
func TestKeptImports(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("app.yaml", remoteApp)
	net := remoteTypes()
	top, list := Load(t.Context(), Options{Path: dir, Fetch: net.fetch})
	if list.HasErrors() || net.read != 2 || len(top.Network) != 2 {
		t.Fatalf("%d documents read, %v", net.read, list)
	}
	files, err := Keep(top)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Fatalf("kept are %v", maps.Keys(files))
	}

	// An older revision's copies serve where the network is not allowed, and only there.
	old := fstest.MapFS{}
	for name, data := range files {
		old[name] = &fstest.MapFile{Data: data}
	}
	if _, list := Load(t.Context(), Options{Path: dir}); list.Err() == nil || !strings.Contains(list.Err().Error(), "network-import") {
		t.Fatalf("without the network and copies: %v", list)
	}
	if again, list := Load(t.Context(), Options{Path: dir, Kept: old}); list.HasErrors() || again.Digest != top.Digest {
		t.Fatalf("with copies of an older revision: %v", list)
	}
	net.docs["https://types.example/lib/more/base.yaml"] += "# changed\n"
	if again, list := Load(t.Context(), Options{Path: dir, Kept: old, Fetch: net.fetch}); list.HasErrors() || again.Digest == top.Digest {
		t.Fatalf("an allowed network is not asked: %v", list)
	}

	// Copies in the bundle are always taken.
	for name, data := range files {
		write(name, string(data))
	}
	before := net.read
	if again, list := Load(t.Context(), Options{Path: dir, Fetch: net.fetch}); list.HasErrors() || net.read != before || again.Digest != top.Digest {
		t.Fatalf("the bundle's copies are not taken (%d documents read): %v", net.read-before, list)
	}

	// A copy that is not the one of the lock is refused.
	for name := range files {
		if name != LockFile {
			write(name, "tosca_definitions_version: tosca_simple_yaml_1_3\n")
		}
	}
	if _, list := Load(t.Context(), Options{Path: dir, Fetch: net.fetch}); list.Err() == nil || !strings.Contains(list.Err().Error(), CodeKept) {
		t.Fatalf("changed copies are taken: %v", list)
	}
}

// What a document uses of archives in import paths is kept, of each dialect's kinds, and is loaded where the archives are not.
func TestKeptArchives(t *testing.T) {
	dir := t.TempDir()
	archives := filepath.Join(dir, "archives")
	for name, text := range map[string]string{
		"archives/my-types/1/types.yaml": "tosca_definitions_version: tosca_simple_yaml_1_3\nmetadata: { template_name: my-types, template_version: 1.0.0 }\nimports: [ more.yaml ]\n",
		"archives/my-types/1/more.yaml":  "tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types: { my.Node: { derived_from: tosca.nodes.Root } }\n",
		"archives/my-types/1/unused.txt": "not needed",
		"archives/cloudify-my-plugin/plugin.yaml": "plugins: { my: { executor: central_deployment_agent, package_name: cloudify-my-plugin, package_version: 2.1.0 } }\n" +
			"node_types: { my.Node: { derived_from: cloudify.nodes.Root } }\n",
		"archives/base/blueprint.yaml": "tosca_definitions_version: cloudify_dsl_1_3\nimports: [ cloudify/types/types.yaml ]\nnode_types: { base.Node: { derived_from: cloudify.nodes.Root } }\n",
		"tosca/app.yaml":               "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ my-types:1.0.0 ]\ntopology_template: { node_templates: { n: { type: my.Node } } }\n",
		"plugin/app.yaml":              "tosca_definitions_version: cloudify_dsl_1_3\nimports: [ cloudify/types/types.yaml, plugin:cloudify-my-plugin ]\nnode_templates: { n: { type: my.Node } }\n",
		"blueprint/app.yaml":           "tosca_definitions_version: cloudify_dsl_1_3\nimports: [ cloudify/types/types.yaml, base--blueprint:base ]\nnode_templates: { n: { type: base--base.Node } }\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"tosca", "plugin", "blueprint"} {
		bundle := os.DirFS(filepath.Join(dir, kind))
		load := func(fsys fs.FS, importPath ...string) (*topology.Topology, diag.List) {
			b, list := source.OpenFS(kind, fsys, "app.yaml")
			if list.HasErrors() {
				t.Fatal(list)
			}
			return Load(t.Context(), Options{Bundle: b, ImportPath: importPath, Libraries: Builtin()})
		}
		top, list := load(bundle, archives)
		if list.HasErrors() {
			t.Errorf("%s: %v", kind, list)
			continue
		}
		files, err := Keep(top)
		if err != nil {
			t.Fatal(err)
		}
		for name := range files {
			if strings.HasSuffix(name, "unused.txt") {
				t.Errorf("%s is kept", name)
			}
		}
		if _, list := load(bundle); !list.HasErrors() {
			t.Errorf("%s: loaded without its import path", kind)
		}
		again, list := load(WithKept(bundle, files))
		if list.HasErrors() || again.Digest != top.Digest {
			t.Errorf("%s: %v; digests %s and %s; kept are %v", kind, list, top.Digest, again.Digest, slices.Sorted(maps.Keys(files)))
		}
	}

	// An index that leads out of its directory is refused.
	bad := fstest.MapFS{"app.yaml": {Data: []byte("tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ my-types:1.0.0 ]\n")},
		KeptDir + "/archives.json": {Data: []byte(`[{"name":"../../../x"},{"name":""}]`)}}
	b, _ := source.OpenFS("bad", bad, "app.yaml")
	if _, list := Load(t.Context(), Options{Bundle: b}); list.Err() == nil || !strings.Contains(list.Err().Error(), CodeKept) {
		t.Errorf("a bad index: %v", list)
	}
}
