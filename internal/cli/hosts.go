package cli

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/orch"
)

func hostsCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "hosts",
		Short: "Keep pools of hosts that exist already",
		Long: `A location of the plugin hostspool takes its servers from a pool: hosts that somebody else has installed.
A host has labels; a topology's servers choose by them. Passwords and private keys go to the secrets store.`,
		Example: "  orch hosts add pi-1 --pool lab --host 192.0.2.11 --user pi --key ~/.ssh/id_ed25519 --label host.num_cpus=4 --label os.architecture=aarch64\n" +
			"  orch hosts list --pool lab --filter 'host.num_cpus >= 4'",
	}
	c.AddCommand(hostsListCmd(env), hostsInfoCmd(env), hostsAddCmd(env), hostsUpdateCmd(env), hostsRemoveCmd(env), hostsApplyCmd(env), hostsExportCmd(env))
	return c
}

func poolFlag(c *cobra.Command, to *string) {
	c.Flags().StringVarP(to, "pool", "l", "", "`name` of the pool: that of the location, or its setting pool")
	_ = c.MarkFlagRequired("pool")
}

func hostsListCmd(env *environment) *cobra.Command {
	var pool string
	var filters []string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the hosts of a pool, or of all pools", Args: cobra.NoArgs,
		Example: "  orch hosts list\n  orch hosts list --pool lab --filter 'os.distribution in (debian, ubuntu)' --filter 'host.mem_size >= 4 GB'",
		RunE: func(c *cobra.Command, _ []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			names := []string{pool}
			if pool == "" {
				if names, err = app.Hosts().Pools(c.Context()); err != nil {
					return err
				}
			}
			all := []*hostpool.Host{}
			for _, name := range names {
				l, err := app.Hosts().List(c.Context(), name, filters)
				if err != nil {
					return err
				}
				all = append(all, l.Hosts...)
			}
			return env.print(all, func() {
				var rows [][]string
				for _, h := range all {
					rows = append(rows, []string{h.Location, h.Name, string(h.Status()), login(h), strings.Join(users(h), " "), strings.Join(labels(h), " ")})
				}
				env.out.Table([]string{"POOL", "HOST", "STATUS", "LOGIN", "GIVEN TO", "LABELS"}, rows)
			})
		},
	}
	c.Flags().StringVarP(&pool, "pool", "l", "", "only the hosts of the pool with this `name`")
	c.Flags().StringArrayVarP(&filters, "filter", "f", nil, "only hosts whose labels fulfil the `condition`; repeatable")
	return c
}

func login(h *hostpool.Host) string {
	s := h.Connection.Host
	if h.Connection.User != "" {
		s = h.Connection.User + "@" + s
	}
	if h.Connection.Port != 0 && h.Connection.Port != 22 {
		s += fmt.Sprint(":", h.Connection.Port)
	}
	return s
}

func users(h *hostpool.Host) (out []string) {
	for _, a := range h.Allocations {
		out = append(out, a.ID)
	}
	return out
}

func labels(h *hostpool.Host) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(h.Labels)) {
		out = append(out, k+"="+h.Labels[k])
	}
	return out
}

func (e *environment) printHost(h *hostpool.Host) error {
	return e.print(h, func() {
		e.out.Printf("host %s of the pool %s is %s\n", h.Name, h.Location, h.Status())
		if h.Reason != "" {
			e.out.Printf("  why     %s\n", h.Reason)
		}
		e.out.Printf("  login   %s\n", login(h))
		for _, l := range labels(h) {
			e.out.Printf("  label   %s\n", l)
		}
		for _, a := range h.Allocations {
			e.out.Printf("  given   to %s since %s\n", a.ID, a.Since.Format("2006-01-02 15:04:05"))
		}
	})
}

func hostsInfoCmd(env *environment) *cobra.Command {
	var pool string
	c := &cobra.Command{
		Use: "info HOST", Short: "Show a host: login, labels, who has it", Example: "  orch hosts info pi-1 --pool lab", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			h, err := app.Hosts().Host(c.Context(), pool, args[0])
			if err != nil {
				return err
			}
			return env.printHost(h)
		},
	}
	poolFlag(c, &pool)
	return c
}

// hostFlags describe a host. Secrets are never arguments.
type hostFlags struct {
	host, user, key string
	port            int
	password        bool
	labels, remove  []string
}

