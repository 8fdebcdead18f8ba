package cloudify

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/orch-project/orch/internal/server/jsonbody"
)

// batchRecord is a group of executions: the same workflow for every deployment of a group, so many at once. Those that wait are records of
// executions; a timer comes back to them until all have ended.
type batchRecord struct {
	owned
	Group       string   `json:"group"`
	Workflow    string   `json:"workflow"`
	Concurrency int      `json:"concurrency"`
	Executions  []string `json:"executions"`
	Success     string   `json:"success,omitempty"` // groups that deployments join when their execution has ended
	Failure     string   `json:"failure,omitempty"`
}

type batchDocument struct {
	common
	Group       string   `json:"deployment_group_id"`
	Workflow    string   `json:"workflow_id"`
	Concurrency int      `json:"concurrency"`
	Executions  []string `json:"execution_ids"`
	Status      string   `json:"status"`
}

// defaultConcurrency is how many executions of a group run at once.
const defaultConcurrency = 5

// batchOf is a group of executions with what its executions say.
func (s *Server) batchOf(ctx context.Context, q *request, r batchRecord) (batchDocument, []executionDocument, error) {
	d := batchDocument{common: r.common(), Group: r.Group, Workflow: r.Workflow, Concurrency: r.Concurrency, Executions: orEmpty(r.Executions)}
	var docs []executionDocument
	counts := map[string]int{}
	for _, id := range r.Executions {
		x, _, err := s.findExecution(ctx, q, id)
		if isMissing(err) {
			continue // its deployment was deleted
		}
		if err != nil {
			return d, nil, err
		}
		docs = append(docs, x)
		counts[x.Status]++
	}
	switch n := len(docs); {
	case counts["terminated"] == n:
		d.Status = "terminated"
	case counts["terminated"]+counts["failed"]+counts["cancelled"] < n && counts["queued"] == n, counts["pending"] == n:
		d.Status = docs[0].Status
	case counts["terminated"]+counts["failed"]+counts["cancelled"] < n:
		d.Status = "started"
	case counts["failed"] > 0:
		d.Status = "failed"
	default:
		d.Status = "cancelled"
	}
	return d, docs, nil
}

