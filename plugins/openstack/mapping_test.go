package openstack_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/plugins/openstack"
	"golang.org/x/crypto/ssh"
)

var update = flag.Bool("update", false, "write the golden files")

// set loads the plugin and fails on any finding.
func set(t *testing.T) *plugin.Set {
	t.Helper()
	s := &plugin.Set{}
	if list := s.Add(openstack.Files, "plugins/openstack"); len(list) > 0 {
		for _, d := range list {
			t.Error(d)
		}
		t.FailNow()
	}
	return s
}

// catalogue is the cloud of the tests.
type catalogue map[string][]map[string]any

func (c catalogue) List(_ context.Context, kind string) ([]map[string]any, error) {
	return c[kind], nil
}

var cloud = catalogue{
	"images": {
		{"id": "img-deb", "name": "debian-12", "min_disk": int64(1), "min_ram": int64(256), "created_at": "2024-01-01", "os_distro": "debian", "os_version": "12", "architecture": "x86_64"},
		{"id": "img-deb-new", "name": "debian-12-new", "min_disk": int64(1), "min_ram": int64(256), "created_at": "2025-01-01", "os_distro": "debian", "os_version": "12.5", "architecture": "x86_64"},
		{"id": "img-ubu", "name": "ubuntu-24.04", "min_disk": int64(20), "min_ram": int64(1024), "os_distro": "ubuntu", "os_version": "24.04", "user": "ubuntu"},
	},
	"flavors": {
		{"id": "f1", "name": "m1.tiny", "vcpus": int64(1), "ram": int64(512), "disk": int64(1)},
		{"id": "f2", "name": "m1.small", "vcpus": int64(1), "ram": int64(2048), "disk": int64(20)},
		{"id": "f4", "name": "m1.large", "vcpus": int64(4), "ram": int64(8192), "disk": int64(80)},
	},
	"networks": {
		{"id": "net-ext", "name": "public", "external": true},
		{"id": "net-priv", "name": "private", "external": false},
	},
	"subnets":                   {{"id": "sub-priv", "name": "private", "network_id": "net-priv", "cidr": "192.168.1.0/24"}},
	"key_pairs":                 {{"name": "mine"}},
	"security_groups":           {{"id": "sg-web", "name": "web"}},
	"availability_zones":        {{"name": "nova"}},
	"volume_availability_zones": {{"name": "nova"}},
	"volume_types":              {{"id": "vt", "name": "fast"}},
	"volumes":                   {{"id": "vol-1", "name": "old", "size": int64(5)}},
}

// secrets returns the same key for every reference, so that goldens are stable.
type secrets struct{}

// fixedKey is a key that depends on the reference only.
func fixedKey(ref string) string {
	seed := sha256.Sum256([]byte(ref))
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(seed[:]), ref)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(block))
}

func (secrets) Generate(_ context.Context, ref string, _ func() ([]byte, error)) (secret.Value, error) {
	return secret.New(fixedKey(ref)), nil
}

type node struct {
	name, typ  string
	props      map[string]any
	caps       map[string]map[string]any
	requires   []string // requirement=target
	scalesWith string
}

var ancestors = map[string][]string{
	"orch.nodes.openstack.Compute":      {"tosca.nodes.Compute", "tosca.nodes.Root"},
	"orch.nodes.openstack.Network":      {"tosca.nodes.network.Network", "tosca.nodes.Root"},
	"orch.nodes.openstack.Port":         {"tosca.nodes.network.Port", "tosca.nodes.Root"},
	"orch.nodes.openstack.BlockStorage": {"tosca.nodes.Storage.BlockStorage", "tosca.nodes.Root"},
}

func value(v any, pos diag.Pos) *topology.Value {
	switch t := v.(type) {
	case []any:
		out := &topology.Value{Kind: topology.ListValue, Pos: pos}
		for _, e := range t {
			out.List = append(out.List, value(e, pos))
		}
		return out
	case map[string]any:
		out := &topology.Value{Kind: topology.MapValue, Map: topology.NewValues(), Pos: pos}
		for k, e := range t {
			out.Map.Set(k, value(e, pos))
		}
		return out
	case int:
		v = int64(t)
	}
	return &topology.Value{Lit: v, Pos: pos}
}

