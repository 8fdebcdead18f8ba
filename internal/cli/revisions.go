package cli

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

func revisionsCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "revisions [DEPLOYMENT]",
		Short: "List what a deployment was brought to: who, when, what changed, how it ended",
		Long: `Every deploy that changes documents, files, inputs or the location makes a revision, whether it is reached or not. ` + "`orch rollback`" + ` goes
back to one. The configuration says how many are kept (revisions).`,
		Example: "  orch revisions web\n  orch revisions web -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			all, err := app.Revisions(c.Context(), name)
			if err != nil {
				return err
			}
			return env.print(all, func() { env.out.Revisions(all, time.Now()) })
		},
	}
}

// revisionArg is a number, or "previous".
func revisionArg(text string) (int, error) {
	if text == "" || text == "previous" {
		return orch.Previous, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, usage("%q is no revision: give its number, or previous", text)
	}
	return n, nil
}

func rollbackCmd(env *environment) *cobra.Command {
	var follow followFlags
	var roll rolloutFlags
	var dryRun bool
	c := &cobra.Command{
		Use:   "rollback DEPLOYMENT [REVISION]",
		Short: "Go back to an older revision of a deployment",
		Long: `Updates the deployment to the topology and inputs of an older revision, by default the last one that was reached before the present one.
What differs is changed back, what is the same is not touched; the numbers of instances stay. --dry-run shows the plan.
Where a task is paused after a failure, and no revision is named, what that task has done is undone.`,
		Example: "  orch rollback web\n  orch rollback web 3 --dry-run",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			text := ""
			if len(args) > 1 {
				text = args[1]
			}
			n, err := revisionArg(text)
			if err != nil {
				return err
			}
			req := orch.Request{Verb: orch.Deploy, Deployment: args[0], Revision: n}
			roll.apply(&req)
			if dryRun {
				return env.showPlan(c.Context(), app, req)
			}
			last, err := taskNamed(c.Context(), app, args[0], "")
			if err == nil && last.Status == "paused" && len(args) == 1 {
				if err := app.Control(c.Context(), orch.Control{Deployment: args[0], Task: last.ID, Verb: "rollback"}); err != nil {
					return err
				}
				return env.follow(c.Context(), app, last, follow)
			}
			return env.start(c.Context(), app, req, follow)
		},
	}
	follow.register(c)
	roll.register(c)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, touching nothing")
	return c
}
