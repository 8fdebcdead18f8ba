package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/orchtest/ziptest"
	"github.com/orch-project/orch/pkg/orch"
)

const stepType = `tosca_definitions_version: tosca_simple_yaml_1_3
node_types:
  t.App:
    derived_from: tosca.nodes.Root
    interfaces: { Standard: { operations: { create: scripts/create.sh, start: .hidden/start.sh } } }
`

const unknownType = `tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    a:
      type: known.to.the.Server
      description: Documents
      properties: { play: plays/site.yaml, roles: ./roles/web }
`

// A server is sent what the document refers to, and nothing that merely lies beside it.
func TestWhatIsSent(t *testing.T) {
	application := "topology_template: { node_templates: { a: { type: t.App } } }\n"
	for _, test := range []struct {
		name  string
		files map[string]string
		path  string // below the directory of the files
		entry string
		want  []string
	}{
		{"a document", map[string]string{"app.yaml": stepType + application, "scripts/create.sh": "", ".hidden/start.sh": "", "scripts/other.sh": "", "private.txt": "", "Photos/a.jpg": ""},
			"app.yaml", "app.yaml", []string{".hidden/start.sh", "app.yaml", "scripts/create.sh"}},
		{"a directory", map[string]string{"topology.yaml": stepType + application, "scripts/create.sh": "", ".hidden/start.sh": "", ".git/config": "", "movie.mkv": ""},
			".", "topology.yaml", []string{".hidden/start.sh", "scripts/create.sh", "topology.yaml"}},
		{"imports from above", map[string]string{"types.yaml": stepType, "scripts/create.sh": "", ".hidden/start.sh": "", "private.txt": "",
			"app/app.yaml": "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ ../types.yaml ]\n" + application},
			"app/app.yaml", "app/app.yaml", []string{".hidden/start.sh", "app/app.yaml", "scripts/create.sh", "types.yaml"}},
		{"types that are not known here", map[string]string{"app.yaml": unknownType, "plays/site.yaml": "", "plays/other.yaml": "", "roles/web/tasks/main.yaml": "", "Documents/taxes.txt": ""},
			"app.yaml", "app.yaml", []string{"app.yaml", "plays/site.yaml", "roles/web/tasks/main.yaml"}},
		{"nothing that can be read", map[string]string{"app.yaml": "a: [", "private.txt": ""}, "app.yaml", "app.yaml", []string{"app.yaml"}},
		{"a blueprint", map[string]string{"blueprint.yaml": "tosca_definitions_version: cloudify_dsl_1_3\nnode_types: { t.A: {} }\nnode_templates: { a: { type: t.A } }\n",
			"resources/index.html": "", ".git/config": ""}, "blueprint.yaml", "blueprint.yaml", []string{"blueprint.yaml", "resources/index.html"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.files {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			entry, names := sent(t, filepath.Join(dir, test.path))
			if entry != test.entry {
				t.Errorf("the root document is %s, want %s", entry, test.entry)
			}
			if d := cmp.Diff(test.want, names); d != "" {
				t.Errorf("what is sent (-want +got):\n%s", d)
			}
		})
	}
}

// Of an archive, too, what is needed is sent.
func TestWhatIsSentOfAnArchive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.zip")
	packed := ziptest.Pack(t, map[string]string{"app.yaml": stepType + "topology_template: { node_templates: { a: { type: t.App } } }\n", "scripts/create.sh": "", ".hidden/start.sh": "", "README": ""})
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	_, names := sent(t, file)
	if d := cmp.Diff([]string{".hidden/start.sh", "app.yaml", "scripts/create.sh"}, names); d != "" {
		t.Errorf("what is sent (-want +got):\n%s", d)
	}
}

// sent is the root document and the files that a client sends of a path.
func sent(t *testing.T, path string) (string, []string) {
	t.Helper()
	b, err := openSource(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := completeSource(t.Context(), &config.Config{}, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = whole.Close() })
	names, err := whole.FS.(orch.Selective).Needed()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if info, err := fs.Stat(whole.FS, name); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s cannot be packed: %v", name, err)
		}
	}
	slices.Sort(names)
	return whole.Entry, names
}
