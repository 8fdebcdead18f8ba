package cli

import (
	"bufio"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

func healCmd(env *environment) *cobra.Command {
	var follow followFlags
	var reinstall, repair, check, dry bool
	c := &cobra.Command{
		Use:   "heal DEPLOYMENT [NODE[INDEX]...]",
		Short: "Make broken instances anew",
		Long: `Uninstalls and installs instances, with everything that is contained in them. Servers are replaced; their ports, addresses and volumes stay.
What is related to them lets go of them and takes them up again. Nodes with an operation that heals (Cloudify's) have that run instead.
Without instances: all that are in the state error, whose server is in ERROR or gone, or whose last check or health policy has failed.`,
		Example: "  orch heal web\n  orch heal web 'app[1]'\n  orch heal web --check   # ask the software first",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			req := orch.Request{Verb: orch.Workflow, Deployment: args[0], Workflow: plan.Heal, Reinstall: reinstall, Repair: repair}
			for _, a := range args[1:] {
				node, index := splitInstance(a)
				if index == "" {
					index = "0"
				}
				req.Select = append(req.Select, topology.Instance{Node: node, Index: index})
			}
			if check {
				if _, err := app.Drift(c.Context(), orch.DriftRequest{Deployment: args[0]}); err != nil {
					return err
				}
			}
			if dry {
				return env.showPlan(c.Context(), app, req)
			}
			return env.start(c.Context(), app, req, follow)
		},
	}
	follow.register(c)
	c.Flags().BoolVar(&reinstall, "reinstall", false, "make anew even what has an operation that heals")
	c.Flags().BoolVar(&repair, "repair", false, "bring infrastructure that has drifted back, too")
	c.Flags().BoolVar(&check, "check", false, "run the checks of the software first")
	c.Flags().BoolVar(&dry, "dry-run", false, "only show what would be done")
	return c
}

func driftCmd(env *environment) *cobra.Command {
	var repair, noChecks, yes bool
	var follow followFlags
	c := &cobra.Command{
		Use:   "drift [DEPLOYMENT]",
		Short: "Compare what exists with what was deployed",
		Long: `Asks the cloud for the servers, lets Terraform compare what it finds with what was deployed, and runs the operation of each instance that
tells whether it is well: Cloudify's check_drift or check_status, else one called check_drift, check_status or check in any interface.
Such an operation reports drift by failing, or by setting the output DRIFT to what is different. Exits with 5 when something has drifted.

--repair shows what would bring it back, asks, and does it: what is gone is made anew with all that is on it, the rest is changed where it
is. --yes does not ask; where nobody can be asked, nothing is done without it.`,
		Example: "  orch drift web\n  orch drift web --repair         # show what would bring it back, ask, and do it\n  orch drift web --repair --yes   # as a script does it",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, name, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			d, err := app.Drift(c.Context(), orch.DriftRequest{Deployment: name, NoChecks: noChecks})
			if err != nil {
				return err
			}
			if err := env.print(d, func() { env.drift(d) }); err != nil {
				return err
			}
			switch {
			case !d.Drifted:
				return nil
			case !repair:
				return &exitError{exitChanges}
			}
			return env.repair(c.Context(), app, name, yes, follow)
		},
	}
	follow.register(c)
	c.Flags().BoolVar(&repair, "repair", false, "show what would bring it back, ask, and do it")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "with --repair: do it without asking")
	c.Flags().BoolVar(&noChecks, "no-checks", false, "ask the cloud only, run nothing")
	return c
}

// repair brings a drifted deployment back: exactly what was shown is done.
func (e *environment) repair(ctx context.Context, app *App, name string, yes bool, follow followFlags) error {
	req := orch.Request{Verb: orch.Workflow, Deployment: name, Workflow: plan.Heal, Repair: true}
	p, list, err := app.Plan(ctx, req)
	if err != nil {
		return err
	}
	if p == nil || list.HasErrors() {
		return e.refuseAs("Nothing was done.", list)
	}
	if !e.structured() {
		e.out.Println("\nTo bring it back:")
		e.out.Plan(p)
	}
	if !yes && !e.prompts() {
		e.err.Println("nothing was done: --yes does it without asking")
		return &exitError{exitChanges}
	}
	if !yes {
		ok, err := e.confirm(ctx, "Do it?")
		if err != nil {
			return err
		}
		if !ok {
			e.err.Println("nothing was done")
			return &exitError{exitChanges}
		}
	}
	req.PlanDigest = p.Digest
	return e.start(ctx, app, req, follow)
}

// confirm asks whoever sits at the terminal; anything but yes is no.
func (e *environment) confirm(ctx context.Context, question string) (bool, error) {
	e.err.Printf("%s [y/N] ", question)
	answered := make(chan string, 1)
	go func() { // reading a terminal cannot be interrupted: the process ends with it
		line, _ := bufio.NewReader(e.stdio.In).ReadString('\n')
		answered <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answered:
		return a == "y" || a == "yes", nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

func (e *environment) drift(d *orch.Drift) {
	if !d.Drifted {
		e.out.Printf("%s is as it was deployed: %s looked at\n", d.Deployment, view.Plural(d.Checked, "instance"))
		return
	}
	e.out.Printf("%s has drifted\n", d.Deployment)
	for _, i := range d.Instances {
		by := ""
		if i.Operation != "" {
			by = " (" + i.Operation + ")"
		}
		e.out.Printf("  %s: %s%s\n", i.Instance, i.Message, by)
	}
	for _, c := range d.Infrastructure {
		of := c.Instance.String()
		if c.Shared {
			of = "shared, used by " + of
		}
		e.out.Printf("  %s: Terraform would %s it (%s)\n", c.Address, c.Action, of)
		for _, f := range c.Fields {
			if f.From == "" {
				continue // it is made, or the cloud fills it in
			}
			e.out.Printf("      %s: %s -> %s\n", f.Path, f.From, f.To)
		}
	}
}
