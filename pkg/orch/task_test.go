package orch_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

var errBoom = errors.New("boom")

func kindOf(err error) orch.Kind {
	var oe *orch.Error
	if errors.As(err, &oe) {
		return oe.Kind
	}
	return ""
}

// begin starts a deployment that waits in step until let is called.
func (f *fixture) begin(t *testing.T, step string) (task orch.Task, let func()) {
	t.Helper()
	hold := make(chan struct{})
	f.world.mu.Lock()
	f.world.hold[step] = hold
	f.world.mu.Unlock()
	task, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello")})
	if err != nil {
		t.Fatal(err)
	}
	f.until(t, step)
	return task, func() {
		f.world.mu.Lock()
		delete(f.world.hold, step)
		f.world.mu.Unlock()
		close(hold)
	}
}

// until waits for a step to begin.
func (f *fixture) until(t *testing.T, step string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for e, err := range f.Events(ctx, orch.Filter{Deployment: "demo", Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == event.StepStatus && e.Step == step && e.Status == "doing" {
			return
		}
	}
}

func TestBusyDeploymentSaysWhoHoldsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	task, let := f.begin(t, "web[0].create")
	same, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello")})
	if err != nil || same.ID != task.ID {
		t.Errorf("the same request: %+v, %v", same, err)
	}
	other := f.opts
	other.Owner = "another"
	l2, err := orch.New(other)
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	waits, err := l2.Apply(t.Context(), orch.Request{Deployment: "demo", Verb: orch.Workflow, Workflow: "restart"})
	if err != nil || waits.Status != "queued" || !strings.Contains(waits.Waits, "process") {
		t.Errorf("another process: %+v, %v", waits, err)
	}
	if err := l2.Control(t.Context(), orch.Control{Deployment: "demo", Task: waits.ID, Verb: "cancel"}); err != nil {
		t.Error(err)
	}
	let()
	if done, err := f.Wait(t.Context(), "demo", task.ID); err != nil || done.Status != "done" {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestCancelFromAnotherProcess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	task, let := f.begin(t, "web[0].create")
	l2, err := orch.New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	if err := l2.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "cancel"}); err != nil {
		t.Fatal(err)
	}
	for e, err := range l2.Events(t.Context(), orch.Filter{Deployment: "demo", Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == event.TaskStatus && e.Status == "cancelling" {
			break
		}
	}
	let()
	done, err := l2.Wait(t.Context(), "demo", task.ID)
	if err != nil || done.Status != "cancelled" {
		t.Fatalf("%+v, %v", done, err)
	}
	d, err := l2.Deployment(t.Context(), "demo")
	if err != nil || d.Status != "cancelled" || d.Owner != "" {
		t.Errorf("%+v, %v", d, err)
	}
	if err := l2.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "resume"}); err != nil {
		t.Fatal(err)
	}
	if done, err = l2.Wait(t.Context(), "demo", ""); err != nil || done.Status != "done" || done.ID != task.ID {
		t.Errorf("resumed: %+v, %v", done, err)
	}
	if got, want := f.world.done(), []string{"vm[0].create", "web[0].create", "web[0].start"}; !slices.Equal(got, want) {
		t.Errorf("done %v, want %v", got, want)
	}
}

func TestClosedServiceLeavesItsTaskToTheNext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	task, let := f.begin(t, "web[0].create")
	f.restart(t) // detaches
	let()
	taken, err := f.Recover(t.Context())
	if err != nil || len(taken) != 1 || taken[0].ID != task.ID {
		t.Fatalf("recovered %+v, %v", taken, err)
	}
	done, err := f.Wait(t.Context(), "demo", task.ID)
	if err != nil || done.Status != "done" {
		t.Errorf("%+v, %v", done, err)
	}
	if taken, err := f.Recover(t.Context()); err != nil || len(taken) != 0 {
		t.Errorf("recovered again: %+v, %v", taken, err)
	}
	if tasks, err := f.Tasks(t.Context(), "demo"); err != nil || len(tasks) != 1 || tasks[0].Steps.Done != 3 {
		t.Errorf("tasks %+v, %v", tasks, err)
	}
	if got, want := f.world.done(), []string{"vm[0].create", "web[0].create", "web[0].start"}; !slices.Equal(got, want) {
		t.Errorf("done %v, want %v", got, want)
	}
}

