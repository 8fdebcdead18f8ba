package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

func listCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the deployments",
		Example: "  orch list\n  orch list -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			all, err := app.Deployments(c.Context())
			if err != nil {
				return err
			}
			return env.print(all, func() {
				if len(all) == 0 {
					env.out.Println("No deployments. `orch deploy FILE` makes one.")
					return
				}
				var rows [][]string
				for _, d := range all {
					rows = append(rows, []string{d.Name, env.out.Status(d.Status), view.Plural(d.Instances, "instance"), d.Topology, d.Location, view.Age(d.Updated, time.Now()), d.Owner})
				}
				env.out.Table([]string{"NAME", "STATUS", "SIZE", "TOPOLOGY", "LOCATION", "CHANGED", "HELD BY"}, rows)
			})
		},
	}
}

func statusCmd(env *environment) *cobra.Command {
	var steps bool
	c := &cobra.Command{
		Use:     "status [DEPLOYMENT]",
		Short:   "Show a deployment: its instances, what runs and what it waits for",
		Example: "  orch status\n  orch status web --steps\n  orch status web -o json",
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
			return env.print(report, func() { env.out.StatusOf(report, steps, time.Now()) })
		},
	}
	c.Flags().BoolVar(&steps, "steps", false, "every step of the last task")
	return c
}

func outputsCmd(env *environment) *cobra.Command {
	var reveal bool
	var name string
	c := &cobra.Command{
		Use:     "outputs [DEPLOYMENT]",
		Short:   "Print a deployment's outputs",
		Example: "  orch outputs web\n  curl \"$(orch outputs web --only url)\"",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, deployment, err := env.openWithDeployment(c.Context(), args)
			if err != nil {
				return err
			}
			outs, err := app.Outputs(c.Context(), deployment, reveal)
			if err != nil {
				return err
			}
			if name == "" {
				return env.print(outs, func() { env.out.Outputs(outs) })
			}
			for _, o := range outs {
				if o.Name == name {
					return env.print(o.Value, func() { env.out.Println(view.Text(o.Value)) })
				}
			}
			names := make([]string, len(outs))
			for i, o := range outs {
				names[i] = o.Name
			}
			e := &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("deployment %s has no output %q", deployment, name), Hint: "it has " + strings.Join(names, ", ")}
			if near := diag.Suggest(name, names); near != "" {
				e.Hint = near
			} else if len(names) == 0 {
				e.Hint = "its topology declares none"
			}
			return e
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show secret values")
	c.Flags().StringVar(&name, "only", "", "print just the value of this output")
	return c
}
