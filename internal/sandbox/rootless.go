package sandbox

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orch-project/orch/internal/sandbox/gate"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/internal/sandbox/rest"
	"github.com/orch-project/orch/internal/sandbox/userns"
)

// The sandbox of an ordinary user:
//
//	this machine                            a user namespace with a network of its own
//	user's commands ── API ───────────────▶ daemon ──┬───▶ servers' floating and fixed addresses
//	              │ ── Client.Dial ───────▶          │
//	              └─── Exec (nsenter) ────▶ command ─┘
//	gate ◀───────────────────────────────── daemon: forwarder, name service ◀── what servers send out
//
// The gate is a process that opens sockets for the daemon in this machine's network: the one that the API listens on, and those of
// the servers' way out. So no network is emulated.
const (
	tryEnv  = "ORCH_SANDBOX_TRY"
	execEnv = "ORCH_SANDBOX_EXEC"
	gateEnv = "ORCH_SANDBOX_GATE"
)

// gateFD is the gate's descriptor, the first after the standard ones, in the daemon and in the process that serves.
const gateFD = 3

// prepare finds out what the daemon cannot see.
func (o *UpOptions) prepare(ctx context.Context, dir string) (err error) {
	say := o.Say
	if say == nil {
		say = func(string) {}
	}
	if o.Taken, err = localPrefixes(); err != nil {
		return err
	}
	o.Base, err = machine.CopyBase(ctx, cmp.Or(o.Cache, filepath.Join(dir, "base")), say)
	return err
}

// startApart starts the daemon in namespaces of its own, and the gate.
func startApart(cmd *exec.Cmd) error {
	serve, use, err := gate.Pair()
	if err != nil {
		return err
	}
	defer func() { _ = serve.Close() }()
	defer func() { _ = use.Close() }()
	server := exec.Command(cmd.Path)
	server.Dir, server.Stdout, server.Stderr = cmd.Dir, cmd.Stdout, cmd.Stderr
	server.Env, server.ExtraFiles = append(os.Environ(), gateEnv+"=1"), []*os.File{serve}
	server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := server.Start(); err != nil {
		return err
	}
	go func() { _ = server.Wait() }() // it ends with the daemon
	cmd.ExtraFiles = []*os.File{use}
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	return userns.Start(cmd)
}

// standApart is for the daemon that startApart has started.
func (o *Options) standApart() (err error) {
	_ = syscall.Setgroups(nil) // the user's other groups are none of the namespace's
	unix.CloseOnExec(gateFD)
	if o.outside, err = gate.New(os.NewFile(gateFD, "gate")); err != nil {
		return err
	}
	o.Machines.Dial = o.outside.Dial
	return nil
}

// rootless tells whether servers need a user namespace.
func rootless() bool { return os.Geteuid() != 0 }

// Available tells why servers cannot run on this machine for the user who asks, in words that say what to do; nil when they can.
func Available() error {
	if !rootless() {
		return machine.Available()
	}
	var out bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), tryEnv+"=1")
	cmd.Stdout = &out
	err := userns.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if text := strings.TrimSpace(out.String()); text != "" {
		err = errors.New(text)
	}
	if err == nil {
		return nil
	}
	if why := userns.Restricted(); why != "" {
		err = fmt.Errorf("%s (%w)", why, err)
	}
	return fmt.Errorf("for a user who is not root: %w", err)
}

