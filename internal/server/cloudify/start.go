package cloudify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// startRequest is the body of POST /executions. The client sends every field.
type startRequest struct {
	Deployment  string         `json:"deployment_id"`
	Workflow    string         `json:"workflow_id"`
	Parameters  map[string]any `json:"parameters"`
	AllowCustom flag           `json:"allow_custom_parameters"`
	Force       flag           `json:"force"`
	DryRun      flag           `json:"dry_run"`
	Queue       flag           `json:"queue"`
	Scheduled   *string        `json:"scheduled_time"`
}

// launch is a start that was understood.
type launch struct {
	startRequest
	record deploymentRecord
	model  *orch.Model
	// parameters with their defaults, as they are shown.
	parameters map[string]any
	request    orch.Request
	// before is what runs first, as an execution of its own.
	before *orch.Request
	// idle says why there is nothing to do, if there is not.
	idle string
}

func (s *Server) start(q *request) (any, error) {
	ctx := q.Request().Context()
	var b startRequest
	if err := q.body(&b); err != nil {
		return nil, err
	}
	for name, v := range map[string]string{"deployment_id": b.Deployment, "workflow_id": b.Workflow} {
		if v == "" {
			return nil, badParameters("Missing %s in json request body", name)
		}
	}
	if b.Scheduled != nil && *b.Scheduled != "" {
		return s.schedule(q, b)
	}
	l, err := s.understand(ctx, q.user(), b)
	if err != nil {
		return nil, err
	}
	if l.idle != "" {
		return s.nothingToDo(q, l)
	}
	if b.DryRun {
		return s.dryRun(q, l)
	}
	if !bool(b.Queue) && !bool(b.Force) {
		if err := s.free(ctx, l); err != nil {
			return nil, err
		}
	}
	l.request.NoQueue = !bool(b.Queue)
	l.request.Task, _ = taskID(newID()) // each start is an execution of its own, whatever else waits
	t, err := s.apply(ctx, l)
	if err != nil && l.before != nil && problemOf(err).code == "illegal_execution_parameters_error" {
		return s.failedAtOnce(q, l, err) // what has run before has shown it
	}
	if err != nil {
		return nil, err
	}
	return s.launched(q, l, t)
}

// apply starts what was understood, behind what has to run first.
func (s *Server) apply(ctx context.Context, l *launch) (orch.Task, error) {
	if l.before != nil {
		l.before.NoQueue, l.request.NoQueue = l.request.NoQueue, false
		t, err := s.opts.Service.Apply(ctx, *l.before)
		if err != nil {
			return t, startError(l, err)
		}
		id := executionID(t.ID)
		s.known.noteExecution(id, t.Deployment)
		x := executionRecord{owned: owned{ID: id, Tenant: s.opts.Tenant, By: l.request.User, Created: t.Created}, Deployment: l.Deployment, Blueprint: l.record.Blueprint,
			Workflow: l.before.Operation, Task: true}
		if err := s.shelf.executions.put(ctx, s.opts.Tenant, id, x); err != nil {
			return t, err
		}
	}
	t, err := s.opts.Service.Apply(ctx, l.request)
	if err != nil {
		return t, startError(l, err)
	}
	return t, nil
}

// launched records an execution that has become a task.
func (s *Server) launched(q *request, l *launch, t orch.Task) (any, error) {
	id := executionID(t.ID)
	s.known.noteExecution(id, t.Deployment)
	x := executionRecord{owned: owned{ID: id, Tenant: q.tenant, By: q.user(), Created: t.Created}, Deployment: l.Deployment, Blueprint: l.record.Blueprint,
		Workflow: l.Workflow, Parameters: masked(l.parameters), AllowCustom: bool(l.AllowCustom), Task: true}
	if err := s.shelf.executions.put(q.Request().Context(), q.tenant, id, x); err != nil {
		return nil, err
	}
	doc := ofTask(t, &x, l.record)
	return created(doc)
}

