package plugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// links returns the targets of a mapping's link for one instance, in document order, without repetitions.
func (r *Renderer) links(ctx context.Context, in *inst, name string) ([]*linkItem, error) {
	l := in.mapping.Link(name)
	if l == nil {
		return nil, fmt.Errorf("the mapping %s has no link %q", in.mapping.Name, name)
	}
	starts := []*linkItem{{inst: in}}
	if l.Via != "" {
		var err error
		if starts, err = r.links(ctx, in, l.Via); err != nil {
			return nil, err
		}
	}
	var out []*linkItem
	for _, s := range starts {
		found, err := r.follow(s.inst, l)
		if err != nil {
			return nil, err
		}
		for _, it := range found {
			if !slices.ContainsFunc(out, func(o *linkItem) bool { return o.inst == it.inst }) {
				out = append(out, it)
			}
		}
	}
	return out, nil
}

func (r *Renderer) follow(in *inst, l *Link) ([]*linkItem, error) {
	var out []*linkItem
	add := func(other *topology.Node, rel *topology.Relationship, outgoing bool) error {
		for _, index := range r.paired(in, other) {
			id := topology.Instance{Node: other.Name, Index: index}
			if r.Gone[id] {
				continue
			}
			o, err := r.inst(id)
			if err != nil {
				return err
			}
			it := &linkItem{inst: o, rel: rel, source: o}
			if outgoing {
				it.source = in
			}
			out = append(out, it)
		}
		return nil
	}
	for _, rel := range in.node.Relationships {
		if t := r.Topology.NodeNamed(rel.Target); t != nil && r.selects(in, l, l.To, rel, t) {
			if err := add(t, rel, true); err != nil {
				return nil, err
			}
		}
	}
	if len(l.From) == 0 {
		return out, nil
	}
	for _, n := range r.Topology.Nodes {
		for _, rel := range n.Relationships {
			if rel.Target == in.node.Name && r.selects(in, l, l.From, rel, n) {
				if err := add(n, rel, false); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

func (r *Renderer) selects(in *inst, l *Link, kinds []string, rel *topology.Relationship, other *topology.Node) bool {
	if len(l.Requirement) > 0 && !slices.Contains(l.Requirement, rel.Requirement) {
		return false
	}
	m := r.Set.MappingFor(other, r.Location)
	return m != nil && m.Plugin == in.mapping.Plugin && slices.Contains(kinds, m.Name)
}

// paired returns the instances of the other node that belong to the instance: the one with the same index when both scale together, else all.
func (r *Renderer) paired(in *inst, other *topology.Node) []string {
	if scalesAs(r.Topology, in.node) == scalesAs(r.Topology, other) {
		return []string{in.index}
	}
	return r.Env.Instances(other.Name)
}

// scalesAs is the node that determines the number of instances.
func scalesAs(t *topology.Topology, n *topology.Node) string {
	for range len(t.Nodes) {
		o := t.NodeNamed(n.ScalesWith)
		if n.ScalesWith == "" || o == nil {
			break
		}
		n = o
	}
	return n.Name
}

// allOf returns every instance in the topology that is mapped to the named mapping of the same plugin.
func (r *Renderer) allOf(_ context.Context, in *inst, mapping string) ([]*linkItem, error) {
	var out []*linkItem
	for _, n := range r.Topology.Nodes {
		m := r.Set.MappingFor(n, r.Location)
		if m == nil || m.Plugin != in.mapping.Plugin || m.Name != mapping {
			continue
		}
		for _, index := range r.Env.Instances(n.Name) {
			o, err := r.inst(topology.Instance{Node: n.Name, Index: index})
			if err != nil {
				return nil, err
			}
			out = append(out, &linkItem{inst: o, source: o})
		}
	}
	return out, nil
}
