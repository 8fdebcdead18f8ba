package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
)

func whyCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "why [DEPLOYMENT]",
		Short: "Say why the last task failed, in full, and what to do next",
		Long: `Prints the first cause of the last task's failure (not the last symptom): the line of the document, the node, the operation,
the host, all kept lines of stderr, every step that was not run because of it, and the commands that make sense now.
While a task runs, it says what the steps wait for.`,
		Example: "  orch why\n  orch why web -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			report, err := taskOf(c.Context(), app, name, "")
			if err != nil {
				return err
			}
			return env.print(report.Task, func() { env.out.Why(report, time.Now()) })
		},
	}
}

// taskOf is a deployment with one of its tasks, the last if id is "", and that task's steps.
func taskOf(ctx context.Context, app *App, name, id string) (view.StatusReport, error) {
	d, err := app.Deployment(ctx, name)
	if err != nil {
		return view.StatusReport{}, err
	}
	report := view.StatusReport{Detail: d}
	if id == "" {
		id = d.Task
	}
	if id == "" {
		return report, nil
	}
	if report.Steps, err = app.Steps(ctx, name, id); err != nil {
		return report, err
	}
	// What waits, or runs at the same time, belongs to the whole picture.
	tasks, err := app.Tasks(ctx, name)
	if err != nil {
		return report, err
	}
	for i := range tasks {
		if tasks[i].ID == id {
			report.Task = &tasks[i]
			continue
		}
		if report.Task != nil && tasks[i].ID == report.Task.Undoes {
			report.Undone = &tasks[i]
		} else if tasks[i].Ended.IsZero() {
			report.Others = append(report.Others, tasks[i])
		}
	}
	return report, nil
}

// lastChange is the newest task that did something, "" if none did.
func lastChange(ctx context.Context, app *App, name string) (string, error) {
	tasks, err := app.Tasks(ctx, name)
	if err != nil {
		return "", err
	}
	for _, t := range tasks {
		if t.Changed || t.Ended.IsZero() {
			return t.ID, nil
		}
	}
	return "", nil
}

func reportCmd(env *environment) *cobra.Command {
	var all bool
	var task string
	c := &cobra.Command{
		Use:   "report [DEPLOYMENT]",
		Short: "Show where the time of a task went: its steps and its critical path",
		Long: `Prints how long the steps took and the critical path: the chain of steps, each needing the one before, that took
longest. Only what is on that path makes the whole faster when it gets faster. What steps have waited for, such as a free
place, SSH on a new server or another attempt, is summed up by reason.`,
		Example: "  orch report\n  orch report web --all\n  orch report web -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			if task == "" {
				if task, err = lastChange(c.Context(), app, name); err != nil {
					return err
				}
			}
			last, err := taskOf(c.Context(), app, name, task)
			if err != nil {
				return err
			}
			if last.Task == nil {
				return &orch.Error{Kind: orch.KindNotFound, Msg: "deployment " + name + " has no task yet"}
			}
			times, err := view.TimesOf(*last.Task, last.Steps, time.Now())
			if err != nil {
				return err
			}
			return env.print(times, func() { env.out.Times(times, all) })
		},
	}
	c.Flags().StringVar(&task, "task", "", "of this task (default: the last one that did something)")
	c.Flags().BoolVar(&all, "all", false, "every step, not only the longest")
	return c
}
