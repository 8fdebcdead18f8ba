package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// bind makes the relationships of a node: of its requirement assignments first, then of required ones that nobody assigned.
func (r *resolver) bind(n *node) {
	if n.typ == nil {
		n.typ = &typ{broken: true, def: &document.Type{Kind: document.NodeType}}
	}
	count := map[string]int64{}
	names := map[string]int{}
	for _, def := range n.def.Requirements {
		q := r.requirementOf(n, def)
		if q == nil && !n.typ.broken && !r.in.Root.Doc.Traits.Open {
			continue
		}
		name := def.Name.Text
		if q != nil {
			count[q.name] += times(def)
		}
		r.bindOne(n, q, def, unique(names, name))
	}
	for _, q := range n.typ.reqs {
		if q.upper >= 0 && count[q.name] > q.upper {
			r.tooMany(n, q, count[q.name])
		}
		for i := count[q.name]; i < q.lower; i++ {
			r.bindUnassigned(n, q, names)
			if i > 8 {
				break
			}
		}
	}
}

// unique names a relationship after its requirement: host, host-1, host-2 …
func unique(names map[string]int, name string) string {
	i := names[name]
	names[name]++
	if i == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(i)
}

func (r *resolver) tooMany(n *node, q *requirement, got int64) {
	for _, def := range n.def.Requirements {
		if def.Name.Text == q.name || def.Requirement.Text == q.name {
			d := r.warnf("too-many-requirements", def.Name.Pos, def.Path, "%s assigns the requirement %s %d times; its type allows %d", n.Name, q.name, got, q.upper)
			d.Related = []diag.Related{{Pos: q.def.Name.Pos, Message: "declared here"}}
			return
		}
	}
}

// requirementOf finds the definition that an assignment is of.
func (r *resolver) requirementOf(n *node, def *document.Requirement) *requirement {
	name := def.Requirement
	if name.IsZero() {
		name = def.Name
	}
	for _, q := range n.typ.reqs {
		if q.name == name.Text {
			return q
		}
	}
	if n.typ.broken || r.in.Root.Doc.Traits.Open {
		return nil
	}
	var names []string
	for _, q := range n.typ.reqs {
		names = append(names, q.name)
	}
	d := r.errorf("unknown-requirement", name.Pos, def.Path, "%s has no requirement %q", n.Name, name.Text)
	if d.Hint = diag.Suggest(name.Text, names); d.Hint == "" {
		d.Hint = hintList("its type "+n.typ.def.Name.Text+" has", names)
	}
	return nil
}

// wanted is what a target must have.
type wanted struct {
	node           *typ
	capability     *typ
	capabilityName string
	filters        []*document.NodeFilter
	filterFiles    []*File
}

func (r *resolver) bindOne(n *node, q *requirement, def *document.Requirement, name string) {
	if slices.ContainsFunc(def.Directives, func(d document.Name) bool { return strings.HasPrefix(d.Text, "substitut") }) {
		return
	}
	if q == nil {
		q = &requirement{name: def.Name.Text, unknown: true, upper: -1}
	}
	w := wanted{node: q.node, capability: q.capability, capabilityName: q.capabilityName}
	if q.filter != nil {
		w.filters, w.filterFiles = append(w.filters, q.filter), append(w.filterFiles, q.owner.file)
	}
	if def.NodeFilter != nil {
		r.condition(def.NodeFilter, r.in.Root)
		w.filters, w.filterFiles = append(w.filters, def.NodeFilter), append(w.filterFiles, r.in.Root)
	}
	target := r.byName[def.Node.Text]
	if target == nil && !def.Node.IsZero() {
		t := r.in.Root.lookup(document.NodeType, def.Node.Text)
		if t == nil {
			r.unknownNode(def.Node, def.Path+".node", def.Name.Text)
			return
		}
		w.node = r.flatten(t)
	}
	if !def.Capability.IsZero() && !r.wantCapability(n, &w, target, def) {
		return
	}
	if target != nil {
		r.checkFilter(def.NodeFilter, target.typ, r.in.Root)
	} else {
		r.checkFilter(def.NodeFilter, w.node, r.in.Root)
	}
	switch {
	case target != nil:
	case r.outside(n, def, w):
		return
	default:
		if target = r.match(n, w, func(candidates []*node) { r.unmatched(n, q, def, w, candidates) }); target == nil {
			return
		}
	}
	r.relate(n, q, def, w, target, name)
}

