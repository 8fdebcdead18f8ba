package machine_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot(w.server(5))
	w.boot(w.server(6))
	c := w.login(w.float(5), "debian")

	t.Run("exit status and signal", func(t *testing.T) {
		var exit *ssh.ExitError
		if _, err := tryRun(c, "exit 3"); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
			t.Errorf("exit 3: %v", err)
		}
		if _, err := tryRun(c, "kill -TERM $$"); !errors.As(err, &exit) || exit.Signal() != "TERM" {
			t.Errorf("killed: %v", err)
		}
	})
	t.Run("signal ends the process group", func(t *testing.T) {
		s, err := c.NewSession()
		must(t, err)
		defer s.Close()
		must(t, s.Start("sleep 4711 & sleep 4712"))
		eventually(t, "sleep runs", func() error { _, err := tryRun(c, "pgrep -f 'sleep 4712'"); return err })
		must(t, s.Signal(ssh.SIGTERM))
		_ = s.Wait()
		if out, err := tryRun(c, "pgrep -x sleep"); err == nil {
			t.Errorf("still running: %s", out)
		}
	})
	t.Run("stdin and large output", func(t *testing.T) {
		s, err := c.NewSession()
		must(t, err)
		defer s.Close()
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		s.Stdin = bytes.NewReader(data)
		out, err := s.Output("cat")
		if err != nil || !bytes.Equal(out, data) {
			t.Errorf("cat returned %d bytes of %d: %v", len(out), len(data), err)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		s, err := c.NewSession()
		must(t, err)
		defer s.Close()
		must(t, s.RequestPty("xterm", 33, 111, ssh.TerminalModes{ssh.ECHO: 0}))
		out, err := s.Output("tty; stty size; echo $TERM; stty -a | grep -o -e '-echo ' | head -1; test -t 0 && echo yes")
		lines := strings.Split(strings.ReplaceAll(string(out), "\r", ""), "\n")
		if err != nil || len(lines) < 5 || !strings.HasPrefix(lines[0], "/dev/pts/") || lines[1] != "33 111" || lines[2] != "xterm" || lines[3] != "-echo " || lines[4] != "yes" {
			t.Errorf("got %q, %v", lines, err)
		}
	})
	t.Run("shell on a terminal, resized", func(t *testing.T) {
		s, err := c.NewSession()
		must(t, err)
		defer s.Close()
		must(t, s.RequestPty("xterm", 24, 80, nil))
		in, err := s.StdinPipe()
		must(t, err)
		var out bytes.Buffer
		s.Stdout = &out
		must(t, s.Shell())
		must(t, s.WindowChange(50, 132))
		_, err = io.WriteString(in, "stty size; exit 7\n")
		must(t, err)
		var exit *ssh.ExitError
		if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 7 || !strings.Contains(out.String(), "50 132") {
			t.Errorf("%v: %q", err, out.String())
		}
	})
	t.Run("sftp acts as the user", func(t *testing.T) {
		f, err := sftp.NewClient(c)
		must(t, err)
		defer f.Close()
		out, err := f.Create("hello.txt")
		must(t, err)
		_, err = out.Write([]byte("hello"))
		must(t, err)
		must(t, out.Close())
		if got := run(t, c, "stat -c '%U %s' /home/debian/hello.txt"); got != "debian 5" {
			t.Errorf("got %q", got)
		}
		if _, err := f.Create("/etc/forbidden"); err == nil {
			t.Error("the user could write to /etc")
		}
	})
	t.Run("jump to another server", func(t *testing.T) {
		var inner net.Conn
		eventually(t, "forwarded connection", func() (err error) {
			inner, err = c.Dial("tcp", net.JoinHostPort(w.fixed(6).String(), "22"))
			return err
		})
		conn, chans, reqs, err := ssh.NewClientConn(inner, "", &ssh.ClientConfig{User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.signer)},
			HostKeyCallback: ssh.InsecureIgnoreHostKey()})
		must(t, err)
		jumped := ssh.NewClient(conn, chans, reqs)
		defer jumped.Close()
		if got := run(t, jumped, "hostname"); got != "vm6" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("root is told to use the default user", func(t *testing.T) {
		root, err := w.dial(w.ext(105), "root")
		must(t, err)
		defer root.Close()
		s, err := root.NewSession()
		must(t, err)
		defer s.Close()
		out, err := s.StdoutPipe()
		must(t, err)
		must(t, s.Start("id"))
		line := make([]byte, 100)
		n, _ := out.Read(line)
		if !strings.Contains(string(line[:n]), `Please login as the user "debian"`) {
			t.Errorf("got %q", line[:n])
		}
	})
	t.Run("many sessions at once", func(t *testing.T) {
		done := make(chan error, 30)
		for range 30 {
			go func() { _, err := tryRun(c, "sleep 0.05; echo ok"); done <- err }()
		}
		for range 30 {
			must(t, <-done)
		}
	})
	t.Run("wrong key", func(t *testing.T) {
		if _, err := w.dial(w.ext(105), "debian", ssh.Password("x")); err == nil {
			t.Error("logged in by password")
		}
	})
}

