package cli

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

// Conversion of a document into another dialect.
type Conversion struct {
	// Text is the document, "" if there is none.
	Text string
	// Lost says what the other dialect has no words for, by places of the source; Found is what is wrong with the source.
	Lost, Found diag.List
	// Wrong is what validating the result finds; Differ are the parts of the normal form that are not as they were.
	Wrong  diag.List
	Differ []string
}

// Converter converts an opened document.
type Converter func(ctx context.Context, c *config.Config, b *Bundle, target string) (*Conversion, error)

// conversion is what `convert` prints for programs.
type conversion struct {
	To       string    `json:"to"`
	Document string    `json:"document"`
	Same     bool      `json:"same"` // the result loads and means what the source means
	Differ   []string  `json:"differ"`
	Lost     diag.List `json:"lost"`
	Wrong    diag.List `json:"wrong"`
}

func convertCmd(env *environment) *cobra.Command {
	var to, out string
	targets := []string{"tosca_simple_yaml_1_3", "tosca_2_0"}
	c := &cobra.Command{
		Use:   "convert FILE",
		Short: "Write a TOSCA, Alien4Cloud, Yorc or Cloudify document in TOSCA 1.3 or 2.0",
		Long: `Writes the document, with the types that it uses of everything it imports, as one document of another dialect. Files keep
their places: the result belongs where the source lies. What the other dialect cannot say is reported with its place in the
source. The result is validated and its meaning (validate --normal-form) compared with the source's.

Of a Cloudify blueprint types, templates, relationships, scripts with their inputs, groups, policies and outputs are written. Its types
derive from TOSCA's then (contained_in from HostedOn, connected_to from ConnectsTo) and declare what its templates use of them.

Exit code 1 when the result does not validate by itself.`,
		Example: "  orch convert app.yaml --to tosca_2_0 > app-2.0.yaml\n  orch convert types.yml --to tosca_simple_yaml_1_3 --import-path archives --out types-1.3.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(targets, to) {
				return usage("--to is needed: %s", either(targets))
			}
			cfg, err := env.config()
			if err != nil {
				return err
			}
			b, err := env.deps.Source(args[0])
			if err != nil {
				return err
			}
			defer b.Close()
			r, err := env.deps.Convert(c.Context(), cfg, b, to)
			if err != nil {
				return err
			}
			return env.converted(b, r, to, out)
		},
	}
	c.Flags().Var(oneOf{&to, targets}, "to", "the `dialect`: "+either(targets))
	c.Flags().StringVar(&out, "out", "", "write the document into a `file` instead of printing it")
	return c
}

func (e *environment) converted(b *Bundle, r *Conversion, to, out string) error {
	if r.Text == "" {
		e.diagnostics(e.err, append(r.Found, r.Lost...), b)
		return &exitError{exitUser}
	}
	if out != "" {
		if err := os.WriteFile(out, []byte(r.Text), 0o644); err != nil {
			return &orch.Error{Kind: orch.KindUser, Msg: "cannot write the document", Err: err}
		}
	}
	result := conversion{To: to, Document: r.Text, Same: !r.Wrong.HasErrors() && len(r.Differ) == 0, Differ: r.Differ, Lost: r.Lost, Wrong: r.Wrong}
	if result.Lost == nil {
		result.Lost = diag.List{}
	}
	if result.Wrong == nil {
		result.Wrong = diag.List{}
	}
	if result.Differ == nil {
		result.Differ = []string{}
	}
	if err := e.print(result, func() { e.conversionText(b, r, out) }); err != nil {
		return err
	}
	if r.Wrong.HasErrors() {
		return &exitError{exitUser}
	}
	return nil
}

func (e *environment) conversionText(b *Bundle, r *Conversion, out string) {
	if out == "" {
		e.out.Printf("%s", r.Text)
	}
	e.diagnostics(e.err, r.Lost, b)
	switch {
	case r.Wrong.HasErrors():
		e.err.Printf("%s\n", e.err.Paint(view.Bad, "✗ the result does not validate by itself:"))
		for _, d := range r.Wrong {
			if d.Severity == diag.Error {
				e.err.Printf("  %s [%s]\n", d.Message, d.Code)
			}
		}
	case len(r.Differ) > 0:
		e.err.Printf("%s\n", e.err.Paint(view.Warm, "the result does not mean quite the same; different are: "+strings.Join(r.Differ, ", ")))
	default:
		e.err.Printf("%s\n", e.err.Paint(view.Good, "✓ the result means the same"))
	}
}
