package orch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

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
	return Deployment{Name: d.Name, Status: string(d.Status), Doing: d.Doing, Topology: d.Topology, Revision: d.Revision, Location: d.Location, Created: d.Created,
		Updated: d.Updated, Task: d.Task, Owner: owner, Instances: instances, Cause: d.Cause, OnFailure: d.OnFailure, Blueprint: d.Blueprint}
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
	det := l.detail(v, owners[name])
	return det, l.policyStatus(ctx, v, det)
}

// detail is a view as the Service shows it.
func (l *Local) detail(v *view, owner string) *Detail {
	det := &Detail{Nodes: []NodeStatus{}, Deployment: v.record.public(owner, len(v.snapshot.Instances)), Description: v.record.Description,
		Metadata: v.record.Metadata, Inputs: masked(v.inputs, l.opts.Redactor)}
	seen := map[string]bool{}
	for _, n := range v.topology.Nodes {
		seen[n.Name] = true
		ns := NodeStatus{Name: n.Name, Type: n.Type.Name(), Host: n.Host(), Instances: []InstanceStatus{}}
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
	return det
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
	return topology.MapLeaves(v, func(leaf any) any {
		switch t := leaf.(type) {
		case secret.Value:
			return secret.Mask
		case string:
			return r.String(t)
		}
		return leaf
	})
}

// revealed is the opposite: plain values.
func revealed(v any) any {
	return topology.MapLeaves(v, func(leaf any) any {
		if s, ok := leaf.(secret.Value); ok {
			return s.Reveal()
		}
		return leaf
	})
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
	if !reveal { // who is shown a value needs the right to it, who is shown that there is one does not
		ctx = usedBy(ctx, name)
	}
	out := []Output{}
	for _, p := range outputsOf(v.topology) {
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

// outputsOf are a topology's outputs, and after them its capabilities: what a Cloudify blueprint shows to other deployments is what most
// blueprints tell their users. A name that both have is the output's.
func outputsOf(t *topology.Topology) []*topology.Parameter {
	out := slices.Clone(t.Outputs)
	for _, c := range t.Capabilities {
		if !slices.ContainsFunc(t.Outputs, func(o *topology.Parameter) bool { return o.Name == c.Name }) {
			out = append(out, c)
		}
	}
	return out
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
	of := func(in topology.Instance) *driver.Host {
		if rec := v.world.Instance(in); rec != nil {
			return rec.Host
		}
		return nil
	}
	if h := of(server); h != nil {
		if l.opts.Complete == nil {
			return h, nil
		}
		return l.opts.Complete(ctx, driver.Server{Deployment: deployment, Topology: v.topology, Instance: server, Env: v.world, Host: h, Other: of})
	}
	if l.opts.Hosts != nil {
		if h, err := l.opts.Hosts(ctx, deployment, v.topology, server, v.world); err == nil && h != nil {
			return h, nil
		}
	}
	return nil, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("the address of %s is not known", server), Hint: "orch status " + deployment + " shows what exists", Err: ErrNotFound}
}

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }
