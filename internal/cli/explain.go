package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

func explainCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Say what a code of `orch validate` means and what to do; without CODE list all",
		Long: `Every finding of validate, plan and deploy ends with a code in brackets. This command explains it.
The same texts are in docs/diagnostics.md.`,
		Example:           "  orch explain unknown-type\n  orch explain",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(codeIDs(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				codes := diag.Codes()
				return env.print(codes, func() {
					rows := make([][]string, len(codes))
					for i, c := range codes {
						rows[i] = []string{c.ID, c.Title}
					}
					env.out.Table([]string{"CODE", "MEANING"}, rows)
				})
			}
			id := strings.Trim(args[0], "[]")
			code, ok := diag.Explain(id)
			if !ok {
				e := &orch.Error{Kind: orch.KindUser, Msg: "there is no code " + quote(id), Hint: "`orch explain` lists all"}
				if near := diag.Suggest(id, codeIDs()); near != "" {
					e.Hint = near
				}
				return e
			}
			return env.print(code, func() {
				env.out.Printf("%s: %s\n\n", env.out.Paint(view.Bold, code.ID), code.Title)
				env.out.Println(view.Wrap(code.Text, 100))
			})
		},
	}
}

func codeIDs() []string {
	var ids []string
	for _, c := range diag.Codes() {
		ids = append(ids, c.ID)
	}
	return ids
}
