package diag

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSARIFHasTheRequiredStructure holds the output against the parts of the SARIF 2.1.0 schema that it uses (testdata/sarif.json: required
// properties, enumerations, least values and formats as in the OASIS schema, and nothing that it does not know).
func TestSARIFHasTheRequiredStructure(t *testing.T) {
	raw, err := os.ReadFile("testdata/sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	odd := List{
		{Severity: Info, Code: "never-registered", Pos: Pos{"dir with blank/ä#1.zip!a b.yaml", 3, 1}, Message: "<b>\u00e4</b>"},
		{Severity: Error, Code: "unknown-type", Message: "no place at all"},
		{Severity: Warning, Code: "unknown-type", Pos: Pos{File: "/abs/with %.yaml"}, Message: "a file"},
		{Severity: Warning, Code: "unknown-type", Pos: Pos{File: "https://host/x.yaml", Line: 1}, Message: "remote", Hint: "hint"},
	}
	for name, list := range map[string]List{"nothing": nil, "sample": sample, "odd": odd} {
		var b bytes.Buffer
		if err := WriteSARIF(&b, list, "v1"); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%s: %v\n%s", name, err, b.String())
		}
		var log struct {
			Runs []struct {
				Tool struct {
					Driver struct{ Rules []struct{ ID string } }
				}
				Results []struct {
					RuleID    string
					RuleIndex int
				}
			}
		}
		if err := json.Unmarshal(b.Bytes(), &log); err != nil {
			t.Fatal(err)
		}
		run := log.Runs[0]
		if len(run.Results) != len(list) {
			t.Errorf("%s: %d results of %d findings", name, len(run.Results), len(list))
		}
		for _, r := range run.Results {
			if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
				t.Errorf("%s: the rule %d is not %s", name, r.RuleIndex, r.RuleID)
			}
		}
		if name == "odd" {
			for _, want := range []string{`"dir%20with%20blank/%C3%A4%231.zip%21a%20b.yaml"`, `"file:///abs/with%20%25.yaml"`, `"https://host/x.yaml"`} {
				if !strings.Contains(strings.ReplaceAll(b.String(), "!", "%21"), want) {
					t.Errorf("%s is not in\n%s", want, b.String())
				}
			}
		}
	}
}
