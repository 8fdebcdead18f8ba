package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

var controls = map[string]struct{ use, short, example string }{
	"resume": {"resume [DEPLOYMENT]", "Go on where a failed, paused, cancelled or killed task stopped", "  orch resume web"},
	"retry":  {"retry DEPLOYMENT STEP", "Run a failed step again and go on from there", "  orch retry web 'app[0].configure'\n  orch retry web 'app[0]'   # its only failed step"},
	"skip":   {"skip DEPLOYMENT STEP", "Take a failed step as done and go on from there", "  orch skip web 'app[0].configure'"},
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
	var id string
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
			ctl := orch.Control{Deployment: name, Task: id, Verb: verb}
			if needsStep {
				ctl.Step = args[1]
			}
			task, err := taskNamed(c.Context(), app, name, id)
			if err != nil {
				return err
			}
			ctl.Task = task.ID
			if follow.after, err = lastEvent(c.Context(), app, name); err != nil {
				return err
			}
			if err := app.Control(c.Context(), ctl); err != nil {
				return err
			}
			return env.follow(c.Context(), app, orch.Task{ID: task.ID, Deployment: name, Workflow: verb}, follow)
		},
	}
	c.Flags().StringVar(&id, "task", "", "this `task` (default: the latest)")
	follow.register(c)
	return c
}

func cancelCmd(env *environment) *cobra.Command {
	var id string
	var force bool
	c := &cobra.Command{
		Use:   "cancel [DEPLOYMENT]",
		Short: "Cancel a running, paused or queued task",
		Long: `Cancels in two stages. The first begins nothing more, and lists what it still waits for. The second (--force) does not wait: operations
are killed, and infrastructure that is being changed is let go of; whatever comes next finds out what became of it.`,
		Example: "  orch cancel web\n  orch cancel web --force\n  orch cancel web --task 01K3Z0J5WQ6M9X2V4R8T7Y1N0B",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			if id == "" {
				if id, err = steered(c.Context(), app, name); err != nil {
					return err
				}
			}
			verb := "cancel"
			if force {
				verb = "force"
			}
			if err := app.Control(c.Context(), orch.Control{Deployment: name, Task: id, Verb: verb}); err != nil {
				return err
			}
			return env.cancelling(c.Context(), app, name, id, force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "do not wait for what runs")
	c.Flags().StringVar(&id, "task", "", "this `task` (default: the only one that has not ended)")
	return c
}

// cancelling shows what a cancellation has led to so far.
func (e *environment) cancelling(ctx context.Context, app *App, name, id string, force bool) error {
	task, err := taskNamed(ctx, app, name, id)
	if err != nil {
		return err
	}
	steps := []orch.StepStatus{}
	if !task.Started.IsZero() {
		if steps, err = app.Steps(ctx, name, task.ID); err != nil {
			return err
		}
	}
	var doing []orch.StepStatus
	for _, s := range steps {
		if s.Status == "doing" {
			doing = append(doing, s)
		}
	}
	answer := struct {
		orch.Task
		WaitsFor []orch.StepStatus `json:"waits_for"`
	}{task, doing}
	return e.print(answer, func() {
		if !task.Ended.IsZero() {
			e.out.Printf("task %s (%s) of %s is %s\n", task.ID, task.Workflow, name, task.Status)
			return
		}
		if force {
			e.out.Printf("task %s (%s) of %s ends now, what it was doing is killed or let go of: `orch status %s` shows what is left\n", task.ID, task.Workflow, name, name)
			return
		}
		e.out.WaitsFor(task, doing, time.Now())
	})
}
