package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

// scripted is a driver that does what the test says, by step.
type scripted struct {
	mu    sync.Mutex
	do    map[string]func(ctx context.Context, req *driver.Request, attempt int) (driver.Result, error)
	calls map[string]int
	opIDs map[string][]string
	log   []string
	most  int // at once
	now   int
	vars  map[string]map[string]driver.Variable
}

func newScripted() *scripted {
	return &scripted{do: map[string]func(context.Context, *driver.Request, int) (driver.Result, error){}, calls: map[string]int{}, opIDs: map[string][]string{},
		vars: map[string]map[string]driver.Variable{}}
}

func (s *scripted) Name() string { return "scripted" }

func (s *scripted) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	s.mu.Lock()
	s.calls[req.Step]++
	n, do := s.calls[req.Step], s.do[req.Step]
	s.opIDs[req.Step] = append(s.opIDs[req.Step], req.OpID)
	s.log = append(s.log, req.Step)
	s.now++
	s.most = max(s.most, s.now)
	s.vars[req.Step] = map[string]driver.Variable{}
	for _, v := range req.Variables {
		s.vars[req.Step][v.Name] = v
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	if do != nil {
		return do(ctx, req, n)
	}
	return driver.Result{}, nil
}

// bench is a topology under test with its engine.
type bench struct {
	t     *testing.T
	store *mem.Store
	d     *scripted
	opts  engine.Options
	top   *topology.Topology
	job   engine.Job
}

func newBench(t *testing.T, top *topology.Topology) *bench {
	b := &bench{t: t, store: mem.New(mem.Options{}), d: newScripted(), top: top}
	t.Cleanup(func() { b.store.Close() })
	b.opts = engine.Options{Store: b.store, Infra: b.d, Remote: b.d, Local: b.d, Cipher: rot{}}
	return b
}

func (b *bench) plan(in plan.Input) {
	b.t.Helper()
	snap, err := engine.Load(b.t.Context(), b.store, "d")
	if err != nil {
		b.t.Fatal(err)
	}
	in.Deployment, in.Topology, in.Recorded = "d", b.top, snap.Recorded()
	p, diags := plan.Build(in)
	if p == nil {
		b.t.Fatal(diags)
	}
	b.job = engine.Job{Deployment: "d", Task: "t", Plan: p, Topology: b.top, Previous: b.top, Inputs: in.Inputs}
}

func (b *bench) run(commands chan engine.Command) *engine.Outcome {
	b.t.Helper()
	lease, err := b.store.Lease(b.t.Context(), "d", state.LeaseOptions{Owner: "test", Host: "here"})
	if err != nil {
		b.t.Fatal(err)
	}
	defer lease.Release(b.t.Context())
	out, err := engine.New(b.opts).Run(b.t.Context(), lease, b.job, commands)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bench) events() []event.Event {
	b.t.Helper()
	page, err := state.NewEventLog(b.store).Read(b.t.Context(), state.EventFilter{Deployment: "d"}, 0, 10_000)
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Events
}

// rot is a cipher for tests: nothing readable is left, and nothing is safe.
type rot struct{}

func (rot) Seal(b []byte) ([]byte, error) { return turn(b), nil }
func (rot) Open(b []byte) ([]byte, error) { return turn(b), nil }

func turn(b []byte) []byte {
	out := slices.Clone(b)
	for i := range out {
		out[i] ^= 0x5a
	}
	return out
}

// chain is nodes a, b, c …, each depending on the one before it, with a create operation.
func chain(names ...string) *topology.Topology {
	t := &topology.Topology{Name: "chain", Digest: "c", Workflows: map[string]*topology.Workflow{}}
	for i, name := range names {
		n := &topology.Node{Name: name, Type: topology.Type{"Any"}, Properties: topology.NewValues(), Attributes: topology.NewValues()}
		n.Interfaces = []*topology.Interface{{Name: "Standard", Operations: []*topology.Operation{{Interface: "Standard", Name: "create", Retries: -1,
			Implementation: &topology.Artifact{File: "create.sh"}, Inputs: topology.NewValues(), Pos: diag.Pos{File: "app.yaml", Line: 10 + i}}}}}
		if i > 0 {
			n.Relationships = []*topology.Relationship{{Name: "dep", Type: topology.Type{"tosca.relationships.DependsOn"}, Source: name, Target: names[i-1]}}
		}
		t.Nodes = append(t.Nodes, n)
	}
	t.Reindex()
	return t
}

