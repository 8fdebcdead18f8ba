package cloudify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// executionRecord is what Cloudify knows of an execution and orch's task does not say. Executions that are no tasks – dry runs, validations,
// what waits for its time – are nothing but a record.
type executionRecord struct {
	owned
	Deployment  string         `json:"deployment"`
	Blueprint   string         `json:"blueprint,omitempty"`
	Workflow    string         `json:"workflow"`
	Parameters  map[string]any `json:"parameters,omitempty"`
	AllowCustom bool           `json:"allow_custom,omitempty"`
	DryRun      bool           `json:"dry_run,omitempty"`
	System      bool           `json:"system,omitempty"`
	// Cancel is the status while it is being cancelled: cancelling, force_cancelling or kill_cancelling.
	Cancel  string `json:"cancel,omitempty"`
	Resumed bool   `json:"resumed,omitempty"`
	// Task is set for what is one; the rest is of those that are none.
	Task      bool      `json:"task,omitempty"`
	Status    string    `json:"status,omitempty"`
	Error     string    `json:"error,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	Scheduled time.Time `json:"scheduled,omitzero"`
	Total     int       `json:"total,omitempty"`
	// Arguments and As are of what waits: how it is started, and for whom.
	Arguments *argumentsRecord `json:"arguments,omitempty"`
	As        *actor           `json:"as,omitempty"`
	// Owner is who it was given to; "" is who has started it.
	Owner string `json:"owner,omitempty"`
	// Group of executions that it is one of.
	Group string `json:"group,omitempty"`
}

type executionDocument struct {
	common
	Workflow    string         `json:"workflow_id"`
	Deployment  *string        `json:"deployment_id"`
	DisplayName *string        `json:"deployment_display_name"`
	Blueprint   *string        `json:"blueprint_id"`
	Status      string         `json:"status"`
	Display     string         `json:"status_display"`
	Error       *string        `json:"error"`
	Parameters  map[string]any `json:"parameters"`
	System      bool           `json:"is_system_workflow"`
	DryRun      bool           `json:"is_dry_run"`
	Started     *string        `json:"started_at"`
	Ended       *string        `json:"ended_at"`
	Scheduled   *string        `json:"scheduled_for"`
	Total       int            `json:"total_operations"`
	Finished    int            `json:"finished_operations"`
	AllowCustom bool           `json:"allow_custom_parameters"`
	Resume      bool           `json:"resume"`
	Group       *string        `json:"execution_group_id"`
}

// statusWords are Cloudify's words for the status of a task.
var statusWords = map[string]string{"pending": "pending", "running": "started", "done": "terminated", "failed": "failed", "cancelling": "cancelling",
	"cancelled": "cancelled", "queued": "queued", "scheduled": "scheduled"}

func statusOf(task string) string {
	if w := statusWords[task]; w != "" {
		return w
	}
	return "started"
}

func ended(status string) bool {
	return status == "terminated" || status == "failed" || status == "cancelled"
}

// display is the word that cfy shows.
func display(status string) string {
	if status == "terminated" {
		return "completed"
	}
	return status
}

// workflowOf is the name of what a task runs.
func workflowOf(t orch.Task) string {
	switch t.Verb {
	case orch.Deploy:
		return "install"
	case orch.Undeploy:
		return "uninstall"
	case orch.Operate:
		return "execute_operation"
	}
	return t.Workflow
}

// ofTask is the execution that a task is.
func ofTask(t orch.Task, x *executionRecord, d deploymentRecord) executionDocument {
	doc := executionDocument{common: d.common(), Workflow: workflowOf(t), Status: statusOf(t.Status), Started: stamp(t.Started), Ended: stamp(t.Ended),
		Total: t.Steps.Total, Finished: t.Steps.Done + t.Steps.Failed + t.Steps.Skipped, Parameters: map[string]any{}}
	doc.ID, doc.Created = executionID(t.ID), stamp(t.Created)
	if t.User != "" {
		doc.By = t.User
	}
	doc.of(d)
	if x != nil {
		doc.Workflow, doc.AllowCustom, doc.Resume, doc.Scheduled, doc.Group = x.Workflow, x.AllowCustom, x.Resumed, stamp(x.Scheduled), text0(x.Group)
		if x.Parameters != nil {
			doc.Parameters = x.Parameters
		}
		if x.Owner != "" {
			doc.By = x.Owner
		}
		if x.Cancel != "" && !ended(doc.Status) {
			doc.Status = x.Cancel
		}
		if x.Blueprint != "" {
			doc.Blueprint = &x.Blueprint
		}
	}
	if doc.Status == "failed" {
		e := errorText(t.Failure)
		doc.Error = &e
	}
	doc.Display = display(doc.Status)
	return doc
}

func (doc *executionDocument) of(d deploymentRecord) {
	if d.ID == "" {
		return
	}
	name := d.DisplayName
	if name == "" {
		name = d.ID
	}
	doc.Deployment, doc.DisplayName, doc.Blueprint = &d.ID, &name, &d.Blueprint
}

// errorText tells the first cause as Cloudify's engine does, with what orch knows besides.
func errorText(f *orch.Failure) string {
	if f == nil {
		return "the execution has failed"
	}
	var b strings.Builder
	what := f.Operation
	if what == "" {
		what = f.Step
	}
	fmt.Fprintf(&b, "RuntimeError: Task failed: %s (%s): %s", what, f.Step, f.Message)
	if f.Host != "" {
		fmt.Fprintf(&b, "\non host %s", f.Host)
	}
	if f.ExitCode != 0 {
		fmt.Fprintf(&b, "\nexit code %d", f.ExitCode)
	}
	for _, l := range f.Stderr {
		b.WriteString("\n" + l)
	}
	if f.Detail != "" {
		b.WriteString("\n" + f.Detail)
	}
	if f.Hint != "" {
		b.WriteString("\n(" + f.Hint + ")")
	}
	for _, o := range f.Others {
		fmt.Fprintf(&b, "\nalso: %s: %s", o.Step, o.Message)
	}
	return b.String()
}

// recorded is an execution that is nothing but a record.
func (s *Server) recorded(x executionRecord, d deploymentRecord) executionDocument {
	doc := executionDocument{common: x.common(), Workflow: x.Workflow, Status: x.Status, Display: display(x.Status), Parameters: x.Parameters, System: x.System,
		DryRun: x.DryRun, Started: stamp(x.Started), Ended: stamp(x.Ended), Scheduled: stamp(x.Scheduled), Total: x.Total, AllowCustom: x.AllowCustom,
		Group: text0(x.Group)}
	doc.of(d)
	if doc.Parameters == nil {
		doc.Parameters = map[string]any{}
	}
	if x.Error != "" {
		doc.Error = &x.Error
	}
	if x.Blueprint != "" && d.ID == "" {
		doc.Parameters = map[string]any{"blueprint_id": x.Blueprint}
	}
	if ended(x.Status) {
		doc.Finished = x.Total
	}
	return doc
}

// creation is the execution that has made a deployment's environment. It ended when the deployment was there.
func creation(d deploymentRecord) executionDocument {
	doc := executionDocument{common: d.common(), Workflow: "create_deployment_environment", Status: "terminated", Display: "completed", Started: stamp(d.Created),
		Ended: stamp(d.Created), Parameters: map[string]any{}}
	doc.ID = createID(d.ID)
	doc.of(d)
	return doc
}

// uploadExecution is the execution that has parsed a blueprint.
func uploadExecution(r blueprintRecord) executionDocument {
	doc := executionDocument{common: r.common(), Workflow: "upload_blueprint", Status: "terminated", Started: stamp(r.Began), Ended: stamp(r.Ended), System: true,
		Parameters: map[string]any{"blueprint_id": r.ID, "app_file_name": r.Main}}
	doc.ID, doc.Created = uploadID(r.Tenant, r.ID), stamp(r.Began)
	switch {
	case r.State == "uploading":
		doc.Status, doc.Ended = "started", nil
	case r.failed():
		doc.Status, doc.Error = "failed", &r.Error
	}
	doc.Display = display(doc.Status)
	return doc
}

// executionsOf lists the executions of a deployment, oldest first.
func (s *Server) executionsOf(ctx context.Context, r deploymentRecord, d orch.Deployment) ([]executionDocument, error) {
	tasks, err := s.opts.Service.Tasks(ctx, d.Name)
	if err != nil {
		return nil, err
	}
	records, err := s.shelf.executions.all(ctx, r.Tenant)
	if err != nil {
		return nil, err
	}
	return s.merge(r, tasks, records), nil
}

// merge puts tasks and records of a deployment together.
func (s *Server) merge(r deploymentRecord, tasks []orch.Task, records []executionRecord) []executionDocument {
	byID := map[string]*executionRecord{}
	out := []executionDocument{creation(r)}
	for i, x := range records {
		switch {
		case x.Deployment != r.ID:
		case x.Task:
			byID[x.ID] = &records[i]
		default:
			out = append(out, s.recorded(x, r))
		}
	}
	for _, t := range slices.Backward(tasks) {
		id := executionID(t.ID)
		s.known.noteExecution(id, r.ID)
		out = append(out, ofTask(t, byID[id], r))
	}
	slices.SortStableFunc(out[1:], func(a, b executionDocument) int { return compare(value(a.Created), value(b.Created)) })
	return out
}

func value(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

// latestExecution is the one that began last.
func (s *Server) latestExecution(ctx context.Context, k knownDeployment) (executionDocument, error) {
	all, err := s.executionsOf(ctx, k.record, k.Deployment)
	all = slices.DeleteFunc(all, func(x executionDocument) bool {
		return x.Status == "scheduled" || x.Scheduled != nil && x.Started == nil
	})
	if err != nil || len(all) == 0 {
		if isNotFound(err) {
			err = nil
		}
		return creation(k.record), err
	}
	return all[len(all)-1], nil
}

func (s *Server) executions(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[executionDocument](q)
	if err != nil {
		return nil, err
	}
	system, err := q.flag("_include_system_workflows")
	if err != nil {
		return nil, err
	}
	if err := s.savedRules(q, "executions", &l); err != nil {
		return nil, err
	}
	docs, err := s.allExecutions(ctx, q, &l)
	if err != nil {
		return nil, err
	}
	group := q.QueryParams()["_group_id"]
	docs = slices.DeleteFunc(docs, func(d executionDocument) bool {
		return d.System && !system || len(group) > 0 && (d.Group == nil || !slices.Contains(group, *d.Group))
	})
	return answerList(ctx, q, l, docs, nil)
}

// allExecutions are those of the deployments that a list names, or all.
func (s *Server) allExecutions(ctx context.Context, q *request, l *listing) ([]executionDocument, error) {
	docs := []executionDocument{}
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return nil, err
	}
	records, err := s.shelf.executions.all(ctx, q.tenant)
	if err != nil {
		return nil, err
	}
	wanted := l.equal["deployment_id"]
	for _, d := range all {
		if len(wanted) > 0 && !slices.Contains(wanted, d.record.ID) {
			continue
		}
		tasks, err := s.opts.Service.Tasks(ctx, d.Name)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, s.merge(d.record, tasks, records)...)
	}
	if len(wanted) > 0 {
		return docs, nil
	}
	for _, x := range records {
		if x.Deployment == "" {
			docs = append(docs, s.recorded(x, deploymentRecord{}))
		}
	}
	bps, err := s.blueprintRecords(ctx)
	for _, b := range bps {
		docs = append(docs, uploadExecution(b))
	}
	return docs, err
}

// findExecution finds an execution by its id alone, with the task if it is one.
func (s *Server) findExecution(ctx context.Context, q *request, id string) (executionDocument, *orch.Task, error) {
	x, found, err := s.shelf.executions.get(ctx, q.tenant, id)
	if err != nil {
		return executionDocument{}, nil, err
	}
	if found && !x.Task {
		var d deploymentRecord
		if x.Deployment != "" {
			if d, err = s.record(ctx, x.Deployment); err != nil && !isMissing(err) {
				return executionDocument{}, nil, err
			}
		}
		return s.recorded(x, d), nil, nil
	}
	t, err := s.taskOf(ctx, id)
	if err == nil {
		d, err := s.record(ctx, t.Deployment)
		if err != nil {
			return executionDocument{}, nil, notFound("Execution", id)
		}
		if !found {
			return ofTask(t, nil, d), &t, nil
		}
		return ofTask(t, &x, d), &t, nil
	}
	if !isNotFound(err) {
		return executionDocument{}, nil, err
	}
	doc, err := s.derived(ctx, q, id)
	return doc, nil, err
}

// taskOf an execution's id.
func (s *Server) taskOf(ctx context.Context, id string) (orch.Task, error) {
	task, ok := taskID(id)
	if !ok {
		return orch.Task{}, &orch.Error{Kind: orch.KindNotFound, Msg: "there is no task " + id, Err: orch.ErrNotFound}
	}
	if name, ok := s.known.deploymentOfExecution(id); ok {
		tasks, err := s.opts.Service.Tasks(ctx, name)
		if i := slices.IndexFunc(tasks, func(t orch.Task) bool { return t.ID == task }); err == nil && i >= 0 {
			return tasks[i], nil
		}
	}
	t, err := s.opts.Engine.TaskOf(ctx, task)
	if err == nil {
		s.known.noteExecution(id, t.Deployment)
	}
	return t, err
}

// derived finds the execution that has made a deployment or parsed a blueprint.
func (s *Server) derived(ctx context.Context, q *request, id string) (executionDocument, error) {
	bps, err := s.blueprintRecords(ctx)
	if err != nil {
		return executionDocument{}, err
	}
	for _, b := range bps {
		if uploadID(b.Tenant, b.ID) == id {
			return uploadExecution(b), nil
		}
	}
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return executionDocument{}, err
	}
	for _, d := range all {
		if createID(d.record.ID) == id {
			return creation(d.record), nil
		}
	}
	return executionDocument{}, notFound("Execution", id)
}

func (s *Server) execution(q *request) (any, error) {
	d, _, err := s.findExecution(q.Request().Context(), q, q.param("id"))
	if err != nil {
		return nil, err
	}
	return answerOne(q, d)
}

// parseTime reads a time in the forms that clients write.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "200601021504-0700", "2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05-0700", "2006-01-02 15:04-0700", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, badParameters("Invalid time `%s`: it must be like 2024-08-12T13:16:13.123Z", s)
}
