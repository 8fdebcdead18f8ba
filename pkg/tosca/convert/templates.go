package convert

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

func (c *converter) topology(t *document.Topology) *source.Node {
	if t == nil {
		return nil
	}
	x, f := newMap(), c.Root
	x.text("description", t.Description)
	if c.v2 {
		x.put("metadata", metadata(t.Metadata))
	} else if len(t.Metadata) > 0 {
		c.lost(t.Pos, t.Path+".metadata", "metadata of the template")
	}
	for _, a := range t.InputArtifacts {
		c.lost(a.Name.Pos, t.Path+".input_artifacts", "the input artifact %s", a.Name.Text)
	}
	x.put("inputs", c.params(f, t.Inputs, "input", nil))
	nodes := newMap()
	for _, n := range t.Nodes {
		nodes.put(n.Name.Text, c.node(n))
	}
	x.put("node_templates", nodes.n)
	rels := newMap()
	for _, r := range t.Relationships {
		rels.put(r.Name.Text, c.relationshipTemplate(r))
	}
	x.put("relationship_templates", rels.or())
	groups := newMap()
	for _, g := range t.Groups {
		groups.put(g.Name.Text, c.group(g))
	}
	x.put("groups", groups.or())
	policies := seq()
	for _, p := range t.Policies {
		policies.Items = append(policies.Items, one(p.Name.Text, c.policy(p)))
	}
	if len(policies.Items) > 0 {
		x.put("policies", policies)
	}
	x.put("outputs", c.params(f, t.Outputs, "output", nil))
	flows := newMap()
	for _, w := range t.Workflows {
		flows.put(w.Name.Text, c.workflow(w))
	}
	x.put("workflows", flows.or())
	if t.Substitution != nil {
		x.put("substitution_mappings", c.substitution(t.Substitution))
	}
	return x.n
}

// schemas finds the declared schemas of a type's properties or attributes.
func schemas(chain []resolve.Declared, section string) func(string) (*resolve.File, *document.Schema) {
	return func(name string) (*resolve.File, *document.Schema) {
		for _, t := range chain {
			list := t.Properties
			if section == "attributes" {
				list = t.Attributes
			}
			for _, p := range list {
				switch {
				case p.Name.Text != name:
				case p.Schema != nil && !p.Schema.Type.IsZero():
					return t.File, p.Schema
				case p.Short != nil:
					return t.File, &document.Schema{Type: document.Name{Text: p.Short.Text}}
				}
			}
		}
		return nil, nil
	}
}

func (c *converter) node(n *document.NodeTemplate) *source.Node {
	x, f := newMap(), c.Root
	chain := f.Lookup(document.NodeType, n.Type.Text)
	x.text("type", c.ref(f, document.NodeType, n.Type))
	x.text("description", n.Description)
	x.put("metadata", metadata(n.Metadata))
	var directives []string
	for _, d := range n.Directives {
		directives = append(directives, d.Text)
	}
	x.put("directives", texts(directives))
	x.put("properties", c.assigns(f, n.Properties, schemas(chain, "properties")))
	x.put("attributes", c.assigns(f, n.Attributes, schemas(chain, "attributes")))
	caps := newMap()
	for _, a := range n.Capabilities {
		y := newMap()
		of := capabilityChain(chain, a.Name.Text)
		y.put("properties", c.assigns(f, a.Properties, schemas(of, "properties")))
		y.put("attributes", c.assigns(f, a.Attributes, schemas(of, "attributes")))
		if len(y.n.Pairs) > 0 {
			caps.put(a.Name.Text, y.n)
		}
	}
	x.put("capabilities", caps.or())
	reqs := seq()
	for _, r := range n.Requirements {
		name := r.Name.Text
		if !r.Requirement.IsZero() && r.Requirement.Text != name {
			c.lost(r.Name.Pos, r.Path, "the name %s of the relationship beside its requirement %s", name, r.Requirement.Text)
			name = r.Requirement.Text
		}
		reqs.Items = append(reqs.Items, one(name, c.requirement(r)))
	}
	if len(reqs.Items) > 0 {
		x.put("requirements", reqs)
	}
	x.put("interfaces", c.interfaces(f, n.Interfaces, false))
	x.put("artifacts", c.artifacts(f, n.Artifacts, chain, false))
	x.put("node_filter", c.nodeFilter(f, n.NodeFilter, chain))
	if t := c.Topology.NodeNamed(n.Name.Text); t != nil && t.SubstitutedBy != "" {
		c.lost(n.Name.Pos, n.Path, "the topology template of %s, which stands in for %s (convert it, too, and import it),", t.SubstitutedBy, n.Name.Text)
	}
	if n.Count != nil {
		if c.v2 {
			x.put("count", c.value(f, n.Count, nil))
		} else {
			c.lost(n.Count.Pos, n.Path+".count", "the count of %s", n.Name.Text)
		}
	}
	return x.n
}

