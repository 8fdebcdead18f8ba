package cloudify

import (
	"context"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// eventFilters are the parameters by which events are chosen; several values are alternatives, but for messages, which must all match.
var eventFilters = []string{"execution_id", "execution_group_id", "deployment_id", "blueprint_id", "node_id", "node_instance_id", "event_type", "level", "operation",
	"message", "message.text", "type"}

// eventQuery is what a client asks of the events.
type eventQuery struct {
	listing
	of       map[string][]string
	from, to time.Time
	events   bool
	logs     bool
	// nested documents are those of older versions of the API.
	nested bool
	down   bool
}

func (q *request) eventQuery() (e eventQuery, err error) {
	query := q.QueryParams()
	e = eventQuery{of: map[string][]string{}, nested: q.api < v3}
	e.size = defaultEvents
	if err := e.page(query); err != nil {
		return e, err
	}
	if !e.nested {
		if e.include, err = includes[eventDocument](query); err != nil {
			return e, err
		}
	}
	if err := e.sorting(query); err != nil {
		return e, err
	}
	for key, vals := range query {
		switch {
		case slices.Contains(eventFilters, key):
			e.of[key] = vals
		case !slices.Contains(passed, key):
			return e, badParameters("Filter keys '%s' are not allowed; events are filtered by %s", key, strings.Join(eventFilters, ", "))
		}
	}
	if err := e.types(); err != nil {
		return e, err
	}
	for _, r := range query["_range"] {
		if err := e.span(r); err != nil {
			return e, err
		}
	}
	return e, nil
}

const defaultEvents = 1000

// sorting reads _sort. Events lie in the order of their times, so that is the only question.
func (e *eventQuery) sorting(query url.Values) error {
	have := indexOf(reflect.TypeFor[eventDocument]())
	for _, s := range query["_sort"] {
		for one := range strings.SplitSeq(s, ",") {
			name := strings.TrimPrefix(strings.TrimLeft(one, "+- "), "@")
			if _, ok := have[name]; !ok {
				return badParameters("Unknown field to sort by: %s", name)
			}
			if name == "timestamp" || name == "reported_timestamp" || name == "_storage_id" {
				e.down = strings.HasPrefix(one, "-")
				continue
			}
			e.sort = append(e.sort, order{name, strings.HasPrefix(one, "-")})
		}
	}
	return nil
}

// types says whether events, logs or both are wanted. A level is of logs only, an event_type of events.
func (e *eventQuery) types() error {
	for _, t := range e.of["type"] {
		for one := range strings.SplitSeq(t, ",") {
			switch one {
			case eventType:
				e.events = true
			case logType:
				e.logs = true
			default:
				return badParameters("Unknown event type: %s", one)
			}
		}
	}
	if !e.events && !e.logs {
		e.events, e.logs = true, true
	}
	if e.of["level"] != nil {
		e.events = false
	}
	if e.of["event_type"] != nil {
		e.logs = false
	}
	return nil
}

// span reads _range: "@timestamp,FROM,TO", either of which may be empty.
func (e *eventQuery) span(s string) error {
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return badParameters("Range parameter must be of the form field,from,to: `%s`", s)
	}
	switch strings.TrimPrefix(parts[0], "@") {
	case "timestamp", "reported_timestamp":
	default:
		return badParameters("Unknown field to filter by range: %s", parts[0])
	}
	if parts[1] == "" && parts[2] == "" {
		return badParameters("Range parameter needs a beginning or an end: `%s`", s)
	}
	for i, into := range []*time.Time{&e.from, &e.to} {
		if parts[i+1] == "" {
			continue
		}
		t, err := parseTime(parts[i+1])
		if err != nil {
			return err
		}
		*into = t
	}
	return nil
}

