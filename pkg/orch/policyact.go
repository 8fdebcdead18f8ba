package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/topology"
)

// health checks every started instance, and tells where something has changed.
func (w *warden) health(ctx context.Context, p *policy.Policy) error {
	rec := w.records[p.Name]
	of := w.started(p)
	results := w.probeAll(ctx, p, of)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	old, said := rec.Health, rec.Message
	rec.Health, rec.Message = map[string]*policy.Pulse{}, ""
	var events []event.Event
	for _, in := range of {
		u, generation := old[in.String()], w.view.snapshot.Instances[in].Generation
		if u == nil || u.Generation != generation {
			u = &policy.Pulse{Generation: generation}
		}
		rec.Health[in.String()] = u
		err := redacted(w.l, results[in].err)
		if unasked := new(policy.Unasked); errors.As(results[in].err, &unasked) {
			rec.Message = in.String() + " cannot be asked: " + err.Error()
			continue // its health is what it was
		}
		if p.Take(u, err, now()) {
			events = append(events, event.Event{Type: event.Health, Status: u.Status, Node: in.Node, Instance: in.Index, Message: u.Message})
		}
	}
	if len(events) > 0 || len(old) != len(rec.Health) || said != rec.Message {
		if err := w.save(ctx, p, events...); err != nil {
			return err
		}
	}
	if !p.Marks {
		return nil
	}
	_, err := w.mark(ctx, p, of)
	return err
}

func redacted(l *Local, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s", l.opts.Redactor.String(firstOf(err.Error())))
}

// heal starts the healing of the targets' instances that have been unwell for long enough.
func (w *warden) heal(ctx context.Context, p *policy.Policy) error {
	rec := w.records[p.Name]
	candidates, why, err := w.unwell(ctx, p)
	if err != nil {
		rec.Message = w.l.opts.Redactor.String(firstOf(err.Error()))
		return w.save(ctx, p)
	}
	w.recovered(p, candidates)
	if len(candidates) == 0 && rec.Message != "" { // what it says is over
		rec.Message = ""
		return w.save(ctx, p)
	}
	var these []topology.Instance
	for _, in := range candidates {
		if rec.Attempts[in.String()] < p.Attempts {
			these = append(these, in)
			continue
		}
		if gaveUp := fmt.Sprintf("%s is given up after %d attempts: %s", in, p.Attempts, why[in]); rec.Message != gaveUp {
			rec.Message = gaveUp
			if err := w.save(ctx, p, event.Event{Type: event.Log, Level: event.Error, Node: in.Node, Instance: in.Index, Message: "policy " + p.Name + ": " + gaveUp}); err != nil {
				return err
			}
		}
	}
	if len(these) == 0 {
		return nil
	}
	attempts := map[string]int{}
	for k, v := range rec.Attempts {
		attempts[k] = v
	}
	var words []string
	for _, in := range these {
		attempts[in.String()]++
		words = append(words, in.String()+": "+why[in])
	}
	before := rec.Attempts
	rec.Attempts = attempts // stored with the intent: a server that dies now does not begin to count anew
	acted, err := w.act(ctx, p, Request{Verb: Workflow, Workflow: p.Workflow, Select: these}, "heals "+strings.Join(words, "; "))
	if !acted {
		rec.Attempts = before
	}
	return err
}

