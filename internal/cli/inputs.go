package cli

import (
	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
)

func inputsCmd(env *environment) *cobra.Command {
	var template bool
	c := &cobra.Command{
		Use:   "inputs FILE",
		Short: "Say what must be given to deploy a topology: inputs, secrets, types and plugins",
		Long: `Lists the inputs with their types and defaults, the secrets that get_secret asks for, the node types in use, and the
plugins whose operations are called. Inputs without a default must be given with -i name=value or --inputs FILE, secrets with
` + "`orch secrets set NAME`. --template writes a file of inputs to fill in.",
		Example: "  orch inputs app.yaml\n  orch inputs app.csar -o json\n  orch inputs app.yaml --template > inputs.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := env.load(c, args[0])
			if err != nil {
				return err
			}
			needs, err := view.NeedsOf(t)
			if err != nil {
				return err
			}
			if template {
				return needs.Template(env.out.W, env.deps.WriteYAML)
			}
			return env.print(needs, func() { env.out.Needs(needs) })
		},
	}
	c.Flags().BoolVar(&template, "template", false, "write a YAML file of inputs to fill in")
	return c
}
