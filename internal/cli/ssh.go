package cli

import (
	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/topology"
)

func sshCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh [DEPLOYMENT] NODE [INSTANCE] [-- COMMAND...]",
		Short: "Log in to the server of a node, with the deployment's own keys and pinned host keys",
		Example: `  orch ssh app 0                 # the only deployment, first instance of app
  orch ssh web db -- uptime
  orch ssh web app[1]`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			words, command := args, []string(nil)
			if dash := c.ArgsLenAtDash(); dash >= 0 {
				words, command = args[:dash], args[dash:]
			}
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			var name []string
			if len(words) > 1 && isDeployment(c.Context(), app, words[0]) {
				name, words = words[:1], words[1:]
			}
			deployment, err := env.deployment(c.Context(), app, name)
			if err != nil {
				return err
			}
			if len(words) == 0 || len(words) > 2 {
				return usage("give a node and, if it has several instances, an index: orch ssh %s NODE [INSTANCE]", deployment)
			}
			node, index := splitInstance(words[0])
			if len(words) == 2 {
				index = words[1]
			}
			if index == "" {
				index = "0"
			}
			host, err := app.Host(c.Context(), deployment, topology.Instance{Node: node, Index: index})
			if err != nil {
				return err
			}
			code, err := app.Shell(c.Context(), host, command, env.stdio)
			if err != nil {
				return err
			}
			if code != 0 {
				return &exitError{code}
			}
			return nil
		},
	}
}
