package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
)

// withAccounts opens the service for a command about accounts.
func (e *environment) withAccounts(c *cobra.Command, do func(a orch.Accounts) error) error {
	app, err := e.open(c.Context())
	if err != nil {
		return err
	}
	return do(app.Accounts())
}

func usersCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "users",
		Short: "Decide who may use the server",
		Long: `Users have a password, tokens, or a client certificate that names them, and a role in each of their tenants: viewer (reads), operator
(changes what runs, and reads secrets), admin (gives roles in the tenant). An admin of the server may do everything.`,
		Example: "  orch users bootstrap\n  orch users add alice --role operator\n  orch users list",
	}
	c.AddCommand(bootstrapCmd(env), userAddCmd(env), userSetCmd(env), userListCmd(env), userRemoveCmd(env))
	return c
}

func bootstrapCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "bootstrap [NAME]",
		Short: "Make the first admin of the server, and print its token",
		Long: `Works on the server's own machine, while there is no admin yet. From then on the server asks everybody who they are, also on a
loopback address. The token is shown this once; NAME is admin unless it is given.`,
		Example: "  orch users bootstrap | orch context add prod --server https://orch.example:8800",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name := "admin"
			if len(args) > 0 {
				name = args[0]
			}
			return env.withAccounts(c, func(a orch.Accounts) error {
				t, err := a.Bootstrap(c.Context(), name)
				if err != nil {
					return err
				}
				return env.issued(t)
			})
		},
	}
}

// issued prints a token so that it can be piped on: nothing but it is on standard output.
func (e *environment) issued(t orch.IssuedToken) error {
	return e.print(t, func() {
		until := "for ever"
		if !t.Expires.IsZero() {
			until = "until " + t.Expires.Format(time.DateOnly)
		}
		e.err.Printf("token %s of %s, valid %s; it is not shown again:\n", t.ID, t.User, until)
		e.out.Println(t.Secret)
	})
}

// roleFlags turn "operator" and "acme=viewer" into roles in tenants.
func roleFlags(texts []string, tenant string) (map[string]orch.Role, error) {
	out := map[string]orch.Role{}
	for _, text := range texts {
		where, role, ok := strings.Cut(text, "=")
		if !ok {
			where, role = tenant, text
		}
		if where == "" {
			where = orch.DefaultTenant
		}
		if !slices.Contains(orch.Roles(), orch.Role(role)) {
			return nil, usage("--role: %q is no role; it is viewer, operator or admin", role)
		}
		out[where] = orch.Role(role)
	}
	return out, nil
}

func userAddCmd(env *environment) *cobra.Command {
	var roles []string
	var u orch.NewUser
	var password bool
	var file string
	c := &cobra.Command{
		Use: "add NAME", Short: "Make a user",
		Long: `With --password the password comes from a prompt or from standard input, with --password-file from a file. Without either the user needs
a token (orch tokens create --user NAME) or a certificate with this name.`,
		Example: "  orch users add alice --role operator --password\n  orch users add alien4cloud --role operator\n  orch users add carol --role acme=admin --role viewer",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			u.Name = args[0]
			if u.Tenants, err = roleFlags(roles, env.tenant); err != nil {
				return err
			}
			if u.Password, err = env.password(u.Name, password, file); err != nil {
				return err
			}
			return env.withAccounts(c, func(a orch.Accounts) error {
				made, err := a.CreateUser(c.Context(), u)
				if err != nil {
					return err
				}
				return env.print(made, func() { env.out.Printf("user %s added\n", made.Name) })
			})
		},
	}
	c.Flags().StringArrayVar(&roles, "role", nil, "`role`, or TENANT=ROLE: viewer, operator or admin; repeatable")
	c.Flags().BoolVar(&u.Admin, "admin", false, "an admin of the server")
	c.Flags().BoolVar(&password, "password", false, "ask for a password")
	c.Flags().StringVar(&file, "password-file", "", "read the password from a `file`")
	return c
}

func (e *environment) password(name string, ask bool, file string) (string, error) {
	if file != "" {
		return readCredential(file)
	}
	if !ask {
		return "", nil
	}
	v, err := e.secretValue("the password of "+name, "")
	return string(v), err
}