func build(nodes []node) *topology.Topology {
	t := &topology.Topology{Name: "test"}
	for i, n := range nodes {
		pos := diag.Pos{File: "app.yaml", Line: 10 * (i + 1), Col: 3}
		tn := &topology.Node{Name: n.name, Type: append(topology.Type{n.typ}, ancestors[n.typ]...), Properties: topology.NewValues(), Pos: pos, ScalesWith: n.scalesWith}
		for k, v := range n.props {
			tn.Properties.Set(k, value(v, diag.Pos{File: "app.yaml", Line: pos.Line + 2, Col: len(k)}))
		}
		for c, props := range n.caps {
			cap := &topology.Capability{Name: c, Type: topology.Type{"tosca.capabilities." + c}, Properties: topology.NewValues()}
			if c == "web_endpoint" || c == "endpoint" {
				cap.Type = topology.Type{"tosca.capabilities.Endpoint"}
			}
			for k, v := range props {
				cap.Properties.Set(k, value(v, diag.Pos{File: "app.yaml", Line: pos.Line + 5, Col: 1}))
			}
			tn.Capabilities = append(tn.Capabilities, cap)
		}
		for _, r := range n.requires {
			req, target, _ := strings.Cut(r, "=")
			typ := topology.Type{"tosca.relationships.DependsOn"}
			if req == "host" {
				typ = topology.Type{"tosca.relationships.HostedOn"}
			}
			tn.Relationships = append(tn.Relationships, &topology.Relationship{Name: req, Requirement: req, Source: n.name, Target: target, Type: typ, Properties: topology.NewValues()})
		}
		t.Nodes = append(t.Nodes, tn)
	}
	t.Reindex()
	return t
}

func renderer(t *testing.T, nodes []node, settings map[string]any) *plugin.Renderer {
	t.Helper()
	s := set(t)
	loc, list := s.Complete(plugin.Location{Name: "test", Plugin: "openstack", Settings: settings})
	top := build(nodes)
	list = append(list, s.Bind(top, loc)...)
	if list.HasErrors() {
		t.Fatal(list.Err())
	}
	return &plugin.Renderer{Deployment: "app", Set: s, Location: loc, Topology: top, Catalogue: cloud, Secrets: secrets{}}
}

// module puts entries together as the driver does.
func module(entries []*plugin.Entry) map[string]any {
	res := map[string]any{}
	for _, e := range entries {
		for _, b := range e.Blocks {
			res[b.Address()] = b.Body
		}
	}
	return res
}

var cases = []struct {
	name     string
	settings map[string]any
	nodes    []node
	bare     bool // the project has no network
}{
	{name: "portable_compute", settings: map[string]any{"image": "debian-12"}, nodes: []node{
		{name: "web", typ: "tosca.nodes.Compute", caps: map[string]map[string]any{"host": {"num_cpus": 1, "mem_size": "1 GB", "disk_size": "10 GB"}}},
	}},
	{name: "no_network_at_all", settings: map[string]any{"image": "debian-12", "public_access": "always"}, bare: true, nodes: []node{
		{name: "web", typ: "tosca.nodes.Compute"},
	}},
	{name: "image_by_os", nodes: []node{
		{name: "web", typ: "tosca.nodes.Compute", caps: map[string]map[string]any{"os": {"type": "linux", "distribution": "Debian", "version": "12"}}},
	}},
	{name: "compute_full", nodes: []node{
		{name: "web", typ: "orch.nodes.openstack.Compute", props: map[string]any{"name": "front", "image": "img-ubu", "flavor": "m1.large", "key_pair": "mine",
			"user_data": "#!/bin/sh\necho ${HOME} %{x}\n", "metadata": map[string]any{"role": "web"}, "availability_zone": "nova", "config_drive": true,
			"security_groups": []any{"web"}, "networks": []any{"private"}, "floating_ip": true, "scheduler_hints": map[string]any{"query": "[]"}},
			requires: []string{"server_group=together"}},
		{name: "together", typ: "orch.nodes.openstack.ServerGroup", props: map[string]any{"policies": []any{"soft-affinity"}}},
	}},
	{name: "boot_volume", settings: map[string]any{"image": "debian-12", "host_keys": "script"}, nodes: []node{
		{name: "db", typ: "orch.nodes.openstack.Compute", props: map[string]any{"boot_volume": map[string]any{"source": "image", "size": "10 GB"}, "user_data": "#!/bin/sh\ntrue\n"}},
	}},
	{name: "network_router_port_fip", settings: map[string]any{"image": "debian-12", "flavor": "m1.small"}, nodes: []node{
		{name: "net", typ: "tosca.nodes.network.Network", props: map[string]any{"cidr": "10.1.0.0/24", "network_name": "inner", "gateway_ip": "10.1.0.1", "ip_version": 4, "dhcp_enabled": true}},
		{name: "router", typ: "orch.nodes.openstack.Router", requires: []string{"network=net"}},
		{name: "web", typ: "orch.nodes.openstack.Compute", requires: []string{"security_group=sg", "key=key"}},
		{name: "port", typ: "orch.nodes.openstack.Port", props: map[string]any{"ip_address": "10.1.0.9", "allowed_address_pairs": []any{map[string]any{"ip_address": "10.1.0.100"}}},
			requires: []string{"link=net", "binding=web"}},
		{name: "ip", typ: "orch.nodes.openstack.FloatingIP", requires: []string{"port=port"}},
		{name: "sg", typ: "orch.nodes.openstack.SecurityGroup", props: map[string]any{"description": "web", "rules": []any{
			map[string]any{"protocol": "tcp", "port": 80, "remote_ip_prefix": "0.0.0.0/0"},
			map[string]any{"protocol": "tcp", "port_range_min": 1, "port_range_max": 100, "remote_group": "SELF"},
			map[string]any{"direction": "egress", "remote_ip_prefix": "fe80::/10"},
			map[string]any{"protocol": "udp", "port": 53, "remote_group": "web"},
			map[string]any{"protocol": "icmp", "remote_group": "sg2"},
		}}},
		{name: "sg2", typ: "orch.nodes.openstack.SecurityGroup", props: map[string]any{"rules": []any{map[string]any{"protocol": "icmp", "remote_group": "sg"}}}},
		{name: "key", typ: "orch.nodes.openstack.KeyPair"},
	}},
	{name: "portable_network", settings: map[string]any{"image": "debian-12", "flavor": "m1.small"}, nodes: []node{
		{name: "inner", typ: "tosca.nodes.Network"},
		{name: "outer", typ: "tosca.nodes.Network", props: map[string]any{"network_name": "PUBLIC"}},
		{name: "web", typ: "tosca.nodes.Compute", requires: []string{"network=inner", "network=outer"}},
		{name: "nginx", typ: "my.Nginx", requires: []string{"host=web"}, caps: map[string]map[string]any{"web_endpoint": {"port": 80, "protocol": "http"}}},
	}},
	{name: "block_storage", settings: map[string]any{"image": "debian-12", "flavor": "m1.small", "volume_type": "fast"}, nodes: []node{
		{name: "db", typ: "tosca.nodes.Compute", requires: []string{"local_storage=data"}},
		{name: "data", typ: "tosca.nodes.Storage.BlockStorage", props: map[string]any{"size": "3 GiB"}},
		{name: "old", typ: "tosca.nodes.BlockStorage", props: map[string]any{"volume_id": "vol-1"}, requires: []string{"attachment=db"}},
	}},
}