// outside reports an assignment whose only directive is external (TOSCA 2.0 §8.5): no node of this template may fulfil it.
func (r *resolver) outside(n *node, def *document.Requirement, w wanted) bool {
	is := func(what string) bool {
		return slices.ContainsFunc(def.Directives, func(d document.Name) bool { return d.Text == what })
	}
	if !is("external") || is("internal") {
		return false
	}
	if !def.Optional && !r.mapped(n.Name, def.Name.Text) {
		d := r.warnf("unfulfilled-requirement", def.Name.Pos, def.Path, "the requirement %s of %s is to be fulfilled from outside of the template (%s)", def.Name.Text, n.Name, describeWanted(w))
		d.Hint = "name a node template with the directive select, which stands for a node of another deployment"
		r.top.Unfulfilled = append(r.top.Unfulfilled, topology.Unfulfilled{Node: n.Name, Requirement: def.Name.Text, Pos: def.Name.Pos})
	}
	return true
}

func (r *resolver) unknownNode(name document.Name, docPath, what string) {
	hint := r.suggest(name.Text, r.top.NodeNames)
	if hint == "" {
		hint = r.suggest(name.Text, func() []string { return r.in.Root.typeNames(document.NodeType) })
	}
	if hint == "" && strings.Contains(name.Text, ".") && r.in.Root.incomplete() {
		return // a type of the missing import
	}
	or := " or node type"
	if r.in.Root.Doc.Traits.Open {
		or = "" // Cloudify's relationships lead to node templates only
	}
	r.errorf("unknown-node", name.Pos, docPath, "%s: there is no node template%s %q", what, or, name.Text).Hint = hint
}

// wantCapability reads an assignment's capability: a capability's name of the target, or a capability type.
func (r *resolver) wantCapability(n *node, w *wanted, target *node, def *document.Requirement) bool {
	name := def.Capability.Text
	if target != nil && target.typ != nil && findCapability(target.typ.caps, name) != nil {
		w.capabilityName = name
		return true
	}
	if t := r.in.Root.lookup(document.CapabilityType, name); t != nil {
		w.capability = r.flatten(t)
		return true
	}
	if target == nil {
		w.capabilityName = name
		if w.node != nil && findCapability(w.node.caps, name) != nil {
			return true
		}
	}
	if target != nil && (target.typ == nil || target.typ.broken) {
		return false
	}
	var names []string
	if target != nil {
		for _, c := range target.typ.caps {
			names = append(names, c.name)
		}
	}
	of := "there is no capability or capability type " + strconv.Quote(name)
	if target != nil {
		of = fmt.Sprintf("%s has no capability %q, and there is no capability type of that name", target.Name, name)
	}
	if target == nil && r.in.Root.incomplete() {
		return false
	}
	d := r.errorf("unknown-capability", def.Capability.Pos, def.Path+".capability", "%s", of)
	d.Hint = diag.Suggest(name, append(names, r.in.Root.typeNames(document.CapabilityType)...))
	return false
}

// mapped reports a requirement that the substitution mappings pass on to the outside.
func (r *resolver) mapped(node, req string) bool {
	t := r.in.Root.Doc.Topology
	if t == nil || t.Substitution == nil {
		return false
	}
	for _, m := range t.Substitution.Requirements {
		if len(m.To) >= 2 && m.To[0].Text == node && m.To[1].Text == req {
			return true
		}
	}
	return false
}

