package cloudify

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
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
