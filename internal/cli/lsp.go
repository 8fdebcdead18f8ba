package cli

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/config"
)

// LanguageServer answers an editor on the streams until it says goodbye.
type LanguageServer func(ctx context.Context, c *config.Config, stdio Stdio, log *slog.Logger) error

func lspCmd(env *environment) *cobra.Command {
	var stdio bool
	c := &cobra.Command{
		Use:   "lsp",
		Short: "Serve editors: findings while one types, explanations, places, completion",
		Long: `Speaks the Language Server Protocol on stdin and stdout; editors start it by themselves (docs/editors.md says how). It reads
documents as ` + "`orch validate`" + ` does, with what is not saved yet, and needs no cloud and no network.`,
		Example: "  orch lsp\n  orch lsp --stdio --import-path ~/types",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := env.config()
			if err != nil {
				return err
			}
			return env.deps.LanguageServer(c.Context(), cfg, env.stdio, env.logger())
		},
	}
	c.Flags().BoolVar(&stdio, "stdio", true, "speak on stdin and stdout, as always; editors pass it")
	return c
}