// relate makes the relationship and checks both ends.
func (r *resolver) relate(n *node, q *requirement, def *document.Requirement, w wanted, target *node, name string) {
	rel := &topology.Relationship{
		Name: name, Requirement: q.name, Source: n.Name, Target: target.Name, Pos: def.Name.Pos,
		Properties: topology.NewValues(), Attributes: topology.NewValues(),
	}
	before := len(*r.diags)
	c := r.checkTarget(n, q, def, w, target)
	fits := len(*r.diags) == before
	if c != nil {
		rel.Capability = c.name
	}
	t, use, tmpl := r.relationshipType(n, q, def, c)
	if t != nil {
		rel.Type = t.chain
	}
	n.Relationships = append(n.Relationships, rel)
	ctx := &context{file: r.in.Root, node: n.Node, rel: rel}
	if t == nil {
		t = &typ{broken: true, def: &document.Type{Kind: document.RelationshipType}}
	}
	rel.Declared = t.declared
	r.fillRelationship(ctx, rel, t, q, use, tmpl)
	for i, f := range w.filters {
		if target.typ != nil && !target.typ.broken && !r.passes(target, f, w.filterFiles[i]) {
			d := r.warnf("wrong-target", def.Name.Pos, def.Path, "%s does not pass the node filter of the requirement %s of %s", target.Name, q.name, n.Name)
			d.Related = []diag.Related{{Pos: f.Pos, Message: "the filter"}} // a warning: the location may give what the template leaves open
		}
	}
	r.cardinality(ctx, rel, q, def, target)
	r.allocate(ctx, rel, def, c)
	if fits { // one reason why the two do not go together is enough
		if q.relationship != nil || def.Relationship != nil && !def.Relationship.Name.IsZero() { // what nobody names, nobody restricts
			fits = r.relationshipEnds(n, def, t, c, target)
		}
		if fits {
			r.validSource(n, def, c, target)
		}
	}
	if rel.HostedOn() && n.ScalesWith == "" {
		n.ScalesWith = target.Name
	}
}

func (r *resolver) fillRelationship(ctx *context, rel *topology.Relationship, t *typ, q *requirement, use *document.RelationshipUse, tmpl *document.RelationshipTemplate) {
	of := "the relationship " + rel.Source + "." + rel.Name
	var props, attrs []document.Assign
	var ifaces []*document.Interface
	docPath := ""
	if tmpl != nil {
		rel.Template = tmpl.Name.Text
		props, attrs, ifaces, docPath = tmpl.Properties, tmpl.Attributes, tmpl.Interfaces, tmpl.Path
	}
	if use != nil {
		props, attrs = append(props, use.Properties...), append(attrs, use.Attributes...)
		docPath = use.Path
		rel.Artifacts = r.mergeArtifacts(ctx, t.artifacts, use.Artifacts)
	} else {
		rel.Artifacts = t.artifacts
	}
	declared, observed := t.props, t.attrs
	if q.props != nil || q.attrs != nil {
		declared, observed = q.over(t, t.props, q.relationship.props, q.props), q.over(t, t.attrs, q.relationship.attrs, q.attrs)
	}
	rel.Properties = r.assign(ctx, declared, props, "property", of, docPath+".properties", t.broken)
	rel.Attributes = r.assign(ctx, observed, attrs, "attribute", of, docPath+".attributes", t.broken)
	r.required(ctx.file, declared, rel.Properties, props, document.Name{Pos: rel.Pos}, of, docPath+".properties")
	ctx.artifacts = rel.Artifacts
	rel.Interfaces = t.ifaces
	if q.use != nil && len(q.use.Interfaces) > 0 {
		typeCtx := &context{file: q.owner.file, inType: q.owner, artifacts: rel.Artifacts, rel: rel}
		rel.Interfaces = r.mergeInterfaces(typeCtx, rel.Interfaces, q.use.Interfaces, true)
	}
	ctx.inType = t
	rel.Interfaces = r.mergeInterfaces(ctx, rel.Interfaces, ifaces, false)
	if use != nil && use != q.use {
		rel.Interfaces = r.mergeInterfaces(ctx, rel.Interfaces, use.Interfaces, false)
	}
	ctx.inType = nil
}

// checkTarget finds the target's capability and reports a target that does not fit.
func (r *resolver) checkTarget(n *node, q *requirement, def *document.Requirement, w wanted, target *node) *capability {
	if target.typ == nil || target.typ.broken || target.typ.def.Name.Text == "" {
		return nil
	}
	at := def.Node.Pos
	if at.IsZero() {
		at = def.Name.Pos
	}
	c := r.targetCapability(target, w)
	switch {
	case q.unknown:
	case c != nil || w.capability == nil && w.capabilityName == "":
		if w.node != nil && !w.node.broken && !target.typ.is(w.node) {
			d := r.mismatch("wrong-target", at, def.Path, "%s.%s needs a node of type %s; %s is a %s", n.Name, q.name, w.node.def.Name.Text, target.Name, target.typ.def.Name.Text)
			r.relatedDef(d, q)
		}
	case w.capability != nil && !w.capability.broken && !brokenCaps(target.typ):
		var names []string
		for _, x := range target.typ.caps {
			if x.typ != nil {
				names = append(names, x.name+" ("+x.typ.def.Name.Text+")")
			}
		}
		d := r.severe(r.in.Root, "wrong-target", at, def.Path, "%s.%s needs a capability of type %s, which %s does not have", n.Name, q.name, w.capability.def.Name.Text, target.Name)
		d.Hint = hintList(target.Name+" has", names)
		r.relatedDef(d, q)
	case w.capabilityName != "":
		r.severe(r.in.Root, "wrong-target", at, def.Path, "%s.%s needs the capability %s, which %s does not have", n.Name, q.name, w.capabilityName, target.Name)
	}
	return c
}

