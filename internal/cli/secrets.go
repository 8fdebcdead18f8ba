package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// useSecrets opens the service and calls fn with its secrets.
func (e *environment) useSecrets(c *cobra.Command, fn func(ctx context.Context, s orch.Secrets) error) error {
	app, err := e.open(c.Context())
	if err != nil {
		return err
	}
	return fn(c.Context(), app.Secrets())
}

func secretsCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Keep passwords, keys and tokens, encrypted at rest",
		Long: `Topologies use secrets by name with get_secret. Values come from a prompt, standard input or a file,
never from the command line, where every user of the machine could read them.`,
		Example: "  orch secrets set db_password\n  orch secrets set deploy_key --file ~/.ssh/id_ed25519\n  openssl rand -hex 16 | orch secrets set api_token",
	}
	c.AddCommand(secretSetCmd(env), secretGetCmd(env), secretListCmd(env), secretHistoryCmd(env), secretUpdateCmd(env), secretRemoveCmd(env),
		secretExportCmd(env), secretImportCmd(env), secretReadsCmd(env), rotateKeyCmd(env))
	return c
}

func secretSetCmd(env *environment) *cobra.Command {
	var file, note, visibility string
	var isJSON, hidden, create bool
	c := &cobra.Command{
		Use:     "set NAME",
		Short:   "Create a secret or give it a new version",
		Example: "  orch secrets set db_password\n  orch secrets set tls_key --file key.pem\n  cat account.json | orch secrets set account --json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("the value of a secret is not an argument: leave it out to be asked for it, or pipe it in, or use --file")
			}
			return cobra.ExactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			value, err := env.secretValue(args[0], file)
			if err != nil {
				return err
			}
			o := orch.SecretOptions{Create: create, Visibility: secrets.Visibility(visibility)}
			switch {
			case isJSON:
				o.Kind = secrets.JSON
			case file != "":
				o.Kind = secrets.File
			}
			if c.Flags().Changed("note") {
				o.Note = &note
			}
			if c.Flags().Changed("hidden") {
				o.Hidden = &hidden
			}
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				info, err := s.Set(ctx, args[0], value, o)
				if err != nil {
					return err
				}
				return env.print(info, func() { env.out.Printf("secret %s stored, version %d\n", info.Name, info.Version) })
			})
		},
	}
	f := c.Flags()
	f.StringVar(&file, "file", "", "read the value from a `file`, as it is")
	f.BoolVar(&isJSON, "json", false, "the value is JSON, of which get_secret can take parts; it is checked")
	f.StringVar(&note, "note", "", "what it is for; shown by list")
	f.BoolVar(&create, "create", false, "fail if the secret exists")
	visibilityFlags(c, &visibility, &hidden)
	return c
}

func visibilityFlags(c *cobra.Command, visibility *string, hidden *bool) {
	c.Flags().Var(oneOf{visibility, []string{"private", "tenant", "global"}}, "visibility",
		"who may use it: private (who made it), tenant or global; it can be widened later, not narrowed (default tenant)")
	c.Flags().BoolVar(hidden, "hidden", false, "show the value only to who made it and to admins; deployments of the tenant use it")
}

// secretValue reads from the file, from a prompt on a terminal, or from standard input (one trailing newline is not part of it).
func (e *environment) secretValue(name, file string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	if e.prompts() {
		return e.ask("Value of " + name + ": ")
	}
	v, err := io.ReadAll(io.LimitReader(e.stdio.In, 1<<20+3))
	if err != nil {
		return nil, err
	}
	v = bytes.TrimSuffix(bytes.TrimSuffix(v, []byte("\n")), []byte("\r"))
	if len(v) == 0 {
		return nil, usage("no value on standard input")
	}
	return v, nil
}

// prompts reports whether somebody can be asked.
func (e *environment) prompts() bool {
	f, ok := e.stdio.In.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ask reads a line that is not shown.
func (e *environment) ask(prompt string) ([]byte, error) {
	e.err.Printf("%s", prompt)
	v, err := term.ReadPassword(int(e.stdio.In.(*os.File).Fd()))
	e.err.Println()
	return v, err
}

func secretGetCmd(env *environment) *cobra.Command {
	var version int
	var out string
	c := &cobra.Command{
		Use: "get NAME", Short: "Print a secret's value", Args: cobra.ExactArgs(1),
		Long:    "Prints the newest version, or the one of --version. Who reads which secret is on record: orch secrets reads.",
		Example: "  orch secrets get db_password\n  orch secrets get db_password --version 2\n  orch secrets get deploy_key --file id_ed25519",
		RunE: func(c *cobra.Command, args []string) error {
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				v, err := s.Get(ctx, args[0], version)
				if err != nil {
					return err
				}
				if out != "" {
					return writePrivate(out, v)
				}
				if env.out.Terminal() {
					v = append(v, '\n')
				}
				_, err = env.out.W.Write(v)
				return err
			})
		},
	}
	c.Flags().IntVar(&version, "version", 0, "`number` of an older version; history lists them")
	c.Flags().StringVar(&out, "file", "", "write the value to a new `file` that only you can read")
	return c
}

