package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
)

func validateCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Name every mistake in topologies, with its place and what to do",
		Long: `Reads files, directories or archives (zip/CSAR, tar) and reports all mistakes in one run.
Needs no inputs, no cloud and no network. Exit code 1 when there is an error; warnings alone are 0.

Every mistake has a code in brackets; ` + "`orch explain CODE`" + ` says more about it. -o sarif is for code scanners.`,
		Example: "  orch validate app.yaml\n  orch validate -o json app.csar other/\n  orch validate -o sarif app.yaml > orch.sarif",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := env.config()
			if err != nil {
				return err
			}
			return env.validate(c.Context(), cfg, args)
		},
	}
	outputFlag(c, &env.format, false, "text", "json", "yaml", "sarif")
	return c
}

func (e *environment) validate(ctx context.Context, cfg *config.Config, paths []string) error {
	var all diag.List
	var bundles []*Bundle
	defer func() {
		for _, b := range bundles {
			_ = b.Close()
		}
	}()
	nodes := 0
	for _, path := range paths {
		b, err := e.deps.Source(path)
		if err != nil {
			all.Add(asDiagnostics(path, err)...)
			continue
		}
		bundles = append(bundles, b)
		t, list := e.deps.Load(ctx, cfg, b)
		all.Add(list...)
		if t != nil {
			nodes += len(t.Nodes)
		}
	}
	report := diag.NewReport(all.Sorted())
	if e.format == "sarif" {
		if err := diag.WriteSARIF(e.out.W, report.Diagnostics, version.Version()); err != nil {
			return err
		}
	} else if err := e.print(report, func() {
		e.diagnostics(e.out, report.Diagnostics, bundles...)
		if report.Valid {
			e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ valid: "+view.Plural(len(paths), "document")+", "+view.Plural(nodes, "node")))
		}
	}); err != nil {
		return err
	}
	if !report.Valid {
		return &exitError{exitUser}
	}
	return nil
}

// asDiagnostics turns an error of reading into the same form as mistakes in the document.
func asDiagnostics(path string, err error) diag.List {
	if list := listOf(err); list != nil {
		return list
	}
	return diag.List{{Severity: diag.Error, Code: "cannot-read", Pos: diag.Pos{File: path}, Message: err.Error()}}
}