// masked hides what parameters call a password or a secret: records of executions are shown to everybody.
func masked(m map[string]any) map[string]any {
	out := maps.Clone(m)
	for k, v := range out {
		low := strings.ToLower(k)
		switch t := v.(type) {
		case string:
			if strings.Contains(low, "password") || strings.Contains(low, "secret") || strings.Contains(low, "token") || strings.Contains(low, "private_key") {
				out[k] = "********"
			}
		case map[string]any:
			out[k] = masked(t)
		}
	}
	return out
}

// understand finds out what a start asks for.
func (s *Server) understand(ctx context.Context, user string, b startRequest) (*launch, error) {
	d, m, err := s.model(ctx, b.Deployment)
	if err != nil {
		return nil, err
	}
	l := &launch{startRequest: b, record: d, model: m, request: orch.Request{Deployment: b.Deployment, User: user}}
	jsonbody.PlainMap(l.Parameters)
	if wf := m.Resolved.Workflows[b.Workflow]; wf != nil {
		return l, l.declared(wf)
	}
	w, ok := builtins[b.Workflow]
	if b.Workflow == "update" || b.Workflow == "csys_new_deployment_update" {
		return nil, refused("illegal_execution_parameters_error", "Workflow %s is started by an update of the deployment: POST /deployment-updates/%s/update/initiate, as `cfy deployments update` does",
			b.Workflow, b.Deployment)
	}
	if !ok {
		return nil, refused("nonexistent_workflow_error", "Workflow %s does not exist in deployment %s", b.Workflow, b.Deployment)
	}
	active := activity(instancesOf(d, m))
	if w.active != nil && ruled(m.Resolved) && !slices.Contains(w.active, active) && !bool(b.Force) {
		return nil, refused("unavailable_workflow_error", "Workflow %s is not available in deployment %s: node instances active: %s, and it needs %s",
			b.Workflow, b.Deployment, active, strings.Join(w.active, " or "))
	}
	if l.parameters, err = w.checkParameters(b.Workflow, l.Parameters, bool(b.AllowCustom)); err != nil {
		return nil, err
	}
	return l, s.builtin(ctx, l)
}

// foreignWorkflow refuses a workflow that is Python code of a plugin or of the blueprint.
func foreignWorkflow(wf *topology.Workflow) error {
	return refused("illegal_execution_parameters_error", "Workflow %s is mapped to Python code (%s), which only Cloudify Manager runs. Workflows mapped to "+
		"default_workflows.cloudify.plugins.workflows.* and the built-in ones run here: install, uninstall, start, stop, restart, execute_operation, heal, scale …", wf.Name, wf.Call)
}

// declared is a workflow of the document.
func (l *launch) declared(wf *topology.Workflow) error {
	if wf.Call != "" && plan.BuiltIn(wf) == "" {
		return foreignWorkflow(wf)
	}
	l.request.Verb, l.request.Workflow = orch.Workflow, wf.Name
	switch wf.Name {
	case "install":
		l.request.Verb, l.request.Workflow = orch.Deploy, ""
	case "uninstall":
		l.request.Verb, l.request.Workflow = orch.Undeploy, ""
	}
	inputs, list := topology.CheckInputs(wf.Inputs, l.Parameters, nil)
	for _, d := range list {
		if d.Severity != diag.Error {
			continue
		}
		if d.Code == "unknown-input" && bool(l.AllowCustom) {
			continue
		}
		return refused("illegal_execution_parameters_error", "Workflow \"%s\": %s", wf.Name, d.Message)
	}
	l.parameters, l.request.Inputs = inputs, l.Parameters
	return nil
}

