package orch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// Deployments implements Service.
func (l *Local) Deployments(ctx context.Context) ([]Deployment, error) {
	var records []record
	instances := map[string]int{}
	err := l.store.View(ctx, func(tx state.Tx) error {
		records = nil
		for r, err := range state.List[record](tx, deploymentPrefix) {
			if err != nil {
				return err
			}
			records = append(records, r.Value)
		}
		for _, d := range records {
			n, err := engine.CountTx(tx, d.Name)
			if err != nil {
				return err
			}
			instances[d.Name] = n
		}
		return nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	owners, err := l.owners(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Deployment, 0, len(records))
	for _, d := range records {
		out = append(out, d.public(owners[d.Name], instances[d.Name]))
	}
	return out, nil
}

func (l *Local) names(ctx context.Context) ([]string, error) {
	var names []string
	err := l.store.View(ctx, func(tx state.Tx) error {
		names = nil
		for k, err := range tx.Keys(deploymentPrefix) {
			if err != nil {
				return err
			}
			names = append(names, state.Last(k))
		}
		return nil
	})
	return names, storeError(err)
}

func (l *Local) owners(ctx context.Context) (map[string]string, error) {
	holders, err := l.store.Holders(ctx, "deployment/")
	if err != nil {
		return nil, storeError(err)
	}
	out := map[string]string{}
	for _, h := range holders {
		out[state.Last(h.Key)] = h.String()
	}
	return out, nil
}

func (d record) public(owner string, instances int) Deployment {
	return Deployment{Name: d.Name, Status: string(d.Status), Topology: d.Topology, Revision: d.Revision, Location: d.Location, Created: d.Created,
		Updated: d.Updated, Task: d.Task, Owner: owner, Instances: instances, Cause: d.Cause}
}

// Deployment implements Service.
func (l *Local) Deployment(ctx context.Context, name string) (*Detail, error) {
	v, err := l.view(ctx, name)
	if err != nil {
		return nil, err
	}
	owners, err := l.owners(ctx)
	if err != nil {
		return nil, err
	}
	det := &Detail{Deployment: v.record.public(owners[name], len(v.snapshot.Instances)), Description: v.record.Description,
		Metadata: v.record.Metadata, Inputs: masked(v.inputs, l.opts.Redactor)}
	seen := map[string]bool{}
	for _, n := range v.topology.Nodes {
		seen[n.Name] = true
		ns := NodeStatus{Name: n.Name, Type: n.Type.Name(), Host: n.Host()}
		for _, i := range v.world.Instances(n.Name) {
			ns.Instances = append(ns.Instances, l.instanceStatus(v, topology.Instance{Node: n.Name, Index: i}))
		}
		det.Nodes = append(det.Nodes, ns)
	}
	for _, node := range v.gone(seen) {
		ns := NodeStatus{Name: node}
		for _, i := range v.world.Instances(node) {
			ns.Instances = append(ns.Instances, l.instanceStatus(v, topology.Instance{Node: node, Index: i}))
		}
		det.Nodes = append(det.Nodes, ns)
	}
	return det, nil
}

// view is a deployment as it is recorded.
type view struct {
	record   record
	topology *topology.Topology
	inputs   map[string]any
	snapshot *engine.Snapshot
	world    *engine.World
}

func (l *Local) view(ctx context.Context, name string) (*view, error) {
	d, err := loadDeployment(ctx, l.store, name)
	if err != nil {
		return nil, err
	}
	v := &view{record: d}
	rev, err := l.revision(ctx, name, d.Revision)
	if err != nil {
		return nil, err
	}
	if v.topology, v.inputs, err = l.restore(withLocation(ctx, d.Location), rev); err != nil {
		return nil, err
	}
	if v.snapshot, err = engine.Load(ctx, l.store, name); err != nil {
		return nil, storeError(err)
	}
	v.world = l.engine.NewWorld(v.snapshot, v.inputs)
	return v, nil
}

// gone lists recorded nodes that the topology does not have any more.
func (v *view) gone(known map[string]bool) (nodes []string) {
	for in := range v.snapshot.Instances {
		if !known[in.Node] {
			known[in.Node] = true
			nodes = append(nodes, in.Node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

func (l *Local) instanceStatus(v *view, in topology.Instance) InstanceStatus {
	rec := v.world.Instance(in)
	s := InstanceStatus{Index: in.Index, State: rec.State}
	attrs := map[string]any{}
	if n := v.topology.NodeNamed(in.Node); n != nil {
		for name, x := range n.Attributes.All() { // formulas of the type
			if r, err := topology.Eval(context.Background(), topology.Scope{Topology: v.topology, Node: n, Instance: in.Index}, x, v.world); err == nil && r != nil && !isUnknown(r) {
				attrs[name] = r
			}
		}
	}
	for k, x := range v.world.Attributes(in) {
		attrs[k] = x
	}
	s.Attributes = masked(attrs, l.opts.Redactor)
	for _, name := range []string{"public_address", "public_ip_address", "private_address", "ip_address", "ip"} {
		if a, ok := attrs[name].(string); ok && a != "" && s.Address == "" {
			s.Address = a
		}
	}
	if s.Address == "" && rec.Host != nil && len(rec.Host.Addresses) > 0 {
		s.Address = rec.Host.Addresses[0]
	}
	return s
}

func isUnknown(v any) bool { _, ok := v.(topology.Unknown); return ok }

// masked hides secrets in values that are shown.
func masked(m map[string]any, r *secret.Redactor) map[string]any {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = mask(v, r)
	}
	return out
}

func mask(v any, r *secret.Redactor) any {
	switch t := v.(type) {
	case secret.Value:
		return secret.Mask
	case string:
		return r.String(t)
	case []any:
		out := make([]any, len(t))
		for i, x := range t {
			out[i] = mask(x, r)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, x := range t {
			out[k] = mask(x, r)
		}
		return out
	}
	return v
}

// revealed is the opposite: plain values.
func revealed(v any) any {
	switch t := v.(type) {
	case secret.Value:
		return t.Reveal()
	case []any:
		out := make([]any, len(t))
		for i, x := range t {
			out[i] = revealed(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, x := range t {
			out[k] = revealed(x)
		}
		return out
	}
	return v
}

func canonical(m map[string]any) string {
	b, err := json.Marshal(revealed(m))
	if err != nil || m == nil {
		return "{}"
	}
	return string(b)
}

// Outputs implements Service.
func (l *Local) Outputs(ctx context.Context, name string, reveal bool) ([]Output, error) {
	v, err := l.view(ctx, name)
	if err != nil {
		return nil, err
	}
	out := []Output{}
	for _, p := range v.topology.Outputs {
		o := Output{Name: p.Name, Description: p.Description}
		r, err := topology.Eval(ctx, topology.Scope{Topology: v.topology}, p.Value, v.world)
		if err != nil {
			return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("cannot evaluate the output %s", p.Name), Err: err}
		}
		if u := unknowns(r); len(u) > 0 {
			o.Unknown = u
		} else {
			_, o.Secret = topology.Text(r)
			if reveal {
				o.Value = revealed(r)
			} else {
				o.Value = mask(r, l.opts.Redactor)
			}
		}
		out = append(out, o)
	}
	return out, nil
}

func unknowns(v any) (refs []string) {
	switch t := v.(type) {
	case topology.Unknown:
		return t.Refs
	case []any:
		for _, x := range t {
			refs = append(refs, unknowns(x)...)
		}
	case map[string]any:
		for _, x := range t {
			refs = append(refs, unknowns(x)...)
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// Tasks implements Service: newest first.
func (l *Local) Tasks(ctx context.Context, deployment string) ([]Task, error) {
	if _, err := loadDeployment(ctx, l.store, deployment); err != nil {
		return nil, err
	}
	ts, err := engine.Tasks(ctx, l.store, deployment)
	if err != nil {
		return nil, storeError(err)
	}
	out := make([]Task, 0, len(ts))
	for _, t := range slices.Backward(ts) {
		if !t.Status.Ended() {
			t.Progress = l.progress(ctx, t)
		}
		out = append(out, l.task(t))
	}
	return out, nil
}

// progress counts the steps of a task that has not ended.
func (l *Local) progress(ctx context.Context, t engine.Task) (p engine.Progress) {
	steps, err := l.Steps(ctx, t.Deployment, t.ID)
	if err != nil {
		return t.Progress // as of its beginning
	}
	for _, s := range steps {
		if !s.Acts() {
			continue
		}
		p.Total++
		switch engine.Status(s.Status) {
		case engine.Done:
			p.Done++
		case engine.Failed:
			p.Failed++
		case engine.Skipped, engine.Cancelled:
			p.Skipped++
		case engine.Doing:
			p.Running++
		}
	}
	return p
}

// task is a record as the Service shows it.
func (l *Local) task(t engine.Task) Task {
	return Task{ID: t.ID, Deployment: t.Deployment, Verb: Verb(t.Verb), Workflow: t.Workflow, Status: string(t.Status), User: t.User, Created: t.Created,
		Started: t.Started, Ended: t.Ended, Steps: Progress(t.Progress), Failure: failure(t.Failure), Changed: t.Changed, Left: t.Left, Checked: t.Checked}
}

func failure(f *engine.Failure) *Failure {
	if f == nil {
		return nil
	}
	out := &Failure{Step: f.Step, Node: f.Node, Instance: f.Instance, Operation: f.Operation, Host: f.Host, ExitCode: f.ExitCode, Message: f.Message,
		Stderr: f.Stderr, Detail: f.Detail, Hint: f.Hint, Pos: f.Pos, Attempts: f.Attempts, Skipped: f.Skipped}
	for i := range f.Others {
		out.Others = append(out.Others, *failure(&f.Others[i]))
	}
	return out
}

// Steps implements Service: the plan's steps with what has become of them.
func (l *Local) Steps(ctx context.Context, deployment, task string) ([]StepStatus, error) {
	t, err := l.findTask(ctx, deployment, task)
	if err != nil {
		return nil, err
	}
	p, err := engine.LoadPlan(ctx, l.store, deployment, t.ID)
	if err != nil {
		return nil, storeError(err)
	}
	journal, err := engine.Journal(ctx, l.store, deployment, t.ID)
	if err != nil {
		return nil, storeError(err)
	}
	at := make(map[string]int, len(p.Steps))
	out := make([]StepStatus, len(p.Steps))
	for i, s := range p.Steps {
		at[s.ID] = i
		out[i] = StepStatus{Step: s, Status: string(engine.Pending)}
	}
	for _, tr := range journal {
		i, ok := at[tr.Step]
		if !ok {
			continue
		}
		s := &out[i]
		s.Status, s.Attempts, s.Error = string(tr.Status), tr.Attempt, tr.Error
		switch {
		case tr.Status == engine.Doing:
			if s.Started.IsZero() || !s.Ended.IsZero() {
				s.Started = tr.At
			}
			s.Ended = time.Time{}
		case tr.Status.Ended():
			s.Ended = tr.At
			if s.Started.IsZero() && tr.Status == engine.Done {
				s.Started = tr.At
			}
		}
		if tr.Because != "" {
			s.Error = "skipped because " + tr.Because + " failed"
		}
	}
	if !t.Status.Ended() {
		waiting(out, at)
	}
	return out, nil
}

// waiting says for what pending steps wait.
func waiting(steps []StepStatus, at map[string]int) {
	for i := range steps {
		s := &steps[i]
		if s.Status != string(engine.Pending) {
			continue
		}
		var names []string
		for _, n := range s.Needs {
			if j, ok := at[n]; ok && !engine.Status(steps[j].Status).Ended() {
				names = append(names, n)
			} else if ok && steps[j].Ended.After(s.Since) {
				s.Since = steps[j].Ended
			}
		}
		if len(names) > 3 {
			names = append(names[:3], fmt.Sprintf("%d more", len(names)-3))
		}
		s.Waiting = strings.Join(names, ", ")
		if s.Waiting == "" {
			s.Waiting = "a free place"
		}
	}
}

// Host implements Service.
func (l *Local) Host(ctx context.Context, deployment string, in topology.Instance) (*driver.Host, error) {
	v, err := l.view(ctx, deployment)
	if err != nil {
		return nil, err
	}
	n := v.topology.NodeNamed(in.Node)
	if n == nil {
		return nil, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no node %q", deployment, in.Node), Hint: "it has " + strings.Join(v.topology.NodeNames(), ", "), Err: ErrNotFound}
	}
	if in.Index == "" {
		in.Index = "0"
	}
	server, ok := plan.ParseInstance(plan.ServerOf(v.topology, n, in.Index))
	if !ok {
		return nil, &Error{Kind: KindUser, Msg: in.String() + " is on no server: its operations run where orch runs"}
	}
	if rec := v.world.Instance(server); rec != nil && rec.Host != nil {
		return rec.Host, nil
	}
	if l.opts.Hosts != nil {
		if h, err := l.opts.Hosts(v.topology, server, v.world); err == nil && h != nil {
			return h, nil
		}
	}
	return nil, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("the address of %s is not known", server), Hint: "orch status " + deployment + " shows what exists", Err: ErrNotFound}
}

// Wait implements Service.
func (l *Local) Wait(ctx context.Context, deployment, task string) (Task, error) {
	t, err := l.findTask(ctx, deployment, task)
	if err != nil {
		return Task{}, err
	}
	l.mu.Lock()
	r := l.running[deployment]
	l.mu.Unlock()
	if r != nil && r.task == t.ID {
		select {
		case <-r.done:
		case <-ctx.Done():
			return l.task(t), context.Cause(ctx)
		}
	}
	for orphaned := 0; ; {
		last := t
		if t, err = engine.LoadTask(ctx, l.store, deployment, t.ID); err != nil {
			if errors.Is(err, state.ErrNotFound) { // purged when it was done
				last.Status = engine.Done
				return l.task(last), nil
			}
			return l.task(last), storeError(err)
		}
		if t.Status.Ended() {
			return l.task(t), nil
		}
		holders, err := l.store.Holders(ctx, leaseKey(deployment))
		if err != nil {
			return l.task(t), storeError(err)
		}
		if orphaned++; len(holders) > 0 {
			orphaned = 0
		}
		if orphaned > orphanedAfter {
			return l.task(t), &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s is not finished, and nobody works on it: its process has ended", t.ID),
				Hint: "go on with: orch resume " + deployment}
		}
		select {
		case <-ctx.Done():
			return l.task(t), context.Cause(ctx)
		case <-time.After(waitPace):
		}
	}
}

const (
	waitPace = 500 * time.Millisecond
	// orphanedAfter is how many looks in a row must find nobody at work: a server may be about to take over.
	orphanedAfter = 6
)

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }
