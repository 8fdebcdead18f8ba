package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
)

func timed(id string, from, to int, needs ...string) orch.StepStatus {
	return orch.StepStatus{Step: &plan.Step{ID: id, Needs: needs}, Status: "done", Attempts: 1,
		Started: start.Add(time.Duration(from) * time.Second), Ended: start.Add(time.Duration(to) * time.Second)}
}

func TestCriticalPathIsWhatDecidedTheEnd(t *testing.T) {
	steps := []orch.StepStatus{
		// made in one go: the port begins with the server that it needs, and ends before it
		timed("server[0].create", 0, 25), timed("port[0].create", 0, 15, "server[0].create"),
		timed("app[0].create", 25, 30, "port[0].create", "server[0].create"),
		timed("other[0].create", 25, 28, "server[0].create"),
		timed("app[0].start", 30, 31, "app[0].create", "other[0].create"),
	}
	got, err := TimesOf(orch.Task{ID: "t", Workflow: "install", Status: "done", Started: start, Ended: start.Add(31 * time.Second)}, steps, start)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"server[0].create", "app[0].create", "app[0].start"}, got.Critical); diff != "" {
		t.Error(diff)
	}
	if got.CriticalSeconds != 31 || got.WorkSeconds != 49 || got.Steps[0].ID != "server[0].create" || !got.Steps[0].Critical {
		t.Errorf("%+v", got)
	}
	var b bytes.Buffer
	(&Printer{W: &b}).Times(got, false)
	for _, want := range []string{"install  done in 31s; all steps together 49s", "Critical path: 3 steps in 31s", "+25s   5.0s  app[0].create"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("missing %q in:\n%s", want, b.String())
		}
	}
}

func TestWaitsAreSummedUpByReason(t *testing.T) {
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	a, b := timed("a[0].create", 0, 20), timed("b[0].create", 0, 30)
	a.Waits = []orch.Wait{{For: "openstack_compute_instance_v2.a_0_server: still creating", Since: at(0), Until: at(5)},
		{For: "SSH (connection refused)", Since: at(5), Until: at(9)}, {For: "another attempt in 4s: exit code 3", Since: at(9), Until: at(13)}}
	b.Waits = []orch.Wait{{For: "SSH (no route to host)", Since: at(1), Until: at(9)}, {For: "a free place: host vm[0] is busy", Since: at(25)}}
	got, err := TimesOf(orch.Task{Workflow: "install", Status: "running", Started: start}, []orch.StepStatus{a, b}, at(28))
	if err != nil {
		t.Fatal(err)
	}
	want := []WaitTime{{"SSH", 12, 2}, {"the cloud: still creating", 5, 1}, {"another attempt", 4, 1}, {"a free place: host vm[0] is busy", 3, 1}}
	if diff := cmp.Diff(want, got.Waits); diff != "" {
		t.Error(diff)
	}
	var out bytes.Buffer
	(&Printer{W: &out}).Times(got, false)
	if !strings.Contains(out.String(), "Waiting, all steps together") || !strings.Contains(out.String(), "12s   2 steps  SSH") {
		t.Errorf("printed\n%s", out.String())
	}
}

func TestARunningTaskIsMeasuredUntilNow(t *testing.T) {
	s := timed("a[0].create", 0, 0)
	s.Status, s.Ended = "doing", time.Time{}
	got, err := TimesOf(orch.Task{Status: "running", Started: start}, []orch.StepStatus{s, {Step: &plan.Step{ID: "b[0].create", Needs: []string{"a[0].create"}}, Status: "pending"}}, start.Add(7*time.Second))
	if err != nil || got.Seconds != 7 || got.CriticalSeconds != 7 || len(got.Steps) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
