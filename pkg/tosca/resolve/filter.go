package resolve

import (
	gocontext "context"

	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// passes tells whether a node satisfies a node filter. Values that are computed later pass.
func (r *resolver) passes(c *node, f *document.NodeFilter, file *File) bool {
	if f.Condition != nil {
		return r.conditionHolds(c, f, file)
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

// conditionHolds evaluates a boolean function of TOSCA 2.0 with the node as SELF. What is not known before the deployment holds; what the
// node does not have does not.
func (r *resolver) conditionHolds(c *node, f *document.NodeFilter, file *File) bool {
	if v, ok := r.conditions[f]; ok && v == nil {
		return true // malformed, and reported
	}
	if r.conditions[f] == nil {
		found := len(*r.diags)
		v := r.value(&context{file: file, validation: true}, f.Condition, nil, f.Path)
		if len(*r.diags) > found || v.Kind != topology.CallValue {
			v = nil
		}
		r.conditions[f] = v
		if v == nil {
			return true
		}
	}
	got, err := topology.Eval(gocontext.Background(), topology.Scope{Topology: r.top, Node: c.Node}, r.conditions[f], nil)
	if err != nil {
		return false
	}
	ok, known := got.(bool)
	return ok || !known
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
