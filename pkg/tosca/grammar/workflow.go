package grammar

import (
	"slices"
	"strconv"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

func (d *decoder) missing(n *source.Node, what, name string, known []string, path string) {
	dg := d.diags.Errorf("unknown-node", n.At(), "%s: there is no template %q", what, name)
	dg.Path, dg.Hint = path+"."+what, diag.Suggest(name, known)
}

func (d *decoder) policy(e entry) *document.Policy {
	p := &document.Policy{Name: key(e.key), Path: e.path}
	n := e.value
	if !d.known(n, "policy", e.path) {
		return p
	}
	p.Type = d.name(n.Get("type"), e.path+".type")
	if n.Get("type") == nil && !d.slipped(n, "policy", "type") {
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the policy %s has no type", e.key.Text).Path = e.path
	}
	p.Description = d.text(n.Get("description"), e.path+".description")
	p.Metadata = d.metadata(n.Get("metadata"), e.path+".metadata")
	p.Properties = d.assigns(n.Get("properties"), e.path+".properties")
	p.Targets = d.names(n.Get("targets"), e.path+".targets")
	p.Triggers = d.triggers(n.Get("triggers"), e.path+".triggers")
	return p
}

func (d *decoder) triggers(n *source.Node, path string) []*document.Trigger {
	if n.IsNull() {
		return nil
	}
	var es []entry
	if n.Is(source.Sequence) && !d.v2 {
		es = d.listEntries(n, path, true)
	} else {
		es = d.entries(n, path)
	}
	var out []*document.Trigger
	for _, e := range es {
		t := &document.Trigger{Name: key(e.key), Path: e.path}
		if !d.known(e.value, "trigger", e.path) {
			continue
		}
		d.noted(e.value, "trigger", e.path)
		ev, evPath := e.value.Get("event"), e.path+".event"
		if ev == nil {
			ev, evPath = e.value.Get("event_type"), e.path+".event_type"
		} else if other := d.get(e.value, "trigger", "event_type"); other != nil {
			d.text(other, e.path+".event_type")
		}
		if ev.Is(source.Mapping) {
			t.Event = ev.Get("type").Str() // 1.1: {type: …}
		} else {
			t.Event = d.text(ev, evPath)
		}
		t.Schedule = e.value.Get("schedule")
		t.Condition = e.value.Get("condition")
		if d.v2 && t.Condition.Is(source.Mapping) && len(t.Condition.Pairs) > 0 {
			if _, _, _, _, call := d.traits.Expressions.Call(t.Condition); !call {
				dg := d.diags.Errorf(CodeForm, t.Condition.Pos, "the condition of a trigger is a boolean expression")
				dg.Path, dg.Hint = e.path+".condition", "write it with a function such as { $equal: [ { $get_property: [ SELF, state ] }, active ] }"
				t.Condition = nil
			}
		}
		if ev == nil && !d.a4c && !d.slipped(e.value, "trigger", "event") {
			d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the trigger %s has no event", e.key.Text).Path = e.path
		}
		if f := d.get(e.value, "trigger", "target_filter"); f != nil && d.isMap(f, e.path+".target_filter") {
			t.Target = d.name(f.Get("node"), e.path+".target_filter.node")
		}
		switch a := e.value.Get("action"); {
		case a.Is(source.Sequence):
			t.Actions = d.activities(a, e.path+".action")
		case a.Is(source.Scalar):
			t.Actions = []*document.Activity{{Kind: topology.ActivityCall, Target: d.name(a, e.path+".action"), Path: e.path + ".action"}}
		case a.Is(source.Mapping):
			// 1.1: name: {implementation: …}
		case !a.IsNull():
			d.wrong(a, e.path+".action", "a list of activities")
		case d.level >= 12 && !d.a4c && a == nil && !d.slipped(e.value, "trigger", "action"):
			d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the trigger %s has no action", e.key.Text).Path = e.path
		}
		out = append(out, t)
	}
	return out
}

func (d *decoder) workflow(e entry) *document.Workflow {
	w := &document.Workflow{Name: key(e.key), Path: e.path}
	n := e.value
	if n.IsNull() && !d.v2 || !d.known(n, "workflow", e.path) {
		return w
	}
	w.Description = d.text(n.Get("description"), e.path+".description")
	d.metadata(n.Get("metadata"), e.path+".metadata")
	w.Inputs = d.params(n.Get("inputs"), "input", e.path+".inputs")
	if outs := n.Get("outputs"); outs.Is(source.Mapping) {
		for _, o := range d.entries(outs, e.path+".outputs") {
			p := &document.Param{Name: key(o.key), Path: o.path}
			switch {
			case o.value.Is(source.Sequence):
				p.Mapping = d.texts(o.value, o.path)
			case o.value.Is(source.Mapping) && d.known(o.value, "output", o.path):
				d.paramBody(p, o.value)
			}
			w.Outputs = append(w.Outputs, p)
		}
	} else if outs != nil {
		d.isMap(outs, e.path+".outputs")
	}
	d.preconditions(w, n)
	for _, s := range d.entries(n.Get("steps"), e.path+".steps") {
		w.Steps = append(w.Steps, d.step(s))
	}
	return w
}

func (d *decoder) preconditions(w *document.Workflow, n *source.Node) {
	if c := n.Get("precondition"); !c.IsNull() {
		w.Preconditions = []*document.Precondition{{Condition: c, Path: w.Path + ".precondition"}}
	}
	pre := n.Get("preconditions")
	if pre.IsNull() {
		return
	}
	if !pre.Is(source.Sequence) {
		d.wrong(pre, w.Path+".preconditions", "a list")
		return
	}
	for i, it := range pre.Items {
		p := w.Path + ".preconditions[" + strconv.Itoa(i) + "]"
		if !d.isMap(it, p) {
			continue
		}
		for k := range it.All() {
			switch k.Text {
			case "target", "target_relationship", "condition":
			default:
				d.unknownKeyname(k, &keyset{names: []string{"target", "target_relationship", "condition"}}, "precondition", p)
			}
		}
		w.Preconditions = append(w.Preconditions, &document.Precondition{
			Target: d.name(it.Get("target"), p+".target"), Relationship: d.name(it.Get("target_relationship"), p+".target_relationship"),
			Condition: it.Get("condition"), Path: p,
		})
	}
}

func (d *decoder) step(e entry) *document.Step {
	s := &document.Step{Name: key(e.key), Path: e.path}
	n := e.value
	if !d.known(n, "step", e.path) {
		return s
	}
	s.Target = d.name(n.Get("target"), e.path+".target")
	if node := n.Get("node"); node != nil && s.Target.IsZero() {
		s.Target = d.name(node, e.path+".node")
	}
	s.Relationship = d.name(n.Get("target_relationship"), e.path+".target_relationship")
	s.Host = d.name(n.Get("operation_host"), e.path+".operation_host")
	d.noted(n, "step", e.path)
	if f := d.get(n, "step", "filter"); f != nil && !f.IsNull() {
		if s.Filter = f; !f.Is(source.Sequence) && !f.Is(source.Mapping) {
			d.wrong(f, e.path+".filter", "a list of conditions")
		}
	}
	switch a := n.Get("activities"); {
	case a != nil:
		s.Activities = d.activities(a, e.path+".activities")
	case n.Get("activity") != nil:
		if act := d.activity(n.Get("activity"), e.path+".activity"); act != nil {
			s.Activities = []*document.Activity{act}
		}
	default:
		if !d.a4c {
			d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the workflow step %s has no activities", e.key.Text).Path = e.path
		}
	}
	if s.Target.IsZero() && n.Get("target") == nil && !d.slipped(n, "step", "target") && slices.ContainsFunc(s.Activities, func(a *document.Activity) bool { return a.Kind != topology.ActivityInline }) {
		d.diags.Errorf(CodeMissingKeyname, e.key.Pos, "the workflow step %s has no target", e.key.Text).Path = e.path
	}
	s.OnSuccess = d.names(n.Get("on_success"), e.path+".on_success")
	s.OnSuccess = append(s.OnSuccess, d.names(n.Get("on-success"), e.path+".on-success")...)
	s.OnFailure = d.names(n.Get("on_failure"), e.path+".on_failure")
	s.OnCancel = d.names(n.Get("on_cancel"), e.path+".on_cancel")
	return s
}

func (d *decoder) activities(n *source.Node, path string) []*document.Activity {
	if n.IsNull() {
		return nil
	}
	items := n.Items
	if n.Is(source.Mapping) && !d.v2 {
		items = []*source.Node{n} // a single activity without the list's dash
	} else if !n.Is(source.Sequence) {
		d.wrong(n, path, "a list of activities")
		return nil
	}
	var out []*document.Activity
	for i, it := range items {
		if a := d.activity(it, path+"["+strconv.Itoa(i)+"]"); a != nil {
			out = append(out, a)
		}
	}
	return out
}

// activity: a map with one key (delegate, set_state, call_operation, inline) and a name, or {workflow | operation, inputs}.
func (d *decoder) activity(n *source.Node, path string) *document.Activity {
	if !n.Is(source.Mapping) || len(n.Pairs) == 0 {
		d.wrong(n, path, "an activity: a map with one of delegate, set_state, call_operation, inline")
		return nil
	}
	kinds := []string{topology.ActivityDelegate, topology.ActivitySetState, topology.ActivityCall, topology.ActivityInline}
	p := n.Pairs[0]
	a := &document.Activity{Kind: p.Key.Text, Path: path}
	known := false
	for _, k := range kinds {
		known = known || k == p.Key.Text
	}
	if !known {
		dg := d.diags.Errorf(CodeForm, p.Key.Pos, "unknown activity %q", p.Key.Text)
		dg.Path = path
		if dg.Hint = diag.Suggest(p.Key.Text, kinds); dg.Hint == "" {
			dg.Hint = "known are delegate, set_state, call_operation, inline"
		}
		return nil
	}
	for _, more := range n.Pairs[1:] {
		dg := d.diags.Errorf(CodeForm, more.Key.Pos, "an activity is one thing: %s is a second one", more.Key.Text)
		dg.Path, dg.Hint = path, "begin another item of the list with it"
	}
	v := p.Value
	ap := path + "." + p.Key.Text
	if v.Is(source.Mapping) {
		for k := range v.All() {
			switch k.Text {
			case "workflow", "operation", "inputs":
			default:
				d.unknownKeyname(k, &keyset{names: []string{"workflow", "operation", "inputs"}}, "activity", ap)
			}
		}
		a.Inputs = d.inputs(v.Get("inputs"), ap+".inputs", false)
		t := v.Get("operation")
		if t == nil {
			t = v.Get("workflow")
		}
		v = t
	}
	a.Target = d.name(v, ap)
	if a.Target.IsZero() {
		d.diags.Errorf(CodeMissingKeyname, p.Key.Pos, "the activity %s names nothing", p.Key.Text).Path = path
		return nil
	}
	return a
}
