package tosca

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
)

// cloudifyFloors are the least numbers of right answers per expectation.
var cloudifyFloors = map[string]int{"valid": 158, "error": 25, "missing-plugin": 7}

// cloudifyUploaded are blueprints that others import by these ids, with what they are in the corpus.
var cloudifyUploaded = map[string]string{
	"private-cloud-vm":         "db-lb-app/infrastructure/openstack.yaml",
	"infrastructure":           "db-lb-app/infrastructure/openstack.yaml",
	"public-cloud-vm":          "db-lb-app/infrastructure/aws.yaml",
	"connected-host-openstack": "open-source-vnf/connected-host/openstack.yaml",
}

// cloudifyUploads is an import path with the blueprints that others import by name.
func cloudifyUploads(t *testing.T) string {
	t.Helper()
	examples := filepath.Join(corpusDir, "cloudify/blueprint-examples")
	uploaded := t.TempDir()
	for id, main := range cloudifyUploaded {
		if err := os.CopyFS(filepath.Join(uploaded, id), os.DirFS(filepath.Join(examples, filepath.Dir(main)))); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(examples, main))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(uploaded, id, "blueprint.yaml"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return uploaded
}

func TestCloudifyCorpus(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(corpusDir, "cloudify.json"))
	if err != nil {
		t.Skip("the corpus is not here")
	}
	if raceDetector {
		t.Skip("loading starts no goroutines; the corpus takes ten times as long under the race detector")
	}
	var entries []struct {
		Path, Dialect, Expect string
		Nodes, Relationships  *int
	}
	if err := json.Unmarshal(data, &entries); err != nil {
		t.Fatal(err)
	}
	uploaded := cloudifyUploads(t)
	filter := os.Getenv("CORPUS")
	right, all := map[string]int{}, map[string]int{}
	for _, e := range entries {
		if filter != "" && !strings.Contains(e.Path, filter) {
			continue
		}
		top, list := Load(t.Context(), Options{Path: filepath.Join(corpusDir, e.Path), ImportPath: []string{filepath.Join(corpusDir, "cloudify/plugins"), uploaded}})
		nodes, rels := 0, 0
		if top != nil {
			nodes = len(top.Nodes)
			for _, n := range top.Nodes {
				rels += len(n.Relationships)
			}
		}
		ok := list.HasErrors()
		if e.Expect == "valid" {
			ok = !list.HasErrors() && (e.Nodes == nil || nodes == *e.Nodes) && (e.Relationships == nil || rels == *e.Relationships)
		}
		all[e.Expect]++
		if ok {
			right[e.Expect]++
		}
		if ok && filter == "" {
			continue
		}
		msg := fmt.Sprintf("%s %s: should be %s, is %d/%d", e.Dialect, e.Path, e.Expect, nodes, rels)
		if e.Nodes != nil && e.Relationships != nil {
			msg = fmt.Sprintf("%s %s: should be %s %d/%d, is %d/%d", e.Dialect, e.Path, e.Expect, *e.Nodes, *e.Relationships, nodes, rels)
		}
		n := 0
		for _, d := range list {
			if (d.Severity == diag.Error || filter != "") && n < 8 {
				d.Pos.File = strings.TrimPrefix(d.Pos.File, corpusDir+"/")
				msg += "\n\t" + d.String()
				n++
			}
		}
		t.Log(msg)
	}
	for expect, n := range all {
		t.Logf("%-16s %3d/%3d", expect, right[expect], n)
		if filter == "" && right[expect] < cloudifyFloors[expect] {
			t.Errorf("%s: %d right answers, fewer than the floor %d", expect, right[expect], cloudifyFloors[expect])
		}
	}
}
