package cloudify

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/topology"
)

// tellRequest is the body of POST /events: what Cloudify's workers say of an execution, and scripts that have a client of the manager's API.
type tellRequest struct {
	Execution string      `json:"execution_id"`
	Group     string      `json:"execution_group_id"`
	Manager   string      `json:"manager_name"`
	Agent     string      `json:"agent_name"`
	Events    []toldEvent `json:"events"`
	Logs      []toldEvent `json:"logs"`
}

// toldEvent is one event, or one line of a log.
type toldEvent struct {
	Type    string      `json:"event_type"`
	Level   string      `json:"level"`
	Message toldMessage `json:"message"`
	Context struct {
		Execution string `json:"execution_id"`
		Operation string `json:"operation"`
		Node      string `json:"node_id"` // of an instance
	} `json:"context"`
}

// toldMessage is a text, or {"text": …}.
type toldMessage string

// UnmarshalJSON reads both forms.
func (m *toldMessage) UnmarshalJSON(b []byte) error {
	var wrapped struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(b, (*string)(m)); err == nil {
		return nil
	}
	err := json.Unmarshal(b, &wrapped)
	*m = toldMessage(wrapped.Text)
	return err
}

const (
	maxTold        = 1000     // events of one request
	maxToldMessage = 64 << 10 // bytes of one message
	// toldMark begins the key of an event that a client has told; its type follows.
	toldMark = "told "
)

// tell is POST /events.
func (s *Server) tell(q *request) (any, error) {
	ctx := q.Request().Context()
	var b tellRequest
	if err := q.body(&b); err != nil {
		return nil, err
	}
	all := append(b.Events, b.Logs...)
	if len(all) == 0 {
		return nothing()
	}
	if len(all) > maxTold {
		return nil, badParameters("Up to %d events and logs are taken at once, not %d", maxTold, len(all))
	}
	id := b.Execution
	for _, e := range all {
		switch {
		case id == "":
			id = e.Context.Execution
		case e.Context.Execution != "" && e.Context.Execution != id:
			return nil, badParameters("All events must be of one execution: %s and %s", id, e.Context.Execution)
		case len(e.Message) > maxToldMessage:
			return nil, badParameters("A message has %d bytes; up to %d are taken", len(e.Message), maxToldMessage)
		}
	}
	if id == "" {
		return nil, badParameters("Missing execution_id in json request body")
	}
	doc, _, err := s.findExecution(ctx, q, id)
	if err != nil {
		return nil, err
	}
	if doc.Deployment == nil || *doc.Deployment == "" {
		return nil, refused("illegal_action_error", "Execution %s is of no deployment: it has no log", id)
	}
	place, err := s.placeOf(q, *doc.Deployment)
	if err != nil {
		return nil, err
	}
	task, _ := taskID(id)
	var events []event.Event
	for i, t := range all {
		e := event.Event{Time: s.opts.now(), Type: event.Log, Deployment: *doc.Deployment, Task: task, Workflow: doc.Workflow, Level: toldLevel(t.Level),
			Message: strings.ToValidUTF8(string(t.Message), string(utf8.RuneError))}
		if i < len(b.Events) {
			e.Key = toldMark + cmpOr(t.Type, "workflow_event")
		}
		if in, ok := place(t.Context.Node); ok {
			e.Node, e.Instance = in.Node, in.Index
			if n := strings.LastIndexByte(t.Context.Operation, '.'); n > 0 {
				e.Interface, e.Operation = topology.InterfaceName(t.Context.Operation[:n]), t.Context.Operation[n+1:]
			}
		}
		events = append(events, e)
	}
	if err := s.opts.Engine.Announce(ctx, *doc.Deployment, events...); err != nil {
		return nil, err
	}
	return created(map[string]any{})
}

// placeOf finds the instance of an id in a deployment.
func (s *Server) placeOf(q *request, deployment string) (func(id string) (topology.Instance, bool), error) {
	_, m, err := s.model(q.Request().Context(), deployment)
	if err != nil {
		return nil, err
	}
	l := &launch{startRequest: startRequest{Deployment: deployment}, model: m}
	return l.instance, nil
}

func toldLevel(s string) event.Level {
	switch strings.ToLower(s) {
	case "debug":
		return event.Debug
	case "warning", "warn":
		return event.Warn
	case "error", "critical", "fatal":
		return event.Error
	}
	return event.Info
}
