package cloudify

import (
	"bytes"
	"encoding/json"
	goflag "flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver/fake"
)

var update = goflag.Bool("update", false, "write the golden files")

// changing is what no two runs have in common: times, ids, ports.
var changing = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"(version|_storage_id)": \d+`)

func stable(s string) string {
	return changing.ReplaceAllStringFunc(s, func(m string) string {
		switch m[0] {
		case '"':
			key, _, _ := strings.Cut(m, ":")
			return key + ": 1"
		default:
			if len(m) == 24 {
				return "TIME"
			}
			return "UUID"
		}
	})
}

// TestShapes pins the documents that clients read, field by field.
func TestShapes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Behave(fake.Table{"db[0].create": {Result: attrs("address", "10.0.0.7")}, "": {}})
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	s.call(201, "PUT", v31+"/deployments/d", object{"blueprint_id": "shop", "inputs": object{"port": 8081}})
	x, _ := s.run("d", "install", nil, nil)
	s.call(200, "PUT", v31+"/sites/bologna", object{"location": "44.49, 11.34"})
	s.call(200, "PUT", v31+"/secrets/password", object{"value": "geheim"})
	id := fmt.Sprint(x["id"])
	for name, path := range map[string]string{
		"blueprint":  "/blueprints/shop",
		"deployment": "/deployments/d",
		"execution":  "/executions/" + id,
		"executions": "/executions?deployment_id=d&_sort=created_at",
		"nodes":      "/nodes?deployment_id=d",
		"instances":  "/node-instances?deployment_id=d",
		"site":       "/sites/bologna",
		"secret":     "/secrets/password",
		"events":     "/events?execution_id=" + id + "&node_name=x&_size=3",
		"started":    "/events?execution_id=" + id + "&event_type=workflow_started",
		"succeeded":  "/events?execution_id=" + id + "&event_type=task_succeeded&node_id=db&operation=%25create",
		"log":        "/events?execution_id=" + id + "&level=info&node_id=db&_size=1",
	} {
		if name == "events" {
			s.refused(400, "bad_parameters_error", "GET", v31+path, nil)
			continue
		}
		var out bytes.Buffer
		if err := json.Indent(&out, []byte(s.send("GET", v31+path, "", nil).Body), "", "  "); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got := stable(out.String())
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
