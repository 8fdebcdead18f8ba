package resolve

import (
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// requirements of the node become those of the template's nodes that they are mapped to. Where a requirement is assigned several times, its
// mappings are taken in turn; the last one serves the rest. The node keeps a plain dependency, so that its values can follow it.
func (e *expansion) requirements() {
	for _, rel := range e.n.Relationships {
		targets, ok := e.requirement(rel.Requirement)
		if !ok {
			continue
		}
		for _, to := range targets {
			if x := e.inner[to.node]; x != nil {
				e.outward(x, to.feature, rel)
			}
		}
		rel.Type, rel.Interfaces, rel.Artifacts = topology.Type{dependsOn, "tosca.relationships.Root"}, nil, nil
		if e.n.ScalesWith == rel.Target {
			e.n.ScalesWith = ""
		}
	}
}

// outward makes the relationship of an inner node from the one of the node that it is part of.
func (e *expansion) outward(x *topology.Node, requirement string, from *topology.Relationship) {
	rel := *from
	rel.Requirement, rel.Source, rel.Name = requirement, x.Name, requirement
	for i := 1; slices.ContainsFunc(x.Relationships, func(o *topology.Relationship) bool { return o.Name == rel.Name }); i++ {
		rel.Name = fmt.Sprintf("%s-%d", requirement, i)
	}
	// The inner requirement's own relationship type counts where it asks for more than the outer one: its operations are the implementation.
	in := e.sub.byName[innerName(e, x)]
	if in != nil && in.typ != nil {
		for _, q := range in.typ.reqs {
			if q.name == requirement && q.relationship != nil && !rel.Type.Is(q.relationship.def.Name.Text) {
				rel.Type, rel.Declared = q.relationship.chain, q.relationship.declared
				ctx := &context{file: e.file, node: x, rel: &rel}
				e.sub.fillRelationship(ctx, &rel, q.relationship, q, nil, nil)
			}
		}
	}
	x.Relationships = append(x.Relationships, &rel)
	if rel.HostedOn() && (x.ScalesWith == "" || x.ScalesWith == e.n.Name) {
		x.ScalesWith = rel.Target
	}
}

func innerName(e *expansion, x *topology.Node) string {
	for name, n := range e.inner {
		if n == x {
			return name
		}
	}
	return ""
}

// capabilities lets what relates to the node relate to the inner nodes that its capabilities are mapped to, and gives both sides each other's
// values: the inner capability what the node assigns, the node's attributes what the inner one has.
func (e *expansion) capabilities() {
	for _, m := range e.def.Capabilities {
		node, feature := e.sub.capabilityOf(target(m))
		x, own := e.inner[node], e.n.Capability(m.Name.Text)
		if x == nil || own == nil {
			continue
		}
		e.shareCapability(own, x, feature)
	}
	for _, o := range e.r.top.Nodes {
		if o == e.n.Node {
			continue
		}
		for _, rel := range slices.Clone(o.Relationships) {
			if rel.Target == e.n.Name {
				e.inward(o, rel)
			}
		}
	}
}

func (e *expansion) shareCapability(own *topology.Capability, x *topology.Node, name string) {
	inner := x.Capability(name)
	if inner == nil {
		return
	}
	shared := *own // templates of a type share capabilities that they assign nothing to
	shared.Properties, shared.Attributes = (&renamer{}).values(own.Properties), (&renamer{}).values(own.Attributes)
	if shared.Attributes == nil {
		shared.Attributes = topology.NewValues()
	}
	e.n.Capabilities[slices.Index(e.n.Capabilities, own)] = &shared
	given := map[string]bool{}
	for _, c := range e.n.def.Capabilities {
		if c.Name.Text == own.Name {
			for _, p := range c.Properties {
				given[p.Name.Text] = true
			}
		}
	}
	for k := range given {
		if _, ok := inner.Declared[k]; ok {
			inner.Properties.Set(k, e.of(inner.Declared[k], "get_property", e.n.Name, own.Name, k))
		}
	}
	for k, v := range inner.Properties.All() {
		if _, ok := shared.Declared[k]; ok && !given[k] && shared.Properties != nil {
			shared.Properties.Set(k, e.of(v.Schema, "get_property", x.Name, inner.Name, k))
		}
	}
	for k := range inner.Attributes.All() {
		if v := shared.Attributes.Get(k); v != nil && v.Kind == topology.LitValue && v.Lit == nil {
			shared.Attributes.Set(k, e.of(v.Schema, "get_attribute", x.Name, inner.Name, k))
		}
	}
}

// inward turns a relationship to the node to the inner node that its capability is mapped to. The source still waits for the whole.
func (e *expansion) inward(o *topology.Node, rel *topology.Relationship) {
	var x *topology.Node
	feature := ""
	for _, m := range e.def.Capabilities {
		node, name := e.sub.capabilityOf(target(m))
		if m.Name.Text == rel.Capability && e.inner[node] != nil {
			x, feature = e.inner[node], name
		}
	}
	if x == nil {
		return
	}
	fix := &redirect{e: e, rel: rel, x: x}
	rel.Target, rel.Capability = x.Name, feature
	if o.ScalesWith == e.n.Name {
		o.ScalesWith = x.Name
	}
	fix.node(o)
	e.depend(o, rel.Requirement+"-whole", e.n.Name)
}

// redirect lets expressions that reach the node through a relationship find there what only the node itself has.
type redirect struct {
	e   *expansion
	rel *topology.Relationship
	x   *topology.Node
}

func (f *redirect) node(o *topology.Node) {
	f.values(o.Properties, false)
	f.values(o.Attributes, false)
	for i, c := range o.Capabilities {
		if c.Properties.Len() > 0 || c.Attributes.Len() > 0 {
			copied := *c
			copied.Properties, copied.Attributes = (&renamer{}).values(c.Properties), (&renamer{}).values(c.Attributes)
			f.values(copied.Properties, false)
			f.values(copied.Attributes, false)
			o.Capabilities[i] = &copied
		}
	}
	o.Interfaces = (&renamer{}).interfaces(o.Interfaces)
	f.interfaces(o.Interfaces, false)
	for _, r := range o.Relationships {
		own := r == f.rel
		r.Properties, r.Attributes = (&renamer{}).values(r.Properties), (&renamer{}).values(r.Attributes)
		f.values(r.Properties, own)
		f.values(r.Attributes, own)
		r.Interfaces = (&renamer{}).interfaces(r.Interfaces)
		f.interfaces(r.Interfaces, own)
	}
}

func (f *redirect) interfaces(in []*topology.Interface, own bool) {
	for _, i := range in {
		f.values(i.Inputs, own)
		for _, o := range i.Operations {
			f.values(o.Inputs, own)
		}
	}
}

func (f *redirect) values(v *topology.Values, own bool) {
	for k, x := range v.All() {
		if y := f.value(x, own); y != x {
			v.Set(k, y)
		}
	}
}

// value replaces [TARGET, name] and [SELF, requirement, name] by [node, name] where the inner node does not have the name. It returns the same
// value where nothing changes.
func (f *redirect) value(v *topology.Value, own bool) *topology.Value {
	if v == nil || v.Kind == topology.LitValue {
		return v
	}
	out := (&renamer{}).value(v)
	switch out.Kind {
	case topology.ListValue:
		for i, x := range out.List {
			out.List[i] = f.value(x, own)
		}
	case topology.MapValue:
		f.values(out.Map, own)
	case topology.CallValue:
		for i, a := range out.Call.Args {
			out.Call.Args[i] = f.value(a, own)
		}
		f.call(out.Call, own)
	}
	return out
}

func (f *redirect) call(c *topology.Call, own bool) {
	if c.Fn != "get_property" && c.Fn != "get_attribute" {
		return
	}
	word := func(i int) string {
		if i < len(c.Args) && c.Args[i].Kind == topology.LitValue {
			s, _ := c.Args[i].Lit.(string)
			return s
		}
		return ""
	}
	skip := 0
	switch {
	case own && word(0) == "TARGET":
		skip = 1
	case (word(0) == "SELF" || word(0) == f.rel.Source) && (word(1) == f.rel.Requirement || word(1) == f.rel.Name):
		skip = 2
	case (word(0) == "SELF" || word(0) == f.rel.Source) && word(1) == "RELATIONSHIP" && word(2) == f.rel.Requirement && word(3) == "TARGET":
		skip = 4
	default:
		return
	}
	if name := word(skip); name != "" && !hasName(f.x, f.rel.Capability, name) && hasName(f.e.n.Node, "", name) {
		c.Args = append([]*topology.Value{topology.Lit(f.e.n.Name)}, c.Args[skip:]...)
	}
}

func hasName(n *topology.Node, capability, name string) bool {
	_, declared := n.Declared[name]
	if declared || n.Properties.Get(name) != nil || n.Attributes.Get(name) != nil || n.Capability(name) != nil {
		return true
	}
	c := n.Capability(capability)
	return c != nil && (c.Properties.Get(name) != nil || c.Attributes.Get(name) != nil)
}
