package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

func validateCmd(env *environment) *cobra.Command {
	var normal bool
	c := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Name every mistake in topologies, with its place and what to do",
		Long: `Reads files, archives (zip/CSAR, tar) and directories, and reports all mistakes in one run. Of a directory it takes what
` + "`orch deploy`" + ` would, and every further document and archive below it that names a tosca_definitions_version and that no
other document imports. A directory with a TOSCA.meta is one archive.

Needs no inputs, no cloud and no network. Exit code 1 when there is an error; warnings alone are 0.

Every mistake has a code in brackets; ` + "`orch explain CODE`" + ` says more about it. -o sarif is for code scanners.
--normal-form prints what one valid document means, as JSON: everything resolved, nothing that depends on how it is written.`,
		Example: "  orch validate app.yaml\n  orch validate -o json app.csar other/\n  orch validate -o sarif app.yaml > orch.sarif\n  orch validate --normal-form app.yaml\n  generate | orch validate -",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if normal {
				return env.normalForm(c, args)
			}
			cfg, err := env.config()
			if err != nil {
				return err
			}
			return env.validate(c.Context(), cfg, args)
		},
	}
	c.Flags().BoolVar(&normal, "normal-form", false, "print the normal form of one document as JSON")
	outputFlag(c, &env.format, false, "text", "json", "yaml", "sarif")
	return c
}

func (e *environment) normalForm(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("--normal-form takes one document")
	}
	t, err := e.load(c, args[0])
	if err != nil {
		return err
	}
	data, err := topology.Dump(t)
	if err != nil {
		return err
	}
	_, err = e.out.W.Write(data)
	return err
}

// validation is what `validate` prints: all findings, and what was found of each document.
type validation struct {
	diag.Report
	Documents []documentResult `json:"documents"`
}

// documentResult of one document or archive.
type documentResult struct {
	Path     string `json:"path"`
	Dialect  string `json:"dialect,omitempty"`
	Valid    bool   `json:"valid"`
	Errors   int    `json:"errors"`
	Warnings int    `json:"warnings"`
	Nodes    int    `json:"nodes"`
}

func (e *environment) validate(ctx context.Context, cfg *config.Config, paths []string) error {
	v := &validator{e: e, cfg: cfg}
	defer v.close()
	for _, path := range paths {
		if err := v.path(ctx, path); err != nil {
			return err
		}
	}
	out := validation{Report: diag.NewReport(v.found.Sorted()), Documents: v.documents}
	if e.format == "sarif" {
		if err := diag.WriteSARIF(e.out.W, out.Diagnostics, version.Version()); err != nil {
			return err
		}
	} else if err := e.print(out, func() { v.text(out) }); err != nil {
		return err
	}
	if !out.Valid {
		return &exitError{exitUser}
	}
	return nil
}

// text prints the findings and, for several documents, how many are right.
func (v *validator) text(out validation) {
	e := v.e
	e.diagnostics(e.out, out.Diagnostics, v.bundles...)
	nodes, wrong := 0, 0
	for _, d := range out.Documents {
		nodes += d.Nodes
		if !d.Valid {
			wrong++
		}
	}
	switch {
	case out.Valid:
		e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ valid: "+view.Plural(len(out.Documents), "document")+", "+view.Plural(nodes, "node")))
	case len(out.Documents) > 1:
		e.out.Printf("%s\n", e.out.Paint(view.Bad, fmt.Sprintf("✗ wrong: %d of %s", wrong, view.Plural(len(out.Documents), "document"))))
	}
}
