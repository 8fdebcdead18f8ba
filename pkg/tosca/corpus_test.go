package tosca

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
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
	"alien_dsl_2_0_0":              125,
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
	type score struct{ right, all, confirmed, confirmedAll int }
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
}
