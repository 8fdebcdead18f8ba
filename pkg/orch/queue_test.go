package orch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

func TestTasksOnDisjointNodesRunAtOnce(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app", "db", "cache")
	app, db := f.block(t, "app[0].Custom.work"), f.block(t, "db[0].Custom.work")
	one, two := ask(t, f, work("app", "alice")), ask(t, f, work("db", "bob"))
	f.until(t, "app[0].Custom.work")
	f.until(t, "db[0].Custom.work") // although the other one still runs
	waits := ask(t, f, orch.Request{Verb: orch.Workflow, Workflow: "restart", User: "carol"})
	if want := "task " + one.ID + " of alice (operation): touches app; task " + two.ID + " of bob (operation): touches db"; waits.Status != "queued" || waits.Waits != want {
		t.Errorf("status %q, waits for %q, want %q", waits.Status, waits.Waits, want)
	}
	behind := ask(t, f, work("cache", "dave"))
	if behind.Status != "queued" || !strings.Contains(behind.Waits, "of carol (restart), which waits itself: touches cache") {
		t.Errorf("a request overtakes one that waits longer: %q, waits for %q", behind.Status, behind.Waits)
	}
	app()
	if got := finish(t, f, one.ID); got.Status != "done" {
		t.Errorf("%+v", got)
	}
	for reaches(t, f, waits.ID, "queued").Waits != "task "+two.ID+" of bob (operation): touches db" {
	}
	db()
	for _, id := range []string{two.ID, waits.ID, behind.ID} {
		if got := finish(t, f, id); got.Status != "done" || got.Waits != "" {
			t.Errorf("%+v %+v", got, got.Failure)
		}
	}
	done := f.world.done()
	if slices.Index(done, "cache[0].Custom.work") < slices.Index(done, "cache[0].start") {
		t.Errorf("order %v", done)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "deployed" || d.Owner != "" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestTheSameRequestIsTheSameTask(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app", "db")
	let := f.block(t, "app[0].Custom.work")
	one := ask(t, f, work("app", "alice"))
	if same := ask(t, f, work("app", "bob")); same.ID != one.ID {
		t.Errorf("%+v", same)
	}
	other := work("app")
	other.Inputs = map[string]any{"A": "b"}
	if got := ask(t, f, other); got.ID == one.ID || got.Status != "queued" {
		t.Errorf("another request: %+v", got)
	} else if same := ask(t, f, other); same.ID != got.ID {
		t.Errorf("asked again: %+v", same)
	} else {
		let()
		if got := finish(t, f, got.ID); got.Status != "done" || f.world.vars["app[0].Custom.work"]["A"] != "b" {
			t.Errorf("%+v, %v", got, f.world.vars["app[0].Custom.work"])
		}
	}
}

func TestQueuedRequestsCanBeCancelled(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app")
	let := f.block(t, "app[0].Custom.work")
	one := ask(t, f, work("app"))
	two := ask(t, f, orch.Request{Verb: orch.Workflow, Workflow: "restart"})
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Task: two.ID, Verb: "cancel"}); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, f, two.ID); got.Status != "cancelled" || got.Waits != "" {
		t.Errorf("%+v", got)
	}
	let()
	finish(t, f, one.ID)
	if got := f.world.done(); !slices.Equal(got, []string{"app[0].Custom.work"}) {
		t.Errorf("done %v", got)
	}
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Task: two.ID, Verb: "cancel"}); kindOf(err) != orch.KindConflict {
		t.Errorf("cancelled twice: %v", err)
	}
}