// A volume that is not deletable is kept, and marked so.
func TestVolumesThatAreNotDeletableAreKept(t *testing.T) {
	for deletable, want := range map[any]bool{true: false, false: true, nil: false} {
		n := node{name: "data", typ: "tosca.nodes.BlockStorage", props: map[string]any{"size": "1 GB"}}
		if deletable != nil {
			n.props["deletable"] = deletable
		}
		entries, err := renderer(t, []node{n}, nil).Render(t.Context(), []topology.Instance{{Node: "data", Index: "0"}})
		if err != nil {
			t.Fatal(err)
		}
		b := entries[0].Blocks[0]
		if _, marked := b.Body["metadata"].(map[string]any)[plugin.KeyKeep]; b.Keep != want || marked != want {
			t.Errorf("deletable %v: kept %v, marked %v", deletable, b.Keep, marked)
		}
	}
}

func TestMappingsMatchTheGoldens(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := renderer(t, c.nodes, c.settings)
			if c.bare {
				bare := maps.Clone(cloud)
				bare["networks"] = cloud["networks"][:1]
				r.Catalogue = bare
			}
			var ids []topology.Instance
			for _, n := range r.Topology.Nodes {
				if n.Native {
					ids = append(ids, topology.Instance{Node: n.Name, Index: "0"})
				}
			}
			entries, err := r.Render(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(module(entries), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", c.name+".json")
			if *update {
				if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.TrimSpace(string(want)), string(got)); d != "" {
				t.Errorf("rendered configuration (-want +got):\n%s", d)
			}
		})
	}
}

// A network that another deployment made is no default: it goes with that one. Named it is used.
func TestNetworksOfOthersAreNoDefault(t *testing.T) {
	t.Parallel()
	others := maps.Clone(cloud)
	others["networks"] = append(slices.Clone(cloud["networks"][:1]), map[string]any{"id": "net-other", "name": "other-network", "external": false,
		"tags": []any{plugin.Tag(plugin.KeyDeployment, "other")}})
	others["subnets"] = []map[string]any{{"id": "sub-other", "name": "other-subnet", "network_id": "net-other", "tags": []any{plugin.Tag(plugin.KeyDeployment, "other")}}}
	for network, own := range map[string]bool{"": true, "other-network": false} {
		settings := map[string]any{"image": "debian-12", "public_access": "never"}
		if network != "" {
			settings["network"] = network
		}
		r := renderer(t, []node{{name: "web", typ: "tosca.nodes.Compute"}}, settings)
		r.Catalogue = others
		entries, err := r.Render(t.Context(), []topology.Instance{{Node: "web", Index: "0"}})
		if err != nil {
			t.Fatal(err)
		}
		made := false
		for address := range module(entries) {
			made = made || strings.HasPrefix(address, "openstack_networking_network_v2.")
		}
		if made != own {
			t.Errorf("network %q: one of its own: %v, want %v", network, made, own)
		}
	}
}
