package resolve

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// checkCalls checks what functions refer to, now that everything is known. Expressions of types are checked against the type, those of
// templates against the topology.
func (r *resolver) checkCalls() {
	hasTopology := r.in.Root.Doc.Topology != nil
	for _, c := range r.calls {
		if c.ctx.file.Library {
			continue
		}
		args, literal := words(c.Call)
		if len(args) < len(c.Args) {
			c.want = nil // the rest of the path is computed
		}
		switch {
		case c.Own != nil:
		case c.Fn == "get_input":
			if hasTopology && len(args) > 0 && c.ctx.file == r.in.Root {
				r.checkInput(c, args)
			}
		case !literal || len(args) == 0 || !hasTopology && c.ctx.inType == nil:
		case c.ctx.file.Doc.Traits.Open && strings.HasPrefix(c.Fn, "get_attribute"):
			r.entity(c, args[0])
		case c.Fn == "get_property" || c.Fn == "get_attribute":
			r.checkPath(c, args)
		case c.Fn == "get_operation_output" || c.Fn == "get_artifact":
			r.checkEntity(c, args)
		case c.Fn == "get_nodes_of_type":
			r.typeRef(c.ctx.file, document.NodeType, document.Name{Text: args[0], Pos: c.Args[0].Pos}, c.path)
		}
	}
}

// missing reports what operations' inputs ask nodes for that have it not; templates' own expressions have been checked before.
func (r *resolver) missing() {
	if r.in.nest != nil {
		return
	}
	reported := map[diag.Pos]bool{}
	for _, d := range *r.diags {
		reported[d.Pos] = true
	}
	for _, d := range topology.Missing(r.top, r.allKnown) {
		if !reported[d.Pos] {
			r.diags.Add(d)
		}
	}
}

// allKnown tells whether everything is known that a node or relationship has, so that what it lacks is a mistake of its own: its type, those of its
// hosts where these are asked, too, and what a requirement of that name leads to.
func (r *resolver) allKnown(n *topology.Node, rel *topology.Relationship, name string) bool {
	if rel != nil {
		t := r.in.Root.lookup(document.RelationshipType, rel.Type.Name())
		return len(rel.Type) > 0 && (t == nil || !t.broken)
	}
	for left := len(r.top.Nodes); left > 0; left-- {
		of := r.byName[n.Name]
		if of == nil {
			return true // of a template that stands in for another node, which was resolved whole
		}
		if of.typ == nil || of.typ.broken || hasRequirement(of.typ.reqs, name) {
			return false
		}
		host := r.top.NodeNamed(n.Host())
		if !r.top.HostLookup || host == nil {
			return !r.top.HostLookup || !hasRequirement(of.typ.reqs, "host")
		}
		n = host
	}
	return true
}

// words are the literal arguments up to the first that is computed; literal is false if the entity or name is.
func words(c *topology.Call) ([]string, bool) {
	var out []string
	for _, a := range c.Args {
		if a.Kind != topology.LitValue || a.Lit == nil {
			return out, len(out) >= 2
		}
		out = append(out, fmt.Sprint(a.Lit))
	}
	return out, true
}

func (r *resolver) checkInput(c call, args []string) {
	if s := c.ctx.types[args[0]]; s != nil {
		r.descend(c, s, args[1:], "the workflow's input "+args[0])
		return
	}
	if c.ctx.inputs[args[0]] || r.top.Input(args[0]) != nil {
		if p := r.top.Input(args[0]); p != nil && !c.ctx.inputs[args[0]] {
			r.descend(c, p.Schema, args[1:], "the input "+args[0])
		}
		return
	}
	if c.ctx.file.Doc.Traits.Lenient && r.flowInput(args[0]) {
		return // Alien4Cloud's operations see the inputs of the workflow that calls them
	}
	before := len(*r.diags)
	r.unknownInput(args[0], c.pos, c.path, c.ctx.inputs)
	if c.ctx.file.Doc.Traits.Open && c.ctx.node == nil && (c.ctx.inType != nil || strings.HasPrefix(c.path, "inputs.")) && len(*r.diags) > before {
		(*r.diags)[before].Severity = diag.Warning // Cloudify looks at defaults only where they are used
	}
}

// flowInput reports an input of one of the workflows.
func (r *resolver) flowInput(name string) bool {
	return slices.ContainsFunc(r.in.Root.Doc.Topology.Workflows, func(w *document.Workflow) bool {
		return slices.ContainsFunc(w.Inputs, func(p *document.Param) bool { return p.Name.Text == name })
	})
}