func TestUpdateOfWhatIsBusyIsQueuedWithItsTopology(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app =hello", "db")
	let := f.block(t, "app[0].Custom.work")
	ask(t, f, work("app"))
	update := ask(t, f, orch.Request{Source: nodes("app =bye", "db"), Inputs: map[string]any{}})
	if update.Status != "queued" {
		t.Fatalf("%+v", update)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Revision != 1 {
		t.Errorf("a waiting update has changed the deployment: %+v, %v", d, err)
	}
	let()
	if got := finish(t, f, update.ID); got.Status != "done" || f.world.vars["app[0].create"]["GREETING"] != "bye" {
		t.Errorf("%+v %+v, %v", got, got.Failure, f.world.vars["app[0].create"])
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Revision != 2 || d.Status != "deployed" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestAnotherProcessQueuesWhatTheHolderBegins(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app", "db")
	let := f.block(t, "app[0].Custom.work")
	ask(t, f, work("app"))
	l2, err := orch.New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer l2.Close()
	free := ask(t, l2, work("db", "bob"))
	if free.Status != "queued" || !strings.Contains(free.Waits, "the process that works on the deployment") {
		t.Errorf("%+v", free)
	}
	if got := finish(t, l2, free.ID); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
	busy := ask(t, l2, orch.Request{Verb: orch.Workflow, Workflow: "restart"})
	for !strings.Contains(reaches(t, l2, busy.ID, "queued").Waits, "touches app") {
	}
	let()
	if got := finish(t, l2, busy.ID); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
}

func TestQueueOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app", "db")
	let := f.block(t, "app[0].Custom.work")
	one := ask(t, f, work("app"))
	two := ask(t, f, orch.Request{Source: nodes("app =bye", "db"), User: "bob"})
	f.until(t, "app[0].Custom.work")
	f.restart(t)
	let()
	taken, err := f.Recover(t.Context())
	if err != nil || len(taken) != 1 || taken[0].ID != one.ID {
		t.Errorf("taken %+v, %v", taken, err)
	}
	if got := finish(t, f, two.ID); got.Status != "done" || f.world.vars["app[0].create"]["GREETING"] != "bye" || got.User != "bob" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
}

func TestUndeployTakesBackWhatWaits(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app", "db")
	let := f.block(t, "app[0].Custom.work")
	one := ask(t, f, work("app"))
	two := ask(t, f, orch.Request{Verb: orch.Workflow, Workflow: "restart"})
	gone := ask(t, f, orch.Request{Verb: orch.Undeploy, Purge: true})
	if gone.Status != "queued" || !strings.Contains(gone.Waits, one.ID) {
		t.Errorf("%+v", gone)
	}
	if got := finish(t, f, two.ID); got.Status != "cancelled" {
		t.Errorf("%+v", got)
	}
	later := ask(t, f, orch.Request{Source: nodes("app =new")}) // waits for the purge and outlives it
	if later.Status != "queued" {
		t.Errorf("%+v", later)
	}
	let()
	if got := finish(t, f, later.ID); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
	if tasks, err := f.Tasks(t.Context(), "demo"); err != nil || len(tasks) != 1 {
		t.Errorf("%+v, %v", tasks, err)
	}
	want := []string{"app[0].Custom.work", "app[0].stop", "app[0].delete", "db[0].stop", "db[0].delete", "app[0].create", "app[0].start"}
	got := f.world.done()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("done %v, want %v", got, want)
	}
}

func TestForcedUndeployEndsAnUndeploymentThatHangs(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app")
	let := f.block(t, "app[0].stop")
	stuck := ask(t, f, orch.Request{Verb: orch.Undeploy})
	f.until(t, "app[0].stop")
	if same := ask(t, f, orch.Request{Verb: orch.Undeploy}); same.ID != stuck.ID {
		t.Errorf("%+v", same)
	}
	forced := ask(t, f, orch.Request{Verb: orch.Undeploy, Force: true})
	if forced.ID == stuck.ID {
		t.Fatal("force changes nothing")
	}
	if got := finish(t, f, stuck.ID); got.Status != "cancelled" {
		t.Errorf("%+v", got)
	}
	f.until(t, "app[0].stop")
	let()
	if got := finish(t, f, forced.ID); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
}

func TestResumeWaitsForItsNodes(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app", "db")
	f.world.setFail("app[0].Custom.work", errBoom)
	failed := finish(t, f, ask(t, f, work("app")).ID)
	if failed.Status != "failed" {
		t.Fatalf("%+v", failed)
	}
	f.world.setFail("app[0].Custom.work", nil)
	let := f.block(t, "app[0].Custom.check")
	check := work("app")
	check.Operation = "check"
	one := ask(t, f, check)
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Task: failed.ID, Verb: "resume"}); kindOf(err) != orch.KindConflict ||
		!strings.Contains(err.Error(), "has worked on the same since") {
		t.Errorf("resumed over a later task: %v", err)
	}
	let()
	finish(t, f, one.ID)
}

func TestATaskOnOtherNodesDoesNotKeepOneFromBeingResumed(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app", "db")
	f.world.setFail("app[0].Custom.work", errBoom)
	failed := finish(t, f, ask(t, f, work("app")).ID)
	finish(t, f, ask(t, f, work("db")).ID)
	f.world.setFail("app[0].Custom.work", nil)
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Task: failed.ID, Verb: "resume"}); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, f, failed.ID); got.Status != "done" {
		t.Errorf("%+v", got)
	}
}
