package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// stateStarted is the state of an instance that is up.
const stateStarted = "started"

// marked reports whether an instance is in the state error only because a policy has found it unhealthy.
func marked(records map[string]*policyRecord, in topology.Instance, rec *engine.Instance) bool {
	if rec.State != plan.StateError {
		return false
	}
	for _, r := range records {
		if u := r.Health[in.String()]; u != nil && u.Marked && u.Generation == rec.Generation {
			return true
		}
	}
	return false
}

// marking is a change of an instance's state that its health asks for.
type marking struct {
	in         topology.Instance
	generation string
	from, to   string
	say        event.Event
}

// mark brings the states of instances in line with their health: error for the unhealthy, started again for those that are well by every policy.
// States are written by who holds the deployment. Where tasks work on it, here or elsewhere, it reports false: the next evaluation does it.
func (w *warden) mark(ctx context.Context, p *policy.Policy, of []topology.Instance) (bool, error) {
	changes := w.markings(p, of)
	if len(changes) == 0 {
		return true, nil
	}
	h, err := w.l.hold(ctx, w.name)
	var held *state.HeldError
	switch {
	case errors.As(err, &held):
		return false, nil
	case err != nil:
		return false, err
	}
	defer w.l.letGo(h)
	h.admit.Lock()
	defer h.admit.Unlock()
	if len(w.l.works(h)) > 0 {
		return false, nil
	}
	rec := w.records[p.Name]
	var before, after []bool
	for _, c := range changes {
		u := rec.Health[c.in.String()]
		before = append(before, u.Marked)
		u.Marked = c.to == plan.StateError
		after = append(after, u.Marked)
	}
	set := func(to []bool) {
		for i, c := range changes {
			rec.Health[c.in.String()].Marked = to[i]
		}
	}
	err = state.Fenced(w.l.store, h.lease).Update(ctx, func(tx state.Tx) error {
		set(after)
		for _, c := range changes {
			if c.from == c.to { // another policy has marked it, or still does
				continue
			}
			done, err := engine.MarkTx(tx, w.name, c.in, c.generation, c.from, c.to)
			switch {
			case err != nil:
				return err
			case !done: // it has changed since it was looked at
				rec.Health[c.in.String()].Marked = false
				continue
			}
			if _, err := state.AppendTx(tx, w.name, c.say); err != nil {
				return err
			}
		}
		return state.Put(tx, policyKey(w.name, p.Name), *rec)
	})
	if err != nil {
		set(before)
	}
	return err == nil, storeError(err)
}

// marks reports whether any policy has marked an instance.
func (w *warden) marks() bool {
	for _, r := range w.records {
		for _, u := range r.Health {
			if u.Marked {
				return true
			}
		}
	}
	return false
}

// forgive takes back what policies have marked that the deployment has no more.
func (w *warden) forgive(ctx context.Context, list []*policy.Policy) (bool, error) {
	for _, name := range sortedNames(w.records) {
		if slices.ContainsFunc(list, func(p *policy.Policy) bool { return p.Name == name && p.Marks }) {
			continue
		}
		var of []topology.Instance
		for key, u := range w.records[name].Health {
			in, _ := plan.ParseInstance(key)
			if rec := w.view.snapshot.Instances[in]; u.Marked && rec != nil && rec.Generation == u.Generation {
				u.Status, u.Message, u.Since = policy.Healthy, "", now()
				of = append(of, in)
			}
		}
		slices.SortFunc(of, byInstance)
		if done, err := w.mark(ctx, &policy.Policy{Name: name}, of); err != nil || !done {
			return done, err
		}
	}
	return true, nil
}

// markings are what is to be changed.
func (w *warden) markings(p *policy.Policy, of []topology.Instance) (out []marking) {
	for _, in := range of {
		u, rec := w.records[p.Name].Health[in.String()], w.view.snapshot.Instances[in]
		c := marking{in: in, generation: rec.Generation, from: rec.State, to: plan.StateError,
			say: event.Event{Time: now(), Type: event.Log, Level: event.Error, Node: in.Node, Instance: in.Index,
				Key: p.Name, Message: fmt.Sprintf("policy %s: %s is in the state error: %s", p.Name, in, u.Message)}}
		switch {
		case u.Status == policy.Unhealthy && !(u.Marked && rec.State == plan.StateError):
		case u.Status == policy.Healthy && u.Marked:
			c.to = stateStarted
			c.say.Level, c.say.Message = event.Info, fmt.Sprintf("policy %s: %s is well again", p.Name, in)
			if rec.State != plan.StateError || w.markedByOther(p, in, rec.Generation) {
				c.from = c.to // somebody else has changed the state, or it is another policy's now
			}
		default:
			continue
		}
		out = append(out, c)
	}
	return out
}

func (w *warden) markedByOther(p *policy.Policy, in topology.Instance, generation string) bool {
	for name, r := range w.records {
		if u := r.Health[in.String()]; name != p.Name && u != nil && u.Marked && u.Generation == generation {
			return true
		}
	}
	return false
}
