package a4c

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
)

// eventDocument is Yorc's event: flat, all texts.
type eventDocument struct {
	Timestamp      string `json:"timestamp"`
	Deployment     string `json:"deploymentId"`
	Type           string `json:"type"`
	Status         string `json:"status"`
	Workflow       string `json:"workflowId,omitempty"`
	Execution      string `json:"alienExecutionId,omitempty"`
	Node           string `json:"nodeId,omitempty"`
	Instance       string `json:"instanceId,omitempty"`
	Operation      string `json:"operationName,omitempty"`
	TargetNode     string `json:"targetNodeId,omitempty"`
	TargetInstance string `json:"targetInstanceId,omitempty"`
	Step           string `json:"stepId,omitempty"`
	Task           string `json:"alienTaskId,omitempty"`
	Attribute      string `json:"attribute,omitempty"`
	Value          string `json:"value,omitempty"`
}

// translate says in Yorc's events what one of orch's says; nothing where Alien4Cloud has no interest.
func translate(e event.Event) []eventDocument {
	switch e.Type {
	case event.DeploymentStatus:
		return deploymentEvents(e)
	case event.TaskStatus:
		return taskEvents(e)
	case event.InstanceState:
		return instanceEvents(e)
	case event.Attribute:
		return []eventDocument{attributeEvent(e, e.Key, e.Value)}
	case event.StepStatus:
		return stepEvents(e)
	}
	return nil
}

func document(e event.Event, typ, status string) eventDocument {
	return eventDocument{Timestamp: e.Time.Format(time.RFC3339Nano), Deployment: e.Deployment, Type: typ, Status: status}
}

// aboutDeployment reports whether the task that an event belongs to changes the deployment's status. Workflows and commands leave it as it is,
// and telling the old status again would set Alien4Cloud's state machine going.
func aboutDeployment(e event.Event) bool {
	return e.Workflow == "" || e.Workflow == plan.Install || e.Workflow == plan.Uninstall
}

func deploymentEvents(e event.Event) []eventDocument {
	if e.Key == event.Forget && orch.Status(e.Status) == orch.StatusUndeployed {
		return nil // it was before; that it is purged comes next
	}
	status := strings.ToLower(statusOf(e.Status, e.Key))
	if status == "" || !aboutDeployment(e) {
		return nil
	}
	if status == "purge_failed" && e.Key == doingPurge {
		return []eventDocument{document(e, "Deployment", status), document(e, "Deployment", "undeployment_failed")} // what older plugins know
	}
	if e.Key == doingDeploy && e.Value == "pending" {
		status = "initial"
	}
	return append([]eventDocument{document(e, "Deployment", status)}, announced(e)...)
}

// announced are the instances that a task will make: Alien4Cloud shows them from the beginning, and not each when its turn comes.
func announced(e event.Event) (out []eventDocument) {
	if e.Value != "pending" {
		return nil
	}
	of := e
	of.Status = "initial"
	for _, name := range strings.Fields(e.Message) {
		of.Node, of.Instance, _ = strings.Cut(name, "/")
		out = append(out, instanceEvents(of)...)
	}
	return out
}

// taskStatuses are those of events; "cancelling" is none.
var taskStatuses = map[string]string{"pending": "initial", "running": "running", "done": "done", "failed": "failed", "cancelled": "canceled"}

func taskEvents(e event.Event) []eventDocument {
	status := taskStatuses[e.Status]
	if status == "" || e.Key == event.Forget {
		return nil // a purge is not an execution
	}
	if e.Workflow == plan.Operation {
		d := document(e, "CustomCommand", status)
		if status == "canceled" {
			d.Status = "failed" // the plugin does not know the other
		}
		d.Execution = e.Task
		return []eventDocument{d}
	}
	typ := "Workflow"
	if e.Key == doingScale {
		typ = "Scaling"
	}
	d := document(e, typ, status)
	d.Workflow, d.Execution = e.Workflow, e.Task
	return []eventDocument{d}
}

// instanceEvents tell the instance first: the plugin takes attributes of instances that it knows only.
func instanceEvents(e event.Event) []eventDocument {
	d := document(e, "Instance", e.Status)
	d.Node, d.Instance, d.Execution = e.Node, e.Instance, e.Task
	d.Workflow = workflowID(e)
	out := []eventDocument{d, attributeEvent(e, "state", e.Status)}
	if e.Status == "initial" {
		for _, name := range []string{"tosca_id", "tosca_name"} {
			out = append(out, attributeEvent(e, name, builtins(e.Node, e.Instance)[name]))
		}
	}
	return out
}

func attributeEvent(e event.Event, name, value string) eventDocument {
	if value == secret.Mask {
		value = redacted
	}
	d := document(e, "AttributeValue", "updated")
	d.Node, d.Instance, d.Attribute, d.Value = e.Node, e.Instance, name, value
	return d
}

// stepEvents come in pairs, of the step and of its task on the instance.
func stepEvents(e event.Event) []eventDocument {
	if e.Operation == "" {
		return nil // only the state changes: that has events of its own
	}
	if e.Workflow == plan.Operation {
		return nil // a command has neither workflow nor steps
	}
	var statuses []string
	switch e.Status {
	case "doing":
		statuses = []string{"initial", "running"}
	case "done":
		statuses = []string{"done"}
	case "failed":
		statuses = []string{"error"}
	case "cancelled":
		if e.Message == "" {
			return nil // never begun: Alien4Cloud knows no such task
		}
		statuses = []string{"canceled"}
	}
	var out []eventDocument
	for _, status := range statuses {
		step := document(e, "WorkflowStep", status)
		step.Workflow, step.Execution, step.Step = workflowID(e), e.Task, eventStepName(e)
		step.Node, step.Instance, step.TargetNode, step.Operation, step.Task = e.Node, e.Instance, e.Target, operationName(e), execution(e)
		task := step
		task.Type, task.Task = "AlienTask", step.Task+"-"+e.Instance
		out = append(out, step, task)
	}
	return out
}

// workflowID is the workflow of the event's task; a command's task has none.
func workflowID(e event.Event) string {
	if e.Workflow == plan.Operation {
		return ""
	}
	return e.Workflow
}

// infraStep reports whether the step's act is infrastructure: those belong to no interface.
func infraStep(e event.Event) bool { return e.Interface == "" && e.Relationship == "" }

func eventStepName(e event.Event) string {
	if infraStep(e) {
		return stepName(e.WorkflowStep, e.Node, "", delegateName(e.Operation))
	}
	return stepName(e.WorkflowStep, e.Node, e.Relationship, e.Operation)
}

// operationName is in lower case with the interface's short name.
func operationName(e event.Event) string {
	if e.Operation == "" {
		return ""
	}
	if infraStep(e) {
		return "delegate." + delegateName(e.Operation)
	}
	return strings.ToLower(e.Interface + "." + e.Operation)
}

// execution is an id of a step in a task: the same each time that the events are read. It has the form of a UUID.
func execution(e event.Event) string {
	sum := sha256.Sum256([]byte(e.Task + "\n" + eventStepName(e)))
	h := hex.EncodeToString(sum[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