// mismatch is an error in TOSCA 2.0 and a warning before: the 1.x tools never minded, and documents rely on it.
func (r *resolver) mismatch(code string, pos diag.Pos, docPath, format string, args ...any) *diag.Diagnostic {
	if r.in.Root.Doc.Traits.Strict {
		return r.errorf(code, pos, docPath, format, args...)
	}
	return r.warnf(code, pos, docPath, format, args...)
}

func brokenCaps(t *typ) bool {
	return slices.ContainsFunc(t.caps, func(c *capability) bool { return c.typ == nil || c.typ.broken })
}

func (r *resolver) relatedDef(d *diag.Diagnostic, q *requirement) {
	if q.def != nil {
		d.Related = append(d.Related, diag.Related{Pos: q.def.Name.Pos, Message: "the requirement is declared here"})
	}
}

// relationshipType: the assignment's template or type, the definition's, or what suits the capability.
func (r *resolver) relationshipType(n *node, q *requirement, def *document.Requirement, c *capability) (*typ, *document.RelationshipUse, *document.RelationshipTemplate) {
	use := def.Relationship
	if use != nil && !use.Name.IsZero() {
		if tmpl := r.relTemplates[use.Name.Text]; tmpl != nil {
			t := r.typeRefOnce(document.RelationshipType, tmpl.Type)
			return t, use, tmpl
		}
		if t := r.in.Root.lookup(document.RelationshipType, use.Name.Text); t != nil {
			return r.flatten(t), use, nil
		}
		names := r.in.Root.typeNames(document.RelationshipType)
		for k := range r.relTemplates {
			names = append(names, k)
		}
		hint := diag.Suggest(use.Name.Text, names)
		if hint != "" || !r.in.Root.incomplete() {
			if r.in.Root.Doc.Traits.Open {
				r.errorf("unknown-type", use.Name.Pos, use.Path, "unknown relationship type %q", use.Name.Text).Hint = hint
			} else {
				r.errorf("unknown-type", use.Name.Pos, use.Path, "there is no relationship template or relationship type %q", use.Name.Text).Hint = hint
			}
		}
		return nil, use, nil
	}
	if q.relationship != nil {
		return q.relationship, use, nil
	}
	if q.use != nil && !q.use.Name.IsZero() || q.unknown {
		return nil, use, nil
	}
	if c != nil {
		for _, x := range defaultRelationships {
			if c.chain().Is(x[0]) {
				if t := r.in.Root.lookup(document.RelationshipType, x[1]); t != nil {
					return r.flatten(t), use, nil
				}
			}
		}
	}
	if t := r.in.Root.lookup(document.RelationshipType, "tosca.relationships.DependsOn"); t != nil {
		return r.flatten(t), use, nil
	}
	return nil, use, nil
}

// defaultRelationships suit capability types where a requirement names no relationship.
var defaultRelationships = [][2]string{
	{"tosca.capabilities.Container", "tosca.relationships.HostedOn"},
	{"tosca.capabilities.Compute", "tosca.relationships.HostedOn"},
	{"tosca.capabilities.Attachment", "tosca.relationships.AttachesTo"},
	{"tosca.capabilities.network.Linkable", "tosca.relationships.network.LinksTo"},
	{"tosca.capabilities.network.Bindable", "tosca.relationships.network.BindsTo"},
	{"tosca.capabilities.Endpoint", "tosca.relationships.ConnectsTo"},
}

// typeRefOnce looks up a type whose absence was reported when relationship templates were read.
func (r *resolver) typeRefOnce(kind document.Kind, name document.Name) *typ {
	t := r.in.Root.lookup(kind, name.Text)
	if t == nil {
		return nil
	}
	return r.flatten(t)
}