// unwell are the instances that a Heal policy is about, with why.
func (w *warden) unwell(ctx context.Context, p *policy.Policy) (out []topology.Instance, why map[topology.Instance]string, err error) {
	if w.servers, err = w.l.servers(ctx, w.view); err != nil {
		return nil, nil, err
	}
	why = map[topology.Instance]string{}
	for _, node := range p.Nodes {
		for _, i := range w.view.world.Instances(node) {
			in := topology.Instance{Node: node, Index: i}
			rec := w.view.snapshot.Instances[in]
			if rec == nil {
				continue
			}
			server, _ := plan.ParseInstance(plan.ServerOf(w.view.topology, w.view.topology.NodeNamed(node), i))
			status, message, since := judgement(w.records, in, rec.Generation)
			switch {
			case w.servers[server].broken():
				in = server // with all that is on it
				why[in] = "its server is " + orElse(w.servers[server].status, "gone")
			case rec.State == plan.StateError && !marked(w.records, in, rec):
				why[in] = "it is in the state error"
			case status == policy.Unhealthy && !now().Before(since.Add(p.Grace)):
				why[in] = message
			default:
				continue
			}
			if !slices.Contains(out, in) {
				out = append(out, in)
			}
		}
	}
	slices.SortFunc(out, byInstance)
	return out, why, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// recovered forgets the attempts on instances that are well again: a health check says so, or nothing has been wrong for two cooldowns.
func (w *warden) recovered(p *policy.Policy, candidates []topology.Instance) {
	rec := w.records[p.Name]
	for key := range rec.Attempts {
		in, _ := plan.ParseInstance(key)
		if slices.Contains(candidates, in) {
			continue
		}
		generation := ""
		if r := w.view.snapshot.Instances[in]; r != nil {
			generation = r.Generation
		}
		status, _, since := judgement(w.records, in, generation)
		if status == policy.Healthy && since.After(rec.Acted) || !now().Before(rec.Acted.Add(2*p.Cooldown)) {
			delete(rec.Attempts, key)
		}
	}
}

// scale keeps a metric within bounds.
func (w *warden) scale(ctx context.Context, p *policy.Policy) error {
	rec, t := w.records[p.Name], w.view.topology
	values := map[topology.Instance]float64{}
	var list []float64
	failed := ""
	results := w.probeAll(ctx, p, w.started(p))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, in := range w.started(p) {
		r := results[in]
		if r.err == nil {
			values[in], r.err = p.Probe.Read(r.sample)
		}
		if r.err != nil {
			delete(values, in)
			failed = in.String() + ": " + w.l.opts.Redactor.String(firstOf(r.err.Error()))
			continue
		}
		list = append(list, values[in])
	}
	w.values[p.Metric] = values
	value, ok := p.Combine(list)
	if !ok || failed != rec.Message || rec.Value == nil || *rec.Value != value {
		rec.Message, rec.Value = failed, nil
		if ok {
			rec.Value = &value
		}
		if err := w.save(ctx, p); err != nil {
			return err
		}
	}
	if !ok {
		w.gauges[p.Name].Reset()
		return nil
	}
	root := t.ScaleRoot(t.NodeNamed(p.Nodes[0]))
	have := len(w.view.world.Instances(root.Name))
	want, why := p.Wanted(w.gauges[p.Name], value, have)
	if want = w.within(ctx, root, want); want == have || want < 1 {
		return nil
	}
	acted, err := w.act(ctx, p, Request{Verb: Deploy, Scale: map[string]int{root.Name: want}}, fmt.Sprintf("scales %s from %d to %d: %s", root.Name, have, want, why))
	if acted {
		w.gauges[p.Name].Reset()
	}
	return err
}

// within keeps a number within the Scalable capability of the node that decides, where it has one.
func (w *warden) within(ctx context.Context, root *topology.Node, want int) int {
	if !policy.Scalable(root) {
		return want
	}
	least, most, _, err := w.view.topology.Scale(ctx, root.Name, w.view.world)
	if err != nil {
		return want
	}
	return min(max(want, least), most)
}

// triggers judges the conditions of a policy's triggers on every started instance, and runs the actions of the first that has held for long
// enough. Actions follow each other; what one has started is waited for by the next evaluation.
func (w *warden) triggers(ctx context.Context, p *policy.Policy) error {
	env := &policyEnv{World: w.view.world, w: w}
	for _, tr := range p.Triggers {
		if !tr.Begin.IsZero() && now().Before(tr.Begin) || !tr.End.IsZero() && now().After(tr.End) {
			continue
		}
		if key := p.Name + "/" + tr.Name; tr.Every > 0 {
			if now().Add(p.Period / 2).Before(w.due[key]) {
				continue
			}
			w.due[key] = now().Add(tr.Every)
		}
		judged := p
		if len(tr.Nodes) > 0 {
			other := *p
			other.Nodes, judged = tr.Nodes, &other
		}
		for _, in := range w.started(judged) {
			key := p.Name + "/" + tr.Name + "/" + in.String()
			sc := topology.Scope{Topology: w.view.topology, Node: w.view.topology.NodeNamed(in.Node), Instance: in.Index}
			why, err := topology.Unmet(ctx, sc, tr.Condition, env)
			if err != nil || why != "" {
				w.firing[key] = 0
				continue
			}
			if w.firing[key]++; w.firing[key] < tr.Evaluations {
				continue
			}
			acted, err := w.fire(ctx, p, tr, in)
			if acted {
				w.firing[key] = 0
			}
			if acted || err != nil {
				return err
			}
		}
	}
	return nil
}

// fire runs the actions of a trigger for an instance, one after the other.
func (w *warden) fire(ctx context.Context, p *policy.Policy, tr policy.Trigger, in topology.Instance) (bool, error) {
	for k, a := range tr.Actions {
		req, ok := action(a, in)
		if !ok {
			continue
		}
		if !slices.Contains(p.Nodes, in.Node) {
			w.elsewhere(p, &req)
		}
		if req.Inputs = map[string]any{}; a.Inputs.Len() > 0 {
			for name, x := range a.Inputs.All() {
				v, err := topology.Eval(ctx, topology.Scope{Topology: w.view.topology, Node: w.view.topology.NodeNamed(in.Node), Instance: in.Index}, x, w.view.world)
				if err != nil {
					return false, err
				}
				req.Inputs[name] = v
			}
		}
		why := fmt.Sprintf("trigger %s of %s runs %s", tr.Name, in, a.Name)
		if k == 0 {
			acted, err := w.act(ctx, p, req, why)
			if !acted || err != nil || len(tr.Actions) == 1 {
				return acted, err
			}
		} else {
			rec := w.records[p.Name]
			req.Deployment, req.User = w.name, "policy "+p.Name
			t, err := w.l.Apply(ctx, req)
			if err != nil {
				return true, err
			}
			rec.Task = t.ID
			if err := w.save(ctx, p); err != nil {
				return true, err
			}
		}
		if t, err := w.l.Wait(ctx, w.name, w.records[p.Name].Task); err != nil || t.Status != "done" {
			return true, err // what comes next was meant for its success
		}
	}
	return true, nil
}

// elsewhere makes a request one for the policy's targets, whose trigger looks at other nodes (target_filter): what is of one instance is of all.
func (w *warden) elsewhere(p *policy.Policy, req *Request) {
	if req.Verb == Operate || len(req.Select) > 0 {
		req.Node, req.Instances, req.Select = "", nil, w.started(p)
	}
}

// action is the request that an activity of a trigger means.
func action(a topology.Activity, in topology.Instance) (Request, bool) {
	switch a.Kind {
	case topology.ActivityInline, topology.ActivityDelegate:
		req := Request{Verb: Workflow, Workflow: a.Name}
		if a.Name == plan.Heal || a.Name == plan.Restart || a.Name == plan.Start || a.Name == plan.Stop {
			req.Select = []topology.Instance{in} // of the built-in ones only the instance is meant
		}
		return req, true
	case topology.ActivityCall:
		return Request{Verb: Operate, Node: in.Node, Instances: []string{in.Index}, Interface: a.Interface, Operation: a.Name}, true
	}
	return Request{}, false
}

// policyEnv adds to an instance's attributes what policies know of it: health, and metrics by their names.
type policyEnv struct {
	*engine.World
	w *warden
}

// Attribute implements topology.Env.
func (e *policyEnv) Attribute(in topology.Instance, capability, name string) (any, bool) {
	if capability == "" {
		if name == "health" {
			generation := ""
			if r := e.w.view.snapshot.Instances[in]; r != nil {
				generation = r.Generation
			}
			status, _, _ := judgement(e.w.records, in, generation)
			return status, status != ""
		}
		if v, ok := e.w.values[name][in]; ok {
			return v, true
		}
	}
	return e.World.Attribute(in, capability, name)
}