// capabilityChain is the type of a node's capability.
func capabilityChain(chain []resolve.Declared, name string) []resolve.Declared {
	for _, t := range chain {
		for _, d := range t.Capabilities {
			if d.Name.Text == name && !d.Type.IsZero() {
				own := resolve.Declared{Type: &document.Type{Kind: document.CapabilityType, Properties: d.Properties, Attributes: d.Attributes}, File: t.File}
				return append([]resolve.Declared{own}, t.File.Lookup(document.CapabilityType, d.Type.Text)...)
			}
		}
	}
	return nil
}

func (c *converter) requirement(r *document.Requirement) *source.Node {
	x, f := newMap(), c.Root
	node := r.Node.Text
	if !c.isTemplate(node) && len(f.Lookup(document.NodeType, node)) > 0 {
		node = c.ref(f, document.NodeType, r.Node)
	}
	if r.NodeIndex != nil && c.v2 {
		x.put("node", seq(str(node), c.value(f, r.NodeIndex, nil)))
	} else {
		x.text("node", node)
	}
	capability := r.Capability.Text
	if len(f.Lookup(document.CapabilityType, capability)) > 0 {
		capability = c.ref(f, document.CapabilityType, r.Capability)
	}
	x.text("capability", capability)
	x.put("relationship", c.relationship(r.Relationship))
	x.put("node_filter", c.nodeFilter(f, r.NodeFilter, f.Lookup(document.NodeType, r.Node.Text)))
	if r.Occurrences != nil {
		if !c.v2 {
			x.put("occurrences", rangeOf(r.Occurrences))
		} else {
			c.lost(r.Occurrences.Pos, r.Path+".occurrences", "the occurrences of the requirement %s", r.Name.Text)
		}
	}
	var directives []string
	for _, d := range r.Directives {
		directives = append(directives, d.Text)
	}
	for _, part := range []source.Pair{
		{Key: plain("count"), Value: c.value(f, r.Count, nil)}, {Key: plain("directives"), Value: texts(directives)}, {Key: plain("optional"), Value: optional(r.Optional)},
		{Key: plain("allocation"), Value: c.assigns(f, r.Allocation, nil)},
	} {
		switch key := part.Key.Text; {
		case part.Value == nil:
		case c.v2:
			x.put(key, part.Value)
		default:
			c.lost(r.Name.Pos, r.Path+"."+key, "%s of the requirement %s", key, r.Name.Text)
		}
	}
	if len(x.n.Pairs) == 1 && x.n.Pairs[0].Key.Text == "node" && !c.v2 {
		return x.n.Pairs[0].Value
	}
	return x.n
}

func optional(b bool) *source.Node {
	if !b {
		return nil
	}
	return flag(true)
}

func (c *converter) isTemplate(name string) bool {
	for _, n := range c.Root.Doc.Topology.Nodes {
		if n.Name.Text == name {
			return true
		}
	}
	return false
}

