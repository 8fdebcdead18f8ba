package orch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

// undoOf waits for the rollback of a task.
func undoOf(t *testing.T, f *fixture, failed orch.Task) orch.Task {
	t.Helper()
	if failed.Status != "failed" || failed.Undo == "" {
		t.Fatalf("not rolled back: %+v %+v", failed, failed.Failure)
	}
	return finish(t, f, failed.Undo)
}

func TestFailedFirstDeploymentIsRolledBack(t *testing.T) {
	t.Parallel()
	f := newNodes(t)
	f.world.setFail("app[0].start", errBoom)
	failed := f.apply(t, orch.Request{Source: nodes("vm native", "db", "app >db", "web >app"), OnFailure: orch.RollBack})
	undo := undoOf(t, f, failed)
	if undo.Status != "done" || undo.Undoes != failed.ID || undo.Workflow != "rollback" || !slices.Equal(undo.Checked, []string{"nova"}) {
		t.Errorf("%+v %+v", undo, undo.Failure)
	}
	done := f.world.done()
	if want := []string{"app[0].stop", "app[0].delete", "db[0].stop", "db[0].delete"}; !slices.Equal(without(done[slices.Index(done, "app[0].start")+1:], "vm[0].delete"), want) || !slices.Contains(done, "vm[0].delete") {
		t.Errorf("done %v", done)
	}
	d, err := f.Deployment(t.Context(), "demo")
	if err != nil || d.Status != "undeployed" || d.Instances != 0 || d.Cause != "rolled back after app[0].start: boom" || d.OnFailure != "rollback" {
		t.Errorf("%+v, %v", d, err)
	}
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Task: failed.ID, Verb: "resume"}); kindOf(err) != orch.KindConflict || !strings.Contains(err.Error(), "was rolled back") {
		t.Errorf("resuming what was rolled back: %v", err)
	}
	f.world.setFail("app[0].start", nil)
	if task := f.apply(t, orch.Request{Source: nodes("db", "app >db")}); task.Status != "done" || task.OnFailure != "rollback" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
}

func without(list []string, x string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == x })
}

func TestFailedUpdateIsRolledBack(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "db =one", "old", "stays")
	f.world.setFail("new[0].start", errBoom)
	failed := f.apply(t, orch.Request{Source: nodes("db =two", "new >db", "stays"), OnFailure: "rollback"})
	undo := undoOf(t, f, failed)
	if undo.Status != "done" {
		t.Fatalf("%+v %+v", undo, undo.Failure)
	}
	done := f.world.done()
	at := slices.Index(done, "new[0].start")
	for _, want := range []string{"new[0].stop", "new[0].delete", "db[0].create"} {
		if !slices.Contains(done[at:], want) {
			t.Errorf("%s is not undone: %v", want, done)
		}
	}
	if f.world.vars["db[0].create"]["GREETING"] != "one" {
		t.Errorf("db was not changed back: %v", f.world.vars["db[0].create"])
	}
	if slices.ContainsFunc(done, func(s string) bool { return strings.HasPrefix(s, "stays") }) {
		t.Errorf("what has run all the time was touched: %v", done)
	}
	d, err := f.Deployment(t.Context(), "demo")
	if err != nil || d.Status != "deployed" || d.Revision != 1 || d.Cause != "rolled back after new[0].start: boom" {
		t.Errorf("%+v, %v", d, err)
	}
	f.world.setFail("new[0].start", nil)
	if task := f.apply(t, orch.Request{Source: nodes("db =one", "old", "stays")}); task.Changed {
		t.Errorf("the rollback is not what was before: %+v", task)
	}
	if task := f.apply(t, orch.Request{Source: nodes("db =two", "new >db", "stays")}); task.Status != "done" || task.Revision != 3 {
		t.Errorf("%+v %+v", task, task.Failure)
	}
}

func TestFailedScalingIsRolledBack(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "web 2 9", "db")
	if task := f.apply(t, orch.Request{Remove: orchInstances("web", "0")}); task.Status != "done" {
		t.Fatalf("%+v %+v", task, task.Failure)
	}
	f.world.forget()
	f.world.setFail("web[2].start", errBoom)
	undo := undoOf(t, f, f.apply(t, orch.Request{Scale: map[string]int{"web": 3}, OnFailure: orch.RollBack}))
	if undo.Status != "done" {
		t.Fatalf("%+v %+v", undo, undo.Failure)
	}
	d, err := f.Deployment(t.Context(), "demo")
	if err != nil || d.Status != "deployed" || len(d.Nodes[0].Instances) != 1 || d.Nodes[0].Instances[0].Index != "1" {
		t.Errorf("%+v, %v", d, err)
	}
	if task := f.apply(t, orch.Request{}); task.Changed {
		t.Errorf("the number of instances is not what it was: %+v", task)
	}
}

func TestRollbackGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "db =one")
	let := f.block(t, "new[0].stop")
	f.world.setFail("new[0].start", errBoom)
	failed := ask(t, f, orch.Request{Source: nodes("db =two", "new >db"), OnFailure: orch.RollBack})
	f.until(t, "new[0].stop")
	f.restart(t)
	let()
	taken, err := f.Recover(t.Context())
	if err != nil || len(taken) != 1 || taken[0].Undoes != failed.ID {
		t.Fatalf("taken %+v, %v", taken, err)
	}
	if got := undoOf(t, f, finish(t, f, failed.ID)); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "deployed" || d.Revision != 1 || d.Instances != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestFailedRollbackSaysBothCauses(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "db")
	f.world.setFail("new[0].start", errBoom)
	f.world.setFail("new[0].delete", errBoom)
	failed := f.apply(t, orch.Request{Source: nodes("db", "new"), OnFailure: orch.RollBack})
	undo := undoOf(t, f, failed)
	if undo.Status != "failed" || undo.Failure.Step != "new[0].delete" || failed.Failure.Step != "new[0].start" {
		t.Errorf("%+v %+v, %+v", undo, undo.Failure, failed.Failure)
	}
	d, err := f.Deployment(t.Context(), "demo")
	if want := "the rollback has ended early: new[0].delete: boom; it was to undo new[0].start: boom"; err != nil || d.Status != "failed" || d.Cause != want {
		t.Errorf("status %s, cause %q, want %q, %v", d.Status, d.Cause, want, err)
	}
	f.world.setFail("new[0].delete", nil)
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "resume"}); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, f, undo.ID); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "deployed" || d.Instances != 1 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestPausedTaskWaitsForAWord(t *testing.T) {
	t.Parallel()
	f := newNodes(t)
	let := f.block(t, "slow[0].create")
	f.world.setFail("app[0].create", errBoom)
	task := ask(t, f, orch.Request{Source: nodes("app", "slow", "after >slow"), OnFailure: orch.PauseAndAsk})
	for e, err := range f.Events(t.Context(), orch.Filter{Deployment: "demo", Follow: true}) {
		if err != nil || e.Step == "app[0].create" && e.Status == "failed" {
			break
		}
	}
	let()
	paused := finish(t, f, task.ID)
	if paused.Status != "paused" || paused.Failure == nil || paused.Failure.Step != "app[0].create" || !paused.Ended.IsZero() {
		t.Errorf("%+v %+v", paused, paused.Failure)
	}
	if done := f.world.done(); slices.Contains(done, "slow[0].start") || !slices.Contains(done, "slow[0].create") {
		t.Errorf("what ran is finished and nothing more is begun: %v", done)
	}
	d, err := f.Deployment(t.Context(), "demo")
	if err != nil || d.Status != "paused" || d.Owner != "" {
		t.Errorf("%+v, %v", d, err)
	}
	if waits := ask(t, f, orch.Request{Source: nodes("app", "slow")}); !strings.Contains(waits.Waits, "which is paused after a failure") {
		t.Errorf("%+v", waits)
	} else if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Task: waits.ID, Verb: "cancel"}); err != nil {
		t.Error(err)
	}
	f.restart(t)
	if taken, err := f.Recover(t.Context()); err != nil || len(taken) != 0 {
		t.Errorf("a server goes on with what is paused: %+v, %v", taken, err)
	}
	f.world.setFail("app[0].create", nil)
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Task: task.ID, Verb: "retry", Step: "app[0].create"}); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, f, task.ID); got.Status != "done" {
		t.Errorf("%+v %+v", got, got.Failure)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "deployed" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestPausedTaskIsRolledBackOrCancelled(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"rollback", "cancel"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			f := newNodes(t)
			f.world.setFail("app[0].create", errBoom)
			paused := f.apply(t, orch.Request{Source: nodes("db", "app >db"), OnFailure: orch.PauseAndAsk})
			if paused.Status != "paused" {
				t.Fatalf("%+v", paused)
			}
			if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: verb}); err != nil {
				t.Fatal(err)
			}
			ended := finish(t, f, paused.ID)
			d, err := f.Deployment(t.Context(), "demo")
			if verb == "cancel" {
				if ended.Status != "cancelled" || err != nil || d.Status != "cancelled" || d.Instances == 0 {
					t.Errorf("%+v, %+v, %v", ended, d, err)
				}
				return
			}
			if undo := undoOf(t, f, ended); undo.Status != "done" {
				t.Errorf("%+v %+v", undo, undo.Failure)
			}
			if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "undeployed" || d.Instances != 0 {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

func TestPoliciesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app")
	for _, req := range []orch.Request{{OnFailure: "panic"}, {Verb: orch.Undeploy, OnFailure: orch.RollBack}, {Verb: orch.Workflow, Workflow: "restart", OnFailure: orch.RollBack}} {
		req.Deployment = "demo"
		if _, err := f.Apply(t.Context(), req); kindOf(err) != orch.KindUser {
			t.Errorf("%s %s: %v", req.Verb, req.OnFailure, err)
		}
	}
}