func create(t *topology.Topology, node string) *topology.Operation {
	return t.NodeNamed(node).Operation("Standard", "create")
}

func TestFailureStopsOnlyDependants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b", "c", "x", "y")
		top.NodeNamed("x").Relationships = nil
		b := newBench(t, top)
		b.d.do["b[0].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			return driver.Result{}, &driver.Error{Op: "run create.sh", Host: "10.0.0.1", ExitCode: 7, Stderr: []string{"one", "two"}, Hint: "try harder"}
		}
		b.plan(plan.Input{})
		out := b.run(nil)
		f := out.Failure
		if out.Status != engine.Failed || f == nil || f.Step != "b[0].create" || f.ExitCode != 7 || f.Hint != "try harder" || f.Host != "10.0.0.1" ||
			f.Pos != (diag.Pos{File: "app.yaml", Line: 11}) || !slices.Equal(f.Skipped, []string{"c[0].create"}) {
			t.Errorf("outcome %+v, failure %+v", out, f)
		}
		if out.Progress != (engine.Progress{Total: 5, Done: 3, Failed: 1, Skipped: 1}) {
			t.Errorf("progress %+v", out.Progress)
		}
		snap, _ := engine.Load(t.Context(), b.store, "d")
		if s := snap.Instances[topology.Instance{Node: "b", Index: "0"}].State; s != "error" {
			t.Errorf("b is %s", s)
		}
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("lost", "busy", "own", "never")
		create(top, "own").Retries, create(top, "own").RetryInterval = 2, 7*time.Second
		b := newBench(t, top)
		fail := func(times int, err error) func(context.Context, *driver.Request, int) (driver.Result, error) {
			return func(_ context.Context, req *driver.Request, n int) (driver.Result, error) {
				if req.Attempt != n { // drivers look for what an earlier attempt has left
					t.Errorf("%s: call %d is told that it is attempt %d", req.Step, n, req.Attempt)
				}
				if n <= times {
					return driver.Result{}, err
				}
				return driver.Result{}, nil
			}
		}
		b.d.do["lost[0].create"] = fail(3, &driver.Error{Op: "ssh", Retryable: true})
		b.d.do["busy[0].create"] = fail(1, &driver.Error{Op: "apt", Retryable: true, ExitCode: 100, RetryAfter: 30 * time.Second})
		b.d.do["own[0].create"] = fail(2, &driver.Error{Op: "run", ExitCode: 1})
		b.d.do["never[0].create"] = fail(99, &driver.Error{Op: "run", ExitCode: 1})
		b.plan(plan.Input{})
		start := time.Now()
		out := b.run(nil)
		took := time.Since(start)
		if out.Failure == nil || out.Failure.Step != "never[0].create" || b.d.calls["never[0].create"] != 1 {
			t.Errorf("failure %+v after %d calls", out.Failure, b.d.calls["never[0].create"])
		}
		if ids := b.d.opIDs["lost[0].create"]; len(ids) != 4 || len(slices.Compact(slices.Clone(ids))) != 1 {
			t.Errorf("after lost connections: %v, want one OpID four times", ids)
		}
		if ids := b.d.opIDs["busy[0].create"]; len(ids) != 2 || ids[0] == ids[1] {
			t.Errorf("an operation that has ended: %v, want two OpIDs", ids)
		}
		if ids := b.d.opIDs["own[0].create"]; len(ids) != 3 || len(slices.Compact(slices.Clone(ids))) != 3 {
			t.Errorf("own retries: %v, want three OpIDs", ids)
		}
		// lost: 1–2, 2–4, 4–8 s; busy: 30 s; own: twice 7 s.
		if took < 51*time.Second || took > 59*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// An operation of which it is known that it has no end, as after a reboot of its host, runs anew when resumed; one whose end is unknown is asked for.
