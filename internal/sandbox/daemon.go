package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orch-project/orch/internal/sandbox/machine"
)

// A background sandbox of a directory:
//
//	absent --Up--> starting --(ready in daemon.json)--> running --Down or SIGTERM--> absent
//	                   |                                   |
//	                   +--> failed (last lines of the log) +--> killed: the next Up or Down cleans up
//
// The daemon is this same binary, told by its environment. It holds daemon.lock as long as it lives, so a daemon.json without
// that lock is a dead one's; the pid is signalled only when its start time is the recorded one.
const (
	daemonFile = "daemon.json"
	lockName   = "daemon.lock"
	logName    = "sandbox.log"
	daemonEnv  = "ORCH_SANDBOX_DAEMON"
)

// UpOptions are those of a background sandbox.
type UpOptions struct {
	// Machines makes servers run; without it they are records only. Image is the root file system to start from (see machine.Options).
	Machines bool   `json:"machines"`
	Image    string `json:"image,omitempty"`
	// Cache is a directory that keeps a copy of this machine's packages between the sandboxes of an ordinary user; below the sandbox's when empty.
	Cache string `json:"-"`
	// Base is that copy, Taken are the networks of this machine; Up sets them.
	Base  string         `json:"base,omitempty"`
	Taken []netip.Prefix `json:"taken,omitempty"`
	// Say is told of what takes long.
	Say func(text string) `json:"-"`
	// Listen is the API's address, a random loopback port when empty.
	Listen string `json:"listen,omitempty"`
	// External is the network of floating addresses, chosen when empty.
	External string `json:"external,omitempty"`
	Delays   Delays `json:"delays"`
	// Quotas overrides limits, see Options.
	Quotas map[string]map[string]map[string]int `json:"quotas,omitempty"`
	// Wait bounds the start, 5 minutes when 0 (the first start prepares the machines' image).
	Wait time.Duration `json:"-"`
}

// State is what is known of a background sandbox.
type State struct {
	Running  bool   `json:"running"`
	Dir      string `json:"dir"`
	PID      int    `json:"pid,omitempty"`
	URL      string `json:"url,omitempty"`
	AuthURL  string `json:"auth_url,omitempty"`
	External string `json:"external,omitempty"`
	Machines bool   `json:"machines"`
	// Network is the network namespace where the servers' addresses are, if that is not this machine's; see Exec and Client.Dial.
	Network string    `json:"network,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// CloudsFile and OpenRC hold the credentials, Log the daemon's log.
	CloudsFile string `json:"clouds_file,omitempty"`
	OpenRC     string `json:"openrc,omitempty"`
	Log        string `json:"log,omitempty"`
}

// daemonRecord is daemon.json. Start is the process's start time in clock ticks since boot, which tells it from a later process of the same pid.
type daemonRecord struct {
	PID   int       `json:"pid"`
	Start string    `json:"start"`
	Boot  string    `json:"boot"`
	State State     `json:"state"`
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since"`
}

// Up starts a sandbox in the background and waits until it is ready. One that runs already is left as it is; what a killed one left is removed.
func Up(ctx context.Context, dir string, o UpOptions) (State, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return State{}, fmt.Errorf("cannot resolve the sandbox's directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return State{}, fmt.Errorf("cannot make the sandbox's directory: %w", err)
	}
	// Two Ups at once: one starts, the other waits and finds it running.
	release, err := waitLock(ctx, filepath.Join(dir, "up.lock"))
	if err != nil {
		return State{}, err
	}
	defer func() { _ = release() }()
	state, err := Status(ctx, dir)
	if err != nil || state.Running {
		return state, err
	}
	if err := Down(ctx, dir); err != nil {
		return State{}, err
	}
	if o.Machines {
		if err := Available(); err != nil {
			return State{}, fmt.Errorf("cannot run servers on this machine: %w", err)
		}
		if rootless() {
			if err := o.prepare(ctx, dir); err != nil {
				return State{}, err
			}
		}
	}
	return launch(ctx, dir, o)
}

