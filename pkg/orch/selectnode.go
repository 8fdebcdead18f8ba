package orch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// selected is the instance of another deployment that takes the place of a node with the directive select. Its values are those of the time when it
// was selected, so that every task of the revision sees the same; deploying anew reads them anew.
type selected struct {
	Node       string `json:"node"`
	Deployment string `json:"deployment"` // as recorded
	Of         string `json:"of"`
	Instance   string `json:"instance"`
	Values     []byte `json:"values,omitempty"` // sealed
}

func (s selected) String() string {
	_, name := SplitName(s.Deployment)
	return fmt.Sprintf("%s/%s[%s]", name, s.Of, s.Instance)
}

// selecting nodes of a topology that is loaded: a new one searches, a stored one takes what was found.
type selecting func(ctx context.Context, t *topology.Topology) diag.List

// taking lets nodes stand for what a revision has selected.
func (l *Local) taking(list []selected) selecting {
	return func(_ context.Context, t *topology.Topology) (out diag.List) {
		for _, n := range t.Nodes {
			i := slices.IndexFunc(list, func(s selected) bool { return s.Node == n.Name })
			switch {
			case n.Select == nil:
			case i < 0:
				n.Make()
			default:
				values, err := engine.DecodeMap(list[i].Values, l.opts.Cipher)
				if err != nil {
					out.Errorf("no-selection", n.Pos, "the stored values of %s, which %s stands for, cannot be read: %v", list[i], n.Name, err).Hint = "is the encryption key the one of this store?"
					continue
				}
				n.Take(unpackSelected(values))
			}
		}
		return out
	}
}

// searching finds nodes of other deployments of the tenant for the nodes with the directive select, and notes them in p. What was selected before
// is taken again while it still fits.
func (l *Local) searching(p *prepared) selecting {
	return func(ctx context.Context, t *topology.Topology) (out diag.List) {
		p.selected, p.told = nil, nil
		if !slices.ContainsFunc(t.Nodes, func(n *topology.Node) bool { return n.Select != nil }) {
			return nil
		}
		others, err := l.others(ctx, p.name)
		if err != nil {
			out.Errorf("no-selection", diag.Pos{}, "cannot look for nodes of other deployments: %v", err)
			return out
		}
		for _, n := range t.Nodes {
			if n.Select == nil {
				continue
			}
			found := others.find(ctx, n, p.stored.Selected)
			if found == nil {
				if n.Select.Else {
					n.Make()
					continue
				}
				d := out.Errorf("no-selection", n.Pos, "no node of another deployment can take the place of %s: none of type %s passes its filter", n.Name, n.Type.Name())
				d.Path, d.Hint = "node_templates."+n.Name, others.hint(n)
				continue
			}
			s := selected{Node: n.Name, Deployment: found.deployment, Of: found.node.Name, Instance: found.instance}
			values, err := found.values(ctx)
			if err == nil {
				s.Values, err = engine.EncodeMap(packSelected(values), l.opts.Cipher)
			}
			if err != nil {
				out.Errorf("no-selection", n.Pos, "the values of %s, which is to take the place of %s, cannot be read: %v", s, n.Name, err)
				continue
			}
			n.Take(values)
			p.selected = append(p.selected, s)
			out.Add(diag.Diagnostic{Severity: diag.Info, Code: "selected", Pos: n.Pos, Path: "node_templates." + n.Name, Message: fmt.Sprintf("%s stands for %s", n.Name, s)})
			p.told = append(p.told, event.Event{Type: event.Log, Level: event.Info, Node: n.Name, Message: fmt.Sprintf("%s stands for %s", n.Name, s)})
		}
		return out
	}
}

// candidate is an instance of a node of another deployment.
type candidate struct {
	deployment string
	topology   *topology.Topology
	node       *topology.Node
	instance   string
	env        topology.Env
	recorded   *engine.Values
}

type candidates []candidate

