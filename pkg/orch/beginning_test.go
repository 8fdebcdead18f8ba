package orch_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// checking is a driver whose preflight warns.
type checking struct{ driver.Driver }

func (checking) Check(context.Context, []*driver.Request) diag.List {
	var list diag.List
	list.Warnf("test", diag.Pos{File: "topology.yml", Line: 3}, "that has no effect").Hint = "leave it out"
	list.Errorf("test", diag.Pos{}, "the image is not there")
	return list
}

// Who does not wait for the preflight, and sees no list of what it finds, is told of its warnings in the log. What is wrong fails the task itself.
func TestWarningsOfThePreflightInTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.opts.Infra = checking{f.opts.Infra}
	f.restart(t)
	said := func(req orch.Request) (lines []string) {
		t.Helper()
		task := f.apply(t, req)
		if task.Status != "done" {
			t.Fatalf("task %+v", task.Failure)
		}
		for end := time.Now().Add(time.Minute); ; { // the preflight goes on beside the task
			page, err := f.Page(t.Context(), orch.Filter{Deployment: "demo", Types: []event.Type{event.Log}}, 1000, 0)
			if err != nil {
				t.Fatal(err)
			}
			lines = nil
			for _, e := range page.Events {
				if e.Level == event.Warn && e.Task == task.ID {
					lines = append(lines, e.Message)
				}
			}
			if len(lines) > 0 || !req.Narrate || time.Now().After(end) {
				return lines
			}
		}
	}
	if got := said(orch.Request{Source: bundle("hello"), SkipPreflight: true}); len(got) != 0 {
		t.Errorf("nobody asked for it: %q", got)
	}
	got := said(orch.Request{Source: bundle("hello again"), SkipPreflight: true, Narrate: true})
	if want := "topology.yml:3: that has no effect (leave it out)"; strings.Join(got, "|") != want {
		t.Errorf("warnings %q, want %q", got, want)
	}
}
