package view

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

func TestGraphEscapesNames(t *testing.T) {
	g := Graph{Name: `a"b`, Nodes: []GraphNode{{Name: `x"<y>`, Type: "my.types.Thing"}, {Name: "end", Type: "T"}},
		Relationships: []GraphRelationship{{Requirement: "host", Source: `x"<y>`, Target: "end", hostedOn: true}, {Requirement: "uses", Source: "end", Target: `x"<y>`}}}
	var dot, mermaid bytes.Buffer
	if err := g.DOT(&dot); err != nil {
		t.Fatal(err)
	}
	if err := g.Mermaid(&mermaid); err != nil {
		t.Fatal(err)
	}
	wantDOT := `digraph "a\"b" {
  rankdir=TB
  node [shape=box style=rounded fontname="sans-serif"]
  edge [fontname="sans-serif" fontsize=10]
  "x\"<y>" [label="x\"<y>\nThing"]
  "end" [label="end\nT"]
  "x\"<y>" -> "end" [label="host" style=bold]
  "end" -> "x\"<y>" [label="uses"]
}
`
	wantMermaid := `flowchart TB
  n0["x#quot;#lt;y#gt;<br/>Thing"]
  n1["end<br/>T"]
  n0 ==>|"host"| n1
  n1 -->|"uses"| n0
`
	if diff := cmp.Diff(wantDOT, dot.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantMermaid, mermaid.String()); diff != "" {
		t.Error(diff)
	}
}

func TestNeedsFindSecretsEverywhere(t *testing.T) {
	call := func(name string) *topology.Value {
		return &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_secret", Args: []*topology.Value{{Lit: name}}}}
	}
	props, inputs := topology.NewValues(), topology.NewValues()
	props.Set("password", &topology.Value{Kind: topology.ListValue, List: []*topology.Value{call("one")}})
	inputs.Set("TOKEN", call("two"))
	top := &topology.Topology{
		Inputs: []*topology.Parameter{{Name: "size", Required: true}, {Name: "port", Required: true, Value: &topology.Value{Lit: int64(80)}}},
		Nodes: []*topology.Node{{Name: "n", Type: topology.Type{"T"}, Properties: props, Interfaces: []*topology.Interface{{Name: "Standard", Operations: []*topology.Operation{
			{Interface: "Standard", Name: "create", Call: "fabric.tasks.run", Inputs: inputs}}}}}},
		Outputs: []*topology.Parameter{{Name: "o", Value: call("three")}},
	}
	got, err := NeedsOf(top)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "three", "two"}, got.Secrets); diff != "" {
		t.Error(diff)
	}
	if !got.Inputs[0].Required || got.Inputs[1].Required || got.Plugins[0] != "fabric" || got.Types["T"] != 1 {
		t.Errorf("%+v", got)
	}
}

func TestDiagnosticsShowTheLine(t *testing.T) {
	var b bytes.Buffer
	(&Printer{W: &b}).Diagnostics(diag.List{{Code: "c", Pos: diag.Pos{File: "f.yaml", Line: 2, Col: 3}, Message: "wrong", Hint: "right"}, {Code: "d", Message: "nowhere"}},
		func(string) ([]byte, error) { return []byte("a:\n  b\n"), nil })
	want := "error: nowhere [d]\nf.yaml:2:3: error: wrong [c]\n    2 |   b\n      |   ^\n   = right\n2 errors\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	if _, err := ReadDocument(t.TempDir()); err == nil {
		t.Error("a directory is no document")
	}
}

func TestWrap(t *testing.T) {
	if diff := cmp.Diff("one two\nthree\n  kept as it is\nfour", Wrap("one two three\n  kept as it is\nfour", 8)); diff != "" {
		t.Error(diff)
	}
}

func TestTemplateIsAFileOfInputs(t *testing.T) {
	n := Needs{Secrets: []string{"pw"}, Inputs: []NeededInput{
		{Name: "size", Type: "integer", Required: true, Description: "two\nlines", Constraints: []map[string]any{{"in_range": []any{1, 4}}}},
		{Name: "name", Type: "string", Default: topology.Lit("web")},
		{Name: "computed", Default: &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_secret"}}},
		{Name: "free", Fields: map[string]NeededField{"a": {Type: "integer", Required: true}}},
	}}
	var b bytes.Buffer
	err := n.Template(&b, func(w io.Writer, v any) error {
		for k, v := range v.(map[string]any) {
			if v == nil {
				v = "null"
			}
			fmt.Fprintf(w, "%s: %v\n", k, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "# Inputs: fill in what has no value and give the file to `orch deploy --inputs`.\n# Secrets are not kept here; set them with `orch secrets set NAME`: pw\n" +
		"\n# two\n# lines\n# integer; required; in range [1,4]\nsize:\n\n# string; has a default\n# name: web\n" +
		"\n# the default is computed: {\"$get_secret\":[]}\n# computed: null\n\n# optional; a: integer (required)\n# free: null\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
