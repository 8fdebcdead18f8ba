package orch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

func TestRevisionsAndRollback(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app =one", "db")
	f.apply(t, orch.Request{Source: nodes("app =two", "db", "cache"), User: "bob"})
	f.world.setFail("app[0].create", errBoom)
	if task := f.apply(t, orch.Request{Source: nodes("app =three", "db"), User: "carol"}); task.Status != "failed" {
		t.Fatalf("%+v", task)
	}
	f.world.setFail("app[0].create", nil)
	all, err := f.Revisions(t.Context(), "demo")
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	type row struct {
		N       int
		User    string
		Outcome string
		Current bool
		Changes []string
	}
	var got []row
	for _, r := range all {
		got = append(got, row{r.N, r.User, r.Outcome, r.Current, r.Changes})
	}
	want := []row{
		{3, "carol", "failed", true, []string{"other documents or files", "changed in place: app[0]", "removed: cache[0]"}},
		{2, "bob", "deployed", false, []string{"other documents or files", "added: cache[0]", "changed in place: app[0]"}},
		{1, "", "deployed", false, []string{"first deployment", "added: app[0], db[0]"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	p, diags, err := f.Plan(t.Context(), orch.Request{Deployment: "demo", Revision: orch.Previous})
	if err != nil || len(diags) > 0 || p.Summary.String() != "1 added, 1 completed, 1 unchanged" {
		t.Errorf("%+v, %v, %v", p.Summary, diags, err)
	}
	f.world.forget()
	task := f.apply(t, orch.Request{Revision: orch.Previous, User: "dave"}) // the last that was reached is 2
	if task.Status != "done" || task.Revision != 4 || f.world.vars["app[0].create"]["GREETING"] != "two" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
	if slices.ContainsFunc(f.world.done(), func(s string) bool { return strings.HasPrefix(s, "db") }) {
		t.Errorf("what is the same was touched: %v", f.world.done())
	}
	task = f.apply(t, orch.Request{Revision: 1})
	if task.Status != "done" || f.world.vars["app[0].create"]["GREETING"] != "one" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Revision != 5 || d.Instances != 2 || d.Status != "deployed" {
		t.Errorf("%+v, %v", d, err)
	}
	if all, err = f.Revisions(t.Context(), "demo"); err != nil || all[0].From != 1 || all[0].Changes[0] != "back to revision 1" || all[1].From != 2 || all[1].User != "dave" {
		t.Errorf("%+v, %v", all, err)
	}
	for _, bad := range []orch.Request{{Revision: 99}, {Revision: 1, Source: nodes("app")}, {Revision: 1, Inputs: map[string]any{"a": 1}}} {
		bad.Deployment = "demo"
		if _, err := f.Apply(t.Context(), bad); kindOf(err) == "" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestOldRevisionsAreRemoved(t *testing.T) {
	t.Parallel()
	f := newNodes(t)
	f.opts.Revisions = 2
	f.restart(t)
	for _, lines := range [][]string{{"app =one", "db"}, {"app =two", "db"}, {"app =three", "db"}, {"app =four", "db"}} {
		if task := f.apply(t, orch.Request{Source: nodes(lines...)}); task.Status != "done" {
			t.Fatalf("%+v", task)
		}
	}
	all, err := f.Revisions(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	var left []int
	for _, r := range all {
		left = append(left, r.N)
	}
	if !slices.Equal(left, []int{4, 3, 1}) { // db is still made from the first
		t.Errorf("left %v", left)
	}
	if task := f.apply(t, orch.Request{Revision: 3}); task.Status != "done" || f.world.vars["app[0].create"]["GREETING"] != "three" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
}

func TestRollbackAnswersAPause(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app =one")
	f.world.setFail("app[0].create", errBoom)
	paused := f.apply(t, orch.Request{Source: nodes("app =two"), OnFailure: orch.PauseAndAsk})
	f.world.setFail("app[0].create", nil)
	if task := f.apply(t, orch.Request{Revision: orch.Previous}); task.Status != "done" || f.world.vars["app[0].create"]["GREETING"] != "one" {
		t.Errorf("%+v %+v", task, task.Failure)
	}
	if got := finish(t, f, paused.ID); got.Status != "cancelled" {
		t.Errorf("%+v", got)
	}
}

func TestScalingTouchesOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "web 2 4 >db", "db", "other")
	f.world.setFail("web[3].create", errBoom)
	task := f.apply(t, orch.Request{ScaleBy: map[string]int{"web": 2}})
	if task.Status != "failed" || !slices.Equal(task.Touches, []string{"web"}) {
		t.Fatalf("%+v %+v", task, task.Failure)
	}
	done := f.world.done()
	if !slices.Contains(done, "web[2].start") || slices.ContainsFunc(done, func(s string) bool { return !strings.HasPrefix(s, "web[2]") && s != "web[3].create" }) {
		t.Errorf("only new instances are touched, good ones are kept: %v", done)
	}
	d, err := f.Deployment(t.Context(), "demo")
	if err != nil || d.Status != "failed" {
		t.Errorf("%+v, %v", d, err)
	}
	f.world.forget()
	if task := f.apply(t, orch.Request{Scale: map[string]int{"web": 3}}); task.Status != "done" { // the failed one goes first
		t.Errorf("%+v %+v", task, task.Failure)
	}
	d, err = f.Deployment(t.Context(), "demo")
	if err != nil || d.Status != "deployed" || len(d.Nodes[0].Instances) != 3 || d.Nodes[0].Instances[2].Index != "2" {
		t.Errorf("%+v, %v", d, err)
	}
	for _, bad := range []map[string]int{{"web": 5}, {"web": 0}} {
		_, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Scale: bad})
		list := diagnosticsOf(err)
		if len(list) != 1 || list[0].Code != "scale-limit" || bad["web"] == 5 && list[0].Pos != (diag.Pos{File: "app", Line: 1, Col: 1}) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := f.Apply(t.Context(), orch.Request{Deployment: "demo", Scale: map[string]int{"nothing": 2}}); kindOf(err) != orch.KindUser {
		t.Errorf("unknown node: %v", err)
	}
}

func TestScalingOfDisjointNodesAtOnce(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "web 1 9", "db 1 9")
	let := f.block(t, "web[1].create")
	one := ask(t, f, orch.Request{Scale: map[string]int{"web": 2}})
	f.until(t, "web[1].create")
	two := ask(t, f, orch.Request{Scale: map[string]int{"db": 2}})
	if got := finish(t, f, two.ID); got.Status != "done" || got.Waits != "" {
		t.Errorf("%+v", got)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "updating" {
		t.Errorf("%+v, %v", d, err)
	}
	let()
	if got := finish(t, f, one.ID); got.Status != "done" {
		t.Errorf("%+v", got)
	}
	if d, err := f.Deployment(t.Context(), "demo"); err != nil || d.Status != "deployed" || d.Instances != 4 {
		t.Errorf("%+v, %v", d, err)
	}
}
