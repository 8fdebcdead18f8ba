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

func (d *decoder) topology(n *source.Node, path string) *document.Topology {
	t := &document.Topology{Pos: n.Pos, Path: path}
	if !d.known(n, "topology", path) {
		return t
	}
	t.Description = d.text(d.get(n, "topology", "description"), path+".description")
	t.Metadata = d.tags(d.get(n, "topology", "tags"), d.metadata(d.get(n, "topology", "metadata"), path+".metadata"))
	t.Inputs = d.params(d.get(n, "topology", "inputs"), "input", path+".inputs")
	t.Outputs = d.params(d.get(n, "topology", "outputs"), "output", path+".outputs")
	t.InputArtifacts = d.artifacts(d.get(n, "topology", "input_artifacts"), path+".input_artifacts")
	if d.get(n, "topology", "node_templates") == nil && d.v2 && !d.slipped(n, "topology", "node_templates") {
		d.diags.Errorf(CodeMissingKeyname, n.Pos, "the service template has no node_templates").Path = path
	}
	nodes := d.withCopies(d.get(n, "topology", "node_templates"), path+".node_templates")
	for _, e := range nodes {
		t.Nodes = append(t.Nodes, d.nodeTemplate(e))
	}
	for _, e := range d.withCopies(d.get(n, "topology", "relationship_templates"), path+".relationship_templates") {
		t.Relationships = append(t.Relationships, d.relationshipTemplate(e))
	}
	for _, e := range d.entries(d.get(n, "topology", "groups"), path+".groups") {
		t.Groups = append(t.Groups, d.group(e))
	}
	for _, e := range d.listEntries(d.get(n, "topology", "policies"), path+".policies", !d.v2) {
		t.Policies = append(t.Policies, d.policy(e))
	}
	for _, e := range d.entries(d.get(n, "topology", "workflows"), path+".workflows") {
		t.Workflows = append(t.Workflows, d.workflow(e))
	}
	for _, e := range d.entries(d.get(n, "topology", "functions"), path+".functions") {
		t.Functions = append(t.Functions, d.function(e))
	}
	if s := d.get(n, "topology", "substitution_mappings"); s != nil {
		t.Substitution = d.substitution(s, path+".substitution_mappings")
	}
	return t
}

// withCopies applies `copy`: the named template's keynames under the template's own.
func (d *decoder) withCopies(n *source.Node, path string) []entry {
	es := d.entries(n, path)
	copies := false
	for _, e := range es {
		copies = copies || e.value.Get("copy") != nil
	}
	if !copies || !d.keys["node_template"].known["copy"] {
		return es
	}
	byName := make(map[string]int, len(es))
	for i, e := range es {
		byName[e.key.Text] = i
	}
	for i, e := range es {
		from := e.value.Get("copy")
		if from == nil {
			continue
		}
		j, ok := byName[from.Str()]
		switch {
		case !ok:
			names := make([]string, 0, len(es))
			for _, o := range es {
				names = append(names, o.key.Text)
			}
			d.missing(from, "copy", from.Str(), names, e.path)
		case es[j].value.Get("copy") != nil || i == j:
			d.diags.Errorf(CodeForm, from.Pos, "%s copies %s, which is itself a copy", e.key.Text, from.Str()).Path = e.path + ".copy"
		default:
			es[i].value = overlay(es[j].value, e.value, "copy")
		}
	}
	return es
}

// overlay lays one map over another, deeply for maps; without drops a key of the upper one.
func overlay(under, over *source.Node, without string) *source.Node {
	if !under.Is(source.Mapping) || !over.Is(source.Mapping) {
		return over
	}
	m := &source.Node{Kind: source.Mapping, Tag: "!!map", Pos: over.Pos}
	for k, v := range under.All() {
		if o := over.Get(k.Text); o != nil {
			k, v = over.Key(k.Text), overlay(v, o, "")
		}
		m.Pairs = append(m.Pairs, source.Pair{Key: k, Value: v})
	}
	for k, v := range over.All() {
		if under.Get(k.Text) == nil && k.Text != without {
			m.Pairs = append(m.Pairs, source.Pair{Key: k, Value: v})
		}
	}
	return m
}