func (s *Server) executionGroups(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[batchDocument](q)
	if err != nil {
		return nil, err
	}
	all, err := s.shelf.batches.all(ctx, q.tenant)
	if err != nil {
		return nil, err
	}
	docs := []batchDocument{}
	for _, r := range all {
		d, _, err := s.batchOf(ctx, q, r)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return answerList(ctx, q, l, docs, nil)
}

func (s *Server) batchRecord(ctx context.Context, tenant, id string) (batchRecord, error) {
	r, found, err := s.shelf.batches.get(ctx, tenant, id)
	if err == nil && !found {
		err = notFound("ExecutionGroup", id)
	}
	return r, err
}

func (s *Server) executionGroup(q *request) (any, error) {
	ctx := q.Request().Context()
	r, err := s.batchRecord(ctx, q.tenant, q.param("id"))
	if err != nil {
		return nil, err
	}
	d, _, err := s.batchOf(ctx, q, r)
	if err != nil {
		return nil, err
	}
	return answerOne(q, d)
}

// startGroup starts a workflow for every deployment of a group.
func (s *Server) startGroup(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Group       string                    `json:"deployment_group_id"`
		Workflow    string                    `json:"workflow_id"`
		Defaults    map[string]any            `json:"default_parameters"`
		Parameters  map[string]map[string]any `json:"parameters"`
		Force       flag                      `json:"force"`
		Concurrency *int                      `json:"concurrency"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	for name, v := range map[string]string{"deployment_group_id": b.Group, "workflow_id": b.Workflow} {
		if v == "" {
			return nil, badParameters("Missing %s in json request body", name)
		}
	}
	g, err := s.groupRecord(ctx, q.tenant, b.Group)
	if err != nil {
		return nil, err
	}
	now := s.opts.now()
	r := batchRecord{owned: owned{ID: newID(), Tenant: q.tenant, By: q.user(), Visibility: g.Visibility, Created: now}, Group: g.ID, Workflow: b.Workflow, Concurrency: defaultConcurrency}
	if b.Concurrency != nil {
		if r.Concurrency = *b.Concurrency; r.Concurrency < 1 {
			return nil, badParameters("concurrency must be a number from 1 on, not %d", r.Concurrency)
		}
	}
	var waiting []executionRecord
	for _, id := range g.Deployments {
		d, err := s.record(ctx, id)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		params := maps.Clone(b.Defaults)
		if params == nil {
			params = map[string]any{}
		}
		maps.Copy(params, b.Parameters[id])
		if params, err = storable(jsonbody.PlainMap(params)); err != nil {
			return nil, err
		}
		x := executionRecord{owned: owned{ID: newID(), Tenant: q.tenant, By: q.user(), Visibility: d.Visibility, Created: now}, Deployment: id, Blueprint: d.Blueprint, Workflow: b.Workflow,
			Parameters: params, Status: "pending", Arguments: &argumentsRecord{Force: bool(b.Force)}, As: q.actor(), Group: r.ID}
		waiting = append(waiting, x)
		r.Executions = append(r.Executions, x.ID)
	}
	if err := s.shelf.batches.put(ctx, q.tenant, r.ID, r); err != nil {
		return nil, err
	}
	for _, x := range waiting {
		if err := s.shelf.executions.put(ctx, q.tenant, x.ID, x); err != nil {
			return nil, err
		}
	}
	if err := s.shelf.timers.put(ctx, q.tenant, r.ID, timerRecord{q.tenant, r.ID, batchTimer, now}); err != nil {
		return nil, err
	}
	if err := s.advance(ctx, r.ID); err != nil {
		return nil, err
	}
	d, _, err := s.batchOf(ctx, q, r)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// advance begins as many of a group's executions as may run, and forgets its timer when all have ended.
func (s *Server) advance(ctx context.Context, id string) error {
	q := &request{Server: s, tenant: s.opts.Tenant}
	r, found, err := s.shelf.batches.get(ctx, q.tenant, id)
	if err != nil {
		return err
	}
	if !found {
		return s.shelf.timers.remove(ctx, q.tenant, id)
	}
	_, docs, err := s.batchOf(ctx, q, r)
	if err != nil {
		return err
	}
	var waiting []string
	running, over := 0, 0
	for _, d := range docs {
		x, found, err := s.shelf.executions.get(ctx, q.tenant, d.ID)
		switch {
		case err != nil:
			return err
		case found && !x.Task && x.Status == "pending":
			waiting = append(waiting, d.ID)
		case ended(d.Status):
			over++
		default:
			running++
		}
	}
	for _, one := range waiting[:min(len(waiting), max(0, r.Concurrency-running))] {
		x, found, err := s.shelf.executions.get(ctx, q.tenant, one)
		if err == nil && found && !x.Task && x.Status == "pending" {
			err = s.begin(ctx, x)
		}
		if err != nil {
			return err
		}
	}
	if err := s.sortOut(ctx, r, docs); err != nil {
		return err
	}
	if over == len(docs) {
		return s.shelf.timers.remove(ctx, q.tenant, id)
	}
	return nil
}

// sortOut puts the deployments whose executions have ended into the groups for those.
func (s *Server) sortOut(ctx context.Context, r batchRecord, docs []executionDocument) error {
	for status, group := range map[string]string{"terminated": r.Success, "failed": r.Failure} {
		if group == "" {
			continue
		}
		_, err := s.shelf.groups.edit(ctx, "DeploymentGroup", r.Tenant, group, func(g *groupRecord) error {
			for _, d := range docs {
				if d.Status == status && d.Deployment != nil {
					g.join(*d.Deployment)
				}
			}
			return nil
		})
		if err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

// steerGroup cancels or resumes all executions of a group.
func (s *Server) steerGroup(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Action string `json:"action"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	a, ok := actions[b.Action]
	if !ok || b.Action == "requeue" {
		return nil, badParameters("Invalid action: %s, Valid action values are: ['cancel', 'force-cancel', 'kill', 'resume', 'force-resume']", b.Action)
	}
	r, err := s.batchRecord(ctx, q.tenant, q.param("id"))
	if err != nil {
		return nil, err
	}
	_, docs, err := s.batchOf(ctx, q, r)
	if err != nil {
		return nil, err
	}
	resume := b.Action == "resume" || b.Action == "force-resume"
	for _, d := range docs {
		if !slices.Contains(a.from, d.Status) || resume && !ended(d.Status) {
			continue
		}
		_, t, err := s.findExecution(ctx, q, d.ID)
		if err != nil {
			return nil, err
		}
		switch {
		case resume && t == nil: // it never began
			err = s.shelf.executions.change(ctx, q.tenant, d.ID, func(x *executionRecord) (*executionRecord, error) {
				if x != nil && ended(x.Status) {
					x.Status, x.Error, x.Started, x.Ended, x.As = "pending", "", time.Time{}, time.Time{}, q.actor()
				}
				return x, nil
			})
		case resume:
			_, err = s.resume(q, d, t, b.Action)
		default:
			_, err = s.cancel(q, d, t, b.Action)
		}
		if err != nil {
			return nil, err
		}
	}
	if resume {
		if err := s.shelf.timers.put(ctx, q.tenant, r.ID, timerRecord{q.tenant, r.ID, batchTimer, s.opts.now()}); err != nil {
			return nil, err
		}
	}
	if err := s.advance(ctx, r.ID); err != nil {
		return nil, err
	}
	return s.executionGroup(q)
}

// editExecutionGroup names the groups that deployments join when their executions have ended.
func (s *Server) editExecutionGroup(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Success string `json:"success_group_id"`
		Failure string `json:"failure_group_id"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	for _, id := range []string{b.Success, b.Failure} {
		if id != "" {
			if _, err := s.groupRecord(ctx, q.tenant, id); err != nil {
				return nil, err
			}
		}
	}
	r, err := s.shelf.batches.edit(ctx, "ExecutionGroup", q.tenant, q.param("id"), func(r *batchRecord) error {
		if b.Success != "" {
			r.Success = b.Success
		}
		if b.Failure != "" {
			r.Failure = b.Failure
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d, docs, err := s.batchOf(ctx, q, r)
	if err == nil {
		err = s.sortOut(ctx, r, docs)
	}
	if err != nil {
		return nil, err
	}
	return answerOne(q, d)
}
