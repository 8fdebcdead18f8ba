package cloudify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// stepDocument is one difference between two blueprints, in Cloudify's words.
type stepDocument struct {
	Action string   `json:"action"`
	Entity string   `json:"entity_type"`
	ID     []string `json:"entity_id"`
	Order  int      `json:"topology_order"`
}

// edition is a blueprint with what its expressions are in a deployment's plan: its inputs are put in, what only the running application knows
// stays an expression.
type edition struct {
	*topology.Topology
	value func(topology.Scope, *topology.Value) any
}

func editionOf(ctx context.Context, t *topology.Topology, env topology.Env) edition {
	return edition{t, func(sc topology.Scope, v *topology.Value) any {
		sc.Topology = t
		return evaluatedValue(ctx, sc, v, env, false)
	}}
}

func (e edition) values(sc topology.Scope, m *topology.Values) map[string]any {
	out := map[string]any{}
	for k, v := range m.All() {
		out[k] = e.value(sc, v)
	}
	return out
}

// difference lists what an update changes: the blueprint, and what its new inputs mean for properties and operations.
func difference(old, next edition) []stepDocument {
	d := &differ{old: old, next: next}
	if old.Description != next.Description {
		d.add("modify", "description", "description")
	}
	for _, n := range old.Nodes {
		if next.NodeNamed(n.Name) == nil {
			d.add("remove", "node", "nodes", n.Name)
		}
	}
	for _, n := range next.Nodes {
		have := old.NodeNamed(n.Name)
		switch {
		case have == nil:
			d.add("add", "node", "nodes", n.Name)
		case have.Type.Name() != n.Type.Name() || have.Host() != n.Host(): // another thing by the same name
			d.add("remove", "node", "nodes", n.Name)
			d.add("add", "node", "nodes", n.Name)
		default:
			d.node(have, n)
		}
	}
	compareNamed(d, "output", "outputs", old.Outputs, next.Outputs)
	compareNamed(d, "capability", "capabilities", old.Capabilities, next.Capabilities)
	d.workflows(old.Topology, next.Topology)
	return d.steps
}

type differ struct {
	old, next edition
	steps     []stepDocument
}

func (d *differ) add(action, entity string, id ...string) {
	d.steps = append(d.steps, stepDocument{Action: action, Entity: entity, ID: id})
}

func (d *differ) node(a, b *topology.Node) {
	was, is := topology.Scope{Node: a}, topology.Scope{Node: b}
	d.values("property", []string{"nodes", b.Name, "properties"}, d.old.values(was, a.Properties), d.next.values(is, b.Properties))
	d.operations([]string{"nodes", b.Name, "operations"}, d.old.operations(was, a.Interfaces), d.next.operations(is, b.Interfaces))
	same := func(x, y *topology.Relationship) bool { return x.Type.Name() == y.Type.Name() && x.Target == y.Target }
	for i, r := range a.Relationships {
		if !slices.ContainsFunc(b.Relationships, func(x *topology.Relationship) bool { return same(x, r) }) {
			d.add("remove", "relationship", "nodes", b.Name, "relationships", fmt.Sprintf("[%d]", i))
		}
	}
	for i, r := range b.Relationships {
		at := slices.IndexFunc(a.Relationships, func(x *topology.Relationship) bool { return same(x, r) })
		id := []string{"nodes", b.Name, "relationships", fmt.Sprintf("[%d]", i)}
		if at < 0 {
			d.add("add", "relationship", id...)
			continue
		}
		was.Relationship, is.Relationship = a.Relationships[at], r
		d.values("property", append(slices.Clone(id), "properties"), d.old.values(was, was.Relationship.Properties), d.next.values(is, r.Properties))
		oldSource, oldTarget := ends(was.Relationship.Interfaces)
		source, target := ends(r.Interfaces)
		d.operations(append(slices.Clone(id), "source_operations"), d.old.operations(was, oldSource), d.next.operations(is, source))
		d.operations(append(slices.Clone(id), "target_operations"), d.old.operations(was, oldTarget), d.next.operations(is, target))
	}
}