func (d *decoder) nodeTemplate(e entry) *document.NodeTemplate {
	t := &document.NodeTemplate{Name: key(e.key), Path: e.path}
	n := e.value
	if !d.known(n, "node_template", e.path) {
		if n.IsNull() {
			d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the node template %s has no type", e.key.Text).Path = e.path
		}
		return t
	}
	t.Type = d.name(d.get(n, "node_template", "type"), e.path+".type")
	if n.Get("type") == nil && !d.slipped(n, "node_template", "type") {
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the node template %s has no type", e.key.Text).Path = e.path
	}
	t.Description = d.text(n.Get("description"), e.path+".description")
	t.Metadata = d.tags(n.Get("tags"), d.metadata(n.Get("metadata"), e.path+".metadata"))
	t.Directives = d.names(d.get(n, "node_template", "directives"), e.path+".directives")
	t.Properties = d.assigns(d.get(n, "node_template", "properties"), e.path+".properties")
	t.Attributes = d.assigns(d.get(n, "node_template", "attributes"), e.path+".attributes")
	for _, c := range d.capabilityEntries(d.get(n, "node_template", "capabilities"), e.path+".capabilities") {
		t.Capabilities = append(t.Capabilities, d.capabilityAssign(c))
	}
	for _, r := range d.listEntries(d.get(n, "node_template", "requirements"), e.path+".requirements", d.a4c) {
		t.Requirements = append(t.Requirements, d.requirement(r))
	}
	t.Interfaces = d.interfaces(d.get(n, "node_template", "interfaces"), e.path+".interfaces", false)
	t.Artifacts = d.artifacts(d.get(n, "node_template", "artifacts"), e.path+".artifacts")
	t.NodeFilter = d.nodeFilter(n.Get("node_filter"), e.path+".node_filter")
	t.Count = n.Get("count")
	return t
}

func (d *decoder) capabilityAssign(e entry) *document.CapabilityAssign {
	c := &document.CapabilityAssign{Name: key(e.key), Path: e.path}
	if e.value.IsNull() || !d.known(e.value, "capability_assignment", e.path) {
		return c
	}
	d.noted(e.value, "capability_assignment", e.path)
	d.rangeOf(d.get(e.value, "capability_assignment", "occurrences"), e.path+".occurrences")
	d.scopes(d.get(e.value, "capability_assignment", "directives"), e.path+".directives")
	c.Properties = d.assigns(e.value.Get("properties"), e.path+".properties")
	c.Attributes = d.assigns(e.value.Get("attributes"), e.path+".attributes")
	return c
}

func (d *decoder) requirement(e entry) *document.Requirement {
	r := &document.Requirement{Name: key(e.key), Path: e.path}
	n := e.merged("node")
	switch {
	case n.IsNull():
		return r
	case n.Is(source.Scalar):
		r.Node = d.name(n, e.path)
		return r
	case d.v2 && n.Is(source.Sequence):
		d.nodeAndIndex(r, n, e.path)
		return r
	case !d.known(n, "requirement", e.path):
		return r
	}
	if node := n.Get("node"); d.v2 && node.Is(source.Sequence) {
		d.nodeAndIndex(r, node, e.path+".node")
	} else {
		r.Node = d.name(node, e.path+".node")
	}
	d.noted(n, "requirement", e.path)
	r.Requirement = d.name(n.Get("type_requirement"), e.path+".type_requirement")
	r.Capability = d.name(n.Get("capability"), e.path+".capability")
	rel := n.Get("relationship")
	if rel == nil {
		rel = n.Get("relationship_type")
	}
	r.Relationship = d.relationshipUse(rel, e.path+".relationship", "relationship_assignment", false)
	if d.a4c && (n.Get("properties") != nil || n.Get("interfaces") != nil || n.Get("artifacts") != nil) {
		if r.Relationship == nil {
			r.Relationship = &document.RelationshipUse{Path: e.path}
		}
		u := r.Relationship
		u.Properties = append(u.Properties, d.assigns(n.Get("properties"), e.path+".properties")...)
		u.Interfaces = append(u.Interfaces, d.interfaces(n.Get("interfaces"), e.path+".interfaces", false)...)
		u.Artifacts = append(u.Artifacts, d.artifacts(n.Get("artifacts"), e.path+".artifacts")...)
	}
	r.NodeFilter = d.nodeFilter(n.Get("node_filter"), e.path+".node_filter")
	r.Occurrences = d.rangeOf(n.Get("occurrences"), e.path+".occurrences")
	r.Count = n.Get("count")
	r.Allocation = d.assigns(n.Get("allocation"), e.path+".allocation")
	r.Directives = d.scopes(n.Get("directives"), e.path+".directives")
	if b := d.flag(n.Get("optional"), e.path+".optional"); b != nil {
		r.Optional = *b
	}
	return r
}

