package orch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// strays is an Inventory of a cloud that holds what no record knows.
type strays struct {
	left    []string
	refuses error
	removed int
}

func (s *strays) Inventory(context.Context, string, string) (left, checked []string, err error) {
	return slices.Clone(s.left), []string{"nova", "neutron"}, nil
}

func (s *strays) Remove(context.Context, string, string, ...string) error {
	s.removed++
	if s.refuses == nil {
		s.left = nil
	}
	return s.refuses
}

// What an attempt that was cut off has made without anybody knowing is gone after the undeployment, too, and the user is told.
func TestUndeployRemovesWhatNobodyKnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cloud := &strays{left: []string{"neutron security group web 1f"}}
	f.opts.Inventory = cloud
	f.restart(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	task := f.apply(t, orch.Request{Verb: orch.Undeploy})
	if task.Status != "done" || len(task.Left) != 0 || cloud.removed != 1 {
		t.Errorf("%+v %+v, removed %d times", task, task.Failure, cloud.removed)
	}
	said := false
	for e, err := range f.Events(t.Context(), orch.Filter{Deployment: "demo", Task: task.ID}) {
		if err != nil {
			t.Fatal(err)
		}
		said = said || e.Type == event.Log && strings.Contains(e.Message, "neutron security group web 1f")
	}
	if !said {
		t.Error("no event tells of it")
	}
}

// What cannot be removed is listed, with the reason.
func TestUndeployListsWhatStaysAndWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.opts.Inventory = &strays{left: []string{"neutron network web 2f"}, refuses: errors.New("network 2f is in use by port 3f")}
	f.restart(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	task := f.apply(t, orch.Request{Verb: orch.Undeploy})
	if task.Status != "failed" || !slices.Contains(task.Left, "neutron network web 2f") || !strings.Contains(strings.Join(task.Left, " "), "in use by port 3f") {
		t.Errorf("%+v", task)
	}
}
