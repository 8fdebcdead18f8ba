package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/dag"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// fitting are the changes to types without which the target refuses what the source's dialect lets through: definitions that an heir turns
// into something unrelated, nodes at the end of requirements for others, properties that are required and not given. Each is reported where it
// is written.
type fitting struct {
	// wider are the types that definitions name instead of theirs, so that what refines them still derives from it; a zero Declared is none.
	wider map[wide]resolve.Declared
	// sources and targets are types that definitions have to allow beside those they name.
	sources, targets map[any][]resolve.Declared
	// relaxed properties are required, and templates go without them.
	relaxed map[*document.Param]bool
	// gone are the schemas of properties whose values were lost.
	gone map[*document.Schema]bool
	// roots are capability types without an ancestor that have to be TOSCA 1.3's node capability.
	roots map[*document.Type]bool
	// used are the types of relationships that nobody names: the normative ones that the source's dialect takes.
	used []resolve.Declared
}

// wide is a definition (of a requirement or capability) and the kind of type that it names.
type wide struct {
	def  any
	kind document.Kind
}

func newFitting() *fitting {
	return &fitting{
		wider: map[wide]resolve.Declared{}, sources: map[any][]resolve.Declared{}, targets: map[any][]resolve.Declared{},
		relaxed: map[*document.Param]bool{}, gone: map[*document.Schema]bool{}, roots: map[*document.Type]bool{},
	}
}

// fit looks at the types that are written and at the relationships that the source has.
func (c *converter) fit() {
	for _, t := range c.written {
		if t.Kind == document.NodeType {
			c.fitRefinements(t)
		}
	}
	if c.Topology == nil || c.Root.Doc.Topology == nil {
		return
	}
	for _, n := range c.Root.Doc.Topology.Nodes {
		if node := c.Topology.NodeNamed(n.Name.Text); node != nil && node.SubstitutedBy == "" {
			c.fitNode(node)
		}
	}
}

// circles reports nodes that depend on each other in a circle: Alien4Cloud takes them from a document that brings its own workflows.
func (c *converter) circles() {
	if c.Topology == nil || !c.Root.Doc.Traits.Lenient {
		return
	}
	var g dag.Graph[string]
	for _, n := range c.Topology.Nodes {
		for _, rel := range n.Relationships {
			if resolve.Ordered(rel.Type) {
				g.Edge(rel.Target, n.Name)
			}
		}
	}
	for _, circle := range g.Cycles() {
		slices.Reverse(circle[1:])
		c.lost(c.Topology.NodeNamed(circle[0]).Pos, "topology_template", "that nodes depend on each other in a circle (%s)", strings.Join(append(circle, circle[0]), " → "))
	}
}

// hosts reports what operations ask nodes for that only their hosts have: other dialects do not look there.
func (c *converter) hosts() {
	if c.Topology == nil || !c.Topology.HostLookup {
		return
	}
	strict := *c.Topology
	strict.HostLookup = false
	for _, d := range topology.Missing(&strict, nil) {
		c.lost(d.Pos, d.Path, "that what a node has not is looked for on its host (%s)", d.Message)
	}
}

// chainOf is a type with its ancestors, nearest first.
func chainOf(t resolve.Declared) []resolve.Declared { return t.File.Lookup(t.Kind, t.Name.Text) }

// parentsOf are the ancestors of a type. A type that another of its name hides is not found by it: then there are none.
func parentsOf(t resolve.Declared) []resolve.Declared { return chainOf(t)[min(1, len(chainOf(t))):] }

// is reports a type that is, or derives from, another; normative types are the same in every file.
func is(chain []resolve.Declared, t resolve.Declared) bool {
	return slices.ContainsFunc(chain, func(a resolve.Declared) bool {
		return a.Type == t.Type || a.Name.Text == t.Name.Text && strings.HasPrefix(t.Name.Text, "tosca.")
	})
}

// common is the nearest type that both derive from, the zero Declared for none.
func common(a, b []resolve.Declared) resolve.Declared {
	for _, t := range a {
		if is(b, t) {
			return t
		}
	}
	return resolve.Declared{}
}

// needs are the types that a requirement definition names. Alien4Cloud 1.2 names the node's type in the place of the capability's.
func needs(f *resolve.File, d *document.RequirementDef) (capability, node document.Name) {
	capability, node = d.Capability, d.Node
	if len(f.Lookup(document.CapabilityType, capability.Text)) == 0 && len(f.Lookup(document.NodeType, capability.Text)) > 0 && node.IsZero() {
		return document.Name{}, capability
	}
	return capability, node
}

