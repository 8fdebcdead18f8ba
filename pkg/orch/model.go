package orch

import (
	"context"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// Modeller shows deployments with everything that is resolved of them, to endpoints in the process of the Service.
type Modeller interface {
	// Model of a deployment; ErrNotFound.
	Model(ctx context.Context, deployment string) (*Model, error)
	// TaskOf returns the task of an id whatever its deployment is; ErrNotFound.
	TaskOf(ctx context.Context, id string) (Task, error)
	// Resolve loads a bundle as a deployment's would be, with every mistake in it.
	Resolve(ctx context.Context, b Bundle) (*topology.Topology, diag.List)
}

var _ Modeller = (*Local)(nil)

// Model is a deployment as it is recorded, with its resolved topology.
type Model struct {
	*Detail
	Resolved *topology.Topology
	// Wanted are the indices of the instances that each node is to have, whether they exist or not.
	Wanted map[string][]string
	// Env answers the topology's expressions. What it says of secrets is not masked.
	Env topology.Env
	// Failure of the last task, if it has failed.
	Failure *Failure
}

// Model implements Modeller.
func (l *Local) Model(ctx context.Context, deployment string) (*Model, error) {
	v, err := l.view(ctx, deployment)
	if err != nil {
		return nil, err
	}
	owners, err := l.owners(ctx)
	if err != nil {
		return nil, err
	}
	wanted := plan.Wanted(plan.Input{Deployment: deployment, Topology: v.topology, Inputs: v.inputs, Recorded: v.snapshot.Recorded(), Scale: v.record.Scale})
	m := &Model{Detail: l.detail(v, owners[deployment]), Resolved: v.topology, Wanted: wanted, Env: v.world}
	if t, err := engine.LoadTask(ctx, l.store, deployment, v.record.Task); err == nil {
		m.Failure = t.Failure
	}
	return m, nil
}

// Resolve implements Modeller.
func (l *Local) Resolve(ctx context.Context, b Bundle) (*topology.Topology, diag.List) {
	return l.load(withLocation(ctx, b.Location), b, nil)
}

// TaskOf implements Modeller: the id says nothing of the deployment, so it looks into each.
func (l *Local) TaskOf(ctx context.Context, id string) (Task, error) {
	names, err := l.names(ctx)
	if err != nil {
		return Task{}, err
	}
	for _, name := range names {
		var t engine.Task
		var found bool
		err := l.store.View(ctx, func(tx state.Tx) (err error) {
			t, found, err = engine.FindTaskTx(tx, name, id)
			return err
		})
		if err != nil {
			return Task{}, storeError(err)
		}
		if found {
			if !t.Status.Ended() {
				t.Progress = l.progress(ctx, t)
			}
			return l.task(t), nil
		}
	}
	return Task{}, &Error{Kind: KindNotFound, Msg: "there is no task " + id, Err: ErrNotFound}
}
