package grammar

import (
	"strconv"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// blueprint reads a Cloudify blueprint. What the sections share with TOSCA's (entries, names, keynames) is the decoder's.
type blueprint struct {
	*decoder
	o BlueprintOptions
}

func (b *blueprint) document(root *source.Node) *document.Document {
	traits := b.traits
	doc := &document.Document{Version: b.o.Version, Traits: &traits, Pos: root.Pos}
	b.known(root, "document", "")
	if n := root.Get("upload_resources"); n != nil {
		b.diags.Warnf(CodeUnknownKeyname, n.At(), "upload_resources is ignored: nothing is uploaded to a manager").Path = "upload_resources"
	}
	doc.Description = b.text(root.Get("description"), "description")
	doc.Metadata = map[string]string{}
	for k, v := range root.Get("metadata").All() {
		if v.Is(source.Scalar) {
			doc.Metadata[k.Text] = v.Text
		}
	}
	b.plugins(root.Get("plugins"))
	for _, kind := range []document.Kind{document.DataType, document.NodeType, document.RelationshipType, document.PolicyType} {
		section := kind.Section()
		if kind == document.RelationshipType {
			section = "relationships"
		}
		for _, e := range b.entries(root.Get(section), section) {
			if kind == document.DataType && cloudifyTypes[e.key.Text] != "" {
				b.diags.Errorf(CodeForm, e.key.Pos, "the data type %s has the name of a primitive type", e.key.Text).Path = e.path
				continue
			}
			doc.Types = append(doc.Types, b.typeDef(kind, e))
		}
	}
	doc.Types = append(doc.Types, implied()...)
	for _, e := range b.entries(root.Get("policy_triggers"), "policy_triggers") {
		b.known(e.value, "policy_trigger", e.path)
	}
	doc.Topology = b.topology(root, doc.Description)
	return doc
}

// implied types are known to the language itself: the one capability that every node has, and the policy that scales groups.
func implied() []*document.Type {
	at := func(s string) document.Name { return document.Name{Text: s} }
	number := func(name, value string) *document.Param {
		return &document.Param{Name: at(name), Default: &source.Node{Kind: source.Scalar, Tag: "!!int", Text: value}}
	}
	counts := []*document.Param{number("default_instances", "1"), number("min_instances", "0"), number("max_instances", "-1")}
	return []*document.Type{
		{Kind: document.CapabilityType, Name: at("tosca.capabilities.Scalable"), Properties: counts},
		{Kind: document.PolicyType, Name: at(scalingPolicy), Properties: counts},
	}
}

const scalingPolicy = "cloudify.policies.scaling"

func (b *blueprint) plugins(n *source.Node) {
	for _, e := range b.entries(n, "plugins") {
		if !b.known(e.value, "plugin", e.path) || b.o.Library {
			continue
		}
		for _, k := range []string{"source", "install_arguments", "package_name", "package_version", "supported_platform", "distribution", "distribution_version", "distribution_release", "properties_description"} {
			b.text(b.get(e.value, "plugin", k), e.path+"."+k)
		}
		b.entries(b.get(e.value, "plugin", "properties"), e.path+".properties")
		executor := e.value.Get("executor")
		switch {
		case executor == nil:
			b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the plugin %s has no executor", e.key.Text).Path = e.path
		default:
			b.executor(executor, e.path+".executor")
		}
		install := b.flag(e.value.Get("install"), e.path+".install")
		if (install == nil || *install) && e.value.Get("source").IsNull() && e.value.Get("package_name").IsNull() {
			d := b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the plugin %s has neither source nor package_name", e.key.Text)
			d.Path, d.Hint = e.path, "or say install: false"
		}
	}
}

// executor is where an operation runs; it returns "" for a wrong one.
func (b *blueprint) executor(n *source.Node, path string) string {
	if n.IsNull() {
		return ""
	}
	text := b.text(n, path)
	switch text {
	case "central_deployment_agent", "host_agent", "auto":
		return text
	}
	d := b.diags.Errorf(CodeForm, n.Pos, "executor must be central_deployment_agent or host_agent, not %s", what(n))
	d.Path, d.Hint = path, diag.Suggest(text, []string{"central_deployment_agent", "host_agent"})
	return ""
}

func (b *blueprint) topology(root *source.Node, description string) *document.Topology {
	t := &document.Topology{Pos: root.Pos, Description: description}
	for _, e := range b.entries(b.get(root, "document", "inputs"), "inputs") {
		t.Inputs = append(t.Inputs, b.param(e, "input"))
	}
	t.Outputs = b.values(root, "outputs", "output")
	t.Capabilities = b.values(root, "capabilities", "output")
	t.Labels = b.values(root, "labels", "label")
	t.BlueprintLabels = b.values(root, "blueprint_labels", "label")
	for _, e := range b.entries(root.Get("resource_tags"), "resource_tags") {
		t.ResourceTags = append(t.ResourceTags, &document.Param{Name: key(e.key), Value: e.value, Path: e.path})
	}
	if s := root.Get("deployment_settings"); s != nil && b.known(s, "settings", "deployment_settings") {
		b.settings(s)
		for _, e := range b.entries(s, "deployment_settings") {
			t.Settings = append(t.Settings, &document.Param{Name: key(e.key), Value: e.value, Path: e.path})
		}
	}
	nodes := map[string]bool{}
	for _, e := range b.entries(b.get(root, "document", "node_templates"), "node_templates") {
		t.Nodes = append(t.Nodes, b.node(e))
		nodes[e.key.Text] = true
	}
	for _, e := range b.entries(b.get(root, "document", "groups"), "groups") {
		if nodes[e.key.Text] {
			b.diags.Errorf(CodeForm, e.key.Pos, "the group %s has the name of a node template", e.key.Text).Path = e.path
		}
		g, policies := b.group(e)
		t.Groups = append(t.Groups, g)
		t.Policies = append(t.Policies, policies...)
	}
	for _, e := range b.entries(b.get(root, "document", "policies"), "policies") {
		if p := b.scalingPolicy(e, t.Groups); p != nil {
			t.Policies = append(t.Policies, p)
		}
	}
	for _, e := range b.entries(b.get(root, "document", "workflows"), "workflows") {
		if w := b.workflow(e); w != nil {
			t.Workflows = append(t.Workflows, w)
		}
	}
	return t
}

// values reads outputs and capabilities ({description, value}) and labels ({values: [text]}).
func (b *blueprint) values(root *source.Node, name, section string) []*document.Param {
	var out []*document.Param
	for _, e := range b.entries(root.Get(name), name) {
		if !b.known(e.value, section, e.path) {
			if e.value.IsNull() {
				b.wrong(e.value, e.path, "a map")
			}
			continue
		}
		p := &document.Param{Name: key(e.key), Description: b.text(e.value.Get("description"), e.path+".description"), Path: e.path}
		field := "value"
		if section == "label" {
			field = "values"
		}
		p.Value = e.value.Get(field)
		if e.value.Key(field) == nil && b.slipped(e.value, section, field) {
			continue
		} else if e.value.Key(field) == nil {
			b.diags.Errorf(CodeMissingKeyname, e.key.Pos, "%s of %s has no %s", e.key.Text, name, field).Path = e.path
		} else if section == "label" {
			b.labelValues(p.Value, name, e.path+".values")
		}
		out = append(out, p)
	}
	return out
}

func (b *blueprint) labelValues(n *source.Node, section, path string) {
	if !n.Is(source.Sequence) {
		b.wrong(n, path, "a list of texts")
		return
	}
	for i, it := range n.Items {
		p := path + "[" + strconv.Itoa(i) + "]"
		fn, _, _, _, call := b.traits.Expressions.Call(it)
		switch {
		case call && section == "blueprint_labels":
			b.diags.Errorf(CodeForm, it.Pos, "blueprint_labels hold texts, no functions").Path = p
		case call && fn == "get_attribute":
			b.diags.Errorf(CodeForm, it.Pos, "labels are set before there are attributes; get_attribute means nothing here").Path = p
		case !call && !it.Is(source.Scalar):
			b.wrong(it, p, "a text")
		}
	}
}
