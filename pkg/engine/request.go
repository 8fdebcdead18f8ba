package engine

import (
	"context"
	"fmt"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// find returns what a step refers to in the topology that it belongs to: the wanted one, or the previous one for what is gone.
func (r *run) find(st *step) (*topology.Topology, *topology.Node, *topology.Relationship, *topology.Operation) {
	topologies := []*topology.Topology{r.job.Topology, r.job.Previous}
	if r.job.Plan.Workflow == plan.Uninstall || st.Action == driver.Delete {
		topologies[0], topologies[1] = topologies[1], topologies[0]
	}
	for _, v := range r.job.Older {
		topologies = append(topologies, v.Topology)
	}
	for _, t := range topologies {
		if t == nil {
			continue
		}
		n := t.NodeNamed(st.Node)
		if n == nil {
			continue
		}
		if st.Relationship == "" {
			if op := n.Operation(st.Interface, st.Operation); op != nil || st.Kind != plan.Op {
				return t, n, nil, op
			}
			continue
		}
		for _, rel := range n.Relationships {
			if rel.Name == st.Relationship && rel.Target == st.Target {
				if op := operationOf(rel, st); op != nil {
					return t, n, rel, op
				}
			}
		}
	}
	return nil, nil, nil, nil
}

// operationOf finds the operation of a relationship. Cloudify has two of each name, told apart by their host.
func operationOf(rel *topology.Relationship, st *step) *topology.Operation {
	for _, i := range rel.Interfaces {
		for _, op := range i.Operations {
			if op.Interface == st.Interface && op.Name == st.Operation && op.Pos == st.Pos {
				return op
			}
		}
	}
	return rel.Operation(st.Interface, st.Operation)
}

// request makes what a driver is asked. It runs in the act's goroutine: expressions are evaluated as late as possible, when all that the
// step waits for is known.
func (r *run) request(ctx context.Context, st *step) (*driver.Request, error) {
	t, n, rel, op := r.find(st)
	if n == nil {
		return nil, fmt.Errorf("the topology has no %s any more", st.ID)
	}
	inputs := r.job.Inputs
	if t == r.job.Previous && t != r.job.Topology {
		inputs = r.job.PreviousInputs
	}
	for _, v := range r.job.Older {
		if v.Topology == t {
			inputs = v.Inputs
		}
	}
	req := &driver.Request{
		Deployment: r.job.Deployment, Task: r.job.Task, Workflow: r.job.Plan.Workflow, Step: st.ID, OpID: st.opID, Attempt: max(st.attempt, st.retries+1), Action: st.Action,
		Topology: t, Node: n, Instance: st.Instance, Relationship: rel, TargetInstance: st.TargetInstance, Operation: op,
		Env: r.world.withInputs(inputs), Timeout: st.Timeout, Revision: r.job.Revision,
	}
	if r.job.Topology != nil && r.job.Topology.NodeNamed(n.Name) == nil {
		req.Wanted = r.job.Topology
	}
	req.Undeploy = r.undeploys
	req.Removal = r.removed[topology.Instance{Node: st.Node, Index: st.Instance}]
	r.e.name(req)
	if st.Kind == plan.Infra {
		req.Operation = nil
		return req, nil
	}
	var err error
	if req.Host, err = r.host(ctx, st, req); err != nil {
		return nil, err
	}
	if req.Variables, err = r.variables(ctx, st, req); err != nil {
		return nil, err
	}
	return req, nil
}

// name says what users call the request's deployment.
func (e *Engine) name(req *driver.Request) {
	if e.opts.Named != nil {
		req.Tenant, req.Name = e.opts.Named(req.Deployment)
	}
}

// host is the server that a step runs on; nil is the orchestrator.
func (r *run) host(ctx context.Context, st *step, req *driver.Request) (*driver.Host, error) {
	known, err := r.server(ctx, st, req)
	if r.e.opts.Login == nil {
		return known, err
	}
	h, lerr := r.e.opts.Login(ctx, req, known)
	switch {
	case lerr != nil:
		return nil, fmt.Errorf("cannot tell how to reach the host of %s: %w", st.ID, lerr)
	case h != nil:
		return h, nil
	}
	return known, err
}

// server is the host of the instance that a step runs on.
func (r *run) server(ctx context.Context, st *step, req *driver.Request) (*driver.Host, error) {
	in, ok := plan.ParseInstance(st.Host)
	if !ok {
		return nil, nil
	}
	if h := r.hostOf(in); h != nil {
		if r.e.opts.Complete == nil {
			return h, nil
		}
		h, err := r.e.opts.Complete(ctx, driver.Server{Deployment: req.Deployment, Topology: req.Topology, Instance: in, Env: req.Env, Host: h, Other: r.hostOf})
		if err != nil {
			return nil, fmt.Errorf("cannot tell how to reach %s: %w", in, err)
		}
		return h, nil
	}
	if r.e.opts.Hosts != nil {
		h, err := r.e.opts.Hosts(ctx, req.Deployment, req.Topology, in, req.Env)
		if err != nil {
			return nil, fmt.Errorf("cannot tell how to reach %s: %w", in, err)
		}
		if h != nil {
			return h, nil
		}
	}
	pos := st.Pos
	if n := req.Topology.NodeNamed(in.Node); n != nil {
		pos = n.Pos
	}
	return nil, &placedError{pos: pos, hint: "a server needs an address: is its node made by a location, or does it name the address of an existing one?",
		err: fmt.Errorf("cannot run %s: no address is known of %s", st.ID, in)}
}

// hostOf is what a driver has reported of an instance; nil: nothing.
func (r *run) hostOf(in topology.Instance) *driver.Host {
	if rec := r.world.Instance(in); rec != nil {
		return rec.Host
	}
	return nil
}

// emit completes the events of an act with what it is, and hides secrets.
func (r *run) emit(st *step) event.Emit {
	about := r.stepEvent(st)
	return func(e event.Event) { r.post(about, e) }
}

// emitBatch is emit for a batch, whose events say themselves which node they belong to.
func (r *run) emitBatch(owners []*step) event.Emit {
	byInstance := map[topology.Instance]event.Event{}
	for _, st := range owners {
		byInstance[st.Of()] = r.stepEvent(st)
	}
	return func(e event.Event) {
		about := byInstance[topology.Instance{Node: e.Node, Index: e.Instance}]
		r.post(about, e)
	}
}

func (r *run) post(about, e event.Event) {
	red := r.e.opts.Redactor
	for _, f := range []struct {
		to   *string
		from string
	}{{&e.Step, about.Step}, {&e.Node, about.Node}, {&e.Instance, about.Instance}, {&e.Relationship, about.Relationship}, {&e.Target, about.Target},
		{&e.Interface, about.Interface}, {&e.Operation, about.Operation}, {&e.Host, about.Host}} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
	e.Message, e.Value = red.String(e.Message), red.String(e.Value)
	if e.Time.IsZero() {
		e.Time = now()
	}
	r.events.add(e)
}