func (c *converter) relationship(u *document.RelationshipUse) *source.Node {
	if u == nil {
		return nil
	}
	f := c.Root
	name := u.Name.Text
	chain := f.Lookup(document.RelationshipType, name)
	if len(chain) > 0 {
		name = c.ref(f, document.RelationshipType, u.Name)
	}
	if len(u.Artifacts) > 0 {
		c.lost(u.Name.Pos, u.Path, "artifacts of a relationship")
	}
	if len(u.Properties) == 0 && len(u.Interfaces) == 0 && len(u.Attributes) == 0 {
		return textOrNil(name)
	}
	x := newMap()
	x.text("type", name)
	x.put("properties", c.assigns(f, u.Properties, schemas(chain, "properties")))
	x.put("interfaces", c.interfaces(f, u.Interfaces, false))
	return x.n
}

func (c *converter) relationshipTemplate(r *document.RelationshipTemplate) *source.Node {
	x, f := newMap(), c.Root
	chain := f.Lookup(document.RelationshipType, r.Type.Text)
	x.text("type", c.ref(f, document.RelationshipType, r.Type))
	x.text("description", r.Description)
	x.put("metadata", metadata(r.Metadata))
	x.put("properties", c.assigns(f, r.Properties, schemas(chain, "properties")))
	x.put("attributes", c.assigns(f, r.Attributes, schemas(chain, "attributes")))
	x.put("interfaces", c.interfaces(f, r.Interfaces, false))
	return x.n
}

func names(list []document.Name) *source.Node {
	var out []string
	for _, n := range list {
		out = append(out, n.Text)
	}
	return texts(out)
}

func (c *converter) group(g *document.Group) *source.Node {
	x, f := newMap(), c.Root
	chain := f.Lookup(document.GroupType, g.Type.Text)
	typ := c.ref(f, document.GroupType, g.Type)
	if typ == "" { // Alien4Cloud's groups have none
		typ = c.ref(f, document.GroupType, document.Name{Text: "tosca.groups.Root"})
	}
	x.text("type", typ)
	x.text("description", g.Description)
	x.put("metadata", metadata(g.Metadata))
	x.put("properties", c.assigns(f, g.Properties, schemas(chain, "properties")))
	x.put("members", names(g.Members))
	if c.v2 && len(g.Interfaces) > 0 {
		c.lost(g.Name.Pos, g.Path, "the interfaces of the group %s", g.Name.Text)
	} else {
		x.put("interfaces", c.interfaces(f, g.Interfaces, false))
	}
	return x.n
}

func (c *converter) policy(p *document.Policy) *source.Node {
	x, f := newMap(), c.Root
	chain := f.Lookup(document.PolicyType, p.Type.Text)
	x.text("type", c.ref(f, document.PolicyType, p.Type))
	x.text("description", p.Description)
	x.put("metadata", metadata(p.Metadata))
	x.put("properties", c.assigns(f, p.Properties, schemas(chain, "properties")))
	x.put("targets", names(p.Targets))
	x.put("triggers", c.triggers(f, p.Triggers))
	return x.n
}

func (c *converter) triggers(f *resolve.File, list []*document.Trigger) *source.Node {
	out := newMap()
	for _, t := range list {
		x := newMap()
		x.text("event", t.Event)
		if t.Schedule != nil || !t.Target.IsZero() {
			if c.v2 {
				c.lost(t.Name.Pos, t.Path, "the schedule and target filter of the trigger %s", t.Name.Text)
			} else {
				x.put("schedule", c.value(f, t.Schedule, nil))
				if !t.Target.IsZero() {
					x.put("target_filter", one("node", str(t.Target.Text)))
				}
			}
		}
		switch {
		case t.Condition == nil:
		case c.v2 == f.Doc.Traits.Strict:
			x.put("condition", c.value(f, t.Condition, nil))
		default:
			c.lost(t.Condition.Pos, t.Path+".condition", "the condition of the trigger %s", t.Name.Text)
		}
		x.put("action", c.activities(f, t.Actions))
		out.put(t.Name.Text, x.n)
	}
	return out.or()
}

