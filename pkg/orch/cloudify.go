package orch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// cloudifyWorkflows are those of Cloudify's types file that mean something here, with their parameters.
var cloudifyWorkflows = map[string]string{
	"install": "", "uninstall": "ignore_failure", "reinstall": "ignore_failure node_ids node_instance_ids type_names",
	"start": filters, "stop": filters, "restart": filters, "check_status": filters, "check_drift": filters,
	"pull": filters, "rollback": "full_rollback " + filters,
	"execute_operation": "operation operation_kwargs run_by_dependency_order " + filters,
	"heal":              "node_instance_id force_reinstall allow_reinstall check_status ignore_failure diagnose_value " + filters,
	"scale":             "scalable_entity_name delta scale_compute ignore_failure rollback_if_failed",
}

const filters = "type_names node_ids node_instance_ids"

func cloudifyInfos() (out []WorkflowInfo) {
	for _, name := range []string{"install", "uninstall", "reinstall", "check_status", "check_drift", "pull", "rollback", "execute_operation", "scale"} {
		w := WorkflowInfo{Name: name, Description: "Cloudify's " + name}
		for _, in := range strings.Fields(cloudifyWorkflows[name]) {
			w.Inputs = append(w.Inputs, WorkflowInput{Name: in, Required: in == "operation" || in == "scalable_entity_name"})
		}
		out = append(out, w)
	}
	return out
}

// translated turns a request for one of Cloudify's own workflows, of a blueprint or mapped to by one, into what it means here.
func (l *Local) translated(ctx context.Context, req Request) (Request, error) {
	if req.Verb != Workflow {
		return req, nil
	}
	v, err := l.view(ctx, req.Deployment)
	if err != nil || v.topology.Order != topology.Cloudify {
		return req, nil // whoever asked learns why when planning
	}
	name := req.Workflow
	given := req.Inputs
	if wf := v.topology.Workflows[name]; wf != nil {
		if name = wf.BuiltIn(); name == "" {
			return req, nil
		}
		inputs, list := topology.CheckInputs(wf.Inputs, given, nil)
		if err := list.Err(); err != nil {
			return req, err
		}
		given = inputs
	}
	known, ok := cloudifyWorkflows[name]
	if !ok {
		if v.topology.Workflows[req.Workflow] == nil {
			return req, nil
		}
		return req, &Error{Kind: KindUser, Msg: fmt.Sprintf("the workflow %s is Cloudify's %s, which orch does not have", req.Workflow, name)}
	}
	c := &cloudifyCall{v: v, req: req, in: given}
	return c.request(name, known)
}

type cloudifyCall struct {
	v   *view
	req Request
	in  map[string]any
}

func (c *cloudifyCall) request(name, known string) (Request, error) {
	for k := range c.in {
		if c.v.topology.Workflows[c.req.Workflow] == nil && !slices.Contains(strings.Fields(known), k) {
			return c.req, &Error{Kind: KindUser, Msg: fmt.Sprintf("the workflow %s has no input %q", name, k), Hint: "it has " + known}
		}
	}
	r := c.req
	r.Inputs, r.Workflow = nil, name
	selected, err := c.selected()
	if err != nil {
		return r, err
	}
	r.Select = append(r.Select, selected...)
	r.Force = r.Force || c.flag("ignore_failure")
	switch name {
	case "install":
		r.Verb, r.Workflow = Deploy, ""
	case "uninstall":
		r.Verb, r.Workflow = Undeploy, ""
	case "check_status", "check_drift", "pull":
		r.Verb, r.Workflow, r.Operation, r.Ordered = Operate, "", name, name != "check_status"
	case "rollback":
		if c.flag("full_rollback") { // what was half-way is removed with all the rest
			r.Verb, r.Workflow, r.Force = Undeploy, "", true
		}
	case "execute_operation":
		return c.operation(r)
	case "reinstall":
		r.Workflow, r.Reinstall = plan.Heal, true
		if len(r.Select) == 0 {
			r.Select = c.all()
		}
	case "heal":
		return c.heal(r)
	case "scale":
		return c.scale(r)
	}
	return r, nil
}

func (c *cloudifyCall) text(name string) string {
	t, _ := topology.Text(c.in[name])
	return t
}

func (c *cloudifyCall) flag(name string) bool { return strings.EqualFold(c.text(name), "true") }

// texts of a parameter that is a list, or one text with commas.
func (c *cloudifyCall) texts(name string) (out []string) {
	have := c.in[name]
	if strings.HasPrefix(strings.TrimSpace(c.text(name)), "[") {
		have, _ = c.parsed(name, "list")
	}
	switch v := have.(type) {
	case nil:
	case []any:
		for _, x := range v {
			t, _ := topology.Text(x)
			out = append(out, t)
		}
	default:
		for _, t := range strings.Split(c.text(name), ",") {
			if t = strings.TrimSpace(t); t != "" {
				out = append(out, t)
			}
		}
	}
	return out
}

// parsed is a parameter whose type no blueprint declares: a command line gives it as text.
func (c *cloudifyCall) parsed(name, kind string) (any, error) {
	var list diag.List
	v := topology.CoerceAt(c.in[name], &topology.Schema{Type: topology.Type{kind}}, name, diag.Pos{}, &list)
	if list.HasErrors() {
		return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("%s must be a %s", name, kind), Hint: "write it as YAML or JSON"}
	}
	return v, nil
}

