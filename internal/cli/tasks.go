package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

func tasksCmd(env *environment) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "tasks [DEPLOYMENT]",
		Short: "List the tasks of a deployment: what runs, what waits for what, what was",
		Long: `Tasks that work on different nodes run at the same time. One that works on the same nodes as a task before it is queued, begins by itself
when it can, and can be cancelled meanwhile.`,
		Example: "  orch tasks\n  orch tasks web --all\n  orch tasks web -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			tasks, err := app.Tasks(c.Context(), name)
			if err != nil {
				return err
			}
			if !all && len(tasks) > tasksShown && !env.structured() {
				tasks = tasks[:tasksShown]
			}
			return env.print(tasks, func() { env.out.Tasks(tasks, time.Now()) })
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all of them, not only the newest 20")
	return c
}

const tasksShown = 20

// steered is the task that a command without --task is about: the only one that has not ended, or else the latest.
func steered(ctx context.Context, app *App, name string) (string, error) {
	tasks, err := app.Tasks(ctx, name)
	if err != nil {
		return "", err
	}
	var open []string
	for _, t := range tasks {
		if t.Ended.IsZero() {
			open = append(open, t.ID+" ("+t.Workflow+", "+t.Status+")")
		}
	}
	if len(open) < 2 {
		for _, t := range tasks {
			if t.Ended.IsZero() {
				return t.ID, nil
			}
		}
		return "", nil
	}
	return "", &orch.Error{Kind: orch.KindUser, Msg: "which task of " + name + "? " + strings.Join(open, ", "), Hint: "name it with --task"}
}

// taskNamed returns one of the deployment's tasks, the latest for "".
func taskNamed(ctx context.Context, app *App, name, id string) (orch.Task, error) {
	if id == "" {
		d, err := app.Deployment(ctx, name)
		if err != nil {
			return orch.Task{}, err
		}
		id = d.Task
	}
	tasks, err := app.Tasks(ctx, name)
	if err != nil {
		return orch.Task{}, err
	}
	for _, t := range tasks {
		if t.ID == id {
			return t, nil
		}
	}
	return orch.Task{}, &orch.Error{Kind: orch.KindNotFound, Msg: "deployment " + name + " has no task " + id, Hint: "orch tasks " + name + " lists them"}
}
