package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// A server of the sandbox from its boot on: the injected host key and cloud-init are waited for, operations run as root, and connections
// that are cut again and again lose and repeat nothing.
func TestServerOfTheSandbox(t *testing.T) {
	t.Parallel()
	if err := machine.Available(); err != nil {
		t.Skip("servers cannot run here: ", err)
	}
	hostKey, hostPub := pair(t)
	userKey, userPub := pair(t)
	external := netip.MustParsePrefix(fmt.Sprintf("172.31.%d.0/24", 30+os.Getpid()%60))
	sandbox, err := machine.New(t.Context(), machine.Options{Dir: t.TempDir(), External: external, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Skip("cannot start the sandbox: ", err)
	}
	t.Cleanup(func() {
		if err := sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	at := func(a netip.Addr, n byte) netip.Addr { b := a.As4(); b[3] = n; return netip.AddrFrom4(b) }
	inner := netip.AddrFrom4([4]byte{10, 78, external.Addr().As4()[2], 0})
	floating := at(external.Addr(), 105)
	for _, err := range []error{
		sandbox.CreateNetwork(t.Context(), "net"),
		sandbox.SetRouter(t.Context(), machine.Router{ID: "r", External: netip.PrefixFrom(at(external.Addr(), 2), 24), SNAT: true,
			Interfaces:  []machine.Leg{{NetworkID: "net", Address: netip.PrefixFrom(at(inner, 1), 24)}},
			FloatingIPs: []machine.FloatingIP{{Floating: floating, Fixed: at(inner, 5)}}}),
		sandbox.Boot(t.Context(), machine.Server{ID: "00000000-0000-4000-8000-000000000005", Hostname: "vm", User: "debian", PublicKeys: []string{userPub},
			UserData: []byte("#cloud-config\nssh_keys:\n  ed25519_private: |\n    " + strings.ReplaceAll(strings.TrimSpace(hostKey), "\n", "\n    ") +
				"\n  ed25519_public: " + hostPub + "\nruncmd:\n  - [sh, -c, 'sleep 1; touch /root/configured']\n"),
			Ports: []machine.Port{{ID: "p", NetworkID: "net", MAC: "fa:16:3e:00:00:05", Addresses: []netip.Prefix{netip.PrefixFrom(at(inner, 5), 24)}, Gateway: at(inner, 1)}}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	h := driver.Host{Instance: topology.Instance{Node: "vm", Index: "0"}, Addresses: []string{floating.String()}, User: "debian", KeyRef: "key",
		HostKeys: []string{hostPub}, HostKeySource: Injected, CloudInit: true, Sudo: true}
	d := New(Options{Secrets: secretMap{"key": userKey}, ReadyTimeout: patience, Reconnect: patience})
	defer d.Close()
	req := request(t, h, `id -u; hostname; ls /root/configured; export OUT=1`)
	var l log
	res, err := d.Run(t.Context(), req, l.emit)
	if err != nil || res.Outputs["OUT"] != "1" || !strings.HasSuffix(l.stdout(), "0\nvm\n/root/configured") {
		console, _ := sandbox.Console(t.Context(), "00000000-0000-4000-8000-000000000005", 60)
		t.Fatalf("%v, stdout %q, waits %q\n%s", err, l.stdout(), l.waits(), console)
	}

	req = request(t, h, `echo x >>/root/ran; i=0; while [ $i -lt 40 ]; do echo "line $i"; sleep 0.05; i=$((i+1)); done; cat /root/ran`)
	req.OpID = "cut"
	l = log{}
	cuts := 0
	l.on = func(e event.Event) {
		fault := machine.SSHFault{DropAfter: 200 * time.Millisecond}
		switch {
		case e.Message == "line 1":
		case strings.Contains(e.Message, "lost, reconnecting"):
			if cuts++; cuts == 4 {
				fault = machine.SSHFault{} // a slow machine would never get through
			}
		default:
			return
		}
		if err := sandbox.InjectSSH(t.Context(), "00000000-0000-4000-8000-000000000005", fault); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Run(t.Context(), req, l.emit); err != nil {
		t.Fatal(err)
	}
	if cuts == 0 {
		t.Error("no connection was cut: the test proves nothing")
	}
	lines := strings.Split(l.stdout(), "\n")
	if n := len(lines); n < 41 || lines[n-1] != "x" || lines[n-2] != "line 39" {
		t.Errorf("%q", lines)
	}
}

func pair(t *testing.T) (private, public string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}
