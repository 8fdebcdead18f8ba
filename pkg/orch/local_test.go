package orch_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
)

// world is a driver that remembers what was done in it.
type world struct {
	mu   sync.Mutex
	log  []string
	fail map[string]error // by step
	hold map[string]chan struct{}
	vars map[string]map[string]string
	made map[string]bool
}

func newWorld() *world {
	return &world{fail: map[string]error{}, hold: map[string]chan struct{}{}, vars: map[string]map[string]string{}, made: map[string]bool{}}
}

func (w *world) Name() string { return "fake" }

func (w *world) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	w.mu.Lock()
	hold, err := w.hold[req.Step], w.fail[req.Step]
	w.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return driver.Result{}, context.Cause(ctx)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, req.Step)
	vars := map[string]string{}
	for _, v := range req.Variables {
		vars[v.Name] = v.Value
	}
	w.vars[req.Step] = vars
	emit(event.Event{Type: event.Log, Message: "doing " + req.Step})
	if err != nil {
		return driver.Result{}, err
	}
	res := driver.Result{Changed: true, Attributes: map[string]any{}, Outputs: map[string]string{}}
	switch req.Action {
	case driver.Create:
		w.made[req.ID().String()] = true
		res.Attributes["private_address"] = "10.0.0." + fmt.Sprint(10+len(w.made))
		res.Host = &driver.Host{Instance: req.ID(), Addresses: []string{res.Attributes["private_address"].(string)}}
	case driver.Delete:
		delete(w.made, req.ID().String())
	case driver.Run:
		res.Outputs["RESULT"] = "of " + req.Step
	}
	return res, nil
}

func (w *world) done() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.log)
}

func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = nil
}

func (w *world) setFail(step string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.fail, step)
		return
	}
	w.fail[step] = err
}

// Inventory proves what is left.
func (w *world) Inventory(context.Context, string, string) (left, checked []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for in := range w.made {
		left = append(left, "nova server "+in)
	}
	return left, []string{"nova"}, nil
}

// loader makes a topology of a bundle with the file "app": one server "vm" with "web" on it, whose greeting is what the file says.
func loader(_ context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
	raw, err := fs.ReadFile(b.FS, "app")
	if err != nil {
		var l diag.List
		l.Errorf("no-app", diag.Pos{File: b.Name}, "there is no file app: %v", err)
		return nil, l
	}
	text := strings.TrimSpace(string(raw))
	t := &topology.Topology{Name: "app", Digest: text, Files: b.FS}
	vm := &topology.Node{Name: "vm", Type: topology.Type{"tosca.nodes.Compute"}, Native: true, Properties: topology.NewValues()}
	web := &topology.Node{Name: "web", Type: topology.Type{"Web"}, Properties: topology.NewValues(), Attributes: topology.NewValues()}
	in := topology.NewValues()
	in.Set("GREETING", topology.Lit(text))
	in.Set("ADDRESS", call("get_attribute", "HOST", "private_address"))
	std := &topology.Interface{Name: "Standard"}
	for _, op := range []string{"create", "start", "stop", "delete"} {
		o := &topology.Operation{Interface: "Standard", Name: op, Retries: -1, Implementation: &topology.Artifact{File: op + ".sh"}}
		if op == "create" {
			o.Inputs = in
		}
		std.Operations = append(std.Operations, o)
	}
	web.Interfaces = []*topology.Interface{std}
	web.Relationships = []*topology.Relationship{{Name: "host", Type: topology.Type{"tosca.relationships.HostedOn"}, Source: "web", Target: "vm"}}
	t.Nodes = []*topology.Node{vm, web}
	t.Outputs = []*topology.Parameter{{Name: "url", Value: call("concat", "http://", call("get_attribute", "web", "address"))},
		{Name: "address", Value: call("get_attribute", "vm", "private_address")}, {Name: "result", Value: call("get_operation_output", "web", "Standard", "create", "RESULT")}}
	web.Attributes.Set("address", call("get_attribute", "HOST", "private_address"))
	t.Reindex()
	return t, nil
}