// maybeEnter does what a process in a user namespace was started for besides the daemon, and then never returns.
func maybeEnter() {
	userns.Enter()
	if os.Getenv(tryEnv) != "" {
		if err := machine.AvailableToUser(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(gateEnv) != "" {
		if err := gate.Serve(os.NewFile(gateFD, "gate")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if spec := os.Getenv(execEnv); spec != "" {
		_ = os.Unsetenv(execEnv)
		os.Exit(runInside(spec))
	}
}

// removeAll removes a directory of the sandbox. What a killed daemon of an ordinary user left belongs to ids that only a namespace has.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if rootless() && errors.Is(err, os.ErrPermission) {
		return userns.Remove(path)
	}
	return err
}

// inside is what Exec asks of the process in the namespaces.
type inside struct {
	UID, GID int
	Command  []string
}

// Exec runs a command where the addresses of the sandbox's servers are this machine's: in its network namespace for the sandbox of an
// ordinary user, who stays the same user there, else just here. It returns the command's exit status. Errors: ErrDown when no sandbox runs.
func Exec(ctx context.Context, dir string, command []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	state, err := Status(ctx, dir)
	if err != nil {
		return 0, err
	}
	if !state.Running {
		return 0, fmt.Errorf("cannot run a command in the sandbox's network: %w", ErrDown)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	if state.Network != "" {
		spec, err := json.Marshal(inside{os.Getuid(), os.Getgid(), command})
		if err != nil {
			return 0, err
		}
		self, err := os.Executable()
		if err != nil {
			return 0, fmt.Errorf("cannot find this program: %w", err)
		}
		cmd = exec.CommandContext(ctx, "nsenter", fmt.Sprintf("--user=/proc/%d/ns/user", state.PID), "--net="+state.Network, "--preserve-credentials", "--", self)
		cmd.Env = append(os.Environ(), execEnv+"="+string(spec))
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	return status(cmd, cmd.Run())
}

// status is a command's exit status as a shell has it.
func status(cmd *exec.Cmd, err error) (int, error) {
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) && cmd.ProcessState == nil {
		return 0, fmt.Errorf("cannot run %s: %w", cmd.Args[0], err)
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// runInside is the process in the namespaces: there the user is root, so the command gets a user namespace in which it is itself again.
func runInside(spec string) int {
	var in inside
	if err := json.Unmarshal([]byte(spec), &in); err != nil || len(in.Command) == 0 {
		fmt.Fprintln(os.Stderr, "cannot read what to run:", err)
		return 1
	}
	// The terminal tells the command itself. Ignored, the command would ignore them too.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGQUIT)
	cmd := exec.Command(in.Command[0], in.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: in.UID, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: in.GID, HostID: 0, Size: 1}},
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot run %s: %v\n", in.Command[0], err)
		return 127
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM, unix.SIGHUP)
	go func() {
		for s := range stop {
			_ = cmd.Process.Signal(s)
		}
	}()
	code, err := status(cmd, cmd.Wait())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// serveFront makes the APIs answer in the servers' network too, so that commands there find them where clouds.yaml says.
func (s *Sandbox) serveFront(ctx context.Context, addr string) error {
	if a, err := netip.ParseAddrPort(addr); err != nil || !a.Addr().IsLoopback() {
		return nil // this machine's other addresses are reached from there too
	}
	l, err := listen(ctx, &Options{Listen: addr})
	if err != nil {
		return err
	}
	s.served.Go(func() {
		if err := s.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.cloud.Log.Error("the sandbox's APIs ended", "error", err)
		}
	})
	return nil
}

// ErrElsewhere is returned by Client.Dial for an address that is not in the servers' networks.
var ErrElsewhere = machine.ErrElsewhere

// dialReply is the answer of /sandbox/dial when it is no connection.
type dialReply struct {
	Error string `json:"error"`
	// Errno is the system's number for the reason, 0 for none.
	Errno int `json:"errno,omitempty"`
	// Elsewhere: the address is not in the servers' networks.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// dial carries a connection to a server of the sandbox.
func (s *Sandbox) dial(w http.ResponseWriter, r *http.Request) {
	s.served.Add(1)
	defer s.served.Done()
	refuse := func(err error) {
		reply := dialReply{Error: err.Error(), Elsewhere: errors.Is(err, machine.ErrElsewhere)}
		var errno syscall.Errno
		if errors.As(err, &errno) {
			reply.Errno = int(errno)
		}
		rest.WriteJSON(w, http.StatusBadGateway, reply)
	}
	var out net.Conn
	var err error
	if to, front := r.URL.Query().Get("address"), machine.FrontOf(s.cloud.Host); front != nil {
		out, err = front.Dial(r.Context(), "tcp", to)
	} else {
		out, err = machine.DialHidden(r.Context(), s.cloud.Host, to)
	}
	if err != nil {
		refuse(err)
		return
	}
	defer func() { _ = out.Close() }()
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		refuse(errors.New("this connection cannot be used for it"))
		return
	}
	in, buffered, err := hijacker.Hijack()
	if err != nil {
		refuse(err)
		return
	}
	defer func() { _ = in.Close() }()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-s.done:
			_ = in.Close()
			_ = out.Close()
		case <-ended:
		}
	}()
	if _, err := io.WriteString(in, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"); err != nil {
		return
	}
	machine.Splice(&tunnel{in.(*net.TCPConn), buffered.Reader}, out)
}

// tunnel is a connection whose first bytes have been read already.
type tunnel struct {
	*net.TCPConn
	r *bufio.Reader
}

func (t *tunnel) Read(p []byte) (int, error) { return t.r.Read(p) }

// WriteTo hides the connection's own, which knows nothing of the bytes that have been read.
func (t *tunnel) WriteTo(w io.Writer) (int64, error) { return t.r.WriteTo(w) }

// Dial connects to an address (host:port) of the sandbox's servers where they are not in this machine's network. Errors:
// ErrElsewhere for an address that is not theirs.
func (c *Client) Dial(ctx context.Context, addr string) (net.Conn, error) {
	base, err := url.Parse(c.url)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the sandbox: %w", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", base.Host)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the sandbox at %s: %w", c.url, errors.Join(ErrDown, err))
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	t, err := c.tunnel(conn.(*net.TCPConn), base.Host, addr)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

func (c *Client) tunnel(conn *net.TCPConn, host, addr string) (net.Conn, error) {
	req := "GET " + adminPath + "/dial?address=" + url.QueryEscape(addr) + " HTTP/1.1\r\nHost: " + host + "\r\n" + tokenHeader + ": " + c.token +
		"\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	if _, err := io.WriteString(conn, req); err != nil {
		return nil, fmt.Errorf("cannot ask the sandbox at %s: %w", c.url, err)
	}
	r := bufio.NewReader(conn)
	reply, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read the sandbox's answer: %w", err)
	}
	if reply.StatusCode == http.StatusSwitchingProtocols {
		return &tunnel{conn, r}, nil
	}
	defer func() { _ = reply.Body.Close() }()
	var why dialReply
	if err := json.NewDecoder(io.LimitReader(reply.Body, 1<<20)).Decode(&why); err != nil || why.Error == "" {
		return nil, fmt.Errorf("the sandbox answered %s", reply.Status)
	}
	switch {
	case why.Elsewhere:
		return nil, machine.ErrElsewhere
	case why.Errno != 0:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: textAddr(addr), Err: os.NewSyscallError("connect", syscall.Errno(why.Errno))}
	}
	return nil, errors.New(why.Error)
}

type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }
