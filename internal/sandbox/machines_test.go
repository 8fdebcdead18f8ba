package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/volumeattach"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/machine"
)

// recorder is a host that writes down what it is asked for.
type recorder struct {
	machine.Host // panics for what the test does not expect

	mu      sync.Mutex
	calls   []string
	booted  map[string]machine.Server
	router  machine.Router
	filters map[string]*machine.Filter
	bootErr error
}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

func (r *recorder) CreateNetwork(_ context.Context, id string) error {
	r.note("network+ %s", id)
	return nil
}
func (r *recorder) DeleteNetwork(_ context.Context, id string) error {
	r.note("network- %s", id)
	return nil
}
func (r *recorder) DeleteRouter(_ context.Context, id string) error {
	r.note("router- %s", id)
	return nil
}
func (r *recorder) Destroy(_ context.Context, id string) error { r.note("server- %s", id); return nil }
func (r *recorder) DeleteVolume(_ context.Context, id string) error {
	r.note("volume- %s", id)
	return nil
}
func (r *recorder) Stop(_ context.Context, id string) error { r.note("stop %s", id); return nil }
func (r *recorder) Close() error                            { r.note("close"); return nil }

func (r *recorder) SetRouter(_ context.Context, want machine.Router) error {
	r.note("router %s legs %d floating %d", want.ID, len(want.Interfaces), len(want.FloatingIPs))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.router = want
	return nil
}

func (r *recorder) Boot(_ context.Context, v machine.Server) error {
	r.note("server+ %s", v.ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.booted[v.ID] = v
	return r.bootErr
}

func (r *recorder) SetSecurity(_ context.Context, port string, f *machine.Filter) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.filters[port] = f
	return nil
}

func (r *recorder) AttachVolume(_ context.Context, server string, v machine.Volume, wish string) (string, error) {
	r.note("volume+ %s %d %s", v.ID, v.SizeGiB, wish)
	return "/dev/vdq", nil
}

func (r *recorder) DetachVolume(_ context.Context, server, volume string) error {
	r.note("volume~ %s", volume)
	return nil
}

func newRecorder() *recorder {
	return &recorder{booted: map[string]machine.Server{}, filters: map[string]*machine.Filter{}}
}

func (r *recorder) has(call string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		if c == call {
			return true
		}
	}
	return false
}

func TestAPIObjectsBecomeCallsToTheHost(t *testing.T) {
	t.Parallel()
	host := newRecorder()
	w := build(t, start(t, sandbox.Options{Host: host}))
	ctx := t.Context()
	key, err := keypairs.Create(ctx, w.compute, keypairs.CreateOpts{Name: "key"}).Extract()
	check(t, err)
	p, err := ports.Create(ctx, w.clients.network, ports.CreateOpts{NetworkID: w.network, SecurityGroups: &[]string{w.group}}).Extract()
	check(t, err)
	v := w.boot(servers.CreateOpts{
		Name: "Web Server_1", Networks: []servers.Network{{Port: p.ID}}, UserData: []byte("#cloud-config\n"),
	}, "ACTIVE")
	keyed, err := servers.Create(ctx, w.compute, keypairs.CreateOptsExt{
		CreateOptsBuilder: servers.CreateOpts{Name: "k", FlavorRef: w.flavor, ImageRef: w.image, Networks: []servers.Network{{UUID: w.network}}}, KeyName: "key",
	}, nil).Extract()
	check(t, err)
	w.await(keyed.ID, "ACTIVE")
	f, err := floatingips.Create(ctx, w.clients.network, floatingips.CreateOpts{FloatingNetworkID: w.external, PortID: p.ID}).Extract()
	check(t, err)
	eventually(t, "floating IP is ACTIVE", func() bool {
		f, err := floatingips.Get(ctx, w.clients.network, f.ID).Extract()
		check(t, err)
		return f.Status == "ACTIVE"
	})
	host.mu.Lock()
	spec := host.booted[v.ID]
	if spec.Hostname != "web-server-1" || spec.User != "debian" || string(spec.UserData) != "#cloud-config\n" || spec.MemoryMiB != 512 {
		t.Errorf("server: %+v", spec)
	}
	if keys := host.booted[keyed.ID].PublicKeys; len(keys) != 1 || keys[0] != key.PublicKey {
		t.Errorf("keys: %v", keys)
	}
	port := spec.Ports[0]
	if port.ID != p.ID || port.MAC != p.MACAddress || port.Addresses[0].String() != p.FixedIPs[0].IPAddress+"/24" || port.Gateway.String() != "10.9.0.1" {
		t.Errorf("port: %+v", port)
	}
	if in := port.Filter.Ingress; len(in) != 1 || in[0].Protocol != "tcp" || in[0].PortMin != 22 || in[0].RemoteSet || len(port.Filter.Egress) != 2 {
		t.Errorf("filter: %+v", port.Filter)
	}
	r := host.router
	if !r.SNAT || !w.s.External.Contains(r.External.Addr()) || r.Interfaces[0].Address.String() != "10.9.0.1/24" || r.FloatingIPs[0].Floating.String() != f.FloatingIP || r.FloatingIPs[0].Fixed.String() != p.FixedIPs[0].IPAddress {
		t.Errorf("router: %+v", r)
	}
	host.mu.Unlock()

	// A group's members are its rules' peers, and follow the servers that come and go.
	c := rawClient(t, w.s, sandbox.Demo)
	rule := c.must(201, "POST", "/networking/v2.0/security-group-rules", fmt.Sprintf(`{"security_group_rule":{"security_group_id":%q,"direction":"ingress","protocol":"icmp","remote_group_id":%q}}`, w.group, w.group))
	eventually(t, "the filter knows the member", func() bool {
		host.mu.Lock()
		defer host.mu.Unlock()
		f := host.filters[p.ID]
		return f != nil && len(f.Ingress) == 2 && f.Ingress[1].RemoteSet && len(f.Ingress[1].Remotes) == 1 && f.Ingress[1].PortMin == -1
	})
	c.must(204, "DELETE", "/networking/v2.0/security-group-rules/"+id(t, rule, "security_group_rule"), "")

	vol, err := volumes.Create(ctx, w.block, volumes.CreateOpts{Size: 2}, nil).Extract()
	check(t, err)
	w.volume(vol.ID, "available")
	_, err = volumeattach.Create(ctx, w.compute, v.ID, volumeattach.CreateOpts{VolumeID: vol.ID}).Extract()
	check(t, err)
	w.volume(vol.ID, "in-use")
	if a, err := volumeattach.Get(ctx, w.compute, v.ID, vol.ID).Extract(); err != nil || a.Device != "/dev/vdq" {
		t.Errorf("attachment: %+v %v", a, err)
	}
	check(t, volumeattach.Delete(ctx, w.compute, v.ID, vol.ID).ExtractErr())
	w.volume(vol.ID, "available")
	check(t, volumes.Delete(ctx, w.block, vol.ID, nil).ExtractErr())
	for _, s := range []string{v.ID, keyed.ID} {
		check(t, servers.Delete(ctx, w.compute, s).ExtractErr())
		eventually(t, "server is gone", func() bool { _, err := servers.Get(ctx, w.compute, s).Extract(); return err != nil })
	}
	check(t, floatingips.Delete(ctx, w.clients.network, f.ID).ExtractErr())
	check(t, ports.Delete(ctx, w.clients.network, p.ID).ExtractErr())
	w.tearDown()
	for _, call := range []string{"network+ " + w.network, "volume+ " + vol.ID + " 2 /dev/vdb", "volume~ " + vol.ID, "volume- " + vol.ID, "server- " + v.ID, "router- " + w.router, "network- " + w.network} {
		eventually(t, "host is told "+call, func() bool { return host.has(call) })
	}
}