// relationshipEnds checks where the relationship's type may begin and end; it reports whether it may here.
func (r *resolver) relationshipEnds(n *node, def *document.Requirement, t *typ, c *capability, target *node) bool {
	if c == nil || c.typ == nil || c.typ.broken || t.broken {
		return false
	}
	before := len(*r.diags)
	for p := t; p != nil; p = p.parent {
		if names := p.def.ValidTargetTypes; len(names) > 0 {
			if !validTarget(p.file, names, c.typ, target.typ) {
				r.wrongEnd(p, def, "the relationship type %s may not end at %s.%s (%s)", t.def.Name.Text, target.Name, c.name, c.typ.def.Name.Text).Hint =
					"it may end at " + textNames(names)
			}
			break
		}
	}
	if names, file := validIn(t, func(d *document.Type) []document.Name { return d.ValidCapabilityTypes }); len(names) > 0 && !validTarget(file, names, c.typ, nil) {
		r.severe(r.in.Root, "wrong-target", def.Name.Pos, def.Path, "the relationship type %s may not end at the capability %s.%s (%s)", t.def.Name.Text, target.Name, c.name, c.typ.def.Name.Text).Hint =
			"it may end at " + textNames(names)
	}
	if names, file := validIn(t, func(d *document.Type) []document.Name { return d.ValidSourceTypes }); len(names) > 0 && !n.typ.broken && !validTarget(file, names, nil, n.typ) {
		r.severe(r.in.Root, "wrong-source", def.Name.Pos, def.Path, "the relationship type %s may not begin at %s (%s)", t.def.Name.Text, n.Name, n.typ.def.Name.Text).Hint =
			"it may begin at " + textNames(names)
	}
	if names, file := validIn(c.typ, func(d *document.Type) []document.Name { return d.ValidRelationshipTypes }); len(names) > 0 && !validRelationship(file, names, t) {
		r.severe(r.in.Root, "wrong-source", def.Name.Pos, def.Path, "the capability %s.%s does not take relationships of the type %s", target.Name, c.name, t.def.Name.Text).Hint =
			"it takes " + textNames(names)
	}
	return len(*r.diags) == before
}

// validSource checks where the target's capability takes relationships from.
func (r *resolver) validSource(n *node, def *document.Requirement, c *capability, target *node) {
	if c == nil || c.typ == nil || c.typ.broken {
		return
	}
	sources, file := c.validSources, c.sourcesFile
	for p := c.typ; len(sources) == 0 && p != nil; p = p.parent {
		sources, file = p.def.ValidSourceTypes, p.file
	}
	if len(sources) > 0 && !n.typ.broken && !validTarget(file, sources, nil, n.typ) {
		r.mismatch("wrong-source", def.Name.Pos, def.Path, "the capability %s of %s does not take relationships from %s (%s)", c.name, target.Name, n.Name, n.typ.def.Name.Text).Hint =
			"it takes them from " + textNames(sources)
	}
}

// wrongEnd reports a relationship that ends where its type may not. What only a normative type of TOSCA 1.x forbids is a warning: documents use
// these types for capabilities of their own, and no tool of theirs minds.
func (r *resolver) wrongEnd(says *typ, def *document.Requirement, format string, args ...any) *diag.Diagnostic {
	d := r.severe(r.in.Root, "wrong-target", def.Name.Pos, def.Path, format, args...)
	if says.file.Library && !r.in.Root.Doc.Traits.Strict {
		d.Severity = diag.Warning
	}
	return d
}

// validIn is the nearest list of allowed types among a type and its ancestors, with the file that names them.
func validIn(t *typ, of func(*document.Type) []document.Name) ([]document.Name, *File) {
	for p := t; p != nil; p = p.parent {
		if names := of(p.def); len(names) > 0 {
			return names, p.file
		}
	}
	return nil, nil
}

func validRelationship(f *File, names []document.Name, t *typ) bool {
	for _, name := range names {
		if rt := f.lookup(document.RelationshipType, name.Text); rt == nil || t.is(rt) {
			return true // an unknown type was reported where it is named
		}
	}
	return false
}

func validTarget(f *File, names []document.Name, c, n *typ) bool {
	for _, name := range names {
		ct, nt := f.lookup(document.CapabilityType, name.Text), f.lookup(document.NodeType, name.Text)
		if ct == nil && nt == nil && f.lookup(document.GroupType, name.Text) == nil || ct != nil && c != nil && c.is(ct) || nt != nil && n != nil && n.is(nt) {
			return true // an unknown type was reported where it is named
		}
	}
	return false
}

func textNames(names []document.Name) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n.Text
	}
	return strings.Join(out, ", ")
}