// named is the type of a kind that a requirement definition names, with its ancestors; nil for none.
func (c *converter) named(f *resolve.File, d *document.RequirementDef, kind document.Kind) []resolve.Declared {
	if t, ok := c.fitted.wider[wide{d, kind}]; ok {
		if t.Type == nil {
			return nil
		}
		return chainOf(t)
	}
	capability, node := needs(f, d)
	name := map[document.Kind]document.Name{document.CapabilityType: capability, document.NodeType: node}[kind]
	if kind == document.RelationshipType && d.Relationship != nil {
		name = d.Relationship.Name
	}
	return f.Lookup(kind, name.Text)
}

// fitRefinements widens what ancestors say of requirements and capabilities that a node type redefines with unrelated types.
func (c *converter) fitRefinements(t resolve.Declared) {
	ancestors := chainOf(t)
	if len(ancestors) == 0 {
		return
	}
	for _, d := range t.Requirements {
		for _, kind := range []document.Kind{document.CapabilityType, document.NodeType, document.RelationshipType} {
			own := c.named(t.File, d, kind)
			for _, a := range ancestors[1:] {
				if at := slices.IndexFunc(a.Requirements, func(o *document.RequirementDef) bool { return o.Name.Text == d.Name.Text }); at >= 0 && !c.native(a) {
					c.widen(wide{a.Requirements[at], kind}, c.named(a.File, a.Requirements[at], kind), own)
				}
			}
		}
	}
	for _, d := range t.Capabilities {
		own := t.File.Lookup(document.CapabilityType, d.Type.Text)
		if c.normativeFeature(d, own) {
			c.fitted.roots[own[len(own)-1].Type] = true
		}
		for _, a := range ancestors[1:] {
			if at := slices.IndexFunc(a.Capabilities, func(o *document.CapabilityDef) bool { return o.Name.Text == d.Name.Text }); at >= 0 && !c.native(a) {
				c.widen(wide{a.Capabilities[at], document.CapabilityType}, a.File.Lookup(document.CapabilityType, a.Capabilities[at].Type.Text), own)
			}
		}
	}
}

// widen replaces the type that a definition names by one that the other derives from, too.
func (c *converter) widen(d wide, named, other []resolve.Declared) {
	if len(named) == 0 || len(other) == 0 || is(other, named[0]) || is(named, other[0]) {
		return
	}
	if t := common(named, other); t.Type != nil || d.kind == document.NodeType {
		c.fitted.wider[d] = t
	}
}

// normativeFeature reports a capability with the name of the one that every node has in TOSCA 1.3, of a type that has nothing to do with it.
// A document of TOSCA 2.0 may declare the normative types itself.
func (c *converter) normativeFeature(d *document.CapabilityDef, chain []resolve.Declared) bool {
	if c.v2 || !c.Root.Doc.Traits.Strict || d.Name.Text != "feature" || len(chain) == 0 || c.normative(chain[len(chain)-1]) != "" {
		return false
	}
	return !slices.ContainsFunc(chain, func(t resolve.Declared) bool {
		return t.Name.Text == "tosca.capabilities.Node" || t.Name.Text == "tosca.capabilities.Root"
	})
}

// declaredIn finds the definition of an ancestor that has something to say.
func declaredIn[D any](chain []resolve.Declared, of func(*document.Type) []D, has func(D) bool) (resolve.Declared, D) {
	var none D
	for _, t := range chain {
		for _, d := range of(t.Type) {
			if has(d) {
				return t, d
			}
		}
	}
	return resolve.Declared{}, none
}

func (c *converter) fitNode(n *topology.Node) {
	chain := c.Root.Lookup(document.NodeType, n.Type.Name())
	if len(n.Directives) == 0 {
		c.relax(chain, n.Properties)
		for _, k := range n.Capabilities {
			c.relax(capabilityChain(chain, k.Name), k.Properties)
		}
	}
	for _, rel := range n.Relationships {
		of := c.Root.Lookup(document.RelationshipType, rel.Type.Name())
		c.relax(of, rel.Properties)
		if len(of) > 0 && c.names[of[0].Type] == "" && !slices.ContainsFunc(c.fitted.used, func(t resolve.Declared) bool { return t.Type == of[0].Type }) {
			c.fitted.used = append(c.fitted.used, of[0])
		}
		target := c.Topology.NodeNamed(rel.Target)
		if target == nil {
			continue
		}
		at := c.Root.Lookup(document.NodeType, target.Type.Name())
		if c.v2 && len(at) > 0 {
			t, d := declaredIn(chain, func(t *document.Type) []*document.RequirementDef { return t.Requirements }, func(d *document.RequirementDef) bool {
				_, node := needs(c.Root, d)
				return d.Name.Text == rel.Requirement && !node.IsZero()
			})
			if d != nil {
				if named := c.named(t.File, d, document.NodeType); len(named) > 0 && !is(at, named[0]) {
					c.fitted.wider[wide{d, document.NodeType}] = common(named, at)
				}
			}
		}
		c.fitEnds(rel, chain, of, at)
	}
}

