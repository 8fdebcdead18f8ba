package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// instanceFlags choose the instances that something is limited to.
type instanceFlags struct{ node, instances []string }

func (f *instanceFlags) register(c *cobra.Command, what string) {
	c.Flags().StringArrayVar(&f.node, "node", nil, what+" only the instances of this `node`; repeatable")
	c.Flags().StringArrayVar(&f.instances, "instance", nil, what+" only this `instance`: an index of --node, or node[index]; repeatable")
}

// apply writes the choice into a request.
func (f *instanceFlags) apply(ctx context.Context, app *App, req *orch.Request) error {
	var bare []string
	for _, s := range f.instances {
		node, index := splitInstance(s)
		switch {
		case index != "":
			req.Select = append(req.Select, topology.Instance{Node: node, Index: index})
		default:
			bare = append(bare, node)
		}
	}
	switch {
	case len(bare) > 0 && len(f.node) != 1:
		return usage("--instance %s: of which node? Give --node once, or write node[%s]", bare[0], bare[0])
	case len(bare) > 0:
		req.Node, req.Instances = f.node[0], bare
	case len(f.node) == 1 && len(req.Select) == 0:
		req.Node = f.node[0]
	case len(f.node) > 0:
		return f.wholeNodes(ctx, app, req)
	}
	return nil
}

// wholeNodes chooses all instances of several nodes.
func (f *instanceFlags) wholeNodes(ctx context.Context, app *App, req *orch.Request) error {
	d, err := app.Deployment(ctx, req.Deployment)
	if err != nil {
		return err
	}
	for _, name := range f.node {
		k := slices.IndexFunc(d.Nodes, func(n orch.NodeStatus) bool { return n.Name == name })
		if k < 0 {
			return &orch.Error{Kind: orch.KindNotFound, Msg: "deployment " + req.Deployment + " has no node " + quote(name)}
		}
		if slices.ContainsFunc(req.Select, func(in topology.Instance) bool { return in.Node == name }) {
			continue
		}
		for _, i := range d.Nodes[k].Instances {
			req.Select = append(req.Select, topology.Instance{Node: name, Index: i.Index})
		}
	}
	return nil
}

// start applies a request and follows its task.
func (e *environment) start(ctx context.Context, app *App, req orch.Request, follow followFlags) error {
	task, err := app.Apply(ctx, req)
	if list := listOf(err); list != nil {
		e.aboutStored(err)
		return e.refuseAs("Nothing was done.", list)
	}
	if err != nil {
		return err
	}
	return e.follow(ctx, app, task, follow)
}

func runCmd(env *environment) *cobra.Command {
	var follow followFlags
	var in inputFlags
	var only instanceFlags
	var force bool
	c := &cobra.Command{
		Use:   "run DEPLOYMENT WORKFLOW | run DEPLOYMENT NODE INTERFACE.OPERATION",
		Short: "Run a workflow of the topology, or one operation of a node",
		Long: `Runs a workflow that the topology declares, or a built-in one; orch workflows lists them with their inputs.
Chosen instances limit a built-in workflow to themselves. Of a declared workflow they limit the nodes that they belong to: steps on
other nodes run as ever.`,
		Example: "  orch run web restart --node app --instance 1\n  orch run web backup -i target=/var/backups\n  orch run web db maintenance.backup",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			values, err := in.read(env)
			if err != nil {
				return err
			}
			if len(args) == 3 {
				return env.start(c.Context(), app, operation(args, values), follow)
			}
			req := orch.Request{Verb: orch.Workflow, Deployment: args[0], Workflow: args[1], Inputs: values, Force: force}
			if err := only.apply(c.Context(), app, &req); err != nil {
				return err
			}
			return env.start(c.Context(), app, req, follow)
		},
	}
	in.register(c)
	only.register(c, "act on")
	follow.register(c)
	c.Flags().BoolVar(&force, "force", false, "operations that fail do not stop it")
	return c
}

func operateCmd(env *environment) *cobra.Command {
	var follow followFlags
	var in inputFlags
	c := &cobra.Command{
		Use:   "operate DEPLOYMENT NODE[.INSTANCE] INTERFACE.OPERATION",
		Short: "Run one operation of a node, on all of its instances or on one",
		Long: `Runs an operation that the node has, with its inputs; those given win over the topology's. A bare operation belongs to the standard
lifecycle. What the operation sets as outputs is printed at the end.`,
		Example: "  orch operate web db maintenance.backup -i target=/var/backups\n  orch operate web app.1 Standard.stop\n  orch operate web 'app[1]' stop",
		Args:    cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			values, err := in.read(env)
			if err != nil {
				return err
			}
			return env.start(c.Context(), app, operation(args, values), follow)
		},
	}
	in.register(c)
	follow.register(c)
	return c
}

func operation(args []string, values map[string]any) orch.Request {
	node, index := splitInstance(args[1])
	if i := strings.LastIndexByte(node, '.'); index == "" && i > 0 && i < len(node)-1 && strings.Trim(node[i+1:], "0123456789") == "" {
		node, index = node[:i], node[i+1:]
	}
	iface, op := splitOperation(args[2])
	req := orch.Request{Verb: orch.Operate, Deployment: args[0], Node: node, Interface: iface, Operation: op, Inputs: values}
	if index != "" {
		req.Instances = []string{index}
	}
	return req
}

func workflowsCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "workflows [DEPLOYMENT]",
		Short:   "List the workflows that can be run, with their inputs",
		Example: "  orch workflows web\n  orch workflows web -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			all, err := app.Workflows(c.Context(), name)
			if err != nil {
				return err
			}
			return env.print(all, func() {
				var rows [][]string
				for _, w := range all {
					rows = append(rows, []string{w.Name, kindOf(w), inputsOf(w), w.Description})
				}
				env.out.Table([]string{"WORKFLOW", "KIND", "INPUTS", ""}, rows)
			})
		},
	}
}

func kindOf(w orch.WorkflowInfo) string {
	switch {
	case w.Code != "":
		return "code, not run"
	case w.BuiltIn:
		return "built in"
	case w.Steps > 0:
		return view.Plural(w.Steps, "step")
	}
	return "declared"
}

// inputsOf writes "name (required), other=default".
func inputsOf(w orch.WorkflowInfo) string {
	var out []string
	for _, i := range w.Inputs {
		text := i.Name
		switch {
		case i.Required:
			text += " (required)"
		case i.Default != nil:
			v, _ := topology.Text(i.Default)
			text += "=" + v
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}
