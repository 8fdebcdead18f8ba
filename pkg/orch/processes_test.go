package orch_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/consul"
	"github.com/orch-project/orch/pkg/state/mem"
)

// onEveryStore runs a test with stores as two processes have them: connections of their own to Consul, and one store where a file belongs to
// one process.
func onEveryStore(t *testing.T, test func(t *testing.T, one, two state.Store)) {
	t.Helper()
	t.Parallel()
	closed := func(t *testing.T, s state.Store, err error) state.Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		s := closed(t, mem.New(mem.Options{}), nil)
		test(t, s, s)
	})
	t.Run("bolt", func(t *testing.T) {
		t.Parallel()
		s, err := bolt.Open(t.Context(), filepath.Join(t.TempDir(), "orch.db"), bolt.Options{})
		test(t, closed(t, s, err), s)
	})
	t.Run("consul", func(t *testing.T) {
		t.Parallel()
		if testing.Short() {
			t.Skip("needs Consul")
		}
		addr := tools.StartConsul(t, 1).Addr()
		connect := func() state.Store {
			s, err := consul.Open(t.Context(), consul.Options{Addresses: []string{addr}})
			return closed(t, s, err)
		}
		test(t, connect(), connect())
	})
}

// second is another process on the fixture's deployments.
func (f *fixture) second(t *testing.T, store state.Store) *orch.Local {
	t.Helper()
	opts := f.opts
	opts.Store = store
	l, err := orch.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// What one process asks for while another one works is begun by that, at once or when its nodes are free; when the holder ends first, by who
// has asked.
func TestTheQueueOfTwoProcesses(t *testing.T) {
	onEveryStore(t, func(t *testing.T, one, two state.Store) {
		f := newFixtureOn(t, one).nodes(t, "app", "db")
		l2 := f.second(t, two)
		for _, l := range []*orch.Local{f.Local, l2} { // both are servers
			if _, err := l.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		let := f.block(t, "app[0].Custom.work")
		ask(t, f, work("app"))
		f.until(t, "app[0].Custom.work")
		if got := finish(t, l2, ask(t, l2, work("db", "bob")).ID); got.Status != "done" || got.User != "bob" {
			t.Errorf("%+v %+v", got, got.Failure)
		}
		busy := ask(t, l2, orch.Request{Verb: orch.Workflow, Workflow: "restart"})
		back := ask(t, l2, orch.Request{Source: nodes("app =bye", "db")})
		if err := l2.Control(t.Context(), orch.Control{Deployment: "demo", Task: back.ID, Verb: "cancel"}); err != nil {
			t.Error(err)
		}
		for !strings.Contains(reaches(t, l2, busy.ID, "queued").Waits, "touches app") {
		}
		let()
		if got := finish(t, l2, busy.ID); got.Status != "done" {
			t.Errorf("%+v %+v", got, got.Failure)
		}
		if got := finish(t, l2, back.ID); got.Status != "cancelled" {
			t.Errorf("%+v", got)
		}
		f.world.forget()
		again := f.block(t, "app[0].Custom.work")
		left := ask(t, f, work("app"))
		f.until(t, "app[0].Custom.work")
		later := ask(t, l2, orch.Request{Source: nodes("app =bye", "db")})
		go again()
		f.Local.Close() // its task is left where it is, or has just ended
		for _, id := range []string{left.ID, later.ID} {
			for {
				if _, err := l2.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				task, err := engine.LoadTask(t.Context(), two, "demo", id)
				if err != nil {
					t.Fatal(err)
				}
				if task.Status.Ended() {
					if task.Status != engine.Done {
						t.Errorf("%+v %+v", task, task.Failure)
					}
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		if got := f.world.done(); !slices.Contains(got, "app[0].create") {
			t.Errorf("done %v", got)
		}
	})
}

// Of many processes' requests for one deployment that does not exist yet all are answered, and one of the equal ones is done.
func TestManyAskForTheFirstDeployment(t *testing.T) {
	onEveryStore(t, func(t *testing.T, one, two state.Store) {
		f := newFixtureOn(t, one).nodes(t)
		l2 := f.second(t, two)
		var wg sync.WaitGroup
		ids := make([]string, 8)
		for i := range ids {
			wg.Go(func() {
				svc := orch.Service(f)
				if i%2 == 1 {
					svc = l2
				}
				task, err := svc.Apply(t.Context(), orch.Request{Deployment: "demo", Source: nodes("app")})
				if err != nil {
					t.Error(err)
				}
				ids[i] = task.ID
			})
		}
		wg.Wait()
		for _, id := range ids {
			if got := finish(t, l2, id); got.Status != "done" {
				t.Errorf("%+v %+v", got, got.Failure)
			}
		}
		if got := f.world.done(); !slices.Equal(got, []string{"app[0].create", "app[0].start"}) {
			t.Errorf("done %v", got)
		}
	})
}

// purging is a store that notices when a deployment begins to be forgotten.
type purging struct {
	state.Store
	begun func() error // nil: nothing more
	fail  atomic.Pointer[error]
}

func (p *purging) Update(ctx context.Context, fn func(state.Tx) error) error {
	if err := p.fail.Load(); err != nil {
		return *err
	}
	marked := false
	err := p.Store.Update(ctx, func(tx state.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		e, err := tx.Get(state.Join("deployments", "demo"))
		marked = err == nil && strings.Contains(string(e.Value), `"purging":true`)
		return nil
	})
	if err == nil && marked && p.begun != nil {
		if err := p.begun(); err != nil {
			p.fail.Store(&err)
		}
	}
	return err
}

// A request that comes while a deployment is being forgotten is not forgotten with it.
func TestARequestWhileADeploymentIsForgotten(t *testing.T) {
	onEveryStore(t, func(t *testing.T, one, two state.Store) {
		p := &purging{Store: one}
		f := newFixtureOn(t, p).nodes(t, "app")
		l2 := f.second(t, two)
		before := ask(t, f, orch.Request{Verb: orch.Workflow, Workflow: "restart"})
		finish(t, f, before.ID)
		marked, go_on := make(chan struct{}), make(chan struct{})
		var once sync.Once
		p.begun = func() error {
			once.Do(func() { close(marked); <-go_on })
			return nil
		}
		ask(t, f, orch.Request{Verb: orch.Undeploy, Purge: true})
		<-marked
		got := make(chan orch.Task, 2)
		for _, svc := range []orch.Service{f, l2} {
			go func() {
				task, err := svc.Apply(t.Context(), orch.Request{Deployment: "demo", Source: nodes("app =new")})
				if err != nil {
					t.Error(err)
				}
				got <- task
			}()
		}
		select {
		case task := <-got:
			t.Errorf("accepted before the old deployment is gone: %+v", task)
			got <- task
		case <-time.After(300 * time.Millisecond): // it waits, as far as one can see
		}
		close(go_on)
		for range 2 {
			if task := finish(t, l2, (<-got).ID); task.Status != "done" {
				t.Errorf("%+v %+v", task, task.Failure)
			}
		}
		d, err := l2.Deployment(t.Context(), "demo")
		if err != nil || d.Revision != 1 || d.Status != "deployed" {
			t.Errorf("%+v, %v", d, err)
		}
		if tasks, err := l2.Tasks(t.Context(), "demo"); err != nil || slices.ContainsFunc(tasks, func(t orch.Task) bool { return t.ID == before.ID }) {
			t.Errorf("%+v, %v", tasks, err)
		}
	})
}

// A process that dies while it forgets a deployment leaves that to the next one.
func TestForgettingGoesOn(t *testing.T) {
	t.Parallel()
	p := &purging{Store: mem.New(mem.Options{})}
	defer p.Store.Close()
	f := newFixtureOn(t, p).nodes(t, "app")
	p.begun = func() error { return errors.New("the process has died") }
	task := ask(t, f, orch.Request{Verb: orch.Undeploy, Purge: true})
	if got := finish(t, f, task.ID); got.Status != "done" {
		t.Errorf("%+v", got)
	}
	p.begun = nil
	p.fail.Store(nil)
	f.restart(t)
	if _, err := f.Recover(t.Context()); err != nil {
		t.Error(err)
	}
	if all, err := f.Deployments(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// Requests that outlive the deployment for which they were made are found although its process has died.
func TestRequestsThatOutliveTheirDeployment(t *testing.T) {
	t.Parallel()
	f := newNodes(t, "app")
	let := f.block(t, "app[0].stop")
	gone := ask(t, f, orch.Request{Verb: orch.Undeploy, Purge: true})
	f.until(t, "app[0].stop")
	later := ask(t, f, orch.Request{Source: nodes("app =new")})
	if later.Status != "queued" {
		t.Fatalf("%+v", later)
	}
	_ = gone
	// The deployment is gone and its request is not begun: as if the process had died in between.
	err := f.store.Update(t.Context(), func(tx state.Tx) error {
		q, err := tx.Get(state.Join("d", "demo", "queue", later.ID))
		if err != nil {
			return err
		}
		r, err := tx.Get(state.Join("d", "demo", "task", later.ID))
		if err != nil {
			return err
		}
		return errors.Join(tx.DeletePrefix(state.Prefix("d", "demo")), tx.Delete(state.Join("deployments", "demo")), state.DropEventsTx(tx, "demo"),
			tx.Put(q.Key, q.Value), tx.Put(r.Key, r.Value), state.Put(tx, state.Join("waiting", "demo"), struct{}{}))
	})
	if err != nil {
		t.Fatal(err)
	}
	l := f.Local
	go let()
	l.Close()
	f.restart(t)
	for {
		if _, err := f.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if task, err := engine.LoadTask(t.Context(), f.store, "demo", later.ID); err == nil && task.Status.Ended() {
			if task.Status != engine.Done {
				t.Errorf("%+v %+v", task, task.Failure)
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := f.store.View(t.Context(), func(tx state.Tx) error {
		_, err := tx.Get(state.Join("waiting", "demo"))
		return err
	}); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("it is still looked for: %v", err)
	}
}
