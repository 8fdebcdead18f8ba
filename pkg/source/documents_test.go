package source

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentsFindsWhatCanBeValidated(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"app.yaml":                       "# an application\ntosca_definitions_version: tosca_2_0\n",
		"sub/types.yml":                  "\ufeff\"tosca_definitions_version\": alien_dsl_3_0_0\n",
		"sub/json.yaml":                  "{ \"tosca_definitions_version\": \"tosca_2_0\" }\n",
		"sub/inputs.yaml":                "user: me\n",
		"sub/notes.txt":                  "tosca_definitions_version: tosca_2_0\n",
		"sub/a.csar":                     "PK",
		".git/x.yaml":                    "tosca_definitions_version: tosca_2_0\n",
		"csar/TOSCA-Metadata/TOSCA.meta": "TOSCA-Meta-File-Version: 1.1\n",
		"csar/one.yaml":                  "tosca_definitions_version: tosca_2_0\n",
		"empty.yaml":                     "",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Documents(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i], _ = filepath.Rel(dir, got[i])
	}
	if diff := cmp.Diff([]string{"app.yaml", "csar", "sub/a.csar", "sub/json.yaml", "sub/types.yml"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := Documents(filepath.Join(dir, "gone")); err == nil {
		t.Error("a directory that is not there has no documents")
	}
}
