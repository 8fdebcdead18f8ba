package openstack_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/internal/toolcache"
)

// gone are resources and arguments that only one of provider 1.15 and 3.x has.
var gone = map[string][]string{
	"openstack_compute_floatingip_v2":           {"*"},
	"openstack_compute_floatingip_associate_v2": {"*"},
	"openstack_compute_secgroup_v2":             {"*"},
	"openstack_blockstorage_volume_v1":          {"*"},
	"openstack_blockstorage_volume_v2":          {"*"},
	"openstack_blockstorage_volume_attach_v2":   {"*"},
	"openstack_networking_subnet_v2":            {"allocation_pools", "host_routes"},
	"openstack_networking_router_v2":            {"external_gateway"},
	"openstack_compute_instance_v2": {"floating_ip", "volume", "access_ip_v4", "access_ip_v6", "tags", "availability_zone_hints", "network_mode",
		"network.floating_ip", "block_device.volume_type", "vendor_options.detach_ports_before_destroy"},
	"openstack_networking_network_v2":              {"mtu", "port_security_enabled", "dns_domain", "qos_policy_id"},
	"openstack_networking_port_v2":                 {"binding", "port_security_enabled", "dns_name", "qos_policy_id"},
	"openstack_networking_floatingip_v2":           {"dns_name", "dns_domain", "subnet_ids"},
	"openstack_networking_floatingip_associate_v2": {"fixed_ip", "timeouts"},
	"openstack_blockstorage_volume_v3":             {"multiattach"},
}

func goldens(t *testing.T) map[string]map[string]map[string]any {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < len(cases) {
		t.Fatalf("%d goldens: %v", len(files), err)
	}
	out := map[string]map[string]map[string]any{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var g map[string]map[string]any
		if err := json.Unmarshal(b, &g); err != nil {
			t.Fatal(err)
		}
		out[f] = g
	}
	return out
}

func TestNothingIsUsedThatOneProviderLacks(t *testing.T) {
	types := map[string]bool{}
	for file, g := range goldens(t) {
		for addr, body := range g {
			if strings.HasPrefix(addr, "data.") {
				continue
			}
			typ, _, _ := strings.Cut(addr, ".")
			types[typ] = true
			for _, arg := range gone[typ] {
				head, rest, nested := strings.Cut(arg, ".")
				_, used := body[head]
				if nested && used {
					used = strings.Contains(fmt.Sprint(body[head]), rest+":")
				}
				if arg == "*" || used {
					t.Errorf("%s: %s uses %s %s", file, addr, typ, arg)
				}
			}
			if ips, ok := body["fixed_ip"].([]any); ok && typ == "openstack_networking_port_v2" {
				for _, ip := range ips {
					if ip.(map[string]any)["subnet_id"] == nil {
						t.Errorf("%s: %s has a fixed_ip without subnet_id", file, addr)
					}
				}
			}
		}
	}
	for _, want := range []string{"openstack_compute_instance_v2", "openstack_compute_volume_attach_v2", "openstack_blockstorage_volume_v3", "openstack_compute_servergroup_v2"} {
		if !types[want] {
			t.Errorf("no golden has %s", want)
		}
	}
}

func TestTheProviderAcceptsTheGoldens(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Terraform")
	}
	tf, err := exec.LookPath("terraform")
	registry := toolcache.Registries[0]
	if err != nil {
		if tf, err = toolcache.Find("tofu"); err != nil {
			t.Skip("needs terraform on PATH or tofu in the tool cache")
		}
		registry = toolcache.Registries[1]
	}
	if _, err := toolcache.FindProvider(registry, "terraform-provider-openstack/openstack"); err != nil {
		t.Skipf("needs the OpenStack provider in the tool cache: %v", err)
	}
	root, err := toolcache.Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rc := filepath.Join(dir, "cli.tfrc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", toolcache.Mirror(root)), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), tf, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+rc, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", filepath.Base(tf), args[0], err, out)
		}
	}
	// One module with all goldens, each under labels of its own.
	blocks := map[string]map[string]map[string]any{"resource": {}, "data": {}}
	variables := map[string]any{}
	for i, file := range slices.Sorted(maps.Keys(goldens(t))) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		for addr := range goldens(t)[file] {
			typ, label, _ := strings.Cut(strings.TrimPrefix(addr, "data."), ".")
			text = strings.ReplaceAll(text, typ+"."+label, fmt.Sprintf("%s.g%d_%s", typ, i, label))
		}
		var g map[string]map[string]any
		if err := json.Unmarshal([]byte(text), &g); err != nil {
			t.Fatal(err)
		}
		for addr, body := range g {
			kind, rest := "resource", addr
			if strings.HasPrefix(addr, "data.") {
				kind, rest = "data", strings.TrimPrefix(addr, "data.")
			}
			typ, label, _ := strings.Cut(rest, ".")
			if blocks[kind][typ] == nil {
				blocks[kind][typ] = map[string]any{}
			}
			blocks[kind][typ][label] = set(t).Plugin("openstack").Providers[0].Body("1.15.0", typ, body)
		}
		for _, part := range strings.Split(text, "${var.")[1:] {
			name, _, _ := strings.Cut(part, "}")
			variables[name] = map[string]any{"type": "string", "sensitive": true}
		}
	}
	mod, err := json.MarshalIndent(map[string]any{"terraform": map[string]any{"required_providers": map[string]any{"openstack": map[string]any{"source": "terraform-provider-openstack/openstack"}}},
		"provider": map[string]any{"openstack": map[string]any{}}, "variable": variables, "resource": blocks["resource"], "data": blocks["data"]}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.tf.json"), mod, 0o600); err != nil {
		t.Fatal(err)
	}
	tool("init", "-input=false", "-no-color")
	tool("validate", "-no-color")
}