func TestAHostThatCannotBootPutsTheServerIntoError(t *testing.T) {
	t.Parallel()
	host := newRecorder()
	host.bootErr = errors.New("cannot mount the overlay: no space left on device")
	w := build(t, start(t, sandbox.Options{Host: host}))
	v := w.boot(servers.CreateOpts{Name: "a"}, "ERROR")
	if !strings.Contains(v.Fault.Message, "no space left on device") {
		t.Errorf("fault: %+v", v.Fault)
	}
	check(t, servers.Delete(t.Context(), w.compute, v.ID).ExtractErr())
	eventually(t, "the host is told to clean up", func() bool { return host.has("server- " + v.ID) })
}

func TestARealServerAnswersSSHAtItsFloatingAddress(t *testing.T) {
	if err := machine.Available(); err != nil {
		t.Skip("no machines here:", err)
	}
	t.Parallel()
	s := start(t, sandbox.Options{Machines: &machine.Options{}})
	w := build(t, s)
	ctx := t.Context()
	key, err := keypairs.Create(ctx, w.compute, keypairs.CreateOpts{Name: "key"}).Extract()
	check(t, err)
	p, err := ports.Create(ctx, w.clients.network, ports.CreateOpts{NetworkID: w.network, SecurityGroups: &[]string{w.group}}).Extract()
	check(t, err)
	v, err := servers.Create(ctx, w.compute, keypairs.CreateOptsExt{
		CreateOptsBuilder: servers.CreateOpts{Name: "real", FlavorRef: w.flavor, ImageRef: w.image, Networks: []servers.Network{{Port: p.ID}}}, KeyName: "key",
	}, nil).Extract()
	check(t, err)
	f, err := floatingips.Create(ctx, w.clients.network, floatingips.CreateOpts{FloatingNetworkID: w.external, PortID: p.ID}).Extract()
	check(t, err)
	w.await(v.ID, "ACTIVE")
	signer, err := ssh.ParsePrivateKey([]byte(key.PrivateKey))
	check(t, err)
	config := &ssh.ClientConfig{
		User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: 2 * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the key is the machine package's tests' matter
	}
	var out string
	eventually(t, "SSH answers", func() bool {
		c, err := ssh.Dial("tcp", net.JoinHostPort(f.FloatingIP, "22"), config)
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		session, err := c.NewSession()
		check(t, err)
		data, err := session.CombinedOutput("hostname")
		check(t, err)
		out = strings.TrimSpace(string(data))
		return true
	})
	if out != "real" {
		t.Errorf("hostname %q", out)
	}
	check(t, s.InjectSSH(ctx, "real", sandbox.SSHFault{Refuse: true}))
	eventually(t, "SSH refuses", func() bool {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(f.FloatingIP, "22"), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}
