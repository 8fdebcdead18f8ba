package machine_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) {
	machine.MaybeInit()
	if os.Getenv(holdEnv) != "" {
		hold()
	}
	os.Exit(m.Run())
}

// world is a Host with a network, a router, and the means to log in.
type world struct {
	t        *testing.T
	host     machine.Host
	dir      string
	external netip.Prefix
	signer   ssh.Signer
	pub      string
	keyFile  string
	router   machine.Router
}

var worlds atomic.Int32

func newWorld(t *testing.T) *world { return newWorldWith(t, func(*machine.Options) {}) }

func newWorldWith(t *testing.T, change func(*machine.Options)) *world {
	t.Helper()
	if err := machine.Available(); err != nil {
		t.Skip("servers cannot run here: ", err)
	}
	n := worlds.Add(1)
	begin := time.Now()
	w := &world{t: t, dir: t.TempDir(), external: netip.MustParsePrefix(fmt.Sprintf("172.31.%d.0/24", 100+n))}
	o := machine.Options{Dir: w.dir, External: w.external, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	change(&o)
	h, err := machine.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("New:", time.Since(begin))
	w.host = h
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error("Close:", err)
		}
	})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if w.signer, err = ssh.NewSignerFromKey(key); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	w.keyFile = filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(w.keyFile, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	w.pub = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(w.signer.PublicKey())))
	must(t, h.CreateNetwork(t.Context(), "net"))
	w.router = machine.Router{ID: "router", External: netip.PrefixFrom(w.ext(2), 24), SNAT: true,
		Interfaces: []machine.Leg{{NetworkID: "net", Address: w.fixedPrefix(1)}}}
	must(t, h.SetRouter(t.Context(), w.router))
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ext is the n-th external address.
func (w *world) ext(n int) netip.Addr {
	a := w.external.Addr().As4()
	a[3] = byte(n)
	return netip.AddrFrom4(a)
}

// fixed is the n-th address of the tenant's network, which differs from world to world.
func (w *world) fixed(n int) netip.Addr {
	a := w.external.Addr().As4()
	return netip.AddrFrom4([4]byte{10, 77, a[2], byte(n)})
}

func (w *world) fixedPrefix(n int) netip.Prefix { return netip.PrefixFrom(w.fixed(n), 24) }

// server describes a server with address n and floating address n+100.
func (w *world) server(n int) machine.Server {
	return machine.Server{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Hostname: fmt.Sprintf("vm%d", n), User: "debian", PublicKeys: []string{w.pub},
		Ports: []machine.Port{{ID: fmt.Sprintf("port%d", n), NetworkID: "net", MAC: fmt.Sprintf("fa:16:3e:00:00:%02x", n),
			Addresses: []netip.Prefix{w.fixedPrefix(n)}, Gateway: w.fixed(1)}}}
}

func (w *world) boot(s machine.Server) {
	w.t.Helper()
	must(w.t, w.host.Boot(w.t.Context(), s))
	w.t.Cleanup(func() {
		if w.t.Failed() {
			log, _ := w.host.Console(context.Background(), s.ID, 60)
			w.t.Logf("console of %s:\n%s", s.Hostname, log)
		}
	})
}

// float gives server n its floating address.
func (w *world) float(n int) netip.Addr {
	w.t.Helper()
	f := machine.FloatingIP{Floating: w.ext(n + 100), Fixed: w.fixed(n)}
	w.router.FloatingIPs = append(w.router.FloatingIPs, f)
	must(w.t, w.host.SetRouter(w.t.Context(), w.router))
	return f.Floating
}

// eventually retries until f succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *world) dial(addr netip.Addr, user string, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	if len(auth) == 0 {
		auth = []ssh.AuthMethod{ssh.PublicKeys(w.signer)}
	}
	return ssh.Dial("tcp", net.JoinHostPort(addr.String(), "22"), &ssh.ClientConfig{User: user, Auth: auth,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 2 * time.Second})
}

func (w *world) login(addr netip.Addr, user string, auth ...ssh.AuthMethod) *ssh.Client {
	w.t.Helper()
	var c *ssh.Client
	eventually(w.t, "login as "+user+" at "+addr.String(), func() (err error) {
		c, err = w.dial(addr, user, auth...)
		return err
	})
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func run(t *testing.T, c *ssh.Client, cmd string) string {
	t.Helper()
	out, err := tryRun(c, cmd)
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(out)
}

func tryRun(c *ssh.Client, cmd string) (string, error) {
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	out, err := s.CombinedOutput(cmd)
	return string(out), err
}

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := time.Now()
	w.boot(w.server(5))
	f := w.float(5)
	c := w.login(f, "debian")
	t.Log("from Boot to login:", time.Since(begin))
	if got := run(t, c, "whoami; hostname; pwd"); got != "debian\nvm5\n/home/debian" {
		t.Errorf("got %q", got)
	}
	if got := run(t, c, "sudo id -u"); got != "0" {
		t.Errorf("sudo: %q", got)
	}
	if got := run(t, c, "env | grep -c -e GOPATH -e GOCACHE -e ORCH_ || true"); got != "0" {
		t.Errorf("%s variables of this process are seen inside", got)
	}
	if got := run(t, c, "ls -A /root /tmp /home 2>/dev/null; sudo ls -A /root"); strings.Contains(got, "go") {
		t.Errorf("this machine's files are seen inside: %q", got)
	}
	direct := w.login(w.fixed(5), "debian")
	run(t, direct, "true")
}
