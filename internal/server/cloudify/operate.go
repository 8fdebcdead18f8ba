package cloudify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

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