// builtin makes the request of one of Cloudify's own workflows.
func (s *Server) builtin(ctx context.Context, l *launch) error {
	r := &l.request
	switch l.Workflow {
	case "install":
		r.Verb = orch.Deploy
	case "uninstall":
		r.Verb, r.Force = orch.Undeploy, truth(l.parameters["ignore_failure"])
	case "start", "stop", "restart", "reinstall":
		return s.startStop(l)
	case "rollback":
		r.Verb, r.Workflow = orch.Workflow, l.Workflow
		if truth(l.parameters["full_rollback"]) { // what was installed half-way goes with all the rest
			r.Verb, r.Workflow, r.Force = orch.Undeploy, "", true
			return nil
		}
		if err := s.narrow(l); err != nil {
			return err
		}
		if l.forgetAbsent(); l.chooses() && len(r.Select) == 0 {
			l.idle = "None of the selected node instances exists. Nothing is to be done."
		}
		return nil
	case "install_new_agents", "validate_agents":
		l.idle = "There are no agents: operations run over SSH, or on the server. Nothing is to be done."
	case "heal":
		return s.heal(l)
	case "check_status", "check_drift", "pull":
		return s.ask(l)
	case "execute_operation":
		return s.operate(l)
	case "scale":
		return s.scale(ctx, l)
	}
	return nil
}

// startStop is start, stop, restart or reinstall. With inputs of operations it is no more than these operations, as it is in Cloudify.
func (s *Server) startStop(l *launch) error {
	r := &l.request
	r.Verb, r.Workflow, r.Force = orch.Workflow, l.Workflow, truth(l.parameters["ignore_failure"])
	if err := s.narrow(l); err != nil {
		return err
	}
	parms := func(name string) map[string]any { given, _ := l.parameters[name].(map[string]any); return given }
	only := func(operation string, inputs map[string]any) orch.Request {
		return orch.Request{Verb: orch.Operate, Deployment: l.Deployment, Interface: topology.InterfaceName(lifecycle), Operation: operation, Inputs: inputs, Select: r.Select,
			Ordered: truth(l.parameters["run_by_dependency_order"]), Force: r.Force, User: r.User}
	}
	stop, start := parms("stop_parms"), parms("start_parms")
	switch given := parms("operation_parms"); {
	case len(given) > 0:
		*r = only(l.Workflow, given)
	case len(stop)+len(start) > 0:
		before := only("stop", stop)
		*r, l.before = only("start", start), &before
	}
	return nil
}

// ask runs an operation that changes no state on the chosen instances whose nodes have it. That there is none is no failure.
func (s *Server) ask(l *launch) error {
	r := &l.request
	r.Verb, r.Operation, r.Ordered = orch.Operate, l.Workflow, truth(l.parameters["run_by_dependency_order"])
	r.Inputs, _ = l.parameters["operation_parms"].(map[string]any)
	if err := s.narrow(l); err != nil {
		return err
	}
	l.forgetAbsent()
	for _, n := range l.model.Resolved.Nodes {
		exists := slices.ContainsFunc(l.model.Nodes, func(ns orch.NodeStatus) bool { return ns.Name == n.Name && len(ns.Instances) > 0 })
		chosen := !l.chooses() || slices.ContainsFunc(r.Select, func(in topology.Instance) bool { return in.Node == n.Name })
		if exists && chosen && hasOperation(n, r.Operation) {
			return nil
		}
	}
	l.idle = fmt.Sprintf("No node instance that exists and is selected has an operation %s. Nothing is to be done.", r.Operation)
	return nil
}

func truth(v any) bool { b, _ := v.(bool); return b }

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, x := range list {
		out = append(out, fmt.Sprint(x))
	}
	return out
}

