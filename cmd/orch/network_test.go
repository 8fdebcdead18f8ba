package main

import (
	"io"
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

// A server reads nothing of its own network for its clients, wherever a name or a redirect leads, but what is allowed.
func TestServersReadFromOutside(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("an archive"))
	}))
	defer srv.Close()
	if archives(&config.Config{Shared: true}) != nil {
		t.Error("archives are fetched though the network is not allowed")
	}
	read := func(c config.Config, url string) (string, error) {
		c.AllowNetwork, c.Shared = true, true
		body, err := archives(&c)(t.Context(), url)
		if err != nil {
			return "", err
		}
		defer body.Close()
		data, err := io.ReadAll(body)
		return string(data), err
	}
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	if _, err := read(config.Config{}, srv.URL); err == nil || !strings.Contains(err.Error(), "network_hosts") {
		t.Errorf("this machine: %v", err)
	}
	if _, err := read(config.Config{}, "http://localhost"+port); err == nil || !strings.Contains(err.Error(), "own network") {
		t.Errorf("a name of this machine: %v", err)
	}
	for _, allowed := range []string{"127.0.0.0/8", "127.0.0.1"} {
		if data, err := read(config.Config{NetworkHosts: []string{allowed}}, srv.URL); err != nil || data != "an archive" {
			t.Errorf("allowed as %s: %q %v", allowed, data, err)
		}
	}
	if _, err := read(config.Config{NetworkHosts: []string{"127.0.0.1"}}, srv.URL+"?to=http://localhost"+port); err == nil || !strings.Contains(err.Error(), "own network") {
		t.Errorf("a redirect: %v", err)
	}
	if _, err := read(config.Config{NetworkHosts: []string{"127.0.0.1"}}, srv.URL+"?to=file:///etc/passwd"); err == nil {
		t.Error("a redirect to a file is followed")
	}
	if _, err := fetcher(&config.Config{AllowNetwork: true, Shared: true})(t.Context(), srv.URL); err == nil {
		t.Error("imports are read from this machine for others")
	}
	for _, address := range []string{"10.0.0.1:80", "169.254.169.254:80", "[::1]:80", "[fe80::1%eth0]:80", "[fd00::1]:80", "[::ffff:127.0.0.1]:80", "0.0.0.0:80", "100.64.1.1:80", "224.0.0.1:80"} {
		if checkAddress(address, nil) == nil {
			t.Errorf("%s counts as public", address)
		}
	}
	if err := checkAddress("192.0.2.1:80", nil); err != nil {
		t.Error(err)
	}
}
