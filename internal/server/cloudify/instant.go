package cloudify

import (
	"time"

	"github.com/orch-project/orch/pkg/event"
)

// nothingToDo is an execution that tells why there is nothing to do, and has ended.
func (s *Server) nothingToDo(q *request, l *launch) (any, error) {
	x := s.instantExecution(q, l)
	task, _ := taskID(x.ID)
	about := func(e event.Event) event.Event {
		e.Time, e.Deployment, e.Task, e.Workflow = x.Created, l.Deployment, task, l.Workflow
		return e
	}
	events := []event.Event{about(event.Event{Type: event.TaskStatus, Status: "running"}),
		about(event.Event{Type: event.Log, Message: l.idle}),
		about(event.Event{Type: event.TaskStatus, Status: "done"})}
	return s.told(q, l, x, events)
}

// failedAtOnce is an execution that was found to be impossible after something else has run for it.
func (s *Server) failedAtOnce(q *request, l *launch, why error) (any, error) {
	x := s.instantExecution(q, l)
	x.Status, x.Error = "failed", problemOf(why).message
	task, _ := taskID(x.ID)
	about := func(status, message string) event.Event {
		return event.Event{Time: x.Created, Deployment: l.Deployment, Task: task, Workflow: l.Workflow, Type: event.TaskStatus, Status: status, Message: message}
	}
	return s.told(q, l, x, []event.Event{about("running", ""), about("failed", x.Error)})
}

// told keeps an execution that has ended at once, with its events. Clients follow what has not ended, and would show nothing of what has.
func (s *Server) told(q *request, l *launch, x executionRecord, events []event.Event) (any, error) {
	ctx := q.Request().Context()
	if err := s.shelf.executions.put(ctx, q.tenant, x.ID, x); err != nil {
		return nil, err
	}
	if err := s.opts.Engine.Announce(ctx, l.Deployment, events...); err != nil {
		return nil, err
	}
	doc := s.recorded(x, l.record)
	doc.Status, doc.Display, doc.Ended, doc.Finished, doc.Error = "pending", "pending", nil, 0, nil
	return created(doc)
}

// dryRun plans and tells the plan as events, as a dry run's.
func (s *Server) dryRun(q *request, l *launch) (any, error) {
	ctx := q.Request().Context()
	l.request.SkipPreflight = true
	p, list, err := s.opts.Service.Plan(ctx, l.request)
	if err != nil {
		return nil, startError(l, err)
	}
	if p == nil {
		return nil, startError(l, list.Err())
	}
	now := s.opts.now()
	x := executionRecord{owned: owned{ID: newID(), Tenant: q.tenant, By: q.user(), Created: now}, Deployment: l.Deployment, Blueprint: l.record.Blueprint,
		Workflow: l.Workflow, Parameters: masked(l.parameters), AllowCustom: bool(l.AllowCustom), DryRun: true, Status: "terminated", Started: now}
	task, _ := taskID(x.ID)
	events, total := dryEvents(l.Deployment, task, l.Workflow, p, now)
	x.Total, x.Ended = total, now.Add(time.Millisecond)
	return s.told(q, l, x, events)
}
