package engine

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

func now() time.Time { return time.Now().UTC() }

// variables of a script's environment, as Alien4Cloud and TOSCA define them:
//
//	NODE INSTANCE INSTANCES HOST DEPLOYMENT_ID        of the node; INSTANCE is node_index
//	SOURCE_* TARGET_* NODE INSTANCE INSTANCES HOST    of a relationship's ends, instead of the former
//	TARGET_CAPABILITY_NAMES                           of a relationship: the target's capability that it ends at
//	TARGET_CAPABILITY_TYPE, …_PROPERTY_x              its type and properties, also as TARGET_CAPABILITY_<name>_…
//	TARGET_CAPABILITY_<instance>_ATTRIBUTE_x          its attributes, for each instance of the target
//	<input>                                           each input by its name; lists and maps as JSON
//	<instance>_<input>                                in operations of relationships: its value for each instance of both ends, and in
//	                                                  others for each instance of the node
//
// Inputs of the operation win over the names above, inputs of the call over the operation's.
func (r *run) variables(ctx context.Context, st *step, req *driver.Request) ([]driver.Variable, error) {
	v := &variables{values: map[string]driver.Variable{}, inputs: map[string]any{}}
	v.set("DEPLOYMENT_ID", req.Called())
	self := req.Node.Name
	if req.Relationship == nil {
		v.node("", self, req.Instance, r.world.Instances(self), st.Host)
	} else {
		v.node("SOURCE_", self, req.Instance, r.world.Instances(self), r.hostVariable(req.Topology, req.Node, req.Instance))
		target := req.Topology.NodeNamed(req.Relationship.Target)
		targets := r.targets(st)
		one := st.TargetInstance
		if one == "" && len(targets) > 0 {
			one = targets[0]
		}
		v.node("TARGET_", req.Relationship.Target, one, targets, r.hostVariable(req.Topology, target, one))
		r.capability(ctx, req, v, target, targets)
	}
	if err := r.inputs(ctx, st, req, v); err != nil {
		return nil, err
	}
	req.Inputs = v.inputs
	return v.sorted(), nil
}

// capability tells a relationship's operation of the capability that it ends at, as Yorc does. What has no value yet is left out.
func (r *run) capability(ctx context.Context, req *driver.Request, v *variables, target *topology.Node, targets []string) {
	if target == nil {
		return
	}
	c := target.Capability(req.Relationship.Capability)
	if c == nil {
		return
	}
	name := notName.ReplaceAllString(c.Name, "_")
	prefixes := []string{"TARGET_CAPABILITY_", "TARGET_CAPABILITY_" + name + "_"}
	set := func(rest string, x *topology.Value, instance string) {
		value, err := topology.Eval(ctx, topology.Scope{Topology: req.Topology, Node: target, Instance: instance}, x, req.Env)
		if err != nil || value == nil || unknown(value) {
			return
		}
		addSecrets(r.e.opts.Redactor, value)
		for _, p := range prefixes {
			v.input(p+rest, value)
		}
	}
	v.set("TARGET_CAPABILITY_NAMES", c.Name)
	for _, p := range prefixes {
		v.set(p+"TYPE", c.Type.Name())
	}
	for k, x := range c.Properties.All() {
		set("PROPERTY_"+notName.ReplaceAllString(k, "_"), x, "")
	}
	for k := range c.Attributes.All() {
		get := &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_attribute", Args: []*topology.Value{topology.Lit("SELF"), topology.Lit(c.Name), topology.Lit(k)}}}
		for _, i := range targets {
			set(instanceName(target.Name, i)+"_ATTRIBUTE_"+notName.ReplaceAllString(k, "_"), get, i)
		}
	}
}

type variables struct {
	values map[string]driver.Variable
	inputs map[string]any // of the operation
}

func (v *variables) set(name, value string) {
	v.values[name] = driver.Variable{Name: name, Value: value}
}

func (v *variables) node(prefix, node, index string, instances []string, host string) {
	v.set(prefix+"NODE", node)
	v.set(prefix+"INSTANCE", instanceName(node, index))
	names := make([]string, len(instances))
	for i, x := range instances {
		names[i] = instanceName(node, x)
	}
	v.set(prefix+"INSTANCES", strings.Join(names, ","))
	if in, ok := plan.ParseInstance(host); ok {
		host = instanceName(in.Node, in.Index)
	}
	v.set(prefix+"HOST", host)
}

// instanceName is an instance as scripts see it: valid in the name of a variable.
func instanceName(node, index string) string {
	return notName.ReplaceAllString(node+"_"+index, "_")
}

var notName = regexp.MustCompile(`[^A-Za-z0-9_]`)

