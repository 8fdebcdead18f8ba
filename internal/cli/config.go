package cli

import (
	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
)

func configCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration in force",
		Long:    "The configuration comes from a file, then from ORCH_* variables, then from flags; the later wins. docs/configuration.md has every key.",
		Example: "  orch config show",
	}
	c.AddCommand(&cobra.Command{
		Use:     "show",
		Short:   "Show every setting with its value and where that comes from",
		Example: "  orch config show\n  ORCH_PARALLEL=4 orch config show -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := env.config()
			if err != nil {
				return err
			}
			settings := cfg.Settings()
			return env.print(settings, func() {
				rows := make([][]string, len(settings))
				for i, s := range settings {
					rows[i] = []string{s.Key, view.Text(s.Value), s.Origin, s.Env}
				}
				env.out.Table([]string{"KEY", "VALUE", "FROM", "VARIABLE"}, rows)
			})
		},
	})
	return c
}
