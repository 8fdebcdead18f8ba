package plugin

import (
	"github.com/orch-project/orch/pkg/topology"
)

// attributes is the Env of properties: attributes of other nodes that the same plugin makes are what those nodes' mappings publish, as a
// reference while rendering. So a port can name its network's id before there is one, and Terraform knows their order.
type attributes struct {
	topology.Env
	f *frame
}

// Unwrap implements topology.Wrapper.
func (a *attributes) Unwrap() topology.Env { return a.Env }

// Attribute implements topology.Env.
func (a *attributes) Attribute(id topology.Instance, capability, name string) (any, bool) {
	if v := a.published(id, capability, name); !isNull(v) {
		return v, true
	}
	return a.Env.Attribute(id, capability, name)
}

func (a *attributes) published(id topology.Instance, capability, name string) any {
	f := a.f
	n := f.r.Topology.NodeNamed(id.Node)
	if n == nil || n == f.in.node && id.Index == f.in.index {
		return nil
	}
	m := f.r.Set.MappingFor(n, f.r.Location)
	if m == nil || m.Plugin != f.in.mapping.Plugin {
		return nil
	}
	if capability != "" {
		name = capability + "." + name
	}
	e := m.Attributes.Get(name)
	in, err := f.r.inst(id)
	if e == nil || err != nil || in.evaluating["attribute "+name] {
		return nil
	}
	in.evaluating["attribute "+name] = true
	defer delete(in.evaluating, "attribute "+name)
	g := *f
	touched := *f.touched
	g.in, g.items, g.touched = in, nil, &touched
	v, err := g.eval(e)
	if err != nil {
		return nil // said where that node is rendered
	}
	return v
}

// Join implements topology.Deferred.
func (r Ref) Join(parts []any) (any, error) { return concat(parts) }

// Join implements topology.Deferred.
func (t template) Join(parts []any) (any, error) { return concat(parts) }

// Join implements topology.Deferred.
func (g Generated) Join(parts []any) (any, error) { return concat(parts) }
