package resolve

import (
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func (r *resolver) groupTemplates(t *document.Topology) {
	for _, def := range t.Groups {
		r.groups[def.Name.Text] = &topology.Group{Name: def.Name.Text}
	}
	for _, def := range t.Groups {
		g := r.groups[def.Name.Text]
		g.Description, g.Metadata, g.Pos = def.Description, def.Metadata, def.Name.Pos
		typ := r.typeRef(r.in.Root, document.GroupType, def.Type, def.Path+".type")
		ctx := &context{file: r.in.Root, inType: typ}
		if typ != nil {
			g.Type = typ.chain
			g.Properties = r.assign(ctx, typ.props, def.Properties, "property", "the group "+g.Name, def.Path+".properties", typ.broken)
			r.required(r.in.Root, typ.props, g.Properties, def.Properties, def.Name, "the group "+g.Name, def.Path+".properties")
			g.Interfaces = r.mergeInterfaces(ctx, typ.ifaces, def.Interfaces, true)
		} else {
			g.Properties = r.assign(ctx, nil, def.Properties, "property", "the group "+g.Name, def.Path+".properties", true)
		}
		for _, m := range def.Members {
			if r.byName[m.Text] == nil && r.groups[m.Text] == nil {
				r.unknownMember(m, def.Path+".members", "the group "+g.Name+" has the member")
				continue
			}
			if n := r.byName[m.Text]; n != nil && typ != nil && !typ.broken {
				r.checkMember(typ, n, m, def.Path+".members", "the group type "+typ.def.Name.Text)
			}
			if !slices.Contains(g.Members, m.Text) {
				g.Members = append(g.Members, m.Text)
			}
		}
		r.top.Groups = append(r.top.Groups, g)
	}
}

func (r *resolver) unknownMember(name document.Name, docPath, what string) {
	d := r.errorf("unknown-node", name.Pos, docPath, "%s %q, which is neither a node template nor a group", what, name.Text)
	d.Hint = r.suggest(name.Text, func() []string { return append(r.top.NodeNames(), slices.Sorted(maps.Keys(r.groups))...) })
}

// checkMember checks a group's member or a policy's target against the types that the group or policy type allows.
func (r *resolver) checkMember(t *typ, n *node, name document.Name, docPath, what string) {
	if n.typ == nil || n.typ.broken {
		return
	}
	for p := t; p != nil; p = p.parent {
		allowed := p.def.Members
		if p.def.Kind == document.PolicyType {
			allowed = p.def.Targets
		}
		if len(allowed) == 0 {
			continue
		}
		if !validTarget(p.file, allowed, nil, n.typ) {
			r.severe(r.in.Root, "wrong-target", name.Pos, docPath, "%s does not apply to %s (%s)", what, n.Name, n.typ.def.Name.Text).Hint = "it applies to " + textNames(allowed)
		}
		return
	}
}

// checkGroup checks a group that a policy has as its target. A policy type that names node types applies to groups, too: their members are meant.
func (r *resolver) checkGroup(t *typ, g *topology.Group, name document.Name, docPath string) {
	for ; t != nil && !t.broken && len(g.Type) > 0; t = t.parent {
		for _, allowed := range t.def.Targets {
			gt := t.file.lookup(document.GroupType, allowed.Text)
			if gt == nil || g.Type.Is(gt.def.Name.Text) {
				return
			}
		}
		if len(t.def.Targets) > 0 {
			r.severe(r.in.Root, "wrong-target", name.Pos, docPath, "the policy type %s does not apply to the group %s (%s)", t.def.Name.Text, g.Name, g.Type.Name()).Hint = "it applies to " + textNames(t.def.Targets)
			return
		}
	}
}

func (r *resolver) policies(t *document.Topology) {
	for _, def := range t.Policies {
		p := &topology.Policy{Name: def.Name.Text, Metadata: def.Metadata, Pos: def.Name.Pos}
		typ := r.typeRef(r.in.Root, document.PolicyType, def.Type, def.Path+".type")
		ctx := &context{file: r.in.Root}
		of := "the policy " + p.Name
		if typ != nil {
			p.Type = typ.chain
			p.Properties = r.assign(ctx, typ.props, def.Properties, "property", of, def.Path+".properties", typ.broken)
			r.required(r.in.Root, typ.props, p.Properties, def.Properties, def.Name, of, def.Path+".properties")
		} else {
			p.Properties = r.assign(ctx, nil, def.Properties, "property", of, def.Path+".properties", true)
		}
		for _, m := range def.Targets {
			n := r.byName[m.Text]
			if n == nil && r.groups[m.Text] == nil {
				r.unknownMember(m, def.Path+".targets", of+" has the target")
				continue
			}
			if n != nil && typ != nil && !typ.broken {
				r.checkMember(typ, n, m, def.Path+".targets", "the policy type "+typ.def.Name.Text)
			} else if n == nil {
				r.checkGroup(typ, r.groups[m.Text], m, def.Path+".targets")
			}
			if !slices.Contains(p.Targets, m.Text) {
				p.Targets = append(p.Targets, m.Text)
			}
		}
		triggers := def.Triggers
		if typ != nil {
			triggers = append(typeTriggers(typ), triggers...)
		}
		for _, d := range triggers {
			p.Triggers = append(p.Triggers, r.trigger(p, d))
		}
		r.top.Policies = append(r.top.Policies, p)
	}
}

func typeTriggers(t *typ) []*document.Trigger {
	var out []*document.Trigger
	for ; t != nil; t = t.parent {
		out = append(append([]*document.Trigger{}, t.def.Triggers...), out...)
	}
	return out
}

func (r *resolver) trigger(p *topology.Policy, def *document.Trigger) *topology.Trigger {
	ctx := &context{file: r.in.Root}
	t := &topology.Trigger{Name: def.Name.Text, Event: def.Event, Target: def.Target.Text, Pos: def.Name.Pos}
	if def.Schedule != nil {
		t.Schedule = r.value(ctx, def.Schedule, nil, def.Path+".schedule")
	}
	if def.Condition != nil {
		c := *ctx
		c.validation = true
		t.Condition = r.value(&c, def.Condition, nil, def.Path+".condition")
	}
	for _, a := range def.Actions {
		act := r.activity(ctx, a, nil)
		if a.Kind == topology.ActivityInline && r.in.Root.Doc.Topology != nil && !r.hasWorkflow(a.Target.Text, "heal") {
			r.unknownWorkflow(a)
		}
		t.Actions = append(t.Actions, act)
	}
	return t
}

// activity of a workflow or trigger; o is the operation that it calls, where its inputs are to fit the operation's.
func (r *resolver) activity(ctx *context, def *document.Activity, o *topology.Operation) topology.Activity {
	a := topology.Activity{Kind: def.Kind, Name: def.Target.Text, Pos: def.Target.Pos}
	if def.Kind == topology.ActivityCall {
		a.Interface, a.Name = splitOperation(def.Target.Text)
	}
	if len(def.Inputs) > 0 {
		a.Inputs = topology.NewValues()
		for _, in := range def.Inputs {
			var declared *topology.Value
			if o != nil {
				declared = o.Inputs.Get(in.Name.Text)
			}
			a.Inputs.Set(in.Name.Text, r.input(ctx, in, declared, def.Path+".inputs"))
		}
	}
	return a
}

// splitOperation reads "Standard.create" and "tosca.interfaces.node.lifecycle.Standard.create".
func splitOperation(s string) (iface, op string) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return "", s
	}
	return topology.InterfaceName(s[:i]), s[i+1:]
}
