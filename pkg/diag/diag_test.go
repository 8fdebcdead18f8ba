package diag

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var sample = List{
	{
		Severity: Error, Code: "unknown-type", Pos: Pos{"app.yaml", 2, 9}, Path: "node_templates.web.type", Message: `unknown node type "Compte"`,
		Hint: `did you mean "Compute"?`, Related: []Related{{Pos: Pos{"types.yaml", 1, 1}, Message: "types come from here"}},
	},
	{Severity: Warning, Code: "missing-file", Pos: Pos{File: "gone.yaml", Line: 3}, Message: "no file\x1b[31m"},
}

func TestWriteText(t *testing.T) {
	var b bytes.Buffer
	err := WriteText(&b, sample, TextOptions{Source: func(file string) ([]byte, error) {
		if file != "app.yaml" {
			return nil, errors.New("not there")
		}
		return []byte("web:\n  type: Compte\n"), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `app.yaml:2:9: error: unknown node type "Compte" [unknown-type]
    2 |   type: Compte
      |         ^
   = did you mean "Compute"?
   - types.yaml:1:1: types come from here
gone.yaml:3: warning: no file�[31m [missing-file]
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWriteTextKeepsFarColumnsVisible(t *testing.T) {
	line := strings.Repeat("x", 3000) + "!" + strings.Repeat("y", 3000)
	var b bytes.Buffer
	l := List{{Code: "c", Pos: Pos{"f", 1, 3001}, Message: "m"}}
	if err := WriteText(&b, l, TextOptions{Source: func(string) ([]byte, error) { return []byte(line), nil }}); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(b.String(), "\n")
	caret := strings.IndexByte(rows[2], '^')
	if len(rows[1]) > 200 || caret < 0 || rows[1][caret] != '!' {
		t.Errorf("the caret does not point at the place:\n%s", b.String())
	}
}

func TestWriteJSONAndSARIF(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, sample); err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(b.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Valid || r.Errors != 1 || r.Warnings != 1 || cmp.Diff(sample, r.Diagnostics) != "" {
		t.Errorf("report = %+v", r)
	}
	b.Reset()
	if err := WriteJSON(&b, nil); err != nil || !strings.Contains(b.String(), `"diagnostics": []`) {
		t.Errorf("an empty list must be [] in JSON: %s", b.String())
	}
	b.Reset()
	if err := WriteSARIF(&b, sample, "1.0"); err != nil {
		t.Fatal(err)
	}
	var s sarif
	if err := json.Unmarshal(b.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if got := s.Runs[0].Results; len(got) != 2 || got[0].Level != "error" || got[0].Locations[0].Physical.Region.Col != 9 || got[1].RuleIndex != 1 {
		t.Errorf("results = %+v", got)
	}
}

func TestSuggest(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		from       []string
	}{
		{"prot", "port", []string{"port", "protocol"}},
		{"Compute", "tosca.nodes.Compute", []string{"tosca.nodes.Compute", "tosca.nodes.Root"}},
		{"tosca.nodes.Compte", "tosca.nodes.Compute", []string{"tosca.nodes.Compute", "tosca.nodes.Root"}},
		{"Compte", "tosca.nodes.Compute", []string{"tosca.nodes.Compute", "tosca.nodes.Root"}},
		{"Compte", "tosca.nodes.Compute", []string{"orch.nodes.openstack.Compute", "tosca.nodes.Compute"}}, // of equally near ones the one of nearest length
		{"PORT", "port", []string{"port"}},
		{"wbe", "web", []string{"web", "db"}}, // two letters swapped are one slip
		{"zebra", "", []string{"port", "cidr"}},
		{"x", "", []string{"cidr"}},
	} {
		want := ""
		if tc.want != "" {
			want = `did you mean "` + tc.want + `"?`
		}
		if got := Suggest(tc.name, tc.from); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", tc.name, got, want)
		}
	}
}

func TestSortedDropsRepetitions(t *testing.T) {
	a := Diagnostic{Code: "a", Pos: Pos{"f", 2, 1}, Message: "x"}
	b := Diagnostic{Code: "b", Pos: Pos{"f", 1, 1}, Message: "y"}
	if diff := cmp.Diff(List{b, a}, List{a, b, a}.Sorted()); diff != "" {
		t.Error(diff)
	}
}
