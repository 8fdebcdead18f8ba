package cloudify

import (
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// steer cancels, kills or resumes an execution.
func (s *Server) steer(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	var b struct {
		Action string `json:"action"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if _, ok := actions[b.Action]; !ok {
		return nil, badParameters("Invalid action: %s, Valid action values are: ['cancel', 'force-cancel', 'kill', 'resume', 'force-resume', 'requeue']", b.Action)
	}
	doc, t, err := s.findExecution(ctx, q, id)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(b.Action, "resume") {
		return s.resume(q, doc, t, b.Action)
	}
	return s.cancel(q, doc, t, b.Action)
}

// action of POST /executions/{id}: the status that it leads to, and from which it is possible.
type action struct {
	status string
	from   []string
}

var actions = map[string]action{
	"cancel":       {"cancelling", []string{"pending", "started", "scheduled", "queued"}},
	"force-cancel": {"force_cancelling", []string{"pending", "started", "scheduled", "queued", "cancelling"}},
	"kill":         {"kill_cancelling", []string{"pending", "started", "scheduled", "queued", "cancelling", "force_cancelling", "kill_cancelling"}},
	"resume":       {"pending", []string{"started", "failed", "cancelled"}},
	"force-resume": {"pending", []string{"failed", "cancelled"}},
	"requeue":      {"queued", nil},
}

func (s *Server) cancel(q *request, doc executionDocument, t *orch.Task, name string) (any, error) {
	ctx, a := q.Request().Context(), actions[name]
	if !slices.Contains(a.from, doc.Status) {
		return nil, refused("illegal_action_error", "Can't %s execution %s because it's in status %s", name, doc.ID, doc.Status)
	}
	if t == nil { // it waits
		x, err := s.shelf.executions.edit(ctx, "Execution", q.tenant, doc.ID, func(x *executionRecord) error {
			x.Status, x.Ended = "cancelled", s.opts.now()
			return nil
		})
		if err != nil {
			return nil, err
		}
		if err := s.shelf.timers.remove(ctx, q.tenant, x.ID); err != nil {
			return nil, err
		}
		d, err := s.record(ctx, x.Deployment)
		if err != nil {
			return nil, err
		}
		return s.recorded(x, d), nil
	}
	if err := s.remember(q, doc, func(x *executionRecord) { x.Cancel = a.status }); err != nil {
		return nil, err
	}
	verb := "cancel"
	if name != "cancel" {
		verb = "force"
	}
	err := s.opts.Service.Control(ctx, orch.Control{Deployment: t.Deployment, Task: t.ID, Verb: verb})
	if err != nil && !isConflict(err) { // it has ended meanwhile
		return nil, err
	}
	now, _, err := s.findExecution(ctx, q, doc.ID)
	return now, err
}

// remember notes something about a task.
func (s *Server) remember(q *request, doc executionDocument, fn func(*executionRecord)) error {
	return s.shelf.executions.change(q.Request().Context(), q.tenant, doc.ID, func(x *executionRecord) (*executionRecord, error) {
		if x == nil {
			x = &executionRecord{owned: owned{ID: doc.ID, Tenant: q.tenant, By: doc.By, Created: s.opts.now()}, Task: true, Deployment: *doc.Deployment, Workflow: doc.Workflow}
		}
		fn(x)
		return x, nil
	})
}

func (s *Server) resume(q *request, doc executionDocument, t *orch.Task, name string) (any, error) {
	ctx := q.Request().Context()
	if t == nil || !slices.Contains(actions[name].from, doc.Status) {
		return nil, conflict("Cannot resume execution: `%s` in state: `%s`", doc.ID, doc.Status)
	}
	if err := s.opts.Service.Control(ctx, orch.Control{Deployment: t.Deployment, Task: t.ID, Verb: "resume"}); err != nil && !(doc.Status == "started" && isConflict(err)) {
		return nil, err
	}
	if err := s.remember(q, doc, func(x *executionRecord) { x.Cancel, x.Resumed = "", true }); err != nil {
		return nil, err
	}
	now, _, err := s.findExecution(ctx, q, doc.ID)
	if err == nil && !ended(now.Status) {
		now.Status, now.Display = "pending", "pending"
	}
	return now, err
}

// deleteExecutions forgets those that are no tasks; the history of tasks is that of the deployment and goes with it.
func (s *Server) deleteExecutions(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		To   string `json:"to_datetime"`
		Keep *int   `json:"keep_last"`
	}
	if err := q.optionalBody(&b); err != nil {
		return nil, err
	}
	if (b.To == "") == (b.Keep == nil) {
		return nil, badParameters("Must provide either a `to_datetime` timestamp or a `keep_last` number of executions to keep")
	}
	if b.Keep != nil && *b.Keep <= 0 {
		return nil, badParameters("`keep_last` must be an integer greater than 0. got %d instead.", *b.Keep)
	}
	var before time.Time
	if b.To != "" {
		var err error
		if before, err = parseTime(b.To); err != nil {
			return nil, err
		}
	}
	all, err := s.shelf.executions.all(ctx, q.tenant)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(x executionRecord) bool { return x.Task || !ended(x.Status) })
	slices.SortFunc(all, func(a, b executionRecord) int { return a.Created.Compare(b.Created) })
	if b.Keep != nil {
		all = all[:max(0, len(all)-*b.Keep)]
	}
	count := 0
	for _, x := range all {
		if b.To != "" && !x.Created.Before(before) {
			continue
		}
		if err := s.shelf.executions.remove(ctx, q.tenant, x.ID); err != nil {
			return nil, err
		}
		count++
	}
	return page{Items: []map[string]int{{"count": count}}, Metadata: metadata{Pagination: pagination{1, defaultSize, 0}}}, nil
}
