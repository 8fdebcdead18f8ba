package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

var errBroken = &driver.Error{Op: "create the server", ExitCode: -1, Retryable: true, Detail: "No valid host was found", Console: []string{"kernel panic"}}

// A failure of an attempt before the last one is not lost: when the last one succeeds it was handled, when it fails the cause tells of both.
func TestFailuresOfEarlierAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, last := range []error{nil, &driver.Error{Op: "create the server", ExitCode: -1, Final: true, Err: errors.New("the port is in use")}} {
			b := newBench(t, chain("a"))
			b.opts.Retry = engine.Retry{Base: time.Second, Cap: time.Second}
			b.d.do["a[0].create"] = func(_ context.Context, _ *driver.Request, n int) (driver.Result, error) {
				if n == 1 {
					return driver.Result{}, errBroken
				}
				return driver.Result{}, last
			}
			b.plan(plan.Input{})
			out := b.run(nil)
			if last == nil {
				if h := out.Handled; out.Status != engine.Done || len(h) != 1 || h[0].How != "attempt 2 has succeeded" || h[0].Failure.Detail != errBroken.Detail ||
					!slices.Equal(h[0].Failure.Console, errBroken.Console) {
					t.Errorf("handled %+v", out)
				}
				continue
			}
			f := out.Failure
			if f == nil || !strings.Contains(f.Message, "the port is in use") || !slices.Equal(f.Console, errBroken.Console) ||
				!strings.Contains(f.Detail, "attempt 1 had failed of: create the server: No valid host was found") || f.Attempts != 2 || len(out.Handled) > 0 {
				t.Errorf("failure %+v", f)
			}
		}
	})
}

// What an on_failure step has mended was handled, and it is told by which.
func TestFailureThatAnAlternativeMends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a")
		std := top.NodeNamed("a").Interfaces[0]
		for _, op := range []string{"check", "repair"} {
			std.Operations = append(std.Operations, &topology.Operation{Interface: "Standard", Name: op, Retries: -1, Implementation: &topology.Artifact{File: op}})
		}
		step := func(name string, bad ...string) *topology.WorkflowStep {
			return &topology.WorkflowStep{Name: name, Target: "a", OnFailure: bad,
				Activities: []topology.Activity{{Kind: topology.ActivityCall, Interface: "Standard", Name: name}}}
		}
		top.Workflows["w"] = &topology.Workflow{Name: "w", Steps: []*topology.WorkflowStep{step("check", "repair"), step("repair")}}
		b := newBench(t, top)
		b.plan(plan.Input{})
		b.run(nil)
		b.d.do["a[0].check"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			return driver.Result{}, &driver.Error{Op: "run check.sh", ExitCode: 4, Stderr: []string{"not well"}}
		}
		b.plan(plan.Input{Workflow: "w"})
		b.job.Task = "w"
		out := b.run(nil)
		if h := out.Handled; out.Status != engine.Done || len(h) != 1 || h[0].Failure.ExitCode != 4 || h[0].How != "on_failure has led to other steps: repair is done" {
			t.Errorf("%+v", out)
		}
	})
}

// A failed task that is resumed keeps what it had failed of, unless it fails of that again.
func TestFailuresBeforeAResumption(t *testing.T) {
	first := engine.Failure{Step: "a[0].create", Message: "no space", Others: []engine.Failure{{Step: "b[0].create", Message: "no net"}}}
	before := engine.Resumed(engine.Task{Failure: &first}, map[string]bool{"b[0].create": true})
	if len(before) != 2 || before[0].How != "the task was resumed" || len(before[0].Failure.Others) > 0 || before[1].How != "the step was skipped" {
		t.Fatalf("%+v", before)
	}
	if got := (&engine.Outcome{}).HandledBy(before); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	if got := (&engine.Outcome{Failure: &engine.Failure{Step: "a[0].create"}}).HandledBy(before); len(got) != 1 || got[0].Failure.Step != "b[0].create" {
		t.Errorf("%+v", got)
	}
}
