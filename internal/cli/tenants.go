package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
)

func tenantsCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "tenants", Short: "Keep groups of people apart: deployments, blueprints, secrets and events belong to a tenant",
		Example: "  orch tenants add acme\n  orch tenants grant acme alice operator\n  orch --tenant acme list",
	}
	c.AddCommand(tenantListCmd(env), tenantAddCmd(env), tenantRemoveCmd(env), tenantMembersCmd(env), tenantGrantCmd(env), tenantRevokeCmd(env))
	return c
}

func tenantListCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the tenants", Example: "  orch tenants list", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				all, err := a.Tenants(c.Context())
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, t := range all {
						rows = append(rows, []string{t.Name, t.Description})
					}
					env.out.Table([]string{"NAME", "DESCRIPTION"}, rows)
				})
			})
		},
	}
}

func tenantAddCmd(env *environment) *cobra.Command {
	var about string
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a tenant", Example: "  orch tenants add acme --description 'the shop of ACME'", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				t, err := a.CreateTenant(c.Context(), orch.Tenant{Name: args[0], Description: about})
				if err != nil {
					return err
				}
				return env.print(t, func() { env.out.Printf("tenant %s added\n", t.Name) })
			})
		},
	}
	c.Flags().StringVar(&about, "description", "", "what it is for")
	return c
}

func tenantRemoveCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "Remove a tenant that has nothing in it", Example: "  orch tenants rm acme", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				if err := a.RemoveTenant(c.Context(), args[0]); err != nil {
					return err
				}
				env.out.Printf("tenant %s removed\n", args[0])
				return nil
			})
		},
	}
}

func tenantMembersCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "members TENANT", Short: "Show who has a role in a tenant", Example: "  orch tenants members acme", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				all, err := a.Members(c.Context(), args[0])
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, m := range all {
						rows = append(rows, []string{m.User, string(m.Role)})
					}
					env.out.Table([]string{"USER", "ROLE"}, rows)
				})
			})
		},
	}
}

func tenantGrantCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "grant TENANT USER ROLE", Short: "Give a user a role in a tenant: viewer, operator or admin", Example: "  orch tenants grant acme alice operator", Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(orch.Roles(), orch.Role(args[2])) {
				return usage("%q is no role; it is viewer, operator or admin", args[2])
			}
			return env.withAccounts(c, func(a orch.Accounts) error {
				if _, err := a.Grant(c.Context(), args[1], args[0], orch.Role(args[2])); err != nil {
					return err
				}
				env.out.Printf("%s is %s in %s\n", args[1], args[2], args[0])
				return nil
			})
		},
	}
}

func tenantRevokeCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "revoke TENANT USER", Short: "Take a user's role in a tenant away", Example: "  orch tenants revoke acme alice", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				if _, err := a.Grant(c.Context(), args[1], args[0], ""); err != nil {
					return err
				}
				env.out.Printf("%s has no role in %s\n", args[1], args[0])
				return nil
			})
		},
	}
}

func auditCmd(env *environment) *cobra.Command {
	var f orch.AuditFilter
	var since time.Duration
	c := &cobra.Command{
		Use: "audit", Short: "Show what was changed, or refused: by whom, from where, with what result",
		Long:    "Entries are kept for a year, the newest come first. Reading the value of a secret, or how to log in to a host, counts as a change.",
		Example: "  orch audit --since 24h\n  orch audit --user alice --limit 500 -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if since > 0 {
				f.Since = time.Now().Add(-since)
			}
			return env.withAccounts(c, func(a orch.Accounts) error {
				all, err := a.Audit(c.Context(), f)
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, e := range all {
						rows = append(rows, []string{e.Time.Local().Format(time.DateTime), e.User, e.Tenant, e.From, e.Result, strings.TrimSpace(e.Action), e.Target, e.Detail})
					}
					env.out.Table([]string{"TIME", "USER", "TENANT", "FROM", "RESULT", "ACTION", "TARGET", ""}, rows)
				})
			})
		},
	}
	c.Flags().StringVar(&f.Tenant, "of-tenant", "", "only of this `tenant`")
	c.Flags().StringVar(&f.User, "user", "", "only by this `name`")
	c.Flags().DurationVar(&since, "since", 0, "only of the last `duration`, such as 24h")
	c.Flags().IntVar(&f.Limit, "limit", 0, "how many entries, 1000 at most (0: 100)")
	c.Flags().StringVar(&f.Before, "before", "", "go on below this `id`")
	return c
}

func whoamiCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who the server takes you for, and what you may do", Example: "  orch whoami", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			id, err := app.WhoAmI(c.Context())
			if err != nil {
				return err
			}
			return env.print(id, func() {
				env.out.Printf("%s, %s in tenant %s (by %s)\n", id.User, id.Role, id.Tenant, view.Text(id.Via))
			})
		},
	}
}
