package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/orch-project/orch/pkg/driver/script"
)

// Machine is this host as a script.Machine. Commands get their own process group, so that a Ctrl-C meant for orch does not reach them.
type Machine struct {
	// Env of the commands; nil is Environ(nil).
	Env []string
	// Prefix is put before every command (sudo -n --).
	Prefix []string
}

// Address is what messages call the orchestrator's host.
func (m *Machine) Address() string { return "orchestrator" }

// Exec runs a command of this host.
func (m *Machine) Exec(ctx context.Context, c script.Command) (int, error) {
	argv := append(append([]string{}, m.Prefix...), c.Args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.Env, cmd.Dir = m.Env, "/"
	if cmd.Env == nil {
		cmd.Env = Environ(nil)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return -1, context.Cause(ctx)
	case errors.As(err, &exit):
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return 128 + int(s.Signal()), nil
		}
		return exit.ExitCode(), nil
	case cmd.ProcessState != nil && (errors.Is(err, exec.ErrWaitDelay) || errors.Is(err, syscall.EPIPE)):
		return cmd.ProcessState.ExitCode(), nil
	case err != nil:
		return -1, fmt.Errorf("cannot run %s: %w", argv[0], err)
	}
	return 0, nil
}

// passed are the variables that scripts on the orchestrator get from its own environment: what programs need to work, and never what orch
// itself was given (credentials of the cloud, tokens, passphrases).
var passed = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_RUNTIME_DIR",
	"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// Environ is the environment of scripts on this host: the harmless part of orch's own, and the named variables.
func Environ(more []string) []string {
	var env []string
	for _, name := range append(passed[:len(passed):len(passed)], more...) {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "LC_") {
			env = append(env, kv)
		}
	}
	return env
}
