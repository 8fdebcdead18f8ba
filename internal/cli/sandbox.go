package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
)

func sandboxCmd(env *environment) *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Run an OpenStack on this machine, to try topologies without a cloud",
		Long: `The sandbox speaks the APIs of Keystone, Nova, Neutron, Glance and Cinder; its servers are Linux environments on this
machine that one can log in to. While it runs, orch uses it unless a location or OS_CLOUD names another cloud.`,
		Example: "  orch sandbox up\n  orch sandbox status\n  orch sandbox down",
	}
	c.PersistentFlags().StringVar(&dir, "dir", "", "state `directory` of the sandbox (default: below the home directory)")
	at := func() (string, error) {
		if dir != "" {
			return filepath.Abs(dir)
		}
		cfg, err := env.config()
		if err != nil {
			return "", err
		}
		return cfg.SandboxDir(), nil
	}
	show := func(s SandboxStatus, err error) error {
		if err != nil {
			return err
		}
		return env.print(s, func() { env.sandboxStatus(s) })
	}
	sub := func(use, short, example string, run func(ctx context.Context, dir string) error) {
		c.AddCommand(&cobra.Command{Use: use, Short: short, Example: example, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			d, err := at()
			if err != nil {
				return err
			}
			return run(c.Context(), d)
		}})
	}
	sub("up", "Start the sandbox; does nothing when it runs", "  orch sandbox up", func(ctx context.Context, d string) error {
		return show(env.deps.Sandbox.Up(ctx, d))
	})
	sub("status", "Show whether it runs and what exists in it", "  orch sandbox status", func(ctx context.Context, d string) error {
		return show(env.deps.Sandbox.Status(ctx, d))
	})
	sub("down", "Stop the sandbox and remove everything in it", "  orch sandbox down", func(ctx context.Context, d string) error {
		if err := env.deps.Sandbox.Down(ctx, d); err != nil {
			return err
		}
		env.out.Println("sandbox is down, its servers, networks and files are gone")
		return nil
	})
	c.AddCommand(sandboxExecCmd(env, at), faultCmd(env, at))
	return c
}

func sandboxExecCmd(env *environment, dir func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "exec -- COMMAND...",
		Short: "Run a command where the servers' addresses can be reached",
		Long: `For root that is everywhere on this machine, and the command just runs. The sandbox of an ordinary
user has a network of its own: there the command finds the servers' addresses, the sandbox's APIs,
and by TCP the rest of the world. Its exit code is the command's.

orch's own commands (deploy, ssh, …) need no exec. What they run on this machine does, if it is to
reach servers.`,
		Example: `  orch sandbox exec -- curl "$(orch outputs --only url)"
  orch sandbox exec -- sh`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := dir()
			if err != nil {
				return err
			}
			code, err := env.deps.Sandbox.Exec(c.Context(), d, args, env.stdio)
			if err != nil {
				return err
			}
			if code != 0 {
				return &exitError{code}
			}
			return nil
		},
	}
}

func faultCmd(env *environment, dir func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "fault [SPEC|clear]",
		Short: "Make the sandbox fail on purpose; without SPEC list what is set",
		Long: `SPEC is a JSON object: "match" says which requests or servers, and exactly one action says what happens to them.

match, every key optional:
  service                     compute, network, image, volume, identity (or nova, neutron, glance, cinder, keystone)
  method, path, body          of the request; path and body are regular expressions
  skip, times                 let the first n pass, then hit so many (1; -1: all from then on)
  probability, seed           hit by chance, the same way every time
  name                        regular expression for the names of servers (server_error, boot_delay, build_delay)

actions on requests:
  "status": 500               answer with this status; "message" and "body" say what the answer says
  "quota": true               refuse for lack of quota; or the resource: "quota": "ram"
  "hang": true                never answer; or for so long: "hang": "20s"
  "lost": true                do what was asked, and lose the answer
  "drop": true                close the connection without an answer
  "delay": "2s"               answer late
  "retry_after": "3s"         answer 429 (or "status") and ask to come back later

actions on servers:
  "server_error": "text"      the server goes to ERROR with this fault
  "build_delay": "10s"        it stays in BUILD for longer
  "boot_delay": "30s"         it is ACTIVE at once, but boots for longer
  "ssh": {"server": ID, …}    of a running server: refuse, hang or reject (true), drop_after ("2s"), drop_bytes; none of them heals it
  "network": {"server": ID, …}  of a running server: down (true: the cable is out), loss (30: of 100 packets); none of them mends it`,
		Example: `  orch sandbox fault '{"match":{"service":"compute","method":"POST","path":"/servers$"},"status":500}'
  orch sandbox fault '{"match":{"service":"network","path":"/ports","skip":1,"times":-1},"quota":true}'
  orch sandbox fault '{"server_error":"No valid host was found."}'
  orch sandbox fault '{"match":{"name":"^db"},"boot_delay":"30s"}'
  orch sandbox fault '{"ssh":{"server":"4f1c…","drop_after":"2s"}}'
  orch sandbox fault
  orch sandbox fault clear`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := dir()
			if err != nil {
				return err
			}
			spec := ""
			if len(args) > 0 {
				spec = args[0]
			}
			answer, err := env.deps.Sandbox.Fault(c.Context(), d, spec)
			if err != nil {
				return err
			}
			env.out.Println(answer)
			return nil
		},
	}
}

func (e *environment) sandboxStatus(s SandboxStatus) {
	p := e.out
	if !s.Running {
		p.Println("sandbox is not running; `orch sandbox up` starts it")
		return
	}
	p.Printf("%s at %s (pid %d)\n", p.Paint(view.Good, "sandbox is up"), s.AuthURL, s.PID)
	p.Printf("  clouds.yaml  %s\n", shorten(s.CloudsYAML))
	p.Printf("  servers      %s\n", s.Machines)
	p.Printf("  external     %s\n", s.External)
	kinds := make([]string, 0, len(s.Resources))
	total := 0
	for k, n := range s.Resources {
		total += n
		if n > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %d", k, n))
		}
	}
	sort.Strings(kinds)
	if total == 0 {
		p.Printf("  resources    0 (nothing of any user exists)\n")
		return
	}
	p.Printf("  resources    %d:", total)
	for _, k := range kinds {
		p.Printf(" %s", k)
	}
	p.Println()
}

// shorten shows a path below the home directory with ~.
func shorten(path string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(home, path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join("~", rel)
	}
	return path
}