func TestOpenSSH(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no OpenSSH client: ", err)
	}
	w := newWorld(t)
	w.boot(w.server(5))
	w.boot(w.server(6))
	f := w.float(5).String()
	w.login(w.ext(105), "debian")
	config := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(config, []byte("Host *\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nIdentityFile "+w.keyFile+
		"\nIdentitiesOnly yes\nBatchMode yes\nLogLevel ERROR\nUser debian\nServerAliveInterval 1\nConnectTimeout 5\n"), 0o600))
	command := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, append([]string{"-F", config}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := command("ssh", f, "echo $USER; sleep 2"); got != "debian" {
		t.Errorf("ssh: %q", got)
	}
	if got := command("ssh", "-tt", f, "tty"); !strings.HasPrefix(got, "/dev/pts/") {
		t.Errorf("ssh -tt: %q", got)
	}
	file := filepath.Join(t.TempDir(), "up")
	must(t, os.WriteFile(file, bytes.Repeat([]byte("x"), 300_000), 0o640))
	command("scp", "-p", file, f+":")
	command("scp", "-O", file, f+":legacy")
	if got := command("ssh", f, "stat -c '%s %a' up; stat -c %s legacy"); got != "300000 640\n300000" {
		t.Errorf("scp: %q", got)
	}
	batch := filepath.Join(t.TempDir(), "batch")
	must(t, os.WriteFile(batch, []byte("mkdir d\nput "+file+" d/f\nls d\n"), 0o600))
	if got := command("sftp", "-b", batch, f); !strings.Contains(got, "d/f") {
		t.Errorf("sftp: %q", got)
	}
	eventually(t, "ProxyCommand", func() error {
		out, err := exec.CommandContext(t.Context(), "ssh", "-F", config, "-o", "ProxyCommand=ssh -F "+config+" -W %h:%p "+f, w.fixed(6).String(), "hostname").CombinedOutput()
		if err == nil && strings.TrimSpace(string(out)) != "vm6" {
			err = errors.New(string(out))
		}
		return err
	})
}

func TestSSHFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.server(5)
	w.boot(s)
	f := w.float(5)
	old := w.login(f, "debian")
	inject := func(fault machine.SSHFault) {
		t.Helper()
		must(t, w.host.InjectSSH(t.Context(), s.ID, fault))
	}
	inject(machine.SSHFault{Refuse: true})
	if _, err := net.DialTimeout("tcp", f.String()+":22", time.Second); err == nil {
		t.Error("the port is open")
	}
	if _, err := tryRun(old, "true"); err == nil {
		t.Error("the old connection lives")
	}
	inject(machine.SSHFault{Hang: true})
	c, err := net.DialTimeout("tcp", f.String()+":22", time.Minute)
	must(t, err)
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := c.Read(make([]byte, 10)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a hanging server said %d bytes, %v", n, err)
	}
	_ = c.Close()
	inject(machine.SSHFault{Reject: true})
	if _, err := w.dial(f, "debian"); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("reject: %v", err)
	}
	inject(machine.SSHFault{DropAfter: 500 * time.Millisecond})
	var cl *ssh.Client
	eventually(t, "a login before the connection is cut", func() (err error) { cl, err = w.dial(f, "debian"); return err })
	if _, err := tryRun(cl, "sleep 600"); err == nil {
		t.Error("the connection was not cut")
	}
	inject(machine.SSHFault{DropBytes: 100_000})
	cl, err = w.dial(f, "debian")
	must(t, err)
	out, err := tryRun(cl, "head -c 1000000 /dev/zero")
	if err == nil || len(out) > 100_000 || len(out) < 10_000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	inject(machine.SSHFault{})
	eventually(t, "a command on the healed server", func() error {
		c, err := w.dial(f, "debian")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = tryRun(c, "true")
		return err
	})
}
