package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// HealthCheck asks whether an instance is well.
type HealthCheck struct {
	Deployment string
	Instance   topology.Instance
	// Probe is the step's: what it means is the business of Options.Health.
	Probe    string
	Topology *topology.Topology
	Env      topology.Env
	// Addresses of the server that the instance is on; none if it is not on one.
	Addresses []string
}

// healthPace is that of a health gate.
const healthPace = 2 * time.Second

// probe repeats a health check until it succeeds or its time is over; what it ended with is the step's failure.
func (r *run) probe(ctx context.Context, st *step) error {
	if r.e.opts.Health == nil {
		return fmt.Errorf("no health checks are configured for %s", st.ID)
	}
	c := HealthCheck{Deployment: r.job.Deployment, Instance: st.Of(), Probe: st.Probe, Topology: r.job.Topology, Env: r.world.withInputs(r.job.Inputs),
		Addresses: r.addresses(st.Of())}
	ctx, over := driver.Pause(ctx)
	return over(r.untilHealthy(ctx, st, c))
}

func (r *run) untilHealthy(ctx context.Context, st *step, c HealthCheck) error {
	for end := time.Now().Add(st.Timeout); ; {
		err := r.e.opts.Health(ctx, c)
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if time.Now().Add(healthPace).After(end) {
			return &placedError{pos: st.Pos, hint: "what comes after this batch stays as it was; orch resume asks again, orch rollback goes back",
				err: fmt.Errorf("%s is not healthy after %s (%s): %w", st.Of(), st.Timeout, st.Probe, err)}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(healthPace):
		}
	}
}

// addresses of the server that an instance is on.
func (r *run) addresses(in topology.Instance) []string {
	n := r.job.Topology.NodeNamed(in.Node)
	if n == nil {
		return nil
	}
	server, ok := plan.ParseInstance(plan.ServerOf(r.job.Topology, n, in.Index))
	if !ok {
		return nil
	}
	if rec := r.world.Instance(server); rec != nil && rec.Host != nil {
		return rec.Host.Addresses
	}
	return nil
}
