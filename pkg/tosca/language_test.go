package tosca

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
)

// testdata/language-*.txt walk through the grammar: each construct as it should be and as it should not.
func TestLanguage(t *testing.T) {
	files, err := filepath.Glob("testdata/language-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range strings.Split("\n"+string(text), "\n=== ")[1:] {
			head, body, _ := strings.Cut(c, "\n")
			name, codes, _ := strings.Cut(head, "|")
			t.Run(filepath.Base(file)+"/"+strings.TrimSpace(name), func(t *testing.T) {
				parts := strings.Split("\n"+body, "\n--- ")
				docs := map[string]string{"app.yaml": strings.TrimPrefix(parts[0], "\n")}
				for _, p := range parts[1:] {
					name, body, _ := strings.Cut(p, "\n")
					docs[name] = body
				}
				_, list := loadFiles(docs)
				got := []string{}
				for _, d := range list {
					if d.Severity == diag.Error {
						got = append(got, d.Code)
					}
				}
				slices.Sort(got)
				if diff := cmp.Diff(append([]string{}, strings.Fields(codes)...), got); diff != "" {
					t.Error(diff, list)
				}
			})
		}
	}
}