func (v *variables) sorted() []driver.Variable {
	out := make([]driver.Variable, 0, len(v.values))
	for _, x := range v.values {
		out = append(out, x)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (r *run) hostVariable(t *topology.Topology, n *topology.Node, index string) string {
	if n == nil {
		return ""
	}
	return plan.ServerOf(t, n, index)
}

// targets are the instances at the other end that a relationship operation of this source instance concerns.
func (r *run) targets(st *step) []string {
	all := r.world.Instances(st.Target)
	t := r.job.Topology
	source, target := t.NodeNamed(st.Node), t.NodeNamed(st.Target)
	if source == nil || target == nil {
		return all
	}
	for _, rel := range source.Relationships {
		if rel.Name == st.Relationship {
			return plan.TargetsOf(t, rel, st.Instance, all)
		}
	}
	return all
}

// inputs evaluates the inputs of an operation for the instance itself, and once more for each other instance that scripts may ask for.
func (r *run) inputs(ctx context.Context, st *step, req *driver.Request, v *variables) error {
	exprs := map[string]*topology.Value{}
	for name, x := range req.Operation.Inputs.All() {
		exprs[name] = x
	}
	for name, x := range plan.CallInputs(req.Topology, st.Activity).All() {
		exprs[name] = x
	}
	given := map[string]any{}
	if r.job.Plan.Workflow == plan.Operation {
		given = r.job.WorkflowInputs
	}
	around, err := r.workflowInputs(ctx, st, req.Topology)
	if err != nil {
		return err
	}
	sc := topology.Scope{Topology: req.Topology, Node: req.Node, Instance: st.Instance, Relationship: req.Relationship,
		TargetInstance: st.TargetInstance, Inputs: around}
	if req.Relationship != nil && sc.TargetInstance == "" {
		if targets := r.targets(st); len(targets) > 0 {
			sc.TargetInstance = targets[0]
		}
	}
	for name, x := range exprs {
		if _, ok := given[name]; ok {
			continue
		}
		value, err := r.evaluate(ctx, st, req, sc, name, x)
		if err != nil {
			return err
		}
		v.inputs[name] = value
		v.input(name, value)
		if !perInstance(x) {
			continue
		}
		for in, other := range r.others(st, req, sc) {
			if value, err := topology.Eval(ctx, other, x, req.Env); err == nil && !unknown(value) {
				v.input(in+"_"+name, value)
			}
		}
	}
	for name, value := range given {
		v.inputs[name] = value
		v.input(name, value)
	}
	return nil
}

// others are the scopes of all instances of both ends (or of the node), by the instance's name.
func (r *run) others(st *step, req *driver.Request, sc topology.Scope) map[string]topology.Scope {
	out := map[string]topology.Scope{}
	for _, i := range r.world.Instances(req.Node.Name) {
		o := sc
		o.Instance = i
		out[instanceName(req.Node.Name, i)] = o
	}
	if req.Relationship != nil {
		for _, i := range r.targets(st) {
			o := sc
			o.TargetInstance = i
			out[instanceName(req.Relationship.Target, i)] = o
		}
	}
	return out
}

// perInstance reports whether an expression may differ between instances.
func perInstance(v *topology.Value) bool {
	if v == nil {
		return false
	}
	switch v.Kind {
	case topology.ListValue:
		for _, x := range v.List {
			if perInstance(x) {
				return true
			}
		}
	case topology.MapValue:
		for _, x := range v.Map.All() {
			if perInstance(x) {
				return true
			}
		}
	case topology.CallValue:
		switch v.Call.Fn {
		case "get_attribute", "get_operation_output", "node_index", "relationship_index":
			return true
		}
		for _, x := range v.Call.Args {
			if perInstance(x) {
				return true
			}
		}
	}
	return false
}

func (v *variables) input(name string, value any) {
	text, hidden := topology.Text(value)
	v.values[name] = driver.Variable{Name: name, Value: text, Secret: hidden}
}

// evaluate computes an input now; what is still unknown is a mistake, with its place.
func (r *run) evaluate(ctx context.Context, st *step, req *driver.Request, sc topology.Scope, name string, x *topology.Value) (any, error) {
	value, err := topology.Eval(ctx, sc, x, req.Env)
	if err != nil {
		var ee *topology.EvalError
		if errors.As(err, &ee) {
			return nil, err
		}
		return nil, &placedError{pos: posOf(x, st), err: fmt.Errorf("cannot evaluate the input %s of %s: %w", name, st.ID, err)}
	}
	addSecrets(r.e.opts.Redactor, value)
	if refs := unknownRefs(value); len(refs) > 0 {
		return nil, &placedError{pos: posOf(x, st), hint: "does a requirement make " + st.Node + " wait for it, and does something set it?",
			err: fmt.Errorf("the input %s of %s needs %s, which has no value", name, st.ID, strings.Join(refs, ", "))}
	}
	return value, nil
}

func unknown(v any) bool { return len(unknownRefs(v)) > 0 }

// unknownRefs lists what a value still waits for.
func unknownRefs(v any) (refs []string) {
	switch t := v.(type) {
	case topology.Unknown:
		if len(t.Refs) == 0 {
			return []string{"something"}
		}
		return t.Refs
	case []any:
		for _, x := range t {
			refs = append(refs, unknownRefs(x)...)
		}
	case map[string]any:
		for _, x := range t {
			refs = append(refs, unknownRefs(x)...)
		}
	}
	sort.Strings(refs)
	return refs
}

func posOf(x *topology.Value, st *step) diag.Pos {
	if x != nil && !x.Pos.IsZero() {
		return x.Pos
	}
	return st.Pos
}