func (c *converter) activities(f *resolve.File, list []*document.Activity) *source.Node {
	out := seq()
	for _, a := range list {
		var v *source.Node = str(a.Target.Text)
		if len(a.Inputs) > 0 {
			x := newMap()
			key := "workflow"
			if a.Kind == topology.ActivityCall {
				key = "operation"
			}
			x.text(key, a.Target.Text)
			x.put("inputs", c.inputs(f, a.Inputs, false))
			v = x.n
		}
		out.Items = append(out.Items, one(a.Kind, v))
	}
	if len(out.Items) == 0 {
		return nil
	}
	return out
}

func (c *converter) workflow(w *document.Workflow) *source.Node {
	x, f := newMap(), c.Root
	x.text("description", w.Description)
	x.put("inputs", c.params(f, w.Inputs, "input", nil))
	c.flowInputs = w.Inputs
	defer func() { c.flowInputs = nil }()
	pre := seq()
	for _, p := range w.Preconditions {
		switch {
		case c.v2 && f.Doc.Traits.Strict:
			x.put("precondition", c.value(f, p.Condition, nil))
		case c.v2 || f.Doc.Traits.Strict:
			c.lost(w.Name.Pos, p.Path, "the precondition of the workflow %s", w.Name.Text)
		default:
			y := newMap()
			y.text("target", p.Target.Text)
			y.text("target_relationship", p.Relationship.Text)
			y.put("condition", c.value(f, p.Condition, nil))
			pre.Items = append(pre.Items, y.n)
		}
	}
	if len(pre.Items) > 0 {
		x.put("preconditions", pre)
	}
	steps := newMap()
	for _, s := range w.Steps {
		y := newMap()
		y.text("target", s.Target.Text)
		y.text("target_relationship", c.requirementOf(s.Target.Text, s.Relationship.Text))
		if !s.Host.IsZero() {
			if c.v2 {
				c.lost(s.Name.Pos, s.Path, "the operation host of the step %s", s.Name.Text)
			} else {
				y.text("operation_host", s.Host.Text)
			}
		}
		switch {
		case s.Filter == nil:
		case c.v2 == f.Doc.Traits.Strict:
			y.put("filter", c.value(f, s.Filter, nil))
		default:
			c.lost(s.Filter.Pos, s.Path+".filter", "the filter of the step %s", s.Name.Text)
		}
		acts := c.activities(f, c.withFlowInputs(w, s, c.finite(w, s.Activities)))
		if acts == nil {
			c.lost(s.Name.Pos, s.Path, "the step %s, which does nothing", s.Name.Text)
			acts = seq()
		}
		y.put("activities", acts)
		y.put("on_success", names(s.OnSuccess))
		y.put("on_failure", names(s.OnFailure))
		if len(s.OnCancel) > 0 {
			c.lost(s.Name.Pos, s.Path+".on_cancel", "what follows the step %s when it is cancelled", s.Name.Text)
		}
		steps.put(s.Name.Text, y.n)
	}
	x.put("steps", steps.or())
	for _, o := range w.Outputs {
		c.lost(o.Name.Pos, o.Path, "the output %s of the workflow %s", o.Name.Text, w.Name.Text)
	}
	return x.n
}

// finite leaves out activities that run the workflow inside of itself, which TOSCA 2.0 lets through.
func (c *converter) finite(w *document.Workflow, list []*document.Activity) []*document.Activity {
	if c.v2 {
		return list
	}
	var out []*document.Activity
	for _, a := range list {
		if a.Kind == topology.ActivityInline && c.reaches(a.Target.Text, w.Name.Text, map[string]bool{}) {
			c.lost(a.Target.Pos, a.Path, "that the workflow %s runs inside of itself", w.Name.Text)
			continue
		}
		out = append(out, a)
	}
	return out
}

