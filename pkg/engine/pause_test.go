package engine_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// waitFor waits for a host that gets ready after a time, as a driver does before it begins anything.
func waitFor(ctx context.Context, d time.Duration) error {
	wait, end := driver.Pause(ctx)
	select {
	case <-wait.Done():
		return end(context.Cause(wait))
	case <-time.After(d):
		return end(nil)
	}
}

// The first stage of a cancellation ends a mere wait at once. Resumed, the operation is a new one and goes on; what runs is waited for as ever.
func TestCancelEndsWhatWasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b", "c")
		top.NodeNamed("b").Relationships = nil
		b := newBench(t, top)
		b.d.do["a[0].create"] = func(ctx context.Context, _ *driver.Request, n int) (driver.Result, error) {
			return driver.Result{}, waitFor(ctx, time.Hour)
		}
		b.d.do["b[0].create"] = func(ctx context.Context, _ *driver.Request, n int) (driver.Result, error) {
			if err := waitFor(ctx, time.Second); err != nil {
				return driver.Result{}, err
			}
			time.Sleep(time.Minute) // the script itself
			return driver.Result{}, nil
		}
		b.plan(plan.Input{})
		for try := range 2 { // the second time it waits again, and is given up again
			commands := make(chan engine.Command, 1)
			began := time.Now()
			time.AfterFunc(10*time.Second, func() { commands <- engine.CommandCancel })
			out := b.run(commands)
			took, want := time.Since(began), time.Minute+time.Second
			if try > 0 {
				want = 10 * time.Second
			}
			if out.Status != engine.Cancelled || len(out.Detached) > 0 || out.Failure != nil || took != want {
				t.Errorf("after %s: %+v", took, out)
			}
		}
		b.d.do["a[0].create"] = nil
		if out := b.run(nil); out.Status != engine.Done || b.d.calls["b[0].create"] != 1 || b.d.calls["c[0].create"] != 1 {
			t.Errorf("resumed: %+v, calls %v", out, b.d.calls)
		}
		ids := b.d.opIDs["a[0].create"]
		if slices.Sort(ids); len(slices.Compact(ids)) != 3 {
			t.Errorf("operation ids %v", ids)
		}
	})
}

// An operation that was begun, and of which nobody knows how it has ended, is no mere wait: it is asked for under its OpID, and cancelling
// waits for the answer.
func TestCancelWaitsForWhatMayRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, chain("a"))
		b.opts.Retry = engine.Retry{Base: time.Second, Cap: time.Second}
		b.d.do["a[0].create"] = func(ctx context.Context, _ *driver.Request, n int) (driver.Result, error) {
			if n == 1 {
				return driver.Result{}, &driver.Error{Op: "run", ExitCode: -1, Retryable: true, Err: errors.New("the connection is lost")}
			}
			return driver.Result{}, waitFor(ctx, time.Minute)
		}
		b.plan(plan.Input{})
		commands := make(chan engine.Command, 1)
		time.AfterFunc(10*time.Second, func() { commands <- engine.CommandCancel })
		out := b.run(commands)
		if ids := b.d.opIDs["a[0].create"]; out.Status != engine.Done || len(slices.Compact(ids)) != 1 {
			t.Errorf("%+v, ids %v", out, ids)
		}
	})
}

// So does the wait for a health gate.
func TestCancelEndsAHealthGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a")
		b := newBench(t, top)
		well := false
		b.opts.Health = func(context.Context, engine.HealthCheck) error {
			if well {
				return nil
			}
			return errors.New("connection refused")
		}
		b.plan(plan.Input{})
		b.run(nil)
		create(top, "a").Inputs.Set("SIZE", topology.Lit("large"))
		b.plan(plan.Input{Gates: []plan.Gate{{Probe: "tcp:80"}}, GateTimeout: time.Hour})
		b.job.Task = "update"
		commands := make(chan engine.Command, 1)
		began := time.Now()
		time.AfterFunc(10*time.Second, func() { commands <- engine.CommandCancel })
		if out := b.run(commands); out.Status != engine.Cancelled || time.Since(began) != 10*time.Second {
			t.Errorf("after %s: %+v", time.Since(began), out)
		}
		well = true
		if out := b.run(nil); out.Status != engine.Done || b.d.calls["a[0].create"] != 2 {
			t.Errorf("%+v, calls %v", out, b.d.calls)
		}
	})
}

// Where a failure stops the task nothing more is waited for, either: what has not begun stays to be done.
func TestAHaltEndsWhatWasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b")
		top.NodeNamed("b").Relationships = nil
		b := newBench(t, top)
		b.d.do["a[0].create"] = func(ctx context.Context, _ *driver.Request, n int) (driver.Result, error) {
			return driver.Result{}, waitFor(ctx, time.Hour)
		}
		b.d.do["b[0].create"] = func(ctx context.Context, _ *driver.Request, n int) (driver.Result, error) {
			if n > 1 {
				return driver.Result{}, nil
			}
			time.Sleep(time.Second)
			return driver.Result{}, errors.New("broken")
		}
		b.plan(plan.Input{})
		b.job.Halt = true
		began := time.Now()
		if out := b.run(nil); out.Status != engine.Failed || !out.Halted || time.Since(began) != time.Second || out.Failure.Step != "b[0].create" {
			t.Errorf("after %s: %+v", time.Since(began), out)
		}
		b.job.Again = true
		if out := b.run(nil); out.Status != engine.Done || time.Since(began) != time.Hour+time.Second {
			t.Errorf("resumed, after %s: %+v", time.Since(began), out)
		}
	})
}