// others are the started instances of the tenant's other deployments, in the order of their names. Deployments whose records or documents cannot be
// read any more offer none.
func (l *Local) others(ctx context.Context, name string) (candidates, error) {
	tenant, _ := SplitName(name)
	var records []record
	err := l.store.View(ctx, func(tx state.Tx) error {
		records = nil
		for r, err := range state.List[record](tx, deploymentPrefix) {
			if err != nil {
				return err
			}
			if of, _ := SplitName(r.Value.Name); of == tenant && r.Value.Name != name && r.Value.Applied > 0 && r.Value.Status != StatusUndeployed && r.Value.Status != StatusUndeploying {
				records = append(records, r.Value)
			}
		}
		return nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	var out candidates
	for _, d := range records {
		rev, err := l.revision(ctx, d.Name, d.Revision)
		var t *topology.Topology
		var inputs map[string]any
		if err == nil {
			t, inputs, err = l.restore(usedBy(withLocation(ctx, d.Location), d.Name), rev)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			continue
		}
		snap, err := engine.Load(ctx, l.store, d.Name)
		if err != nil {
			return nil, storeError(err)
		}
		env := l.engine.NewWorld(snap, inputs)
		for _, n := range t.Nodes {
			if slices.ContainsFunc(rev.Selected, func(s selected) bool { return s.Node == n.Name }) {
				continue // it is somebody else's
			}
			for _, i := range env.Instances(n.Name) {
				in := topology.Instance{Node: n.Name, Index: i}
				if r := snap.Instances[in]; r != nil && r.State == "started" {
					out = append(out, candidate{d.Name, t, n, i, env, snap.Values[in]})
				}
			}
		}
	}
	return out, nil
}

// find takes the candidate that was taken before if it still fits, else the first that does.
func (c candidates) find(ctx context.Context, n *topology.Node, before []selected) *candidate {
	var first *candidate
	for i := range c {
		x := &c[i]
		if !n.Select.Selects(ctx, topology.Scope{Topology: x.topology, Node: x.node, Instance: x.instance}, n.Type, x.env) {
			continue
		}
		if slices.ContainsFunc(before, func(s selected) bool {
			return s.Node == n.Name && s.Deployment == x.deployment && s.Of == x.node.Name && s.Instance == x.instance
		}) {
			return x
		}
		if first == nil {
			first = x
		}
	}
	return first
}

// hint says what there is of the type.
func (c candidates) hint(n *topology.Node) string {
	var names []string
	for _, x := range c {
		if x.node.Type.Is(n.Type.Name()) {
			names = append(names, selected{Deployment: x.deployment, Of: x.node.Name, Instance: x.instance}.String())
		}
	}
	if len(names) == 0 {
		return "deploy what has such a node first, or let it be made: directives: [ select, create ]"
	}
	if len(names) > 5 {
		names = append(names[:5], "…")
	}
	return fmt.Sprintf("of the type there are %v; its node_filter refuses them", names)
}

// values are the candidate's properties and attributes as far as they are known.
func (c *candidate) values(ctx context.Context) (topology.Selected, error) {
	sc := topology.Scope{Topology: c.topology, Node: c.node, Instance: c.instance}
	ask := func(fn, capability string, names []string) (map[string]any, error) {
		out := map[string]any{}
		for _, name := range names {
			args := []*topology.Value{topology.Lit("SELF")}
			if capability != "" {
				args = append(args, topology.Lit(capability))
			}
			got, err := topology.Eval(ctx, sc, &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: fn, Args: append(args, topology.Lit(name))}}, c.env)
			var ee *topology.EvalError
			switch {
			case errors.As(err, &ee) || err == nil && (got == nil || !topology.Known(got)):
			case err != nil:
				return nil, err
			default:
				out[name] = got
			}
		}
		return out, nil
	}
	s := topology.Selected{Capabilities: map[string]topology.Selected{}}
	var err error
	if s.Properties, err = ask("get_property", "", c.node.Properties.Keys()); err != nil {
		return s, err
	}
	attributes := c.node.Attributes.Keys()
	if c.recorded != nil {
		for name := range c.recorded.Attributes {
			if !slices.Contains(attributes, name) && !strings.Contains(name, ".") { // those of capabilities come below
				attributes = append(attributes, name)
			}
		}
	}
	if s.Attributes, err = ask("get_attribute", "", attributes); err != nil {
		return s, err
	}
	for _, x := range c.node.Capabilities {
		var v topology.Selected
		if v.Properties, err = ask("get_property", x.Name, x.Properties.Keys()); err == nil {
			v.Attributes, err = ask("get_attribute", x.Name, x.Attributes.Keys())
		}
		if err != nil {
			return s, err
		}
		s.Capabilities[x.Name] = v
	}
	return s, nil
}

func packSelected(s topology.Selected) map[string]any {
	out := map[string]any{"properties": s.Properties, "attributes": s.Attributes}
	caps := map[string]any{}
	for name, c := range s.Capabilities {
		caps[name] = packSelected(c)
	}
	out["capabilities"] = caps
	return out
}

func unpackSelected(m map[string]any) topology.Selected {
	part := func(name string) map[string]any { x, _ := m[name].(map[string]any); return x }
	s := topology.Selected{Properties: part("properties"), Attributes: part("attributes"), Capabilities: map[string]topology.Selected{}}
	for name, c := range part("capabilities") {
		if x, ok := c.(map[string]any); ok {
			s.Capabilities[name] = unpackSelected(x)
		}
	}
	return s
}

// sameSelection reports whether two revisions have selected the same, with the same values.
func (l *Local) sameSelection(a, b []selected) bool {
	return slices.EqualFunc(a, b, func(x, y selected) bool {
		if x.Node != y.Node || x.Deployment != y.Deployment || x.Of != y.Of || x.Instance != y.Instance {
			return false
		}
		if bytes.Equal(x.Values, y.Values) {
			return true
		}
		v, err := engine.DecodeMap(x.Values, l.opts.Cipher)
		w, err2 := engine.DecodeMap(y.Values, l.opts.Cipher)
		return err == nil && err2 == nil && canonicalInputs(v) == canonicalInputs(w)
	})
}

// selectedElsewhere warns of other deployments that have selected nodes of one that is about to go.
func (l *Local) selectedElsewhere(ctx context.Context, p *prepared) error {
	tenant, _ := SplitName(p.name)
	return storeError(l.store.View(ctx, func(tx state.Tx) error {
		for r, err := range state.List[record](tx, deploymentPrefix) {
			if err != nil {
				return err
			}
			d := r.Value
			if of, _ := SplitName(d.Name); of != tenant || d.Name == p.name || d.Revision == 0 || d.Status == StatusUndeployed {
				continue
			}
			rev, found, err := state.Find[revision](tx, revisionKey(d.Name, d.Revision))
			if err != nil || !found {
				continue // a broken record of another deployment must not keep this one from going
			}
			for _, s := range rev.Selected {
				if s.Deployment != p.name {
					continue
				}
				_, by := SplitName(d.Name)
				w := p.diags.Warnf("selected-elsewhere", diag.Pos{}, "the deployment %s has selected the node %s, which goes", by, s.Of)
				w.Path, w.Hint = "node_templates."+s.Of, "undeploy "+by+" first, or let it select another node"
				p.told = append(p.told, event.Event{Type: event.Log, Level: event.Warn, Node: s.Of, Message: w.Message})
				if n := p.topology.NodeNamed(s.Of); n != nil {
					w.Pos = n.Pos
				}
			}
		}
		return nil
	}))
}
