package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
)

func sweepCmd(env *environment) *cobra.Command {
	var req orch.SweepRequest
	c := &cobra.Command{
		Use:   "sweep DEPLOYMENT [ID...]",
		Short: "Compare what a deployment has in the cloud with what is on record; adopt or delete",
		Long: `Asks Nova, Neutron and Cinder for everything that carries the mark of the deployment, and says of each resource whether it is in
Terraform's stored state and in the cloud, in the cloud only (an orphan), or in the state only (gone). The deployment need not be on
record: after a lost state store everything that it had made is an orphan.

--adopt takes orphans over into the stored state, without touching them: each is found to be a resource of the topology by its mark and
name, parts such as the rules of a security group by what they connect. What cannot be told is listed with the reason. The next
deployment goes on with what was adopted; undeploying removes it. Of a deployment whose record is lost, deploy the document again with
the same name and --adopt.

--delete removes what carries the mark, in the order of its dependencies. A deployment that is up is undeployed by ` + "`orch undeploy`" + `: there
--delete wants the ids of orphans, or --force.`,
		Example: "  orch sweep web\n  orch sweep web --adopt\n  orch sweep web --delete 5f2c3a1e-7d0b-4a52-9f37-3f6d1f0f8c11\n  orch sweep web --delete",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			app, err := env.open(c.Context())
			if err != nil {
				return err
			}
			req.Deployment, req.IDs = args[0], args[1:]
			if len(req.IDs) > 0 && !req.Adopt && !req.Delete {
				return &orch.Error{Kind: orch.KindUser, Msg: "what is to be done with these resources?", Hint: "give --adopt or --delete"}
			}
			found, err := app.Sweep(c.Context(), req)
			if err != nil && len(found) == 0 { // that nothing was found is no finding then
				return err
			}
			if perr := env.print(found, func() { env.swept(req, found) }); err == nil {
				err = perr
			}
			return err
		},
	}
	c.Flags().BoolVar(&req.Adopt, "adopt", false, "take orphans over into the stored state; with IDs only these")
	c.Flags().BoolVar(&req.Delete, "delete", false, "remove what is found; with IDs only these")
	c.Flags().BoolVar(&req.Force, "force", false, "with --delete: also under a deployment that is not undeployed")
	c.Flags().StringVarP(&req.Location, "location", "l", "", "location of a deployment that orch does not know any more")
	c.MarkFlagsMutuallyExclusive("adopt", "delete")
	return c
}

// known says where a resource is known.
var known = map[string]string{driver.InBoth: "state and cloud", driver.InCloud: "cloud only", driver.InState: "state only", driver.Unchecked: "state, not checked"}

func (e *environment) swept(req orch.SweepRequest, found []orch.Resource) {
	if len(found) == 0 {
		e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ nothing of "+req.Deployment+" exists, checked in nova, neutron, cinder"))
		return
	}
	rows := make([][]string, len(found))
	count := map[string]int{}
	for i, s := range found {
		if s.Kept {
			s.Status = strings.TrimPrefix(s.Status+", kept", ", ")
			count["kept"]++
		}
		where := known[s.Record]
		switch {
		case s.Deleted:
			where = "deleted"
			count["deleted"]++
		case s.Adopted:
			where = "adopted"
			count["adopted"]++
		default:
			count[s.Record]++
			if s.Record == driver.InCloud && s.Address != "" {
				count["adoptable"]++
			}
		}
		whose := s.Node
		if s.Instance != "" {
			whose = fmt.Sprintf("%s[%s]", s.Node, s.Instance)
		}
		rows[i] = []string{s.Service, s.Kind, s.Name, s.ID, s.Status, whose, where}
	}
	e.out.Table([]string{"SERVICE", "KIND", "NAME", "ID", "STATUS", "INSTANCE", "KNOWN"}, rows)
	e.reasons(found)
	if count["kept"] > 0 && req.Delete {
		e.out.Printf("%s not removed: the topology says that it is to stay (deletable: false)\n", view.Plural(count["kept"], "resource"))
	}
	for _, done := range []string{"adopted", "deleted"} {
		if n := count[done]; n > 0 {
			e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ "+view.Plural(n, "resource")+" "+done))
		}
	}
	e.sweepNext(req, count)
}

// reasons of what needs explaining, once each.
func (e *environment) reasons(found []orch.Resource) {
	said := map[string]bool{}
	for _, s := range found {
		what := s.Kind + " " + s.ID
		if s.Name != "" {
			what = s.Kind + " " + s.Name
		}
		if s.Reason != "" && !said[what+s.Reason] && !s.Deleted {
			said[what+s.Reason] = true
			e.out.Printf("  %s: %s\n", what, s.Reason)
		}
		for _, c := range s.Changes {
			var fields []string
			for _, f := range c.Fields {
				fields = append(fields, f.Path)
			}
			why := ""
			if len(fields) > 0 {
				why = " (" + strings.Join(fields, ", ") + ")"
			}
			e.out.Printf("  %s: the next deployment will %s it%s\n", what, c.Action, why)
		}
	}
}

// sweepNext says what can be done about it.
func (e *environment) sweepNext(req orch.SweepRequest, count map[string]int) {
	if req.Delete {
		return
	}
	if req.Adopt {
		if count["adopted"] > 0 {
			e.out.Printf("`orch deploy` goes on with them, `orch undeploy %s` removes them\n", req.Deployment)
		} else {
			e.out.Println("nothing to adopt")
		}
		return
	}
	e.out.Printf("%s with the mark of %s: %d in state and cloud, %d in the cloud only, %d in the state only\n",
		view.Plural(count[driver.InBoth]+count[driver.InCloud]+count[driver.InState]+count[driver.Unchecked], "resource"), req.Deployment, count[driver.InBoth], count[driver.InCloud], count[driver.InState])
	if count["adoptable"] > 0 {
		e.out.Printf("`orch sweep %s --adopt` takes over %s\n", req.Deployment, view.Plural(count["adoptable"], "orphan"))
	}
	if count[driver.InCloud] > 0 && count[driver.InBoth]+count[driver.InState]+count["adoptable"]+count["kept"] == 0 {
		// The record itself is lost, or there never was one: only the document says what these are.
		e.out.Printf("`orch deploy DOCUMENT --name %s --adopt` takes them over, where the document is the one that made them\n", req.Deployment)
	}
	if count[driver.InCloud] > count["kept"] {
		e.out.Printf("`orch sweep %s --delete` removes them\n", req.Deployment)
	}
}
