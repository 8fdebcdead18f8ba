package resolve

import (
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// passes tells whether a node satisfies a node filter. Values that are computed later pass.
func (r *resolver) passes(c *node, f *document.NodeFilter, file *File) bool {
	if f.Condition != nil {
		return true // TOSCA 2.0: judged by selection, which needs values of nodes outside of the topology
	}
	for _, p := range f.Properties {
		if !r.holds(p, c.Properties, c.Declared, file) {
			return false
		}
	}
	for _, cf := range f.Capabilities {
		if !r.capabilityPasses(c, cf, file) {
			return false
		}
	}
	return true
}

func (r *resolver) capabilityPasses(c *node, cf document.CapabilityFilter, file *File) bool {
	t := file.lookup(document.CapabilityType, cf.Name.Text)
	if t != nil {
		r.flatten(t)
	}
	for i, x := range c.typ.caps {
		if x.name != cf.Name.Text && (t == nil || x.typ == nil || !x.typ.is(t)) {
			continue
		}
		ok := true
		for _, p := range cf.Properties {
			ok = ok && r.holds(p, c.Capabilities[i].Properties, c.Capabilities[i].Declared, file)
		}
		if ok {
			return true
		}
	}
	return false
}

func (r *resolver) holds(p document.Filter, values *topology.Values, declared map[string]*topology.Schema, file *File) bool {
	v := values.Get(p.Name.Text)
	if v == nil || v.Kind == topology.LitValue && v.Lit == nil {
		return len(p.Constraints) == 0
	}
	s := declared[p.Name.Text]
	for _, def := range p.Constraints {
		k, ok := r.filterConstraint(file, def, s)
		if ok && k.Check(v, s) != "" {
			return false
		}
	}
	return true
}

// filterConstraint converts a filter's constraint once per property schema.
func (r *resolver) filterConstraint(f *File, def *document.Constraint, s *topology.Schema) (topology.Constraint, bool) {
	key := filterKey{def, s}
	if k, ok := r.filters[key]; ok {
		return k, true
	}
	bare := topology.Schema{}
	if s != nil {
		bare = *s
		bare.Constraints, bare.Validation = nil, nil
	}
	k, ok := r.constraint(f, def, &bare, "node_filter")
	if ok {
		r.filters[key] = k
	}
	return k, ok
}

type filterKey struct {
	def *document.Constraint
	s   *topology.Schema
}
