package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// oneOf is the value of a flag that takes one of a few words, checked before anything is done.
type oneOf struct {
	value   *string
	allowed []string
}

func (f oneOf) String() string {
	if f.value == nil {
		return ""
	}
	return *f.value
}

func (f oneOf) Set(text string) error {
	if !slices.Contains(f.allowed, text) {
		return fmt.Errorf("use %s", either(f.allowed))
	}
	*f.value = text
	return nil
}

func (f oneOf) Type() string { return "format" }

// either joins words: "text, json or yaml".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// outputFlag declares --output of a command (and, for the root, of all that declare none themselves) with the first format as default.
func outputFlag(c *cobra.Command, value *string, persistent bool, allowed ...string) {
	flags := c.Flags()
	if persistent {
		flags = c.PersistentFlags()
	}
	*value = allowed[0]
	flags.VarP(oneOf{value, allowed}, "output", "o", "output `format`: "+either(allowed))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(allowed, cobra.ShellCompDirectiveNoFileComp))
}
