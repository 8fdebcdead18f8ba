package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// partKey is a declared step on one instance: its activities take part together or not at all.
type partKey struct {
	step string
	in   topology.Instance
}

func (st *step) part() partKey { return partKey{st.WorkflowStep, st.Of()} }

// takesPart decides, when the first activity of a declared step comes to an instance, whether the step's filter lets it in.
func (r *run) takesPart(st *step) (bool, error) {
	if st.Filter == "" {
		return true, nil
	}
	if in, decided := r.parts[st.part()]; decided {
		st.why = "left out with the rest of step " + st.WorkflowStep
		return in, nil
	}
	t := r.job.Topology
	sc := topology.Scope{Topology: t, Node: t.NodeNamed(st.Node), Instance: st.Instance}
	inputs, err := r.workflowInputs(context.Background(), st, t)
	if err != nil {
		return false, err
	}
	sc.Inputs = inputs
	why, err := topology.Unmet(context.Background(), sc, plan.FilterOf(t, st.Filter), r.world.withInputs(r.job.Inputs))
	if err != nil {
		return false, &placedError{pos: st.Pos, err: fmt.Errorf("cannot judge the filter of step %s: %w", st.WorkflowStep, err)}
	}
	r.parts[st.part()] = why == ""
	st.why = "left out by the step's filter: " + r.e.opts.Redactor.String(why)
	return why == "", nil
}

// assert judges the preconditions of an inline workflow when its turn comes.
func (r *run) assert(st *step) {
	why, err := r.unmet(st)
	if err == nil && why == "" {
		r.ended(st, Done)
		return
	}
	if err == nil {
		err = fmt.Errorf("the precondition of workflow %s is not met: %s", st.Workflow, why)
	}
	r.refuse(st, &placedError{pos: st.Pos, err: err, hint: "bring it into the state that the workflow expects, then resume"})
}

// refuse ends a step that was never begun as failed.
func (r *run) refuse(st *step, err error) {
	st.err = err
	r.failed(st, err)
	r.ended(st, Failed)
}

func (r *run) unmet(st *step) (string, error) {
	t := r.job.Topology
	wf := t.Workflows[st.Workflow]
	if wf == nil {
		return "", nil
	}
	inputs, err := r.workflowInputs(context.Background(), st, t)
	if err != nil {
		return "", err
	}
	why, _, err := Unmet(context.Background(), r.world.withInputs(r.job.Inputs), t, wf, inputs)
	return why, err
}

// Unmet judges the preconditions of a workflow on every instance of their targets: the first that is not met, "" when all are.
func Unmet(ctx context.Context, env topology.Env, t *topology.Topology, wf *topology.Workflow, inputs map[string]any) (string, topology.Precondition, error) {
	for _, p := range wf.Preconditions {
		scopes := preconditionScopes(env, t, p)
		for _, sc := range scopes {
			sc.Inputs = inputs
			why, err := topology.Unmet(ctx, sc, p.Condition, env)
			if err != nil || why != "" {
				return why, p, err
			}
		}
		if len(scopes) == 0 {
			return p.Target + " has no instance", p, nil
		}
	}
	return "", topology.Precondition{}, nil
}

func preconditionScopes(env topology.Env, t *topology.Topology, p topology.Precondition) (out []topology.Scope) {
	if p.Target == "" {
		return []topology.Scope{{Topology: t}}
	}
	for _, n := range t.Members(p.Target) {
		for _, i := range env.Instances(n.Name) {
			sc := topology.Scope{Topology: t, Node: n, Instance: i}
			for _, rel := range n.Relationships {
				if p.Relationship != "" && (rel.Name == p.Relationship || rel.Requirement == p.Relationship) {
					sc.Relationship = rel
				}
			}
			out = append(out, sc)
		}
	}
	return out
}

// workflowInputs are the inputs that a step's expressions see: the task's, or those that the inline activities on the way hand on.
func (r *run) workflowInputs(ctx context.Context, st *step, t *topology.Topology) (map[string]any, error) {
	inputs := r.job.WorkflowInputs
	for _, activity := range st.Inline {
		wf := plan.Inlined(t, activity)
		if wf == nil {
			continue
		}
		sc := topology.Scope{Topology: t, Inputs: inputs}
		given := map[string]any{}
		for name, x := range plan.CallInputs(t, activity).All() {
			v, err := topology.Eval(ctx, sc, x, r.world.withInputs(r.job.Inputs))
			if err != nil {
				return nil, err
			}
			addSecrets(r.e.opts.Redactor, v)
			given[name] = v
		}
		var err error
		if inputs, err = handedOn(wf, inputs, given); err != nil {
			return nil, err
		}
	}
	return inputs, nil
}

// handedOn are the inputs of an inline workflow: those given to it, those of the same name around it, and its defaults.
func handedOn(wf *topology.Workflow, around, given map[string]any) (map[string]any, error) {
	all := map[string]any{}
	for _, p := range wf.Inputs {
		if v, ok := around[p.Name]; ok {
			all[p.Name] = v
		}
	}
	maps.Copy(all, given)
	inputs, list := topology.CheckInputs(wf.Inputs, all, nil)
	if err := list.Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("the inputs of workflow %s are not right", wf.Name), err)
	}
	return inputs, nil
}