func (d *differ) values(entity string, at []string, old, next map[string]any) {
	for _, k := range sorted(next) {
		id := append(slices.Clone(at), k)
		switch have, ok := old[k]; {
		case !ok:
			d.add("add", entity, id...)
		case !equal(have, next[k]):
			d.add("modify", entity, id...)
		}
	}
	for _, k := range sorted(old) {
		if _, ok := next[k]; !ok {
			d.add("remove", entity, append(slices.Clone(at), k)...)
		}
	}
}

func equal(a, b any) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

func (d *differ) operations(at []string, old, next map[string]string) {
	for _, name := range sorted(next) {
		switch have, ok := old[name]; {
		case !ok:
			d.add("add", "operation", append(slices.Clone(at), name)...)
		case have != next[name]:
			d.add("modify", "operation", append(slices.Clone(at), name)...)
		}
	}
	for _, name := range sorted(old) {
		if _, ok := next[name]; !ok {
			d.add("remove", "operation", append(slices.Clone(at), name)...)
		}
	}
}

// operations that do something, each as a text that is equal for equal ones.
func (e edition) operations(sc topology.Scope, list []*topology.Interface) map[string]string {
	out := map[string]string{}
	for _, i := range list {
		for _, op := range i.Operations {
			if op.Implementation == nil && op.Call == "" {
				continue
			}
			file, source := "", ""
			if op.Implementation != nil {
				file, source = op.Implementation.File, op.Implementation.Source
			}
			b, err := json.Marshal([]any{file, source, op.Call, e.values(sc, op.Inputs), op.Executor, op.Retries, op.RetryInterval, op.Timeout})
			if err == nil {
				out[topology.CloudifyInterface(i.Name)+"."+op.Name] = string(b)
			}
		}
	}
	return out
}

func compareNamed(d *differ, entity, at string, a, b []*topology.Parameter) {
	find := func(list []*topology.Parameter, name string) *topology.Parameter {
		for _, p := range list {
			if p.Name == name {
				return p
			}
		}
		return nil
	}
	for _, p := range b {
		switch have := find(a, p.Name); {
		case have == nil:
			d.add("add", entity, at, p.Name)
		case !equal(have.Value, p.Value) || have.Description != p.Description:
			d.add("modify", entity, at, p.Name)
		}
	}
	for _, p := range a {
		if find(b, p.Name) == nil {
			d.add("remove", entity, at, p.Name)
		}
	}
}

func (d *differ) workflows(old, next *topology.Topology) {
	for _, name := range sorted(next.Workflows) {
		switch have := old.Workflows[name]; {
		case have == nil:
			d.add("add", "workflow", "workflows", name)
		case have.Call != next.Workflows[name].Call || len(have.Steps) != len(next.Workflows[name].Steps):
			d.add("modify", "workflow", "workflows", name)
		}
	}
	for _, name := range sorted(old.Workflows) {
		if next.Workflows[name] == nil {
			d.add("remove", "workflow", "workflows", name)
		}
	}
}

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// modified are the names of what steps are about, by kind.
func modified(steps []stepDocument) map[string]any {
	kinds := map[string][]string{}
	for _, k := range []string{"node", "relationship", "property", "operation", "workflow", "output", "description", "group", "policy_type", "policy_trigger", "plugin"} {
		kinds[k] = []string{}
	}
	for _, s := range steps {
		id := s.ID[len(s.ID)-1]
		if s.Entity == "node" || s.Entity == "output" || s.Entity == "workflow" {
			kinds[s.Entity] = append(kinds[s.Entity], id)
		} else {
			text := ""
			for i, p := range s.ID {
				if i > 0 {
					text += ":"
				}
				text += p
			}
			kinds[s.Entity] = append(kinds[s.Entity], text)
		}
	}
	out := map[string]any{}
	for k, v := range kinds {
		out[k] = v
	}
	return out
}