// reaches reports a workflow that runs another one, or one that does.
func (c *converter) reaches(from, to string, seen map[string]bool) bool {
	if from == to || seen[from] {
		return from == to
	}
	seen[from] = true
	for _, w := range c.Root.Doc.Topology.Workflows {
		if w.Name.Text != from {
			continue
		}
		for _, s := range w.Steps {
			for _, a := range s.Activities {
				if a.Kind == topology.ActivityInline && c.reaches(a.Target.Text, to, seen) {
					return true
				}
			}
		}
	}
	return false
}

// withFlowInputs gives a workflow's inputs to the operations that ask for them. In Alien4Cloud an operation's get_input sees them; elsewhere
// the call has to pass them on.
func (c *converter) withFlowInputs(w *document.Workflow, s *document.Step, list []*document.Activity) []*document.Activity {
	if !c.Root.Doc.Traits.Lenient || c.Topology == nil || len(w.Inputs) == 0 || !s.Relationship.IsZero() {
		return list
	}
	n := c.Topology.NodeNamed(s.Target.Text)
	if n == nil {
		return list
	}
	out := slices.Clone(list)
	for i, a := range list {
		at := strings.LastIndexByte(a.Target.Text, '.')
		if a.Kind != topology.ActivityCall || at < 0 {
			continue
		}
		op := n.Operation(a.Target.Text[:at], a.Target.Text[at+1:])
		if op == nil {
			continue
		}
		with := *a
		for name, v := range op.Inputs.All() {
			if c.v2 && v.Kind == topology.LitValue && v.Lit == nil && !slices.ContainsFunc(a.Inputs, func(in *document.Input) bool { return in.Name.Text == name }) {
				c.lost(a.Target.Pos, a.Path, "that %s is called without its input %s", a.Target.Text, name)
			}
			if v.Kind != topology.CallValue || v.Call.Fn != "get_input" || len(v.Call.Args) != 1 || v.Call.Args[0].Kind != topology.LitValue {
				continue
			}
			input, _ := v.Call.Args[0].Lit.(string)
			given := slices.ContainsFunc(a.Inputs, func(in *document.Input) bool { return in.Name.Text == name })
			at := slices.IndexFunc(w.Inputs, func(p *document.Param) bool { return p.Name.Text == input })
			if !given && at >= 0 {
				passed := one("get_input", str(input))
				if s := w.Inputs[at].Schema; s != nil && (v.Schema == nil || v.Schema.Primitive() == "string") && s.Type.Text != "" && s.Type.Text != "string" {
					passed = one("concat", seq(passed)) // operations have texts there
				}
				with.Inputs = append(slices.Clone(with.Inputs), &document.Input{Name: document.Name{Text: name, Pos: a.Target.Pos}, Value: passed})
				c.adapted(a.Target.Pos, a.Path, "the workflow's input %s is passed to %s", input, a.Target.Text)
			}
		}
		out[i] = &with
	}
	return out
}

// requirementOf is the requirement of a relationship that has a name of its own (Alien4Cloud).
func (c *converter) requirementOf(node, relationship string) string {
	for _, n := range c.Root.Doc.Topology.Nodes {
		for _, r := range n.Requirements {
			if n.Name.Text == node && r.Name.Text == relationship && !r.Requirement.IsZero() {
				return r.Requirement.Text
			}
		}
	}
	return relationship
}

