package plan_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/orch-project/orch/internal/orchtest/ziptest"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// load resolves the documents of an archive whose root is the first file; servers are made by the location.
func load(t *testing.T, files []txtar.File) *topology.Topology {
	t.Helper()
	texts := map[string]string{}
	for _, f := range files {
		texts[f.Name] = string(f.Data)
	}
	packed := ziptest.Pack(t, texts)
	bundle, list := source.OpenReader("a.csar", bytes.NewReader(packed), int64(len(packed)))
	if list.HasErrors() {
		t.Fatal(list)
	}
	top, list := tosca.Load(t.Context(), tosca.Options{Bundle: bundle})
	if list.HasErrors() {
		t.Fatal(list)
	}
	for _, n := range top.Nodes {
		n.Native = n.Type.Is("tosca.nodes.Compute") || n.Type.Is("cloudify.nodes.Compute")
	}
	return top
}

// Each testdata/dialects/*.txtar holds documents and, after them, the plans that they lead to: install, uninstall of what that made, and,
// where the archive's comment says "scale: NODE=N …", the plan of that scaling ("scale"). The order in them is the dialect's.
func TestOrderOfDialects(t *testing.T) {
	names, err := filepath.Glob("testdata/dialects/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var docs []txtar.File
			want := map[string]string{}
			for _, f := range a.Files {
				if rest, ok := strings.CutPrefix(f.Name, "plan/"); ok {
					want[rest] = string(f.Data)
					continue
				}
				docs = append(docs, f)
			}
			top := load(t, docs)
			got := &txtar.Archive{Comment: a.Comment, Files: docs}
			text := func(name string, in plan.Input) *plan.Plan {
				in.Topology = top
				p := build(t, in)
				var b bytes.Buffer
				if err := p.Text(&b); err != nil {
					t.Fatal(err)
				}
				got.Files = append(got.Files, txtar.File{Name: "plan/" + name, Data: b.Bytes()})
				return p
			}
			rec := done(nil, text("install", plan.Input{}).Steps...)
			if again := build(t, plan.Input{Topology: top, Recorded: rec}); len(again.Steps) > 0 {
				t.Errorf("a second install has %d steps, the first %s", len(again.Steps), again.Steps[0].ID)
			}
			text("uninstall", plan.Input{Workflow: plan.Uninstall, Recorded: rec})
			if scale := scaleOf(t, string(a.Comment)); scale != nil {
				text("scale", plan.Input{Recorded: rec, Scale: scale})
			}
			if *update {
				if err := os.WriteFile(name, txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range got.Files[len(docs):] {
				if diff := cmp.Diff(want[strings.TrimPrefix(f.Name, "plan/")], string(f.Data)); diff != "" {
					t.Errorf("%s differs (-want +got), run with -update if that is right:\n%s", f.Name, diff)
				}
			}
		})
	}
}

func scaleOf(t *testing.T, comment string) map[string]int {
	_, list, ok := strings.Cut(comment, "scale: ")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, "\n")
	out := map[string]int{}
	for _, f := range strings.Fields(list) {
		node, n, _ := strings.Cut(f, "=")
		if len(n) != 1 {
			t.Fatalf("scale: %q", f)
		}
		out[node] = int(n[0] - '0')
	}
	return out
}