func call(fn string, args ...any) *topology.Value {
	c := &topology.Call{Fn: fn}
	for _, a := range args {
		if v, ok := a.(*topology.Value); ok {
			c.Args = append(c.Args, v)
		} else {
			c.Args = append(c.Args, topology.Lit(a))
		}
	}
	return &topology.Value{Kind: topology.CallValue, Call: c}
}

func bundle(greeting string) fs.FS {
	m := fstest.MapFS{"app": {Data: []byte(greeting)}, "unrelated": {Data: []byte("not to be stored")}}
	for _, op := range []string{"create", "start", "stop", "delete"} {
		m[op+".sh"] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	}
	return m
}

type fixture struct {
	*orch.Local
	world *world
	store state.Store
	opts  orch.Options
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	store := mem.New(mem.Options{})
	t.Cleanup(func() { store.Close() })
	return newFixtureOn(t, store)
}

func newFixtureOn(t *testing.T, store state.Store) *fixture {
	t.Helper()
	w := newWorld()
	f := &fixture{world: w, store: store}
	f.opts = orch.Options{Store: store, Load: loader, Infra: w, Remote: w, Local: w, Inventory: w, Retry: engine.Retry{Base: time.Millisecond}}
	f.restart(t)
	return f
}

// restart makes a new service on the same store, as a new process would.
func (f *fixture) restart(t *testing.T) {
	t.Helper()
	if f.Local != nil {
		f.Close()
	}
	l, err := orch.New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	f.Local = l
	t.Cleanup(func() { l.Close() })
}

func (f *fixture) apply(t *testing.T, req orch.Request) orch.Task {
	t.Helper()
	req.Deployment = "demo"
	task, err := f.Apply(t.Context(), req)
	if err != nil {
		t.Fatalf("Apply: %v", err)
	}
	task, err = f.Wait(t.Context(), "demo", task.ID)
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return task
}

func TestDeployUndeploy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := t.Context()
	task := f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello")})
	if task.Status != "done" || !task.Changed {
		t.Fatalf("task %+v, failure %+v", task, task.Failure)
	}
	want := []string{"vm[0].create", "web[0].create", "web[0].start"}
	if got := f.world.done(); !slices.Equal(got, want) {
		t.Errorf("done %v, want %v", got, want)
	}
	vars := f.world.vars["web[0].create"]
	for k, v := range map[string]string{"GREETING": "hello", "ADDRESS": "10.0.0.11", "NODE": "web", "INSTANCE": "web_0", "INSTANCES": "web_0", "HOST": "vm_0", "DEPLOYMENT_ID": "demo"} {
		if vars[k] != v {
			t.Errorf("%s = %q, want %q", k, vars[k], v)
		}
	}
	outs, err := f.Outputs(ctx, "demo", false)
	if err != nil || len(outs) != 3 || outs[0].Value != "http://10.0.0.11" || outs[1].Value != "10.0.0.11" || outs[2].Value != "of web[0].create" {
		t.Errorf("outputs %+v, %v", outs, err)
	}
	det, err := f.Deployment(ctx, "demo")
	if err != nil || det.Status != "deployed" || len(det.Nodes) != 2 || det.Nodes[1].Instances[0].State != "started" {
		t.Errorf("deployment %+v, %v", det, err)
	}

	f.world.forget()
	task = f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello")})
	if task.Changed || task.Status != "done" || len(f.world.done()) != 0 {
		t.Errorf("a second deploy: %+v, done %v", task, f.world.done())
	}

	f.restart(t)
	task = f.apply(t, orch.Request{Verb: orch.Undeploy})
	if task.Status != "done" || len(task.Left) != 0 || !slices.Equal(task.Checked, []string{"nova"}) {
		t.Fatalf("undeploy %+v, failure %+v", task, task.Failure)
	}
	want = []string{"web[0].stop", "web[0].delete", "vm[0].delete"}
	if got := f.world.done(); !slices.Equal(got, want) {
		t.Errorf("done %v, want %v", got, want)
	}
	det, err = f.Deployment(ctx, "demo")
	if err != nil || det.Status != "undeployed" || det.Instances != 0 {
		t.Errorf("deployment %+v, %v", det, err)
	}
}

func TestChangedInputRunsAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.apply(t, orch.Request{Source: bundle("hello")})
	p, diags, err := f.Plan(t.Context(), orch.Request{Deployment: "demo", Source: bundle("bye")})
	if err != nil || len(diags) > 0 {
		t.Fatal(err, diags)
	}
	if len(p.Steps) != 1 || p.Steps[0].Cause != "input GREETING changed hello -> bye" {
		t.Errorf("plan %+v", p.Steps[0])
	}
}

func TestFailureResumesWhereItStopped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.world.setFail("web[0].create", &driver.Error{Op: "run create.sh", Host: "10.0.0.11", ExitCode: 3, Stderr: []string{"no space left"}})
	task := f.apply(t, orch.Request{Source: bundle("hello")})
	fail := task.Failure
	if task.Status != "failed" || fail == nil || fail.Step != "web[0].create" || fail.ExitCode != 3 || fail.Host != "10.0.0.11" ||
		!slices.Equal(fail.Stderr, []string{"no space left"}) || !slices.Equal(fail.Skipped, []string{"web[0].start"}) {
		t.Fatalf("task %+v, failure %+v", task, fail)
	}
	f.world.setFail("web[0].create", nil)
	f.world.forget()
	f.restart(t)
	task = f.apply(t, orch.Request{Source: bundle("hello")})
	if got, want := f.world.done(), []string{"web[0].create", "web[0].start"}; task.Status != "done" || !slices.Equal(got, want) {
		t.Errorf("task %+v, done %v, want %v", task, got, want)
	}
}

func TestUndeployForgetsWhatWasGeneratedForItsServers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.opts.Secrets = secretsOf(t, f.opts.Store)
	f.restart(t)
	made := secrets.Drivers{Store: f.opts.Secrets}
	f.apply(t, orch.Request{Source: bundle("hello")})
	for _, name := range []string{"deployments/demo/vm/0/host-key", "deployments/other/ssh-key"} {
		if _, err := made.Generate(t.Context(), name, func() ([]byte, error) { return []byte("generated"), nil }); err != nil {
			t.Fatal(err)
		}
	}
	f.apply(t, orch.Request{Verb: orch.Undeploy})
	if v, err := made.Resolve(t.Context(), "deployments/demo/vm/0/host-key"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("a key of the undeployed deployment is left: %v, %v", v, err)
	}
	if v, err := made.Resolve(t.Context(), "deployments/other/ssh-key"); err != nil || v.Reveal() != "generated" {
		t.Errorf("a key of another deployment is gone: %v", err)
	}
}

func TestUndeployOfFailedDeployment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.world.setFail("web[0].start", errors.New("boom"))
	f.apply(t, orch.Request{Source: bundle("hello")})
	f.world.forget()
	task := f.apply(t, orch.Request{Verb: orch.Undeploy, Purge: true})
	if got, want := f.world.done(), []string{"web[0].stop", "web[0].delete", "vm[0].delete"}; task.Status != "done" || !slices.Equal(got, want) {
		t.Errorf("task %+v %+v, done %v, want %v", task, task.Failure, got, want)
	}
	if ds, err := f.Deployments(t.Context()); err != nil || len(ds) != 0 {
		t.Errorf("deployments %v, %v", ds, err)
	}
	// Its last events stay for a while, for who has not read them yet.
	if err := orch.PrunePurged(t.Context(), f.store, time.Now().Add(time.Minute)); err != nil {
		t.Error(err)
	}
	err := f.store.View(t.Context(), func(tx state.Tx) error {
		for k := range tx.Keys("") {
			if strings.Contains(k, "demo") {
				t.Errorf("%s is left in the store", k)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
