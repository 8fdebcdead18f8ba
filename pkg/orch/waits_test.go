package orch

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/event"
)

func TestWaitsOfAStep(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_000_000+int64(s), 0).UTC() }
	say := func(s int, text string) event.Event {
		return event.Event{Type: event.Waiting, Time: at(s), Message: text}
	}
	became := func(s int) event.Event { return event.Event{Type: event.StepStatus, Time: at(s)} }
	goes := func(s int) event.Event {
		return event.Event{Type: event.Waiting, Time: at(s), Status: event.Over, Message: "the host is ready"}
	}
	events := []event.Event{
		say(0, "waiting for a free place: host vm[0] is busy"), became(3),
		say(5, "vm.server: still creating, 10 s"), say(15, "vm.server: still creating, 20 s"), say(20, "waiting for SSH (connection refused)"),
	}
	for name, x := range map[string]struct {
		step        StepStatus
		over        bool
		waiting     string
		since, last time.Time
	}{
		"works": {StepStatus{Status: "doing"}, false, "SSH (connection refused)", at(20), time.Time{}},
		"ended": {StepStatus{Status: "done", Ended: at(30)}, true, "", time.Time{}, at(30)},
		"cut":   {StepStatus{Status: "doing"}, true, "", time.Time{}, at(40)},
		"needs": {StepStatus{Status: "pending", Waiting: "db[0].start", Since: at(1)}, false, "db[0].start", at(1), time.Time{}},
		"ready": {StepStatus{Status: "pending", Waiting: freePlace, Since: at(1)}, false, "SSH (connection refused)", at(20), time.Time{}},
	} {
		s := x.step
		for _, e := range events {
			s.wait(e)
		}
		s.settle(x.over, at(40))
		want := []Wait{{"a free place: host vm[0] is busy", at(0), at(3)}, {"vm.server: still creating", at(5), at(20)}, {"SSH (connection refused)", at(20), x.last}}
		if diff := cmp.Diff(want, s.Waits); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if s.Waiting != x.waiting || !s.Since.Equal(x.since) {
			t.Errorf("%s: waits for %q since %v", name, s.Waiting, s.Since)
		}
	}
	var s StepStatus
	for _, e := range []event.Event{goes(1), say(2, "waiting for SSH"), goes(4), goes(5)} {
		s.wait(e)
	}
	s.Status = "doing"
	s.settle(false, at(9))
	if diff := cmp.Diff([]Wait{{"SSH", at(2), at(4)}}, s.Waits[len(s.Waits)-1:]); diff != "" || s.Waiting != "" {
		t.Errorf("waits for %q: %s", s.Waiting, diff)
	}
}

// A step that makes several resources waits no longer for one that is there.
func TestAWaitEndsWithItsResource(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_000_000+int64(s), 0).UTC() }
	s := StepStatus{Status: "doing"}
	s.wait(event.Event{Type: event.Waiting, Time: at(10), Message: "cinder.volume: still creating, 10 s"})
	for _, e := range []event.Event{{Key: "cinder.volume_2", Status: "created"}, {Key: "cinder.volume", Status: "creating"}} {
		e.Type, e.Time = event.Resource, at(12)
		s.resource(e)
	}
	if !s.Waits[0].Until.IsZero() {
		t.Errorf("it ended with another's: %+v", s.Waits)
	}
	s.resource(event.Event{Type: event.Resource, Time: at(15), Key: "cinder.volume", Status: "created"})
	if s.settle(false, time.Time{}); s.Waiting != "" || !s.Waits[0].Until.Equal(at(15)) {
		t.Errorf("it waits for %q: %+v", s.Waiting, s.Waits)
	}
	s.wait(event.Event{Type: event.Waiting, Time: at(20), Message: "cinder.volume: still updating, 10 s"})
	if s.settle(false, time.Time{}); s.Waiting != "cinder.volume: still updating" {
		t.Errorf("it waits for %q", s.Waiting)
	}
}
