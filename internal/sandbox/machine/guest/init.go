package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/orch-project/orch/internal/sandbox/machine/child"
	"github.com/orch-project/orch/internal/sandbox/machine/cloudinit"
	"github.com/orch-project/orch/internal/sandbox/machine/services"
	"github.com/orch-project/orch/internal/sandbox/machine/spec"
	"github.com/orch-project/orch/internal/sandbox/machine/sshd"
	"golang.org/x/sys/unix"
)

// machine is the running init.
type machine struct {
	cfg      spec.Config
	console  io.Writer
	control  *os.File
	write    sync.Mutex // of control
	services services.Manager
	ending   sync.Once

	mu  sync.Mutex // guards ssh and cfg.Fault
	ssh *sshd.Server
}

// initialize is process 1 in its new root. It never returns.
func initialize() {
	syscall.Umask(0o022)
	child.Reap()
	m := &machine{console: os.Stderr, control: os.NewFile(controlFD, "control")}
	unix.CloseOnExec(controlFD)
	if err := m.load(); err != nil {
		m.fatal(err)
	}
	if err := m.prepare(); err != nil {
		m.fatal(err)
	}
	m.services.Builtin = builtin
	if err := m.serveCalls(); err != nil {
		m.fatal(err)
	}
	go m.obey()
	go m.copyConsole()
	m.say(spec.Message{Op: spec.OpRunning})
	time.Sleep(m.cfg.Delay)
	m.boot(context.Background())
	select {}
}

func (m *machine) load() error {
	f := os.NewFile(configFD, "config")
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("cannot read the server's configuration: %w", err)
	}
	var msg spec.Message
	if err := json.Unmarshal(data, &msg); err != nil {
		return fmt.Errorf("cannot read the server's configuration: %w", err)
	}
	m.cfg = *msg.Config
	return nil
}

func (m *machine) fatal(err error) {
	fmt.Fprintln(m.console, "init:", err)
	m.say(spec.Message{Op: spec.OpFailed, Error: err.Error()})
	os.Exit(1)
}

func (m *machine) say(msg spec.Message) {
	m.write.Lock()
	defer m.write.Unlock()
	_ = json.NewEncoder(m.control).Encode(msg)
}

// prepare does what comes before anything runs: names, resolver, volatile directories, devices.
func (m *machine) prepare() error {
	name, _, _ := strings.Cut(m.cfg.Hostname, ".")
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("cannot set the host name: %w", err)
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{"/run/sshd", 0o755}, {"/run/user", 0o755}, {"/var/tmp", 0o777 | os.ModeSticky}, {"/tmp", 0o777 | os.ModeSticky},
		{"/root", 0o700}, {"/home", 0o755}, {"/var/log", 0o755}, {"/etc/ssh", 0o755}} {
		if err := os.MkdirAll(d.path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(d.path, d.mode); err != nil {
			return err
		}
	}
	if entries, err := os.ReadDir("/tmp"); err == nil { // volatile across boots
		for _, e := range entries {
			_ = os.RemoveAll(filepath.Join("/tmp", e.Name()))
		}
	}
	for _, link := range [][2]string{{"/run", "/var/run"}, {"/run/lock", "/var/lock"}} {
		if _, err := os.Lstat(link[1]); err != nil {
			_ = os.Symlink(link[0], link[1])
		}
	}
	if err := m.identity(); err != nil {
		return err
	}
	if err := tmpfiles("/"); err != nil {
		fmt.Fprintln(m.console, "init:", err)
	}
	for _, d := range m.cfg.Devices {
		if err := showDevice(d); err != nil {
			return err
		}
	}
	return writeConfigDrive("/run/config-drive", m.cfg.ConfigDrive)
}

