package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/config"
)

// Documents of the network are read only where that is allowed, and with bounds.
func TestImportsFromTheNetwork(t *testing.T) {
	t.Parallel()
	types := "tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types: { my.Node: { derived_from: tosca.nodes.Root } }\n"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/types.yaml":
			_, _ = w.Write([]byte(types))
		case "/large.yaml":
			_, _ = w.Write(make([]byte, maxDocument+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	home := t.TempDir()
	app := filepath.Join(home, "app.yaml")
	text := "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [ " + srv.URL + "/types.yaml ]\ntopology_template: { node_templates: { n: { type: my.Node } } }\n"
	if err := os.WriteFile(app, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	validate := func(args ...string) (string, int) {
		c := exec.Command("orch", append([]string{"validate", app}, args...)...)
		c.Env = append(os.Environ(), "ORCH_HOME="+home, "HOME="+home, "XDG_CONFIG_HOME="+home)
		out, _ := c.CombinedOutput()
		return string(out), c.ProcessState.ExitCode()
	}
	if out, code := validate(); code != 1 || !strings.Contains(out, "app.yaml:2:") || !strings.Contains(out, "--allow-network") {
		t.Errorf("not allowed: %d\n%s", code, out)
	}
	if out, code := validate("--allow-network"); code != 0 {
		t.Errorf("allowed: %d\n%s", code, out)
	}
	fetch := fetcher(&config.Config{AllowNetwork: true})
	for path, want := range map[string]string{srv.URL + "/large.yaml": "more than 16 MiB", srv.URL + "/none.yaml": "404", "file:///etc/passwd": "only http and https"} {
		if _, err := fetch(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
