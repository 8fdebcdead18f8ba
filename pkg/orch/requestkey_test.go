package orch_test

import (
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

// A request that is made again with its key, whatever has become of its task and whoever was asked, is the same request.
func TestTheSameRequestKeyIsTheSameTask(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := orch.WithRequestKey(t.Context(), "k1")
	req := orch.Request{Deployment: "demo", Source: bundle("hello"), New: true}
	first, err := f.Apply(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Wait(t.Context(), "demo", first.ID); err != nil {
		t.Fatal(err)
	}
	f.restart(t)
	if again, err := f.Apply(ctx, req); err != nil || again.ID != first.ID || again.Status != "done" {
		t.Errorf("%+v, %v, want %s", again, err, first.ID)
	}
	if _, err := f.Apply(orch.WithRequestKey(t.Context(), "k2"), req); kindOf(err) != orch.KindConflict {
		t.Errorf("another request is answered %v", err)
	}
	undeploy := orch.Request{Deployment: "demo", Verb: orch.Undeploy}
	other, err := f.Apply(orch.WithRequestKey(t.Context(), "k3"), undeploy)
	if err != nil || other.ID == first.ID {
		t.Fatalf("%+v, %v", other, err)
	}
	if tasks, err := f.Tasks(t.Context(), "demo"); err != nil || len(tasks) != 2 {
		t.Errorf("%+v, %v", tasks, err)
	}
}
