package orch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/policy"
)

// doctor says that instances are well, except for those it is told of.
type doctor struct {
	mu    sync.Mutex
	ill   map[string]bool
	asked []string
}

func (d *doctor) Probe(_ context.Context, t policy.Target, p policy.Probe) (policy.Sample, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, t.Instance.String())
	if d.ill[t.Instance.String()] {
		return policy.Sample{}, errors.New("connection refused")
	}
	return policy.Sample{}, nil
}

func TestRollingUpdateStopsAtAnUnhealthyBatch(t *testing.T) {
	t.Parallel()
	f := newNodes(t)
	d := &doctor{ill: map[string]bool{"web[1]": true}}
	f.opts.Prober = d
	f.restart(t)
	f.apply(t, orch.Request{Source: nodes("web 4 9 =one")})
	f.world.forget()
	req := orch.Request{Source: nodes("web 4 9 =two"), Batch: "25%", Health: []string{"web=tcp:8080"}, HealthTimeout: time.Millisecond}
	task := f.apply(t, req)
	if fail := task.Failure; task.Status != "failed" || fail.Step != "web[1].health tcp:8080" || !strings.Contains(fail.Message, "web[1] is not healthy after 1ms (tcp:8080): connection refused") {
		t.Fatalf("%+v %+v", task, fail)
	}
	created := func() []string {
		return slices.DeleteFunc(f.world.done(), func(s string) bool { return !strings.HasSuffix(s, ".create") })
	}
	if got := created(); !slices.Equal(got, []string{"web[0].create", "web[1].create"}) {
		t.Errorf("the rest keeps the old revision: %v", got)
	}
	if !slices.Contains(task.Failure.Skipped, "web[2].create") {
		t.Errorf("not run because of it: %v", task.Failure.Skipped)
	}
	d.mu.Lock()
	d.ill = nil
	d.mu.Unlock()
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "resume"}); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, f, task.ID); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
	if got := created(); !slices.Equal(got, []string{"web[0].create", "web[1].create", "web[2].create", "web[3].create"}) {
		t.Errorf("done %v", got)
	}
}

func TestTheChecksOfANodeAreAGate(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "web 2 9 =one")
	f.world.setFail("web[0].Custom.check", errBoom)
	task := f.apply(t, orch.Request{Source: nodes("web 2 9 =two"), Batch: "1", HealthTimeout: time.Millisecond})
	if done := f.world.done(); task.Status != "failed" || task.Failure.Step != "web[0].Custom.check" || slices.Contains(done, "web[1].create") {
		t.Errorf("%+v %+v, %v", task, task.Failure, done)
	}
	if got := f.apply(t, orch.Request{Revision: orch.Previous}); got.Status != "done" || f.world.vars["web[0].create"]["GREETING"] != "one" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
}

func TestRolloutsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "web 2 9")
	for _, req := range []orch.Request{{Batch: "0"}, {Batch: "101%"}, {Batch: "some"}, {Health: []string{"8080"}}, {Health: []string{"tcp:0"}}, {Health: []string{"ftp:21"}},
		{Health: []string{"nothing=tcp:80"}}, {Health: []string{"tcp:80/x"}}, {Health: []string{"http://x/"}}} {
		req.Deployment = "demo"
		if _, _, err := f.Plan(t.Context(), req); kindOf(err) != orch.KindUser {
			t.Errorf("%q %q: %v", req.Batch, req.Health, err)
		}
	}
	for _, good := range []string{"tcp:80", "web=tcp:80", "http:8080", "http:8080/x?y=z", "https:443/", "http://any:8080/x", "web=http:8080/a=b"} {
		if _, _, err := f.Plan(t.Context(), orch.Request{Deployment: "demo", Health: []string{good}}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}
