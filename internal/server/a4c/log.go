package a4c

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
)

// logDocument is a line of Yorc's logs.
type logDocument struct {
	Timestamp  string `json:"timestamp"`
	Level      string `json:"level"`
	Deployment string `json:"deploymentId"`
	Content    string `json:"content"`
	Workflow   string `json:"workflowId,omitempty"`
	Execution  string `json:"executionId,omitempty"`
	Node       string `json:"nodeId,omitempty"`
	Instance   string `json:"instanceId,omitempty"`
	Interface  string `json:"interfaceName,omitempty"`
	Operation  string `json:"operationName,omitempty"`
	Type       string `json:"type,omitempty"`
	Task       string `json:"alienTaskId,omitempty"`
}

const maxContent = 511_000 // bytes

var logLevels = map[event.Level]string{event.Debug: "DEBUG", event.Info: "INFO", event.Warn: "WARN", event.Error: "ERROR"}

// narrate says in lines of the log what an event says: the output of operations, and every change of a status.
//
// The last line of an undeployment is what the plugin waits for before it purges. It is made of the deployment's last event, after which
// nothing comes.
func narrate(e event.Event) []logDocument {
	switch e.Type {
	case event.Log:
		return output(e)
	case event.Waiting:
		return []logDocument{line(e, "INFO", e.Message)}
	case event.Resource:
		return []logDocument{line(e, "INFO", strings.TrimSuffix(fmt.Sprintf("Resource %q of node %q, instance %q: %s: %s", e.Key, e.Node, e.Instance, e.Status, e.Message), ": "))}
	}
	var out []logDocument
	for _, d := range translate(e) {
		if text := sentence(d); text != "" {
			out = append(out, line(e, levelOf(d.Status), text))
		}
	}
	if e.Type == event.StepStatus && e.Message != "" {
		out = append(out, line(e, cmp.Or(stepLevels[e.Status], "INFO"), because(e)))
	}
	return out
}

// stepLevels are those of what is said about a step that has not been done.
var stepLevels = map[string]string{"failed": "ERROR", "cancelled": "WARN"}

// because says why a step ended as it did. Who is skipped is named, as what is said is about another.
func because(e event.Event) string {
	if e.Status == "skipped" {
		return fmt.Sprintf("Workflow step %q is skipped: %s", eventStepName(e), e.Message)
	}
	return e.Message
}

func levelOf(status string) string {
	switch status {
	case "error", "failed", "deployment_failed", "undeployment_failed", "update_failure", "purge_failed":
		return "ERROR"
	}
	return "INFO"
}

// sentence is Yorc's sentence about an event.
func sentence(d eventDocument) string {
	switch d.Type {
	case "Deployment":
		return fmt.Sprintf("Status for deployment %q changed to %q", d.Deployment, d.Status)
	case "Instance":
		return fmt.Sprintf("Status for node %q, instance %q changed to %q", d.Node, d.Instance, d.Status)
	case "AttributeValue":
		return fmt.Sprintf("Attribute %q value for node %q, instance %q changed to %q", d.Attribute, d.Node, d.Instance, d.Value)
	case "Workflow":
		return fmt.Sprintf("Status for workflow %q changed to %q", d.Workflow, d.Status)
	case "WorkflowStep":
		return fmt.Sprintf("Status for workflow step %q changed to %q", d.Step, d.Status)
	case "AlienTask":
		return fmt.Sprintf("Status for task execution %q changed to %q", d.Task, d.Status)
	case "Scaling":
		return fmt.Sprintf("Status for scaling task %q changed to %q", d.Execution, d.Status)
	case "CustomCommand":
		return fmt.Sprintf("Status for custom-command %q changed to %q", d.Execution, d.Status)
	}
	return ""
}

// output of an operation. The host is named as operations know their instance.
func output(e event.Event) []logDocument {
	level := logLevels[e.Level]
	if level == "" {
		level = "INFO"
	}
	content := e.Message
	if e.Stream != "" && e.Node != "" {
		content = fmt.Sprintf("Node %q, host %q, %s:\n%s", e.Node, e.Node+"_"+e.Instance, e.Stream, e.Message)
	}
	return []logDocument{line(e, level, content)}
}

func line(e event.Event, level, content string) logDocument {
	d := logDocument{Timestamp: e.Time.Format(time.RFC3339Nano), Level: level, Deployment: e.Deployment, Content: cut(content), Workflow: e.Workflow,
		Execution: e.Task, Node: e.Node, Instance: e.Instance}
	if e.Workflow == plan.Operation {
		d.Workflow = ""
	}
	if e.Operation != "" {
		name := operationName(e)
		i := strings.LastIndexByte(name, '.')
		d.Interface, d.Operation = name[:max(i, 0)], name[i+1:]
		d.Task = execution(e) + "-" + e.Instance
	}
	return d
}

func cut(s string) string {
	if len(s) <= maxContent {
		return s
	}
	n := maxContent
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
