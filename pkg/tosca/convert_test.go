package tosca

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/convert"
)

// converted loads a conversion in the place of its source, without import paths: it must stand alone.
func converted(t *testing.T, file string, target string, imports []string) (before, after *topology.Topology, lost, wrong diag.List, text string) {
	t.Helper()
	none := func(string) ([]byte, bool) { return nil, false }
	b, _ := source.OpenDocument(file, none)
	a := Analyze(context.Background(), Options{Bundle: b, ImportPath: imports})
	if a.Topology == nil || a.Root == nil || a.Findings.HasErrors() {
		return nil, nil, nil, a.Findings, ""
	}
	abs, _ := filepath.Abs(file)
	place := func(data []byte) (*source.Bundle, error) {
		b, list := source.OpenDocument(file, func(p string) ([]byte, bool) { return data, p == abs })
		return b, list.Err()
	}
	data, lost, err := a.Convert(context.Background(), target, place, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if data == nil {
		return a.Topology, nil, lost, nil, ""
	}
	if b, err = place(data); err != nil {
		t.Fatal(err)
	}
	top, list := Load(context.Background(), Options{Bundle: b})
	return a.Topology, top, lost, list, string(data)
}

// cloudifyConvertFloors are the least shares of blueprints, in %, whose conversion loads; the rest say why not.
var cloudifyConvertFloors = map[string]int{"tosca_simple_yaml_1_3": 90, "tosca_2_0": 85}

// TestConvertCloudifyCorpus converts every eighth blueprint, all of them with ORCH_CHAOS_LONG.
func TestConvertCloudifyCorpus(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(corpusDir, "cloudify.json"))
	if err != nil {
		t.Skip("the corpus is not here")
	}
	filter, long := os.Getenv("CORPUS"), os.Getenv("ORCH_CHAOS_LONG") != ""
	if raceDetector || testing.Short() {
		t.Skip("every document is loaded five times")
	}
	var entries []struct{ Path, Expect string }
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	loads, all, losses := map[string]int{}, map[string]int{}, 0
	for i, e := range entries {
		if e.Expect != "valid" || filter != "" && !strings.Contains(e.Path, filter) || filter == "" && !long && i%8 != 0 {
			continue
		}
		for _, target := range convert.Targets {
			before, after, lost, wrong, text := converted(t, filepath.Join(corpusDir, e.Path), target, []string{filepath.Join(corpusDir, "cloudify/plugins"), cloudifyUploads(t)})
			if before == nil {
				continue
			}
			all[target]++
			losses += len(lost)
			if after != nil && !wrong.HasErrors() {
				loads[target]++
				if len(after.Nodes) != len(before.Nodes) {
					t.Errorf("%s → %s has %d nodes, not %d", e.Path, target, len(after.Nodes), len(before.Nodes))
				}
			} else {
				msg := ""
				for _, d := range wrong {
					if d.Severity == diag.Error && len(msg) < 2000 {
						msg += "\n\t" + d.String()
					}
				}
				t.Logf("%s → %s: %s", e.Path, target, msg)
			}
			if filter != "" {
				fmt.Println(text)
				for _, d := range lost {
					t.Log(d)
				}
			}
		}
	}
	for target, n := range all {
		t.Logf("%s: %d of %d blueprints load as documents of TOSCA", target, loads[target], n)
		if filter == "" && loads[target]*100 < n*cloudifyConvertFloors[target] {
			t.Errorf("%s: only %d of %d conversions load, fewer than %d %%", target, loads[target], n, cloudifyConvertFloors[target])
		}
	}
	t.Logf("%d losses are named", losses)
}

// convertFloors are the least numbers of conversions over the corpus that mean the same, by target.
var convertFloors = map[string]int{"tosca_simple_yaml_1_3": 351, "tosca_2_0": 382}

func TestConvertCorpus(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(corpusDir, "corpus.json"))
	if err != nil {
		t.Skip("the corpus is not here")
	}
	if raceDetector || testing.Short() {
		t.Skip("every document is loaded five times")
	}
	var entries []corpusEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	filter := os.Getenv("CORPUS")
	type row struct{ all, same, reported, circles int }
	rows := map[string]*row{}
	for _, e := range entries {
		if e.Expect != "valid" || filepath.Ext(e.Path) == ".csar" || filepath.Ext(e.Path) == ".zip" || filter != "" && !strings.Contains(e.Path, filter) {
			continue
		}
		var needs []string
		for _, n := range e.Needs {
			needs = append(needs, filepath.Join(corpusDir, n))
		}
		for _, target := range convert.Targets {
			before, after, lost, wrong, text := converted(t, filepath.Join(corpusDir, e.Path), target, needs)
			if before == nil {
				continue
			}
			r := rows[target]
			if r == nil {
				r = &row{}
				rows[target] = r
			}
			r.all++
			diff := "it does not load"
			if after != nil && !wrong.HasErrors() {
				parts, err := topology.SameMeaning(before, after)
				if err != nil {
					t.Fatal(err)
				}
				diff = strings.Join(parts, ", ")
			}
			switch {
			case diff == "":
				r.same++
			case len(lost) > 0 && !wrong.HasErrors():
				r.reported++
			case slices.ContainsFunc(lost, func(d diag.Diagnostic) bool {
				return strings.Contains(d.Message, "in a circle") || strings.Contains(d.Message, "is called without its input")
			}):
				r.circles++ // Alien4Cloud takes them; no other dialect does
			default:
				msg := ""
				for _, d := range wrong {
					if d.Severity == diag.Error && len(msg) < 2000 {
						msg += "\n\t" + d.String()
					}
				}
				t.Errorf("%s → %s: %s %.900s", e.Path, target, msg, diff)
			}
			if filter != "" {
				fmt.Println(text)
				for _, d := range lost {
					t.Log(d)
				}
			}
		}
	}
	for target, r := range rows {
		t.Logf("%s: %d of %d documents mean the same, %d more where the report says what is lost, %d have what no other dialect takes and the report says so", target, r.same, r.all, r.reported, r.circles)
		if filter == "" && r.same < convertFloors[target] {
			t.Errorf("%s: only %d conversions mean the same, fewer than %d", target, r.same, convertFloors[target])
		}
	}
}
