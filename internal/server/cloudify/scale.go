package cloudify

import (
	"context"
	"slices"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

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
