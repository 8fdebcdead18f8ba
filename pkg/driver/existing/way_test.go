package existing

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

type kept map[string]string

func (k kept) Resolve(_ context.Context, ref string) (secret.Value, error) {
	if v, ok := k[ref]; ok {
		return secret.New(v), nil
	}
	return secret.Value{}, errors.New("no such secret")
}

func (k kept) Put(_ context.Context, ref string, value []byte) error {
	k[ref] = string(value)
	return nil
}

type world struct{ topology.Env }

// Attribute: servers are in two networks.
func (world) Attribute(_ topology.Instance, _, name string) (any, bool) {
	in := func(what, name, id, address string) map[string]any {
		return map[string]any{what + "_name": name, what + "_id": id, "addresses": []any{address}}
	}
	switch name {
	case "networks":
		return map[string]any{"net0": in("network", "front", "n-0", "192.0.2.7"), "net1": in("network", "back", "n-1", "10.1.0.7")}, true
	case "ports":
		return map[string]any{"net0": in("port", "p-front", "p-0", "192.0.2.7"), "net1": in("port", "p-back", "p-1", "10.1.0.7")}, true
	}
	return nil, false
}

const privateKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n"

func valuesOf(m map[string]any) *topology.Values {
	out := topology.NewValues()
	for k, v := range m {
		out.Set(k, topology.Lit(v))
	}
	return out
}

func server(name string, props, endpoint map[string]any) *topology.Node {
	return &topology.Node{Name: name, Type: topology.Type{"yorc.nodes.openstack.Compute", "yorc.nodes.Compute", "tosca.nodes.Compute"}, Properties: valuesOf(props),
		Attributes: topology.NewValues(), Capabilities: []*topology.Capability{{Name: "endpoint", Type: topology.Type{"yorc.capabilities.Endpoint.ProvisioningAdmin"}, Properties: valuesOf(endpoint)}}}
}

// The ways of Yorc to say how a server is reached.
func TestComplete(t *testing.T) {
	credentials := map[string]any{"credentials": map[string]any{"user": "centos", "token_type": "password", "keys": map[string]any{"0": privateKey}}}
	made := driver.Host{Instance: topology.Instance{Node: "App", Index: "1"}, Addresses: []string{"10.0.0.5"}, User: "centos", KeyRef: "made"}
	jump := server("Jump", nil, nil)
	jump.Capabilities = append(jump.Capabilities, &topology.Capability{Name: "bastion", Type: topology.Type{"yorc.capabilities.SSHBastionHost"},
		Properties: valuesOf(map[string]any{"port": int64(2222), "use_host_credentials": false, "credentials": map[string]any{"user": "jumper", "keys": map[string]any{"0": "/keys/jump"}}})})
	through := server("App", nil, nil)
	through.Relationships = []*topology.Relationship{{Name: "by", Source: "App", Target: "Jump", Type: topology.Type{"yorc.relationships.DeploysThrough"}}}
	pooled := server("App", map[string]any{"key_pair": "k"}, credentials)
	pooled.Type = topology.Type{fromPool}
	for name, c := range map[string]struct {
		node *topology.Node
		want func(*driver.Host)
		kept kept
	}{
		"nothing said":               {server("App", nil, nil), func(*driver.Host) {}, nil},
		"a key pair and its key":     {server("App", map[string]any{"key_pair": "k"}, credentials), func(h *driver.Host) { h.KeyRef = "shop/App/key" }, kept{"shop/App/key": privateKey}},
		"a key that fits no pair":    {server("App", nil, credentials), func(*driver.Host) {}, kept{"shop/App/key": privateKey}},
		"a host of a pool":           {pooled, func(*driver.Host) {}, nil},
		"a bastion that is not used": {server("App", nil, map[string]any{"bastion": map[string]any{"use": false, "host": "192.0.2.1"}}), func(*driver.Host) {}, nil},
		"a bastion by its address": {server("App", nil, map[string]any{"bastion": map[string]any{"use": true, "host": "192.0.2.1", "port": int64(22),
			"credentials": map[string]any{"user": "jumper", "token_type": "password", "token": "t0p"}}}),
			func(h *driver.Host) {
				h.Bastion = &driver.Host{Instance: h.Instance, Addresses: []string{"192.0.2.1"}, Port: 22, User: "jumper", PasswordRef: "shop/App-bastion/password",
					HostKeySource: "first-use", ServerID: "existing/shop/192.0.2.1"}
			}, kept{"shop/App-bastion/password": "t0p"}},
		"a bastion of the topology": {through, func(h *driver.Host) {
			h.Bastion = &driver.Host{Instance: topology.Instance{Node: "Jump", Index: "0"}, Addresses: []string{"192.0.2.7"}, Port: 2222, User: "jumper", KeyRef: "file:/keys/jump"}
		}, nil},
	} {
		secrets := kept{}
		f := Finder{Secrets: secrets, Ref: func(deployment, node, what string) string { return deployment + "/" + node + "/" + what }}
		top := &topology.Topology{Nodes: []*topology.Node{c.node, jump}}
		top.Reindex()
		of := func(in topology.Instance) *driver.Host {
			if in == (topology.Instance{Node: "Jump", Index: "0"}) {
				return &driver.Host{Instance: in, Addresses: []string{"192.0.2.7"}, User: "centos", KeyRef: "made"}
			}
			return nil
		}
		before := made
		got, err := f.Complete(t.Context(), driver.Server{Deployment: "shop", Topology: top, Instance: made.Instance, Env: world{}, Host: &made, Other: of})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := made
		c.want(&want)
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(before, made); diff != "" {
			t.Errorf("%s changed what is recorded:\n%s", name, diff)
		}
		if !maps.Equal(secrets, c.kept) {
			t.Errorf("%s kept %v, want %v", name, secrets, c.kept)
		}
	}
	f := Finder{Secrets: kept{}, Ref: func(string, string, string) string { return "" }}
	top := &topology.Topology{Nodes: []*topology.Node{through, jump}}
	top.Reindex()
	if h, err := f.Complete(t.Context(), driver.Server{Deployment: "shop", Topology: top, Instance: made.Instance, Env: world{}, Host: &made, Other: func(topology.Instance) *driver.Host { return nil }}); err == nil {
		t.Errorf("through a server that is not there: %+v", h)
	}
}

