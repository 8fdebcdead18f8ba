package cli

import (
	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
)

func validateCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "validate PATH...",
		Short: "Name every mistake in topologies, with its place and what to do",
		Long: `Reads files, directories or archives (zip/CSAR, tar) and reports all mistakes in one run.
Needs no inputs, no cloud and no network. Exit code 1 when there is an error; warnings alone are 0.`,
		Example: "  orch validate app.yaml\n  orch validate -o json app.csar other/",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := env.config()
			if err != nil {
				return err
			}
			var all diag.List
			nodes := 0
			for _, path := range args {
				b, err := env.deps.Source(path)
				if err != nil {
					all.Add(asDiagnostics(path, err)...)
					continue
				}
				t, list := env.deps.Load(c.Context(), cfg, b)
				all.Add(list...)
				if t != nil {
					nodes += len(t.Nodes)
				}
				_ = b.Close()
			}
			all = all.Sorted()
			report := struct {
				Valid       bool      `json:"valid"`
				Errors      int       `json:"errors"`
				Warnings    int       `json:"warnings"`
				Diagnostics diag.List `json:"diagnostics"`
			}{!all.HasErrors(), all.Count(diag.Error), all.Count(diag.Warning), all}
			if report.Diagnostics == nil {
				report.Diagnostics = diag.List{}
			}
			if err := env.print(report, func() {
				env.diagnostics(env.out, all)
				if report.Valid {
					env.out.Printf("%s\n", env.out.Paint(view.Good, "✓ valid: "+view.Plural(len(args), "document")+", "+view.Plural(nodes, "node")))
				}
			}); err != nil {
				return err
			}
			if !report.Valid {
				return &exitError{exitUser}
			}
			return nil
		},
	}
}

// asDiagnostics turns an error of reading into the same form as mistakes in the document.
func asDiagnostics(path string, err error) diag.List {
	if list := listOf(err); list != nil {
		return list
	}
	return diag.List{{Severity: diag.Error, Code: "cannot-read", Pos: diag.Pos{File: path}, Message: err.Error()}}
}