func userSetCmd(env *environment) *cobra.Command {
	var password, noPassword, admin, noAdmin, disable, enable bool
	var file string
	c := &cobra.Command{
		Use: "set NAME", Short: "Change a user's password, disable a user, or make one an admin of the server",
		Example: "  orch users set alice --password\n  orch users set bob --disable",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var change orch.UserChange
			yes, no, none := true, false, ""
			switch {
			case admin:
				change.Admin = &yes
			case noAdmin:
				change.Admin = &no
			}
			switch {
			case disable:
				change.Disabled = &yes
			case enable:
				change.Disabled = &no
			}
			if noPassword {
				change.Password = &none
			}
			if password || file != "" {
				p, err := env.password(args[0], password, file)
				if err != nil {
					return err
				}
				change.Password = &p
			}
			if change == (orch.UserChange{}) {
				return usage("what is to change?")
			}
			return env.withAccounts(c, func(a orch.Accounts) error {
				u, err := a.UpdateUser(c.Context(), args[0], change)
				if err != nil {
					return err
				}
				return env.print(u, func() { env.out.Printf("user %s changed\n", u.Name) })
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&password, "password", false, "ask for a new password")
	f.StringVar(&file, "password-file", "", "read the new password from a `file`")
	f.BoolVar(&noPassword, "no-password", false, "remove the password")
	f.BoolVar(&admin, "admin", false, "make an admin of the server")
	f.BoolVar(&noAdmin, "no-admin", false, "an admin of the server no more")
	f.BoolVar(&disable, "disable", false, "let nobody in by this name")
	f.BoolVar(&enable, "enable", false, "the opposite")
	c.MarkFlagsMutuallyExclusive("admin", "no-admin")
	c.MarkFlagsMutuallyExclusive("disable", "enable")
	c.MarkFlagsMutuallyExclusive("password", "password-file", "no-password")
	return c
}

func userListCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the users with their roles", Example: "  orch users list\n  orch users list -o json", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				all, err := a.Users(c.Context())
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, u := range all {
						var roles []string
						if u.Admin {
							roles = append(roles, string(orch.ServerAdmin))
						}
						for _, t := range slices.Sorted(maps.Keys(u.Tenants)) {
							roles = append(roles, t+"="+string(u.Tenants[t]))
						}
						state := ""
						if u.Disabled {
							state = "disabled"
						}
						rows = append(rows, []string{u.Name, strings.Join(roles, " "), fmt.Sprint(u.Password), state})
					}
					env.out.Table([]string{"NAME", "ROLES", "PASSWORD", ""}, rows)
				})
			})
		},
	}
}

func userRemoveCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Short: "Remove users and all their tokens", Example: "  orch users rm bob", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				for _, name := range args {
					if err := a.RemoveUser(c.Context(), name); err != nil {
						return err
					}
					env.out.Printf("user %s removed\n", name)
				}
				return nil
			})
		},
	}
}

func tokensCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "tokens", Short: "Make and revoke tokens by which programs act as a user",
		Example: "  orch tokens create --note ci --role operator --expires 720h\n  orch tokens list\n  orch tokens revoke 0a1b2c3d4e5f6071",
	}
	c.AddCommand(tokenCreateCmd(env), tokenListCmd(env), tokenRevokeCmd(env))
	return c
}

func tokenCreateCmd(env *environment) *cobra.Command {
	var t orch.NewToken
	var role, only string
	var expires string
	c := &cobra.Command{
		Use: "create", Short: "Make a token and print it, this once",
		Long: `A token acts as its user, or may do less: only what a role allows, only in one tenant. For another user it is an admin of the server
who makes it.`,
		Example: "  orch tokens create --user alice\n  orch tokens create --note ci --role operator --only-tenant default --expires 720h",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if role != "" && !slices.Contains(orch.Roles(), orch.Role(role)) {
				return usage("--role: %q is no role; it is viewer, operator or admin", role)
			}
			switch expires {
			case "":
			case "never":
				t.Seconds = -1
			default:
				d, err := time.ParseDuration(expires)
				if err != nil || d < time.Second {
					return usage("--expires: %q is neither never nor a duration such as 720h", expires)
				}
				t.Seconds = int64(d.Seconds())
			}
			t.Role, t.Tenant = orch.Role(role), only
			return env.withAccounts(c, func(a orch.Accounts) error {
				made, err := a.CreateToken(c.Context(), t)
				if err != nil {
					return err
				}
				return env.issued(made)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&t.User, "user", "", "`name` of the user (default: who asks)")
	f.StringVar(&t.Note, "note", "", "what it is for")
	f.StringVar(&role, "role", "", "no more than this `role`: viewer, operator or admin")
	f.StringVar(&only, "only-tenant", "", "only in this `tenant`")
	f.StringVar(&expires, "expires", "", "a `duration` such as 720h, or never (default 2160h, which is 90 days)")
	return c
}

func tokenListCmd(env *environment) *cobra.Command {
	var user string
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List tokens, without their text", Example: "  orch tokens list\n  orch tokens list --user alice", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				all, err := a.Tokens(c.Context(), user)
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, t := range all {
						expires := "never"
						if !t.Expires.IsZero() {
							expires = t.Expires.Format(time.DateOnly)
						}
						used := "never"
						if !t.Used.IsZero() {
							used = view.Age(t.Used, time.Now())
						}
						rows = append(rows, []string{t.ID, t.User, string(t.Role), t.Tenant, expires, used, t.Note})
					}
					env.out.Table([]string{"ID", "USER", "ROLE", "TENANT", "EXPIRES", "USED", "NOTE"}, rows)
				})
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those of this `name`")
	return c
}

func tokenRevokeCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID...", Aliases: []string{"rm"}, Short: "Make tokens worthless", Example: "  orch tokens revoke 0a1b2c3d4e5f6071", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withAccounts(c, func(a orch.Accounts) error {
				for _, id := range args {
					if err := a.RevokeToken(c.Context(), id); err != nil {
						return err
					}
					env.out.Printf("token %s revoked\n", id)
				}
				return nil
			})
		},
	}
}
