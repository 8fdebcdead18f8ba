package resolve

import (
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func (r *resolver) workflows(t *document.Topology) {
	if len(t.Workflows) == 0 {
		return
	}
	r.top.Workflows = make(map[string]*topology.Workflow, len(t.Workflows))
	for _, def := range t.Workflows {
		r.top.Workflows[def.Name.Text] = &topology.Workflow{Name: def.Name.Text, Description: def.Description, Call: def.Call, Pos: def.Name.Pos}
	}
	for _, def := range t.Workflows {
		r.workflow(r.top.Workflows[def.Name.Text], def)
	}
	r.inlineCycles(t.Workflows)
}

func (r *resolver) workflow(w *topology.Workflow, def *document.Workflow) {
	ctx := &context{file: r.in.Root, inputs: map[string]bool{}, types: map[string]*topology.Schema{}, optional: map[string]bool{}}
	for _, in := range def.Inputs {
		ctx.inputs[in.Name.Text] = true
		if in.Required != nil && !*in.Required && in.Default.IsNull() {
			ctx.optional[in.Name.Text] = true
		}
		p := r.parameter(&context{file: r.in.Root}, in, true)
		ctx.types[p.Name] = p.Schema
		w.Inputs = append(w.Inputs, p)
	}
	for _, o := range def.Outputs {
		w.Outputs = append(w.Outputs, r.parameter(ctx, o, false))
	}
	for _, p := range def.Preconditions {
		pre := topology.Precondition{Target: p.Target.Text, Relationship: p.Relationship.Text, Pos: p.Target.Pos}
		if !p.Target.IsZero() && r.byName[p.Target.Text] == nil && r.groups[p.Target.Text] == nil {
			r.unknownMember(p.Target, p.Path+".target", "the precondition names")
		}
		if n := r.byName[p.Target.Text]; n != nil && !p.Relationship.IsZero() {
			r.relationshipNamed(n, p.Relationship, p.Path+".target_relationship")
		}
		if p.Condition != nil {
			c := *ctx
			c.validation = true
			pre.Condition = r.value(&c, p.Condition, nil, p.Path+".condition")
		}
		w.Preconditions = append(w.Preconditions, pre)
	}
	steps := make(map[string]bool, len(def.Steps))
	names := make([]string, 0, len(def.Steps))
	for _, s := range def.Steps {
		steps[s.Name.Text] = true
		names = append(names, s.Name.Text)
	}
	for _, s := range def.Steps {
		w.Steps = append(w.Steps, r.step(ctx, s, steps, names))
		r.stepHost(s)
		for _, a := range s.Activities {
			if a.Kind == topology.ActivityInline {
				r.checkInline(def, a)
			}
		}
	}
	r.stepCycles(w, def)
}

func (r *resolver) step(ctx *context, def *document.Step, steps map[string]bool, names []string) *topology.WorkflowStep {
	s := &topology.WorkflowStep{Name: def.Name.Text, Target: def.Target.Text, Relationship: def.Relationship.Text, OperationHost: def.Host.Text, Pos: def.Name.Pos}
	n := r.byName[def.Target.Text]
	if !def.Target.IsZero() && n == nil && r.groups[def.Target.Text] == nil {
		r.unknownMember(def.Target, def.Path+".target", "the step "+s.Name+" has the target")
	}
	var rel *topology.Relationship
	if n != nil && !def.Relationship.IsZero() {
		rel = r.relationshipNamed(n, def.Relationship, def.Path+".target_relationship")
	}
	if def.Filter != nil {
		c := *ctx
		c.validation = true
		s.Filter = r.value(&c, def.Filter, nil, def.Path+".filter")
	}
	stepCtx := *ctx
	if n != nil {
		stepCtx.node, stepCtx.rel = n.Node, rel
	}
	for _, a := range def.Activities {
		act := r.activity(&stepCtx, a, r.called(n, rel, a))
		switch {
		case a.Kind == topology.ActivityInline && !r.hasWorkflow(a.Target.Text):
			r.unknownWorkflow(a)
		case a.Kind == topology.ActivityDelegate:
			r.checkDelegate(a)
		case a.Kind == topology.ActivityCall && n != nil:
			r.checkOperation(&stepCtx, n, rel, def, a, act)
		}
		s.Activities = append(s.Activities, act)
	}
	next := func(list []document.Name, key string) []string {
		var out []string
		for _, x := range list {
			if !steps[x.Text] {
				d := r.errorf("unknown-step", x.Pos, def.Path+"."+key, "there is no step %q in this workflow", x.Text)
				d.Hint = diag.Suggest(x.Text, names)
				continue
			}
			out = append(out, x.Text)
		}
		return out
	}
	s.OnSuccess, s.OnFailure, s.OnCancel = next(def.OnSuccess, "on_success"), next(def.OnFailure, "on_failure"), next(def.OnCancel, "on_cancel")
	return s
}

// called is the operation that an activity of TOSCA 2.0 calls, whose inputs say what the activity's must be; nil where nothing is asked.
func (r *resolver) called(n *node, rel *topology.Relationship, a *document.Activity) *topology.Operation {
	if n == nil || a.Kind != topology.ActivityCall || !r.in.Root.Doc.Traits.Strict {
		return nil
	}
	in := n.Interfaces
	if rel != nil {
		in = rel.Interfaces
	}
	iface, name := splitOperation(a.Target.Text)
	return operation(in, iface, name)
}

// relationshipNamed finds the relationship by its name or requirement.
func (r *resolver) relationshipNamed(n *node, name document.Name, docPath string) *topology.Relationship {
	var names []string
	for _, x := range n.Relationships {
		if x.Name == name.Text || x.Requirement == name.Text {
			return x
		}
		names = append(names, x.Name)
	}
	if n.typ == nil || n.typ.broken || slices.ContainsFunc(n.typ.reqs, func(q *requirement) bool { return q.name == name.Text }) {
		return nil
	}
	d := r.errorf("unknown-relationship", name.Pos, docPath, "%s has no relationship %q", n.Name, name.Text)
	if d.Hint = diag.Suggest(name.Text, names); d.Hint == "" {
		d.Hint = hintList("it has", names)
	}
	return nil
}

// checkOperation reports a call_operation of an operation that the step's target does not have.
func (r *resolver) checkOperation(ctx *context, n *node, rel *topology.Relationship, step *document.Step, def *document.Activity, a topology.Activity) {
	if n.typ == nil || n.typ.broken || a.Interface == "" {
		return
	}
	in, of := n.Interfaces, n.Name
	if !step.Relationship.IsZero() {
		if rel == nil || len(rel.Type) == 0 {
			return
		}
		in, of = rel.Interfaces, n.Name+"."+rel.Name
	}
	if o := operation(in, a.Interface, a.Name); o != nil && r.in.Root.Doc.Traits.Strict {
		r.checkCallInputs(ctx, o, def, a)
	}
	if untyped(n.typ, a.Interface) || hasOperation(in, a.Interface, a.Name) || rel != nil && (hasOperation(n.Interfaces, a.Interface, a.Name)) {
		return
	}
	var names []string
	for _, i := range in {
		for _, o := range i.Operations {
			names = append(names, i.Name+"."+o.Name)
		}
	}
	d := r.severe(r.in.Root, "unknown-operation", def.Target.Pos, def.Path, "%s has no operation %s.%s", of, a.Interface, a.Name)
	d.Hint = diag.Suggest(a.Interface+"."+a.Name, names)
}

func hasOperation(in []*topology.Interface, iface, op string) bool {
	return operation(in, iface, op) != nil
}

func operation(in []*topology.Interface, iface, op string) *topology.Operation {
	for _, i := range in {
		if i.Name == iface || i.Type.Name() == iface {
			for _, o := range i.Operations {
				if o.Name == op {
					return o
				}
			}
		}
	}
	return nil
}

// checkCallInputs checks what TOSCA 2.0 asks of a call_operation's inputs: each is an input of the operation, a required one that has no
// value otherwise is given, and does not get its value from an optional workflow input.
func (r *resolver) checkCallInputs(ctx *context, o *topology.Operation, def *document.Activity, a topology.Activity) {
	for _, in := range def.Inputs {
		declared := o.Inputs.Get(in.Name.Text)
		if declared == nil {
			d := r.errorf("unknown-input", in.Name.Pos, def.Path+".inputs", "the operation %s.%s has no input %q", o.Interface, o.Name, in.Name.Text)
			d.Hint = diag.Suggest(in.Name.Text, o.Inputs.Keys())
			continue
		}
		v := a.Inputs.Get(in.Name.Text)
		if !r.requiredInputs[declared] || v.Kind != topology.CallValue || v.Call.Fn != "get_input" || len(v.Call.Args) == 0 {
			continue
		}
		if name, ok := v.Call.Args[0].Lit.(string); ok && ctx.optional[name] {
			r.errorf("optional-input", in.Value.Pos, def.Path+".inputs", "the operation needs the input %q, but the workflow's input %q is optional", in.Name.Text, name).Hint =
				"make the workflow's input required, or give it a default"
		}
	}
	for name, declared := range o.Inputs.All() {
		if r.requiredInputs[declared] && declared.Kind == topology.LitValue && declared.Lit == nil && a.Inputs.Get(name) == nil {
			d := r.errorf("missing-operation-input", def.Target.Pos, def.Path+".inputs", "the operation %s.%s needs the input %q", o.Interface, o.Name, name)
			d.Hint = "give it under inputs of call_operation"
			d.Related = []diag.Related{{Pos: declared.Pos, Message: "declared here, required and without a value"}}
		}
	}
}

// stepCycles reports steps that wait for each other.
func (r *resolver) stepCycles(w *topology.Workflow, def *document.Workflow) {
	next := make(map[string][]string, len(w.Steps))
	var order []string
	for _, s := range w.Steps {
		next[s.Name] = slices.Concat(s.OnSuccess, s.OnFailure, s.OnCancel)
		order = append(order, s.Name)
	}
	if path := findCycle(order, next); path != nil {
		d := r.errorf("workflow-cycle", def.Name.Pos, def.Path, "the steps of the workflow %s wait for each other in a circle: %s", w.Name, strings.Join(path, " → "))
		d.Hint = "remove one of these on_success, on_failure or on_cancel entries"
	}
}

// inlineCycles reports workflows that call each other.
func (r *resolver) inlineCycles(defs []*document.Workflow) {
	next := map[string][]string{}
	var order []string
	pos := map[string]*document.Workflow{}
	for _, w := range defs {
		order = append(order, w.Name.Text)
		pos[w.Name.Text] = w
		for _, s := range w.Steps {
			for _, a := range s.Activities {
				if a.Kind == topology.ActivityInline {
					next[w.Name.Text] = append(next[w.Name.Text], a.Target.Text)
				}
			}
		}
	}
	if path := findCycle(order, next); path != nil {
		w := pos[path[0]]
		r.cyclic("workflow-cycle", w.Name.Pos, w.Path, "workflows call each other in a circle: %s", strings.Join(path, " → "))
	}
}

// cyclic is an error except in TOSCA 2.0, whose text has a workflow that calls itself.
func (r *resolver) cyclic(code string, pos diag.Pos, docPath, format string, args ...any) {
	if r.in.Root.Doc.Traits.Strict {
		r.warnf(code, pos, docPath, format, args...)
		return
	}
	r.errorf(code, pos, docPath, format, args...)
}

// findCycle returns the first cycle of a graph as a path that ends where it began, or nil.
func findCycle(order []string, next map[string][]string) []string {
	state := make(map[string]int, len(order))
	at := map[string]int{}
	for _, start := range order {
		if state[start] != 0 {
			continue
		}
		stack := []string{start}
		state[start] = 1
		for len(stack) > 0 {
			top := stack[len(stack)-1]
			if i := at[top]; i < len(next[top]) {
				at[top]++
				to := next[top][i]
				if state[to] == 1 {
					return append(append([]string{}, stack[slices.Index(stack, to):]...), to)
				}
				if state[to] == 0 {
					state[to] = 1
					stack = append(stack, to)
				}
				continue
			}
			state[top] = 2
			stack = stack[:len(stack)-1]
		}
	}
	return nil
}

// untyped tells an interface that a type declares with an unknown type.
func untyped(t *typ, name string) bool {
	for ; t != nil; t = t.parent {
		for _, i := range t.def.Interfaces {
			if i.Name.Text == name && !i.Type.IsZero() && t.file.lookup(document.InterfaceType, i.Type.Text) == nil {
				return true
			}
		}
	}
	return false
}
