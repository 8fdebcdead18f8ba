package tosca

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
)

// corpusDir holds other people's documents with the results they should give; it is not part of the repository.
const corpusDir = "../../../shared/corpus"

type corpusEntry struct {
	Path       string
	Dialect    *string
	Expect     string
	ErrorHint  *string `json:"error_hint"`
	Needs      []string
	Confidence string
}

// floors are the least numbers of right answers per dialect.
var floors = map[string]int{
	"alien_dsl_1_2_0":              5,
	"alien_dsl_1_3_0":              17,
	"alien_dsl_1_4_0":              40,
	"alien_dsl_2_0_0":              126,
	"alien_dsl_3_0_0":              2,
	"tosca_2_0":                    182,
	"tosca_simple_yaml_1":          1,
	"tosca_simple_yaml_1_0":        94,
	"tosca_simple_yaml_1_0_0_wd03": 2,
	"tosca_simple_yaml_1_1":        2,
	"tosca_simple_yaml_1_10":       1,
	"tosca_simple_yaml_1_2":        1,
	"tosca_simple_yaml_1_3":        76,
	"tosca_simple_yaml_XXX":        1,
	"tosca_xyz":                    1,
	"yorc_tosca_simple_yaml_1_0":   1,
}

type score struct{ right, all, confirmed, confirmedAll int }

func (s score) row(name string) string {
	confirmed := ""
	if s.confirmedAll > 0 {
		confirmed = fmt.Sprintf("%d / %d ", s.confirmed, s.confirmedAll)
	}
	return fmt.Sprintf("| %s | %d / %d | %s|\n", name, s.right, s.all, confirmed)
}

// conformance is the page with the results; -update writes its table.
const conformance = "../../docs/conformance.md"

var (
	common    = regexp.MustCompile(`^(tosca_simple_yaml_1_[0-3]|tosca_2_0|alien_dsl_\d_\d_0)$`)
	published = regexp.MustCompile(`(?m)^\| dialect \| all \| confirmed \|\n(\|.*\n)+`)
)

// table is the results by dialect as the page has them: dialects of which there are hardly any documents share a row.
func table(scores map[string]*score, total score) string {
	b := strings.Builder{}
	b.WriteString("| dialect | all | confirmed |\n|---|---|---|\n")
	rest := score{}
	for _, d := range slices.Sorted(maps.Keys(scores)) {
		s := *scores[d]
		if !common.MatchString(d) {
			rest = score{rest.right + s.right, rest.all + s.all, rest.confirmed + s.confirmed, rest.confirmedAll + s.confirmedAll}
			continue
		}
		b.WriteString(s.row("`" + d + "`"))
	}
	b.WriteString(rest.row("Yorc, wd03, unknown versions"))
	b.WriteString(fmt.Sprintf("| **all** | **%d / %d** | **%d / %d** |\n", total.right, total.all, total.confirmed, total.confirmedAll))
	return b.String()
}

// publish compares the page's table with the results, or writes it.
func publish(t *testing.T, want string) {
	t.Helper()
	page, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	old := published.FindString(string(page))
	if old == want {
		return
	}
	if !*update {
		t.Errorf("%s does not have these results; run `go test ./pkg/tosca -run TestCorpus -update`\n%s", conformance, want)
		return
	}
	if err := os.WriteFile(conformance, []byte(strings.Replace(string(page), old, want, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCorpus(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(corpusDir, "corpus.json"))
	if err != nil {
		t.Skip("the corpus is not here")
	}
	if raceDetector {
		t.Skip("loading starts no goroutines; the corpus takes ten times as long under the race detector")
	}
	var entries []corpusEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	scores := map[string]*score{}
	filter := os.Getenv("CORPUS")
	var differences []string
	for _, e := range entries {
		if filter != "" && !strings.Contains(e.Path, filter) {
			continue
		}
		dialect := "-"
		if e.Dialect != nil {
			dialect = *e.Dialect
		}
		s := scores[dialect]
		if s == nil {
			s = &score{}
			scores[dialect] = s
		}
		var needs []string
		for _, n := range e.Needs {
			needs = append(needs, filepath.Join(corpusDir, n))
		}
		_, list := Load(context.Background(), Options{Path: filepath.Join(corpusDir, e.Path), ImportPath: needs})
		right := list.HasErrors() == (e.Expect == "invalid")
		s.all++
		if right {
			s.right++
		}
		if e.Confidence == "confirmed" {
			s.confirmedAll++
			if right {
				s.confirmed++
			}
		}
		if !right || filter != "" {
			hint := ""
			if e.ErrorHint != nil {
				hint = *e.ErrorHint
			}
			msg := fmt.Sprintf("%s %s: should be %s [%s] %s", dialect, e.Path, e.Expect, e.Confidence, hint)
			n := 0
			for _, d := range list {
				if (d.Severity == diag.Error || filter != "") && n < 6 {
					d.Pos.File = strings.TrimPrefix(d.Pos.File, corpusDir+"/")
					msg += "\n\t" + d.String()
					n++
				}
			}
			differences = append(differences, msg)
		}
	}
	total := score{}
	for _, d := range slices.Sorted(maps.Keys(scores)) {
		s := scores[d]
		t.Logf("%-32s %3d/%3d confirmed %3d/%3d", d, s.right, s.all, s.confirmed, s.confirmedAll)
		total.right, total.all = total.right+s.right, total.all+s.all
		total.confirmed, total.confirmedAll = total.confirmed+s.confirmed, total.confirmedAll+s.confirmedAll
		if filter == "" && s.right < floors[d] {
			t.Errorf("%s: %d right answers, fewer than the floor %d", d, s.right, floors[d])
		}
	}
	if filter == "" && total.confirmed < total.confirmedAll {
		t.Errorf("%d of %d confirmed expectations are met", total.confirmed, total.confirmedAll)
	}
	t.Logf("%-32s %3d/%3d confirmed %3d/%3d", "all", total.right, total.all, total.confirmed, total.confirmedAll)
	for _, d := range differences {
		t.Log(d)
	}
	if filter == "" {
		publish(t, table(scores, total))
	}
}
