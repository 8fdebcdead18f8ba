package cloudify

import (
	"fmt"
	"slices"

	"github.com/orch-project/orch/pkg/topology"
)

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

// chooses reports whether any filter is given.
func (l *launch) chooses() bool {
	return len(texts(l.parameters["node_ids"]))+len(texts(l.parameters["node_instance_ids"]))+len(texts(l.parameters["type_names"])) > 0
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

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, x := range list {
		out = append(out, fmt.Sprint(x))
	}
	return out
}