// accepts reports whether a document is wanted.
func (e *eventQuery) accepts(d *eventDocument) bool {
	switch {
	case d.Type == eventType && !e.events || d.Type == logType && !e.logs:
		return false
	case !e.from.IsZero() && d.at.Before(e.from.Truncate(time.Millisecond)), !e.to.IsZero() && !d.at.Truncate(time.Millisecond).Before(e.to):
		return false
	}
	for key, vals := range e.of {
		ok := true
		switch key {
		case "execution_id":
			ok = slices.Contains(vals, d.Execution)
		case "deployment_id":
			ok = slices.Contains(vals, d.Deployment)
		case "blueprint_id":
			ok = slices.Contains(vals, d.Blueprint)
		case "node_id", "node_instance_id":
			ok = oneOf(d.NodeInstance, vals) || key == "node_id" && oneOf(d.Node, vals)
		case "event_type":
			ok = oneOf(d.EventType, vals)
		case "level":
			ok = oneOf(d.Level, vals)
		case "operation":
			ok = d.Operation != nil && slices.ContainsFunc(vals, func(p string) bool { return like(*d.Operation, p) })
		case "message", "message.text":
			ok = !slices.ContainsFunc(vals, func(p string) bool { return !like(d.Message, p) })
		case "execution_group_id":
			ok = oneOf(d.Group, vals)
		}
		if !ok {
			return false
		}
	}
	return true
}

func oneOf(s *string, vals []string) bool { return s != nil && slices.Contains(vals, *s) }

// like is SQL's ILIKE: % stands for any text, _ for any character, \ takes the next as it is.
func like(s, pattern string) bool {
	return likeRunes([]rune(strings.ToLower(s)), []rune(strings.ToLower(pattern)))
}

func likeRunes(s, p []rune) bool {
	// back is where the last % can be tried again with one more character.
	si, pi, back, from := 0, 0, -1, 0
	for si < len(s) {
		switch {
		case pi < len(p) && p[pi] == '%':
			back, from = pi+1, si
			pi++
		case pi+1 < len(p) && p[pi] == '\\' && p[pi+1] == s[si]:
			si, pi = si+1, pi+2
		case pi < len(p) && p[pi] != '\\' && (p[pi] == '_' || p[pi] == s[si]):
			si, pi = si+1, pi+1
		case back >= 0:
			from++
			si, pi = from, back
		default:
			return false
		}
	}
	for pi < len(p) && p[pi] == '%' {
		pi++
	}
	return pi == len(p)
}

func (s *Server) events(q *request) (any, error) {
	ctx := q.Request().Context()
	e, err := q.eventQuery()
	if err != nil {
		return nil, err
	}
	if e.nested && q.api < v3 && e.of["type"] == nil && q.api == v1 {
		return nil, badParameters("Filter by type is expected")
	}
	names, err := s.watched(ctx, q, &e)
	if err != nil {
		return nil, err
	}
	docs, err := s.eventsOf(ctx, q, &e, names)
	if err != nil {
		return nil, err
	}
	docs = append(docs, s.uploadEvents(ctx, q, &e)...)
	return e.answer(docs, len(names) != 1)
}

// eventsOf are the events of deployments that a query accepts and nobody has deleted.
func (s *Server) eventsOf(ctx context.Context, q *request, e *eventQuery, names []deploymentRecord) (docs []eventDocument, err error) {
	records, err := s.executionRecords(ctx, q.tenant)
	if err != nil {
		return nil, err
	}
	for _, r := range names {
		all, err := s.feeds.of(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		for i := range all {
			d := all[i]
			d.Blueprint = r.Blueprint
			if r.DisplayName != "" {
				d.DisplayName = r.DisplayName
			}
			x := records[d.Execution]
			d.rename(x.Workflow)
			d.Group = text0(x.Group)
			if e.accepts(&d) && !slices.ContainsFunc(r.Cleared, func(c clearedRecord) bool { return c.hides(&d) }) {
				docs = append(docs, d)
			}
		}
	}
	return docs, nil
}

// executionRecords tell what executions were started as, and in which group, by their id: scale and update are installations to orch.
func (s *Server) executionRecords(ctx context.Context, tenant string) (map[string]executionRecord, error) {
	all, err := s.shelf.executions.all(ctx, tenant)
	out := make(map[string]executionRecord, len(all))
	for _, x := range all {
		out[x.ID] = x
	}
	return out, err
}

func (d *eventDocument) rename(workflow string) {
	if workflow == "" || workflow == d.Workflow {
		return
	}
	if d.EventType != nil && strings.HasPrefix(*d.EventType, "workflow_") && *d.EventType != "workflow_node_event" {
		d.Message = strings.Replace(d.Message, "'"+d.Workflow+"'", "'"+workflow+"'", 1)
	}
	d.Workflow = workflow
}

// watched are the deployments whose events can be wanted.
func (s *Server) watched(ctx context.Context, q *request, e *eventQuery) ([]deploymentRecord, error) {
	names := e.of["deployment_id"]
	ids := e.of["execution_id"]
	for _, id := range e.of["execution_group_id"] {
		g, err := s.batchRecord(ctx, q.tenant, id)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		ids = append(slices.Clone(ids), g.Executions...)
	}
	if len(ids) > 0 || len(e.of["execution_group_id"]) > 0 {
		names = nil
		for _, id := range ids {
			doc, _, err := s.findExecution(ctx, q, id)
			if err != nil && !isMissing(err) {
				return nil, err
			}
			if err == nil && doc.Deployment != nil && !slices.Contains(names, *doc.Deployment) {
				names = append(names, *doc.Deployment)
			}
		}
		if len(names) == 0 {
			return nil, nil
		}
	}
	if len(names) == 1 {
		r, err := s.record(ctx, names[0])
		if isMissing(err) {
			return nil, nil
		}
		return []deploymentRecord{r}, err
	}
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return nil, err
	}
	var recent map[string]bool
	if !e.from.IsZero() && len(names) == 0 {
		if recent, err = s.feeds.since(ctx, e.from); err != nil {
			return nil, err
		}
	}
	var out []deploymentRecord
	for _, d := range all {
		if len(names) > 0 && !slices.Contains(names, d.record.ID) || recent != nil && !recent[d.record.ID] {
			continue
		}
		out = append(out, d.record)
	}
	return out, nil
}