// launch re-executes this binary as the daemon, in a session of its own.
func launch(ctx context.Context, dir string, o UpOptions) (State, error) {
	config, err := json.Marshal(o)
	if err != nil {
		return State{}, fmt.Errorf("cannot encode the sandbox's options: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return State{}, fmt.Errorf("cannot find this program: %w", err)
	}
	logPath := filepath.Join(dir, logName)
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return State{}, fmt.Errorf("cannot open the sandbox's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(self)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), daemonEnv+"="+dir, daemonEnv+"_OPTIONS="+string(config))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	start := cmd.Start
	if o.Base != "" {
		start = func() error { return startApart(cmd) }
	}
	if err := start(); err != nil {
		return State{}, fmt.Errorf("cannot start the sandbox: %w", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // its end is what counts; the log says why
	state, err := awaitReady(ctx, dir, cmd.Process.Pid, ended, o.Wait)
	if err != nil {
		// Not ready: it must not come up later, unseen.
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		return State{}, fmt.Errorf("cannot start the sandbox: %w%s", err, tail(logPath))
	}
	return state, nil
}

func awaitReady(ctx context.Context, dir string, pid int, ended <-chan struct{}, wait time.Duration) (State, error) {
	if wait == 0 {
		wait = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("it was not ready after %s", wait))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			if r, err := readRecord(dir); err == nil && r.Error != "" {
				return State{}, errors.New(r.Error)
			}
			return State{}, errors.New("it ended before it was ready")
		case <-ctx.Done():
			return State{}, context.Cause(ctx)
		case <-tick.C:
			if r, err := readRecord(dir); err == nil && r.PID == pid && r.State.Running {
				return r.State, nil
			}
		}
	}
}

// tail is the end of the log, for an error message.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil || len(bytes.TrimSpace(data)) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return "\nlast lines of " + path + ":\n" + strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// Status tells whether a sandbox runs in the directory.
func Status(_ context.Context, dir string) (State, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return State{}, fmt.Errorf("cannot resolve the sandbox's directory: %w", err)
	}
	r, err := readRecord(dir)
	if err != nil || !r.alive() || !r.State.Running {
		return State{Dir: dir}, nil
	}
	return r.State, nil
}

// Down stops the directory's sandbox and removes what it made, credentials included; the log stays. Nothing running is no error.
func Down(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot resolve the sandbox's directory: %w", err)
	}
	if r, err := readRecord(dir); err == nil && r.alive() {
		if err := stop(ctx, r); err != nil {
			return err
		}
	}
	return clean(dir)
}

// stop ends the recorded process: asked first, killed when it does not listen. Its machines end with it either way.
func stop(ctx context.Context, r *daemonRecord) error {
	if err := unix.Kill(r.PID, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot stop the sandbox (process %d): %w", r.PID, err)
	}
	killed := false
	patience := time.NewTimer(60 * time.Second)
	defer patience.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.alive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for the sandbox (process %d) to end: %w", r.PID, context.Cause(ctx))
		case <-patience.C:
			if killed {
				return fmt.Errorf("cannot stop the sandbox: process %d does not end", r.PID)
			}
			killed = true
			_ = unix.Kill(r.PID, unix.SIGKILL) // the loop sees whether it worked
			patience.Reset(10 * time.Second)
		}
	}
	return nil
}

// clean removes the files of a sandbox that does not run.
func clean(dir string) error {
	for _, name := range []string{daemonFile, adminFile, "clouds.yaml", "openrc", "openrc." + DemoSmall, "openrc." + Admin, "machines"} {
		if err := removeAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("cannot remove what the sandbox left: %w", err)
		}
	}
	return nil
}

