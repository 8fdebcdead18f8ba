package orch_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// The index goes on over deployments, and status events say what they are about.
func TestFeed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello"), New: true})
	first, err := f.LastIndex(ctx)
	if err != nil || first == 0 {
		t.Fatalf("index %d, %v", first, err)
	}
	f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("bye")})
	f.apply(t, orch.Request{Verb: orch.Deploy, Scale: map[string]int{"vm": 2}})
	d, err := f.Deployment(ctx, "demo")
	if err != nil || d.Doing != "scale" || d.Instances != 4 {
		t.Errorf("deployment %+v, %v", d, err)
	}
	f.apply(t, orch.Request{Verb: orch.Undeploy})
	page, err := f.Page(ctx, orch.Filter{Types: []event.Type{event.DeploymentStatus}}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Events {
		if s := e.Key + " " + e.Status; !slices.Contains(got, s) {
			got = append(got, s)
		}
	}
	want := []string{"deploy deploying", "deploy deployed", "update updating", "update deployed", "scale updating", "scale deployed",
		"undeploy undeploying", "undeploy undeployed"}
	if !slices.Equal(got, want) {
		t.Errorf("statuses %q, want %q", got, want)
	}
	rest, err := f.Page(ctx, orch.Filter{Deployment: "demo", After: first}, 0, 0)
	if err != nil || len(rest.Events) == 0 || rest.Events[0].Index != first+1 || rest.Last != page.Last {
		t.Errorf("page %+v, %v", rest, err)
	}
	if _, err := f.Page(ctx, orch.Filter{Deployment: "none"}, 0, 0); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("unknown deployment: %v", err)
	}
	if err := f.Announce(ctx, "demo", event.Event{Type: event.DeploymentStatus, Status: "failed", Key: "purge"}); err != nil {
		t.Error(err)
	}
	if last, _ := f.LastIndex(ctx); last != page.Last+1 {
		t.Errorf("the announcement has index %d, want %d", last, page.Last+1)
	}
}

func TestNewRefusesWhatExists(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(t, orch.Request{Source: bundle("hello"), New: true})
	_, err := f.Apply(t.Context(), orch.Request{Verb: orch.Deploy, Deployment: "demo", Source: bundle("hello"), New: true})
	var known *orch.Error
	if !errors.As(err, &known) || known.Kind != orch.KindConflict {
		t.Errorf("a second new deployment: %v", err)
	}
}
