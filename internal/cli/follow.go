package cli

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// followFlags say how a task is watched.
type followFlags struct {
	plain bool
	// after is the sequence number of the last event that is known already.
	after uint64
	// purge: the task forgets the deployment with itself. Once it is done a server knows neither.
	purge bool
}

func (f *followFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&f.plain, "plain", false, "plain lines instead of the live tree")
}

// follow shows a task until it has ended. The first interrupt cancels it in an orderly way, the second leaves what runs detached.
func (e *environment) follow(ctx context.Context, app *App, task orch.Task, f followFlags) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	show := e.progress(task, f)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go e.interrupts(ctx, app, task, signals, e.noteOn(show))
	if app.OnOutage != nil {
		app.OnOutage(e.noteOn(show))
	}

	filter := orch.Filter{Deployment: task.Deployment, Task: task.ID, After: f.after, Follow: true, UntilTask: task.ID}
	var streamErr error
	for ev, err := range app.Events(ctx, filter) {
		if err != nil {
			streamErr = err
			break
		}
		show.Handle(ev)
	}
	ended, err := app.Wait(ctx, task.Deployment, task.ID)
	show.Close()
	if f.purge && forgotten(err) {
		task.Status, task.Changed = "done", true
		return e.print(task, func() {
			e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ "+task.Deployment+" is undeployed and forgotten"))
		})
	}
	if err == nil {
		err = streamErr
	}
	if err != nil {
		return err
	}
	if ended.Undo != "" && ended.Status == "failed" {
		return e.followUndo(ctx, app, ended, f)
	}
	return e.outcome(ctx, app, ended)
}

// forgotten reports whether what was asked for is not known any more.
func forgotten(err error) bool {
	var known *orch.Error
	return errors.As(err, &known) && known.Kind == orch.KindNotFound
}

// followUndo shows the rollback of a task that has failed; the command ends as that task has ended.
func (e *environment) followUndo(ctx context.Context, app *App, failed orch.Task, f followFlags) error {
	if !e.structured() {
		e.out.Outcome(failed)
	}
	undo := orch.Task{ID: failed.Undo, Deployment: failed.Deployment, Workflow: "rollback"}
	f.after = 0
	err := e.follow(ctx, app, undo, f)
	var exit *exitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	return taskExit(failed)
}

// interrupts turns signals into cancellation.
func (e *environment) interrupts(ctx context.Context, app *App, task orch.Task, signals <-chan os.Signal, note func(string)) {
	for _, verb := range []string{"cancel", "detach"} {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		if verb == "cancel" {
			note("cancelling: nothing new is started, waiting for what runs; press Ctrl-C again to leave it running detached")
		} else {
			note("letting go of what runs; `orch resume " + task.Deployment + "` goes on with it")
		}
		if err := app.Control(ctx, orch.Control{Deployment: task.Deployment, Task: task.ID, Verb: verb}); err != nil {
			note("cannot cancel: " + err.Error())
		}
	}
}

// noteOn tells the user something in the middle of a display: above a tree, which redraws itself, else on stderr.
func (e *environment) noteOn(show view.Progress) func(string) {
	if tree, ok := show.(*view.Tree); ok {
		return tree.Note
	}
	return func(text string) { e.err.Println(text) }
}

func (e *environment) progress(task orch.Task, f followFlags) view.Progress {
	switch {
	case e.structured():
		return silent{}
	case e.out.Terminal() && !f.plain && !e.verbose:
		return view.NewTree(e.out, task.Workflow+" "+task.Deployment, task.Steps.Total)
	default:
		return view.NewLines(e.out, e.verbose)
	}
}

type silent struct{}

func (silent) Handle(event.Event) {}
func (silent) Close()             {}

// outcome prints how the task ended and, after a deployment, its outputs.
func (e *environment) outcome(ctx context.Context, app *App, t orch.Task) error {
	if err := e.print(t, func() { e.out.Outcome(t) }); err != nil {
		return err
	}
	if err := taskExit(t); err != nil {
		return err
	}
	if t.Verb == orch.Undeploy || t.Verb == orch.Undo || e.structured() {
		return nil
	}
	if t.Verb == orch.Workflow || t.Verb == orch.Operate {
		e.out.Outputs(taskOutputs(t))
		return nil
	}
	outs, err := app.Outputs(ctx, t.Deployment, false)
	if err != nil {
		return err
	}
	e.out.Outputs(outs)
	return nil
}

// taskOutputs are what a workflow or operation has brought, in order.
func taskOutputs(t orch.Task) []orch.Output {
	var out []orch.Output
	for _, name := range slices.Sorted(maps.Keys(t.Outputs)) {
		out = append(out, orch.Output{Name: name, Value: t.Outputs[name]})
	}
	return out
}
