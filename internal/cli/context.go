package cli

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

func contextCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "context",
		Short: "Save servers to work on, with the credentials for them",
		Long: `Every command works on this machine, or on the server of --server, of ORCH_SERVER, or of the current context. Contexts are kept in
contexts.json in the configuration directory, readable for its owner only. ORCH_TOKEN, ORCH_TOKEN_FILE, ORCH_USER, ORCH_PASSWORD and
ORCH_TENANT count more than what is saved. "local" is the context of this machine.`,
		Example: "  orch context add prod --server https://orch.example:8800\n  orch context use prod\n  orch context use local",
	}
	c.AddCommand(contextAddCmd(env), contextUseCmd(env), contextListCmd(env), contextRemoveCmd(env))
	return c
}

func contextAddCmd(env *environment) *cobra.Command {
	var r Remote
	var tokenFile string
	var bare, use bool
	c := &cobra.Command{
		Use:   "add NAME --server URL",
		Short: "Save a server, or change a saved one",
		Long: `The token comes from a prompt, from standard input, from ORCH_TOKEN or from a file, never from the command line, where every user of the
machine could read it. With --user it is that user's password instead. --no-credentials is for servers that know clients by certificate,
or ask nobody.`,
		Example: `  orch context add prod --server https://orch.example:8800
  orch context add lab --server https://10.0.0.5:8800 --ca ca.pem --token-file token.txt --tenant lab
  orch context add plugin --server https://10.0.0.5:8800 --ca ca.pem --cert me.pem --key me.key --no-credentials`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("the token is not an argument: leave it out to be asked for it, or pipe it in, or use --token-file")
			}
			return cobra.ExactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			if err := checkContext(args[0], &r, env.server); err != nil {
				return err
			}
			if !bare {
				if err := env.credential(&r, tokenFile); err != nil {
					return err
				}
			}
			all.Contexts[args[0]] = r
			if use {
				all.Current = args[0]
			}
			if err := all.write(); err != nil {
				return err
			}
			shown := struct {
				Name   string `json:"name"`
				Server string `json:"server"`
			}{args[0], r.Server}
			return env.print(shown, func() { env.out.Printf("context %s saved\n", args[0]) })
		},
	}
	f := c.Flags()
	f.StringVar(&r.User, "user", "", "`name` of a user: what is asked for is the password")
	f.StringVar(&r.CA, "ca", "", "`file` with the authority of the server's certificate (PEM); without it the machine's authorities count")
	f.StringVar(&r.Cert, "cert", "", "`file` with a client certificate (PEM)")
	f.StringVar(&r.Key, "key", "", "`file` with its private key (PEM)")
	f.StringVar(&tokenFile, "token-file", "", "read the token or password from a `file`")
	f.BoolVar(&bare, "no-credentials", false, "save neither token nor password")
	f.BoolVar(&use, "use", false, "make it the current context")
	f.BoolVar(&r.Clear, "insecure-no-tls", false, "let credentials travel in clear to another machine")
	return c
}

func checkContext(name string, r *Remote, server string) error {
	if name == localContext || strings.ContainsAny(name, " /\\\t\n") || name == "" {
		return usage("%q is no name for a context", name)
	}
	u, err := url.Parse(server)
	if server == "" || err != nil || u.Scheme != "unix" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return usage("--server is a URL such as https://orch.example:8800")
	}
	if u.User != nil {
		return usage("credentials are no part of the URL: every user of the machine could read them")
	}
	r.Server = server
	for _, path := range []*string{&r.CA, &r.Cert, &r.Key} { // the file is read from everywhere
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err == nil {
			_, err = os.Stat(*path)
		}
		if err != nil {
			return &orch.Error{Kind: orch.KindUser, Err: err}
		}
	}
	if (r.Cert == "") != (r.Key == "") {
		return usage("--cert and --key belong together")
	}
	return nil
}

// credential asks for the token, or the user's password.
func (e *environment) credential(r *Remote, file string) (err error) {
	what, to := "the token", &r.Token
	if r.User != "" {
		what, to = "the password of "+r.User, &r.Password
	}
	switch {
	case file != "":
		*to, err = readCredential(file)
	case r.User == "" && os.Getenv("ORCH_TOKEN") != "":
		*to = os.Getenv("ORCH_TOKEN")
	default:
		var v []byte
		if v, err = e.secretValue(what, ""); err == nil {
			*to = string(bytes.TrimSpace(v))
		}
	}
	if err == nil && *to == "" {
		err = usage("%s is empty; --no-credentials saves none", what)
	}
	return err
}

func readCredential(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", &orch.Error{Kind: orch.KindUser, Msg: "cannot read the credential", Err: err}
	}
	return strings.TrimSpace(string(raw)), nil
}

func contextUseCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Work on this server from now on; \"local\" is this machine", Example: "  orch context use prod\n  orch context use local", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			if args[0] != localContext {
				if _, err := all.get(args[0]); err != nil {
					return err
				}
			}
			all.Current = args[0]
			if err := all.write(); err != nil {
				return err
			}
			env.out.Printf("working on %s\n", args[0])
			return nil
		},
	}
}

func contextListCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the saved servers", Example: "  orch context list", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			type row struct {
				Name    string `json:"name"`
				Current bool   `json:"current,omitempty"`
				Server  string `json:"server"`
				Tenant  string `json:"tenant,omitempty"`
				As      string `json:"as,omitempty"`
			}
			rows := []row{{Name: localContext, Current: all.Current == "" || all.Current == localContext}}
			for _, name := range all.names() {
				r := all.Contexts[name]
				as := ""
				switch {
				case r.Token != "":
					as = "token"
				case r.User != "":
					as = r.User
				case r.Cert != "":
					as = "certificate"
				}
				rows = append(rows, row{name, name == all.Current, r.Server, r.Tenant, as})
			}
			return env.print(rows, func() {
				var lines [][]string
				for _, r := range rows {
					mark := ""
					if r.Current {
						mark = "*"
					}
					lines = append(lines, []string{mark, r.Name, r.Server, r.Tenant, r.As})
				}
				env.out.Table([]string{"", "NAME", "SERVER", "TENANT", "AS"}, lines)
			})
		},
	}
}

func contextRemoveCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME...", Short: "Forget saved servers with their credentials", Example: "  orch context rm lab", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			for _, name := range args {
				if _, err := all.get(name); err != nil {
					return err
				}
				delete(all.Contexts, name)
				if all.Current == name {
					all.Current = ""
				}
			}
			if err := all.write(); err != nil {
				return err
			}
			env.out.Printf("forgotten: %s\n", strings.Join(args, ", "))
			return nil
		},
	}
}
