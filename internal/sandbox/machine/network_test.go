package machine_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/ssh"
)

// Two tenants use the same addresses; each floating address leads to its own server, and neither sees the other.
func TestOverlappingTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot(w.server(5))
	a := w.login(w.float(5), "debian")
	must(t, w.host.CreateNetwork(t.Context(), "net2"))
	other := w.server(6)
	other.Hostname = "other"
	other.Ports[0].NetworkID = "net2"
	other.Ports[0].Addresses = []netip.Prefix{w.fixedPrefix(5)}
	w.boot(other)
	must(t, w.host.SetRouter(t.Context(), machine.Router{ID: "router2", External: netip.PrefixFrom(w.ext(3), 24), SNAT: true,
		Interfaces:  []machine.Leg{{NetworkID: "net2", Address: w.fixedPrefix(1)}},
		FloatingIPs: []machine.FloatingIP{{Floating: w.ext(200), Fixed: w.fixed(5)}}}))
	b := w.login(w.ext(200), "debian")
	if got := run(t, a, "hostname") + run(t, b, "hostname"); got != "vm5other" {
		t.Errorf("got %q", got)
	}
	// From tenant to tenant by floating address, and to one's own.
	for _, c := range []struct {
		what, target string
	}{{"the other tenant", w.ext(200).String()}, {"itself", w.ext(105).String()}} {
		if out, err := tryRun(a, "timeout 60 bash -c 'exec 3<>/dev/tcp/"+c.target+"/22; head -c 7 <&3'"); err != nil || out != "SSH-2.0" {
			t.Errorf("reaching %s: %q, %v", c.what, out, err)
		}
	}
	meta := "curl -sf http://169.254.169.254/openstack/latest/meta_data.json"
	if one, two := run(t, a, meta), run(t, b, meta); !strings.Contains(one, "vm5") || !strings.Contains(two, "other") {
		t.Errorf("metadata: %s, %s", one, two)
	}
}

// A floating address that moves to another server is reached there at once.
func TestFloatingMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot(w.server(5))
	w.boot(w.server(6))
	f := w.float(5)
	if got := run(t, w.login(f, "debian"), "hostname"); got != "vm5" {
		t.Errorf("got %q", got)
	}
	w.router.FloatingIPs = []machine.FloatingIP{{Floating: f, Fixed: w.fixed(6)}}
	must(t, w.host.SetRouter(t.Context(), w.router))
	if got := run(t, w.login(f, "debian"), "hostname"); got != "vm6" {
		t.Errorf("after moving: %q", got)
	}
	w.router.FloatingIPs = nil
	must(t, w.host.SetRouter(t.Context(), w.router))
	if c, err := net.DialTimeout("tcp", f.String()+":22", 500*time.Millisecond); err == nil {
		_ = c.Close()
		t.Error("a removed floating address answers")
	}
}

func TestSecurityGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	s.Ports[0].Filter = &machine.Filter{} // nothing in, nothing out
	w.boot(s)
	w.boot(w.server(6))
	f := w.float(5)
	peer := w.login(w.float(6), "debian")
	open := func(port string) bool {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(f.String(), port), 300*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	if open("22") {
		t.Fatal("an empty group lets SSH in")
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	ssh := machine.Rule{Protocol: "tcp", PortMin: 22, PortMax: 22, Remotes: []netip.Prefix{all}}
	must(t, w.host.SetSecurity(t.Context(), "port5", &machine.Filter{Ingress: []machine.Rule{ssh}}))
	c := w.login(f, "debian")
	run(t, c, "(python3 -m http.server 8080 >/dev/null 2>&1 &) ; until curl -s -o /dev/null http://localhost:8080/; do sleep 0.1; done")
	if open("8080") {
		t.Error("8080 is open though only 22 is allowed")
	}
	if _, err := tryRun(c, "timeout 1 bash -c 'exec 3<>/dev/tcp/"+w.fixed(6).String()+"/22'"); err == nil {
		t.Error("egress passes though no rule allows it")
	}
	if got := run(t, c, "curl -sf -m 60 http://169.254.169.254/latest/meta-data/hostname"); got != "vm5" {
		t.Errorf("metadata through the filter: %q", got)
	}
	// A remote group is its members' addresses.
	web := machine.Rule{Protocol: "tcp", PortMin: 8000, PortMax: 8100, RemoteSet: true, Remotes: []netip.Prefix{netip.PrefixFrom(w.fixed(6), 32)}}
	ping := machine.Rule{Protocol: "icmp", PortMin: -1, PortMax: -1}
	must(t, w.host.SetSecurity(t.Context(), "port5", &machine.Filter{Ingress: []machine.Rule{ssh, web, ping}, Egress: []machine.Rule{{}}}))
	if open("8080") {
		t.Error("8080 is open to one who is not in the group")
	}
	run(t, peer, "curl -sf -m 60 -o /dev/null http://"+w.fixed(5).String()+":8080/")
	run(t, peer, echo(w.fixed(6), w.fixed(5)))
	run(t, c, "timeout 60 bash -c 'exec 3<>/dev/tcp/"+w.fixed(6).String()+"/22'")
	// Root inside cannot lift it.
	_, _ = tryRun(c, "command -v nft && sudo nft flush ruleset")
	web.Remotes = nil
	must(t, w.host.SetSecurity(t.Context(), "port5", &machine.Filter{Ingress: []machine.Rule{ssh, web}, Egress: []machine.Rule{{}}}))
	if _, err := tryRun(peer, "curl -sf -m 1 -o /dev/null http://"+w.fixed(5).String()+":8080/"); err == nil {
		t.Error("an empty remote group lets somebody in")
	}
	// A server may not use addresses that are not its own.
	run(t, c, "sudo ip addr add "+w.fixed(99).String()+"/24 dev eth0")
	if _, err := tryRun(c, echo(w.fixed(99), w.fixed(6))); err == nil {
		t.Error("a foreign source address passes")
	}
	must(t, w.host.SetSecurity(t.Context(), "port5", nil))
	run(t, c, echo(w.fixed(99), w.fixed(6)))
	eventually(t, "8080 without filter", func() error {
		if !open("8080") {
			return fmt.Errorf("closed")
		}
		return nil
	})
}

// echo is a command that sends an ICMP echo request and waits for the answer, on images that may lack ping.
func echo(from, to netip.Addr) string {
	return fmt.Sprintf(`python3 -c 'import socket
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM,socket.IPPROTO_ICMP); s.settimeout(1); s.bind(("%s",0))
s.sendto(bytes([8,0,0,0,0,0,0,1]),("%s",0)); s.recv(100)'`, from, to)
}

// outsideListener serves HTTP on an address of this machine that only the forwarder leads to.
func outsideListener(t *testing.T) string {
	t.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = fmt.Sprintf("orchtest%d", worlds.Add(1))
	link := &netlink.Veth{LinkAttrs: la, PeerName: la.Name + "b"}
	if err := netlink.LinkAdd(link); err != nil {
		t.Skip("no link can be made: ", err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	addr := netip.AddrFrom4([4]byte{198, 18, 99, byte(worlds.Add(1))})
	must(t, netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(32, 32)}}))
	must(t, netlink.LinkSetUp(link))
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
	must(t, err)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "hello %d", len(body))
	}))
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestOutbound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := outsideListener(t)
	w.boot(w.server(5))
	c := w.login(w.float(5), "debian")
	if got := run(t, c, "head -c 3000000 /dev/zero | curl -sf -m 60 --data-binary @- "+url); got != "hello 3000000" {
		t.Errorf("got %q", got)
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	if out, err := tryRun(c, "curl -sS -m 5 http://"+host+":1/"); err == nil {
		t.Errorf("a closed port answers: %s", out)
	}
	// Without gateway there is no way out, though the metadata service and names answer.
	w.router.External = netip.Prefix{}
	w.router.FloatingIPs = nil
	must(t, w.host.SetRouter(t.Context(), w.router))
	must(t, w.host.CreateNetwork(t.Context(), "mgmt"))
	must(t, w.host.SetRouter(t.Context(), machine.Router{ID: "r2", External: netip.PrefixFrom(w.ext(9), 24), Interfaces: []machine.Leg{{NetworkID: "mgmt", Address: netip.MustParsePrefix("10.88.0.1/24")}},
		FloatingIPs: []machine.FloatingIP{{Floating: w.ext(201), Fixed: netip.MustParseAddr("10.88.0.5")}}}))
	must(t, w.host.AttachPort(t.Context(), w.server(5).ID, machine.Port{ID: "p2", NetworkID: "mgmt", MAC: "fa:16:3e:11:00:05", Addresses: []netip.Prefix{netip.MustParsePrefix("10.88.0.5/24")},
		Routes: []machine.Route{{Destination: w.external, Via: netip.MustParseAddr("10.88.0.1")}}}))
	c2 := w.login(w.ext(201), "debian")
	if _, err := tryRun(c2, "curl -sf -m 2 "+url); err == nil {
		t.Error("there is a way out without gateway")
	}
	run(t, c2, "curl -sf -m 60 http://169.254.169.254/latest/meta-data/instance-id")
	if got := run(t, c2, "ls /sys/class/net"); !strings.Contains(got, "eth1") {
		t.Errorf("links: %q", got)
	}
	must(t, w.host.DetachPort(t.Context(), w.server(5).ID, "p2"))
	eventually(t, "detached", func() error {
		conn, err := net.DialTimeout("tcp", w.ext(201).String()+":22", 200*time.Millisecond)
		if err == nil {
			_ = conn.Close()
			return fmt.Errorf("still reachable")
		}
		return nil
	})
}

func TestNetworksAreIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		must(t, w.host.CreateNetwork(t.Context(), "n2"))
		must(t, w.host.SetRouter(t.Context(), w.router))
	}
	s := w.server(5)
	w.boot(s)
	must(t, w.host.Boot(t.Context(), s))
	s.Hostname = "different"
	if err := w.host.Boot(t.Context(), s); err == nil {
		t.Error("another server with the same id was accepted")
	}
	for range 2 {
		must(t, w.host.Destroy(t.Context(), s.ID))
		must(t, w.host.DeleteRouter(t.Context(), "router"))
		must(t, w.host.DeleteNetwork(t.Context(), "n2"))
	}
	s.ID, s.Ports[0].NetworkID = "x", "missing"
	if err := w.host.Boot(t.Context(), s); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a server on an unknown network: %v", err)
	}
}

// A server whose cable is out keeps running; its connections go on when the cable is back, and get through where packets are lost.
func TestBrokenNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	w.boot(s)
	f := w.float(5)
	c := w.login(f, "debian")
	must(t, w.host.InjectNetwork(t.Context(), s.ID, machine.NetworkFault{Down: true}))
	if conn, err := net.DialTimeout("tcp", f.String()+":22", 300*time.Millisecond); err == nil {
		_ = conn.Close()
		t.Error("a server without a cable answers")
	}
	must(t, w.host.InjectNetwork(t.Context(), s.ID, machine.NetworkFault{}))
	if got := run(t, c, "echo still here"); got != "still here" {
		t.Errorf("%q", got)
	}
	must(t, w.host.InjectNetwork(t.Context(), s.ID, machine.NetworkFault{Loss: 20}))
	if got := run(t, c, "seq 20000 | tail -1"); got != "20000" {
		t.Errorf("%q", got)
	}
	if err := w.host.InjectNetwork(t.Context(), s.ID, machine.NetworkFault{Loss: 101}); err == nil {
		t.Error("101 of 100 packets are lost")
	}
	must(t, w.host.InjectNetwork(t.Context(), s.ID, machine.NetworkFault{Loss: 100}))
	must(t, w.host.Reboot(t.Context(), s.ID, true))
	if conn, err := net.DialTimeout("tcp", f.String()+":22", 300*time.Millisecond); err == nil {
		_ = conn.Close()
		t.Error("packets are not lost after a reboot")
	}
	must(t, w.host.InjectNetwork(t.Context(), s.ID, machine.NetworkFault{}))
	w.login(f, "debian")
}

// Two sandboxes on one machine whose tenants have the same addresses: this machine's route leads to the first one's, those of the second are reached through
// their router.
func TestSameAddressesInTwoSandboxes(t *testing.T) {
	t.Parallel()
	first, second := newWorld(t), newWorld(t)
	first.boot(first.server(5))
	second.router.Interfaces = []machine.Leg{{NetworkID: "net", Address: first.fixedPrefix(1)}}
	must(t, second.host.SetRouter(t.Context(), second.router))
	s := second.server(5)
	s.Hostname, s.Ports[0].Addresses, s.Ports[0].Gateway = "other", []netip.Prefix{first.fixedPrefix(5)}, first.fixed(1)
	second.boot(s)
	addr := netip.AddrPortFrom(first.fixed(5), 22).String()
	if got := run(t, first.login(first.fixed(5), "debian"), "hostname"); got != "vm5" {
		t.Errorf("this machine's route leads to %q", got)
	}
	if _, err := machine.DialHidden(t.Context(), first.host, addr); !errors.Is(err, machine.ErrElsewhere) {
		t.Errorf("the first is hidden: %v", err)
	}
	var client *ssh.Client
	eventually(t, "the second lets in", func() error {
		conn, err := machine.DialHidden(t.Context(), second.host, addr)
		if err != nil {
			return err
		}
		c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(second.signer)},
			HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		if err != nil {
			_ = conn.Close()
			return err
		}
		client = ssh.NewClient(c, chans, reqs)
		return nil
	})
	defer client.Close()
	if got := run(t, client, "hostname"); got != "other" {
		t.Errorf("its router leads to %q", got)
	}
	if _, err := machine.DialHidden(t.Context(), second.host, "192.0.2.1:22"); !errors.Is(err, machine.ErrElsewhere) {
		t.Errorf("elsewhere: %v", err)
	}
}
