package orch

import (
	"context"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// PolicyStatus is what a policy has found and done.
type PolicyStatus struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Value of its metric, if it has one.
	Value *float64 `json:"value,omitempty"`
	// Acted is when it last did something, Task what it started, Did what and why.
	Acted time.Time `json:"acted,omitzero"`
	Task  string    `json:"task,omitempty"`
	Did   string    `json:"did,omitempty"`
	// Rests until then: its cooldown.
	Rests time.Time `json:"rests,omitzero"`
	// Message says why it does nothing although it should.
	Message string `json:"message,omitempty"`
	// Watched by which process; "" is by none: policies are evaluated by servers.
	Watched string `json:"watched,omitempty"`
}

// policyRecord is what is kept of a policy, so that the next server goes on where this one stopped.
//
//	d/<deployment>/policy/<policy>
type policyRecord struct {
	Health   map[string]*policy.Pulse `json:"health,omitempty"` // by instance
	Value    *float64                 `json:"value,omitempty"`
	Acted    time.Time                `json:"acted,omitzero"`
	Task     string                   `json:"task,omitempty"`
	Did      string                   `json:"did,omitempty"`
	Attempts map[string]int           `json:"attempts,omitempty"`
	Message  string                   `json:"message,omitempty"`
}

func policyKey(deployment, name string) string { return state.Join("d", deployment, "policy", name) }

func policyLease(deployment string) string { return state.Join("policies", deployment) }

// policyRecords of a deployment, by policy.
func policyRecords(ctx context.Context, store state.Store, deployment string) (map[string]*policyRecord, error) {
	var out map[string]*policyRecord
	err := store.View(ctx, func(tx state.Tx) error {
		out = map[string]*policyRecord{}
		for r, err := range state.List[policyRecord](tx, state.Prefix("d", deployment, "policy")) {
			if err != nil {
				return err
			}
			v := r.Value
			out[state.Last(r.Key)] = &v
		}
		return nil
	})
	return out, storeError(err)
}

// save stores a policy's record with what there is to tell, as long as the deployment's policies are this process's.
func (w *warden) save(ctx context.Context, p *policy.Policy, events ...event.Event) error {
	rec := w.records[p.Name]
	at := now()
	for i := range events {
		events[i].Time, events[i].Deployment = at, w.name
		events[i].Message = w.l.opts.Redactor.String(events[i].Message)
		if events[i].Key == "" {
			events[i].Key = p.Name
		}
	}
	return state.Fenced(w.l.store, w.lease).Update(ctx, func(tx state.Tx) error {
		if err := state.Put(tx, policyKey(w.name, p.Name), *rec); err != nil {
			return err
		}
		_, err := state.AppendTx(tx, w.name, events...)
		return err
	})
}

// judgement is the health of an instance over all policies: unhealthy if one says so. "" is unknown.
func judgement(records map[string]*policyRecord, in topology.Instance, generation string) (status, message string, since time.Time) {
	for _, name := range sortedNames(records) {
		u := records[name].Health[in.String()]
		if u == nil || u.Status == "" || u.Generation != generation {
			continue
		}
		if u.Status == policy.Unhealthy {
			return u.Status, name + ": " + u.Message, u.Since
		}
		status, since = u.Status, u.Since
	}
	return status, "", since
}

func sortedNames[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// policyStatus completes a deployment's detail with what its policies say.
func (l *Local) policyStatus(ctx context.Context, v *view, d *Detail) error {
	if len(v.topology.Policies) == 0 {
		return nil
	}
	records, err := policyRecords(ctx, l.store, v.record.Name)
	if err != nil {
		return err
	}
	for i := range d.Nodes {
		for j := range d.Nodes[i].Instances {
			s := &d.Nodes[i].Instances[j]
			in := topology.Instance{Node: d.Nodes[i].Name, Index: s.Index}
			if rec := v.snapshot.Instances[in]; rec != nil && (rec.State == stateStarted || marked(records, in, rec)) {
				s.Health, s.HealthCause, _ = judgement(records, in, rec.Generation)
			}
		}
	}
	holders, err := l.store.Holders(ctx, policyLease(v.record.Name))
	if err != nil {
		return storeError(err)
	}
	watched := ""
	if len(holders) > 0 {
		watched = holders[0].String()
	}
	list, _ := policy.Read(ctx, v.topology, l.engine.NewWorld(v.snapshot, v.inputs))
	for _, p := range list {
		s := PolicyStatus{Name: p.Name, Type: p.Type, Watched: watched}
		if r := records[p.Name]; r != nil {
			s.Value, s.Acted, s.Task, s.Did, s.Message = r.Value, r.Acted, r.Task, r.Did, r.Message
			if rests := r.Acted.Add(p.Cooldown); !r.Acted.IsZero() && rests.After(now()) {
				s.Rests = rests
			}
		}
		d.Policies = append(d.Policies, s)
	}
	return nil
}

// sick are the instances that a deployment's policies hold to be unhealthy.
func (l *Local) sick(ctx context.Context, v *view) map[topology.Instance]bool {
	out := map[topology.Instance]bool{}
	if len(v.topology.Policies) == 0 {
		return out
	}
	records, err := policyRecords(ctx, l.store, v.record.Name)
	if err != nil {
		l.log.Warn("the health of instances cannot be read", "deployment", v.record.Name, "error", err)
		return out
	}
	for in, rec := range v.snapshot.Instances {
		if status, _, _ := judgement(records, in, rec.Generation); status == policy.Unhealthy {
			out[in] = true
		}
	}
	return out
}

// ended reports whether the task that the record names runs no more.
func (w *warden) ended(ctx context.Context, task string) bool {
	if task == "" {
		return true
	}
	t, err := engine.LoadTask(ctx, w.l.store, w.name, task)
	return err != nil || t.Status.Ended()
}

// checkPolicies warns before a deployment of policies that would be left out.
func (p *prepared) checkPolicies(ctx context.Context, env topology.Env) {
	_, findings := policy.Read(ctx, p.topology, env)
	for _, f := range findings {
		f.Severity = diag.Warning
		p.diags.Add(f)
	}
}
