package orch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// failing is a store that cannot be written any more, as on a full disk.
type failing struct {
	state.Store
	full atomic.Bool
}

func (s *failing) Update(ctx context.Context, fn func(state.Tx) error) error {
	if s.full.Load() {
		return errors.New("no space left on device")
	}
	return s.Store.Update(ctx, fn)
}

// A task that its process has to leave does not let its watchers wait for ever: they are told why, and it goes on when the store is well again.
func TestWatchersOfALeftTaskAreTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := &failing{Store: f.opts.Store}
	f.opts.Store = s
	f.restart(t)
	task, let := f.begin(t, "web[0].create")
	s.full.Store(true)
	let()
	for _, err := range f.Events(t.Context(), orch.Filter{Deployment: "demo", Follow: true, UntilTask: task.ID}) {
		if err != nil {
			t.Fatal(err)
		}
	} // it ends
	_, err := f.Wait(t.Context(), "demo", task.ID)
	var known *orch.Error
	if !errors.As(err, &known) || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(known.Hint, "orch resume demo") {
		t.Fatalf("got %v", err)
	}
	s.full.Store(false)
	if err := f.Control(t.Context(), orch.Control{Deployment: "demo", Verb: "resume"}); err != nil {
		t.Fatal(err)
	}
	if done, err := f.Wait(t.Context(), "demo", task.ID); err != nil || done.Status != "done" {
		t.Errorf("%+v, %v", done, err)
	}
}

// Who waits on a server that has lost its lease waits on: a server goes on with the task within seconds.
func TestWatchersOfAServerWaitForTheNext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if _, err := f.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	task, let := f.begin(t, "web[0].create")
	if err := f.opts.Store.BreakLease(t.Context(), state.Join("deployment", "demo")); err != nil {
		t.Fatal(err)
	}
	let()
	type end struct {
		task orch.Task
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		done, err := f.Wait(t.Context(), "demo", task.ID)
		ended <- end{done, err}
	}()
	for {
		select {
		case e := <-ended:
			if e.err != nil || e.task.Status != "done" {
				t.Errorf("%+v, %v", e.task, e.err)
			}
			return
		case <-time.After(10 * time.Millisecond):
			if _, err := f.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Who asks again for what a process that has died was about goes on with it: what it has done is not done again.
func TestAskingAgainGoesOnWithWhatWasLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		req  orch.Request
		at   string
		want []string // done in all
	}{
		"an operation": {work("app"), "app[0].Custom.work", []string{"app[0].Custom.work"}},
		"a workflow":   {orch.Request{Verb: orch.Workflow, Workflow: "restart"}, "app[0].stop", []string{"app[0].start", "app[0].stop", "db[0].start", "db[0].stop"}},
		"one more":     {orch.Request{Verb: orch.Deploy, ScaleBy: map[string]int{"app": 1}}, "app[1].start", []string{"app[1].create", "app[1].start"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newNodes(t, "app 1 3", "db >app")
			let := f.block(t, test.at)
			first := ask(t, f, test.req)
			f.until(t, test.at)
			f.restart(t)
			let()
			again := ask(t, f, test.req)
			if again.ID != first.ID {
				t.Errorf("asked again it is task %s, not %s", again.ID, first.ID)
			}
			finish(t, f, again.ID)
			done := f.world.done()
			slices.Sort(done)
			if diff := cmp.Diff(test.want, done); diff != "" {
				t.Errorf("done (-want +got):\n%s", diff)
			}
		})
	}
}
