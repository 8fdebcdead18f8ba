package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/diag"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	path := write(t, `
home: /from/file
store: bolt:/from/file.db
parallel: 3
location: lab
locations:
  lab: { plugin: openstack, image: debian-12 }
terraform: { binary: tofu }
ssh: { ready_timeout: 90s }
`)
	c, err := Load(Options{Path: path, Overrides: map[string]string{"store": "consul://flag"},
		Getenv: env(map[string]string{"ORCH_STORE": "consul://env", "ORCH_PARALLEL": "7", "ORCH_IMPORT_PATH": "/a:/b", "ORCH_TERRAFORM": "/opt/terraform"})})
	if err != nil {
		t.Fatal(err)
	}
	if c.Home != "/from/file" || c.Store != "consul://flag" || c.Parallel != 7 || strings.Join(c.ImportPath, " ") != "/a /b" ||
		c.Terraform.Binary != "/opt/terraform" || c.SSH.ReadyTimeout != 90*time.Second || c.Locations["lab"].Get("image").Str() != "debian-12" {
		t.Errorf("%+v", c)
	}
}

func TestDefaultsLieBelowHome(t *testing.T) {
	c, err := Load(Options{Path: write(t, ""), Getenv: env(map[string]string{"XDG_DATA_HOME": "/data"})})
	if err != nil {
		t.Fatal(err)
	}
	if c.Home != "/data/orch" || c.Store != "bolt:/data/orch/orch.db" || c.MasterKey.File != "/data/orch/master.key" || c.SandboxDir() != "/data/orch/sandbox" {
		t.Errorf("%+v", c)
	}
}

func TestMistakesHavePlaces(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"unknown key":      {"stoer: x\n", "stoer"},
		"wrong type":       {"parallel: many\n", "parallel"},
		"no such location": {"location: x\nlocations: { y: { plugin: openstack } }\n", `"x" is not among the locations`},
		"broken YAML":      {"a: [\n", "config.yaml"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Load(Options{Path: write(t, tt.text), Getenv: env(map[string]string{"ORCH_HOME": "/h"})})
			var list *diag.ListError
			if !errors.As(err, &list) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestBadVariablesAreNamed(t *testing.T) {
	for name, value := range map[string]string{"ORCH_PARALLEL": "x", "ORCH_OPERATION_TIMEOUT": "5 minutes"} {
		_, err := Load(Options{Path: write(t, ""), Getenv: env(map[string]string{name: value, "ORCH_HOME": "/h"})})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Load(Options{Path: "/no/such/file"}); err == nil {
		t.Error("a missing file that was asked for is an error")
	}
}

func TestSettingsNameTheirOrigin(t *testing.T) {
	path := write(t, "parallel: 3\nterraform:\n  binary: tofu\nlocations:\n  lab: { plugin: openstack }\n")
	c, err := Load(Options{Path: path, Overrides: map[string]string{"store": "consul://s3cret@h:8500/orch"},
		Getenv: env(map[string]string{"ORCH_HOME": "/h", "ORCH_SSH_READY_TIMEOUT": "90s"})})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range c.Settings() {
		got[s.Key] = fmt.Sprintf("%v from %s", s.Value, s.Origin)
	}
	for key, want := range map[string]string{
		"home": "/h from ORCH_HOME", "store": "consul://h:8500/orch from --store", "parallel": "3 from " + path + ":1:1",
		"terraform.binary": "tofu from " + path + ":3:3", "ssh.ready_timeout": "1m30s from ORCH_SSH_READY_TIMEOUT",
		"ssh.operation_timeout": "1h0m0s from default", "master_key.file": "/h/master.key from default",
		"locations.lab": "map[plugin:openstack] from " + path + ":5:8",
	} {
		if got[key] != want {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
}
