package grammar

import (
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func (b *blueprint) node(e entry) *document.NodeTemplate {
	t := &document.NodeTemplate{Name: key(e.key), Path: e.path}
	n := e.value
	if n.IsNull() || !b.known(n, "node_template", e.path) {
		if n.IsNull() {
			b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the node template %s has no type", e.key.Text).Path = e.path
		}
		return t
	}
	t.Type = b.name(n.Get("type"), e.path+".type")
	if n.Get("type").IsNull() && !b.slipped(n, "node_template", "type") {
		b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the node template %s has no type", e.key.Text).Path = e.path
	}
	if props := n.Get("properties"); !props.IsNull() {
		t.Properties = b.assigns(props, e.path+".properties")
	}
	t.Interfaces = b.interfaces(n.Get("interfaces"), e.path+".interfaces", "", false)
	b.instances(t, n)
	if ext := n.Get("properties").Get("use_external_resource"); ext != nil {
		if fn, _, _, _, call := b.traits.Expressions.Call(ext); call {
			d := b.diags.Errorf(CodeFunction, ext.Pos, "use_external_resource must be true or false; it cannot come from %s", fn)
			d.Path = e.path + ".properties.use_external_resource"
		}
	}
	rels := n.Get("relationships")
	if rels.IsNull() {
		return t
	}
	if !rels.Is(source.Sequence) {
		b.wrong(rels, e.path+".relationships", "a list")
		return t
	}
	for i, it := range rels.Items {
		if r := b.relationship(t, it, e.path+".relationships["+strconv.Itoa(i)+"]"); r != nil {
			t.Requirements = append(t.Requirements, r)
		}
	}
	return t
}

// relationship is a requirement that is named after the last part of its relationship's type.
func (b *blueprint) relationship(t *document.NodeTemplate, n *source.Node, path string) *document.Requirement {
	if !b.known(n, "relationship", path) {
		if n.IsNull() {
			b.wrong(n, path, "a map with type and target")
		}
		return nil
	}
	typ, target := b.name(n.Get("type"), path+".type"), b.name(n.Get("target"), path+".target")
	for _, k := range []string{"type", "target"} {
		if n.Get(k).IsNull() {
			if !b.slipped(n, "relationship", k) {
				b.diags.Errorf(CodeMissingKeyname, n.Pos, "the relationship of %s has no %s", t.Name.Text, k).Path = path
			}
			return nil
		}
	}
	if target.Text == t.Name.Text {
		b.diags.Errorf("self-relationship", target.Pos, "%s has a relationship to itself", t.Name.Text).Path = path + ".target"
		return nil
	}
	short := typ.Text[strings.LastIndexByte(typ.Text, '.')+1:]
	use := &document.RelationshipUse{Name: typ, Path: path}
	if props := n.Get("properties"); !props.IsNull() {
		use.Properties = b.assigns(props, path+".properties")
	}
	use.Interfaces = b.ends(n, path, false)
	return &document.Requirement{Name: document.Name{Text: short, Pos: n.Pos}, Node: target, Relationship: use, Path: path}
}

// instances reads the two forms of how many instances a node has.
func (b *blueprint) instances(t *document.NodeTemplate, n *source.Node) {
	inst, caps := n.Get("instances"), n.Get("capabilities")
	path := t.Path + ".instances"
	if inst != nil && caps != nil {
		d := b.diags.Errorf(CodeForm, inst.At(), "%s has both instances and capabilities", t.Name.Text)
		d.Path, d.Hint = path, "keep capabilities.scalable"
	}
	if !inst.IsNull() && b.known(inst, "instances", path) {
		if v := inst.Get("deploy"); v != nil && b.count(v, path+".deploy", 0) {
			t.Capabilities = []*document.CapabilityAssign{{
				Name: document.Name{Text: "scalable", Pos: inst.Pos}, Path: path,
				Properties: []document.Assign{{Name: document.Name{Text: "default_instances", Pos: v.Pos}, Value: v}},
			}}
		}
	}
	for _, c := range b.entries(caps, t.Path+".capabilities") {
		if c.key.Text != "scalable" {
			d := b.diags.Errorf(CodeUnknownKeyname, c.key.Pos, "a node template has the capability scalable only, not %q", c.key.Text)
			d.Path, d.Hint = c.path, diag.Suggest(c.key.Text, []string{"scalable"})
			continue
		}
		a := &document.CapabilityAssign{Name: key(c.key), Path: c.path}
		if b.known(c.value, "scalable", c.path) {
			a.Properties = b.counts(c.value.Get("properties"), c.path+".properties")
		}
		t.Capabilities = append(t.Capabilities, a)
	}
}

// counts reads default_instances, min_instances and max_instances and checks their order.
func (b *blueprint) counts(n *source.Node, path string) []document.Assign {
	if n.IsNull() || !b.known(n, "instance_counts", path) {
		return nil
	}
	var out []document.Assign
	given := map[string]int64{"default_instances": 1, "min_instances": 0, "max_instances": -1}
	for k, v := range n.All() {
		if _, ok := given[k.Text]; !ok {
			continue
		}
		p := path + "." + k.Text
		least := int64(0)
		switch {
		case k.Text == "max_instances" && strings.EqualFold(v.Str(), topology.Unbounded):
			v, least = &source.Node{Kind: source.Scalar, Tag: "!!int", Text: "-1", Pos: v.Pos}, -1
		case k.Text == "max_instances":
			least = -1
		}
		if !b.count(v, p, least) {
			continue
		}
		if i, ok := v.Int(); ok {
			given[k.Text] = i
		} else {
			delete(given, k.Text) // computed
		}
		out = append(out, document.Assign{Name: key(k), Value: v})
	}
	def, okDef := given["default_instances"]
	lo, okLo := given["min_instances"]
	hi, okHi := given["max_instances"]
	switch {
	case hi == 0 && okHi:
		b.diags.Errorf(topology.CodeConstraint, n.Pos, "max_instances must be 1 or more, or -1 for no limit").Path = path
	case okDef && okLo && def < lo:
		b.diags.Errorf(topology.CodeConstraint, n.Pos, "default_instances %d is below min_instances %d", def, lo).Path = path
	case okDef && okHi && hi > 0 && def > hi:
		b.diags.Errorf(topology.CodeConstraint, n.Pos, "default_instances %d is above max_instances %d", def, hi).Path = path
	case okLo && okHi && hi > 0 && lo > hi:
		b.diags.Errorf(topology.CodeConstraint, n.Pos, "min_instances %d is above max_instances %d", lo, hi).Path = path
	}
	return out
}

func (b *blueprint) count(n *source.Node, path string, least int64) bool {
	if _, _, _, _, call := b.traits.Expressions.Call(n); call {
		return true
	}
	if i, ok := n.Int(); ok && i >= least && n.Is(source.Scalar) {
		return true
	}
	b.wrong(n, path, "a whole number from "+strconv.FormatInt(least, 10)+" on")
	return false
}

// group reads a group and the policies inside it.
func (b *blueprint) group(e entry) (*document.Group, []*document.Policy) {
	g := &document.Group{Name: key(e.key), Path: e.path}
	if !b.known(e.value, "group", e.path) {
		return g, nil
	}
	g.Members = b.names(e.value.Get("members"), e.path+".members")
	if m := e.value.Get("members"); (m.IsNull() || m.Is(source.Sequence) && len(m.Items) == 0) && !b.slipped(e.value, "group", "members") {
		b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the group %s has no members", e.key.Text).Path = e.path
	}
	var policies []*document.Policy
	for _, pe := range b.entries(e.value.Get("policies"), e.path+".policies") {
		if !b.known(pe.value, "group_policy", pe.path) {
			continue
		}
		p := &document.Policy{Name: key(pe.key), Path: pe.path, Targets: []document.Name{key(e.key)}, Type: b.name(pe.value.Get("type"), pe.path+".type")}
		p.Name.Text = e.key.Text + "." + pe.key.Text
		if pe.value.Get("type").IsNull() && !b.slipped(pe.value, "group_policy", "type") {
			b.diags.Errorf(CodeMissingKeyname, pe.key.Pos, "the policy %s has no type", pe.key.Text).Path = pe.path
		}
		if props := pe.value.Get("properties"); !props.IsNull() {
			p.Properties = b.assigns(props, pe.path+".properties")
		}
		for _, te := range b.entries(pe.value.Get("triggers"), pe.path+".triggers") {
			if !b.known(te.value, "trigger", te.path) {
				continue
			}
			typ := b.name(te.value.Get("type"), te.path+".type")
			if !slices.Contains(b.o.Triggers, typ.Text) && !b.o.Incomplete {
				d := b.diags.Errorf("unknown-type", typ.Pos, "unknown policy trigger %q", typ.Text)
				d.Path, d.Hint = te.path+".type", diag.Suggest(typ.Text, b.o.Triggers)
			}
			p.Triggers = append(p.Triggers, &document.Trigger{Name: key(te.key), Event: typ.Text, Condition: te.value.Get("parameters"), Path: te.path})
		}
		policies = append(policies, p)
	}
	return g, policies
}

// scalingPolicy reads an entry of the top level's policies, which make groups of nodes scale together.
func (b *blueprint) scalingPolicy(e entry, groups []*document.Group) *document.Policy {
	if !b.known(e.value, "scaling_policy", e.path) {
		return nil
	}
	p := &document.Policy{Name: key(e.key), Path: e.path, Type: b.name(e.value.Get("type"), e.path+".type")}
	switch {
	case e.value.Get("type").IsNull():
		if !b.slipped(e.value, "scaling_policy", "type") {
			b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the policy %s has no type", e.key.Text).Path = e.path
		}
		return nil
	case p.Type.IsZero():
		return nil
	case p.Type.Text != scalingPolicy:
		d := b.diags.Errorf("unknown-type", p.Type.Pos, "the policy %s must be of the type %s, not %q", e.key.Text, scalingPolicy, p.Type.Text)
		d.Path = e.path + ".type"
		if d.Hint = diag.Suggest(p.Type.Text, []string{scalingPolicy}); d.Hint == "" {
			d.Hint = "other policies belong to a group"
		}
		return nil
	}
	p.Properties = b.counts(e.value.Get("properties"), e.path+".properties")
	for _, target := range b.names(e.value.Get("targets"), e.path+".targets") {
		names := make([]string, len(groups))
		for i, g := range groups {
			names[i] = g.Name.Text
		}
		if !slices.Contains(names, target.Text) {
			d := b.diags.Errorf("unknown-group", target.Pos, "the policy %s scales groups; there is no group %q", e.key.Text, target.Text)
			d.Path, d.Hint = e.path+".targets", diag.Suggest(target.Text, names)
			continue
		}
		p.Targets = append(p.Targets, target)
	}
	if t := e.value.Get("targets"); (t.IsNull() || t.Is(source.Sequence) && len(t.Items) == 0) && !b.slipped(e.value, "scaling_policy", "targets") {
		b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the policy %s has no targets", e.key.Text).Path = e.path
	}
	return p
}

// builtinWorkflows are the mappings of Cloudify's own workflows, which are generated here.
const builtinWorkflows = "default_workflows."

func (b *blueprint) workflow(e entry) *document.Workflow {
	w := &document.Workflow{Name: key(e.key), Path: e.path}
	mapping := e.value
	if e.value.Is(source.Mapping) {
		b.known(e.value, "workflow", e.path)
		mapping = e.value.Get("mapping")
		for _, p := range b.entries(e.value.Get("parameters"), e.path+".parameters") {
			w.Inputs = append(w.Inputs, b.param(p, "param"))
		}
		b.flag(e.value.Get("is_cascading"), e.path+".is_cascading")
		if rules := b.get(e.value, "workflow", "availability_rules"); !rules.IsNull() {
			b.known(rules, "availability_rules", e.path+".availability_rules")
		}
	}
	if mapping.IsNull() {
		b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the workflow %s has no mapping", e.key.Text).Path = e.path
		return nil
	}
	if w.Call = b.text(mapping, e.path+".mapping"); w.Call == "" {
		return nil
	}
	switch {
	case strings.HasPrefix(w.Call, builtinWorkflows) && strings.HasSuffix(w.Call, "."+w.Name.Text):
		return nil // Cloudify's own, under its own name
	case strings.HasPrefix(w.Call, builtinWorkflows):
	case b.plugin(w.Call) != "", looksLikeScript(w.Call), strings.Contains(w.Call, "\n"), b.o.Incomplete, b.o.Library:
	default:
		d := b.diags.Errorf("unknown-plugin", mapping.Pos, "the workflow %s: %s is neither a file nor a function of a declared plugin", e.key.Text, w.Call)
		lead, _, _ := strings.Cut(w.Call, ".")
		d.Path = e.path + ".mapping"
		if d.Hint = diag.Suggest(lead, b.o.Plugins); d.Hint == "" {
			d.Hint = "plugins are " + strings.Join(b.o.Plugins, ", ")
		}
	}
	return w
}
