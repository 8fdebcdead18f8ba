package engine_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

func slow(takes time.Duration) func(context.Context, *driver.Request, int) (driver.Result, error) {
	return func(context.Context, *driver.Request, int) (driver.Result, error) {
		time.Sleep(takes)
		return driver.Result{}, nil
	}
}

// Tasks of one deployment run at once under its lease; on one host their operations take turns, elsewhere they do not.
func TestTasksTakeTurnsOnAHost(t *testing.T) {
	for _, hosted := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			top := chain("vm", "a", "b")
			top.NodeNamed("vm").Type, top.NodeNamed("vm").Interfaces = topology.Type{"tosca.nodes.Compute"}, nil
			for _, name := range []string{"a", "b"} {
				top.NodeNamed(name).Relationships = nil
				if hosted {
					top.NodeNamed(name).Relationships = []*topology.Relationship{{Name: "host", Type: topology.Type{"tosca.relationships.HostedOn"}, Source: name, Target: "vm"}}
				}
			}
			top.Reindex()
			b := newBench(t, top)
			b.opts.Hosts = func(context.Context, string, *topology.Topology, topology.Instance, topology.Env) (*driver.Host, error) {
				return &driver.Host{Addresses: []string{"10.0.0.1"}}, nil
			}
			b.plan(plan.Input{})
			b.run(nil)
			for _, name := range []string{"a", "b"} {
				b.d.do[name+"[0].create"] = slow(time.Minute)
			}
			b.d.most = 0
			e := engine.New(b.opts)
			lease, err := b.store.Lease(t.Context(), "d", state.LeaseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var both sync.WaitGroup
			for _, name := range []string{"a", "b"} {
				b.plan(plan.Input{Workflow: plan.Operation, Operate: &plan.Operate{Node: name, Operation: "create"}})
				job := b.job
				job.Task = "operate-" + name
				both.Go(func() {
					if out, err := e.Run(t.Context(), lease, job, nil); err != nil || out.Status != engine.Done {
						t.Errorf("%+v, %v", out, err)
					}
				})
			}
			both.Wait()
			if err := lease.Release(t.Context()); err != nil {
				t.Error(err)
			}
			want, most := time.Minute, 2
			if hosted {
				want, most = 2*time.Minute, 1
			}
			if took := time.Since(began).Round(time.Second); took != want || b.d.most != most {
				t.Errorf("hosted %v: took %s with %d at once, want %s with %d", hosted, took, b.d.most, want, most)
			}
		})
	}
}

func TestAHaltedTaskLeavesTheRestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b", "x", "y")
		top.NodeNamed("x").Relationships = nil
		b := newBench(t, top)
		fail := true
		b.d.do["a[0].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			if fail {
				return driver.Result{}, errors.New("boom")
			}
			return driver.Result{}, nil
		}
		b.d.do["x[0].create"] = slow(time.Minute)
		b.plan(plan.Input{})
		b.job.Halt = true
		out := b.run(nil)
		if want := (engine.Progress{Total: 4, Done: 1, Failed: 1, Skipped: 1}); out.Status != engine.Failed || !out.Halted || out.Progress != want {
			t.Errorf("%+v", out)
		}
		if b.d.calls["y[0].create"] != 0 || b.d.calls["x[0].create"] != 1 {
			t.Errorf("calls %v", b.d.calls)
		}
		fail = false
		b.job.Again = true
		if out = b.run(nil); out.Status != engine.Done || out.Halted || b.d.calls["x[0].create"] != 1 || b.d.calls["y[0].create"] != 1 {
			t.Errorf("resumed: %+v, calls %v", out, b.d.calls)
		}
	})
}

