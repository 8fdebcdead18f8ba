package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// cancelling is a topology with a workflow: an edge "b:s" leads from a step to s if it succeeds, "f:" if it fails, "c:" if it is cancelled.
func cancelling(steps map[string][]string) *topology.Topology {
	top := chain("a")
	std := top.NodeNamed("a").Interfaces[0]
	wf := &topology.Workflow{Name: "w"}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range steps {
			if !yield(k) {
				return
			}
		}
	}) {
		std.Operations = append(std.Operations, &topology.Operation{Interface: "Standard", Name: name, Retries: -1, Implementation: &topology.Artifact{File: name}})
		st := &topology.WorkflowStep{Name: name, Target: "a", Activities: []topology.Activity{{Kind: topology.ActivityCall, Interface: "Standard", Name: name}}}
		for _, e := range steps[name] {
			switch e[0] {
			case 's':
				st.OnSuccess = append(st.OnSuccess, e[2:])
			case 'f':
				st.OnFailure = append(st.OnFailure, e[2:])
			case 'c':
				st.OnCancel = append(st.OnCancel, e[2:])
			}
		}
		wf.Steps = append(wf.Steps, st)
	}
	top.Workflows["w"] = wf
	return top
}

// What on_cancel names runs when the task is cancelled while its step runs, whether the step is waited for or killed; a step that had not
// begun has nothing to be cleaned up.
func TestOnCancelRunsWhenItsStepWasRunning(t *testing.T) {
	cases := map[string]struct {
		steps   map[string][]string
		want    []string
		failing string
	}{
		"running":                  {steps: map[string][]string{"one": {"s:two", "c:tidy"}, "two": nil, "tidy": {"s:swept"}, "swept": nil}, want: []string{"one", "tidy", "swept"}},
		"not begun":                {steps: map[string][]string{"one": {"s:two"}, "two": {"c:tidy"}, "tidy": nil}, want: []string{"one"}},
		"always":                   {steps: map[string][]string{"one": {"s:end", "f:end", "c:end"}, "end": nil}, want: []string{"one", "end"}},
		"both ways meet":           {steps: map[string][]string{"one": {"s:two", "c:tidy"}, "two": {"s:end"}, "tidy": {"s:end"}, "end": nil}, want: []string{"one", "tidy", "end"}},
		"its own way goes on":      {steps: map[string][]string{"one": {"s:end", "c:tidy"}, "end": nil, "tidy": nil}, want: []string{"one", "tidy"}},
		"a cleaning step fails":    {steps: map[string][]string{"one": {"c:tidy"}, "tidy": {"s:swept", "f:mop"}, "swept": nil, "mop": nil}, failing: "tidy", want: []string{"one", "tidy", "mop"}},
		"what was done goes on":    {steps: map[string][]string{"one": {"s:two", "c:tidy"}, "two": nil, "tidy": nil, "x": {"s:two"}}, want: []string{"one", "x", "tidy"}},
		"a failure is no occasion": {steps: map[string][]string{"one": {"f:mend", "c:tidy"}, "mend": nil, "tidy": nil}, failing: "one", want: []string{"one", "tidy"}},
	}
	for name, c := range cases {
		for _, command := range []engine.Command{engine.CommandCancel, engine.CommandForce} {
			t.Run(name+", "+string(command), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, cancelling(c.steps))
					b.plan(plan.Input{})
					b.run(nil)
					b.d.log = nil
					slow := func(ctx context.Context, _ *driver.Request, _ int) (driver.Result, error) {
						select {
						case <-ctx.Done():
							return driver.Result{}, context.Cause(ctx)
						case <-time.After(time.Hour):
							if c.failing == "one" {
								return driver.Result{}, errors.New("broken")
							}
							return driver.Result{}, nil
						}
					}
					b.d.do["a[0].one"] = slow
					quick := func(ctx context.Context, req *driver.Request, _ int) (driver.Result, error) {
						if ctx.Err() != nil || req.Step == fmt.Sprintf("a[0].%s", c.failing) {
							return driver.Result{}, cmpErr(context.Cause(ctx), errors.New("broken"))
						}
						return driver.Result{}, nil
					}
					for step := range c.steps {
						if step != "one" {
							b.d.do["a[0]."+step] = quick
						}
					}
					b.plan(plan.Input{Workflow: "w"})
					b.job.Task = "w"
					commands := make(chan engine.Command)
					go func() {
						time.Sleep(time.Minute)
						commands <- command
					}()
					out := b.run(commands)
					var want []string
					for _, s := range c.want {
						want = append(want, "a[0]."+s)
					}
					slices.Sort(want)
					if got := slices.Sorted(slices.Values(b.d.log)); out.Status != engine.Cancelled || !slices.Equal(got, want) {
						t.Errorf("%+v; done %v, want %v", out, got, want)
					}
				})
			})
		}
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The second forced cancellation kills what cleans up after the first.
func TestOnCancelCanBeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cancelling(map[string][]string{"one": {"c:tidy"}, "tidy": {"s:swept"}, "swept": nil}))
		b.plan(plan.Input{})
		b.run(nil)
		killed := 0
		for _, step := range []string{"a[0].one", "a[0].tidy"} {
			b.d.do[step] = func(ctx context.Context, _ *driver.Request, _ int) (driver.Result, error) {
				select {
				case <-ctx.Done():
					killed++
					return driver.Result{}, context.Cause(ctx)
				case <-time.After(time.Hour):
					return driver.Result{}, nil
				}
			}
		}
		b.plan(plan.Input{Workflow: "w"})
		b.job.Task = "w"
		commands := make(chan engine.Command)
		go func() {
			for range 2 {
				time.Sleep(time.Minute)
				commands <- engine.CommandForce
			}
		}()
		start := time.Now()
		out := b.run(commands)
		if took := time.Since(start); out.Status != engine.Cancelled || took != 2*time.Minute || killed != 2 || b.d.calls["a[0].swept"] != 0 {
			t.Errorf("%+v after %s, %d killed", out, took, killed)
		}
		// What the workflow does is done when it is resumed; nothing is cleaned up then.
		b.d.do = map[string]func(context.Context, *driver.Request, int) (driver.Result, error){}
		if out := b.run(nil); out.Status != engine.Done || b.d.calls["a[0].one"] != 2 || b.d.calls["a[0].tidy"] != 1 {
			t.Errorf("resumed: %+v, calls %v", out, b.d.calls)
		}
	})
}

// The first cause of a task whose on_failure step fails, too, is what that step was to mend; what is mended is none.
func TestTheFirstCauseIsWhatWasToBeMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cancelling(map[string][]string{"one": {"f:mend"}, "mend": {"s:swept"}, "swept": nil, "other": {"f:tidy"}, "tidy": nil}))
		b.plan(plan.Input{})
		b.run(nil)
		for _, step := range []string{"one", "swept", "other"} {
			b.d.do["a[0]."+step] = func(context.Context, *driver.Request, int) (driver.Result, error) {
				return driver.Result{}, errors.New(step + " is broken")
			}
		}
		b.plan(plan.Input{Workflow: "w"})
		b.job.Task = "w"
		f := b.run(nil).Failure
		if f == nil || f.Step != "a[0].one" || f.WorkflowStep != "one" || len(f.Others) != 1 || f.Others[0].Step != "a[0].swept" {
			t.Errorf("%+v", f)
		}
	})
}