// chosen are the instances that the parameters select: all filters must hold. No filter chooses none, which means all.
func (s *Server) chosen(l *launch) ([]topology.Instance, error) {
	nodes, ids, types := texts(l.parameters["node_ids"]), texts(l.parameters["node_instance_ids"]), texts(l.parameters["type_names"])
	if len(nodes)+len(ids)+len(types) == 0 {
		return nil, nil
	}
	for _, n := range nodes {
		if l.model.Resolved.NodeNamed(n) == nil {
			return nil, refused("illegal_execution_parameters_error", "There is no node %s in deployment %s", n, l.Deployment)
		}
	}
	var out []topology.Instance
	for _, n := range l.model.Resolved.Nodes {
		if len(nodes) > 0 && !slices.Contains(nodes, n.Name) || len(types) > 0 && !slices.ContainsFunc(types, n.Type.Is) {
			continue
		}
		for _, i := range l.model.Wanted[n.Name] {
			in := topology.Instance{Node: n.Name, Index: i}
			if len(ids) == 0 || slices.ContainsFunc(ids, func(id string) bool { return isInstance(id, l.Deployment, in) }) {
				out = append(out, in)
			}
		}
	}
	if len(out) == 0 {
		return nil, refused("illegal_execution_parameters_error", "No node instance of deployment %s is selected by the parameters", l.Deployment)
	}
	return out, nil
}

// narrow limits a workflow to the chosen instances.
func (s *Server) narrow(l *launch) (err error) {
	l.request.Select, err = s.chosen(l)
	return err
}

// forgetAbsent takes instances that do not exist from the selection.
func (l *launch) forgetAbsent() {
	l.request.Select = slices.DeleteFunc(l.request.Select, func(in topology.Instance) bool {
		_, ok := l.instance(instanceID(l.Deployment, in))
		return !ok
	})
}

// instance of an id.
func (l *launch) instance(id string) (topology.Instance, bool) {
	for _, n := range l.model.Nodes {
		for _, i := range n.Instances {
			if in := (topology.Instance{Node: n.Name, Index: i.Index}); isInstance(id, l.Deployment, in) {
				return in, true
			}
		}
	}
	return topology.Instance{}, false
}

// operate is execute_operation: on every chosen instance whose node has the operation.
func (s *Server) operate(l *launch) error {
	full, _ := l.parameters["operation"].(string)
	iface, op := "", full
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		iface, op = topology.InterfaceName(full[:i]), full[i+1:]
	}
	chosen, err := s.chosen(l)
	if err != nil {
		return err
	}
	has := func(n *topology.Node) bool {
		if iface == "" {
			return hasOperation(n, op)
		}
		o := n.Operation(iface, op)
		return o != nil && (o.Implementation != nil || o.Call != "")
	}
	for _, n := range l.model.Resolved.Nodes {
		if !has(n) {
			chosen = slices.DeleteFunc(chosen, func(in topology.Instance) bool { return in.Node == n.Name })
		}
	}
	if !slices.ContainsFunc(l.model.Resolved.Nodes, has) || len(chosen) == 0 && l.chooses() {
		return refused("illegal_execution_parameters_error", "No selected node of deployment %s has the operation %s", l.Deployment, full)
	}
	kwargs, _ := l.parameters["operation_kwargs"].(map[string]any)
	if !truth(l.parameters["allow_kwargs_override"]) {
		if err := l.duplicates(iface, op, kwargs, chosen); err != nil {
			return err
		}
	}
	r := &l.request
	r.Verb, r.Interface, r.Operation, r.Select, r.Ordered = orch.Operate, iface, op, chosen, truth(l.parameters["run_by_dependency_order"])
	r.Inputs = kwargs
	return nil
}

// duplicates refuses inputs that an operation has already, unless they may be overridden.
func (l *launch) duplicates(iface, op string, kwargs map[string]any, chosen []topology.Instance) error {
	for _, n := range l.model.Resolved.Nodes {
		if l.chooses() && !slices.ContainsFunc(chosen, func(in topology.Instance) bool { return in.Node == n.Name }) {
			continue
		}
		for _, i := range n.Interfaces {
			for _, o := range i.Operations {
				if o.Name != op || iface != "" && i.Name != iface {
					continue
				}
				for _, key := range sorted(kwargs) {
					if o.Inputs.Get(key) != nil {
						return refused("illegal_execution_parameters_error", "Duplicate definition of %s in operation %s of node %s and in operation_kwargs. To override it, set allow_kwargs_override", key, op, n.Name)
					}
				}
			}
		}
	}
	return nil
}

