package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

// polish gives every command of the tree errors that say what is missing and what to type instead.
func polish(c *cobra.Command) {
	for _, sub := range c.Commands() {
		polish(sub)
	}
	switch {
	case c.HasSubCommands() && !c.Runnable():
		c.Args = cobra.ArbitraryArgs
		c.RunE = needSubcommand
	case c.Args != nil:
		check := c.Args
		c.Args = func(c *cobra.Command, args []string) error { return explainArgs(c, args, check) }
	}
}

// needSubcommand is what a command does that only groups others.
func needSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	e := &orch.Error{Kind: orch.KindUser, Msg: "unknown command " + quote(args[0]) + " for " + quote(c.CommandPath()), Hint: "see `" + c.CommandPath() + " --help`"}
	names := func(yield func(string) bool) {
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && !yield(sub.Name()) {
				return
			}
		}
	}
	if near := diag.Nearest(args[0], names); near != "" {
		e.Hint = "did you mean `" + c.CommandPath() + " " + near + "`?"
	}
	return e
}

// explainFlag says what is wrong with a flag, and which one may have been meant.
func explainFlag(c *cobra.Command, err error) error {
	e := &orch.Error{Kind: orch.KindUser, Err: err, Hint: "see `" + c.CommandPath() + " --help`"}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return e
	}
	names := func(yield func(string) bool) {
		more := true
		c.Flags().VisitAll(func(f *pflag.Flag) { more = more && (f.Hidden || yield(f.Name)) })
	}
	if near := diag.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		e.Hint = "did you mean --" + near + "? See `" + c.CommandPath() + " --help`"
	}
	return e
}

// explainArgs puts cobra's "accepts 1 arg(s), received 0" into words.
func explainArgs(c *cobra.Command, args []string, check cobra.PositionalArgs) error {
	err := check(c, args)
	var known *orch.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &orch.Error{Kind: orch.KindUser, Msg: "too many arguments: " + strings.Join(args, " ")}
	for n := len(args) + 1; n < len(args)+4; n++ {
		if check(c, make([]string, n)) == nil {
			e.Msg = "an argument is missing"
			break
		}
	}
	e.Hint = "usage: " + strings.TrimSuffix(c.UseLine(), " [flags]") + "\n  see `" + c.CommandPath() + " --help`"
	return e
}

func quote(s string) string { return `"` + s + `"` }
