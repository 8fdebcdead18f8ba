package resolve

import (
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// renamer copies what belongs to a template into the topology that it becomes part of: names get the substituted node's name before them, and
// the template's inputs become what the node says of them. Nothing of the original is changed, because nodes of a type share much.
type renamer struct {
	names  map[string]string // nodes, groups and relationship templates
	flows  map[string]string // workflows
	inputs map[string]*topology.Value
}

func (r *renamer) name(s string) string {
	if to, ok := r.names[s]; ok {
		return to
	}
	return s
}

func (r *renamer) list(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = r.name(n)
	}
	return out
}

// entityFirst are the functions whose first argument names a node.
var entityFirst = []string{
	"get_property", "get_attribute", "get_operation_output", "get_artifact", "get_attributes_list", "get_attributes_dict", "available_allocation",
}

func (r *renamer) value(v *topology.Value) *topology.Value {
	if v == nil {
		return nil
	}
	out := *v
	switch v.Kind {
	case topology.ListValue:
		out.List = make([]*topology.Value, len(v.List))
		for i, x := range v.List {
			out.List[i] = r.value(x)
		}
	case topology.MapValue:
		out.Map = r.values(v.Map)
	case topology.CallValue:
		return r.call(&out)
	}
	return &out
}

func (r *renamer) call(v *topology.Value) *topology.Value {
	c := &topology.Call{Fn: v.Call.Fn, Own: v.Call.Own, Args: make([]*topology.Value, len(v.Call.Args))}
	for i, a := range v.Call.Args {
		c.Args[i] = r.value(a)
	}
	v.Call = c
	if len(c.Args) == 0 || c.Args[0].Kind != topology.LitValue {
		return v
	}
	first := fmt.Sprint(c.Args[0].Lit)
	switch {
	case c.Own != nil:
	case c.Fn == "get_input":
		if bound, ok := r.inputs[first]; ok {
			return nestedValue(bound, c.Args[1:], v)
		}
	case slices.Contains(entityFirst, c.Fn):
		if to, ok := r.names[first]; ok {
			arg := *c.Args[0]
			arg.Lit = to
			c.Args[0] = &arg
		}
	}
	return v
}

// nestedValue is what lies at a path inside a value, in place of at.
func nestedValue(v *topology.Value, path []*topology.Value, at *topology.Value) *topology.Value {
	for len(path) > 0 && v != nil && v.Kind != topology.CallValue {
		key := path[0]
		switch {
		case v.Kind == topology.MapValue && key.Kind == topology.LitValue:
			v = v.Map.Get(fmt.Sprint(key.Lit))
		case v.Kind == topology.ListValue && key.Kind == topology.LitValue:
			i, ok := key.Lit.(int64)
			if !ok || i < 0 || int(i) >= len(v.List) {
				return at
			}
			v = v.List[i]
		default:
			return at
		}
		path = path[1:]
	}
	if v == nil {
		return &topology.Value{Schema: at.Schema, Pos: at.Pos}
	}
	out := *v
	out.Schema, out.Pos = at.Schema, at.Pos
	if out.Kind == topology.CallValue && v.Call.Own == nil && len(path) > 0 {
		out.Call = &topology.Call{Fn: v.Call.Fn, Args: append(slices.Clone(v.Call.Args), path...)}
	}
	return &out
}

func (r *renamer) values(v *topology.Values) *topology.Values {
	if v == nil {
		return nil
	}
	out := topology.NewValues()
	for k, x := range v.All() {
		out.Set(k, r.value(x))
	}
	return out
}

func (r *renamer) node(n *topology.Node) *topology.Node {
	out := *n
	out.Name, out.ScalesWith = r.name(n.Name), r.name(n.ScalesWith)
	out.Properties, out.Attributes, out.Count = r.values(n.Properties), r.values(n.Attributes), r.value(n.Count)
	out.Capabilities = make([]*topology.Capability, len(n.Capabilities))
	for i, c := range n.Capabilities {
		copied := *c
		copied.Properties, copied.Attributes = r.values(c.Properties), r.values(c.Attributes)
		out.Capabilities[i] = &copied
	}
	out.Relationships = make([]*topology.Relationship, len(n.Relationships))
	for i, rel := range n.Relationships {
		out.Relationships[i] = r.relationship(rel)
	}
	out.Interfaces, out.Artifacts = r.interfaces(n.Interfaces), r.artifacts(n.Artifacts)
	return &out
}