// writePrivate makes a file that nobody else can read. One that exists is not touched: others may have it open.
func writePrivate(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &orch.Error{Kind: orch.KindUser, Err: err, Hint: "choose a file that does not exist"}
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func secretListCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list [PREFIX]", Aliases: []string{"ls"}, Short: "List the names of the secrets", Example: "  orch secrets list\n  orch secrets list shop/", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			prefix := ""
			if len(args) > 0 {
				prefix = args[0]
			}
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				all, err := s.List(ctx, prefix)
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, s := range all {
						rows = append(rows, []string{s.Name, string(s.Kind), view.Text(s.Version), view.Text(s.Size), seen(s), view.Age(s.Updated, time.Now()), s.Note})
					}
					env.out.Table([]string{"NAME", "KIND", "VERSION", "BYTES", "VISIBILITY", "CHANGED", "NOTE"}, rows)
				})
			})
		},
	}
}

func seen(s orch.SecretInfo) string {
	text := string(s.Visibility)
	if s.Visibility == secrets.Global && s.Tenant != secrets.DefaultTenant {
		text += " of " + s.Tenant
	}
	if s.Hidden {
		text += ", hidden"
	}
	return text
}

func secretHistoryCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "history NAME", Aliases: []string{"versions"}, Short: "List the versions of a secret", Args: cobra.ExactArgs(1),
		Long:    fmt.Sprintf("Of every secret the newest %d versions are kept.", secrets.KeepVersions),
		Example: "  orch secrets history db_password",
		RunE: func(c *cobra.Command, args []string) error {
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				d, err := s.Describe(ctx, args[0])
				if err != nil {
					return err
				}
				return env.print(d, func() {
					var rows [][]string
					for _, v := range d.Versions {
						rows = append(rows, []string{view.Text(v.Number), string(v.Kind), view.Text(v.Size), view.Age(v.Created, time.Now()), v.By})
					}
					env.out.Table([]string{"VERSION", "KIND", "BYTES", "AGE", "BY"}, rows)
				})
			})
		},
	}
}

func secretUpdateCmd(env *environment) *cobra.Command {
	var note, visibility string
	var hidden bool
	c := &cobra.Command{
		Use: "update NAME", Short: "Change who sees a secret, or its note", Args: cobra.ExactArgs(1),
		Long:    "Changes what is known of a secret without a new version. A new value is a matter of orch secrets set.",
		Example: "  orch secrets update proxy_url --visibility global\n  orch secrets update db_password --note 'of the shop'",
		RunE: func(c *cobra.Command, args []string) error {
			change := orch.SecretChange{Visibility: secrets.Visibility(visibility)}
			if c.Flags().Changed("note") {
				change.Note = &note
			}
			if c.Flags().Changed("hidden") {
				change.Hidden = &hidden
			}
			if change == (orch.SecretChange{}) {
				return usage("say what to change: --visibility, --hidden or --note")
			}
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				info, err := s.Update(ctx, args[0], change)
				if err != nil {
					return err
				}
				return env.print(info, func() { env.out.Printf("secret %s: %s\n", info.Name, seen(info)) })
			})
		},
	}
	c.Flags().StringVar(&note, "note", "", "what it is for; shown by list")
	visibilityFlags(c, &visibility, &hidden)
	return c
}

func secretRemoveCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Short: "Remove secrets with all their versions", Example: "  orch secrets rm db_password", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				for _, name := range args {
					if err := s.Remove(ctx, name); err != nil {
						return err
					}
					env.out.Printf("secret %s removed\n", name)
				}
				return nil
			})
		},
	}
}

func secretReadsCmd(env *environment) *cobra.Command {
	var f orch.SecretReads
	var since time.Duration
	c := &cobra.Command{
		Use: "reads [NAME]", Short: "Show who has read which secret", Args: cobra.MaximumNArgs(1),
		Long:    "Lists who was given the value of a secret, and which deployments have used it, oldest first.\nA task that uses a version many times is listed once.",
		Example: "  orch secrets reads\n  orch secrets reads db_password --since 24h -o json",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.Secret = args[0]
			}
			if since > 0 {
				f.Since = time.Now().Add(-since)
			}
			return env.useSecrets(c, func(ctx context.Context, s orch.Secrets) error {
				all, err := s.Reads(ctx, f)
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, r := range all {
						version := ""
						if r.Version > 0 {
							version = view.Text(r.Version)
						}
						rows = append(rows, []string{r.Time.Local().Format(time.DateTime), r.Secret, version, r.User, r.Deployment, r.Task})
					}
					env.out.Table([]string{"TIME", "SECRET", "VERSION", "USER", "DEPLOYMENT", "TASK"}, rows)
				})
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.User, "user", "", "only what this `user` has read")
	fl.StringVar(&f.Deployment, "deployment", "", "only what this `deployment` has used")
	fl.DurationVar(&since, "since", 0, "only of the last `time`, such as 24h")
	fl.IntVar(&f.Last, "last", 0, "only the newest `n` (default 1000)")
	return c
}