// identity writes the files that differ from server to server, those of a first boot only once.
func (m *machine) identity() error {
	var resolv strings.Builder
	for _, d := range m.cfg.DNS {
		resolv.WriteString("nameserver " + d + "\n")
	}
	if fi, err := os.Lstat("/etc/resolv.conf"); err == nil && fi.Mode().Type() == os.ModeSymlink {
		_ = os.Remove("/etc/resolv.conf")
	}
	if err := os.WriteFile("/etc/resolv.conf", []byte(resolv.String()), 0o644); err != nil {
		return err
	}
	id := strings.ReplaceAll(m.cfg.ID, "-", "") + strings.Repeat("0", 32)
	for path, text := range map[string]string{"/etc/machine-id": id[:32] + "\n", "/etc/fstab": "# the root file system is mounted already\n",
		"/etc/motd": "", "/etc/mtab": ""} {
		if path == "/etc/mtab" {
			if _, err := os.Lstat(path); err != nil {
				_ = os.Symlink("../proc/self/mounts", path)
			}
			continue
		}
		if _, err := os.Stat(path); err != nil {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// boot goes through the stages of a cloud image's start.
func (m *machine) boot(ctx context.Context) {
	m.banner()
	o := cloudinit.Options{InstanceID: m.cfg.ID, Hostname: m.cfg.Hostname, User: m.cfg.User, PublicKeys: m.cfg.PublicKeys, UserData: m.cfg.UserData,
		AdminPass: m.cfg.AdminPass, Console: m.console, SetHostname: func(s string) error { return unix.Sethostname([]byte(s)) },
		Power: func(mode string) {
			op := spec.OpPowerOff
			if mode == "reboot" {
				op = spec.OpReboot
			}
			m.end(op)
		}}
	if m.cfg.ConfigDrive != nil {
		o.Datasource = "DataSourceConfigDrive [net,ver=2][source=/dev/sr0]"
	}
	run, err := cloudinit.New(o)
	if err != nil {
		fmt.Fprintln(m.console, "cloud-init:", err)
		return
	}
	defer run.Close()
	run.Network(ctx)
	if err := m.startSSH(); err != nil {
		fmt.Fprintln(m.console, "sshd:", err)
	}
	m.startServices(ctx)
	fmt.Fprintf(m.console, "\n%s login: \n", hostname())
	run.Final(ctx)
}

func hostname() string {
	h, _ := os.Hostname()
	return h
}

func (m *machine) banner() {
	fmt.Fprintf(m.console, "[    0.000000] orch sandbox server %s\n", m.cfg.ID)
	fmt.Fprintln(m.console, "ci-info: +++++++++++++++++++++Net device info+++++++++++++++++++++")
	for _, i := range m.cfg.Interfaces {
		for _, a := range i.Addresses {
			fmt.Fprintf(m.console, "ci-info: | %s | True | %s | %s |\n", i.Name, a, i.MAC)
		}
	}
}

// startSSH serves with the keys that cloud-init has left.
func (m *machine) startSSH() error {
	keys, err := cloudinit.HostKeys("/")
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(authLog(), nil))
	s := &sshd.Server{HostKeys: keys, Agent: Agent, Logger: log}
	s.PasswordAuth = func() bool { return strings.EqualFold(s.Directive("PasswordAuthentication", "no"), "yes") }
	port := s.Directive("Port", "22")
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := s.Inject(m.cfg.Fault); err != nil {
		return err
	}
	if err := s.Start(func() (net.Listener, error) { return net.Listen("tcp", ":"+port) }); err != nil {
		return err
	}
	m.ssh = s
	return os.WriteFile("/run/sshd.pid", []byte("1\n"), 0o644)
}

// authLog is where logins are noted on Debian.
func authLog() io.Writer {
	f, err := os.OpenFile("/var/log/auth.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return io.Discard
	}
	return f
}

// obey serves the control connection. Its end is the host's end, and so ours.
func (m *machine) obey() {
	dec := json.NewDecoder(m.control)
	for {
		var msg spec.Message
		if err := dec.Decode(&msg); err != nil {
			os.Exit(0) // the kernel ends everything else in the namespace
		}
		switch msg.Op {
		case spec.OpShutdown:
			go m.end("")
		case spec.OpDevice:
			m.reply(msg, showDevice(*msg.Device))
		case spec.OpFault:
			m.reply(msg, m.inject(*msg.Fault))
		default:
			m.reply(msg, errors.New("unknown request "+msg.Op))
		}
	}
}

// inject passes a fault on, or keeps it for when SSH starts.
func (m *machine) inject(f spec.Fault) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg.Fault = f
	if m.ssh == nil {
		return nil
	}
	return m.ssh.Inject(f)
}

func (m *machine) reply(to spec.Message, err error) {
	r := spec.Message{Op: spec.OpReply, Seq: to.Seq}
	if err != nil {
		r.Error = err.Error()
	}
	m.say(r)
}

// copyConsole carries what programs write to /dev/console.
func (m *machine) copyConsole() {
	f, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return
	}
	_, _ = io.Copy(m.console, f)
}
