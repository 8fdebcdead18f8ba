package orch

import (
	"context"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// DriftRequest asks how a deployment differs from what was deployed.
type DriftRequest struct {
	Deployment string `json:"deployment"`
	// NoChecks leaves the operations out by which software says whether it is well: only the cloud is asked.
	NoChecks bool   `json:"no_checks,omitempty"`
	User     string `json:"user,omitempty"`
}

// Drift is what has changed behind orch's back.
type Drift struct {
	Deployment string `json:"deployment"`
	Drifted    bool   `json:"drifted"`
	// Infrastructure would be changed so to be as it was deployed.
	Infrastructure []driver.Change `json:"infrastructure,omitempty"`
	Instances      []DriftedOne    `json:"instances,omitempty"`
	// Checked counts the instances that were looked at; Task ran the checks of software, "" if there are none.
	Checked int    `json:"checked"`
	Task    string `json:"task,omitempty"`
}

// DriftedOne is an instance that is not as it was deployed.
type DriftedOne struct {
	Instance topology.Instance `json:"instance"`
	// Operation that found it; "" where the cloud said so.
	Operation string `json:"operation,omitempty"`
	Message   string `json:"message"`
}

// Drift implements Service: first the cloud, then the software.
func (l *Local) Drift(ctx context.Context, req DriftRequest) (*Drift, error) {
	v, err := l.view(ctx, req.Deployment)
	if err != nil {
		return nil, err
	}
	d := &Drift{Deployment: req.Deployment}
	if err := l.driftOfServers(ctx, v, d); err != nil {
		return nil, err
	}
	if err := l.driftOfInfrastructure(ctx, v, d); err != nil {
		return nil, err
	}
	if !req.NoChecks {
		if err := l.driftOfSoftware(ctx, v, req, d); err != nil {
			return nil, err
		}
	}
	d.Drifted = len(d.Infrastructure)+len(d.Instances) > 0
	return d, nil
}

func (l *Local) driftOfServers(ctx context.Context, v *view, d *Drift) error {
	servers, err := l.servers(ctx, v)
	if err != nil {
		return err
	}
	for in, s := range servers {
		d.Checked++
		powered := v.snapshot.Instances[in].State != "stopped"
		switch {
		case s.gone:
			d.Instances = append(d.Instances, DriftedOne{in, "", "its server does not exist any more"})
		case s.status != "ACTIVE" && s.status != "" && powered:
			d.Instances = append(d.Instances, DriftedOne{in, "", "its server is " + s.status})
		}
	}
	slices.SortFunc(d.Instances, func(a, b DriftedOne) int { return byInstance(a.Instance, b.Instance) })
	return nil
}

// driftOfInfrastructure asks the infrastructure's driver what it would change.
func (l *Local) driftOfInfrastructure(ctx context.Context, v *view, d *Drift) error {
	drifter, ok := l.opts.Infra.(driver.Drifter)
	if !ok {
		return nil
	}
	var reqs []*driver.Request
	for in, rec := range v.snapshot.Instances {
		n := v.topology.NodeNamed(in.Node)
		if n == nil || !n.Native || !rec.Made {
			continue
		}
		reqs = append(reqs, &driver.Request{Deployment: d.Deployment, Location: v.record.Location, Action: driver.Update, Topology: v.topology, Node: n,
			Instance: in.Index, Env: v.world})
	}
	if len(reqs) == 0 {
		return nil
	}
	slices.SortFunc(reqs, func(a, b *driver.Request) int { return byInstance(a.ID(), b.ID()) })
	changes, err := drifter.Drift(withLocation(ctx, v.record.Location), reqs)
	if err != nil {
		return driverError("cannot look at the infrastructure", err)
	}
	d.Infrastructure = changes
	d.Checked = max(d.Checked, len(reqs))
	return nil
}

// driftOfSoftware runs the checks that nodes have, and reads what has come of them.
func (l *Local) driftOfSoftware(ctx context.Context, v *view, req DriftRequest, d *Drift) error {
	if !slices.ContainsFunc(v.topology.Nodes, func(n *topology.Node) bool {
		return plan.CheckOperation(n) != nil && len(v.world.Instances(n.Name)) > 0
	}) {
		return nil
	}
	t, err := l.Apply(ctx, Request{Verb: Workflow, Deployment: req.Deployment, Workflow: plan.Check, User: req.User})
	if err != nil {
		return err
	}
	d.Task = t.ID
	if t, err = l.Wait(ctx, req.Deployment, t.ID); err != nil {
		return err
	}
	steps, err := l.Steps(ctx, req.Deployment, t.ID)
	if err != nil {
		return err
	}
	snap, err := engine.Load(ctx, l.store, req.Deployment)
	if err != nil {
		return storeError(err)
	}
	world := l.engine.NewWorld(snap, v.inputs)
	for _, s := range steps {
		if !s.Acts() {
			continue
		}
		d.Checked++
		if why := drifted(s, world.Outputs(s.Of(), s.Relationship, s.Interface, s.Operation)); why != "" {
			d.Instances = append(d.Instances, DriftedOne{s.Of(), s.Interface + "." + s.Operation, l.opts.Redactor.String(why)})
		}
	}
	return nil
}

// drifted is what a check has found: it failed, or set the output DRIFT to what is different.
func drifted(s StepStatus, outputs map[string]any) string {
	switch engine.Status(s.Status) {
	case engine.Failed:
		return s.Error
	case engine.Done:
	default:
		return "it was not checked"
	}
	text, _ := topology.Text(outputs["DRIFT"])
	switch strings.ToLower(text) {
	case "", "false", "no", "0", "none", "null":
		return ""
	}
	return text
}
