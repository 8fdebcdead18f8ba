package orch

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
)

// Wait is a time that a step spent waiting for something else than its own work: a place on a host, SSH on a new server, another attempt.
type Wait struct {
	For   string    `json:"for"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // zero: it still waits
}

const (
	// waitsRead bounds the events that are looked at for waits, from the newest.
	waitsRead = 20_000
	// waitsKept of one step, the latest.
	waitsKept = 20
)

// counting is at the end of messages that repeat while the wait goes on: "…: still creating, 10 s".
var counting = regexp.MustCompile(`,? \(?[0-9]+ ?s\)?$`)

// reason is what a message says is waited for.
func reason(message string) string {
	return counting.ReplaceAllString(strings.TrimPrefix(message, "waiting for "), "")
}

// addWaits reads from the events what steps have waited for, and what those that work wait for now. The journal does not say: waits change
// nothing that a resumed task would have to know.
func (l *Local) addWaits(ctx context.Context, t engine.Task, steps []StepStatus, at map[string]int) error {
	last, err := l.events.Last(ctx, t.Deployment)
	if err != nil {
		return storeError(err)
	}
	filter := state.EventFilter{Deployment: t.Deployment, Task: t.ID, Types: []event.Type{event.Waiting, event.StepStatus, event.Resource}}
	for after, more := last-min(last, waitsRead), true; more; {
		page, err := l.events.Read(ctx, filter, after, 0)
		if err != nil {
			return storeError(err)
		}
		for _, e := range page.Events {
			if e.Type == event.Resource { // one that several share is no step's
				for i := range steps {
					steps[i].resource(e)
				}
			} else if i, ok := at[e.Step]; ok {
				steps[i].wait(e)
			}
		}
		after, more = page.Last, page.More
	}
	for i := range steps {
		steps[i].settle(t.Status.Ended(), t.Ended)
	}
	return nil
}

// wait takes in an event of the step.
func (s *StepStatus) wait(e event.Event) {
	open := len(s.Waits) > 0 && s.Waits[len(s.Waits)-1].Until.IsZero()
	what := reason(e.Message)
	if e.Type == event.Waiting && open && s.Waits[len(s.Waits)-1].For == what {
		return
	}
	if open {
		s.Waits[len(s.Waits)-1].Until = e.Time
	}
	if e.Type == event.Waiting && e.Status != event.Over {
		s.Waits = append(s.Waits, Wait{For: what, Since: e.Time})
		s.Waits = s.Waits[max(0, len(s.Waits)-waitsKept):]
	}
}

// resource ends the wait for a resource that is made, changed or removed, or has failed: the step may go on to wait for others of which nothing is
// said yet.
func (s *StepStatus) resource(e event.Event) {
	if len(s.Waits) == 0 || strings.HasSuffix(e.Status, "ing") {
		return
	}
	if last := &s.Waits[len(s.Waits)-1]; last.Until.IsZero() && strings.HasPrefix(last.For, e.Key+": ") {
		last.Until = e.Time
	}
}

// settle ends the waits of what has ended, and shows those that go on.
func (s *StepStatus) settle(over bool, end time.Time) {
	if len(s.Waits) == 0 {
		return
	}
	last := &s.Waits[len(s.Waits)-1]
	switch {
	case !last.Until.IsZero():
	case engine.Status(s.Status).Ended() && !s.Ended.IsZero():
		last.Until = s.Ended
	case over:
		last.Until = end
	case s.Status == string(engine.Doing) || s.Waiting == freePlace:
		s.Waiting, s.Since = last.For, last.Since
	}
}
