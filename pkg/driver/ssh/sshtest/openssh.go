package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/topology"
)

// OpenSSH is a real sshd on a loopback port, for the user who runs the test.
type OpenSSH struct {
	Host driver.Host
	Key  string // the client's private key, reference "key"
	Dir  string
	cmd  *exec.Cmd
	args []string
	t    testing.TB
}

// StartOpenSSH starts sshd with further lines of configuration. It skips the test where sshd is not installed or cannot run.
func StartOpenSSH(t testing.TB, config ...string) *OpenSSH {
	t.Helper()
	program := ""
	for _, p := range []string{"/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"} {
		if _, err := os.Stat(p); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		t.Skip("OpenSSH's sshd is not installed")
	}
	if os.Getuid() == 0 {
		// sshd as root insists on its directory for privilege separation.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip("sshd needs /run/sshd: ", err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	s := &OpenSSH{Dir: t.TempDir(), t: t}
	hostPriv, hostPub := keyPair(t)
	clientPriv, clientPub := keyPair(t)
	s.Key = clientPriv
	write := func(name, text string) string {
		p := filepath.Join(s.Dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	// The test's own directory lies below one that others may write to, which StrictModes would not have.
	conf := []string{"Port " + fmt.Sprint(port), "ListenAddress 127.0.0.1", "HostKey " + write("host", hostPriv), "AuthorizedKeysFile " + write("authorized", clientPub),
		"PidFile none", "StrictModes no", "UsePAM no", "PermitRootLogin yes", "PasswordAuthentication no", "Subsystem sftp internal-sftp", "LogLevel QUIET", "UseDNS no"}
	s.args = []string{program, "-D", "-e", "-f", write("config", strings.Join(append(config, conf...), "\n")+"\n")}
	s.Host = driver.Host{Instance: topology.Instance{Node: "sshd", Index: "0"}, Addresses: []string{"127.0.0.1"}, Port: port, User: me.Username,
		KeyRef: "key", HostKeys: []string{strings.TrimSpace(hostPub)}}
	s.Up()
	t.Cleanup(s.Down)
	return s
}

// Up starts the daemon (again) and waits until it listens.
func (s *OpenSSH) Up() {
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		s.t.Skip("cannot start sshd: ", err)
	}
	for range 200 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Host.Port))
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatal("sshd does not listen")
}

// Down kills the daemon and the processes that serve its connections, but nothing that they started.
func (s *OpenSSH) Down() {
	if s.cmd == nil {
		return
	}
	for _, pid := range append(children(s.cmd.Process.Pid), s.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Cut kills the processes that serve connections.
func (s *OpenSSH) Cut() {
	for _, pid := range children(s.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children are the sshd processes below one, by what they are called: not the shells that they started.
func children(pid int) []int {
	var out []int
	procs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		var id, ppid int
		var state string
		open, end := strings.IndexByte(string(b), '('), strings.LastIndexByte(string(b), ')')
		if open < 0 || end < open {
			continue
		}
		if _, err := fmt.Sscan(string(b[:open]), &id); err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(b[end+1:]), &state, &ppid); err != nil || ppid != pid || !strings.HasPrefix(string(b[open+1:end]), "sshd") {
			continue
		}
		out = append(out, append(children(id), id)...)
	}
	return out
}

func keyPair(t testing.TB) (priv, pub string) {
	t.Helper()
	p, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(k, "")
	if err != nil {
		t.Fatal(err)
	}
	sp, err := ssh.NewPublicKey(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(sp))
}