func (r *resolver) unknownInput(name string, pos diag.Pos, docPath string, more map[string]bool) {
	names := slices.Sorted(maps.Keys(more))
	for _, p := range r.top.Inputs {
		names = append(names, p.Name)
	}
	d := r.errorf("unknown-input", pos, docPath, "there is no input %q", name)
	if d.Hint = diag.Suggest(name, names); d.Hint == "" {
		d.Hint = hintList("there are", names)
	}
	if d.Hint == "" {
		d.Hint = "declare it under inputs"
	}
}

var outputPath = regexp.MustCompile(`^((topology|service)_template\.)?(outputs|capabilities)\.`)

// withArticle puts a or an before a type's name.
func withArticle(name string) string {
	if strings.ContainsRune("aeio", rune((name + " ")[0])) {
		return "an " + name
	}
	return "a " + name
}

// entity finds what the first argument of a function means. known is false when that cannot be said here.
func (r *resolver) entity(c call, name string) (n *node, rel *topology.Relationship, known bool) {
	ctx := c.ctx
	if ctx.node == nil && ctx.inType == nil && outputPath.MatchString(c.path) && slices.Contains([]string{"SELF", "SOURCE", "TARGET", "HOST"}, name) && r.byName[name] == nil {
		r.errorf("bad-reference", c.pos, c.path, "%s means nothing here: an output belongs to no node", name).Hint = "name the node template"
		return nil, nil, false
	}
	switch name {
	case "SELF":
		if ctx.node == nil {
			return nil, nil, false
		}
		return r.byName[ctx.node.Name], ctx.rel, true
	case "SOURCE", "TARGET":
		if ctx.rel == nil {
			if ctx.inType == nil && ctx.node != nil && !ctx.file.Doc.Traits.Lenient {
				r.errorf("bad-reference", c.pos, c.path, "%s means nothing here: the value belongs to a node, not to a relationship", name).Hint = "SELF is the node itself"
			}
			return nil, nil, false
		}
		if name == "TARGET" {
			return r.byName[ctx.rel.Target], nil, true
		}
		return r.byName[ctx.rel.Source], nil, true
	case "HOST":
		if n := r.byName[nodeName(ctx)]; n != nil && ctx.rel == nil && n.typ != nil && !n.typ.broken && !ctx.file.Doc.Traits.Lenient && !hosted(n) {
			r.errorf("bad-reference", c.pos, c.path, "HOST means nothing here: %s has no host", n.Name).Hint = "SELF is the node itself"
		}
		return nil, nil, false
	case "REQ_TARGET", "R_TARGET":
		return nil, nil, false
	}
	if n := r.byName[name]; n != nil {
		return n, nil, true
	}
	if r.relTemplates[name] != nil || r.groups[name] != nil {
		return nil, nil, false
	}
	if ctx.inType != nil && ctx.node == nil {
		return nil, nil, false // the type's author knows node names of topologies, perhaps
	}
	d := r.errorf("unknown-node", c.pos, c.path, "%s: there is no node template %q", c.Fn, name)
	if d.Hint = r.suggest(name, func() []string { return append(r.top.NodeNames(), "SELF", "SOURCE", "TARGET", "HOST") }); d.Hint == "" {
		d.Hint = hintList("there are", r.top.NodeNames())
	}
	return nil, nil, false
}

func nodeName(ctx *context) string {
	if ctx.node == nil {
		return ""
	}
	return ctx.node.Name
}

// hosted tells whether a node can have a host: by a relationship that it has, or a requirement that could lead to one.
func hosted(n *node) bool {
	return slices.ContainsFunc(n.Relationships, func(rel *topology.Relationship) bool { return rel.Type.Is(hostedOn) }) ||
		slices.ContainsFunc(n.typ.reqs, func(q *requirement) bool {
			return q.name == "host" || q.relationship == nil || q.relationship.broken || q.relationship.chain.Is(hostedOn)
		})
}

const hostedOn = "tosca.relationships.HostedOn"