// A bastion that is in several networks is gone through by its address in the one that it is asked for.
func TestNetworkOfABastion(t *testing.T) {
	for name, c := range map[string]struct {
		props map[string]any
		want  []string
	}{
		"nothing said":        {nil, []string{"192.0.2.7", "10.1.0.7"}},
		"a network":           {map[string]any{"network_name": "back"}, []string{"10.1.0.7", "192.0.2.7"}},
		"a network by id":     {map[string]any{"network_name": "n-1"}, []string{"10.1.0.7", "192.0.2.7"}},
		"a port":              {map[string]any{"network_name": "front", "port_name": "p-back"}, []string{"10.1.0.7", "192.0.2.7"}},
		"one it is not in":    {map[string]any{"network_name": "elsewhere"}, []string{"192.0.2.7", "10.1.0.7"}},
		"the one it is usual": {map[string]any{"network_name": "front"}, []string{"192.0.2.7", "10.1.0.7"}},
	} {
		jump, app := server("Jump", nil, nil), server("App", nil, nil)
		jump.Capabilities = append(jump.Capabilities, &topology.Capability{Name: "bastion", Type: topology.Type{"yorc.capabilities.SSHBastionHost"}, Properties: valuesOf(c.props)})
		app.Relationships = []*topology.Relationship{{Name: "by", Source: "App", Target: "Jump", Type: topology.Type{"yorc.relationships.DeploysThrough"}}}
		top := &topology.Topology{Nodes: []*topology.Node{app, jump}}
		top.Reindex()
		f := Finder{Secrets: kept{}, Ref: func(_, node, what string) string { return node + "/" + what }}
		of := func(in topology.Instance) *driver.Host {
			return &driver.Host{Instance: in, Addresses: []string{"192.0.2.7", "10.1.0.7"}, User: "centos", KeyRef: "made"}
		}
		h, err := f.Complete(t.Context(), driver.Server{Deployment: "shop", Topology: top, Instance: topology.Instance{Node: "App", Index: "0"}, Env: world{},
			Host: &driver.Host{Addresses: []string{"10.0.0.5"}}, Other: of})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, h.Bastion.Addresses); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