// uploadEvents are those of the executions that have parsed blueprints.
func (s *Server) uploadEvents(ctx context.Context, q *request, e *eventQuery) (out []eventDocument) {
	for _, id := range e.of["execution_id"] {
		doc, t, err := s.findExecution(ctx, q, id)
		if err != nil || t != nil || doc.Deployment != nil || !ended(doc.Status) {
			continue
		}
		docs := []eventDocument{occurred("workflow_started", "Starting '%s' workflow execution", doc.Workflow)}
		if doc.Error != nil {
			docs = append(docs, occurred("workflow_failed", "'%s' workflow execution failed: %s", doc.Workflow, *doc.Error))
			docs[1].Causes = []errorDoc{{"InvalidBlueprintError", *doc.Error, ""}}
		} else {
			docs = append(docs, occurred("workflow_succeeded", "'%s' workflow execution succeeded", doc.Workflow))
		}
		for i, ts := range []*string{doc.Started, doc.Ended} {
			d := &docs[i]
			d.Storage, d.Execution, d.Workflow, d.Timestamp, d.Reported, d.Visibility = i, doc.ID, doc.Workflow, *ts, *ts, visibleTenant
			d.at, _ = parseTime(*ts)
			if e.accepts(d) {
				out = append(out, *d)
			}
		}
	}
	return out
}

// answer sorts and cuts. Those of one deployment are in order already.
func (e *eventQuery) answer(docs []eventDocument, mixed bool) (any, error) {
	if mixed {
		slices.SortStableFunc(docs, func(a, b eventDocument) int { return a.at.Compare(b.at) })
	}
	if e.down {
		slices.Reverse(docs)
	}
	if len(e.sort) > 0 {
		e.order(docs, func(i int) reflect.Value { return reflect.ValueOf(docs[i]) }, func(int) []label { return nil })
	}
	from := min(e.offset, len(docs))
	part := docs[from : from+min(e.size, len(docs)-from)]
	items := make([]any, 0, len(part))
	for _, d := range part {
		if e.nested {
			items = append(items, d.nested())
		} else {
			items = append(items, project(d, e.include))
		}
	}
	return page{Items: items, Metadata: metadata{Pagination: pagination{len(docs), e.size, e.offset}}}, nil
}

// nested is a document as versions before 3 have it: as it lay in Elasticsearch once.
func (d *eventDocument) nested() map[string]any {
	message := map[string]any{"text": d.Message}
	context := map[string]any{"deployment_id": d.Deployment, "execution_id": d.Execution, "blueprint_id": d.Blueprint, "workflow_id": d.Workflow, "operation": d.Operation,
		"node_id": d.NodeInstance, "node_name": d.Node}
	out := map[string]any{"@timestamp": d.Timestamp, "timestamp": d.Timestamp, "type": d.Type, "message": message, "context": context, "message_code": d.Code}
	if d.Type == eventType {
		message["arguments"] = nil
		out["event_type"] = d.EventType
		context["task_error_causes"] = d.Causes
	} else {
		out["logger"], out["level"] = d.Logger, d.Level
	}
	return out
}