func (r *resolver) checkEntity(c call, args []string) {
	n, rel, known := r.entity(c, args[0])
	if !known || n == nil || n.typ == nil || n.typ.broken {
		return
	}
	if c.Fn == "get_artifact" {
		artifacts := n.Artifacts
		if rel != nil {
			artifacts = rel.Artifacts
		}
		var names []string
		for _, a := range artifacts {
			names = append(names, a.Name)
		}
		if len(args) > 1 && !slices.Contains(names, args[1]) {
			d := r.errorf("unknown-artifact", c.pos, c.path, "%s has no artifact %q", n.Name, args[1])
			d.Hint = diag.Suggest(args[1], names)
		}
		return
	}
	if len(args) < 3 {
		return
	}
	in := n.Interfaces
	if rel != nil {
		in = rel.Interfaces
	}
	if !hasOperation(in, topology.InterfaceName(args[1]), args[2]) && !hasOperation(in, args[1], args[2]) {
		var names []string
		for _, i := range in {
			for _, o := range i.Operations {
				names = append(names, i.Name+"."+o.Name)
			}
		}
		d := r.severe(c.ctx.file, "unknown-operation", c.pos, c.path, "%s has no operation %s.%s", n.Name, args[1], args[2])
		d.Hint = diag.Suggest(topology.InterfaceName(args[1])+"."+args[2], names)
	}
}

// checkPath checks [entity, (capability or requirement)?, name, nested…].
func (r *resolver) checkPath(c call, args []string) {
	if len(args) < 2 {
		return
	}
	args = r.instanceAt(c, args)
	if slices.Contains([]string{"CAPABILITY", "RELATIONSHIP", "TARGET", "SOURCE"}, args[1]) {
		r.checkKeywordPath(c, args)
		return
	}
	if c.ctx.node == nil && c.ctx.inType != nil && args[0] == "SELF" {
		r.checkTypePath(c, args[1:])
		return
	}
	n, rel, known := r.entity(c, args[0])
	if !known || n == nil || n.typ == nil || n.typ.broken {
		return
	}
	if rel != nil {
		t := r.in.Root.lookup(document.RelationshipType, rel.Type.Name())
		if t != nil && !t.broken {
			r.checkName(c, t.props, t.attrs, args[1:], n.Name+"."+rel.Name, nil)
		}
		return
	}
	r.checkNodePath(c, n, args[1:])
}

func (r *resolver) checkNodePath(c call, n *node, args []string) {
	if n.typ.props.get(args[0]) != nil || n.typ.attrs.get(args[0]) != nil || len(args) == 1 {
		r.checkName(c, n.typ.props, n.typ.attrs, args, n.Name, n.Attributes)
		return
	}
	if cp := findCapability(n.typ.caps, args[0]); cp != nil && !(hasRequirement(n.typ.reqs, args[0]) && cp.props.get(args[1]) == nil && cp.attrs.get(args[1]) == nil) {
		if cp.typ != nil && !cp.typ.broken {
			r.checkName(c, cp.props, cp.attrs, args[1:], n.Name+"'s capability "+cp.name, nil)
		}
		return
	}
	index := 0
	rest := args[1:]
	if i, err := strconv.Atoi(args[1]); err == nil && len(args) > 2 && hasRequirement(n.typ.reqs, args[0]) {
		index, rest = i, args[2:]
	}
	for _, rel := range n.Relationships {
		if rel.Requirement == args[0] || rel.Name == args[0] {
			if index == 0 {
				r.checkTargetName(c, rel, rest)
				return
			}
			index--
		}
	}
	if hasRequirement(n.typ.reqs, args[0]) {
		return
	}
	if r.in.Root.Doc.Traits.HostLookup {
		for up, left := r.byName[n.Node.Host()], len(r.byName); up != nil && left > 0; up, left = r.byName[up.Node.Host()], left-1 {
			if up.typ == nil || up.typ.broken || up.typ.props.get(args[0]) != nil || up.typ.attrs.get(args[0]) != nil || findCapability(up.typ.caps, args[0]) != nil {
				return
			}
		}
	}
	names := append(n.typ.props.names(), n.typ.attrs.names()...)
	for _, x := range n.typ.caps {
		names = append(names, x.name)
	}
	names = append(names, requirementNames(n.typ.reqs)...)
	before := len(*r.diags)
	r.notThere(c, n.Name, args[0], names)
	if d := &(*r.diags)[before]; !strings.HasPrefix(d.Hint, "did you mean") && len(args) == 1 {
		for _, x := range n.typ.caps {
			near := append(x.props.names(), x.attrs.names()...)
			if slices.Contains(near, args[0]) {
				d.Hint = fmt.Sprintf("its capability %s has it: [ %s, %s, %s ]", x.name, n.Name, x.name, args[0])
			} else if s := diag.Suggest(args[0], near); s != "" {
				d.Hint = s + " It is of the capability " + x.name + ": [ " + n.Name + ", " + x.name + ", … ]"
			}
		}
	}
}

