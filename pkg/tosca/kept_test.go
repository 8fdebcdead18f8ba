package tosca

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
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
	files := Keep(top)
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