func (c *cloudifyCall) all() (out []topology.Instance) {
	for in := range c.v.snapshot.Instances {
		out = append(out, in)
	}
	slices.SortFunc(out, byInstance)
	return out
}

// selected applies the filters, all of which must let an instance through; none chooses nothing, which means all.
func (c *cloudifyCall) selected() ([]topology.Instance, error) {
	types, nodes, ids := c.texts("type_names"), c.texts("node_ids"), c.texts("node_instance_ids")
	if len(types)+len(nodes)+len(ids) == 0 {
		return nil, nil
	}
	var out []topology.Instance
	for _, in := range c.all() {
		n := c.v.topology.NodeNamed(in.Node)
		if n == nil || len(nodes) > 0 && !slices.Contains(nodes, in.Node) || len(ids) > 0 && !slices.ContainsFunc(ids, func(id string) bool { return topology.IsInstanceID(id, c.v.record.Name, in) }) ||
			len(types) > 0 && !slices.ContainsFunc(types, n.Type.Is) {
			continue
		}
		out = append(out, in)
	}
	if len(out) == 0 {
		return nil, &Error{Kind: KindUser, Msg: "no instance passes type_names, node_ids and node_instance_ids", Hint: "orch status shows the instances"}
	}
	return out, nil
}

func (c *cloudifyCall) operation(r Request) (Request, error) {
	op := c.text("operation")
	if op == "" {
		return r, &Error{Kind: KindUser, Msg: "execute_operation needs the input operation", Hint: "for example -i operation=cloudify.interfaces.lifecycle.start"}
	}
	r.Verb, r.Workflow, r.Ordered = Operate, "", c.flag("run_by_dependency_order")
	if i := strings.LastIndexByte(op, '.'); i >= 0 {
		r.Interface, op = topology.InterfaceName(op[:i]), op[i+1:]
	}
	r.Operation = op
	kwargs := c.in["operation_kwargs"]
	if kwargs == nil || kwargs == "" {
		return r, nil
	}
	kwargs, err := c.parsed("operation_kwargs", "map")
	r.Inputs, _ = kwargs.(map[string]any)
	return r, err
}

func (c *cloudifyCall) heal(r Request) (Request, error) {
	r.Workflow, r.Reinstall = plan.Heal, r.Reinstall || c.flag("force_reinstall")
	r.Spare = (r.Spare || c.flag("check_status")) && !r.Reinstall
	r.InPlace = r.InPlace || c.in["allow_reinstall"] != nil && !c.flag("allow_reinstall")
	id := c.text("node_instance_id")
	if id == "" {
		return r, nil
	}
	for _, in := range c.all() {
		if topology.IsInstanceID(id, c.v.record.Name, in) {
			r.Select = append(r.Select, in)
			return r, nil
		}
	}
	return r, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no instance %q", id), Hint: "orch status shows the instances", Err: ErrNotFound}
}

func (c *cloudifyCall) scale(r Request) (Request, error) {
	name := c.text("scalable_entity_name")
	delta := 1
	if t := c.text("delta"); t != "" {
		if _, err := fmt.Sscanf(t, "%d", &delta); err != nil {
			return r, &Error{Kind: KindUser, Msg: fmt.Sprintf("delta must be a whole number, not %q", t)}
		}
	}
	r.Verb, r.Workflow, r.Scale = Deploy, "", map[string]int{}
	if delta > 0 && r.OnFailure == "" && c.flag("rollback_if_failed") {
		r.OnFailure = RollBack
	}
	t := c.v.topology
	for _, n := range t.Members(name) {
		switch root := t.ScaleRoot(n); {
		case root == n || c.flag("scale_compute") || t.NodeNamed(name) == nil && n.Host() == "":
			r.Scale[root.Name] = len(c.v.world.Instances(root.Name)) + delta*c.each(root, t.NodeNamed(name) == nil)
		case t.NodeNamed(name) != nil: // so many in each of its containers
			each, err := t.PerContainer(context.Background(), n, c.v.world)
			if err != nil {
				return r, &Error{Kind: KindUser, Msg: "cannot tell how many instances " + name + " has", Err: err}
			}
			if was, ok := c.v.record.Scale[n.Name]; ok {
				each = was
			}
			r.Scale[n.Name] = each + delta
		}
	}
	if len(r.Scale) == 0 {
		return r, &Error{Kind: KindUser, Msg: fmt.Sprintf("scalable_entity_name: there is no node or group %q", name)}
	}
	for node, n := range r.Scale {
		if n < 0 {
			return r, &Error{Kind: KindUser, Msg: fmt.Sprintf("%s cannot have %d instances", node, n)}
		}
	}
	return r, nil
}

// each is how many instances of a node one instance of a scaling group has.
func (c *cloudifyCall) each(n *topology.Node, group bool) int {
	if !group {
		return 1
	}
	name := c.v.topology.ScalingGroup(n)
	for _, p := range c.v.topology.Policies {
		if !p.Type.Is("cloudify.policies.scaling") || !slices.Contains(p.Targets, name) {
			continue
		}
		of, err := topology.Eval(context.Background(), topology.Scope{Topology: c.v.topology}, p.Properties.Get("default_instances"), c.v.world)
		_, _, all, err2 := c.v.topology.Scale(context.Background(), n.Name, c.v.world)
		if k, ok := of.(int64); ok && k > 0 && err == nil && err2 == nil {
			return max(1, all/int(k))
		}
	}
	return 1
}
