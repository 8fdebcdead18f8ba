package orch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// scanPace is how often a server looks for deployments whose policies nobody evaluates.
const scanPace = 5 * time.Second

// KeepPolicies evaluates the policies of all deployments until ctx ends: what a server does. Of several servers on one store each deployment
// has one, under a lease that another takes when it dies.
func (l *Local) KeepPolicies(ctx context.Context) {
	k := &keeper{l: l, busy: map[string]bool{}, idle: map[string]string{}}
	defer k.group.Wait()
	for {
		if err := k.scan(ctx); err != nil && ctx.Err() == nil {
			l.log.Warn("policies cannot be looked for", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scanPace):
		}
	}
}

// keeper starts a warden for every deployment that has policies.
type keeper struct {
	l     *Local
	group sync.WaitGroup
	mu    sync.Mutex
	busy  map[string]bool   // deployments with a warden here
	idle  map[string]string // deployments without policies, by what was looked at
}

func (k *keeper) scan(ctx context.Context) error {
	var records []record
	err := k.l.store.View(ctx, func(tx state.Tx) error {
		records = nil
		for r, err := range state.List[record](tx, deploymentPrefix) {
			if err != nil {
				return err
			}
			records = append(records, r.Value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range records {
		k.mu.Lock()
		skip := !active(d) || k.busy[d.Name] || k.idle[d.Name] == version(d)
		if !skip {
			k.busy[d.Name] = true
		}
		k.mu.Unlock()
		if skip {
			continue
		}
		k.group.Go(func() {
			without, err := k.l.guard(ctx, d)
			k.mu.Lock()
			defer k.mu.Unlock()
			delete(k.busy, d.Name)
			if without {
				k.idle[d.Name] = version(d)
			}
			if err != nil && ctx.Err() == nil && !errors.Is(err, state.ErrHeld) {
				k.l.log.Warn("the policies of a deployment are not evaluated", "deployment", d.Name, "error", err)
			}
		})
	}
	return nil
}

// active deployments have been installed completely once, and are not on their way down.
func active(d record) bool {
	return d.Applied > 0 && d.Status != StatusUndeploying && d.Status != StatusUndeployed
}

// version changes when the policies may have.
func version(d record) string {
	return fmt.Sprintf("%d %s", d.Revision, d.Created.Format(time.RFC3339Nano))
}

// warden evaluates the policies of one deployment.
type warden struct {
	l        *Local
	name     string
	lease    *state.Lease
	view     *view
	policies []*policy.Policy
	records  map[string]*policyRecord
	gauges   map[string]*policy.Gauge
	firing   map[string]int                           // evaluations in a row that a trigger's condition held
	values   map[string]map[topology.Instance]float64 // of metrics
	due      map[string]time.Time
	servers  map[topology.Instance]server
}

// guard evaluates a deployment's policies for as long as it has this version; without is true if it has none.
func (l *Local) guard(ctx context.Context, d record) (without bool, err error) {
	v, err := l.view(ctx, d.Name)
	if err != nil {
		return false, err
	}
	list, findings := policy.Read(ctx, v.topology, v.world)
	for _, f := range findings {
		l.log.Warn("a policy is left out", "deployment", d.Name, "finding", f.String())
	}
	w := &warden{l: l, name: d.Name, view: v, policies: list, gauges: map[string]*policy.Gauge{}, firing: map[string]int{},
		values: map[string]map[topology.Instance]float64{}, due: map[string]time.Time{}}
	if w.records, err = policyRecords(ctx, l.store, d.Name); err != nil {
		return false, err
	}
	if len(list) == 0 && !w.marks() {
		return true, nil
	}
	lease, err := l.store.Lease(ctx, policyLease(d.Name), state.LeaseOptions{Owner: l.opts.Owner, Host: l.opts.Host, TTL: l.opts.TTL})
	if err != nil {
		return false, err
	}
	defer l.release(lease)
	ctx, cancel := lease.Context(withLocation(ctx, d.Location))
	defer cancel()
	w.lease = lease
	if w.records, err = policyRecords(ctx, l.store, d.Name); err != nil {
		return false, err
	}
	if done, err := w.forgive(ctx, list); err != nil || !done || len(list) == 0 {
		return done && len(list) == 0, err
	}
	for _, p := range list {
		if w.records[p.Name] == nil {
			w.records[p.Name] = &policyRecord{}
		}
		w.gauges[p.Name], w.due[p.Name] = &policy.Gauge{}, now().Add(min(p.Period, time.Second))
	}
	return false, w.run(ctx, version(d))
}

func (w *warden) run(ctx context.Context, version_ string) error {
	for {
		next := w.policies[0]
		for _, p := range w.policies[1:] {
			if w.due[p.Name].Before(w.due[next.Name]) {
				next = p
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Until(w.due[next.Name])):
		}
		d, err := loadDeployment(ctx, w.l.store, w.name)
		if err != nil || !active(d) || version(d) != version_ {
			return err
		}
		w.view.record = d
		if w.view.snapshot, err = engine.Load(ctx, w.l.store, w.name); err != nil {
			return err
		}
		w.view.world = w.l.engine.NewWorld(w.view.snapshot, w.view.inputs)
		w.due[next.Name] = now().Add(next.Period)
		if err := w.evaluate(ctx, next); err != nil {
			return err
		}
	}
}

func (w *warden) evaluate(ctx context.Context, p *policy.Policy) error {
	var err error
	switch p.Kind {
	case policy.Health:
		err = w.health(ctx, p)
	case policy.Heal:
		err = w.heal(ctx, p)
	case policy.Scale:
		err = w.scale(ctx, p)
	}
	if err != nil || len(p.Triggers) == 0 {
		return err
	}
	return w.triggers(ctx, p)
}

// act starts what a policy wants, if nothing else is at work and its cooldown is over. It is noted before it is done.
func (w *warden) act(ctx context.Context, p *policy.Policy, req Request, why string) (bool, error) {
	rec := w.records[p.Name]
	if !rec.Acted.IsZero() && now().Before(rec.Acted.Add(p.Cooldown)) {
		return false, nil
	}
	if busy, err := w.atWork(ctx); err != nil || busy {
		return false, err
	}
	before := *rec
	rec.Acted, rec.Did, rec.Task, rec.Message = now(), why, "", ""
	err := w.save(ctx, p, event.Event{Type: event.Log, Level: event.Warn, Message: fmt.Sprintf("policy %s: %s", p.Name, why)})
	if err != nil {
		return false, err
	}
	req.Deployment, req.User = w.name, "policy "+p.Name
	t, err := w.l.Apply(ctx, req)
	if err != nil {
		*rec = before
		rec.Message = w.l.opts.Redactor.String(firstOf(err.Error()))
		return false, errors.Join(ctx.Err(), w.save(ctx, p, event.Event{Type: event.Log, Level: event.Warn, Message: fmt.Sprintf("policy %s cannot act: %s", p.Name, rec.Message)}))
	}
	rec.Task = t.ID
	return true, w.save(ctx, p)
}

func firstOf(s string) string {
	for i, c := range s {
		if c == '\n' {
			return s[:i]
		}
	}
	return s
}

// atWork reports whether something runs on the deployment, of a policy or of anybody: policies wait for its end.
func (w *warden) atWork(ctx context.Context) (bool, error) {
	for _, r := range w.records {
		if !w.ended(ctx, r.Task) {
			return true, nil
		}
	}
	holders, err := w.l.store.Holders(ctx, leaseKey(w.name))
	return len(holders) > 0, err
}

// started are the instances of a policy's targets that are up.
func (w *warden) started(p *policy.Policy) (out []topology.Instance) {
	for _, node := range p.Nodes {
		for _, i := range w.view.world.Instances(node) {
			in := topology.Instance{Node: node, Index: i}
			rec := w.view.snapshot.Instances[in]
			switch {
			case rec == nil:
			case rec.State == stateStarted && !now().Before(rec.Updated.Add(p.Delay)), p.Kind == policy.Health && marked(w.records, in, rec):
				out = append(out, in)
			}
		}
	}
	return out
}
