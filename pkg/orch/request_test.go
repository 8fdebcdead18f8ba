package orch

import (
	"errors"
	"testing"
)

// TestRequestsThatMakeNoSense are refused before anything is looked at.
func TestRequestsThatMakeNoSense(t *testing.T) {
	for name, r := range map[string]Request{
		"no verb":               {},
		"unknown verb":          {Verb: "frob"},
		"a task's own verb":     {Verb: Undo},
		"workflow without name": {Verb: Workflow},
		"operation without one": {Verb: Operate, Node: "a"},
		"fewer than no steps":   {Verb: Deploy, Parallel: -1},
		"fewer than no nodes":   {Verb: Deploy, Scale: map[string]int{"web": -1}},
	} {
		var e *Error
		if err := r.check(); !errors.As(err, &e) || e.Kind != KindUser {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, r := range []Request{{Verb: Deploy}, {Verb: Undeploy}, {Verb: Workflow, Workflow: "backup"}, {Verb: Operate, Operation: "start"}, {Verb: Deploy, Scale: map[string]int{"web": 0}}} {
		if err := r.check(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
