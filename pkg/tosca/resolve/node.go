package resolve

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// node is a node template being resolved.
type node struct {
	*topology.Node
	def *document.NodeTemplate
	typ *typ // nil: unknown, reported
	ctx *context
	// placeholder nodes are selected or substituted by an orchestrator, so that what is missing may come from elsewhere.
	placeholder bool
}

// nodes resolves the templates' own features; requirements come when all nodes are known.
func (r *resolver) nodes(t *document.Topology) {
	r.top.Nodes = make([]*topology.Node, 0, len(t.Nodes))
	r.byName = make(map[string]*node, len(t.Nodes))
	for _, def := range t.Nodes {
		n := r.node(def)
		r.list = append(r.list, n)
		r.byName[n.Name] = n
		r.top.Nodes = append(r.top.Nodes, n.Node)
	}
	r.top.Reindex()
}

func (r *resolver) node(def *document.NodeTemplate) *node {
	n := &node{Node: &topology.Node{Name: def.Name.Text, Description: def.Description, Metadata: def.Metadata, Pos: def.Name.Pos}, def: def}
	for _, d := range def.Directives {
		n.Directives = append(n.Directives, d.Text)
		n.placeholder = n.placeholder || slices.Contains([]string{"select", "selectable", "substitute", "substitutable"}, d.Text)
		if !slices.Contains([]string{"select", "selectable", "substitute", "substitutable", "create"}, d.Text) {
			dg := r.warnf("unknown-directive", d.Pos, def.Path+".directives", "unknown directive %q", d.Text)
			dg.Hint = diag.Suggest(d.Text, []string{"select", "selectable", "substitute", "substitutable", "create"})
		}
	}
	n.typ = r.typeRef(r.in.Root, document.NodeType, def.Type, def.Path+".type")
	n.ctx = &context{file: r.in.Root, node: n.Node, untyped: n.typ == nil}
	t := n.typ
	if t == nil {
		t = &typ{broken: true, props: &params{}, attrs: &params{}}
	} else {
		r.flatten(t)
		n.Type = t.chain
		n.Declared = t.declared
		if t.def.Abstract && !n.placeholder && r.in.Root.Doc.Traits.Lenient {
			// Alien4Cloud replaces abstract nodes by the location's; nothing to say.
			n.placeholder = true
		}
	}
	n.Properties = r.assign(n.ctx, t.props, def.Properties, "property", n.Name, def.Path+".properties", t.broken)
	n.Attributes = r.assign(n.ctx, t.attrs, def.Attributes, "attribute", n.Name, def.Path+".attributes", t.broken || n.placeholder)
	external := false
	if v := n.Properties.Get(r.in.Root.Doc.Traits.External); v != nil {
		external = v.Lit == true
	}
	if !n.placeholder && !external {
		r.required(r.in.Root, t.props, n.Properties, def.Properties, def.Name, n.Name, def.Path+".properties")
	}
	r.nodeCapabilities(n, t)
	n.Artifacts = r.mergeArtifacts(n.ctx, t.artifacts, def.Artifacts)
	r.withFile(n.Artifacts, def.Artifacts)
	n.ctx.artifacts = n.Artifacts
	n.ctx.inType = n.typ
	n.Interfaces = r.mergeInterfaces(n.ctx, t.ifaces, def.Interfaces, false)
	n.ctx.inType = nil
	if len(def.Artifacts) > 0 {
		n.Interfaces = rebind(n.Interfaces, n.Artifacts)
	}
	r.condition(def.NodeFilter, r.in.Root)
	if len(n.Directives) > 0 && strings.HasPrefix(n.Directives[0], "select") {
		n.Select = r.selection(n, def)
	}
	if def.Count != nil {
		n.Count = r.value(n.ctx, def.Count, &topology.Schema{Type: topology.Type{"integer"}}, def.Path+".count")
		if i, ok := n.Count.Lit.(int64); ok && i < 0 {
			r.errorf("value-type", def.Count.At(), def.Path+".count", "count must be 0 or more, not %d", i)
		}
	}
	return n
}

func (r *resolver) nodeCapabilities(n *node, t *typ) {
	given := make(map[string]*document.CapabilityAssign, len(n.def.Capabilities))
	for _, c := range n.def.Capabilities {
		given[c.Name.Text] = c
		if findCapability(t.caps, c.Name.Text) == nil && !t.broken {
			var names []string
			for _, x := range t.caps {
				names = append(names, x.name)
			}
			d := r.errorf("unknown-capability", c.Name.Pos, c.Path, "%s has no capability %q", n.Name, c.Name.Text)
			if d.Hint = diag.Suggest(c.Name.Text, names); d.Hint == "" {
				d.Hint = hintList("its type "+t.def.Name.Text+" has", names)
			}
		}
	}
	if len(t.caps) > 0 {
		n.Capabilities = make([]*topology.Capability, 0, len(t.caps))
	}
	for _, c := range t.caps {
		def := given[c.name]
		got := r.templateCapability(n.ctx, c, def)
		n.Capabilities = append(n.Capabilities, got)
		if c.typ == nil || n.placeholder {
			continue
		}
		switch of := n.Name + "'s capability " + c.name; {
		case def != nil:
			r.required(r.in.Root, c.props, got.Properties, def.Properties, def.Name, of, def.Path+".properties")
		case r.in.Root.Doc.Traits.Strict && !c.typ.broken:
			r.required(r.in.Root, c.props, got.Properties, nil, n.def.Name, of, n.def.Path+".capabilities")
		}
	}
}
