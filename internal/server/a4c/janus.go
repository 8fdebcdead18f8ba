package a4c

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// Janus' plugin for Alien4Cloud 1.4, and Yorc's first ones, read older shapes of three documents: the list of deployments, events, and logs.
// Their JSON mapper fails at every field that it does not know, so these documents have exactly theirs. What tells these plugins apart is
// the HTTP library that only they use.

const janusAgent = "unirest-java/"

// ofJanus reports whether a request comes from one of the older plugins.
func ofJanus(c echo.Context) bool { return strings.HasPrefix(c.Request().UserAgent(), janusAgent) }

// janusEvent is an event of Janus: what a node's instance, the deployment or a task has become.
type janusEvent struct {
	Timestamp string `json:"timestamp"`
	// Deployment is absent in the events of one deployment.
	Deployment string `json:"deployment_id,omitempty"`
	Type       string `json:"type"`
	Status     string `json:"status"`
	Node       string `json:"node,omitempty"`
	Instance   string `json:"instance,omitempty"`
	Task       string `json:"task_id,omitempty"`
}

// janusTypes are the types of events that there were, and what they are called now.
var janusTypes = map[string]string{"Deployment": "deployment", "Instance": "instance", "CustomCommand": "custom-command", "Scaling": "scaling", "Workflow": "workflow"}

func (s *Server) janusEvents(c echo.Context) error {
	ofAll := param(c, "id") == ""
	each := func(e event.Event) (out []janusEvent) {
		for _, d := range withoutPurged(e) {
			typ := janusTypes[d.Type]
			if typ == "" {
				continue
			}
			j := janusEvent{Timestamp: d.Timestamp, Type: typ, Status: d.Status, Node: d.Node, Instance: d.Instance, Task: d.Execution}
			if ofAll {
				j.Deployment = d.Deployment
			}
			out = append(out, j)
		}
		return out
	}
	return poll(s, c, told, each, func(entries []janusEvent, last uint64) any {
		return struct {
			Events []janusEvent `json:"events"`
			Last   uint64       `json:"last_index"`
		}{entries, last}
	})
}

// janusLogs are lines without the task's id.
func janusLogs(e event.Event) []logDocument {
	lines := narrate(e)
	for i := range lines {
		lines[i].Task = ""
	}
	return lines
}

// janusDeployments are links only.
func janusDeployments(c echo.Context, all []orch.Deployment) error {
	if len(all) == 0 {
		return c.NoContent(http.StatusNoContent)
	}
	links := []link{}
	for _, d := range all {
		links = append(links, to("deployment", deploymentPath(d.Name)))
	}
	return answer(c, http.StatusOK, map[string]any{"deployments": links})
}
