package topology

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
)

// MarshalJSON writes a value as data, with function calls as one-key maps: {"$get_input": ["name"]}.
func (v *Value) MarshalJSON() ([]byte, error) {
	if v == nil {
		return []byte("null"), nil
	}
	switch v.Kind {
	case ListValue:
		if v.List == nil {
			return []byte("[]"), nil
		}
		return encode(v.List)
	case MapValue:
		return encode(v.Map)
	case CallValue:
		args := v.Call.Args
		if args == nil {
			args = []*Value{}
		}
		return encode(map[string]any{"$" + v.Call.Fn: args})
	}
	if f, ok := v.Lit.(float64); ok && f != f {
		return []byte(`"nan"`), nil
	} else if ok && (f > 1e308 || f < -1e308) {
		return encode(fmt.Sprint(f))
	}
	return encode(v.Lit)
}

// MarshalJSON writes an ordered map in its order.
func (v *Values) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	first := true
	for k, e := range v.All() {
		if !first {
			b.WriteByte(',')
		}
		first = false
		key, err := encode(k)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		val, err := e.MarshalJSON()
		if err != nil {
			return nil, err
		}
		b.Write(val)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

type object = map[string]any

// Dump writes the topology in a normal form as JSON: everything resolved, nothing that depends on the machine (no positions, no digest).
// Two documents that mean the same give the same dump. Empty fields are left out.
func Dump(t *Topology) ([]byte, error) {
	out := object{"name": t.Name, "dialect": t.Dialect, "nodes": dumpList(t.Nodes, dumpNode)}
	put(out, "version", t.Version)
	put(out, "description", t.Description)
	put(out, "metadata", t.Metadata)
	put(out, "inputs", dumpList(t.Inputs, dumpParameter))
	put(out, "outputs", dumpList(t.Outputs, dumpParameter))
	put(out, "groups", dumpList(t.Groups, func(g *Group) any {
		o := object{"name": g.Name, "type": g.Type.Name()}
		put(o, "members", g.Members)
		put(o, "properties", g.Properties)
		return o
	}))
	put(out, "policies", dumpList(t.Policies, dumpPolicy))
	if len(t.Workflows) > 0 {
		w := object{}
		for name, wf := range t.Workflows {
			w[name] = dumpWorkflow(wf)
		}
		out["workflows"] = w
	}
	if t.Order != TargetStartedFirst {
		out["order"] = map[Order]string{CreateInParallel: "create-in-parallel", Interleaved: "interleaved", Cloudify: "cloudify"}[t.Order]
	}
	if s := t.Substitution; s != nil {
		out["substitution"] = dumpSubstitution(s)
	}
	raw, err := encode(out)
	if err != nil {
		return nil, fmt.Errorf("cannot write the topology as JSON: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, fmt.Errorf("cannot write the topology as JSON: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// SameMeaning compares two topologies by their normal forms, without what belongs to the dialects that they were written in: its name, the
// order that it generates, where the document's own name stands, and the two ways to say a condition (constraints, validations). It returns
// the places that differ ("nodes.app.properties.port"; entries of lists by their names, or numbers from 0), at most maxDifferences of them,
// none if the topologies mean the same.
func SameMeaning(a, b *Topology) ([]string, error) {
	var forms [2]map[string]any
	for i, t := range []*Topology{a, b} {
		raw, err := Dump(t)
		if err != nil {
			return nil, err
		}
		if dir := path.Dir(t.Entry); dir != "." { // a document that imports from above has a wider root
			raw = bytes.ReplaceAll(raw, []byte(`"file": "`+dir+`/`), []byte(`"file": "`))
		}
		if err := json.Unmarshal(raw, &forms[i]); err != nil {
			return nil, fmt.Errorf("cannot read the topology's normal form: %w", err)
		}
		withoutDialect(forms[i])
	}
	return differences(nil, "", forms[0], forms[1]), nil
}

// maxDifferences is how many places a comparison names.
const maxDifferences = 20

// differences appends the places where two values of JSON differ.
func differences(out []string, at string, a, b any) []string {
	if len(out) >= maxDifferences || reflect.DeepEqual(a, b) {
		return out
	}
	in := func(key string) string {
		if at == "" {
			return key
		}
		return at + "." + key
	}
	if x, ok := a.(map[string]any); ok {
		if y, ok := b.(map[string]any); ok {
			keys := maps.Clone(x)
			maps.Copy(keys, y)
			for _, k := range slices.Sorted(maps.Keys(keys)) {
				out = differences(out, in(k), x[k], y[k])
			}
			return out
		}
	}
	if x, ok := a.([]any); ok {
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				out = differences(out, in(entryName(x[i], i)), x[i], y[i])
			}
			return out
		}
	}
	return append(out, at)
}

// entryName is how an entry of a list is called: by its own name, or its number.
func entryName(v any, i int) string {
	if o, ok := v.(object); ok {
		if name, ok := o["name"].(string); ok {
			return name
		}
	}
	return strconv.Itoa(i)
}

func withoutDialect(form map[string]any) {
	delete(form, "dialect")
	delete(form, "order")
	if md, ok := form["metadata"].(map[string]any); ok {
		delete(md, "template_name")
		delete(md, "template_version")
		if len(md) == 0 {
			delete(form, "metadata")
		}
	}
	for _, section := range []string{"inputs", "outputs"} {
		list, _ := form[section].([]any)
		for _, p := range list {
			if m, ok := p.(map[string]any); ok {
				delete(m, "constraints")
				if t := m["type"]; t == "list" || t == "map" {
					m["type"] = t.(string) + " of string" // what TOSCA 1.3 says of entries without a schema, and 2.0 wants to be written
				}
			}
		}
	}
}

// put sets a field that is not empty.
func put(o object, key string, v any) {
	switch x := v.(type) {
	case string:
		if x == "" {
			return
		}
	case []any:
		if len(x) == 0 {
			return
		}
	case []string:
		if len(x) == 0 {
			return
		}
	case map[string]string:
		if len(x) == 0 {
			return
		}
	case *Values:
		if x.Len() == 0 {
			return
		}
	case *Value:
		if x == nil {
			return
		}
	case bool:
		if !x {
			return
		}
	case object:
		if len(x) == 0 {
			return
		}
	case nil:
		return
	}
	o[key] = v
}

func dumpList[T any](list []T, f func(T) any) []any {
	out := make([]any, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

func dumpNode(n *Node) any {
	o := object{"name": n.Name, "type": []string(n.Type)}
	put(o, "description", n.Description)
	put(o, "metadata", n.Metadata)
	put(o, "directives", n.Directives)
	put(o, "substituted_by", n.SubstitutedBy)
	put(o, "properties", n.Properties)
	put(o, "attributes", n.Attributes)
	put(o, "scales_with", n.ScalesWith)
	put(o, "count", n.Count)
	put(o, "native", n.Native)
	caps := object{}
	for _, c := range n.Capabilities {
		co := object{"type": c.Type.Name()}
		put(co, "properties", c.Properties)
		put(co, "attributes", c.Attributes)
		caps[c.Name] = co
	}
	put(o, "capabilities", caps)
	put(o, "relationships", dumpList(n.Relationships, dumpRelationship))
	put(o, "interfaces", dumpInterfaces(n.Interfaces))
	put(o, "artifacts", dumpList(n.Artifacts, dumpArtifact))
	return o
}

func dumpRelationship(r *Relationship) any {
	o := object{"name": r.Name, "requirement": r.Requirement, "type": r.Type.Name(), "target": r.Target}
	put(o, "template", r.Template)
	put(o, "capability", r.Capability)
	put(o, "target_index", r.TargetIndex)
	put(o, "count", r.Count)
	put(o, "allocation", r.Allocation)
	put(o, "properties", r.Properties)
	put(o, "attributes", r.Attributes)
	put(o, "interfaces", dumpInterfaces(r.Interfaces))
	put(o, "artifacts", dumpList(r.Artifacts, dumpArtifact))
	return o
}

// dumpInterfaces leaves out operations that do nothing and have no inputs.
func dumpInterfaces(list []*Interface) object {
	out := object{}
	for _, i := range list {
		ops := object{}
		for _, op := range i.Operations {
			o := object{}
			if op.Implementation != nil {
				o["implementation"] = dumpArtifact(op.Implementation)
			}
			put(o, "dependencies", dumpList(op.Dependencies, dumpArtifact))
			put(o, "inputs", op.Inputs)
			put(o, "host", op.Host)
			put(o, "call", op.Call)
			if op.Timeout > 0 {
				o["timeout"] = op.Timeout.String()
			}
			outs := object{}
			for _, m := range op.Outputs {
				outs[m.Output] = m.Target
			}
			put(o, "outputs", outs)
			put(ops, op.Name, o)
		}
		put(out, i.Name, ops)
	}
	return out
}

func dumpArtifact(a *Artifact) any {
	o := object{}
	put(o, "name", a.Name)
	put(o, "type", a.Type.Name())
	put(o, "file", a.File)
	put(o, "source", a.Source)
	put(o, "deploy_path", a.DeployPath)
	put(o, "properties", a.Properties)
	if a.Repository != nil {
		o["repository"] = a.Repository.Name
	}
	return o
}

func dumpParameter(p *Parameter) any {
	o := object{"name": p.Name}
	put(o, "description", p.Description)
	put(o, "required", p.Required)
	put(o, "value", p.Value)
	put(o, "mapping", p.Mapping)
	if p.Schema != nil {
		o["type"] = p.Schema.String()
		put(o, "constraints", dumpList(p.Schema.Constraints, func(c Constraint) any { return object{c.Op: c.Args} }))
	}
	return o
}

func dumpPolicy(p *Policy) any {
	o := object{"name": p.Name, "type": p.Type.Name()}
	put(o, "targets", p.Targets)
	put(o, "properties", p.Properties)
	put(o, "triggers", dumpList(p.Triggers, func(t *Trigger) any {
		to := object{"name": t.Name}
		put(to, "event", t.Event)
		put(to, "target", t.Target)
		put(to, "condition", t.Condition)
		put(to, "schedule", t.Schedule)
		put(to, "actions", dumpList(t.Actions, dumpActivity))
		return to
	}))
	return o
}

func dumpWorkflow(w *Workflow) any {
	o := object{}
	put(o, "inputs", dumpList(w.Inputs, dumpParameter))
	steps := object{}
	for _, s := range w.Steps {
		so := object{"activities": dumpList(s.Activities, dumpActivity)}
		put(so, "target", s.Target)
		put(so, "relationship", s.Relationship)
		put(so, "operation_host", s.OperationHost)
		put(so, "filter", s.Filter)
		put(so, "on_success", s.OnSuccess)
		put(so, "on_failure", s.OnFailure)
		put(so, "on_cancel", s.OnCancel)
		steps[s.Name] = so
	}
	o["steps"] = steps
	put(o, "preconditions", dumpList(w.Preconditions, func(p Precondition) any {
		po := object{}
		put(po, "target", p.Target)
		put(po, "relationship", p.Relationship)
		put(po, "condition", p.Condition)
		return po
	}))
	return o
}

func dumpActivity(a Activity) any {
	name := a.Name
	if a.Interface != "" {
		name = a.Interface + "." + a.Name
	}
	o := object{a.Kind: name}
	put(o, "inputs", a.Inputs)
	return o
}

func dumpSubstitution(s *Substitution) any {
	o := object{"type": s.Type.Name()}
	for key, list := range map[string][]Mapping{
		"properties": s.Properties, "attributes": s.Attributes, "capabilities": s.Capabilities, "requirements": s.Requirements, "interfaces": s.Interfaces,
	} {
		m := object{}
		for _, x := range list {
			m[x.Name] = x.To
		}
		put(o, key, m)
	}
	return o
}

// WorkflowNames lists the declared workflows in alphabetical order.
func (t *Topology) WorkflowNames() []string { return slices.Sorted(maps.Keys(t.Workflows)) }
