package resolve

import (
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// capability is a capability definition of a node type.
type capability struct {
	name         string
	typ          *typ // nil: unknown, reported
	props, attrs *params
	declared     map[string]*topology.Schema
	validSources []document.Name
	sourcesFile  *File
	upper        int64 // most relationships; -1 unbounded
	owner        *typ  // whose definition gives the type
	// shared is the capability of templates that assign nothing to it.
	shared *topology.Capability
}

func (c *capability) chain() topology.Type {
	if c.typ == nil {
		return nil
	}
	return c.typ.chain
}

func findCapability(caps []*capability, name string) *capability {
	for _, c := range caps {
		if c.name == name {
			return c
		}
	}
	return nil
}

// capabilities merges a node type's capability definitions over the inherited ones.
func (r *resolver) capabilities(t *typ, inherited []*capability) []*capability {
	if len(t.def.Capabilities) == 0 {
		return inherited
	}
	out := append([]*capability{}, inherited...)
	for _, def := range t.def.Capabilities {
		at := -1
		for i, c := range out {
			if c.name == def.Name.Text {
				at = i
			}
		}
		c := &capability{name: def.Name.Text, upper: -1, sourcesFile: t.file}
		if at >= 0 {
			*c = *out[at]
			c.shared = nil
		}
		r.capability(t, c, def)
		if at >= 0 {
			out[at] = c
		} else {
			out = append(out, c)
		}
	}
	return out
}

func (r *resolver) capability(t *typ, c *capability, def *document.CapabilityDef) {
	if !def.Type.IsZero() {
		old, from := c.typ, c.owner
		c.owner = t
		c.typ = r.typeRef(t.file, document.CapabilityType, def.Type, def.Path+".type")
		if c.typ != nil {
			c.props, c.attrs = c.typ.props, c.typ.attrs
		}
		if old != nil && c.typ != nil && !c.typ.is(old) && !c.typ.broken && !old.broken && !t.file.Doc.Traits.Lenient && !old.is(c.typ) {
			d := r.errorf("refinement", def.Type.Pos, def.Path, "the capability %s cannot change its type from %s to %s", c.name, old.def.Name.Text, c.typ.def.Name.Text)
			d.Hint = "use the same type or one derived from it"
			if loose(t, from) {
				d.Severity = diag.Warning
			}
		}
	} else if c.typ == nil && !t.broken {
		r.errorf("missing-keyname", def.Name.Pos, def.Path, "the capability %s has no type", c.name)
	}
	if c.typ != nil {
		c.props = r.declare(t, c.props, def.Properties, "property")
		c.attrs = r.declare(t, c.attrs, def.Attributes, "attribute")
		for _, v := range def.Values { // Alien4Cloud: a value in place of a definition becomes the default
			p := c.props.get(v.Name.Text)
			if p == nil {
				r.undeclared(t.file, v.Name, c.props, "property", "the capability "+c.name, def.Path+".properties."+v.Name.Text)
				continue
			}
			q := *p
			q.value = r.value(&context{file: t.file, inType: t}, v.Value, p.schema, def.Path+".properties."+v.Name.Text)
			c.props = c.props.clone()
			c.props.set(&q)
		}
	}
	c.declared = c.props.schemas()
	if len(def.ValidSourceTypes) > 0 {
		c.validSources, c.sourcesFile = def.ValidSourceTypes, t.file
		r.typeRefs(t.file, def.ValidSourceTypes, def.Path+".valid_source_types", document.NodeType)
	}
	if def.Occurrences != nil {
		c.upper = def.Occurrences.Upper
	}
}

// template makes a capability of a node template.
func (r *resolver) templateCapability(ctx *context, c *capability, def *document.CapabilityAssign) *topology.Capability {
	if def == nil {
		if c.shared == nil {
			c.shared = r.newCapability(ctx, c, &document.CapabilityAssign{})
		}
		return c.shared
	}
	return r.newCapability(ctx, c, def)
}

func (r *resolver) newCapability(ctx *context, c *capability, def *document.CapabilityAssign) *topology.Capability {
	of, broken := "the capability "+c.name, c.typ == nil || c.typ.broken
	return &topology.Capability{
		Name:       c.name,
		Type:       c.chain(),
		Properties: r.assign(ctx, c.props, def.Properties, "property", of, def.Path+".properties", broken),
		Attributes: r.assign(ctx, c.attrs, def.Attributes, "attribute", of, def.Path+".attributes", broken),
		Declared:   c.declared,
	}
}

// requirement is a requirement definition of a node type.
type requirement struct {
	name           string
	capability     *typ
	capabilityName string
	node           *typ
	relationship   *typ
	use            *document.RelationshipUse
	lower, upper   int64
	filter         *document.NodeFilter
	props, attrs   *params // the relationship's that the requirement refines; nil for none
	owner          *typ
	def            *document.RequirementDef
	unknown        bool // a type it names was reported
}

func (r *resolver) requirements(t *typ, inherited []*requirement) []*requirement {
	if len(t.def.Requirements) == 0 {
		return inherited
	}
	out := append([]*requirement{}, inherited...)
	for _, def := range t.def.Requirements {
		at := -1
		for i, q := range out {
			if q.name == def.Name.Text && q.owner != t {
				at = i
			}
		}
		q := &requirement{name: def.Name.Text, lower: 1, upper: 1, owner: t}
		var old *requirement
		if at >= 0 {
			old = out[at]
			if !t.file.Doc.Traits.Lenient || def.Capability.IsZero() { // Alien4Cloud's definitions replace what they redefine
				*q = *old
				q.owner = t
			}
		}
		r.requirement(t, q, def)
		if traits := t.file.Doc.Traits; old == nil && def.Capability.IsZero() && !t.broken && !traits.Lenient && !traits.Open {
			r.errorf("missing-keyname", def.Name.Pos, def.Path, "the requirement %s has no capability", q.name)
		}
		if old != nil {
			r.refinedRequirement(t, old, q, def)
		}
		if at >= 0 {
			out[at] = q
		} else {
			out = append(out, q)
		}
	}
	return out
}

// refinedRequirement checks that a requirement only narrows what it inherits: derived types, and no more occurrences.
func (r *resolver) refinedRequirement(t *typ, old, q *requirement, def *document.RequirementDef) {
	strict := t.file.Doc.Traits.Strict
	if t.file.Doc.Traits.Lenient || t.file.Library || loose(t, old.owner) {
		return
	}
	for _, x := range []struct {
		what     string
		from, to *typ
		at       document.Name
	}{
		{what: "capability", from: old.capability, to: q.capability, at: def.Capability},
		{what: "node", from: old.node, to: q.node, at: def.Node},
		{what: "relationship", from: old.relationship, to: q.relationship, at: useName(def.Relationship)},
	} {
		if x.at.IsZero() || x.from == nil || x.to == nil || x.from.broken || x.to.broken {
			continue
		}
		if r.link(x.to); !x.to.is(x.from) && !x.from.is(x.to) {
			d := r.errorf("refinement", x.at.Pos, def.Path, "the requirement %s cannot change its %s type from %s to %s", q.name, x.what, x.from.def.Name.Text, x.to.def.Name.Text)
			d.Hint = "use the same type or one derived from it"
			d.Related = []diag.Related{{Pos: old.def.Name.Pos, Message: "first declared here"}}
			if !strict {
				d.Severity = diag.Warning
			}
		}
	}
}

// refined are the properties or attributes of a type that an entity of it refines; nil for none. It may add none.
func (r *resolver) refined(t, of *typ, have *params, defs []*document.Param, what string) *params {
	var known []*document.Param
	for _, def := range defs {
		if have.get(def.Name.Text) == nil {
			if !of.broken {
				r.undeclared(t.file, def.Name, have, what, "the relationship type "+of.def.Name.Text, def.Path)
			}
			continue
		}
		known = append(known, def)
	}
	if len(known) == 0 {
		return nil
	}
	return r.declare(t, have, known, what)
}

// over is what a type declares, with what a requirement refines of it.
func (q *requirement) over(t *typ, have, base, refined *params) *params {
	if refined == nil || q.relationship == nil {
		return have
	}
	out := have.clone()
	for _, p := range refined.list {
		if old := have.get(p.name); old != nil && old == base.get(p.name) {
			out.set(p)
		}
	}
	return out
}

func useName(u *document.RelationshipUse) document.Name {
	if u == nil {
		return document.Name{}
	}
	return u.Name
}

// namesCapability reports a requirement whose capability is one that its node type defines, by its name (TOSCA 2.0 §8.4). Types are compared by
// their definitions: they may not be resolved yet.
func (r *resolver) namesCapability(f *File, def *document.RequirementDef) bool {
	for n := f.lookup(document.NodeType, def.Node.Text); n != nil; n = r.link(n).parent {
		if slices.ContainsFunc(n.def.Capabilities, func(c *document.CapabilityDef) bool { return c.Name.Text == def.Capability.Text }) {
			return true
		}
	}
	return false
}

func (r *resolver) requirement(t *typ, q *requirement, def *document.RequirementDef) {
	q.def = def
	ref := func(kind document.Kind, n document.Name, key string) *typ {
		x := r.typeRef(t.file, kind, n, def.Path+"."+key)
		q.unknown = q.unknown || x == nil
		return x
	}
	if !def.Capability.IsZero() {
		// Alien4Cloud 1.2 also writes the target's node type or the capability's name here.
		q.capability = nil
		switch traits := t.file.Doc.Traits; {
		case traits.Strict && !def.Node.IsZero() && t.file.lookup(document.CapabilityType, def.Capability.Text) == nil && r.namesCapability(t.file, def):
			q.capabilityName = def.Capability.Text
		case t.file.lookup(document.CapabilityType, def.Capability.Text) != nil || !traits.CapabilityNames:
			q.capability = ref(document.CapabilityType, def.Capability, "capability")
		case t.file.lookup(document.NodeType, def.Capability.Text) != nil:
			q.node = ref(document.NodeType, def.Capability, "node")
		default:
			q.capability = ref(document.CapabilityType, def.Capability, "capability")
		}
	}
	if !def.CapabilityName.IsZero() {
		q.capabilityName = def.CapabilityName.Text
	}
	if !def.Node.IsZero() {
		q.node = ref(document.NodeType, def.Node, "node")
	}
	if u := def.Relationship; u != nil {
		q.use = u
		if !u.Name.IsZero() {
			q.relationship = ref(document.RelationshipType, u.Name, "relationship")
		}
		if rel := q.relationship; rel != nil {
			q.props = r.refined(t, rel, rel.props, u.PropertyDefs, "property")
			q.attrs = r.refined(t, rel, rel.attrs, u.AttributeDefs, "attribute")
		}
	}
	if def.Occurrences != nil {
		q.lower, q.upper = def.Occurrences.Lower, def.Occurrences.Upper
	}
	if def.NodeFilter != nil {
		q.filter = def.NodeFilter
		r.condition(q.filter, t.file)
		r.later = append(r.later, func() { r.checkFilter(q.filter, q.node, t.file) })
	}
}
