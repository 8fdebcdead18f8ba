package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/ssh"
	"github.com/orch-project/orch/pkg/driver/ssh/sshtest"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

// network is a deployment with a load balancer, which may have a floating address, and a server behind it.
type network struct {
	orch.Service
	hosts   map[string]*driver.Host
	reached string
}

func (n *network) Deployment(context.Context, string) (*orch.Detail, error) {
	d := &orch.Detail{}
	for _, name := range []string{"lb", "app"} {
		i := orch.InstanceStatus{Index: "0", Attributes: map[string]any{}}
		if name == n.reached {
			i.Attributes[publicAddress] = "127.0.0.1"
		}
		d.Nodes = append(d.Nodes, orch.NodeStatus{Name: name, Instances: []orch.InstanceStatus{i}})
	}
	return d, nil
}

func (n *network) Host(_ context.Context, _ string, in topology.Instance) (*driver.Host, error) {
	return n.hosts[in.Node], nil
}

// oneKey is the answer to every question for a secret.
type oneKey struct {
	driver.Secrets
	key string
}

func (k oneKey) Resolve(context.Context, string) (secret.Value, error) {
	return secret.New(k.key), nil
}

// Checks go through the deployment's server with a floating address. Whatever keeps them from getting through says nothing of the instance's health.
func TestProbesGoThroughTheBastion(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("well")) }))
	t.Cleanup(web.Close)
	port := web.Listener.Addr().(*net.TCPAddr).Port
	lb := sshtest.Start(t, sshtest.Options{Forward: true})
	barred := sshtest.Start(t, sshtest.Options{})
	app := &driver.Host{Instance: topology.Instance{Node: "app", Index: "0"}, Addresses: []string{"127.0.0.1"}, User: "me", KeyRef: "key"}
	hostOf := func(s *sshtest.Server) *driver.Host {
		h := s.Host()
		h.Instance = topology.Instance{Node: "lb", Index: "0"}
		return &h
	}
	store := mem.New(mem.Options{})
	t.Cleanup(func() { store.Close() })
	remote := ssh.New(ssh.Options{Secrets: oneKey{key: lb.Key}, Pin: hostKeys{store}.Pin})
	t.Cleanup(func() { remote.Close() })
	barredRemote := ssh.New(ssh.Options{Secrets: oneKey{key: barred.Key}, Pin: hostKeys{store}.Pin})
	t.Cleanup(func() { barredRemote.Close() })
	get := policy.Probe{Kind: policy.HTTP, Scheme: "http", Port: port}
	tcp := policy.Probe{Kind: policy.TCP, Port: port}
	closed := policy.Probe{Kind: policy.TCP, Port: 1}
	for name, c := range map[string]struct {
		auto    bool
		reached string
		bastion *sshtest.Server
		probe   policy.Probe
		want    string // of the error; "" none
		unasked bool
		asked   int64
	}{
		"directly, where the location does not ask for bastions": {false, "lb", lb, get, "", false, 0},
		"directly, with a floating address of its own":           {true, "app", lb, tcp, "", false, 0},
		"http through the bastion":                               {true, "lb", lb, get, "", false, 1},
		"tcp through the bastion":                                {true, "lb", lb, tcp, "", false, 1},
		"nothing listens":                                        {true, "lb", lb, closed, "refused", false, 1},
		"no bastion":                                             {true, "", lb, tcp, "no server of shop has a floating address", true, 0},
		"it forwards nothing":                                    {true, "lb", barred, tcp, "cannot get through", true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := remote
			if c.bastion == barred {
				d = barredRemote
			}
			svc := &network{hosts: map[string]*driver.Host{"app": app, "lb": hostOf(c.bastion)}, reached: c.reached}
			p := &prober{ways: &bastions{deployments: svc, wanted: func(context.Context, string) (bool, error) { return c.auto, nil }}, keys: hostKeys{store}, ssh: d}
			before := c.bastion.Forwards.Load()
			_, err := p.Probe(t.Context(), policy.Target{Deployment: "shop", Instance: app.Instance, Addresses: app.Addresses}, c.probe)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if unasked := new(policy.Unasked); errors.As(err, &unasked) != c.unasked {
				t.Errorf("%v: unasked %v", err, c.unasked)
			}
			if got := c.bastion.Forwards.Load() - before; got != c.asked {
				t.Errorf("%d connections were asked of the bastion, want %d", got, c.asked)
			}
		})
	}
}
