package resolve

import (
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
		old := c.typ
		c.typ = r.typeRef(t.file, document.CapabilityType, def.Type, def.Path+".type")
		if c.typ != nil {
			c.props, c.attrs = c.typ.props, c.typ.attrs
		}
		if old != nil && c.typ != nil && !c.typ.is(old) && !c.typ.broken && !old.broken && !t.file.Doc.Traits.Lenient && !old.is(c.typ) {
			r.errorf("refinement", def.Type.Pos, def.Path, "the capability %s cannot change its type from %s to %s", c.name, old.def.Name.Text, c.typ.def.Name.Text).Hint =
				"use the same type or one derived from it"
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
	if t.file.Doc.Traits.Lenient || t.file.Library || !strict && old.owner.file.Library {
		return // documents of TOSCA 1.x redefine the normative types' requirements as they need
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

func useName(u *document.RelationshipUse) document.Name {
	if u == nil {
		return document.Name{}
	}
	return u.Name
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