// scopes reads the directives of requirements and capabilities: whether the other end is in this template or outside of it (TOSCA 2.0 §8.3, §8.5).
func (d *decoder) scopes(n *source.Node, path string) []document.Name {
	out := d.names(n, path)
	for i, name := range out {
		if name.Text != "internal" && name.Text != "external" {
			dg := d.diags.Errorf(CodeForm, name.Pos, "unknown directive %q", name.Text)
			dg.Path = path + "[" + strconv.Itoa(i) + "]"
			if dg.Hint = diag.Suggest(name.Text, []string{"internal", "external"}); dg.Hint == "" {
				dg.Hint = "known are internal and external"
			}
		}
	}
	return out
}

// nodeAndIndex reads [template, index] (TOSCA 2.0).
func (d *decoder) nodeAndIndex(r *document.Requirement, n *source.Node, path string) {
	if len(n.Items) != 2 {
		d.wrong(n, path, "a node template or a list [node template, index]")
		return
	}
	r.Node, r.NodeIndex = d.name(n.Items[0], path), n.Items[1]
}

func (d *decoder) relationshipTemplate(e entry) *document.RelationshipTemplate {
	t := &document.RelationshipTemplate{Name: key(e.key), Path: e.path}
	n := e.value
	if !d.known(n, "relationship_template", e.path) {
		return t
	}
	t.Type = d.name(n.Get("type"), e.path+".type")
	if n.Get("type") == nil && !d.slipped(n, "relationship_template", "type") {
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the relationship template %s has no type", e.key.Text).Path = e.path
	}
	t.Description = d.text(n.Get("description"), e.path+".description")
	t.Metadata = d.metadata(n.Get("metadata"), e.path+".metadata")
	t.Properties = d.assigns(n.Get("properties"), e.path+".properties")
	t.Attributes = d.assigns(n.Get("attributes"), e.path+".attributes")
	t.Interfaces = d.interfaces(n.Get("interfaces"), e.path+".interfaces", false)
	return t
}

func (d *decoder) group(e entry) *document.Group {
	g := &document.Group{Name: key(e.key), Path: e.path}
	n := e.value
	if !d.known(n, "group", e.path) {
		return g
	}
	g.Type = d.name(n.Get("type"), e.path+".type")
	if n.Get("type") == nil && !d.a4c && !d.slipped(n, "group", "type") {
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the group %s has no type", e.key.Text).Path = e.path
	}
	g.Description = d.text(n.Get("description"), e.path+".description")
	g.Metadata = d.metadata(n.Get("metadata"), e.path+".metadata")
	g.Members = d.names(n.Get("members"), e.path+".members")
	g.Properties = d.assigns(n.Get("properties"), e.path+".properties")
	g.Attributes = d.assigns(n.Get("attributes"), e.path+".attributes")
	g.Interfaces = d.interfaces(n.Get("interfaces"), e.path+".interfaces", false)
	return g
}

func (d *decoder) substitution(n *source.Node, path string) *document.Substitution {
	s := &document.Substitution{Path: path}
	if !d.known(n, "substitution", path) {
		return s
	}
	s.Type = d.name(n.Get("node_type"), path+".node_type")
	if n.Get("node_type") == nil && !d.a4c && !d.slipped(n, "substitution", "node_type") {
		d.diags.Errorf(CodeMissingKeyname, n.Pos, "substitution_mappings has no node_type").Path = path
	}
	d.noted(n, "substitution", path)
	s.Filter = d.nodeFilter(n.Get("substitution_filter"), path+".substitution_filter")
	s.Properties = d.mappings(n.Get("properties"), path+".properties", true)
	s.Attributes = d.mappings(n.Get("attributes"), path+".attributes", false)
	s.Capabilities = d.mappings(n.Get("capabilities"), path+".capabilities", false)
	s.Requirements = d.mappings(n.Get("requirements"), path+".requirements", false)
	s.Interfaces = d.mappings(n.Get("interfaces"), path+".interfaces", false)
	return s
}

// mappingEntry is an entry of a mapping: its key is a name, or in TOSCA 2.0 a list.
type mappingEntry struct {
	entry
	list []*source.Node
}