// nothingToDo is an execution that tells why there is nothing to do, and has ended.
func (s *Server) nothingToDo(q *request, l *launch) (any, error) {
	x := s.instantExecution(q, l)
	task, _ := taskID(x.ID)
	about := func(e event.Event) event.Event {
		e.Time, e.Deployment, e.Task, e.Workflow = x.Created, l.Deployment, task, l.Workflow
		return e
	}
	events := []event.Event{about(event.Event{Type: event.TaskStatus, Status: "running"}),
		about(event.Event{Type: event.Log, Message: l.idle}),
		about(event.Event{Type: event.TaskStatus, Status: "done"})}
	return s.told(q, l, x, events)
}

// failedAtOnce is an execution that was found to be impossible after something else has run for it.
func (s *Server) failedAtOnce(q *request, l *launch, why error) (any, error) {
	x := s.instantExecution(q, l)
	x.Status, x.Error = "failed", problemOf(why).message
	task, _ := taskID(x.ID)
	about := func(status, message string) event.Event {
		return event.Event{Time: x.Created, Deployment: l.Deployment, Task: task, Workflow: l.Workflow, Type: event.TaskStatus, Status: status, Message: message}
	}
	return s.told(q, l, x, []event.Event{about("running", ""), about("failed", x.Error)})
}

// told keeps an execution that has ended at once, with its events. Clients follow what has not ended, and would show nothing of what has.
func (s *Server) told(q *request, l *launch, x executionRecord, events []event.Event) (any, error) {
	ctx := q.Request().Context()
	if err := s.shelf.executions.put(ctx, q.tenant, x.ID, x); err != nil {
		return nil, err
	}
	if err := s.opts.Engine.Announce(ctx, l.Deployment, events...); err != nil {
		return nil, err
	}
	doc := s.recorded(x, l.record)
	doc.Status, doc.Display, doc.Ended, doc.Finished, doc.Error = "pending", "pending", nil, 0, nil
	return created(doc)
}

// chooses reports whether any filter is given.
func (l *launch) chooses() bool {
	return len(texts(l.parameters["node_ids"]))+len(texts(l.parameters["node_instance_ids"]))+len(texts(l.parameters["type_names"])) > 0
}

func hasOperation(n *topology.Node, name string) bool {
	for _, i := range n.Interfaces {
		for _, op := range i.Operations {
			if op.Name == name && (op.Implementation != nil || op.Call != "") {
				return true
			}
		}
	}
	return false
}

// scale changes the number of instances of a node, or of all members of a scaling group.
func (s *Server) scale(_ context.Context, l *launch) error {
	name, _ := l.parameters["scalable_entity_name"].(string)
	delta := int(asInt(l.parameters["delta"]))
	t := l.model.Resolved
	members := t.Members(name)
	if len(members) == 0 {
		return refused("illegal_execution_parameters_error", "No scaling group or node named %s was found", name)
	}
	if err := l.victims(members, delta); err != nil {
		return err
	}
	if t.Order == topology.Cloudify {
		l.request.Verb, l.request.Workflow = orch.Workflow, "scale"
		l.request.Inputs = map[string]any{"scalable_entity_name": name, "delta": int64(delta), "scale_compute": truth(l.parameters["scale_compute"]),
			"ignore_failure": truth(l.parameters["ignore_failure"]), "rollback_if_failed": truth(l.parameters["rollback_if_failed"])}
		return nil
	}
	l.request.Verb, l.request.Scale = orch.Deploy, map[string]int{}
	for _, n := range members {
		root := t.ScaleRoot(n).Name
		if l.request.Scale[root] = len(l.model.Wanted[root]) + delta; l.request.Scale[root] < 0 {
			return refused("illegal_execution_parameters_error", "Provided delta: %d is illegal. current number of instances of entity %s is %d", delta, name, len(l.model.Wanted[root]))
		}
	}
	return nil
}

