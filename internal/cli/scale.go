package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

func scaleCmd(env *environment) *cobra.Command {
	var follow followFlags
	var remove []string
	var onFailure string
	var dryRun bool
	c := &cobra.Command{
		Use:   "scale DEPLOYMENT NODE=N|NODE=+N|NODE=-N …",
		Short: "Change the number of instances of nodes",
		Long: `Makes new instances of a node, with what is hosted on it, or takes some away; the others are not touched.
When some of the new ones fail the good ones stay: resume tries the failed ones again, scaling in removes them first.
The document's limits (min_instances, max_instances) hold. Scaling in takes away the instances that are named
(--remove), then those that have failed, then the newest.`,
		Example: "  orch scale web vm=5\n  orch scale web vm=+2 db=3\n  orch scale web vm=-1 --remove vm[2]",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			req := orch.Request{Verb: orch.Deploy, Deployment: args[0], OnFailure: onFailure}
			if err := scaleRequest(&req, args[1:], remove); err != nil {
				return err
			}
			if dryRun {
				return env.showPlan(c.Context(), app, req)
			}
			return env.start(c.Context(), app, req, follow)
		},
	}
	follow.register(c)
	onFailureFlag(c, &onFailure)
	c.Flags().StringSliceVar(&remove, "remove", nil, "`instances` to take away, as NODE[INDEX]; alone, the number follows")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, touching nothing")
	return c
}

// scaleRequest reads "node=3", "node=+1", "node=-1" and the instances to remove.
func scaleRequest(req *orch.Request, numbers, remove []string) error {
	req.Scale, req.ScaleBy = map[string]int{}, map[string]int{}
	for _, a := range numbers {
		node, text, ok := strings.Cut(a, "=")
		n, err := strconv.Atoi(text)
		if !ok || node == "" || err != nil {
			return usage("%q is no number of instances: write NODE=3, NODE=+1 or NODE=-1", a)
		}
		into := req.Scale
		if text[0] == '+' || text[0] == '-' {
			into = req.ScaleBy
		}
		into[node] = n
	}
	for _, a := range remove {
		node, index := splitInstance(a)
		if index == "" {
			return usage("%q is no instance: write NODE[INDEX]", a)
		}
		req.Remove = append(req.Remove, topology.Instance{Node: node, Index: index})
	}
	if len(numbers)+len(remove) == 0 {
		return usage("which node? write NODE=3, NODE=+1 or NODE=-1")
	}
	return nil
}