// A process that dies between a failure and what its policy says of it leaves the decision to the next one: that finishes what was being done,
// under its old operation id, begins nothing, and ends the task as failed with the cause that was known.
func TestADecisionToHaltOutlivesItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b", "x", "y", "z")
		top.NodeNamed("x").Relationships, top.NodeNamed("z").Relationships = nil, nil
		b := newBench(t, top)
		dead, die := context.WithCancel(t.Context())
		b.d.do["a[0].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			return driver.Result{}, &driver.Error{Op: "create", ExitCode: 7, Stderr: []string{"no space on the moon"}, Err: errors.New("boom")}
		}
		b.d.do["x[0].create"] = func(ctx context.Context, _ *driver.Request, n int) (driver.Result, error) {
			if n > 1 {
				return driver.Result{}, nil
			}
			go func() {
				time.Sleep(time.Minute) // the failure is stored by then
				die()
			}()
			<-ctx.Done()
			return driver.Result{}, context.Cause(ctx)
		}
		b.plan(plan.Input{})
		b.job.Halt, b.job.Parallel = true, 2
		lease, err := b.store.Lease(t.Context(), "d", state.LeaseOptions{Owner: "test", Host: "here"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.New(b.opts).Run(dead, lease, b.job, nil); err == nil {
			t.Fatal("the first process has ended the task")
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one may die before it has told of the end, too
			out := b.run(nil)
			if out.Status != engine.Failed || !out.Halted || out.Failure == nil || out.Failure.Step != "a[0].create" || out.Failure.ExitCode != 7 || len(out.Failure.Stderr) != 1 {
				t.Errorf("%+v %+v", out, out.Failure)
			}
			if b.d.calls["a[0].create"] != 1 || b.d.calls["b[0].create"]+b.d.calls["y[0].create"]+b.d.calls["z[0].create"] != 0 || b.d.calls["x[0].create"] != 2 {
				t.Errorf("calls %v", b.d.calls)
			}
		}
		if ids := b.d.opIDs["x[0].create"]; ids[0] != ids[1] {
			t.Errorf("x was done as another operation: %v", ids)
		}
		// Somebody resumes it: everything is tried again, and a failure halts it once more.
		b.job.Again = true
		if out := b.run(nil); out.Status != engine.Failed || b.d.calls["a[0].create"] != 2 {
			t.Errorf("resumed: %+v, calls %v", out, b.d.calls)
		}
		delete(b.d.do, "a[0].create")
		if out := b.run(nil); out.Status != engine.Done || out.Halted || b.d.calls["z[0].create"] != 1 {
			t.Errorf("resumed again: %+v, calls %v", out, b.d.calls)
		}
		b.job.Again = false
		if out := b.run(nil); out.Status != engine.Done {
			t.Errorf("the decision was not taken back: %+v", out)
		}
	})
}

func TestACancellationOfAHaltedTaskCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "x", "y")
		top.NodeNamed("x").Relationships = nil
		b := newBench(t, top)
		b.d.do["a[0].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			return driver.Result{}, errors.New("boom")
		}
		b.d.do["x[0].create"] = slow(time.Minute)
		b.plan(plan.Input{})
		b.job.Halt = true
		commands := make(chan engine.Command, 1)
		go func() {
			time.Sleep(time.Second)
			commands <- engine.CommandCancel
		}()
		if out := b.run(commands); out.Status != engine.Cancelled || out.Halted || b.d.calls["y[0].create"] != 0 {
			t.Errorf("%+v", out)
		}
	})
}

func TestHealthGateIsPatient(t *testing.T) {
	for _, well := range []time.Duration{0, 30 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			old, top := chain("a"), chain("a")
			create(old, "a").Inputs.Set("PORT", topology.Lit(int64(80)))
			create(top, "a").Inputs.Set("PORT", topology.Lit(int64(8080)))
			b := newBench(t, old)
			b.plan(plan.Input{})
			b.run(nil)
			began := time.Now()
			b.opts.Health = func(_ context.Context, c engine.HealthCheck) error {
				if c.Probe != "tcp:1" || c.Instance.String() != "a[0]" {
					t.Errorf("asked for %+v", c)
				}
				if time.Since(began) < well {
					return errors.New("connection refused")
				}
				return nil
			}
			b.top = top
			b.plan(plan.Input{Previous: old, Gates: []plan.Gate{{Probe: "tcp:1"}}, GateTimeout: time.Minute})
			b.job.Task = "update"
			out := b.run(nil)
			took := time.Since(began)
			if well < time.Minute {
				if out.Status != engine.Done || took < well || took > well+3*time.Second {
					t.Errorf("well after %s: %+v after %s", well, out, took)
				}
				return
			}
			if f := out.Failure; out.Status != engine.Failed || f.Step != "a[0].health tcp:1" || !strings.Contains(f.Message, "a[0] is not healthy after 1m0s (tcp:1): connection refused") ||
				took > time.Minute {
				t.Errorf("never well: %+v %+v after %s", out, f, took)
			}
		})
	}
}
