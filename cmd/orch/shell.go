package main

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/driver/ssh"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
)

// shell logs in to a host with the secrets of this process's service.
func (s *service) shell(ctx context.Context, h *driver.Host, command []string, stdio cli.Stdio) (int, error) {
	return interact(ctx, s.secrets, s.dial, h, command, stdio)
}

// shell logs in to a host with the secrets that Host fetched; the store is not open meanwhile, so that a long session keeps nobody out.
func (s *shared) shell(ctx context.Context, h *driver.Host, command []string, stdio cli.Stdio) (int, error) {
	return interact(ctx, s.held, s.dial, h, command, stdio)
}

// heldSecrets are the few that a session needs.
type heldSecrets map[string]secret.Value

// fetch reveals what a host and its bastions refer to.
func (h heldSecrets) fetch(ctx context.Context, host *driver.Host, reveal func(context.Context, string) (secret.Value, error)) error {
	for hop := host; hop != nil; hop = hop.Bastion {
		for _, ref := range []string{hop.KeyRef, hop.PasswordRef} {
			if ref == "" {
				continue
			}
			v, err := reveal(ctx, ref)
			if err != nil {
				return err
			}
			h[ref] = v
		}
	}
	return nil
}

func (h heldSecrets) Resolve(_ context.Context, ref string) (secret.Value, error) {
	v, ok := h[ref]
	if !ok {
		return v, fmt.Errorf("no secret %s", ref)
	}
	return v, nil
}

func (h heldSecrets) Generate(ctx context.Context, ref string, _ func() ([]byte, error)) (secret.Value, error) {
	return h.Resolve(ctx, ref)
}

func (h heldSecrets) Remove(context.Context, string) error { return nil }

func interact(ctx context.Context, secrets driver.Secrets, dial dialFunc, h *driver.Host, command []string, stdio cli.Stdio) (int, error) {
	d := ssh.New(ssh.Options{Secrets: secrets, Dial: dial})
	defer d.Close()
	tty := isTerminal(stdio.In) && isTerminal(stdio.Out)
	line := ""
	if len(command) == 1 {
		line = command[0] // as ssh: one argument is a line for the shell
	} else if len(command) > 1 {
		line = script.QuoteAll(command)
	}
	code, err := d.Pool().Interactive(ctx, *h, line, ssh.Terminal{Stdin: stdio.In, Stdout: stdio.Out, Stderr: stdio.Err, TTY: tty})
	if err != nil {
		return code, &orch.Error{Kind: orch.KindHost, Err: err}
	}
	return code, nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
