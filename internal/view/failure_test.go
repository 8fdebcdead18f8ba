package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// What fails in the same way on several instances is told once; another failure of theirs is not.
func TestFailuresOfOneKindAreFolded(t *testing.T) {
	at := func(i, message, stderr string) orch.Failure {
		return orch.Failure{Step: "web[" + i + "].start", Node: "web", Instance: i, Operation: "start", Host: "vm[" + i + "]", ExitCode: 1, WorkflowStep: "up",
			Message: "run start.sh on vm[" + i + "]: " + message, Stderr: []string{stderr}, Skipped: []string{"page[" + i + "].start"}}
	}
	f := at("0", "boom", "no such file")
	f.Others = []orch.Failure{at("1", "boom", "no such file"), at("2", "boom", "disk full"), at("3", "boom", "no such file")}
	var b bytes.Buffer
	p := NewPrinter(&b)
	p.Failure(orch.Task{Deployment: "d", Workflow: "install", Verb: orch.Deploy, Status: "failed", Failure: &f})
	got := b.String()
	for _, want := range []string{"web[0].start   of the workflow's step up", "likewise   2 steps: web[1].start, web[3].start", "3 steps because of it: page[0].start, page[1].start, page[3].start",
		"✗ also failed: run start.sh on vm[2]: boom", "disk full"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "no such file"); n != 1 {
		t.Errorf("the same is told %d times:\n%s", n, got)
	}
}

// A rollback is told with what it undoes, by the name that was asked for.
func TestARollbackNamesWhatItUndoes(t *testing.T) {
	var b bytes.Buffer
	failed := orch.Task{Deployment: "d", Workflow: "install", Doing: "update", Verb: orch.Deploy, Status: "failed", Failure: &orch.Failure{Step: "web[0].start", Node: "web", Message: "boom"}}
	NewPrinter(&b).Why(StatusReport{Detail: &orch.Detail{}, Task: &orch.Task{Deployment: "d", Workflow: "rollback", Verb: orch.Undo, Status: "done"}, Undone: &failed}, time.Now())
	if got := b.String(); !strings.Contains(got, "it rolls back update of d, which failed: boom") {
		t.Errorf("%s", got)
	}
}
