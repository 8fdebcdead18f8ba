package orch_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

func TestCreateRecordsAndInstallsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	d, err := f.Create(ctx, orch.Request{Deployment: "demo", Source: bundle("hello"), New: true})
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != string(orch.StatusCreated) || d.Task != "" || d.Revision != 1 {
		t.Errorf("created: %+v", d)
	}
	if did := f.world.done(); len(did) > 0 {
		t.Errorf("creating did %v", did)
	}
	m, err := f.Model(ctx, "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range m.Resolved.Nodes {
		if len(m.Wanted[n.Name]) != 1 {
			t.Errorf("%s: wanted %v", n.Name, m.Wanted[n.Name])
		}
	}
	if len(m.Nodes) != len(m.Resolved.Nodes) || len(m.Nodes[0].Instances) != 0 {
		t.Errorf("nodes %+v", m.Nodes)
	}
	if _, err := f.Recover(ctx); err != nil {
		t.Errorf("recover: %v", err)
	}
	if tasks, err := f.Tasks(ctx, "demo"); err != nil || len(tasks) != 0 {
		t.Errorf("tasks %v, %v", tasks, err)
	}

	if _, err := f.Create(ctx, orch.Request{Deployment: "demo", Source: bundle("hello"), New: true}); kindOf(err) != orch.KindConflict {
		t.Errorf("created twice: %v", err)
	}
	task := f.apply(t, orch.Request{Verb: orch.Deploy, Deployment: "demo"})
	if task.Status != "done" || len(f.world.done()) == 0 {
		t.Errorf("installed: %+v, did %v", task, f.world.done())
	}
	if got, err := f.TaskOf(ctx, task.ID); err != nil || got.Deployment != "demo" || got.ID != task.ID {
		t.Errorf("TaskOf: %+v, %v", got, err)
	}
	if _, err := f.TaskOf(ctx, "01ARZ3NDEKTSV4RRFFQ69G5FAV"); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("TaskOf an unknown one: %v", err)
	}
	if _, err := f.Create(ctx, orch.Request{Deployment: "demo", Source: bundle("other")}); kindOf(err) != orch.KindConflict {
		t.Errorf("created over what is installed: %v", err)
	}
}

func TestCreatedIsPurged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.Create(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello")}); err != nil {
		t.Fatal(err)
	}
	f.apply(t, orch.Request{Verb: orch.Undeploy, Deployment: "demo", Purge: true})
	if _, err := f.Deployment(t.Context(), "demo"); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("purged: %v", err)
	}
}

func TestCreateChecks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.Create(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello"), Inputs: map[string]any{"nonsense": 1}})
	var list *diag.ListError
	if !errors.As(err, &list) || list.List[0].Code != "unknown-input" {
		t.Errorf("an unknown input: %v", err)
	}
	if _, err := f.Deployment(t.Context(), "demo"); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("half created: %v", err)
	}
}

func TestSetAttributes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	web := topology.Instance{Node: "web", Index: "0"}
	f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello")})
	before := f.attributes(t, web)
	if err := f.SetAttributes(ctx, "demo", web, map[string]any{"note": "by hand", "list": []any{int64(1)}}); err != nil {
		t.Fatal(err)
	}
	if got := f.attributes(t, web); got["note"] != "by hand" || len(got) == 0 {
		t.Errorf("from %v to %v", before, got)
	}
	if err := f.SetAttributes(ctx, "demo", topology.Instance{Node: "web", Index: "7"}, nil); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("no such instance: %v", err)
	}
	if err := f.SetAttributes(ctx, "nothing", web, nil); !errors.Is(err, orch.ErrNotFound) {
		t.Errorf("no such deployment: %v", err)
	}
}

func (f *fixture) attributes(t *testing.T, in topology.Instance) map[string]any {
	t.Helper()
	d, err := f.Deployment(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Nodes {
		for _, i := range n.Instances {
			if n.Name == in.Node && i.Index == in.Index {
				return i.Attributes
			}
		}
	}
	return nil
}

// heldFor is a store in which a process that has died while it recorded a deployment holds that for some more looks.
type heldFor struct {
	state.Store
	looks atomic.Int32
}

func (s *heldFor) Lease(ctx context.Context, key string, opts state.LeaseOptions) (*state.Lease, error) {
	if key == state.Join("deployment", "demo") && s.looks.Add(-1) >= 0 {
		return nil, &state.HeldError{Holder: state.Holder{Key: key}}
	}
	return s.Store.Lease(ctx, key, opts)
}

// What a process held that died before the deployment was on record is waited for, not refused.
func TestCreateWaitsForWhoDiedRecordingIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := &heldFor{Store: f.opts.Store}
	f.opts.Store = s
	f.restart(t)
	s.looks.Store(3)
	if _, err := f.Create(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello"), New: true}); err != nil {
		t.Error(err)
	}
	s.looks.Store(1)
	if _, err := f.Create(t.Context(), orch.Request{Deployment: "demo", Source: bundle("hello")}); kindOf(err) != orch.KindConflict {
		t.Errorf("one on record that another process holds: %v", err)
	}
}
