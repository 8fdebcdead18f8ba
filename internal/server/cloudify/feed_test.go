package cloudify

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// busy is an engine that has a new event each time that it is asked, for a while.
type busy struct {
	Engine
	asked int
	only  string // deployment that the events are of
}

func (b *busy) LastIndex(context.Context) (uint64, error) { return uint64(b.asked) + 1, nil }

func (b *busy) Page(_ context.Context, f orch.Filter, _ int, _ time.Duration) (orch.EventPage, error) {
	if b.asked++; b.asked > 50 {
		return orch.EventPage{}, fmt.Errorf("asked without end")
	}
	return orch.EventPage{Events: []event.Event{{Type: event.Log, Deployment: b.only, Index: f.After + 1, Seq: f.After + 1, Time: time.Now()}}, Last: f.After + 1}, nil
}

// A deployment that always says something more does not keep who asks.
func TestFeedsEnd(t *testing.T) {
	t.Parallel()
	f := newFeeds(&busy{only: "d"})
	if docs, err := f.of(t.Context(), "d"); err != nil || len(docs) == 0 {
		t.Errorf("%v, %v", docs, err)
	}
	if names, err := f.since(t.Context(), time.Now().Add(-time.Hour)); err != nil || !names["d"] {
		t.Errorf("%v, %v", names, err)
	}
}

// What a deployment says is found, however much others have said before it, and whatever of that is gone.
func TestEventsAmongOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.upload("shop", "blueprint.yaml", tarball(t, "blueprint", shop), nil)
	for _, d := range []string{"a", "d"} {
		s.call(201, "PUT", v31+"/deployments/"+d, object{"blueprint_id": "shop"})
	}
	said := func(deployment, text string) {
		t.Helper()
		if err := s.endpoint.opts.Engine.Announce(t.Context(), deployment, event.Event{Time: time.Now(), Type: event.Log, Message: text}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.endpoint.opts.Engine.LastIndex(t.Context()); err != nil { // somebody follows
			t.Fatal(err)
		}
	}
	if n := len(items(s.get("/events?deployment_id=d"))); n != 2 {
		t.Fatalf("%d events of a created deployment", n)
	}
	from := time.Now().Add(-time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
	for range 650 {
		said("a", "x")
	}
	said("d", "here")
	if got := items(s.get("/events?deployment_id=d&message=here")); len(got) != 1 {
		t.Errorf("behind others: %v", got)
	}
	s.call(204, "DELETE", v31+"/deployments/a", nil)
	s.Restart()
	if got := items(s.get("/events?message=here&_range=@timestamp," + from + ",")); len(got) != 1 {
		t.Errorf("behind what is deleted: %v", got)
	}
}