// checkTargetName checks a name behind a requirement: of the target's capability, the target, or the relationship.
func (r *resolver) checkTargetName(c call, rel *topology.Relationship, args []string) {
	target := r.byName[rel.Target]
	if target == nil || target.typ == nil || target.typ.broken {
		return
	}
	var names []string
	for _, p := range []*params{target.typ.props, target.typ.attrs} {
		if p.get(args[0]) != nil {
			return
		}
		names = append(names, p.names()...)
	}
	for _, cp := range target.typ.caps {
		if cp.typ == nil || cp.typ.broken || cp.name == args[0] {
			return
		}
		if cp.name == rel.Capability {
			if cp.props.get(args[0]) != nil || cp.attrs.get(args[0]) != nil {
				return
			}
			names = append(names, cp.props.names()...)
		}
	}
	if t := r.in.Root.lookup(document.RelationshipType, rel.Type.Name()); t == nil || t.broken || t.props.get(args[0]) != nil || t.attrs.get(args[0]) != nil {
		return
	}
	r.notThere(c, "the target "+target.Name+" of "+rel.Name, args[0], names)
}

// checkTypePath checks SELF in a type's own expressions.
func (r *resolver) checkTypePath(c call, args []string) {
	t := c.ctx.inType
	if t.state != 2 || t.broken || t.def.Kind != document.NodeType {
		return
	}
	if t.props.get(args[0]) != nil || t.attrs.get(args[0]) != nil || findCapability(t.caps, args[0]) != nil || hasRequirement(t.reqs, args[0]) {
		return
	}
	names := append(t.props.names(), t.attrs.names()...)
	d := r.warnf("unknown-property", c.pos, c.path, "%s: the node type %s declares no property, attribute, capability or requirement %q", c.Fn, t.def.Name.Text, args[0])
	d.Hint = diag.Suggest(args[0], names)
}

func (r *resolver) checkName(c call, props, attrs *params, args []string, of string, more *topology.Values) {
	p := props.get(args[0])
	if p == nil {
		p = attrs.get(args[0])
	}
	if p == nil {
		if more.Get(args[0]) == nil {
			r.notThere(c, of, args[0], append(props.names(), attrs.names()...))
		}
		return
	}
	r.descend(c, p.schema, args[1:], of+"."+args[0])
}

func (r *resolver) notThere(c call, of, name string, names []string) {
	what := "property"
	if c.Fn == "get_attribute" {
		what = "attribute"
	}
	d := diag.Diagnostic{Code: "unknown-" + what, Pos: c.pos, Path: c.path, Message: fmt.Sprintf("%s: %s has no %s %q", c.Fn, of, what, name)}
	if c.ctx.file.Doc.Traits.Lenient {
		d.Severity = diag.Warning
	}
	if d.Hint = diag.Suggest(name, names); d.Hint == "" {
		d.Hint = hintList("it has", names)
	}
	r.diags.Add(d)
}

// descend checks nested keys and indexes against a schema.
func (r *resolver) descend(c call, s *topology.Schema, path []string, what string) {
	for _, key := range path {
		if s == nil {
			return
		}
		switch prim := s.Primitive(); {
		case prim == "any" || prim == "" && len(s.Fields) == 0:
			return
		case prim == "list" || prim == "map":
			s = s.Entry
		case prim == "":
			f := s.Field(key)
			if f == nil {
				var names []string
				for _, x := range s.Fields {
					names = append(names, x.Name)
				}
				d := r.errorf("unknown-field", c.pos, c.path, "%s: %s (%s) has no field %q", c.Fn, what, s, key)
				d.Hint = diag.Suggest(key, names)
				return
			}
			s = f.Schema
		case s.Type.Is("tosca.datatypes.json"):
			return
		default:
			r.errorf("unknown-field", c.pos, c.path, "%s: %s is %s and has no %q", c.Fn, what, withArticle(s.String()), key)
			return
		}
		what += "." + key
	}
	r.fitsInto(c.ctx, s, c.want, c.pos, c.path, what)
}