// fitEnds allows the two ends of a relationship.
func (c *converter) fitEnds(rel *topology.Relationship, source, of, target []resolve.Declared) {
	if len(source) == 0 || rel.Capability == "" {
		return
	}
	capability := capabilityChain(target, rel.Capability)
	if len(capability) < 2 {
		return
	}
	capability = capability[1:] // the type itself
	allow := func(in map[any][]resolve.Declared, key any, f *resolve.File, names []document.Name, kinds []document.Kind, ends ...[]resolve.Declared) {
		for _, name := range names {
			for _, kind := range kinds {
				for _, end := range ends {
					if t := f.Lookup(kind, name.Text); len(t) > 0 && is(end, t[0]) {
						return
					}
				}
			}
		}
		if !slices.ContainsFunc(in[key], func(t resolve.Declared) bool { return is(ends[0], t) }) {
			in[key] = append(in[key], ends[0][0])
		}
	}
	for _, t := range of {
		if names := append(validTargets(t, document.CapabilityType), validTargets(t, document.NodeType)...); len(names) > 0 && !c.v2 {
			if !c.native(t) {
				allow(c.fitted.targets, t.Type, t.File, names, []document.Kind{document.CapabilityType, document.NodeType}, capability, target)
			}
			break
		}
	}
	// TOSCA 2.0 has a list for each kind, and each of them must allow the end.
	for _, kind := range []document.Kind{document.CapabilityType, document.NodeType} {
		for _, t := range of {
			if names := validTargets(t, kind); len(names) > 0 && c.v2 {
				allow(c.fitted.targets, wide{t.Type, kind}, t.File, names, []document.Kind{kind}, map[document.Kind][]resolve.Declared{document.CapabilityType: capability, document.NodeType: target}[kind])
				break
			}
		}
	}
	if !c.v2 {
		return
	}
	t, d := declaredIn(target, func(t *document.Type) []*document.CapabilityDef { return t.Capabilities }, func(d *document.CapabilityDef) bool {
		return d.Name.Text == rel.Capability && len(d.ValidSourceTypes) > 0
	})
	if d != nil {
		allow(c.fitted.sources, d, t.File, d.ValidSourceTypes, []document.Kind{document.NodeType}, source)
		return
	}
	for _, t := range capability {
		if len(t.ValidSourceTypes) > 0 {
			allow(c.fitted.sources, t.Type, t.File, t.ValidSourceTypes, []document.Kind{document.NodeType}, source)
			return
		}
	}
}

// validTargets are the types of a kind that a relationship type may end at.
func validTargets(t resolve.Declared, kind document.Kind) []document.Name {
	var out []document.Name
	for _, n := range t.ValidTargetTypes {
		if len(t.File.Lookup(kind, n.Text)) > 0 {
			out = append(out, n)
		}
	}
	if kind == document.CapabilityType {
		out = append(out, t.ValidCapabilityTypes...)
	}
	return out
}

// relax notes the required properties that a template goes without.
func (c *converter) relax(chain []resolve.Declared, given *topology.Values) {
	seen := map[string]bool{}
	for _, d := range chain {
		for _, p := range d.Properties {
			if !seen[p.Name.Text] && p.Default == nil && p.Value == nil && p.Short == nil && (p.Required == nil || *p.Required) && (given.Get(p.Name.Text) == nil || c.fitted.gone[p.Schema]) {
				c.fitted.relaxed[p] = true
			}
			seen[p.Name.Text] = true
		}
	}
}

// adapted reports a change without which the target refuses the document.
func (c *converter) adapted(pos diag.Pos, at, format string, args ...any) {
	c.diags.Warnf(CodeLost, pos, "%s; as it stands, %s would refuse the document", fmt.Sprintf(format, args...), c.target).Path = at
}

// allowed are names of types with those that a definition has to allow beside them.
func (c *converter) allowed(pos diag.Pos, at, what string, names []string, more []resolve.Declared) []string {
	for _, t := range more {
		name := c.use(t)
		if slices.Contains(names, name) {
			continue
		}
		c.adapted(pos, at, "%s %s is added: the template has it there", what, name)
		names = append(names, name)
	}
	return names
}

// fittedName is how the type that a definition names is called in the result: the named one, or a wider one.
func (c *converter) fittedName(f *resolve.File, d any, kind document.Kind, name document.Name, at string) string {
	t, ok := c.fitted.wider[wide{d, kind}]
	if !ok || name.IsZero() {
		return c.ref(f, kind, name)
	}
	instead := "no type"
	if t.Type != nil {
		instead = c.use(t)
	}
	c.adapted(name.Pos, at, "the %s %s becomes %s: a type or template has something unrelated in its place", kind, name.Text, instead)
	if t.Type == nil {
		return ""
	}
	return instead
}
