package cloudify

import (
	"slices"
	"time"
)

// clearedRecord are events that a client has deleted: what a query meant when it was asked. The event log is that of every endpoint and has a
// retention of its own, so they are hidden here and stay there.
type clearedRecord struct {
	Of     map[string][]string `json:"of,omitempty"`
	From   time.Time           `json:"from,omitzero"`
	To     time.Time           `json:"to,omitzero"`
	Events bool                `json:"events,omitempty"`
	Logs   bool                `json:"logs,omitempty"`
	At     time.Time           `json:"at"`
}

func (c *clearedRecord) hides(d *eventDocument) bool {
	e := eventQuery{of: c.Of, from: c.From, to: c.To, events: c.Events, logs: c.Logs}
	return !d.at.After(c.At) && e.accepts(d)
}

// covers reports whether everything that another one hides is hidden by this one.
func (c *clearedRecord) covers(o clearedRecord) bool {
	return len(c.Of) == 0 && c.From.IsZero() && c.To.IsZero() && (c.Events || !o.Events) && (c.Logs || !o.Logs) && !o.At.After(c.At)
}

// maxCleared bounds how many deletions of one deployment's events are kept apart.
const maxCleared = 100

// clearEvents is DELETE /events: the deployment and the types must be named. It answers with how many there were.
func (s *Server) clearEvents(q *request) (any, error) {
	ctx := q.Request().Context()
	e, err := q.eventQuery()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"deployment_id", "type"} {
		if len(e.of[name]) == 0 {
			return nil, badParameters("Filter by %s is expected", name)
		}
	}
	if len(e.of["deployment_id"]) > 1 {
		return nil, badParameters("Events of one deployment are deleted at a time")
	}
	id := e.of["deployment_id"][0]
	d, err := s.record(ctx, id)
	if err != nil {
		return nil, err
	}
	docs, err := s.eventsOf(ctx, q, &e, []deploymentRecord{d})
	if err != nil {
		return nil, err
	}
	c := clearedRecord{From: e.from, To: e.to, Events: e.events, Logs: e.logs, At: s.opts.now()}
	for key, vals := range e.of {
		if key == "deployment_id" || key == "type" {
			continue
		}
		if c.Of == nil {
			c.Of = map[string][]string{}
		}
		c.Of[key] = vals
	}
	if len(docs) > 0 {
		_, err = s.changeDeploymentNamed(ctx, q, id, func(r *deploymentRecord) error {
			r.Cleared = append(slices.DeleteFunc(r.Cleared, func(o clearedRecord) bool { return c.covers(o) }), c)
			if len(r.Cleared) > maxCleared {
				return conflict("The events of deployment %s were deleted in %d portions already; delete all of them", id, maxCleared)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return page{Items: []int{len(docs)}, Metadata: metadata{Pagination: pagination{1, defaultSize, 0}}}, nil
}