func TestSkipAndSteps(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.world.setFail("web[0].create", errors.New("boom"))
	task := f.apply(t, orch.Request{Source: bundle("hello")})
	steps, err := f.Steps(t.Context(), "demo", task.ID)
	if err != nil || len(steps) != 3 || steps[0].Status != "done" || steps[1].Status != "failed" || steps[1].Error != "boom" ||
		steps[2].Status != "skipped" || steps[2].Error != "skipped because web[0].create failed" {
		t.Fatalf("steps %+v, %v", steps, err)
	}
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "skip", Step: "web[0].nope"}); kindOf(err) != orch.KindNotFound {
		t.Errorf("unknown step: %v", err)
	}
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "skip", Step: "web[0].create"}); err != nil {
		t.Fatal(err)
	}
	if done, err := f.Wait(t.Context(), "demo", task.ID); err != nil || done.Status != "done" {
		t.Errorf("%+v, %v", done, err)
	}
	if again := f.apply(t, orch.Request{Source: bundle("hello")}); again.Changed {
		t.Errorf("what was skipped is done by the next deployment: %+v", again)
	}
}

func TestEventsOfATaskEndWithIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	task, let := f.begin(t, "web[0].start")
	go func() {
		time.Sleep(10 * time.Millisecond)
		let()
	}()
	var states []string
	last := event.Event{}
	var seq uint64
	for e, err := range f.Events(t.Context(), orch.Filter{Deployment: "demo", Follow: true, UntilTask: task.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq != seq+1 {
			t.Errorf("after %d comes %d", seq, e.Seq)
		}
		seq = e.Seq
		if e.Type == event.InstanceState && e.Node == "web" {
			states = append(states, e.Status)
		}
		last = e
	}
	if want := "initial creating created configuring configured starting started"; strings.Join(states, " ") != want {
		t.Errorf("states %v, want %s", states, want)
	}
	if last.Type != event.DeploymentStatus || last.Status != "deployed" {
		t.Errorf("the last event is %+v", last)
	}
	var tail []event.Event
	for e, err := range f.Events(t.Context(), orch.Filter{Deployment: "demo", Last: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		tail = append(tail, e)
	}
	if len(tail) != 2 || tail[1].Seq != seq {
		t.Errorf("the last two are %+v", tail)
	}
}

func TestReviewedPlanOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p, _, err := f.Plan(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Source: bundle("bye"), PlanDigest: p.Digest}); kindOf(err) != orch.KindConflict {
		t.Errorf("another plan: %v", err)
	}
	task, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello"), PlanDigest: p.Digest})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := f.Wait(t.Context(), "demo", task.ID); err != nil || done.Status != "done" {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestMistakesComeAllAtOnceAndLeaveNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := bundle("hello").(fstest.MapFS)
	delete(b, "start.sh")
	delete(b, "stop.sh")
	_, diags, err := f.Plan(t.Context(), orch.Request{Deployment: "demo", Source: b})
	if err != nil || len(diags) != 2 || diags[0].Code != "missing-file" {
		t.Errorf("findings %v, %v", diags, err)
	}
	_, err = f.Apply(t.Context(), orch.Request{Deployment: "demo", Source: b})
	var le *diag.ListError
	if !errors.As(err, &le) || len(le.List) != 2 {
		t.Errorf("Apply: %v", err)
	}
	if ds, err := f.Deployments(t.Context()); err != nil || len(ds) != 0 {
		t.Errorf("deployments %v, %v", ds, err)
	}
	for _, bad := range []orch.Request{{Deployment: "", Source: b}, {Deployment: "../x", Source: b}, {Deployment: "none", Verb: orch.Undeploy}} {
		if _, err := f.Apply(t.Context(), bad); kindOf(err) == "" {
			t.Errorf("%q: %v", bad.Deployment, err)
		}
	}
}

func TestOnlyWhatWasReadIsStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	opts := f.opts
	var names []string
	opts.Load = func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
		_ = fs.WalkDir(b.FS, ".", func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, p)
			}
			return err
		})
		return loader(ctx, b)
	}
	l, err := orch.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Deployment(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"app", "create.sh", "delete.sh", "start.sh", "stop.sh"}; !slices.Equal(names, want) {
		t.Errorf("stored %v, want %v", names, want)
	}
}

func TestUndeployThatLeavesSomethingFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	f.world.mu.Lock()
	f.world.made["stray"] = true
	f.world.mu.Unlock()
	task := f.apply(t, orch.Request{Verb: orch.Undeploy})
	if task.Status != "failed" || !slices.Equal(task.Left, []string{"nova server stray"}) || task.Failure == nil {
		t.Errorf("%+v %+v", task, task.Failure)
	}
	f.world.mu.Lock()
	delete(f.world.made, "stray")
	f.world.mu.Unlock()
	if task = f.apply(t, orch.Request{Verb: orch.Undeploy}); task.Status != "done" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
}

func TestForcedUndeployGoesOnOverFailingScripts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	f.world.setFail("web[0].stop", &driver.Error{Op: "run stop.sh", ExitCode: 1})
	if task := f.apply(t, orch.Request{Verb: orch.Undeploy}); task.Status != "failed" {
		t.Errorf("without force: %+v", task)
	}
	if task := f.apply(t, orch.Request{Verb: orch.Undeploy, Force: true}); task.Status != "done" {
		t.Errorf("with force: %+v %+v", task, task.Failure)
	}
}

func TestWorkflowsAndOperations(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	f.world.forget()
	if task := f.apply(t, orch.Request{Verb: orch.Workflow, Workflow: "restart"}); task.Status != "done" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
	if got, want := f.world.done(), []string{"web[0].stop", "vm[0].stop", "vm[0].start", "web[0].start"}; !slices.Equal(got, want) {
		t.Errorf("done %v, want %v", got, want)
	}
	f.world.forget()
	task := f.apply(t, orch.Request{Verb: orch.Operate, Node: "web", Interface: "Standard", Operation: "create", Inputs: map[string]any{"GREETING": "again", "MORE": int64(3)}})
	if task.Status != "done" || f.world.vars["web[0].create"]["GREETING"] != "again" || f.world.vars["web[0].create"]["MORE"] != "3" {
		t.Errorf("%+v, variables %v", task, f.world.vars["web[0].create"])
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "deployed" {
		t.Errorf("%+v, %v", d, err)
	}
	if task := f.apply(t, orch.Request{Source: bundle("hello")}); task.Changed {
		t.Errorf("a deploy after all that changes something: %+v", task)
	}
}

// nowhere is an Inventory without a cloud.
type nowhere struct{}

func (nowhere) Inventory(context.Context, string, string) (left, checked []string, err error) {
	return nil, nil, errors.New("no cloud is configured")
}

func TestWithoutInfrastructureThereIsNothingToProve(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	load := f.opts.Load
	f.opts.Inventory = nowhere{}
	f.opts.Load = func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
		top, diags := load(ctx, b)
		top.NodeNamed("vm").Native = false
		top.NodeNamed("vm").Type = topology.Type{"Any"}
		top.NodeNamed("web").Operation("Standard", "create").Inputs = nil
		top.Outputs = nil
		return top, diags
	}
	f.restart(t)
	if task := f.apply(t, orch.Request{Source: bundle("hello")}); task.Status != "done" {
		t.Fatalf("%+v %+v", task, task.Failure)
	}
	if task := f.apply(t, orch.Request{Verb: orch.Undeploy}); task.Status != "done" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
}

func TestNewTaskTakesOverFromADeadProcess(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old, let := f.begin(t, "web[0].create")
	f.restart(t)
	let()
	task := f.apply(t, orch.Request{Verb: orch.Undeploy})
	if task.Status != "done" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
	tasks, err := f.Tasks(t.Context(), "demo")
	if err != nil || len(tasks) != 2 || tasks[1].ID != old.ID || tasks[1].Status != "cancelled" {
		t.Errorf("tasks %+v, %v", tasks, err)
	}
}

func TestUndeployOfARunningDeploymentCancelsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old, _ := f.begin(t, "web[0].create")
	l2, err := orch.New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	task, err := l2.Apply(t.Context(), orch.Request{Deployment: "demo", Verb: orch.Undeploy, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if task, err = l2.Wait(t.Context(), "demo", task.ID); err != nil || task.Status != "done" {
		t.Errorf("%+v %+v, %v", task, task.Failure, err)
	}
	if was, err := l2.Wait(t.Context(), "demo", old.ID); err != nil || was.Status != "cancelled" {
		t.Errorf("%+v, %v", was, err)
	}
	if got, want := f.world.done(), []string{"vm[0].create", "web[0].delete", "vm[0].delete"}; !slices.Equal(got, want) {
		t.Errorf("done %v, want %v", got, want)
	}
}
