package orch_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
)

// Steps are fixed first and the task resumed afterwards: a settled step is not run, a reopened one is run again.
func TestFixStepsThenResume(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	f.world.setFail("web[0].start", errors.New("boom"))
	task := f.apply(t, orch.Request{Source: bundle("hello")})
	if task.Status != "failed" {
		t.Fatalf("task %+v", task)
	}
	f.world.forget()
	for step, verb := range map[string]string{"web[0].start": "settle", "web[0].create": "reopen"} {
		if err := f.Control(ctx, orch.Control{Deployment: "demo", Task: task.ID, Verb: verb, Step: step}); err != nil {
			t.Fatal(err)
		}
	}
	steps, err := f.Steps(ctx, "demo", task.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range steps {
		got[s.ID] = s.Status
	}
	if got["web[0].start"] != "done" || got["web[0].create"] != "pending" || got["vm[0].create"] != "done" {
		t.Errorf("steps %v", got)
	}
	if log := f.world.done(); len(log) > 0 {
		t.Errorf("fixing has run %v", log)
	}
	if err := f.Control(ctx, orch.Control{Deployment: "demo", Task: task.ID, Verb: "resume"}); err != nil {
		t.Fatal(err)
	}
	if task, err = f.Wait(ctx, "demo", task.ID); err != nil || task.Status != "done" {
		t.Errorf("task %+v, %v", task, err)
	}
	if log := f.world.done(); !slices.Equal(log, []string{"web[0].create"}) {
		t.Errorf("resuming has run %v", log)
	}
	if again := f.apply(t, orch.Request{Source: bundle("hello")}); again.Status != "done" || slices.Contains(f.world.done(), "web[0].start") {
		t.Errorf("what was settled is done by the next deployment: %+v, %v", again, f.world.done())
	}
	if err := f.Control(ctx, orch.Control{Deployment: "demo", Task: task.ID, Verb: "settle", Step: "none"}); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("unknown step: %v", err)
	}
}

func TestScaling(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	if _, err := f.Scaling(t.Context(), "demo", "nobody"); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("unknown node: %v", err)
	}
	var known *orch.Error
	if _, err := f.Scaling(t.Context(), "demo", "web"); !errors.As(err, &known) || known.Kind != orch.KindUser {
		t.Errorf("a node that cannot be scaled: %v", err)
	}
}

// A failed step may be named by its instance; what is no step is answered with those that have failed.
func TestAStepIsNamedByItsInstance(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.world.setFail("web[0].create", &driver.Error{Op: "run create.sh", ExitCode: 3})
	f.apply(t, orch.Request{Source: bundle("hello")})
	var wrong *orch.Error
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "retry", Step: "web[0].crate"}); !errors.As(err, &wrong) || !strings.Contains(wrong.Hint, "web[0].create") {
		t.Errorf("a wrong name: %v", err)
	}
	f.world.setFail("web[0].create", nil)
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "retry", Step: "web[0]"}); err != nil {
		t.Fatal(err)
	}
	tasks, err := f.Tasks(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	if done, err := f.Wait(t.Context(), "demo", tasks[0].ID); err != nil || done.Status != "done" {
		t.Errorf("%+v, %v", done, err)
	}
}
