package tosca

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/orch-project/orch/internal/orchtest/ziptest"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

var update = flag.Bool("update", false, "write the golden files")

// Each testdata/*.txtar is an archive of documents and, after them, topology.json (what they resolve to) and diagnostics (as text).
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files, want := map[string]string{}, map[string]string{}
			inputs := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if f.Name == "topology.json" || f.Name == "diagnostics" {
					want[f.Name] = string(f.Data)
					continue
				}
				inputs.Files = append(inputs.Files, f)
				files[f.Name] = string(f.Data)
			}
			packed := ziptest.Pack(t, files)
			bundle, list := source.OpenReader("a.csar", bytes.NewReader(packed), int64(len(packed)))
			if list.HasErrors() {
				t.Fatal(list)
			}
			top, list := Load(context.Background(), Options{Bundle: bundle})
			got := map[string]string{}
			if top != nil && !list.HasErrors() {
				dump, err := topology.Dump(top)
				if err != nil {
					t.Fatal(err)
				}
				got["topology.json"] = string(dump)
			}
			if list != nil {
				var text bytes.Buffer
				if err := diag.WriteText(&text, list, diag.TextOptions{NoExcerpt: true}); err != nil {
					t.Fatal(err)
				}
				got["diagnostics"] = text.String()
			}
			if *update {
				for _, k := range []string{"topology.json", "diagnostics"} {
					if got[k] != "" {
						inputs.Files = append(inputs.Files, txtar.File{Name: k, Data: []byte(got[k])})
					}
				}
				if err := os.WriteFile(name, txtar.Format(inputs), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
