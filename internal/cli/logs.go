package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// eventFlags select events.
type eventFlags struct {
	node, task string
	follow     bool
	last       int
	after      uint64
}

func (f *eventFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.node, "node", "", "only of this `NODE` or NODE[i]")
	c.Flags().StringVar(&f.task, "task", "", "only of this task")
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what happens from now")
	c.Flags().IntVar(&f.last, "last", 0, "only the newest `n`")
	c.Flags().Uint64Var(&f.after, "after", 0, "only after this sequence `number`")
}

func (f *eventFlags) filter(deployment string, types ...event.Type) orch.Filter {
	node, index := splitInstance(f.node)
	return orch.Filter{Deployment: deployment, Task: f.task, Node: node, Instance: index, Types: types, After: f.after, Last: f.last, Follow: f.follow}
}

func logsCmd(env *environment) *cobra.Command {
	var flags eventFlags
	c := &cobra.Command{
		Use:     "logs [DEPLOYMENT]",
		Short:   "Print what the operations of a deployment printed",
		Example: "  orch logs web --node db\n  orch logs -f",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.stream(c, args, flags, event.Log)
		},
	}
	flags.register(c)
	return c
}

func eventsCmd(env *environment) *cobra.Command {
	var flags eventFlags
	c := &cobra.Command{
		Use:     "events [DEPLOYMENT]",
		Short:   "Print what happened: states, steps, resources, waits",
		Example: "  orch events web\n  orch events -f -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.stream(c, args, flags, event.DeploymentStatus, event.TaskStatus, event.StepStatus, event.InstanceState,
				event.Attribute, event.Resource, event.Waiting, event.Health)
		},
	}
	flags.register(c)
	return c
}

// stream prints events as they come: text lines, or one JSON object a line (YAML: a document each).
func (e *environment) stream(c *cobra.Command, args []string, f eventFlags, types ...event.Type) error {
	app, name, err := e.openWithDeployment(c.Context(), args)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(e.out.W)
	for ev, err := range app.Events(c.Context(), f.filter(name, types...)) {
		if err != nil {
			if c.Context().Err() != nil {
				return nil // Ctrl-C ends following; that is no failure
			}
			return err
		}
		switch e.format {
		case "json":
			err = lines.Encode(ev)
		case "yaml":
			e.out.Println("---")
			err = e.deps.WriteYAML(e.out.W, ev)
		default:
			e.out.Log(ev)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