func (r *renamer) relationship(rel *topology.Relationship) *topology.Relationship {
	out := *rel
	out.Source, out.Target, out.Template = r.name(rel.Source), r.name(rel.Target), r.name(rel.Template)
	out.Properties, out.Attributes, out.Allocation = r.values(rel.Properties), r.values(rel.Attributes), r.values(rel.Allocation)
	out.TargetIndex, out.Count = r.value(rel.TargetIndex), r.value(rel.Count)
	out.Interfaces, out.Artifacts = r.interfaces(rel.Interfaces), r.artifacts(rel.Artifacts)
	return &out
}

func (r *renamer) interfaces(in []*topology.Interface) []*topology.Interface {
	out := make([]*topology.Interface, len(in))
	for i, x := range in {
		copied := *x
		copied.Inputs = r.values(x.Inputs)
		copied.Operations = make([]*topology.Operation, len(x.Operations))
		for j, o := range x.Operations {
			op := *o
			op.Inputs, op.Host = r.values(o.Inputs), r.name(o.Host)
			copied.Operations[j] = &op
		}
		out[i] = &copied
	}
	return out
}

func (r *renamer) artifacts(in []*topology.Artifact) []*topology.Artifact {
	out := make([]*topology.Artifact, len(in))
	for i, a := range in {
		copied := *a
		copied.Properties = r.values(a.Properties)
		out[i] = &copied
	}
	return out
}

func (r *renamer) group(g *topology.Group) *topology.Group {
	out := *g
	out.Name, out.Members = r.name(g.Name), r.list(g.Members)
	out.Properties, out.Interfaces = r.values(g.Properties), r.interfaces(g.Interfaces)
	return &out
}

func (r *renamer) policy(p *topology.Policy, name string) *topology.Policy {
	out := *p
	out.Name, out.Targets, out.Properties = name, r.list(p.Targets), r.values(p.Properties)
	out.Triggers = make([]*topology.Trigger, len(p.Triggers))
	for i, t := range p.Triggers {
		copied := *t
		copied.Schedule, copied.Condition, copied.Target = r.value(t.Schedule), r.value(t.Condition), r.name(t.Target)
		copied.Actions = r.activities(t.Actions)
		out.Triggers[i] = &copied
	}
	return &out
}

func (r *renamer) activities(in []topology.Activity) []topology.Activity {
	out := slices.Clone(in)
	for i, a := range out {
		out[i].Inputs = r.values(a.Inputs)
		if to, ok := r.flows[a.Name]; ok && a.Kind == topology.ActivityInline {
			out[i].Name = to
		}
	}
	return out
}

func (r *renamer) workflow(w *topology.Workflow) *topology.Workflow {
	out := *w
	own := *r
	own.inputs = make(map[string]*topology.Value, len(r.inputs))
	for k, v := range r.inputs {
		own.inputs[k] = v
	}
	for _, in := range w.Inputs { // a workflow's own inputs hide the template's
		delete(own.inputs, in.Name)
	}
	r = &own
	out.Name = r.flows[w.Name]
	out.Inputs, out.Outputs = r.parameters(w.Inputs), r.parameters(w.Outputs)
	out.Preconditions = slices.Clone(w.Preconditions)
	for i, p := range out.Preconditions {
		out.Preconditions[i].Target, out.Preconditions[i].Condition = r.name(p.Target), r.value(p.Condition)
	}
	out.Steps = make([]*topology.WorkflowStep, len(w.Steps))
	for i, s := range w.Steps {
		copied := *s
		copied.Target, copied.OperationHost, copied.Filter = r.name(s.Target), r.name(s.OperationHost), r.value(s.Filter)
		copied.Activities = r.activities(s.Activities)
		out.Steps[i] = &copied
	}
	return &out
}

func (r *renamer) parameters(in []*topology.Parameter) []*topology.Parameter {
	out := make([]*topology.Parameter, len(in))
	for i, p := range in {
		copied := *p
		copied.Value = r.value(p.Value)
		out[i] = &copied
	}
	return out
}
