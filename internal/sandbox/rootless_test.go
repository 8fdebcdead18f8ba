package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/orch-project/orch/internal/sandbox"
)

// userDirEnv tells this test binary that it is run by the ordinary user, and where that user may write.
const userDirEnv = "ORCH_TEST_USER_DIR"

// An ordinary user has servers as root has. The user is "daemon", which every system has; a private mount gives it subordinate ids.
func TestAnOrdinaryUserHasServers(t *testing.T) {
	switch {
	case testing.Short():
		t.Skip("it copies this machine's packages")
	case os.Geteuid() != 0:
		t.Skip("root is needed to become an ordinary user")
	}
	t.Parallel()
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if _, err := os.Stat(file); err != nil {
			t.Skip("no place for subordinate ids: ", err)
		}
	}
	for _, program := range []string{"unshare", "mount", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir, err := os.MkdirTemp("", "orch-user-")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const uid = 1
	check(t, os.Chown(dir, uid, uid))
	ids := filepath.Join(dir, "ids")
	check(t, os.WriteFile(ids, []byte("daemon:1000000:65536\n"), 0o644))
	self := filepath.Join(dir, "test")
	in, err := os.Open("/proc/self/exe")
	check(t, err)
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(self, os.O_CREATE|os.O_WRONLY, 0o755)
	check(t, err)
	_, err = io.Copy(out, in)
	check(t, errors.Join(err, out.Close()))
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-ec",
		`mount --bind "$1" /etc/subuid; mount --bind "$1" /etc/subgid; exec setpriv --reuid=1 --regid=1 --clear-groups "$2" -test.v -test.run='^TestServersOfAnOrdinaryUser$'`,
		"sh", ids, self)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), userDirEnv+"="+dir, "HOME="+dir, "TMPDIR="+dir, "USER=daemon")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if bytes.Contains(text, []byte("--- SKIP")) {
		t.Skipf("%s", text)
	}
	t.Logf("%s", text)
}

func TestServersOfAnOrdinaryUser(t *testing.T) {
	dir := os.Getenv(userDirEnv)
	if dir == "" {
		t.Skip("TestAnOrdinaryUserHasServers runs it")
	}
	if err := sandbox.Available(); err != nil {
		t.Skip(err)
	}
	ctx := t.Context()
	at := filepath.Join(dir, "sandbox")
	t.Cleanup(func() { _ = sandbox.Down(t.Context(), at) })
	state, err := sandbox.Up(ctx, at, sandbox.UpOptions{Machines: true, Delays: quick})
	check(t, err)
	if state.Network == "" {
		t.Errorf("%+v", state)
	}
	clouds, err := os.ReadFile(state.CloudsFile)
	check(t, err)
	w := build(t, &sandbox.Sandbox{URL: state.URL, Password: regexp.MustCompile(`password: "(.*)"`).FindStringSubmatch(string(clouds))[1]})
	address, key := w.reachable()
	client, err := sandbox.Connect(at)
	check(t, err)
	try := through(t, client, address, key)
	run := func(line string) string {
		t.Helper()
		out, err := try(line)
		if err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
		return out
	}

	// Ids are those of a whole system, and set-id programs work.
	if got := run("hostname; sudo sh -c 'touch /f; chown www-data:nogroup /f; stat -c %U:%G /f; su nobody -s /bin/sh -c id'"); got != "real\nwww-data:nogroup\nuid=65534(nobody) gid=65534(nogroup) groups=65534(nogroup)" {
		t.Errorf("the server's users: %q", got)
	}
	// Servers reach what this machine reaches.
	if url := serveOutside(t); url != "" {
		host, port, _ := strings.Cut(url, ":")
		if got := run(fmt.Sprintf("exec 3<>/dev/tcp/%s/%s; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3", host, port)); got != "from outside" {
			t.Errorf("the way out: %q", got)
		}
	}
	if out, err := try("sudo apt-get update -qq 2>&1"); err != nil {
		t.Log("packages are not tried, the mirror is out of reach: ", out)
	} else if got := run("sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq hello >/dev/null 2>&1; hello -g works"); got != "works" {
		t.Errorf("an installed package: %q", got)
	}
	// Commands of the user reach servers, as that user, and the APIs.
	var out bytes.Buffer
	code, err := sandbox.Exec(ctx, at, []string{"bash", "-c", `read -r l </dev/tcp/$0/22; echo "${l%%-*} $(id -u)"; exec 3<>/dev/tcp/$1/$2; exit 7`,
		address, "127.0.0.1", state.URL[strings.LastIndexByte(state.URL, ':')+1:]}, nil, &out, &out)
	if err != nil || code != 7 || out.String() != "SSH 1\n" {
		t.Errorf("exec: %d %v %q", code, err, out.String())
	}
	if c, err := client.Dial(ctx, strings.TrimPrefix(state.URL, "http://")); !errors.Is(err, sandbox.ErrElsewhere) {
		t.Errorf("an address of this machine: %v %v", c, err)
	}

	// A killed daemon leaves files of ids that only its namespace had.
	check(t, unix.Kill(state.PID, unix.SIGKILL))
	eventually(t, "status sees the death", func() bool { s, err := sandbox.Status(ctx, at); check(t, err); return !s.Running })
	check(t, sandbox.Down(ctx, at))
	if _, err := os.Stat(filepath.Join(at, "machines")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the servers' files are still there: %v", err)
	}
}

// reachable boots a server with a floating address and returns this and the key of its user.
func (w *world) reachable() (address string, key ssh.Signer) {
	t, ctx := w.t, w.t.Context()
	t.Helper()
	pair, err := keypairs.Create(ctx, w.compute, keypairs.CreateOpts{Name: "key"}).Extract()
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
	key, err = ssh.ParsePrivateKey([]byte(pair.PrivateKey))
	check(t, err)
	return f.FloatingIP, key
}

// through logs in to a server by way of the sandbox. The function runs a line there and returns what it prints, less the last newline.
func through(t *testing.T, client *sandbox.Client, address string, key ssh.Signer) func(line string) (string, error) {
	t.Helper()
	config := &ssh.ClientConfig{
		User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the key is the machine package's tests' matter
	}
	var c *ssh.Client
	for end := time.Now().Add(5 * time.Minute); c == nil; time.Sleep(50 * time.Millisecond) {
		raw, err := client.Dial(t.Context(), net.JoinHostPort(address, "22"))
		if err == nil {
			_ = raw.SetDeadline(time.Now().Add(time.Minute)) // of the handshake
			var conn ssh.Conn
			var channels <-chan ssh.NewChannel
			var requests <-chan *ssh.Request
			if conn, channels, requests, err = ssh.NewClientConn(raw, address, config); err == nil {
				_ = raw.SetDeadline(time.Time{})
				c = ssh.NewClient(conn, channels, requests)
				break
			}
			_ = raw.Close()
		}
		if time.Now().After(end) {
			t.Fatal("SSH does not answer: ", err)
		}
	}
	t.Cleanup(func() { _ = c.Close() })
	return func(line string) (string, error) {
		session, err := c.NewSession()
		check(t, err)
		defer func() { _ = session.Close() }()
		data, err := session.CombinedOutput(line)
		return strings.TrimSuffix(string(data), "\n"), err
	}
}

// serveOutside answers "from outside" on an address of this machine that is not loopback; "" when it has none.
func serveOutside(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	check(t, err)
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.To4() == nil || !n.IP.IsGlobalUnicast() {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(n.IP.String(), "0"))
		if err != nil {
			continue
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "from outside") })}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { _ = s.Close() })
		return l.Addr().String()
	}
	return ""
}
