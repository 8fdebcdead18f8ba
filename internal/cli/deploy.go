package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/pkg/orch"
)

func deployCmd(env *environment) *cobra.Command {
	var flags sourceFlags
	var follow followFlags
	var roll rolloutFlags
	var parallel int
	var digest, onFailure string
	var adopt bool
	c := &cobra.Command{
		Use:   "deploy PATH",
		Short: "Bring a topology into being, or the running one up to date",
		Long: `Validates the topology, checks the cloud for everything it needs, then provisions and configures it.
Deploying again goes on where a failure or a kill stopped it; deploying an unchanged topology changes nothing.
When a step fails, independent ones go on and everything stays as it is for ` + "`orch resume`" + ` (--on-failure keep); or what was done is undone
(rollback); or nothing more is begun until you resume, retry, skip, roll back or cancel (pause). The choice is kept for later updates.
Ctrl-C cancels in an orderly way (nothing new is started, what runs is waited for); a second Ctrl-C leaves it running detached.`,
		Example: "  orch deploy app.yaml\n  orch deploy app.csar --name shop -i port=8080 --inputs prod.yaml\n  generate | orch deploy - --name shop",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			req, b, err := flags.request(c.Context(), env, args)
			if err != nil {
				return err
			}
			defer b.Close()
			req.Parallel, req.PlanDigest, req.OnFailure, req.Adopt = parallel, digest, onFailure, adopt
			roll.apply(&req)
			task, err := app.Apply(c.Context(), req)
			if list := listOf(err); list != nil {
				return env.refuse(list, b)
			}
			if err != nil {
				return err
			}
			return env.follow(c.Context(), app, task, follow)
		},
	}
	flags.register(c)
	follow.register(c)
	roll.register(c)
	c.Flags().IntVar(&parallel, "parallel", 0, "how many steps may run at once (0: the default)")
	onFailureFlag(c, &onFailure)
	c.Flags().BoolVar(&adopt, "adopt", false, "first take over what the cloud has of the deployment and nobody has on record (after a lost store)")
	c.Flags().StringVar(&digest, "plan-digest", "", "refuse when planning gives another `digest` than the reviewed one")
	return c
}

func onFailureFlag(c *cobra.Command, policy *string) {
	c.Flags().Var(oneOf{policy, []string{orch.Keep, orch.RollBack, orch.PauseAndAsk}}, "on-failure",
		"what a failure leads to, a `policy`: keep, rollback or pause (default: as before, at first keep)")
}

// lostRecord says how to remove what orch has no record of.
func lostRecord(name string, err error) error {
	var known *orch.Error
	if !errors.As(err, &known) || known.Kind != orch.KindNotFound {
		return err
	}
	with := *known
	with.Hint = "orch list shows all deployments; if its record is lost, `orch sweep " + name + "` finds what it has in the cloud, --delete removes it, and `orch deploy --adopt` takes it over"
	return &with
}

func undeployCmd(env *environment) *cobra.Command {
	var follow followFlags
	var force, purge, all bool
	c := &cobra.Command{
		Use:   "undeploy [DEPLOYMENT]",
		Short: "Remove a deployment and prove that nothing of it is left",
		Long: `Stops and removes everything in reverse order, whatever state the deployment is in: running, half-made or failed.
Ends with the proof that no resource of it is left in the cloud, or the list of what is. Without a name: the only deployment there is.`,
		Example: "  orch undeploy web\n  orch undeploy web --force   # go on although stop and delete scripts fail",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			names := args
			if all {
				list, err := app.Deployments(c.Context())
				if err != nil {
					return err
				}
				names = nil
				for _, d := range list {
					if d.Status != "undeployed" {
						names = append(names, d.Name)
					}
				}
			} else if names, err = one(env.deployment(c.Context(), app, args)); err != nil {
				return err
			}
			for _, name := range names {
				task, err := app.Apply(c.Context(), orch.Request{Verb: orch.Undeploy, Deployment: name, Force: force, Purge: purge})
				if err != nil {
					return lostRecord(name, err)
				}
				follow.purge = purge
				if err := env.follow(c.Context(), app, task, follow); err != nil {
					return err
				}
			}
			return nil
		},
	}
	follow.register(c)
	c.Flags().BoolVar(&force, "force", false, "scripts that fail do not stop it; resources of the cloud are always removed")
	c.Flags().BoolVar(&purge, "purge", false, "forget the deployment's history, too")
	c.Flags().BoolVar(&all, "all", false, "every deployment")
	return c
}

func one(name string, err error) ([]string, error) { return []string{name}, err }
