package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

var controls = map[string]struct{ use, short, example string }{
	"resume": {"resume [DEPLOYMENT]", "Go on where a failed, cancelled or killed task stopped", "  orch resume web"},
	"retry":  {"retry DEPLOYMENT STEP", "Run a failed step again and go on from there", "  orch retry web app[0].configure"},
	"skip":   {"skip DEPLOYMENT STEP", "Take a failed step as done and go on from there", "  orch skip web app[0].configure"},
	"cancel": {"cancel [DEPLOYMENT]", "Cancel the running task in an orderly way", "  orch cancel web\n  orch cancel web --force"},
}

// lastEvent is the sequence number of the newest event, so that following a resumed task does not tell its past again.
func lastEvent(ctx context.Context, app *App, deployment string) (seq uint64, err error) {
	for e, err := range app.Events(ctx, orch.Filter{Deployment: deployment, Last: 1}) {
		if err != nil {
			return 0, err
		}
		seq = e.Seq
	}
	return seq, nil
}

func controlCmd(env *environment, verb string) *cobra.Command {
	var follow followFlags
	var force bool
	text := controls[verb]
	needsStep := verb == "retry" || verb == "skip"
	args := cobra.MaximumNArgs(1)
	if needsStep {
		args = cobra.ExactArgs(2)
	}
	c := &cobra.Command{
		Use: text.use, Short: text.short, Example: text.example, Args: args,
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			ctl := orch.Control{Deployment: name, Verb: verb}
			if needsStep {
				ctl.Step = args[1]
			}
			if force {
				ctl.Verb = "force"
			}
			seen, err := lastEvent(c.Context(), app, name)
			if err != nil {
				return err
			}
			if err := app.Control(c.Context(), ctl); err != nil {
				return err
			}
			if verb == "cancel" {
				env.out.Printf("cancelling %s; `orch status %s` shows what it waits for\n", name, name)
				return nil
			}
			d, err := app.Deployment(c.Context(), name)
			if err != nil {
				return err
			}
			follow.after = seen
			return env.follow(c.Context(), app, orch.Task{ID: d.Task, Deployment: name, Workflow: verb}, follow)
		},
	}
	if verb == "cancel" {
		c.Flags().BoolVar(&force, "force", false, "do not wait for what runs")
	} else {
		follow.register(c)
	}
	return c
}
