package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
)

func (e *environment) withPlans(c *cobra.Command, do func(app *App, p orch.Plans) error) error {
	app, err := e.open(c.Context())
	if err != nil {
		return err
	}
	return do(app, app.Plans())
}

// savePlan keeps a plan for `orch apply`.
func (e *environment) savePlan(c *cobra.Command, app *App, req orch.Request, bundles ...*Bundle) error {
	p, err := app.Plans().Save(c.Context(), req)
	if list := listOf(err); list != nil {
		return e.refuse(list, bundles...)
	}
	if err != nil {
		return err
	}
	e.diagnostics(e.err, p.Diagnostics, bundles...)
	return e.print(p, func() {
		e.out.Plan(p.Plan)
		e.out.Printf("kept as %s until %s; `orch apply %s` does exactly this\n", p.ID, p.Expires.Local().Format(time.DateTime), p.ID)
	})
}

func applyCmd(env *environment) *cobra.Command {
	var follow followFlags
	c := &cobra.Command{
		Use:   "apply PLAN",
		Short: "Do what a kept plan says, exactly as it was reviewed",
		Long: `Applies a plan of ` + "`orch plan --save`" + `, with the documents and inputs that it was made of, by whomever. It is refused if planning now
gives anything else than what was reviewed, or if the plan was applied before.`,
		Example: "  orch plan ./shop --save\n  orch apply 01KB6YQ4Z0",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withPlans(c, func(app *App, p orch.Plans) error {
				t, err := p.Apply(c.Context(), args[0])
				if list := listOf(err); list != nil {
					return env.refuse(list)
				}
				if err != nil {
					return err
				}
				return env.follow(c.Context(), app, t, follow)
			})
		},
	}
	follow.register(c)
	return c
}

func plansCmd(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "plans", Short: "Look at the plans that were kept to be applied", Example: "  orch plans list\n  orch plans show 01KB6YQ4Z0",
	}
	var deployment string
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the kept plans, newest first", Example: "  orch plans list --deployment web", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return env.withPlans(c, func(_ *App, p orch.Plans) error {
				all, err := p.List(c.Context(), deployment)
				if err != nil {
					return err
				}
				return env.print(all, func() {
					var rows [][]string
					for _, x := range all {
						applied := ""
						if x.Task != "" {
							applied = "by task " + x.Task
						}
						rows = append(rows, []string{x.ID, x.Deployment, string(x.Verb), x.User, view.Age(x.Created, time.Now()), applied})
					}
					env.out.Table([]string{"ID", "DEPLOYMENT", "VERB", "BY", "MADE", "APPLIED"}, rows)
				})
			})
		},
	}
	list.Flags().StringVar(&deployment, "deployment", "", "only of this `name`")
	show := &cobra.Command{
		Use: "show PLAN", Short: "Show a kept plan", Example: "  orch plans show 01KB6YQ4Z0", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withPlans(c, func(_ *App, p orch.Plans) error {
				x, err := p.Get(c.Context(), args[0])
				if err != nil {
					return err
				}
				return env.print(x, func() { env.out.Plan(x.Plan) })
			})
		},
	}
	rm := &cobra.Command{
		Use: "rm PLAN...", Short: "Forget kept plans", Example: "  orch plans rm 01KB6YQ4Z0", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return env.withPlans(c, func(_ *App, p orch.Plans) error {
				for _, id := range args {
					if err := p.Remove(c.Context(), id); err != nil {
						return err
					}
					env.out.Printf("plan %s forgotten\n", id)
				}
				return nil
			})
		},
	}
	c.AddCommand(list, show, rm)
	return c
}
