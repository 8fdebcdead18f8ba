package a4c

import (
	"slices"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// generated are the workflows that every topology has.
var generated = []string{plan.Install, plan.Uninstall, plan.Start, plan.Stop, plan.Restart}

// describeGenerated gives a workflow that the topology does not declare the steps that a plan of it for the whole topology has, under the names
// that a task's steps have. Where it cannot be planned there are none.
func describeGenerated(t *topology.Topology, name string, doc *workflowDocument) {
	whole, _ := plan.Build(plan.Input{Topology: t})
	if whole == nil {
		return
	}
	p := whole
	if name != plan.Install {
		if p, _ = plan.Build(plan.Input{Topology: t, Workflow: name, Recorded: installed(whole)}); p == nil {
			return
		}
	}
	byID := map[string]*plan.Step{}
	for _, s := range p.Steps {
		byID[s.ID] = s
		if n := planStepName(s); n != "" {
			if _, known := doc.Steps[n]; !known {
				doc.Steps[n] = generatedStep(s)
			}
		}
	}
	for _, s := range p.Steps {
		next := planStepName(s)
		for before := range namedNeeds(s, byID) {
			d := doc.Steps[before]
			if next != "" && before != next && !slices.Contains(d.OnSuccess, next) {
				d.OnSuccess = append(d.OnSuccess, next)
				slices.Sort(d.OnSuccess)
				doc.Steps[before] = d
			}
		}
	}
}

// namedNeeds are the names of the steps that a step waits for, across those that have none.
func namedNeeds(s *plan.Step, byID map[string]*plan.Step) map[string]bool {
	out, seen := map[string]bool{}, map[string]bool{}
	var walk func(*plan.Step)
	walk = func(s *plan.Step) {
		for _, id := range s.Needs {
			before := byID[id]
			if before == nil || seen[id] {
				continue
			}
			seen[id] = true
			if n := planStepName(before); n != "" {
				out[n] = true
			} else {
				walk(before)
			}
		}
	}
	walk(s)
	return out
}

// generatedStep sets the state, acts, and sets the state again.
func generatedStep(s *plan.Step) stepDocument {
	d := stepDocument{Target: s.Node, Relationship: s.Relationship, Activities: []map[string]any{}}
	state := func(name string) {
		if name != "" {
			d.Activities = append(d.Activities, map[string]any{topology.ActivitySetState: name})
		}
	}
	switch s.Kind {
	case plan.Infra:
		d.Activities = append(d.Activities, map[string]any{topology.ActivityDelegate: map[string]any{"workflow": delegateName(string(s.Action))}})
	case plan.Op:
		state(s.StateBefore)
		d.Activities = append(d.Activities, map[string]any{topology.ActivityCall: map[string]any{"operation": s.Interface + "." + s.Operation}})
		state(s.StateAfter)
		switch {
		case s.Host == plan.OnOrchestrator:
			d.OperationHost = "ORCHESTRATOR"
		case s.Relationship != "" && s.AtTarget:
			d.OperationHost = "TARGET"
		case s.Relationship != "":
			d.OperationHost = "SOURCE"
		}
	default:
		state(s.StateAfter)
	}
	return d
}

// installed is what the store would know of instances when all steps of an installation are done.
func installed(p *plan.Plan) map[topology.Instance]*plan.Recorded {
	out := map[topology.Instance]*plan.Recorded{}
	for _, s := range p.Steps {
		if s.Node == "" || s.Kind == plan.Join {
			continue
		}
		rec := out[s.Of()]
		if rec == nil {
			rec = &plan.Recorded{State: "started"}
			out[s.Of()] = rec
		}
		rec.Begin(s.Key(), plan.Entry{Status: plan.Done, Digest: s.Digest, Parts: s.Parts})
		rec.Made = rec.Made || s.Kind == plan.Infra && s.Action == driver.Create
	}
	return out
}
