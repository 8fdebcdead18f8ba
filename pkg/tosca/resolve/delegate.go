package resolve

import (
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

// delegates hands steps that install, start, stop or uninstall the node by delegation on to the nodes inside: one after another, in the order
// of their dependencies. The first keeps the step's name, because others lead to it; the last leads on.
func (e *expansion) delegates() {
	var order []*topology.Node
	for _, n := range e.ordered() {
		if n.SubstitutedBy == "" {
			order = append(order, n)
		}
	}
	if len(order) == 0 {
		return
	}
	for _, w := range e.r.top.Workflows {
		var steps []*topology.WorkflowStep
		for _, s := range w.Steps {
			delegated := slices.ContainsFunc(s.Activities, func(a topology.Activity) bool { return a.Kind == topology.ActivityDelegate })
			if s.Target != e.n.Name || !delegated {
				steps = append(steps, s)
				continue
			}
			steps = append(steps, e.chain(s, order)...)
		}
		w.Steps = steps
	}
}

func (e *expansion) chain(s *topology.WorkflowStep, order []*topology.Node) []*topology.WorkflowStep {
	nodes := slices.Clone(order)
	if slices.ContainsFunc(s.Activities, func(a topology.Activity) bool { return a.Name == "uninstall" || a.Name == "stop" }) {
		slices.Reverse(nodes)
	}
	out := make([]*topology.WorkflowStep, len(nodes))
	for i, n := range nodes {
		c := *s
		c.Target, c.Activities = n.Name, slices.Clone(s.Activities)
		if i > 0 {
			c.Name = s.Name + "--" + n.Name
			out[i-1].OnSuccess = []string{c.Name}
		}
		out[i] = &c
	}
	return out
}

// ordered are the nodes inside, each after those that it depends on; a circle, which was reported, is cut.
func (e *expansion) ordered() []*topology.Node {
	byName := map[string]*topology.Node{}
	for _, n := range e.inner {
		byName[n.Name] = n
	}
	var out []*topology.Node
	seen := map[string]bool{}
	type frame struct {
		n    *topology.Node
		next int
	}
	for _, x := range e.sub.top.Nodes {
		start := e.inner[x.Name]
		if start == nil || seen[start.Name] {
			continue
		}
		seen[start.Name] = true
		for stack := []frame{{n: start}}; len(stack) > 0; {
			top := &stack[len(stack)-1]
			if top.next == len(top.n.Relationships) {
				out = append(out, top.n)
				stack = stack[:len(stack)-1]
				continue
			}
			to := byName[top.n.Relationships[top.next].Target]
			top.next++
			if to != nil && !seen[to.Name] {
				seen[to.Name] = true
				stack = append(stack, frame{n: to})
			}
		}
	}
	return out
}
