package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/toolcache"
	"github.com/orch-project/orch/pkg/orch"
)

// sandboxControl adapts the embedded OpenStack to the command line.
type sandboxControl struct{}

// Up starts a sandbox whose servers are real where the machine allows it.
func (c sandboxControl) Up(ctx context.Context, dir string) (cli.SandboxStatus, error) {
	options := sandbox.UpOptions{Machines: sandbox.Available() == nil, Say: func(text string) { fmt.Fprintln(os.Stderr, text) }}
	if cache, err := toolcache.Dir(); err == nil {
		options.Cache = filepath.Join(cache, "machine")
	}
	if _, err := sandbox.Up(ctx, dir, options); err != nil {
		return cli.SandboxStatus{}, fmt.Errorf("cannot start the sandbox: %w", err)
	}
	return c.Status(ctx, dir)
}

// Down ends the sandbox and removes what it made.
func (sandboxControl) Down(ctx context.Context, dir string) error {
	if err := sandbox.Down(ctx, dir); err != nil {
		return fmt.Errorf("cannot stop the sandbox: %w", err)
	}
	return nil
}

// Status of the sandbox with everything that users made in it.
func (sandboxControl) Status(ctx context.Context, dir string) (cli.SandboxStatus, error) {
	s, err := sandbox.Status(ctx, dir)
	if err != nil {
		return cli.SandboxStatus{}, fmt.Errorf("cannot look at the sandbox: %w", err)
	}
	out := cli.SandboxStatus{Running: s.Running, Dir: s.Dir, PID: s.PID, AuthURL: s.AuthURL, CloudsYAML: s.CloudsFile, External: s.External, Resources: map[string]int{}}
	if !s.Running {
		return out, nil
	}
	out.Machines = "Linux environments on this machine, one can log in to them"
	if s.Network != "" {
		out.Machines += "; other commands reach them with orch sandbox exec"
	}
	if !s.Machines {
		out.Machines = "records only"
		if err := sandbox.Available(); err != nil {
			out.Machines += ": " + err.Error()
		}
	}
	client, err := sandbox.Connect(dir)
	if err != nil {
		return out, fmt.Errorf("cannot reach the sandbox: %w", err)
	}
	// What the administrator's project has (the external network) came with the sandbox.
	for _, project := range []string{"demo", "demo-small"} {
		things, err := client.Inventory(ctx, project)
		if err != nil {
			return out, fmt.Errorf("cannot ask the sandbox what exists: %w", err)
		}
		for kind, n := range things.Counts() {
			out.Resources[kind] += n
		}
	}
	return out, nil
}

// Exec runs a command in the network of the sandbox's servers.
func (sandboxControl) Exec(ctx context.Context, dir string, command []string, stdio cli.Stdio) (int, error) {
	code, err := sandbox.Exec(ctx, dir, command, stdio.In, stdio.Out, stdio.Err)
	if errors.Is(err, sandbox.ErrDown) {
		err = &orch.Error{Kind: orch.KindUser, Err: err, Hint: "orch sandbox up starts one"}
	}
	return code, err
}

// dialFunc is net.Dialer.DialContext or what does its work.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer reaches servers of a sandbox whose network is not this machine's, or whose fixed addresses this machine or another sandbox has, too; everything
// else it dials from here.
func dialer(c *config.Config) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if s, err := sandbox.Status(ctx, c.SandboxDir()); err == nil && (s.Network != "" || s.Running && s.Machines && fixed(addr, s.External)) {
			client, err := sandbox.Connect(s.Dir)
			if err != nil {
				return nil, err
			}
			conn, err := client.Dial(ctx, addr)
			if !errors.Is(err, sandbox.ErrElsewhere) {
				return conn, err
			}
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
}

// fixed tells whether the address may be one of a server's own: private, and none of the network of floating addresses.
func fixed(addr, external string) bool {
	to, err := netip.ParseAddrPort(addr)
	if err != nil || !to.Addr().IsPrivate() {
		return false
	}
	floating, err := netip.ParsePrefix(external)
	return err != nil || !floating.Contains(to.Addr())
}

// Fault sets, lists or clears injected faults.
func (sandboxControl) Fault(ctx context.Context, dir, spec string) (string, error) {
	answer, err := sandbox.Fault(ctx, dir, spec)
	if err != nil {
		return "", &orch.Error{Kind: orch.KindUser, Msg: "cannot set the fault", Err: err, Hint: "orch sandbox fault --help shows the form"}
	}
	return answer, nil
}
