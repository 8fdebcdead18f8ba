package resolve

import (
	gocontext "context"

	"github.com/orch-project/orch/pkg/diag"
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
	condition := r.condition(f, file)
	if condition == nil {
		return true // malformed, and reported
	}
	got, err := topology.Eval(gocontext.Background(), topology.Scope{Topology: r.top, Node: c.Node}, condition, nil)
	if err != nil {
		return false
	}
	ok, known := got.(bool)
	return ok || !known
}

// checkFilter reports names in a filter that nodes of the type do not have, once for a filter and type.
func (r *resolver) checkFilter(f *document.NodeFilter, t *typ, file *File) {
	if f == nil || t == nil || file.Library {
		return
	}
	if r.flatten(t); t.broken || t.state != 2 || r.checked[filterOf{f, t}] {
		return
	}
	r.checked[filterOf{f, t}] = true
	names := func(filters []document.Filter, props *params, of string) {
		for _, p := range filters {
			if props.get(p.Name.Text) == nil {
				d := r.severe(file, "unknown-property", p.Name.Pos, f.Path, "the filter asks for the property %q, which %s does not have", p.Name.Text, of)
				if d.Hint = diag.Suggest(p.Name.Text, props.names()); d.Hint == "" {
					d.Hint = hintList("it has", props.names())
				}
			}
		}
	}
	names(f.Properties, t.props, "the node type "+t.def.Name.Text)
	for _, cf := range f.Capabilities {
		ct := file.lookup(document.CapabilityType, cf.Name.Text)
		found := false
		for _, c := range t.caps {
			if c.name == cf.Name.Text || ct != nil && c.typ != nil && (c.typ.is(r.flatten(ct)) || ct.is(c.typ)) {
				if found = true; c.typ != nil && !c.typ.broken {
					names(cf.Properties, c.props, "the capability "+c.name)
				}
				break
			}
		}
		if !found && ct == nil {
			d := r.severe(file, "unknown-capability", cf.Name.Pos, f.Path, "the filter asks for the capability %q, which the node type %s does not have", cf.Name.Text, t.def.Name.Text)
			d.Hint = diag.Suggest(cf.Name.Text, capabilityNames(t.caps))
		}
	}
}

type filterOf struct {
	f *document.NodeFilter
	t *typ
}

// condition parses a filter's boolean function, once.
func (r *resolver) condition(f *document.NodeFilter, file *File) *topology.Value {
	if f == nil || f.Condition == nil {
		return nil
	}
	if v, ok := r.conditions[f]; ok {
		return v
	}
	found, calls := len(*r.diags), len(r.calls)
	v := r.value(&context{file: file, validation: true}, f.Condition, nil, f.Path)
	r.calls = r.calls[:calls] // what it asks of is only known for a candidate
	if v.Kind != topology.CallValue && v.Lit != true && v.Lit != false && len(*r.diags) == found {
		r.errorf(topology.CodeValueType, f.Pos, f.Path, "a node filter is a boolean function")
	}
	if v.Kind != topology.CallValue || len(*r.diags) > found {
		v = nil
	}
	r.conditions[f] = v
	return v
}

// selection is the node's own filter, for candidates of other deployments.
func (r *resolver) selection(n *node, def *document.NodeTemplate) *topology.Selection {
	s := &topology.Selection{Else: len(n.Directives) > 1}
	f, file := def.NodeFilter, r.in.Root
	if f == nil {
		return s
	}
	s.Condition = r.condition(f, file)
	add := func(capability string, filters []document.Filter, declared map[string]*topology.Schema) {
		for _, p := range filters {
			out := topology.PropertyFilter{Capability: capability, Name: p.Name.Text}
			for _, c := range p.Constraints {
				if k, ok := r.filterConstraint(file, c, declared[p.Name.Text]); ok {
					out.Constraints = append(out.Constraints, k)
				}
			}
			s.Filters = append(s.Filters, out)
		}
	}
	add("", f.Properties, n.Declared)
	for _, cf := range f.Capabilities {
		name, declared := cf.Name.Text, map[string]*topology.Schema(nil)
		if t := file.lookup(document.CapabilityType, name); t != nil {
			name, declared = r.flatten(t).chain.Name(), t.declared
		} else if c := n.Capability(name); c != nil {
			declared = c.Declared
		}
		add(name, cf.Properties, declared)
	}
	return s
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
