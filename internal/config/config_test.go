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
		"negative rate":    {"auth: { rate: -1 }\n", "auth.rate from "},
		"no burst":         {"auth: { burst: 0 }\n", "lets no request through"},
		"negative wait":    {"consul: { wait: -3s }\n", "consul.wait from "},
		"no time to boot":  {"ssh: { ready_timeout: 0s }\n", "ssh.ready_timeout from "},
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
	c, err := Load(Options{Path: path, Overrides: map[string]string{"store": "consul://s3cret@h:8500/orch", "log.level": "debug", "import_path": "/i"},
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
		"log.level": "debug from --log-level", "import_path": "/i from --import-path",
		"terraform.binary": "tofu from " + path + ":3:3", "ssh.ready_timeout": "1m30s from ORCH_SSH_READY_TIMEOUT",
		"ssh.operation_timeout": "1h0m0s from default", "master_key.file": "/h/master.key from default",
		"locations.lab": "map[plugin:openstack] from " + path + ":5:8",
	} {
		if got[key] != want {
			t.Errorf("%s: got %q, want %q", key, got[key], want)
		}
	}
}

// What the address of the store says wins over the consul section.
func TestConsulSectionCompletesTheStore(t *testing.T) {
	section := "consul: { addresses: ['a:8500', 'b:8500'], prefix: shop, token_file: /t, datacenter: dc1, namespace: ns, tls: true, ca: /ca.pem, wait: 5s }\n"
	for store, want := range map[string]string{
		"consul":                           "consul://a:8500,b:8500/shop?ca=%2Fca.pem&dc=dc1&namespace=ns&tls=true&token_file=%2Ft&wait=5s",
		"consul://c:1/other?dc=dc2&ca=/x":  "consul://c:1/other?ca=%2Fx&dc=dc2&namespace=ns&tls=true&token_file=%2Ft&wait=5s",
		"consul://tok@/other?datacenter=d": "consul://tok@a:8500,b:8500/other?ca=%2Fca.pem&datacenter=d&namespace=ns&tls=true&token_file=%2Ft&wait=5s",
		"bolt:/x.db":                       "bolt:/x.db",
	} {
		c, err := Load(Options{Path: write(t, section), Overrides: map[string]string{"store": store}, Getenv: env(map[string]string{"ORCH_HOME": "/h"})})
		if err != nil || c.Store != want {
			t.Errorf("%s became %s, want %s, %v", store, c.Store, want, err)
		}
	}
	c, err := Load(Options{Path: write(t, ""), Getenv: env(map[string]string{"ORCH_HOME": "/h", "ORCH_STORE": "consul", "ORCH_CONSUL_ADDRESSES": "a:1,b:2", "ORCH_CONSUL_TLS": "yes"})})
	if err == nil || !strings.Contains(err.Error(), "ORCH_CONSUL_TLS") {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestValuesThatCannotBeHavePlaces(t *testing.T) {
	path := write(t, "parallel: 0\nlog:\n  level: loud\nretention: { events: -1 }\nserver: { drain: -1s }\n")
	_, err := Load(Options{Path: path, Getenv: env(map[string]string{"ORCH_HOME": "/h", "ORCH_LOG_FORMAT": "xml"})})
	var list *diag.ListError
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	var got []string
	for _, d := range list.List {
		key, _, _ := strings.Cut(d.Message, " ")
		got = append(got, fmt.Sprint(key, " ", d.Pos.Line))
	}
	if text := strings.Join(got, ", "); text != "log.format 0, parallel 1, log.level 3, retention.events 4, server.drain 5" {
		t.Error(text)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(Options{Path: write(t, ""), Getenv: env(map[string]string{"ORCH_HOME": "/h"})})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Settings() {
		if !strings.Contains(string(doc), "`"+s.Key+"`") || !strings.Contains(string(doc), "`"+s.Env+"`") {
			t.Errorf("docs/configuration.md does not have %s and %s", s.Key, s.Env)
		}
	}
}