// victims are the instances that scaling in takes first, or leaves.
func (l *launch) victims(members []*topology.Node, delta int) error {
	include, exclude := texts(l.parameters["include_instances"]), texts(l.parameters["exclude_instances"])
	switch {
	case len(include)+len(exclude) == 0:
		return nil
	case delta >= 0:
		return refused("illegal_execution_parameters_error", "Instances cannot be included or excluded when scaling out")
	case len(include) > 0 && len(exclude) > 0:
		return refused("illegal_execution_parameters_error", "Instances cannot be included and excluded at once")
	case truth(l.parameters["scale_compute"]):
		return refused("illegal_execution_parameters_error", "Instances cannot be included or excluded with scale_compute")
	}
	for _, id := range append(slices.Clone(include), exclude...) {
		in, ok := l.instance(id)
		if !ok || !slices.ContainsFunc(members, func(n *topology.Node) bool { return n.Name == in.Node }) {
			return refused("illegal_execution_parameters_error", "%s is no instance of what is scaled", id)
		}
		if slices.Contains(include, id) {
			l.request.Remove = append(l.request.Remove, in)
		}
	}
	if len(exclude) == 0 {
		return nil
	}
	for _, n := range members {
		node := n.Name
		var free []topology.Instance
		for _, i := range l.model.Wanted[node] {
			if in := (topology.Instance{Node: node, Index: i}); !slices.ContainsFunc(exclude, func(id string) bool { return isInstance(id, l.Deployment, in) }) {
				free = append(free, in)
			}
		}
		if len(free) < -delta {
			return refused("illegal_execution_parameters_error", "%d instances of %s are to be removed, and all but %d are excluded", -delta, node, len(free))
		}
		l.request.Remove = append(l.request.Remove, free[len(free)+delta:]...)
	}
	return nil
}

func asInt(v any) int64 {
	switch t := v.(type) {
	case int64:
		return t
	case int:
		return int64(t)
	}
	return 0
}

// free refuses a start while another execution runs: Cloudify has one at a time, unless forced or queued.
func (s *Server) free(ctx context.Context, l *launch) error {
	all, err := s.executionsOf(ctx, l.record, l.model.Deployment)
	if err != nil {
		return err
	}
	for _, x := range all {
		if ended(x.Status) || x.Status == "scheduled" {
			continue
		}
		return refused("existing_running_execution_error", "The following executions are currently running for this deployment: ['%s']. To execute this workflow anyway, pass 'force=true' as a query parameter to this request", x.ID)
	}
	return nil
}

func startError(l *launch, err error) error {
	var list *diag.ListError
	switch {
	case errors.As(err, &list):
		return refused("illegal_execution_parameters_error", "%s", diagnostics(list.List))
	case isConflict(err):
		return refused("existing_running_execution_error", "Deployment %s: %s", l.Deployment, problemOf(err).message)
	case isUsers(err):
		return refused("illegal_execution_parameters_error", "%s", problemOf(err).message)
	}
	return err
}

// dryRun plans and tells the plan as events, as a dry run's.
func (s *Server) dryRun(q *request, l *launch) (any, error) {
	ctx := q.Request().Context()
	l.request.SkipPreflight = true
	p, list, err := s.opts.Service.Plan(ctx, l.request)
	if err != nil {
		return nil, startError(l, err)
	}
	if p == nil {
		return nil, startError(l, list.Err())
	}
	now := s.opts.now()
	x := executionRecord{owned: owned{ID: newID(), Tenant: q.tenant, By: q.user(), Created: now}, Deployment: l.Deployment, Blueprint: l.record.Blueprint,
		Workflow: l.Workflow, Parameters: masked(l.parameters), AllowCustom: bool(l.AllowCustom), DryRun: true, Status: "terminated", Started: now}
	task, _ := taskID(x.ID)
	events, total := dryEvents(l.Deployment, task, l.Workflow, p, now)
	x.Total, x.Ended = total, now.Add(time.Millisecond)
	return s.told(q, l, x, events)
}
