package tosca

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
)

// testdata/mistakes.txt plants one typical mistake at a time in documents that have none: there is one finding, where the mistake is, and its hint
// helps.
func TestMistakes(t *testing.T) {
	text, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	unquote := strings.NewReplacer(`\n`, "\n", `\t`, "\t")
	for _, part := range strings.Split(string(text), "\n=== ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		cases := strings.Split(body, "\n>>> ")
		docs := strings.Split(cases[0], "\n--- ")
		files := map[string]string{"app.yaml": docs[0] + "\n", "scripts/start.sh": "", "scripts/configure.sh": "", "images/web.png": ""}
		for _, d := range docs[1:] {
			name, body, _ := strings.Cut(d, "\n")
			files[name] = body + "\n"
		}
		if _, list := loadFiles(files); len(list) > 0 {
			t.Errorf("%s: %v", title, list)
		}
		base := files["app.yaml"]
		for _, c := range cases[1:] {
			lines := strings.Split(c, "\n")
			head := strings.Split(lines[0], "|")
			name, want, hint := strings.TrimSpace(head[0]), strings.TrimSpace(head[1]), strings.TrimSpace(head[2])
			old, now := unquote.Replace(lines[1][1:]), unquote.Replace(lines[2][1:])
			if !strings.Contains(base, old) {
				t.Errorf("%s/%s: the document has no %q", title, name, old)
				continue
			}
			t.Run(title+"/"+name, func(t *testing.T) {
				files["app.yaml"] = strings.Replace(base, old, now, 1)
				_, list := loadFiles(files)
				var got []string
				for _, d := range list {
					mark := ""
					if d.Severity != diag.Error {
						mark = "~"
					}
					got = append(got, fmt.Sprintf("%d:%d %s%s", d.Pos.Line, d.Pos.Col, mark, d.Code))
				}
				if len(got) != 1 || got[0] != want || !strings.HasPrefix(list[0].Hint, hint) || (hint == "") != (list[0].Hint == "") {
					t.Errorf("want %s (%s), got %v", want, hint, list)
				}
			})
		}
	}
}
