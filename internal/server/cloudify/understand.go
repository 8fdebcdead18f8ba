package cloudify

import (
	"context"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

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
	if wf.Call != "" && wf.BuiltIn() == "" {
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

func truth(v any) bool { b, _ := v.(bool); return b }
