package resolve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// expand puts the templates that stand in for nodes into the topology. The substituted node stays, without operations, as the place of its
// properties and attributes; it depends on the template's nodes, and what relates to it relates to the nodes that its mappings name.
func (r *resolver) expand() {
	for _, s := range r.chosen {
		sub := r.nested(s)
		if sub != nil && sub.in.nest != nil && *sub.in.nest.budget < 0 {
			continue // it was reported; putting the rest together would only take long
		}
		if sub != nil {
			e := &expansion{r: r, n: s.n, def: s.file.Doc.Topology.Substitution, sub: sub, file: s.file}
			if e.run(); r.expanded == nil {
				r.expanded = map[string]*expansion{}
			}
			r.expanded[s.n.Name] = e
		}
	}
	if len(r.chosen) > 0 {
		r.top.Reindex()
	}
}

// expansion of one node.
type expansion struct {
	r    *resolver
	n    *node
	file *File
	def  *document.Substitution
	sub  *resolver // of the template
	ren  *renamer
	// inner are the template's nodes by their names in it, in their new form.
	inner map[string]*topology.Node
	used  map[string]int // assignments of requirements so far
}

const dependsOn = "tosca.relationships.DependsOn"

func (e *expansion) run() {
	top, n := e.sub.top, e.n
	e.ren = &renamer{names: map[string]string{}, flows: map[string]string{}, inputs: map[string]*topology.Value{}}
	for _, x := range top.Nodes {
		e.ren.names[x.Name] = e.inside(x.Name)
	}
	for name := range e.sub.relTemplates {
		e.ren.names[name] = e.inside(name)
	}
	for _, g := range top.Groups {
		e.ren.names[g.Name] = e.inside(g.Name)
	}
	for name := range top.Workflows {
		e.ren.flows[name] = e.inside(name)
	}
	e.selected()
	e.inputs()
	e.nodes()
	e.interfaces()
	e.delegates()
	e.attributes()
	e.requirements()
	e.capabilities()
	e.rest()
	n.SubstitutedBy, n.Select = e.file.Path, nil
	e.r.top.Reindex()
}

// inside is the name of what was called so in the template. Cloudify's namespaces look alike.
func (e *expansion) inside(name string) string { return e.n.Name + "--" + name }

// target of a mapping: a node of the template and the name of its feature, which is the mapping's own where only the node is named.
func target(m document.Mapping) (node, feature string) {
	switch len(m.To) {
	case 0:
		return "", ""
	case 1:
		return m.To[0].Text, m.Name.Text
	}
	return m.To[0].Text, m.To[1].Text
}

// capabilityOf is the node of the resolver's topology that has a capability in the end: a substituted node's is that of a node inside.
func (r *resolver) capabilityOf(node, name string) (string, string) {
	e := r.expanded[node]
	if e == nil {
		return node, name
	}
	for _, m := range e.def.Capabilities {
		if m.Name.Text == name {
			in, feature := e.sub.capabilityOf(target(m))
			return e.ren.name(in), feature
		}
	}
	return node, name
}

// feature of a node: a requirement.
type featureOf struct{ node, feature string }

// requirementOfInner is capabilityOf for requirements, which can be mapped to several: mappings of one are taken in turn, and the last one serves the
// rest.
func (r *resolver) requirementOfInner(node, name string) []featureOf {
	e := r.expanded[node]
	if e == nil {
		return []featureOf{{node, name}}
	}
	targets, ok := e.requirement(name)
	if !ok {
		return []featureOf{{node, name}}
	}
	for i := range targets {
		targets[i].node = e.ren.name(targets[i].node)
	}
	return targets
}

// requirement are the inner requirements for the next assignment of one.
func (e *expansion) requirement(name string) (out []featureOf, ok bool) {
	if e.used == nil {
		e.used = map[string]int{}
	}
	left := int64(e.used[name])
	var use *document.Mapping
	for i := range e.def.Requirements {
		m := &e.def.Requirements[i]
		if m.Name.Text != name || len(m.Of) > 0 {
			continue
		}
		use = m
		if left -= max(m.Count, 1); left < 0 || m.Count < 0 {
			break
		}
	}
	if use == nil {
		return nil, false
	}
	e.used[name]++
	for _, to := range append([][]document.Name{use.To}, use.More...) {
		out = append(out, e.sub.requirementOfInner(target(document.Mapping{Name: use.Name, To: to}))...)
	}
	return out, true
}