func (c *converter) substitution(s *document.Substitution) *source.Node {
	x, f := newMap(), c.Root
	x.text("node_type", c.composite(s))
	if s.Filter != nil {
		x.put("substitution_filter", c.nodeFilter(f, s.Filter, f.Lookup(document.NodeType, s.Type.Text)))
	}
	for _, part := range []struct {
		key  string
		list []document.Mapping
	}{{"properties", s.Properties}, {"attributes", s.Attributes}, {"capabilities", s.Capabilities}, {"requirements", s.Requirements}} {
		y := newMap()
		for _, e := range part.list {
			if e.Value != nil {
				if c.v2 {
					c.lost(e.Name.Pos, e.Path, "the value of %s in the substitution", e.Name.Text)
				} else {
					y.put(e.Name.Text, c.value(f, e.Value, nil))
				}
				continue
			}
			if len(e.To) == 1 && c.v2 && part.key == "properties" {
				y.put(e.Name.Text, str(e.To[0].Text))
				continue
			}
			y.put(e.Name.Text, names(e.To))
		}
		x.put(part.key, y.or())
	}
	ifaces := newMap()
	for _, e := range s.Interfaces {
		iface, op, ok := strings.Cut(e.Name.Text, ".")
		if !ok || len(e.To) != 1 {
			c.lost(e.Name.Pos, e.Path, "the mapping of %s", e.Name.Text)
			continue
		}
		var in *source.Node
		for _, p := range ifaces.n.Pairs {
			if p.Key.Text == iface {
				in = p.Value
			}
		}
		if in == nil {
			in = newMap().n
			ifaces.put(iface, in)
		}
		m{in}.put(op, str(e.To[0].Text))
	}
	x.put("interfaces", ifaces.or())
	return x.n
}

// composite is the node type that the template stands in for. Alien4Cloud makes a type of every template, with the capabilities and
// requirements that the template exposes; elsewhere it has to be written.
func (c *converter) composite(s *document.Substitution) string {
	f := c.Root
	base := c.ref(f, document.NodeType, s.Type)
	chain := f.Lookup(document.NodeType, s.Type.Text)
	if !f.Doc.Traits.Lenient || len(chain) == 0 {
		return base
	}
	own := &document.Type{Kind: document.NodeType, DerivedFrom: s.Type, Path: "node_types." + s.Type.Text}
	inner := func(m document.Mapping) []resolve.Declared {
		if len(m.To) < 2 {
			return nil
		}
		for _, n := range f.Doc.Topology.Nodes {
			if n.Name.Text == m.To[0].Text {
				return f.Lookup(document.NodeType, n.Type.Text)
			}
		}
		return nil
	}
	for _, m := range s.Capabilities {
		has := func(name string) func(*document.CapabilityDef) bool {
			return func(d *document.CapabilityDef) bool { return d.Name.Text == name && !d.Type.IsZero() }
		}
		capabilities := func(t *document.Type) []*document.CapabilityDef { return t.Capabilities }
		if _, d := declaredIn(chain, capabilities, has(m.Name.Text)); d != nil {
			continue
		}
		if at := inner(m); at != nil {
			if _, d := declaredIn(at, capabilities, has(m.To[1].Text)); d != nil {
				own.Capabilities = append(own.Capabilities, &document.CapabilityDef{Name: m.Name, Type: d.Type})
			}
		}
	}
	for _, m := range s.Requirements {
		has := func(name string) func(*document.RequirementDef) bool {
			return func(d *document.RequirementDef) bool { return d.Name.Text == name }
		}
		requirements := func(t *document.Type) []*document.RequirementDef { return t.Requirements }
		if _, d := declaredIn(chain, requirements, has(m.Name.Text)); d != nil {
			continue
		}
		if at := inner(m); at != nil {
			if _, d := declaredIn(at, requirements, has(m.To[1].Text)); d != nil {
				with := *d
				with.Name = m.Name
				own.Requirements = append(own.Requirements, &with)
			}
		}
	}
	if len(own.Capabilities)+len(own.Requirements) == 0 {
		return base
	}
	own.Name = document.Name{Text: f.Doc.ArchiveName, Pos: s.Type.Pos}
	if own.Name.IsZero() || len(f.Lookup(document.NodeType, own.Name.Text)) > 0 {
		own.Name.Text = s.Type.Text + ".Topology"
	}
	c.adapted(s.Type.Pos, s.Path, "a node type %s is derived from %s, with what the template exposes beside it", own.Name.Text, s.Type.Text)
	return c.use(resolve.Declared{Type: own, File: f})
}