func readRecord(dir string) (*daemonRecord, error) {
	data, err := os.ReadFile(filepath.Join(dir, daemonFile))
	if err != nil {
		return nil, err
	}
	var r daemonRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

func writeRecord(dir string, r *daemonRecord) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", daemonFile, err)
	}
	return writePrivate(filepath.Join(dir, daemonFile), string(data)+"\n")
}

// alive reports whether the recorded process still runs: same pid, same start, same boot.
func (r *daemonRecord) alive() bool {
	start, state := processStart(r.PID)
	return start != "" && start == r.Start && state != "Z" && r.Boot == bootID()
}

// processStart is field 22 of /proc/PID/stat and the process's state; empty when there is no such process.
func processStart(pid int) (start, state string) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", ""
	}
	// The command's name is in parentheses and may hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return "", ""
	}
	return fields[19], fields[0]
}

func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it all boots look alike
	return strings.TrimSpace(string(data))
}

// waitLock takes a lock file, waiting for its holder.
func waitLock(ctx context.Context, path string) (func() error, error) {
	for {
		release, err := lockFile(path)
		if err == nil || !errors.Is(err, errLocked) {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot wait for another start of the sandbox: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// MaybeRunDaemon must be the first call of main, and of TestMain in packages that use Up or machines: in a process that was
// started as a sandbox's daemon or machine it does that work and never returns.
func MaybeRunDaemon() {
	machine.MaybeInit()
	maybeEnter()
	dir := os.Getenv(daemonEnv)
	if dir == "" {
		return
	}
	options := os.Getenv(daemonEnv + "_OPTIONS")
	// Servers and other children of the daemon are no daemons.
	_ = os.Unsetenv(daemonEnv)
	_ = os.Unsetenv(daemonEnv + "_OPTIONS")
	if err := runDaemon(dir, options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runDaemon(dir, options string) (err error) {
	release, err := lockSoon(filepath.Join(dir, lockName))
	if err != nil {
		return fmt.Errorf("cannot run the sandbox in %s: %w", dir, err)
	}
	defer func() { _ = release() }()
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer cancel()
	start, _ := processStart(os.Getpid())
	record := &daemonRecord{PID: os.Getpid(), Start: start, Boot: bootID(), Since: time.Now().UTC()}
	if err := writeRecord(dir, record); err != nil {
		return err
	}
	s, err := startDaemon(ctx, dir, options)
	if err != nil {
		record.Error = err.Error()
		return errors.Join(err, writeRecord(dir, record))
	}
	record.State = State{
		Running: true, Dir: dir, PID: record.PID, URL: s.URL, AuthURL: s.AuthURL(), External: s.External.String(), Machines: s.cloud.Host != nil,
		Since: record.Since, CloudsFile: s.CloudsFile(), OpenRC: filepath.Join(dir, "openrc"), Log: filepath.Join(dir, logName),
	}
	if front := machine.FrontOf(s.cloud.Host); front != nil {
		record.State.Network = front.Path()
	}
	if err := errors.Join(s.writeAdmin(), writeRecord(dir, record)); err != nil {
		return errors.Join(err, s.Close())
	}
	<-ctx.Done()
	slog.Info("sandbox is shutting down")
	return errors.Join(s.Close(), clean(dir))
}

func startDaemon(ctx context.Context, dir, options string) (*Sandbox, error) {
	var o UpOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return nil, fmt.Errorf("cannot read the sandbox's options: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	slog.SetDefault(logger)
	full := Options{Dir: dir, Listen: o.Listen, Delays: o.Delays, Quotas: o.Quotas, Logger: logger}
	if o.Machines {
		full.Machines = &machine.Options{Image: o.Image, Base: o.Base, Taken: o.Taken}
	}
	if o.Base != "" {
		if err := full.standApart(); err != nil {
			return nil, err
		}
	}
	if o.External != "" {
		if err := full.External.UnmarshalText([]byte(o.External)); err != nil {
			return nil, fmt.Errorf("cannot read the external network: %w", err)
		}
	}
	return Start(ctx, full)
}