// selected replaces nodes with the directive select that a requirement is mapped to: they stand for the requirement's target (TOSCA 2.0).
func (e *expansion) selected() {
	for _, m := range e.def.Requirements {
		if len(m.To) != 1 {
			continue
		}
		x := e.sub.byName[m.To[0].Text]
		if x == nil || !slices.ContainsFunc(x.Directives, func(d string) bool { return strings.HasPrefix(d, "select") }) {
			continue
		}
		for _, rel := range e.n.Relationships {
			if rel.Requirement == m.Name.Text {
				e.ren.names[x.Name] = rel.Target
				break
			}
		}
	}
}

// inputs says what the template's inputs are: the node's properties, by the mappings or by name, else their defaults.
func (e *expansion) inputs() {
	from := map[string]string{}
	for _, in := range e.sub.top.Inputs {
		if e.n.Properties.Get(in.Name) != nil {
			from[in.Name] = in.Name
		}
	}
	ways := map[string]*topology.Value{} // to properties of capabilities and relationships
	for _, m := range e.def.Properties {
		switch {
		case len(m.Of) > 0:
			in := m.Value.Str()
			if len(m.To) == 1 {
				in = m.To[0].Text
			}
			if v := e.way("get_property", m); v != nil {
				ways[in] = v
			}
		case len(m.To) == 1:
			from[m.To[0].Text] = m.Name.Text
		case m.Value.Is(source.Scalar) && e.sub.top.Input(m.Value.Text) != nil:
			from[m.Value.Text] = m.Name.Text
		}
	}
	for _, in := range e.sub.top.Inputs {
		prop, v := from[in.Name], (*topology.Value)(nil)
		if prop != "" {
			v = e.n.Properties.Get(prop)
		}
		switch {
		case ways[in.Name] != nil:
			ways[in.Name].Schema = in.Schema
			e.ren.inputs[in.Name] = ways[in.Name]
		case v != nil && !(v.Kind == topology.LitValue && v.Lit == nil):
			e.fits(v, in, prop)
			e.ren.inputs[in.Name] = e.of(in.Schema, "get_property", e.n.Name, prop)
		case in.Value != nil:
			e.ren.inputs[in.Name] = e.ren.value(in.Value)
		default:
			e.ren.inputs[in.Name] = &topology.Value{Schema: in.Schema, Pos: in.Pos}
			if in.Required && !e.n.typ.broken {
				d := e.r.errorf("missing-property", e.n.Pos, e.n.def.Path+".properties", "%s gives no value for the input %q of the template that stands in for it", e.n.Name, in.Name)
				d.Related = []diag.Related{{Pos: in.Pos, Message: "declared here, required and without default"}}
			}
		}
	}
	for _, m := range e.def.Properties {
		if m.Value != nil && len(m.Of) == 0 && e.n.Properties.Get(m.Name.Text) == nil && m.Value.Get("value") != nil {
			e.n.Properties.Set(m.Name.Text, e.r.value(&context{file: e.file}, m.Value.Get("value"), nil, m.Path))
		}
	}
}

// way is the call that leads to a property or attribute of a capability or relationship; nil if the node has no such relationship, or the property no
// value.
func (e *expansion) way(fn string, m document.Mapping) *topology.Value {
	if m.Of[0].Text == "CAPABILITY" {
		c := e.n.Capability(m.Of[1].Text)
		if c == nil || c.Properties.Get(m.Name.Text) == nil {
			return nil
		}
		return e.of(nil, fn, e.n.Name, "CAPABILITY", m.Of[1].Text, m.Name.Text)
	}
	call := e.of(nil, fn, e.n.Name, "RELATIONSHIP", m.Of[1].Text)
	index := int64(0)
	if len(m.Of) > 2 && m.Of[2].Text == all {
		call.Call.Args = append(call.Call.Args, topology.Lit(all), topology.Lit(m.Name.Text))
		return call
	} else if len(m.Of) > 2 {
		index, _ = strconv.ParseInt(m.Of[2].Text, 10, 64)
	}
	if rels := e.relationships(m.Of[1].Text); index < 0 || int(index) >= len(rels) || rels[index].Properties.Get(m.Name.Text) == nil {
		return nil
	}
	call.Call.Args = append(call.Call.Args, topology.Lit(index), topology.Lit(m.Name.Text))
	return call
}

func (e *expansion) relationships(requirement string) (out []*topology.Relationship) {
	for _, r := range e.n.Relationships {
		if r.Requirement == requirement {
			out = append(out, r)
		}
	}
	return out
}

