package tosca

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/internal/orchtest/generated"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// FuzzLoad feeds documents of every dialect: whatever they say, loading ends soon, without a panic, with an error or a topology that can be
// dumped and evaluated.
func FuzzLoad(f *testing.F) {
	for _, glob := range []string{"testdata/*.yaml", "../../../shared/corpus/tosca-community-contributions/tests/*/*/*.yaml", "../../../shared/corpus/yorc/deployments/testdata/*.yaml",
		"../../../shared/corpus/go-puccini/examples/1.3/*.yaml"} {
		files, _ := filepath.Glob(glob)
		for _, name := range files {
			if data, err := os.ReadFile(name); err == nil && len(data) < 20_000 {
				f.Add(data)
			}
		}
	}
	f.Add(generated.Topology(8))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		b, _ := source.OpenFS("fuzz", fstest.MapFS{"app.yaml": {Data: data}}, "app.yaml")
		top, list := Load(context.Background(), Options{Bundle: b})
		if top == nil && !list.HasErrors() {
			t.Fatal("neither a topology nor an error")
		}
		if top != nil {
			if _, err := topology.Dump(top); err != nil {
				t.Fatal(err)
			}
			if !list.HasErrors() {
				evaluate(top)
			}
		}
	})
}

// evaluate runs every expression without an environment; errors are fine, panics are not.
func evaluate(top *topology.Topology) {
	ctx := context.Background()
	values := func(sc topology.Scope, vs *topology.Values) {
		for _, v := range vs.All() {
			_, _ = topology.Eval(ctx, sc, v, nil)
		}
	}
	for _, n := range top.Nodes {
		sc := topology.Scope{Topology: top, Node: n}
		values(sc, n.Properties)
		values(sc, n.Attributes)
		for _, c := range n.Capabilities {
			values(sc, c.Properties)
		}
		for _, i := range n.Interfaces {
			for _, o := range i.Operations {
				values(sc, o.Inputs)
			}
		}
		for _, r := range n.Relationships {
			sc.Relationship = r
			values(sc, r.Properties)
		}
		_, _, _, _ = top.Scale(ctx, n.Name, nil)
	}
	for _, o := range top.Outputs {
		_, _ = topology.Eval(ctx, topology.Scope{Topology: top}, o.Value, nil)
	}
	topology.CheckInputs(top.Inputs, map[string]any{"x": 1}, nil)
}

// FuzzImport feeds import texts.
func FuzzImport(f *testing.F) {
	for _, s := range []string{"../x.yaml", "<a.yml>", "a:1", "/etc/passwd", "http://x/y.yaml", "", "{file: ../../x}", "{profile: a:b}", "[a]", "types.yaml", "app.yaml"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\n") {
			return
		}
		defer bounded.Input(t)()
		fsys := fstest.MapFS{
			"d/app.yaml":   {Data: []byte("tosca_definitions_version: tosca_simple_yaml_1_3\nimports:\n  - " + text + "\n")},
			"d/types.yaml": {Data: []byte("tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ app.yaml ]\n")},
		}
		b, _ := source.OpenFS("fuzz", fsys, "d/app.yaml")
		if top, list := Load(context.Background(), Options{Bundle: b}); top == nil && !list.HasErrors() {
			t.Fatal("neither a topology nor an error")
		}
	})
}

// FuzzBlueprint feeds Cloudify blueprints with an import under a namespace.
func FuzzBlueprint(f *testing.F) {
	for _, glob := range []string{"../../../shared/corpus/cloudify/blueprint-examples/*/*.yaml", "../../../shared/corpus/cloudify/cloudify-openstack-plugin/examples/2.x/*.yaml"} {
		files, _ := filepath.Glob(glob)
		for _, name := range files {
			if data, err := os.ReadFile(name); err == nil && len(data) < 20_000 {
				f.Add(data)
			}
		}
	}
	f.Add([]byte("node_templates: {a: {type: cloudify.nodes.Root}}\ngroups: {g: {members: [a, g]}}\npolicies: {p: {type: cloudify.policies.scaling, targets: [g]}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounded.Input(t)()
		main := "tosca_definitions_version: cloudify_dsl_1_5\nimports: [cloudify/types/types.yaml, more.yaml, ns--more.yaml]\n"
		files := fstest.MapFS{"blueprint.yaml": {Data: []byte(main)}, "more.yaml": {Data: data}}
		for _, entry := range []string{"blueprint.yaml", "more.yaml"} {
			b, _ := source.OpenFS("fuzz", files, entry)
			top, list := Load(context.Background(), Options{Bundle: b})
			if top == nil && !list.HasErrors() {
				t.Fatal("neither a topology nor an error")
			}
			if top != nil {
				if _, err := topology.Dump(top); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