func TestResumeAfterAnInterruption(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, chain("a"))
			b.d.do["a[0].create"] = func(_ context.Context, _ *driver.Request, n int) (driver.Result, error) {
				if n == 1 || lost && n <= 6 { // a lost connection has the engine's five attempts more
					return driver.Result{}, &driver.Error{Op: "run", ExitCode: -1, Retryable: lost, Err: errors.New("interrupted")}
				}
				return driver.Result{}, nil
			}
			b.plan(plan.Input{})
			if out := b.run(nil); out.Status != engine.Failed {
				t.Fatalf("%+v", out)
			}
			if out := b.run(nil); out.Status != engine.Done {
				t.Errorf("%+v", out)
			}
			ids := b.d.opIDs["a[0].create"]
			if same := ids[0] == ids[len(ids)-1]; same != lost {
				t.Errorf("lost %v: OpIDs %v", lost, ids)
			}
		})
	}
}

// The connection was lost for good because the host went down. Resumed once it is up again, the step asks for the old OpID, hears that it was
// interrupted, and runs anew in the same task; an interruption of that attempt is a failure.
func TestResumeAfterTheHostWentDown(t *testing.T) {
	for _, again := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, chain("a"))
			b.d.do["a[0].create"] = func(_ context.Context, _ *driver.Request, n int) (driver.Result, error) {
				switch {
				case n <= 6: // the first attempt and the engine's five more
					return driver.Result{}, &driver.Error{Op: "run", ExitCode: -1, Retryable: true, Err: errors.New("no route to host")}
				case n == 7 || again:
					return driver.Result{}, &driver.Error{Op: "run", ExitCode: -1, Err: fmt.Errorf("%w (gone)", driver.ErrInterrupted)}
				}
				return driver.Result{}, nil
			}
			b.plan(plan.Input{})
			if out := b.run(nil); out.Status != engine.Failed {
				t.Fatalf("%+v", out)
			}
			want := engine.Done
			if again {
				want = engine.Failed
			}
			if out := b.run(nil); out.Status != want {
				t.Errorf("interrupted again %v: %+v", again, out)
			}
			if ids := b.d.opIDs["a[0].create"]; len(ids) != 8 || ids[6] != ids[0] || ids[7] == ids[0] {
				t.Errorf("OpIDs %v, want the old one asked for once, and one new attempt", ids)
			}
		})
	}
}

func TestTimeoutOfAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a")
		create(top, "a").Timeout = 10 * time.Second
		b := newBench(t, top)
		b.d.do["a[0].create"] = func(ctx context.Context, _ *driver.Request, _ int) (driver.Result, error) {
			<-ctx.Done()
			return driver.Result{}, context.Cause(ctx)
		}
		b.plan(plan.Input{})
		out := b.run(nil)
		if out.Status != engine.Failed || !strings.Contains(out.Failure.Message, "did not end in time after 10s") {
			t.Errorf("outcome %+v", out.Failure)
		}
	})
}

func TestCancelInTwoStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b")
		b := newBench(t, top)
		killed := false
		b.d.do["a[0].create"] = func(ctx context.Context, _ *driver.Request, _ int) (driver.Result, error) {
			select {
			case <-ctx.Done():
				killed = !errors.Is(context.Cause(ctx), driver.ErrDetach)
				return driver.Result{}, context.Cause(ctx)
			case <-time.After(time.Hour):
				return driver.Result{}, nil
			}
		}
		b.plan(plan.Input{})
		commands := make(chan engine.Command)
		go func() {
			time.Sleep(time.Minute)
			commands <- engine.CommandCancel
			time.Sleep(time.Minute)
			synctest.Wait()
			commands <- engine.CommandForce
		}()
		start := time.Now()
		out := b.run(commands)
		if took := time.Since(start); out.Status != engine.Cancelled || took != 2*time.Minute || !killed || b.d.calls["b[0].create"] != 0 {
			t.Errorf("%+v after %s, killed %v", out, took, killed)
		}
		waits := false
		for _, e := range b.events() {
			waits = waits || e.Type == event.Waiting && strings.Contains(e.Message, "waits for a[0].create")
		}
		if !waits {
			t.Error("nobody was told what the cancellation waits for")
		}
		// It goes on with a new attempt: the old one was killed.
		b.d.do["a[0].create"] = nil
		if out := b.run(nil); out.Status != engine.Done {
			t.Errorf("resumed: %+v", out)
		}
		if ids := b.d.opIDs["a[0].create"]; len(ids) != 2 || ids[0] == ids[1] {
			t.Errorf("OpIDs %v", ids)
		}
	})
}

func TestOnFailureRunsInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fails := range []bool{false, true} {
			top := chain("a")
			std := top.NodeNamed("a").Interfaces[0]
			for _, op := range []string{"check", "repair", "after", "fine"} {
				std.Operations = append(std.Operations, &topology.Operation{Interface: "Standard", Name: op, Retries: -1, Implementation: &topology.Artifact{File: op}})
			}
			step := func(name string, ok, bad []string) *topology.WorkflowStep {
				return &topology.WorkflowStep{Name: name, Target: "a", OnSuccess: ok, OnFailure: bad,
					Activities: []topology.Activity{{Kind: topology.ActivityCall, Interface: "Standard", Name: name}}}
			}
			top.Workflows["w"] = &topology.Workflow{Name: "w", Steps: []*topology.WorkflowStep{
				step("check", []string{"fine", "after"}, []string{"repair"}), step("fine", nil, nil), step("repair", []string{"after"}, nil), step("after", nil, nil)}}
			b := newBench(t, top)
			b.plan(plan.Input{})
			b.run(nil)
			if fails {
				b.d.do["a[0].check"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
					return driver.Result{}, errors.New("broken")
				}
			}
			b.d.log = nil
			b.plan(plan.Input{Workflow: "w"})
			b.job.Task = "w"
			out := b.run(nil)
			got := slices.Sorted(slices.Values(b.d.log))
			want := []string{"a[0].after", "a[0].check", "a[0].fine"}
			if fails {
				want = []string{"a[0].after", "a[0].check", "a[0].repair"}
			}
			if out.Status != engine.Done || !slices.Equal(got, want) {
				t.Errorf("fails %v: %+v, done %v, want %v", fails, out, got, want)
			}
		}
	})
}

func TestMissingValueIsReportedAtItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b")
		v := &topology.Value{Kind: topology.CallValue, Pos: diag.Pos{File: "app.yaml", Line: 33, Col: 9},
			Call: &topology.Call{Fn: "get_operation_output", Args: []*topology.Value{topology.Lit("a"), topology.Lit("Standard"), topology.Lit("create"), topology.Lit("URL")}}}
		create(top, "b").Inputs.Set("URL", v)
		b := newBench(t, top)
		b.plan(plan.Input{})
		out := b.run(nil)
		if out.Failure == nil || out.Failure.Step != "b[0].create" || out.Failure.Pos.Line != 33 || !strings.Contains(out.Failure.Message, "the input URL of b[0].create needs a.Standard.create.URL") {
			t.Errorf("failure %+v", out.Failure)
		}
		b.d.do["a[0].create"] = nil
	})
}

// vault is a SecretReader.
type vault map[string]string

func (v vault) Secret(_ context.Context, args []string) (secret.Value, error) {
	if s, ok := v[args[0]]; ok {
		return secret.New(s), nil
	}
	return secret.Value{}, errors.New("no such secret")
}

func TestSecretsAreNeverStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		top := chain("a", "b")
		secretCall := &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: "get_secret", Args: []*topology.Value{topology.Lit("pw")}}}
		create(top, "a").Inputs.Set("PASSWORD", secretCall)
		b := newBench(t, top)
		b.opts.Secrets = vault{"pw": "correct-horse-battery"}
		b.d.do["a[0].create"] = func(_ context.Context, req *driver.Request, _ int) (driver.Result, error) {
			return driver.Result{Attributes: map[string]any{"dsn": secret.New("db://correct-horse-battery@x"), "plain": "x"},
				Outputs: map[string]string{"ECHO": "it is correct-horse-battery"}}, nil
		}
		b.d.do["b[0].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			return driver.Result{}, &driver.Error{Op: "login with correct-horse-battery", ExitCode: 1, Stderr: []string{"correct-horse-battery is wrong"}}
		}
		b.plan(plan.Input{})
		out := b.run(nil)
		if v := b.d.vars["a[0].create"]["PASSWORD"]; v.Value != "correct-horse-battery" || !v.Secret {
			t.Errorf("the script gets %+v", v)
		}
		if strings.Contains(out.Failure.Message+strings.Join(out.Failure.Stderr, ""), "battery") {
			t.Errorf("failure %+v", out.Failure)
		}
		err := b.store.View(t.Context(), func(tx state.Tx) error {
			for e, err := range tx.List("") {
				if err != nil {
					return err
				}
				if strings.Contains(string(e.Value), "battery") {
					t.Errorf("%s holds the secret: %s", e.Key, e.Value)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		snap, _ := engine.Load(t.Context(), b.store, "d")
		w := engine.New(b.opts).NewWorld(snap, nil)
		a := topology.Instance{Node: "a", Index: "0"}
		if v, _ := w.Attribute(a, "", "dsn"); v != secret.New("db://correct-horse-battery@x") {
			t.Errorf("dsn is %v", v)
		}
		if v, _ := w.OperationOutput(a, "", "Standard", "create", "ECHO"); v != secret.New("it is correct-horse-battery") {
			t.Errorf("ECHO is %v", v)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := strings.Split("abcdefghijklmnop", "")
		for _, c := range []struct {
			limits   engine.Limits
			parallel int
			want     int
		}{{engine.Limits{}, 0, 16}, {engine.Limits{Deployment: 5}, 0, 5}, {engine.Limits{}, 3, 3}, {engine.Limits{Drivers: map[string]int{"scripted": 2}}, 0, 2}} {
			top := chain(names...)
			for _, n := range top.Nodes {
				n.Relationships = nil
			}
			b := newBench(t, top)
			for _, n := range names {
				b.d.do[n+"[0].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
					time.Sleep(time.Second)
					return driver.Result{}, nil
				}
			}
			b.opts.Limits = c.limits
			b.plan(plan.Input{})
			b.job.Parallel = c.parallel
			if out := b.run(nil); out.Status != engine.Done || b.d.most != c.want {
				t.Errorf("%+v: %d at once, want %d; %+v", c, b.d.most, c.want, out)
			}
		}
	})
}

func TestStoreThatIsAwayForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, chain("a", "b"))
		var mu sync.Mutex
		until := time.Now().Add(time.Minute)
		away := &flaky{Store: b.store, fault: func() error {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(until) {
				return &state.UnavailableError{Store: "test", Err: errors.New("no leader")}
			}
			return nil
		}}
		b.opts.Store = away
		b.plan(plan.Input{})
		if out := b.run(nil); out.Status != engine.Done || time.Now().Before(until) {
			t.Errorf("%+v at %s", out, time.Now())
		}
	})
}

type flaky struct {
	state.Store
	fault func() error
}

func (f *flaky) Update(ctx context.Context, fn func(state.Tx) error) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Store.Update(ctx, fn)
}

func TestLostLeaseDetaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, chain("a"))
		detached := false
		b.d.do["a[0].create"] = func(ctx context.Context, _ *driver.Request, n int) (driver.Result, error) {
			if n > 1 {
				return driver.Result{}, nil
			}
			<-ctx.Done()
			detached = errors.Is(context.Cause(ctx), driver.ErrDetach)
			return driver.Result{}, context.Cause(ctx)
		}
		b.plan(plan.Input{})
		lease, err := b.store.Lease(t.Context(), "d", state.LeaseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			_ = b.store.BreakLease(context.Background(), "d")
		}()
		if _, err := engine.New(b.opts).Run(t.Context(), lease, b.job, nil); !errors.Is(err, state.ErrFenced) || !detached {
			t.Errorf("%v, detached %v", err, detached)
		}
		if out := b.run(nil); out.Status != engine.Done {
			t.Errorf("%+v", out)
		}
		if ids := b.d.opIDs["a[0].create"]; len(ids) != 2 || ids[0] != ids[1] {
			t.Errorf("OpIDs %v, want the same twice", ids)
		}
	})
}