func (f *hostFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.host, "host", "", "`address` or name; default: the host's name in the pool")
	c.Flags().IntVar(&f.port, "port", 0, "SSH `port` (default 22)")
	c.Flags().StringVar(&f.user, "user", "", "`login` (default root)")
	c.Flags().StringVarP(&f.key, "key", "k", "", "`file` of the private key")
	c.Flags().BoolVarP(&f.password, "password", "p", false, "ask for the password, or read it from standard input")
	c.Flags().StringArrayVar(&f.labels, "label", nil, "a label as `name=value`; repeatable")
}

func (f *hostFlags) wanted(env *environment, name string) (w hostpool.Wanted, err error) {
	if f.host != "" {
		w.Host = &f.host
	}
	if f.user != "" {
		w.User = &f.user
	}
	if f.port != 0 {
		w.Port = &f.port
	}
	if f.key != "" {
		data, err := os.ReadFile(f.key)
		if err != nil {
			return w, usage("cannot read the private key: %v", err)
		}
		key := string(data)
		w.PrivateKey = &key
	}
	if f.password {
		data, err := env.secretValue("the password of "+name, "")
		if err != nil {
			return w, err
		}
		password := string(data)
		w.Password = &password
	}
	w.Labels, w.RemoveLabels = map[string]string{}, f.remove
	for _, l := range f.labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return w, usage("--label %q is not name=value", l)
		}
		w.Labels[k] = v
	}
	return w, nil
}

func hostsAddCmd(env *environment) *cobra.Command {
	var pool string
	var f hostFlags
	c := &cobra.Command{
		Use: "add HOST", Short: "Add a host to a pool", Args: cobra.ExactArgs(1),
		Long:    "A host that does not answer is added all the same, with the reason; `orch hosts update` tries again.",
		Example: "  orch hosts add db-1 --pool lab --host 192.0.2.20 --user debian --key ~/.ssh/id_ed25519 --label host.mem_size='8 GB'\n  orch hosts add old-box --pool lab --password",
		RunE: func(c *cobra.Command, args []string) error {
			if f.host == "" {
				f.host = args[0]
			}
			return changeHost(c, env, args[0], &f, func(h orch.Hosts, w hostpool.Wanted) (*hostpool.Host, error) {
				return h.Add(c.Context(), pool, args[0], w)
			})
		},
	}
	f.register(c)
	poolFlag(c, &pool)
	return c
}

func changeHost(c *cobra.Command, env *environment, name string, f *hostFlags, do func(orch.Hosts, hostpool.Wanted) (*hostpool.Host, error)) error {
	w, err := f.wanted(env, name)
	if err != nil {
		return err
	}
	app, err := env.open(c.Context())
	if err != nil {
		return err
	}
	h, err := do(app.Hosts(), w)
	if err != nil {
		return err
	}
	if h.Reason != "" {
		env.err.Printf("warning: the host cannot be used: %s\n", h.Reason)
	}
	return env.printHost(h)
}

func hostsUpdateCmd(env *environment) *cobra.Command {
	var pool string
	var f hostFlags
	c := &cobra.Command{
		Use: "update HOST", Short: "Change a host's login and labels, and try to log in again", Args: cobra.ExactArgs(1),
		Example: "  orch hosts update db-1 --pool lab --label gpu=1 --remove-label old\n  orch hosts update db-1 --pool lab     # only try again",
		RunE: func(c *cobra.Command, args []string) error {
			return changeHost(c, env, args[0], &f, func(h orch.Hosts, w hostpool.Wanted) (*hostpool.Host, error) {
				return h.Update(c.Context(), pool, args[0], w)
			})
		},
	}
	f.register(c)
	c.Flags().StringArrayVar(&f.remove, "remove-label", nil, "`name` of a label to remove; repeatable")
	poolFlag(c, &pool)
	return c
}

func hostsRemoveCmd(env *environment) *cobra.Command {
	var pool string
	c := &cobra.Command{
		Use: "rm HOST...", Short: "Take free hosts out of a pool", Example: "  orch hosts rm old-box --pool lab", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := app.Hosts().Remove(c.Context(), pool, name); err != nil {
					return err
				}
				env.out.Printf("host %s is no longer in the pool %s\n", name, pool)
			}
			return nil
		},
	}
	poolFlag(c, &pool)
	return c
}
