package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/orch"
)

// Stray is a resource of the cloud that carries a deployment's mark.
type Stray = orch.Stray

func sweepCmd(env *environment) *cobra.Command {
	var remove, force bool
	var location string
	c := &cobra.Command{
		Use:   "sweep DEPLOYMENT",
		Short: "List, or remove, what exists in the cloud with a deployment's mark",
		Long: `Asks Nova, Neutron and Cinder for everything that carries the mark of the deployment, whether orch still knows the deployment or not:
after a lost state store this finds and removes what it had made. A deployment that is up is undeployed by ` + "`orch undeploy`" + `;
--delete refuses to pull the floor away under it unless --force is given, too.`,
		Example: "  orch sweep web\n  orch sweep web --delete",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			if remove && !force {
				if err := notInUse(c.Context(), app, args[0]); err != nil {
					return err
				}
			}
			found, err := app.Sweep(c.Context(), args[0], location, remove)
			if perr := env.print(found, func() { env.strays(args[0], found, remove && err == nil) }); err == nil {
				err = perr
			}
			return err
		},
	}
	c.Flags().BoolVar(&remove, "delete", false, "remove what is found, in the order of its dependencies")
	c.Flags().BoolVar(&force, "force", false, "with --delete: also under a deployment that is not undeployed")
	c.Flags().StringVarP(&location, "location", "l", "", "location of a deployment that orch does not know any more")
	return c
}

// notInUse refuses for a deployment that orch has on record as anything but undeployed.
func notInUse(ctx context.Context, app *App, name string) error {
	all, err := app.Deployments(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.Name == name && d.Status != "undeployed" {
			return &orch.Error{Kind: orch.KindConflict, Msg: "deployment " + name + " is " + d.Status,
				Hint: "orch undeploy " + name + " removes it in order; --force sweeps all the same"}
		}
	}
	return nil
}

func (e *environment) strays(deployment string, found []Stray, removed bool) {
	if len(found) == 0 {
		e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ nothing of "+deployment+" exists, checked in nova, neutron, cinder"))
		return
	}
	rows := make([][]string, len(found))
	kept := 0
	for i, s := range found {
		if s.Kept {
			s.Status += ", kept"
			kept++
		}
		rows[i] = []string{s.Service, s.Kind, s.Name, s.ID, s.Status, s.Node}
	}
	if kept > 0 {
		defer e.out.Printf("%s not removed: the topology says that it is to stay (deletable: false)\n", view.Plural(kept, "resource"))
	}
	e.out.Table([]string{"SERVICE", "KIND", "NAME", "ID", "STATUS", "NODE"}, rows)
	if removed {
		e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ "+view.Plural(len(found)-kept, "resource")+" removed"))
		return
	}
	e.out.Printf("%s with the mark of %s; `orch sweep %s --delete` removes them\n", view.Plural(len(found), "resource"), deployment, deployment)
}
