package cloudify

import (
	"slices"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// heal is about one instance and what shares its host, or about all that are not well. Whoever can tell how it is (check_status) is asked first,
// by an execution of its own.
func (s *Server) heal(l *launch) error {
	r := &l.request
	r.Verb, r.Workflow, r.InPlace = orch.Workflow, "heal", !truth(l.parameters["allow_reinstall"])
	r.Reinstall = truth(l.parameters["force_reinstall"])
	id, _ := l.parameters["node_instance_id"].(string)
	if id == "" {
		if err := s.narrow(l); err != nil {
			return err
		}
		l.forgetAbsent()
	} else {
		in, ok := l.instance(id)
		if !ok {
			return refused("illegal_execution_parameters_error", "No node instance with id %s was found", id)
		}
		r.Select = []topology.Instance{in}
	}
	if !truth(l.parameters["check_status"]) || r.Reinstall {
		return nil
	}
	r.Spare = true
	if asked := l.checkable(id); len(asked) > 0 {
		l.before = &orch.Request{Verb: orch.Operate, Deployment: l.Deployment, Operation: "check_status", Select: asked, Force: true, User: r.User}
	}
	return nil
}

// checkable are the instances that can tell how they are, of those that a heal is about.
func (l *launch) checkable(id string) (out []topology.Instance) {
	all := instancesOf(l.record, l.model)
	host := ""
	for _, i := range all {
		if i.ID == id && i.Host != nil {
			host = *i.Host
		}
	}
	for _, i := range all {
		n := l.model.Resolved.NodeNamed(i.Node)
		_, exists := l.instance(i.ID)
		about := i.ID == id || id != "" && host != "" && i.Host != nil && *i.Host == host || id == "" && (!l.chooses() || slices.Contains(l.request.Select, i.in))
		if about && exists && n != nil && hasOperation(n, "check_status") {
			out = append(out, i.in)
		}
	}
	return out
}
