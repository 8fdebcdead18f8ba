package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
)

// sourceFlags are shared by plan and deploy.
type sourceFlags struct {
	inputs        inputFlags
	name          string
	location      string
	skipPreflight bool
}

func (f *sourceFlags) register(c *cobra.Command) {
	f.inputs.register(c)
	c.Flags().StringVarP(&f.name, "name", "n", "", "name of the deployment (default: the topology's name, or the folder's)")
	c.Flags().StringVarP(&f.location, "location", "l", "", "location (cloud) of the configuration to deploy to")
	c.Flags().BoolVar(&f.skipPreflight, "skip-preflight", false, "do not ask the cloud for images, flavors, networks and quota before starting")
}

// request makes a deploy request of the flags; close the bundle after use.
func (f *sourceFlags) request(ctx context.Context, e *environment, args []string) (orch.Request, *Bundle, error) {
	in, err := f.inputs.read(e)
	if err != nil {
		return orch.Request{}, nil, err
	}
	if blueprint, ok := strings.CutPrefix(args[0], blueprintScheme); ok {
		name, _ := splitVersion(blueprint)
		if f.name != "" {
			name = f.name
		}
		return orch.Request{Verb: orch.Deploy, Deployment: name, Blueprint: blueprint, Inputs: in, Location: f.location, SkipPreflight: f.skipPreflight},
			&Bundle{Name: args[0], Close: func() error { return nil }}, nil
	}
	b, err := e.deps.Source(args[0])
	if err != nil {
		return orch.Request{}, nil, err
	}
	name := f.name
	if name == "" {
		name = b.Deployment
	}
	if name == "" && args[0] == source.Stdin {
		_ = b.Close()
		return orch.Request{}, nil, &orch.Error{Kind: orch.KindUser, Msg: "which deployment? The document on standard input has no template_name", Hint: "give --name"}
	}
	whole, err := e.complete(ctx, b)
	if err != nil {
		_ = b.Close()
		return orch.Request{}, nil, err
	}
	b = whole
	return orch.Request{
		Verb: orch.Deploy, Deployment: name, Source: b.FS, Entry: b.Entry, SourceName: b.Shown,
		Inputs: in, Location: f.location, SkipPreflight: f.skipPreflight,
	}, b, nil
}

// complete is a bundle as a Service is given it.
func (e *environment) complete(ctx context.Context, b *Bundle) (*Bundle, error) {
	c, err := e.config()
	if err != nil || e.deps.Complete == nil {
		return b, err
	}
	return e.deps.Complete(ctx, c, b)
}

func planCmd(env *environment) *cobra.Command {
	var flags sourceFlags
	var undeploy, detailed bool
	var roll rolloutFlags
	var save bool
	var graph, back string
	c := &cobra.Command{
		Use:   "plan PATH",
		Short: "Show what deploy would do, touching nothing",
		Long: `Shows the operations with their causes and, for infrastructure, Terraform's own resource changes.
Values that do not exist yet are shown as "(known after create)".`,
		Example: "  orch plan app.yaml\n  orch plan app.yaml --graph | dot -Tsvg > plan.svg\n  orch plan --undeploy web\n  orch plan --rollback previous web",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			req := orch.Request{Verb: orch.Undeploy, Deployment: args[0]}
			var bundles []*Bundle
			switch {
			case back != "":
				n, err := revisionArg(back)
				if err != nil {
					return err
				}
				req = orch.Request{Verb: orch.Deploy, Deployment: args[0], Revision: n}
			case !undeploy:
				r, b, err := flags.request(c.Context(), env, args)
				if err != nil {
					return err
				}
				defer b.Close()
				req, bundles = r, []*Bundle{b}
			}
			if !undeploy {
				roll.apply(&req)
			}
			if save {
				return env.savePlan(c, app, req, bundles...)
			}
			p, list, err := app.Plan(c.Context(), req)
			if err != nil {
				return err
			}
			if p == nil || list.HasErrors() {
				return env.refuse(list, bundles...)
			}
			env.diagnostics(env.err, list, bundles...)
			if graph != "" {
				return p.DOT(env.out.W)
			}
			if err := env.print(p, func() { env.out.Plan(p) }); err != nil {
				return err
			}
			if detailed && len(p.Steps) > 0 {
				return &exitError{exitChanges}
			}
			return nil
		},
	}
	flags.register(c)
	roll.register(c)
	c.Flags().StringVar(&back, "rollback", "", "PATH is a deployment's name: show what going back to this `revision` would do (a number, or previous)")
	c.Flags().BoolVar(&undeploy, "undeploy", false, "PATH is a deployment's name: show what undeploy would do")
	c.Flags().Var(oneOf{&graph, []string{"dot"}}, "graph", "print the graph of steps in this `format`: dot")
	c.Flags().Lookup("graph").NoOptDefVal = "dot"
	c.Flags().BoolVar(&save, "save", false, "keep the plan, so that orch apply does exactly what was reviewed")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 5 when there is something to do")
	return c
}

// showPlan plans a request without source and prints the plan.
func (e *environment) showPlan(ctx context.Context, app *App, req orch.Request) error {
	p, list, err := app.Plan(ctx, req)
	if err != nil {
		return err
	}
	if p == nil || list.HasErrors() {
		return e.refuse(list)
	}
	e.diagnostics(e.err, list)
	return e.print(p, func() { e.out.Plan(p) })
}

// refuse reports findings that stop a request before anything is created.
func (e *environment) refuse(list diag.List, bundles ...*Bundle) error {
	return e.refuseAs("Nothing was created.", list, bundles...)
}

func (e *environment) refuseAs(so string, list diag.List, bundles ...*Bundle) error {
	list = list.Sorted()
	if e.structured() {
		if err := e.print(map[string]any{"diagnostics": list}, nil); err != nil {
			return err
		}
		return &exitError{exitUser}
	}
	e.diagnostics(e.err, list, bundles...)
	e.err.Println(so)
	return &exitError{exitUser}
}

// aboutStored says of what the findings are, where they are of no document that was given.
func (e *environment) aboutStored(err error) {
	var known *orch.Error
	if !errors.As(err, &known) || known.Msg == "" || e.structured() {
		return
	}
	e.err.Printf("%s %s\n", e.err.Paint(view.Bad, "Error:"), known.Msg)
	if known.Hint != "" {
		e.err.Printf("  %s\n", known.Hint)
	}
}

func listOf(err error) diag.List {
	var l *diag.ListError
	if errors.As(err, &l) {
		return l.List
	}
	return nil
}
