// Package ssh runs operations on hosts over SSH.
//
// It owns connections (one per host, shared by all operations, see Pool), host keys, logging in, waiting until a host is ready, and root
// rights; package script owns what is run there and how it survives a lost connection, and describes what scripts see. It knows nothing of
// plans, stores or clouds: what it needs of them (secrets, console logs, a place for host keys) comes as Options.
//
// Host keys are never taken on trust silently: a key is pinned in the Host, read from the cloud's console log, or pinned at first use when
// the Host says so.
package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/secret"
)

// Options of the driver and its pool. The zero value works for hosts with an agent and pinned keys.
type Options struct {
	// Secrets resolves a Host's KeyRef and PasswordRef.
	Secrets driver.Secrets
	// Passphrase of a host's encrypted key; nil tries the host's password.
	Passphrase func(ctx context.Context, h driver.Host) (secret.Value, error)
	// ConsoleKeys reads the host keys (authorized_keys lines) that a server printed to its console; none yet is no error.
	ConsoleKeys func(ctx context.Context, serverID string) ([]string, error)
	// Cloud of a deployment, to ask about its servers while they cannot be reached; nil: nobody is asked.
	Cloud func(ctx context.Context, deployment string) (driver.Cloud, error)
	// Pin stores the keys found for a host (sources "console" and "first-use") before anything is run there. Without it they are
	// remembered by this process only, and "first-use" is refused.
	Pin func(ctx context.Context, h driver.Host, keys []string) error
	// User for hosts that name none; "" is the name of the user who runs orch.
	User string
	// AgentSocket overrides SSH_AUTH_SOCK.
	AgentSocket string

	// ReadyTimeout bounds the wait for a host at its first use; 0 is ten minutes.
	ReadyTimeout time.Duration
	// LoginTimeout bounds how long a host with CloudInit may refuse the login, unless its console says before that cloud-init has finished; 0 is five minutes.
	LoginTimeout time.Duration
	// Dial opens the connections to hosts without a bastion; nil dials from this machine.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// ConnectTimeout of one TCP connection, HandshakeTimeout of SSH's handshake and login on it; 0 is 15 s and 30 s.
	ConnectTimeout, HandshakeTimeout time.Duration
	// KeepAlive is the interval of keep-alive requests; three unanswered ones end the connection. 0 is 15 s.
	KeepAlive time.Duration
	// Idle is how long an unused connection stays open; 0 is one minute.
	Idle time.Duration
	// Sessions is the most sessions of one connection; 0 is 10, the default of OpenSSH's server (MaxSessions). A lower limit of the
	// server is found out.
	Sessions int
	// Locks says what an active package manager looks like.
	Locks Locks

	// Dir of the journal on hosts; "" is /var/lib/orch for root and ~/.orch for others.
	Dir string
	// Timeout of operations that ask for none; 0 is an hour.
	Timeout time.Duration
	// Retention, Grace, Reconnect: see script.Runner.
	Retention, Grace, Reconnect time.Duration
}

