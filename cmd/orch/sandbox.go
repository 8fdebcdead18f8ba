package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/sandbox"
	"github.com/orch-project/orch/internal/sandbox/fault"
	"github.com/orch-project/orch/internal/sandbox/machine"
	"github.com/orch-project/orch/pkg/orch"
)

// sandboxControl adapts the embedded OpenStack to the command line.
type sandboxControl struct{}

// Up starts a sandbox whose servers are real where the machine allows it.
func (c sandboxControl) Up(ctx context.Context, dir string) (cli.SandboxStatus, error) {
	options := sandbox.UpOptions{Machines: machine.Available() == nil}
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
	if !s.Machines {
		out.Machines = "records only"
		if err := machine.Available(); err != nil {
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

// Fault sets, lists or clears injected faults.
func (sandboxControl) Fault(ctx context.Context, dir, spec string) (string, error) {
	client, err := sandbox.Connect(dir)
	if err != nil {
		return "", err
	}
	switch strings.TrimSpace(spec) {
	case "":
		list, err := client.Faults(ctx)
		if err != nil {
			return "", err
		}
		text, err := json.MarshalIndent(list, "", "  ")
		return string(text), err
	case "clear":
		return "no fault is set", clearFaults(ctx, client)
	}
	return addFault(ctx, client, spec)
}

func clearFaults(ctx context.Context, client *sandbox.Client) error {
	list, err := client.Faults(ctx)
	if err != nil {
		return err
	}
	for _, r := range list.Requests {
		if err := client.RemoveFault(ctx, r.ID); err != nil {
			return err
		}
	}
	for _, r := range list.Servers {
		if err := client.RemoveFault(ctx, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// addFault reads the three forms: {"request": …}, {"server": …}, {"ssh": …, "id": SERVER}.
func addFault(ctx context.Context, client *sandbox.Client, spec string) (string, error) {
	var form struct {
		Request *fault.Rule       `json:"request"`
		Server  *fault.ServerRule `json:"server"`
		SSH     *sandbox.SSHFault `json:"ssh"`
		ID      string            `json:"id"`
	}
	d := json.NewDecoder(bytes.NewReader([]byte(spec)))
	d.DisallowUnknownFields()
	if err := d.Decode(&form); err != nil {
		return "", &orch.Error{Kind: orch.KindUser, Msg: "cannot read the fault", Err: err, Hint: "orch sandbox fault --help shows the form"}
	}
	switch {
	case form.Request != nil:
		id, err := client.AddFault(ctx, *form.Request)
		return "fault " + id + " is set", err
	case form.Server != nil:
		id, err := client.AddServerFault(ctx, *form.Server)
		return "fault " + id + " is set", err
	case form.SSH != nil && form.ID != "":
		return "SSH of " + form.ID + " is changed", client.InjectSSH(ctx, form.ID, *form.SSH)
	}
	return "", &orch.Error{Kind: orch.KindUser, Msg: "the fault says nothing", Hint: "orch sandbox fault --help shows the form"}
}
