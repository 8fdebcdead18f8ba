package cloudify

import (
	"fmt"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// Types of documents, and of events.
const (
	eventType = "cloudify_event"
	logType   = "cloudify_log"
)

// eventDocument is an event or a log line, flat. Clients delete some of these keys from each, so they are always there; event_type is of
// events only, logger and level of log lines.
type eventDocument struct {
	Storage      int        `json:"_storage_id"`
	Type         string     `json:"type"`
	Timestamp    string     `json:"timestamp"`
	Reported     string     `json:"reported_timestamp"`
	Blueprint    string     `json:"blueprint_id"`
	Deployment   string     `json:"deployment_id"`
	DisplayName  string     `json:"deployment_display_name"`
	Execution    string     `json:"execution_id"`
	Group        *string    `json:"execution_group_id"`
	Workflow     string     `json:"workflow_id"`
	EventType    *string    `json:"event_type,omitempty"`
	Code         *string    `json:"message_code"`
	Operation    *string    `json:"operation"`
	NodeInstance *string    `json:"node_instance_id"`
	Node         *string    `json:"node_name"`
	NodeID       *string    `json:"node_id"`
	Source       *string    `json:"source_id"`
	Target       *string    `json:"target_id"`
	Message      string     `json:"message"`
	Causes       []errorDoc `json:"error_causes"`
	Logger       *string    `json:"logger,omitempty"`
	Level        *string    `json:"level,omitempty"`
	Manager      *string    `json:"manager_name"`
	Agent        *string    `json:"agent_name"`
	Visibility   string     `json:"visibility"`
	at           time.Time
}

type errorDoc struct {
	Type      string `json:"type"`
	Message   string `json:"message"`
	Traceback string `json:"traceback"`
}

// translator says in Cloudify's events what those of one deployment say. It reads them in their order, and remembers why tasks have failed.
type translator struct {
	deployment string
	last       time.Time         // times never go back, so that a page once read stays where it is
	cause      map[string]string // by task
	tries      map[string]int    // by task and step
}

func newTranslator(deployment string) *translator {
	return &translator{deployment: deployment, cause: map[string]string{}, tries: map[string]int{}}
}

// perEvent bounds the documents that one event becomes: their ids are made of its number.
const perEvent = 4

func (tr *translator) translate(e event.Event) []eventDocument {
	if e.Time.After(tr.last) {
		tr.last = e.Time
	}
	docs := tr.documents(e)
	for i := range docs {
		d := &docs[i]
		d.Storage, d.Deployment, d.DisplayName, d.Visibility = int(e.Seq)*perEvent+i, tr.deployment, tr.deployment, visibleTenant
		d.at = tr.last
		ts := stamp(tr.last)
		d.Timestamp, d.Reported = *ts, *ts
		if d.Execution == "" {
			d.Execution, d.Workflow = executionID(e.Task), e.Workflow
		}
	}
	return docs
}

func (tr *translator) documents(e event.Event) []eventDocument {
	switch e.Type {
	case event.DeploymentStatus:
		if e.Status == string(orch.StatusCreated) {
			return tr.creation()
		}
	case event.TaskStatus:
		return tr.task(e)
	case event.InstanceState:
		return tr.state(e)
	case event.StepStatus:
		return tr.step(e)
	case event.Log:
		if kind, ok := strings.CutPrefix(e.Key, toldMark); ok {
			d := occurred(kind, "%s", e.Message)
			tr.place(&d, e)
			return []eventDocument{d}
		}
		return []eventDocument{tr.log(e, e.Message, level(e))}
	case event.Waiting:
		if strings.HasPrefix(e.Message, anotherAttempt) {
			d := occurred("task_rescheduled", "Task rescheduled '%s' -> %s", taskName(e), strings.TrimPrefix(e.Message, "waiting for "))
			tr.place(&d, e)
			return []eventDocument{d}
		}
		return []eventDocument{tr.log(e, e.Message, "debug")}
	case event.Resource:
		return []eventDocument{tr.log(e, strings.TrimSpace(e.Key+" "+e.Status+" "+e.Message), "info")}
	}
	return nil
}

// anotherAttempt is what a step waits for that has failed and is tried again.
const anotherAttempt = "waiting for another attempt in "

func occurred(typ, format string, args ...any) eventDocument {
	return eventDocument{Type: eventType, EventType: &typ, Message: fmt.Sprintf(format, args...)}
}

// creation tells of the execution that makes a deployment's environment.
func (tr *translator) creation() []eventDocument {
	const name = "create_deployment_environment"
	docs := []eventDocument{occurred("workflow_started", "Starting '%s' workflow execution", name), occurred("workflow_succeeded", "'%s' workflow execution succeeded", name)}
	for i := range docs {
		docs[i].Execution, docs[i].Workflow = createID(tr.deployment), name
	}
	return docs
}

func (tr *translator) task(e event.Event) []eventDocument {
	name := e.Workflow
	switch e.Status {
	case "running":
		return []eventDocument{occurred("workflow_started", "Starting '%s' workflow execution%s", name, dry(e))}
	case "done":
		return []eventDocument{occurred("workflow_succeeded", "'%s' workflow execution succeeded%s", name, dry(e))}
	case "cancelled":
		return []eventDocument{occurred("workflow_cancelled", "'%s' workflow execution cancelled%s", name, dry(e))}
	case "failed":
		why := tr.cause[e.Task]
		if why == "" { // it has failed before it has done anything
			why = e.Message
		}
		d := occurred("workflow_failed", "'%s' workflow execution failed: %s", name, why)
		d.Causes = []errorDoc{{"RuntimeError", why, ""}}
		return []eventDocument{d}
	case "cancelling":
		return []eventDocument{occurred("workflow_event", "Cancelling '%s' workflow execution", name)}
	}
	return nil
}

// dryMark is the value of events that a dry run has announced.
const dryMark = "dry run"

func dry(e event.Event) string {
	if e.Key == dryMark {
		return " (dry run)"
	}
	return ""
}

// stateMessages are those of the lifecycle's states.
var stateMessages = map[string]string{
	"creating": "Creating node instance", "created": "Node instance created", "configuring": "Configuring node instance", "configured": "Node instance configured",
	"starting": "Starting node instance", "started": "Node instance started", "stopping": "Stopping node instance", "stopped": "Stopped node instance",
	"deleting": "Deleting node instance", "deleted": "Deleted node instance",
}

func (tr *translator) state(e event.Event) []eventDocument {
	m := stateMessages[e.Status]
	if m == "" {
		return nil
	}
	d := occurred("workflow_node_event", "%s%s", m, dry(e))
	tr.place(&d, e)
	return []eventDocument{d}
}

// place says where it happened.
func (tr *translator) place(d *eventDocument, e event.Event) {
	if e.Node == "" {
		return
	}
	id := instanceID(tr.deployment, topology.Instance{Node: e.Node, Index: e.Instance})
	node := e.Node
	d.NodeInstance, d.Node, d.NodeID = &id, &node, &id
	if e.Relationship != "" && e.Target != "" {
		target := instanceID(tr.deployment, topology.Instance{Node: e.Target, Index: e.Instance})
		d.Source, d.Target = &id, &target
	}
	if e.Operation != "" {
		op := operationName(e)
		d.Operation = &op
	}
}

// operationName is the full name of an event's operation. Infrastructure is made by the lifecycle's operation of the same name.
func operationName(e event.Event) string {
	if e.Interface == "" {
		return lifecycle + "." + e.Operation
	}
	return topology.CloudifyInterface(e.Interface) + "." + e.Operation
}

// taskName is what runs an operation.
func taskName(e event.Event) string {
	if e.Interface == "" {
		return "orch.infrastructure." + e.Operation
	}
	return scriptTask
}

func (tr *translator) step(e event.Event) []eventDocument {
	if e.Operation == "" {
		return nil // only the state changes, and that has events of its own
	}
	key, name := e.Task+"\x00"+e.Step, taskName(e)
	var docs []eventDocument
	switch e.Status {
	case "doing":
		tr.tries[key]++
		docs = []eventDocument{occurred("sending_task", "Sending task '%s'%s%s", name, tr.retry(key), dry(e)), occurred("task_started", "Task started '%s'%s%s", name, tr.retry(key), dry(e))}
	case "done":
		docs = []eventDocument{occurred("task_succeeded", "Task succeeded '%s'%s%s", name, tr.retry(key), dry(e))}
		delete(tr.tries, key)
	case "failed":
		docs = []eventDocument{occurred("task_failed", "Task failed '%s' -> %s%s", name, e.Message, tr.retry(key))}
		docs[0].Causes = []errorDoc{{"RuntimeError", e.Message, ""}}
		if tr.cause[e.Task] == "" {
			tr.cause[e.Task] = "Task failed: " + e.Step + ": " + e.Message
		}
		delete(tr.tries, key)
	}
	for i := range docs {
		tr.place(&docs[i], e)
	}
	return docs
}

// retry marks the second and later attempts.
func (tr *translator) retry(key string) string {
	if n := tr.tries[key] - 1; n > 0 {
		return fmt.Sprintf(" [retry %d]", n)
	}
	return ""
}

func (tr *translator) log(e event.Event, message, lvl string) eventDocument {
	logger := "orch"
	d := eventDocument{Type: logType, Message: message, Level: &lvl, Logger: &logger}
	tr.place(&d, e)
	if d.NodeInstance != nil {
		logger = "ctx." + *d.NodeInstance
	}
	return d
}

func level(e event.Event) string {
	switch e.Level {
	case event.Debug, event.Error:
		return string(e.Level)
	case event.Warn:
		return "warning"
	}
	return "info"
}

// dryEvents tell a plan as if it were carried out, and how many operations it has.
func dryEvents(deployment, task, workflow string, p *plan.Plan, now time.Time) (out []event.Event, total int) {
	add := func(e event.Event) {
		e.Time, e.Deployment, e.Task, e.Workflow, e.Key = now, deployment, task, workflow, dryMark
		out = append(out, e)
	}
	add(event.Event{Type: event.TaskStatus, Status: "running"})
	for _, s := range p.Steps {
		if s.StateBefore != "" {
			add(event.Event{Type: event.InstanceState, Status: s.StateBefore, Node: s.Node, Instance: s.Instance})
		}
		if s.Acts() {
			total++
			op := s.Operation
			if s.Kind == plan.Infra {
				op = string(s.Action)
			}
			for _, status := range []string{"doing", "done"} {
				add(event.Event{Type: event.StepStatus, Status: status, Step: s.ID, Node: s.Node, Instance: s.Instance, Relationship: s.Relationship, Target: s.Target,
					Interface: s.Interface, Operation: op})
			}
		}
		if s.StateAfter != "" {
			add(event.Event{Type: event.InstanceState, Status: s.StateAfter, Node: s.Node, Instance: s.Instance})
		}
	}
	add(event.Event{Type: event.TaskStatus, Status: "done"})
	return out, total
}