func (o Options) user() string {
	if o.User != "" {
		return o.User
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

// Driver runs operations over SSH.
type Driver struct {
	o    Options
	pool *Pool

	mu    sync.Mutex
	swept map[string]bool
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.Checker   = (*Driver)(nil)
	_ driver.Explainer = (*Driver)(nil)
)

// New makes a driver. Close it.
func New(o Options) *Driver { return &Driver{o: o, pool: NewPool(o), swept: map[string]bool{}} }

// Name is "ssh".
func (d *Driver) Name() string { return "ssh" }

// Pool of the driver's connections, for Exec, Interactive and Copy.
func (d *Driver) Pool() *Pool { return d.pool }

// Close closes all connections. What runs on hosts goes on.
func (d *Driver) Close() error { return d.pool.Close() }

// Run runs the operation on its host, attaches to it if it is running there, or returns its recorded result.
func (d *Driver) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	if req.Operation == nil || req.Operation.Implementation == nil {
		return driver.Result{}, nil
	}
	if req.Host == nil || len(req.Host.Addresses) == 0 {
		return driver.Result{}, &driver.Error{Op: script.OpName(req), ExitCode: -1, Err: fmt.Errorf("%s has no host to run on", req.ID()),
			Hint: "its host has no address: see whether the server was created, and whether it has a network"}
	}
	var waited atomic.Bool
	var waits atomic.Pointer[string]
	report := func(address, text string) {
		waits.Store(&text)
		if emit != nil {
			waited.Store(true)
			e := script.Event(req, event.Waiting)
			e.Host, e.Message = address, text
			emit(e)
		}
	}
	ctx = context.WithValue(ctx, deploymentKey{}, req.Deployment)
	m := d.pool.remote(*req.Host, wantsSudo(req), report)
	// The connection is held from here to the end; the operation's time begins when the host is ready.
	wait, end := driver.Pause(ctx)
	release, err := d.hold(wait, m, req)
	if waited := err; end(err) == driver.ErrNotBegun {
		if waited == nil {
			release()
		}
		return driver.Result{}, driver.ErrNotBegun
	}
	if errors.Is(err, errNotReady) {
		waited := "waiting for SSH"
		if last := waits.Load(); last != nil {
			waited = *last
		}
		err = &driver.Error{Op: "connect by SSH", Host: m.Address(), ExitCode: -1, Retryable: true, Final: true,
			Err:  fmt.Errorf("gave up after %s, for what is being removed: %s", d.removalPatience(), waited),
			Hint: "make the server reachable and try again, or do without its operations: orch undeploy --force"}
	}
	if err != nil {
		return driver.Result{}, wrap(req, m.Address(), err)
	}
	defer release()
	if waited.Load() {
		e := script.Event(req, event.Waiting)
		e.Host, e.Status, e.Message = m.Address(), event.Over, "the host is ready"
		emit(e)
	}
	r := &script.Runner{Machine: m, Dir: d.o.Dir, Retention: d.o.Retention, Grace: d.o.Grace, Reconnect: d.o.Reconnect, Sweep: d.sweep(m)}
	return script.Perform(ctx, req, r, script.Options{Login: true, Timeout: d.o.Timeout}, emit)
}

// hold waits for the host, with less patience for what is being removed.
func (d *Driver) hold(ctx context.Context, m *remote, req *driver.Request) (release func(), err error) {
	if req.Removal {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d.removalPatience(), errNotReady)
		defer cancel()
	}
	return m.hold(ctx)
}

func (d *Driver) removalPatience() time.Duration {
	return min(driver.RemovalPatience, cmp.Or(d.o.ReadyTimeout, driver.RemovalPatience))
}

// sweep is true once per host and user.
func (d *Driver) sweep(m *remote) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := fmt.Sprint(keyOf(m.host), m.sudo)
	if d.swept[k] {
		return false
	}
	d.swept[k] = true
	return true
}

func wantsSudo(req *driver.Request) bool {
	switch req.Operation.Sudo {
	case "true":
		return true
	case "false":
		return false
	}
	return req.Host.Sudo
}

// wrap makes the error of a connection one of the operation.
func wrap(req *driver.Request, address string, err error) error {
	var de *driver.Error
	if errors.As(err, &de) {
		return err
	}
	return &driver.Error{Op: script.OpName(req), Host: address, ExitCode: -1, Err: err, Retryable: errors.Is(err, script.ErrLost)}
}

// Check finds missing and unusable implementations.
func (d *Driver) Check(_ context.Context, reqs []*driver.Request) diag.List {
	return script.Check(reqs, script.Options{Login: true})
}

// Explain shows what would run.
func (d *Driver) Explain(req *driver.Request) string {
	where := "the node's host"
	if h := req.Host; h != nil && len(h.Addresses) > 0 {
		where = cmp.Or(h.User, d.o.user()) + "@" + h.Addresses[0]
	}
	if req.Host != nil && wantsSudo(req) {
		where += " (as root)"
	}
	return script.Explain(req, where, script.Options{Login: true})
}