// mappingEntries reads a map, or a list of one-key maps. Lists as keys are no mistake here.
func (d *decoder) mappingEntries(n *source.Node, path string) []mappingEntry {
	var out []mappingEntry
	lists := func(n *source.Node, path string) {
		for _, p := range n.ListKeys {
			*d.diags = slices.DeleteFunc(*d.diags, func(dg diag.Diagnostic) bool { return dg.Code == source.CodeKey && dg.Pos == p.Key.Pos })
			out = append(out, mappingEntry{entry{key: p.Key, value: p.Value, path: path}, p.Key.Items})
		}
	}
	if !n.Is(source.Sequence) {
		for _, e := range d.entries(n, path) {
			out = append(out, mappingEntry{entry: e})
		}
		if d.v2 && n.Is(source.Mapping) {
			lists(n, path)
		}
		return out
	}
	for i, it := range n.Items {
		switch p := path + "[" + strconv.Itoa(i) + "]"; {
		case d.v2 && it.Is(source.Mapping) && len(it.Pairs) == 0 && len(it.ListKeys) == 1:
			lists(it, p)
			continue
		case !it.Is(source.Mapping) || len(it.Pairs) == 0:
			d.wrong(it, p, "a map with one key")
			continue
		}
		one := *n
		one.Items = n.Items[i : i+1]
		for _, e := range d.listEntries(&one, path, false) {
			e.path = strings.Replace(e.path, path+"[0]", path+"["+strconv.Itoa(i)+"]", 1)
			out = append(out, mappingEntry{entry: e})
		}
	}
	return out
}

// listKey reads a list as the key of a mapping: [requirement, count], or the way to a property: [CAPABILITY, name, property] or [RELATIONSHIP,
// requirement, index, property].
func (d *decoder) listKey(m *document.Mapping, list []*source.Node, at *source.Node, requirements bool) bool {
	names := make([]document.Name, len(list))
	for i, it := range list {
		if !it.Is(source.Scalar) {
			d.wrong(it, m.Path, "a name")
			return false
		}
		names[i] = document.Name{Text: it.Text, Pos: it.Pos}
	}
	if requirements {
		if len(list) != 2 {
			d.wrong(at, m.Path, "a requirement's name or a list [requirement, count]")
			return false
		}
		count, ok := list[1].Int()
		if unbounded := strings.EqualFold(list[1].Text, topology.Unbounded); !unbounded && (!ok || count < 0) {
			d.wrong(list[1], m.Path, "the number of assignments, or UNBOUNDED")
			return false
		} else if unbounded {
			count = -1
		}
		m.Name, m.Count = names[0], count
		return true
	}
	switch {
	case len(names) == 3 && names[0].Text == "CAPABILITY", (len(names) == 3 || len(names) == 4) && names[0].Text == "RELATIONSHIP":
		m.Of, m.Name = names[:len(names)-1], names[len(names)-1]
		return true
	}
	d.wrong(at, m.Path, "a name, [CAPABILITY, name, property] or [RELATIONSHIP, requirement, index, property]")
	return false
}

// mappings: name: [template, feature], or {mapping: […]}; requirements may be a list of one-key maps, and lead to several; properties may have values.
func (d *decoder) mappings(n *source.Node, path string, values bool) []document.Mapping {
	if n.IsNull() {
		return nil
	}
	es := d.mappingEntries(n, path)
	requirements := last(path) == "requirements"
	var out []document.Mapping
	for _, e := range es {
		m := document.Mapping{Path: e.path}
		if e.list == nil {
			m.Name = key(e.key)
		} else if !d.listKey(&m, e.list, e.key, requirements) {
			continue
		}
		v := e.value
		if v.Is(source.Mapping) && v.Get("mapping") != nil {
			v = v.Get("mapping")
		}
		switch {
		case d.v2 && requirements && v.Is(source.Sequence) && (len(v.Items) != 2 || slices.ContainsFunc(v.Items, func(x *source.Node) bool { return x.Is(source.Sequence) })):
			for i, it := range v.Items {
				p := e.path + "[" + strconv.Itoa(i) + "]"
				if it.Is(source.Scalar) {
					m.More = append(m.More, []document.Name{d.name(it, p)})
				} else {
					m.More = append(m.More, d.names(it, p))
				}
			}
			if len(m.More) > 0 {
				m.To, m.More = m.More[0], m.More[1:]
			}
		case v.Is(source.Sequence):
			m.To = d.names(v, e.path)
		case values && !(d.v2 && v.Is(source.Scalar)): // TOSCA 2.0 names the input alone, 1.x may give a value
			m.Value = v
		case v.Is(source.Scalar):
			m.To = []document.Name{d.name(v, e.path)}
		case v.Is(source.Mapping): // interfaces: operation: workflow, or inline properties (1.2)
			for k, w := range v.All() {
				if w.Is(source.Scalar) {
					out = append(out, document.Mapping{
						Name: document.Name{Text: e.key.Text + "." + k.Text, Pos: k.Pos},
						To:   []document.Name{d.name(w, e.path+"."+k.Text)}, Path: e.path + "." + k.Text,
					})
				}
			}
			continue
		default:
			d.wrong(v, e.path, "a list [node template, name]")
			continue
		}
		out = append(out, m)
	}
	return out
}
