package orch

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// WorkflowInfo is a workflow that can be run.
type WorkflowInfo struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	BuiltIn     bool            `json:"built_in,omitempty"`
	Inputs      []WorkflowInput `json:"inputs,omitempty"`
	Outputs     []string        `json:"outputs,omitempty"`
	Steps       int             `json:"steps,omitempty"` // that are declared
	// Code that only another orchestrator runs; such a workflow is refused.
	Code string `json:"code,omitempty"`
}

// WorkflowInput is one input of a workflow.
type WorkflowInput struct {
	Name        string `json:"name"`
	Type        string `json:"type,omitempty"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
	Default     any    `json:"default,omitempty"`
}

// builtIn are the workflows that every topology has, beside install and uninstall, which `deploy` and `undeploy` run.
var builtIn = []WorkflowInfo{
	{Name: plan.Start, Description: "start everything, targets before their sources"},
	{Name: plan.Stop, Description: "stop everything, sources before their targets"},
	{Name: plan.Restart, Description: "stop, then start"},
	{Name: plan.Heal, Description: "make instances anew that are broken, or those that are chosen"},
	{Name: plan.Check, Description: "ask every instance that has an operation for it whether it is well"},
}

// Workflows implements Service.
func (l *Local) Workflows(ctx context.Context, deployment string) ([]WorkflowInfo, error) {
	v, err := l.view(ctx, deployment)
	if err != nil {
		return nil, err
	}
	var out []WorkflowInfo
	for _, name := range slices.Sorted(maps.Keys(v.topology.Workflows)) {
		out = append(out, workflowInfo(v.topology.Workflows[name]))
	}
	own := len(out)
	known := append(slices.Clone(builtIn), jobWorkflows(v.topology)...)
	if v.topology.Order == topology.Cloudify {
		known = append(known, cloudifyInfos()...)
	}
	for _, w := range known {
		if !slices.ContainsFunc(out[:own], func(o WorkflowInfo) bool { return o.Name == w.Name }) {
			w.BuiltIn = true
			out = append(out, w)
		}
	}
	return out, nil
}

// jobWorkflows are run and cancel, where a node is a job (Alien4Cloud).
func jobWorkflows(t *topology.Topology) []WorkflowInfo {
	for _, n := range t.Nodes {
		if n.Operation("Runnable", "run") != nil || n.Operation("Runnable", "submit") != nil {
			return []WorkflowInfo{{Name: plan.Run, Description: "submit and run the jobs"}, {Name: plan.Cancel, Description: "cancel the jobs"}}
		}
	}
	return nil
}

func workflowInfo(wf *topology.Workflow) WorkflowInfo {
	w := WorkflowInfo{Name: wf.Name, Description: wf.Description, Steps: len(wf.Steps)}
	if wf.BuiltIn() == "" {
		w.Code = wf.Call
	}
	for _, p := range wf.Inputs {
		in := WorkflowInput{Name: p.Name, Description: p.Description, Required: p.Required && p.Value == nil}
		if p.Schema != nil {
			in.Type = p.Schema.Type.Name()
		}
		if p.Value != nil {
			in.Default = shown(topology.Plain(p.Value))
		}
		w.Inputs = append(w.Inputs, in)
	}
	for _, p := range wf.Outputs {
		w.Outputs = append(w.Outputs, p.Name)
	}
	return w
}

// shown is a default that depends on a running deployment as text.
func shown(v any) any {
	if u, ok := v.(topology.Unknown); ok {
		return u.String()
	}
	return v
}

// chosen are the instances that a request is limited to; nil for all.
func (r Request) chosen() []topology.Instance {
	out := slices.Clone(r.Select)
	for _, i := range r.Instances {
		out = append(out, topology.Instance{Node: r.Node, Index: i})
	}
	return out
}

// choose gives the plan the instances that a workflow is limited to: those named, or all of a node that is named alone.
func (p *prepared) choose(in *plan.Input) {
	in.Instances = p.req.chosen()
	if p.req.Node == "" || len(p.req.Instances) > 0 {
		return
	}
	if p.topology.NodeNamed(p.req.Node) == nil {
		in.Instances = append(in.Instances, topology.Instance{Node: p.req.Node})
		return
	}
	for have := range p.snapshot.Instances {
		if have.Node == p.req.Node {
			in.Instances = append(in.Instances, have)
		}
	}
	slices.SortFunc(in.Instances, func(a, b topology.Instance) int { return plan.ByNumber(a.Index, b.Index) })
}

// preconditions judges those of the workflow that is asked for; inline ones are judged when their turn comes.
func (l *Local) preconditions(ctx context.Context, p *prepared) error {
	wf := p.topology.Workflows[p.req.Workflow]
	if p.req.Verb != Workflow || wf == nil || len(wf.Preconditions) == 0 {
		return nil
	}
	why, pre, err := engine.Unmet(ctx, l.engine.NewWorld(p.snapshot, p.inputs), p.topology, wf, p.wfInputs)
	var ee *topology.EvalError
	switch {
	case errors.As(err, &ee):
		p.diags.Errorf(CodePrecondition, ee.Pos, "cannot judge the precondition of workflow %s: %s", wf.Name, ee.Message).Hint = ee.Hint
	case err != nil:
		return err
	case why != "":
		pos := pre.Pos
		if pos.IsZero() {
			pos = wf.Pos
		}
		p.diags.Errorf(CodePrecondition, pos, "the workflow %s may not run: %s", wf.Name, l.opts.Redactor.String(why)).Hint =
			"bring the instances into the state that its precondition asks for"
	}
	return nil
}

// CodePrecondition is the finding that a workflow's precondition is not met.
const CodePrecondition = "precondition"

func init() {
	diag.Register(diag.Code{ID: CodePrecondition, Title: "A workflow's precondition is not met",
		Text: "The workflow declares what must hold before it may run, and something of it does not. The message says what was found. `orch status` shows the states and attributes of the instances."})
}

// results evaluates the outputs of a workflow or operation that has succeeded.
func (l *Local) results(ctx context.Context, t *engine.Task, job engine.Job) {
	if t.Verb != string(Workflow) && t.Verb != string(Operate) {
		return
	}
	snap, err := engine.Load(ctx, l.store, job.Deployment)
	if err != nil {
		l.log.Warn("the outputs of a task cannot be read", "deployment", job.Deployment, "task", t.ID, "error", err)
		return
	}
	world := l.engine.NewWorld(snap, job.Inputs)
	var out map[string]any
	if t.Verb == string(Operate) {
		out = operationOutputs(world, job.Plan)
	} else if wf := job.Topology.Workflows[t.Workflow]; wf != nil {
		out = workflowOutputs(ctx, world, job, wf)
	}
	if t.Outputs, err = engine.EncodeMap(out, l.opts.Cipher); err != nil {
		l.log.Warn("the outputs of a task cannot be stored", "deployment", job.Deployment, "task", t.ID, "error", err)
	}
}

func operationOutputs(world *engine.World, p *plan.Plan) map[string]any {
	out := map[string]any{}
	for _, s := range p.Steps {
		for name, v := range world.Outputs(s.Of(), s.Relationship, s.Interface, s.Operation) {
			out[s.Of().String()+"."+name] = v
		}
	}
	return out
}

// workflowOutputs are those that have a value: a formula, or the attribute that a mapping ([NODE, attribute]) names.
func workflowOutputs(ctx context.Context, world *engine.World, job engine.Job, wf *topology.Workflow) map[string]any {
	out := map[string]any{}
	for _, o := range wf.Outputs {
		x := o.Value
		if x == nil && len(o.Mapping) > 1 {
			call := &topology.Call{Fn: "get_attribute"}
			for _, m := range o.Mapping {
				call.Args = append(call.Args, topology.Lit(m))
			}
			x = &topology.Value{Kind: topology.CallValue, Call: call}
		}
		if x == nil {
			continue
		}
		v, err := topology.Eval(ctx, topology.Scope{Topology: job.Topology, Inputs: job.WorkflowInputs}, x, world)
		if err == nil && v != nil && len(unknowns(v)) == 0 {
			out[o.Name] = v
		}
	}
	return out
}

// understood is the request with what it names put in its place: a blueprint's documents, Cloudify's own workflows.
func (l *Local) understood(ctx context.Context, req Request) (Request, error) {
	req, err := l.fromBlueprint(ctx, req)
	if err != nil {
		return req, err
	}
	return l.translated(ctx, req)
}
