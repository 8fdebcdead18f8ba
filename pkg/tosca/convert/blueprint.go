package convert

import (
	"slices"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// blueprint is what writing a Cloudify blueprint in TOSCA 1.3 has to know of the whole document first. Cloudify's types are open: nodes have
// relationships, operations and runtime properties that no type declares. TOSCA's are closed, so that what is used of them is declared by the
// types that all others derive from.
//
//	Cloudify                         TOSCA
//	depends_on                       DependsOn, to the capability feature
//	connected_to                     ConnectsTo, to endpoint
//	contained_in                     HostedOn, to host
//	interfaces.lifecycle             Standard
//	interfaces.relationship_lifecycle Configure
type blueprint struct {
	// values are those of properties, by the parameter that declares them first; of untyped ones the type is read off them.
	values map[*document.Param][]*source.Node
	// attributes that functions ask for, and whether something inside of them is.
	attributes map[string]bool
	// requirements are the relationships of templates: their names with the types that are used.
	requirements []*neededRequirement
	// operations of interfaces, by the interface's name.
	operations map[string][]string
	interfaces []string
	// schemas are the types that untyped properties get, by the parameter that declares them first.
	schemas map[*document.Param]*document.Schema
	// redefined properties are of different types in types that derive from each other.
	redefined map[*document.Param]bool
	// structures are the data types made for maps, by name.
	structures map[string]*document.Type
}

type neededRequirement struct {
	name string
	of   []resolve.Declared // the relationship's type, with its ancestors: the common one of all that are used
}

// Names of what is written beside Cloudify's own types.
const (
	jsonType       = "tosca.datatypes.json"
	scalableType   = "cloudify.capabilities.Scalable"
	lifecycle      = "cloudify.interfaces.lifecycle"
	standardType   = "tosca.interfaces.node.lifecycle.Standard"
	relationLife   = "cloudify.interfaces.relationship_lifecycle"
	cloudifyNode   = "cloudify.nodes.Root"
	cloudifyServer = "cloudify.nodes.Compute"
)

// standardOperations are those of TOSCA's life cycle.
var standardOperations = []string{"create", "configure", "start", "stop", "delete"}

// relationshipOperations are Cloudify's, at the source and at the target, as TOSCA's Configure has them. Both establish when both ends are
// started; TOSCA adds the target at the source.
var relationshipOperations = map[string][2]string{
	"preconfigure": {"pre_configure_source", "pre_configure_target"}, "postconfigure": {"post_configure_source", "post_configure_target"},
	"establish": {"add_target", "add_source"}, "unlink": {"remove_target", "remove_source"},
}

func (c *converter) readBlueprint(doc *document.Document) *blueprint {
	b := &blueprint{
		values: map[*document.Param][]*source.Node{}, schemas: map[*document.Param]*document.Schema{}, redefined: map[*document.Param]bool{}, structures: map[string]*document.Type{},
		attributes: map[string]bool{}, operations: map[string][]string{},
	}
	given := func(chain []resolve.Declared, list []document.Assign) {
		c.goWithout(chain, func(name string) bool {
			return slices.ContainsFunc(list, func(a document.Assign) bool { return a.Name.Text == name })
		})
		for _, a := range list {
			if at, p := firstParam(chain, a.Name.Text); p != nil {
				c.given(b, at.File, p, a.Value)
			}
			c.asked(b, a.Value)
		}
	}
	seen := map[*document.Type]bool{}
	types := func(chain []resolve.Declared) {
		for _, t := range chain {
			if seen[t.Type] {
				continue
			}
			seen[t.Type] = true
			for _, p := range t.Properties {
				if at, first := firstParam(chainOf(t), p.Name.Text); first != nil && p.Default != nil {
					c.given(b, at.File, first, p.Default)
				}
				if at, first := firstParam(chainOf(t), p.Name.Text); first != nil && first != p && !refines(t.File, at.File, p.Schema, first.Schema) {
					b.redefined[first] = true
				}
				c.asked(b, p.Default)
			}
			c.operationsOf(b, t.Interfaces)
		}
	}
	for _, t := range doc.Types {
		types(c.Root.Lookup(t.Kind, t.Name.Text))
	}
	for _, n := range doc.Topology.Nodes {
		chain := c.Root.Lookup(document.NodeType, n.Type.Text)
		types(chain)
		given(chain, n.Properties)
		c.operationsOf(b, n.Interfaces)
		for _, r := range n.Requirements {
			of := c.Root.Lookup(document.RelationshipType, r.Relationship.Name.Text)
			types(of)
			given(of, r.Relationship.Properties)
			c.operationsOf(b, r.Relationship.Interfaces)
			b.need(r.Name.Text, of)
		}
	}
	for _, p := range append(append([]*document.Param{}, doc.Topology.Outputs...), doc.Topology.Capabilities...) {
		c.asked(b, p.Value)
	}
	return b
}

// goWithout notes the required properties that are not given: Cloudify fills structures whose fields have defaults, and lets external
// resources go without.
func (c *converter) goWithout(chain []resolve.Declared, given func(name string) bool) {
	seen := map[string]bool{}
	for _, t := range chain {
		for _, p := range t.Properties {
			if !seen[p.Name.Text] && p.Default == nil && (p.Required == nil || *p.Required) && !given(p.Name.Text) {
				c.fitted.relaxed[p] = true
			}
			seen[p.Name.Text] = true
		}
	}
}

// refines reports a schema that another one can be refined by in TOSCA: of the same type, or a derived one.
func refines(f, from *resolve.File, s, of *document.Schema) bool {
	if s == nil || of == nil || s.Type.Text == "any" || of.Type.Text == "any" || s.Type.Text == of.Type.Text {
		return true
	}
	named := from.Lookup(document.DataType, of.Type.Text)
	return len(named) > 0 && is(f.Lookup(document.DataType, s.Type.Text), named[0])
}

// given notes a value of a parameter, and those of the fields of its data type.
func (c *converter) given(b *blueprint, f *resolve.File, p *document.Param, v *source.Node) {
	b.values[p] = append(b.values[p], v)
	c.fields(b, f, p.Schema, v)
}

func (c *converter) fields(b *blueprint, f *resolve.File, s *document.Schema, v *source.Node) {
	if s == nil || v == nil {
		return
	}
	if _, _, _, _, call := c.Root.Doc.Traits.Expressions.Call(v); call {
		return
	}
	for _, it := range v.Items {
		c.fields(b, f, s.Entry, it)
	}
	chain := f.Lookup(document.DataType, s.Type.Text)
	for k, x := range v.All() {
		if at, p := firstParam(chain, k.Text); p != nil {
			c.given(b, at.File, p, x)
		} else {
			c.fields(b, f, s.Entry, x)
		}
	}
}

// need notes a relationship of a template.
func (b *blueprint) need(name string, of []resolve.Declared) {
	for _, q := range b.requirements {
		if q.name == name {
			if t := common(q.of, of); t.Type != nil {
				q.of = chainOf(t)
			}
			return
		}
	}
	b.requirements = append(b.requirements, &neededRequirement{name, of})
}

// operationsOf notes the operations that are used of interfaces, and the attributes that their inputs ask for.
func (c *converter) operationsOf(b *blueprint, list []*document.Interface) {
	for _, i := range list {
		name := i.Name.Text
		if _, ok := b.operations[name]; !ok {
			b.interfaces = append(b.interfaces, name)
			b.operations[name] = nil
		}
		for _, o := range i.Operations {
			for _, in := range o.Inputs {
				c.asked(b, in.Value)
				if in.Def != nil {
					c.asked(b, in.Def.Default)
				}
			}
			if !slices.Contains(b.operations[name], o.Name.Text) && (o.Implementation != nil || len(o.Inputs) > 0) {
				b.operations[name] = append(b.operations[name], o.Name.Text)
			}
		}
	}
}

// asked notes the attributes that a value's functions ask for.
func (c *converter) asked(b *blueprint, n *source.Node) {
	switch {
	case n.Is(source.Sequence):
		for _, it := range n.Items {
			c.asked(b, it)
		}
	case n.Is(source.Mapping):
		if fn, args, problem, _, ok := c.Root.Doc.Traits.Expressions.Call(n); ok && problem == "" && fn == "get_attribute" && len(args) > 1 && args[1].Is(source.Scalar) {
			b.attributes[args[1].Text] = b.attributes[args[1].Text] || len(args) > 2
		}
		for _, v := range n.All() {
			c.asked(b, v)
		}
	}
}

// firstParam is the definition of a property by the furthest ancestor that has it.
func firstParam(chain []resolve.Declared, name string) (resolve.Declared, *document.Param) {
	for _, t := range slices.Backward(chain) {
		for _, p := range t.Properties {
			if p.Name.Text == name {
				return t, p
			}
		}
	}
	return resolve.Declared{}, nil
}

// blueprintDocument writes a blueprint.
func (c *converter) blueprintDocument(doc *document.Document) *source.Node {
	c.bp = c.readBlueprint(doc)
	out := newMap()
	out.text("tosca_definitions_version", c.target)
	out.put("metadata", metadata(doc.Metadata))
	out.text("description", doc.Description)
	for _, t := range doc.Types {
		if t.Kind != document.CapabilityType && !(t.Kind == document.PolicyType && t.Name.Text == "cloudify.policies.scaling") {
			c.use(resolve.Declared{Type: t, File: c.Root})
		}
	}
	body := c.blueprintTopology(doc.Topology)
	sections := make([]m, document.Kinds)
	for i := range sections {
		sections[i] = newMap()
	}
	for len(c.queue) > 0 {
		t := c.queue[0]
		c.queue = c.queue[1:]
		sections[t.Kind].put(c.names[t.Type], c.blueprintType(t))
	}
	c.blueprintInterfaces(sections[document.InterfaceType])
	scalable := newMap()
	scalable.text("derived_from", "tosca.capabilities.Scalable")
	props := newMap()
	for _, p := range []struct {
		name  string
		value int64
	}{{"default_instances", 1}, {"min_instances", 0}, {"max_instances", -1}} {
		x := newMap()
		x.text("type", "integer")
		x.put("default", num(p.value))
		props.put(p.name, x.n)
	}
	scalable.put("properties", props.n)
	sections[document.CapabilityType].put(scalableType, scalable.n)
	for kind, s := range sections {
		out.put(document.Kind(kind).Section(), s.or())
	}
	out.put("topology_template", body)
	return out.n
}
