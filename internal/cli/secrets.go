package cli

import (
	"bytes"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/orch-project/orch/internal/view"
)

func secretsCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Keep passwords, keys and tokens, encrypted at rest",
		Long: `Topologies use secrets by name with get_secret. Values come from a prompt, standard input or a file,
never from the command line, where every user of the machine could read them.`,
		Example: "  orch secrets set db_password\n  orch secrets set deploy_key --file ~/.ssh/id_ed25519\n  openssl rand -hex 16 | orch secrets set api_token",
	}
	c.AddCommand(secretSetCmd(env), secretGetCmd(env), secretListCmd(env), secretRemoveCmd(env))
	return c
}

func secretSetCmd(env *environment) *cobra.Command {
	var file, note string
	c := &cobra.Command{
		Use:     "set NAME",
		Short:   "Create a secret or give it a new version",
		Example: "  orch secrets set db_password\n  orch secrets set tls_key --file key.pem",
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
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			info, err := app.Secrets().Set(c.Context(), args[0], value, note)
			if err != nil {
				return err
			}
			return env.print(info, func() { env.out.Printf("secret %s stored, version %d\n", info.Name, info.Version) })
		},
	}
	c.Flags().StringVar(&file, "file", "", "read the value from a `file`")
	c.Flags().StringVar(&note, "note", "", "what it is for; shown by list")
	return c
}

// secretValue reads from the file, from a prompt on a terminal, or from standard input (one trailing newline is not part of it).
func (e *environment) secretValue(name, file string) ([]byte, error) {
	if file != "" {
		return os.ReadFile(file)
	}
	if f, ok := e.stdio.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		e.err.Printf("Value of %s: ", name)
		v, err := term.ReadPassword(int(f.Fd()))
		e.err.Println()
		return v, err
	}
	v, err := io.ReadAll(io.LimitReader(e.stdio.In, 1<<20))
	if err != nil {
		return nil, err
	}
	v = bytes.TrimSuffix(bytes.TrimSuffix(v, []byte("\n")), []byte("\r"))
	if len(v) == 0 {
		return nil, usage("no value on standard input")
	}
	return v, nil
}

func secretGetCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME", Short: "Print a secret's value", Example: "  orch secrets get db_password", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			v, err := app.Secrets().Get(c.Context(), args[0])
			if err != nil {
				return err
			}
			if env.out.Terminal() {
				v = append(v, '\n')
			}
			_, err = env.out.W.Write(v)
			return err
		},
	}
}

func secretListCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the names of the secrets", Example: "  orch secrets list", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			all, err := app.Secrets().List(c.Context())
			if err != nil {
				return err
			}
			return env.print(all, func() {
				var rows [][]string
				for _, s := range all {
					rows = append(rows, []string{s.Name, view.Text(s.Version), view.Text(s.Size), view.Age(s.Updated, time.Now()), s.Note})
				}
				env.out.Table([]string{"NAME", "VERSION", "BYTES", "CHANGED", "NOTE"}, rows)
			})
		},
	}
}

func secretRemoveCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Short: "Remove secrets with all their versions", Example: "  orch secrets rm db_password", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := app.Secrets().Remove(c.Context(), name); err != nil {
					return err
				}
				env.out.Printf("secret %s removed\n", name)
			}
			return nil
		},
	}
}