// fits checks a literal value of the node against the input that it becomes.
func (e *expansion) fits(v *topology.Value, in *topology.Parameter, prop string) {
	var found diag.List
	if plain := topology.Plain(v); !hasUnknown(plain) {
		topology.CoerceAt(plain, in.Schema, prop, v.Pos, &found)
	}
	for _, d := range found {
		d.Message = fmt.Sprintf("%s, as the input %q of the template that stands in for %s", d.Message, in.Name, e.n.Name)
		d.Path = e.n.def.Path + ".properties." + prop
		d.Related = append(d.Related, diag.Related{Pos: in.Pos, Message: "the input is declared here"})
		e.r.diags.Add(d)
	}
}

func hasUnknown(v any) bool {
	switch t := v.(type) {
	case topology.Unknown:
		return true
	case []any:
		return slices.ContainsFunc(t, hasUnknown)
	case map[string]any:
		for _, x := range t {
			if hasUnknown(x) {
				return true
			}
		}
	}
	return false
}

// of makes a call with literal arguments.
func (e *expansion) of(s *topology.Schema, fn string, args ...string) *topology.Value {
	c := &topology.Call{Fn: fn}
	for _, a := range args {
		c.Args = append(c.Args, topology.Lit(a))
	}
	return &topology.Value{Kind: topology.CallValue, Call: c, Schema: s, Pos: e.n.Pos}
}

// nodes adds the template's nodes, and lets the substituted one wait for those that nothing in the template waits for.
func (e *expansion) nodes() {
	e.inner = map[string]*topology.Node{}
	waitedFor := map[string]bool{}
	var added []*topology.Node
	scaled := e.n.Count != nil
	for _, x := range e.sub.top.Nodes {
		if e.ren.names[x.Name] != e.inside(x.Name) {
			continue // stands for a node outside
		}
		c := e.ren.node(x)
		if scaled && c.ScalesWith == "" && c.Count == nil {
			c.ScalesWith = e.n.Name
		}
		if e.r.byName[c.Name] != nil {
			e.r.errorf("duplicate-name", e.n.Pos, e.n.def.Path, "the node %s and %s of the template that stands in for %s would have the same name", c.Name, x.Name, e.n.Name)
		}
		e.inner[x.Name] = c
		added = append(added, c)
		for _, rel := range c.Relationships {
			waitedFor[rel.Target] = true
		}
	}
	e.properties()
	for _, c := range added {
		if !waitedFor[c.Name] {
			e.depend(e.n.Node, "substitution", c.Name)
		}
	}
	at := slices.Index(e.r.top.Nodes, e.n.Node)
	e.r.top.Nodes = slices.Insert(e.r.top.Nodes, at, added...)
}

