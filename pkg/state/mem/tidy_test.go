package mem_test

import (
	"fmt"
	"testing"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
)

// A tail that is half full is sealed when somebody has time: what is appended afterwards need not do it, and every event is still there, once.
func TestTidy(t *testing.T) {
	s := mem.New(mem.Options{})
	defer s.Close()
	l := state.NewEventLog(s)
	parts := func(kind string) (n int) {
		err := s.View(t.Context(), func(tx state.Tx) error {
			for _, err := range tx.Keys(state.Prefix("events", "d", kind)) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	sealed := 0
	for i := range 200 {
		if _, err := l.Append(t.Context(), "d", event.Event{Type: event.Log, Message: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		before := parts("t")
		if err := l.Tidy(t.Context(), "d"); err != nil {
			t.Fatal(err)
		}
		switch after := parts("t"); {
		case before < 32 && after != before, before >= 32 && after != 0:
			t.Fatalf("after %d events a tail of %d parts became one of %d", i+1, before, after)
		case before >= 32:
			sealed++
		}
	}
	if sealed != 6 || parts("c") != sealed {
		t.Errorf("%d chunks, sealed %d times", parts("c"), sealed)
	}
	page, err := l.Read(t.Context(), state.EventFilter{Deployment: "d"}, 0, 1000)
	if err != nil || len(page.Events) != 200 {
		t.Fatalf("%d events, %v", len(page.Events), err)
	}
	for i, e := range page.Events {
		if e.Seq != uint64(i+1) || e.Message != fmt.Sprint(i) {
			t.Fatalf("event %d is %d %q", i, e.Seq, e.Message)
		}
	}
}