// depend adds a plain dependency, which orders the two and does nothing else.
func (e *expansion) depend(from *topology.Node, name, to string) {
	unique, i := name, 0
	for slices.ContainsFunc(from.Relationships, func(r *topology.Relationship) bool { return r.Name == unique }) {
		i++
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	from.Relationships = append(from.Relationships, &topology.Relationship{
		Name: unique, Requirement: name, Type: topology.Type{dependsOn, "tosca.relationships.Root"}, Source: from.Name, Target: to,
		Properties: topology.NewValues(), Attributes: topology.NewValues(), Pos: from.Pos,
	})
}

// properties that are mapped to a node's property (TOSCA 1.x) replace that one's value.
func (e *expansion) properties() {
	for _, m := range e.def.Properties {
		if len(m.To) < 2 || e.n.Properties.Get(m.Name.Text) == nil {
			continue
		}
		x := e.inner[m.To[0].Text]
		if x == nil {
			continue
		}
		if c := x.Capability(m.To[1].Text); c != nil && len(m.To) > 2 {
			c.Properties.Set(m.To[2].Text, e.of(c.Declared[m.To[2].Text], "get_property", e.n.Name, m.Name.Text))
			continue
		}
		x.Properties.Set(m.To[1].Text, e.of(x.Declared[m.To[1].Text], "get_property", e.n.Name, m.Name.Text))
	}
}

// interfaces takes the node's operations away; those that are mapped to workflows become the workflow where steps call them.
func (e *expansion) interfaces() {
	for _, w := range e.sub.top.Workflows {
		if e.r.top.Workflows == nil {
			e.r.top.Workflows = map[string]*topology.Workflow{}
		}
		c := e.ren.workflow(w)
		e.r.top.Workflows[c.Name] = c
	}
	byOperation, called := map[string]string{}, map[string]bool{}
	for _, m := range e.def.Interfaces {
		if len(m.To) == 1 {
			if flow := e.ren.flows[m.To[0].Text]; flow != "" {
				iface, op := splitOperation(m.Name.Text)
				byOperation[iface+"."+op] = flow
			}
		}
	}
	bare := (&renamer{}).interfaces(e.n.Interfaces)
	for _, i := range bare {
		for _, o := range i.Operations {
			o.Implementation, o.Dependencies, o.Call, o.Outputs = nil, nil, "", nil
		}
	}
	e.n.Interfaces = bare
	for _, w := range e.r.top.Workflows {
		for _, s := range w.Steps {
			if s.Target != e.n.Name || s.Relationship != "" {
				continue
			}
			for i, a := range s.Activities {
				if flow := byOperation[a.Interface+"."+a.Name]; flow != "" && a.Kind == topology.ActivityCall {
					called[a.Interface+"."+a.Name] = true
					s.Activities[i] = topology.Activity{Kind: topology.ActivityInline, Name: flow, Inputs: a.Inputs, Pos: a.Pos}
				}
			}
		}
	}
	for _, m := range e.def.Interfaces {
		iface, op := splitOperation(m.Name.Text)
		if flow := byOperation[iface+"."+op]; flow != "" && !called[iface+"."+op] {
			d := e.r.warnf(CodeUncalledMapping, m.Name.Pos, m.Path, "no workflow calls %s of %s, so the workflow %s that it is mapped to is not run with it", m.Name.Text, e.n.Name, m.To[0].Text)
			d.Hint = "orch's own install and uninstall run the life cycles of the nodes inside; call the operation in a step of a workflow, or run " + flow
		}
	}
}

// attributes of the node and its capabilities are those of the template's nodes, or its outputs.
func (e *expansion) attributes() {
	for _, o := range e.sub.top.Outputs {
		if v := e.n.Attributes.Get(o.Name); v != nil && v.Kind == topology.LitValue && v.Lit == nil && o.Value != nil {
			e.attribute(o.Name, e.ren.value(o.Value))
		}
	}
	for _, m := range e.def.Attributes {
		switch {
		case len(m.Of) > 0 && len(m.To) == 1:
			e.featureAttribute(m)
		case len(m.To) == 1:
			for _, o := range e.sub.top.Outputs {
				if o.Name == m.To[0].Text && o.Value != nil {
					e.attribute(m.Name.Text, e.ren.value(o.Value))
				}
			}
		case len(m.To) > 1:
			args := []string{e.ren.name(m.To[0].Text)}
			for _, t := range m.To[1:] {
				args = append(args, t.Text)
			}
			e.attribute(m.Name.Text, e.of(nil, "get_attribute", args...))
		}
	}
}

// featureAttribute gives an output to an attribute of a capability or of a relationship.
func (e *expansion) featureAttribute(m document.Mapping) {
	i := slices.IndexFunc(e.sub.top.Outputs, func(o *topology.Parameter) bool { return o.Name == m.To[0].Text && o.Value != nil })
	if i < 0 {
		return
	}
	v := e.ren.value(e.sub.top.Outputs[i].Value)
	if m.Of[0].Text == "CAPABILITY" {
		at := slices.IndexFunc(e.n.Capabilities, func(c *topology.Capability) bool { return c.Name == m.Of[1].Text })
		if at >= 0 {
			c := *e.n.Capabilities[at] // shared by templates of the type that assign nothing to it
			if c.Attributes = (&renamer{}).values(c.Attributes); c.Attributes == nil {
				c.Attributes = topology.NewValues()
			}
			c.Attributes.Set(m.Name.Text, v)
			e.n.Capabilities[at] = &c
		}
		return
	}
	index := 0
	if len(m.Of) > 2 {
		index, _ = strconv.Atoi(m.Of[2].Text)
	}
	if rels := e.relationships(m.Of[1].Text); index >= 0 && index < len(rels) {
		if rels[index].Attributes == nil {
			rels[index].Attributes = topology.NewValues()
		}
		rels[index].Attributes.Set(m.Name.Text, v)
	}
}

func (e *expansion) attribute(name string, v *topology.Value) {
	copied := *v
	if old := e.n.Attributes.Get(name); old != nil {
		copied.Schema = old.Schema
	}
	e.n.Attributes.Set(name, &copied)
}

// rest adds groups, policies, sources and what could not be bound.
func (e *expansion) rest() {
	top, sub := e.r.top, e.sub.top
	for _, g := range sub.Groups {
		top.Groups = append(top.Groups, e.ren.group(g))
	}
	for _, p := range sub.Policies {
		top.Policies = append(top.Policies, e.ren.policy(p, e.inside(p.Name)))
	}
	for f := range e.sub.used {
		e.r.used[f] = true
	}
	for _, u := range sub.Unfulfilled {
		u.Node = e.ren.name(u.Node)
		top.Unfulfilled = append(top.Unfulfilled, u)
	}
}
