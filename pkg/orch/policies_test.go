package orch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

// clinic is a Prober that says what the test wants.
type clinic struct {
	mu     sync.Mutex
	ill    map[topology.Instance]string
	load   string
	probes int
}

func (c *clinic) Probe(_ context.Context, t policy.Target, p policy.Probe) (policy.Sample, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes++
	if p.Kind == policy.HTTP {
		return policy.Sample{Text: c.load}, nil
	}
	if why := c.ill[t.Instance]; why == "no way" {
		return policy.Sample{}, &policy.Unasked{Err: errors.New(why)}
	} else if why != "" {
		return policy.Sample{}, errors.New(why)
	}
	return policy.Sample{}, nil
}

func (c *clinic) set(in topology.Instance, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ill[in] = why
}

func (c *clinic) measure(load string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.load = load
}

func (c *clinic) count() int { c.mu.Lock(); defer c.mu.Unlock(); return c.probes }

func values(pairs ...any) *topology.Values {
	v := topology.NewValues()
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i].(string), topology.Lit(pairs[i+1]))
	}
	return v
}

// policies that the topology of newWard has.
func wardPolicies() []*topology.Policy {
	at := []string{"web"}
	return []*topology.Policy{
		{Name: "alive", Type: topology.Type{"orch.policies.health.TCP", "orch.policies.Health"}, Targets: at, Properties: values("port", int64(80), "period", "10 s", "failures", int64(2))},
		{Name: "doctor", Type: topology.Type{"orch.policies.AutoHeal"}, Targets: at, Properties: values("period", "10 s", "cooldown", "2 m", "attempts", int64(2))},
		{Name: "size", Type: topology.Type{"orch.policies.AutoScale"}, Targets: at, Properties: values("period", "10 s", "cooldown", "5 m", "evaluations", int64(2),
			"url_path", "/load", "scale_out_above", 80.0, "scale_in_below", 20.0, "max_instances", int64(3))},
	}
}

// ward is a deployment whose policies are kept, in synctest's time.
type ward struct {
	*fixture
	c    *clinic
	stop func()
}

func newWard(t *testing.T, list []*topology.Policy) *ward {
	t.Helper()
	store := mem.New(mem.Options{})
	w := newWorld()
	f := &fixture{world: w, store: store}
	c := &clinic{ill: map[topology.Instance]string{}, load: "50"}
	f.opts = orch.Options{Store: store, Infra: w, Remote: w, Local: w, Retry: engine.Retry{Base: time.Millisecond}, Prober: c,
		Load: func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
			top, list_ := loader(ctx, b)
			if top != nil {
				top.Policies = list
			}
			return top, list_
		}}
	l, err := orch.New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	f.Local = l
	if task := f.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello"), Scale: map[string]int{"vm": 2}}); task.Status != "done" {
		t.Fatalf("%+v", task.Failure)
	}
	f.world.forget()
	wd := &ward{fixture: f, c: c}
	wd.keep(t)
	return wd
}

// keep evaluates policies until stop.
func (w *ward) keep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.KeepPolicies(ctx) }()
	w.stop = func() { cancel(); <-done }
}

func (w *ward) close() {
	w.stop()
	w.Close()
	w.store.Close()
}

func (w *ward) policy(t *testing.T, name string) orch.PolicyStatus {
	t.Helper()
	d, err := w.Deployment(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Policies {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("there is no policy %s in %+v", name, d.Policies)
	return orch.PolicyStatus{}
}

func (w *ward) health(t *testing.T) (out []string) {
	t.Helper()
	d, err := w.Deployment(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Nodes {
		for _, i := range n.Instances {
			if n.Name == "web" {
				out = append(out, i.Health)
			}
		}
	}
	return out
}

func web(i string) topology.Instance { return topology.Instance{Node: "web", Index: i} }

func TestHealthAndAutoHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, wardPolicies()[:2])
		defer w.close()
		time.Sleep(30 * time.Second)
		if got := w.health(t); !slices.Equal(got, []string{"healthy", "healthy"}) {
			t.Fatalf("health %v", got)
		}
		w.c.set(web("1"), "refused")
		time.Sleep(5 * time.Second)
		if got := w.health(t); got[1] != "healthy" || len(w.world.done()) > 0 {
			t.Fatalf("after one failure: %v, %v", got, w.world.done())
		}
		time.Sleep(17 * time.Second) // it is unhealthy, healed, and new: nobody knows of it yet
		w.c.set(web("1"), "")
		if got := w.world.done(); !slices.Equal(got, []string{"web[1].stop", "web[1].delete", "web[1].create", "web[1].start"}) {
			t.Fatalf("healed: %v", got)
		}
		if p := w.policy(t, "doctor"); p.Task == "" || !strings.Contains(p.Did, "heals web[1]: alive: refused") || p.Rests.IsZero() || p.Watched == "" {
			t.Errorf("the policy: %+v", p)
		}
		time.Sleep(30 * time.Second)
		if got := w.health(t); !slices.Equal(got, []string{"healthy", "healthy"}) {
			t.Errorf("health %v", got)
		}
		told := ""
		for e, err := range w.Events(t.Context(), orch.Filter{Deployment: "demo"}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Type == event.Health && e.Instance == "1" {
				told += " " + e.Status
			}
		}
		if told != " healthy unhealthy healthy" {
			t.Errorf("events tell of%s", told)
		}
	})
}

func TestHealingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, wardPolicies()[:2])
		defer w.close()
		w.c.set(web("0"), "refused")
		time.Sleep(30 * time.Minute)
		heals := 0
		for _, s := range w.world.done() {
			if s == "web[0].create" {
				heals++
			}
		}
		if p := w.policy(t, "doctor"); heals != 2 || !strings.Contains(p.Message, "web[0] is given up after 2 attempts") {
			t.Errorf("%d healings, %+v", heals, p)
		}
		w.c.set(web("0"), "")
		time.Sleep(time.Minute)
		if p := w.policy(t, "doctor"); p.Message != "" {
			t.Errorf("it is well again, and the policy says %q", p.Message)
		}
		w.world.forget()
		w.c.set(web("0"), "refused")
		time.Sleep(3 * time.Minute)
		if !slices.Contains(w.world.done(), "web[0].create") {
			t.Error("what was given up, and was well since, is not healed")
		}
	})
}

func TestAutoScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, wardPolicies()[2:])
		defer w.close()
		size := func() int { return len(instances(t, w.fixture, "web")) }
		time.Sleep(time.Minute)
		if size() != 2 {
			t.Fatalf("%d instances although the load is within bounds", size())
		}
		w.c.measure("90")
		time.Sleep(5 * time.Second)
		if size() != 2 {
			t.Errorf("scaled after one evaluation")
		}
		time.Sleep(20 * time.Second)
		if p := w.policy(t, "size"); size() != 3 || *p.Value != 90 || !strings.Contains(p.Did, "scales vm from 2 to 3: metric is 90, above 80") {
			t.Fatalf("%d instances, %+v", size(), p)
		}
		w.c.measure("5")
		time.Sleep(3 * time.Minute)
		if size() != 3 {
			t.Errorf("scaled in during the cooldown")
		}
		time.Sleep(3 * time.Minute)
		if size() != 2 {
			t.Errorf("%d instances after the cooldown", size())
		}
	})
}

// A cooldown outlives the server; another server goes on where this one stopped, and two never evaluate the same deployment.
func TestPoliciesSurviveTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, wardPolicies()[2:])
		defer w.close()
		w.c.measure("90")
		time.Sleep(30 * time.Second)
		acted := w.policy(t, "size").Acted
		if acted.IsZero() {
			t.Fatal("not scaled")
		}
		w.stop()
		if p := w.policy(t, "size"); p.Watched != "" {
			t.Errorf("watched by %q although nobody does", p.Watched)
		}
		w.c.measure("5")
		w.keep(t)
		before := w.c.count()
		second := &ward{fixture: w.fixture, c: w.c}
		second.keep(t)
		defer second.stop()
		time.Sleep(2 * time.Minute)
		if p := w.policy(t, "size"); !p.Acted.Equal(acted) {
			t.Errorf("acted again at %s, although it had at %s", p.Acted, acted)
		}
		if n := w.c.count() - before; n > 3*13 {
			t.Errorf("%d probes of three instances in 2 minutes: more than one process evaluates", n)
		}
		time.Sleep(4 * time.Minute)
		if p := w.policy(t, "size"); p.Acted.Equal(acted) {
			t.Error("it never acts again")
		}
	})
}

// What runs on the deployment is waited for, and nothing is evaluated of what goes.
func TestPoliciesWaitForTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, wardPolicies()[:2])
		defer w.close()
		lease, err := w.store.Lease(t.Context(), state.Join("deployment", "demo"), state.LeaseOptions{Owner: "somebody"})
		if err != nil {
			t.Fatal(err)
		}
		w.c.set(web("0"), "refused")
		time.Sleep(2 * time.Minute)
		if got := w.world.done(); len(got) > 0 || w.health(t)[0] != "unhealthy" {
			t.Errorf("done %v, health %v", got, w.health(t))
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if got := w.world.done(); len(got) == 0 {
			t.Error("not healed when the other was done")
		}
		w.c.set(web("0"), "")
		w.apply(t, orch.Request{Verb: orch.Undeploy})
		before := w.c.count()
		time.Sleep(time.Minute)
		if w.c.count() > before {
			t.Error("what is undeployed is still probed")
		}
	})
}

func TestTriggers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := wardPolicies()[:1]
		condition := topology.NewValues()
		condition.Set("health", topology.Lit("unhealthy"))
		constraint := topology.NewValues()
		constraint.Set("constraint", &topology.Value{Kind: topology.MapValue, Map: condition})
		constraint.Set("evaluations", topology.Lit(int64(2)))
		list[0].Triggers = []*topology.Trigger{{Name: "bounce", Condition: &topology.Value{Kind: topology.MapValue, Map: constraint}, Actions: []topology.Activity{
			{Kind: topology.ActivityCall, Interface: "Standard", Name: "stop"}, {Kind: topology.ActivityCall, Interface: "Standard", Name: "start"}}}}
		w := newWard(t, list)
		defer w.close()
		w.c.set(web("1"), "refused")
		time.Sleep(time.Minute)
		if got := w.world.done(); !slices.Equal(got, []string{"web[1].stop", "web[1].start"}) {
			t.Errorf("done %v, %+v", got, w.policy(t, "alive"))
		}
	})
}

// A trigger that looks at other nodes than the policy's targets acts on the targets, in the pace of its condition.
func TestTriggersOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := wardPolicies()[:1]
		condition := topology.NewValues()
		condition.Set("health", topology.Lit("unhealthy"))
		within := topology.NewValues()
		within.Set("constraint", &topology.Value{Kind: topology.MapValue, Map: condition})
		within.Set("period", topology.Lit("20 s"))
		within.Set("evaluations", topology.Lit(int64(2)))
		list = append(list, &topology.Policy{Name: "boss", Type: topology.Type{"tosca.policies.Scaling"}, Targets: []string{"vm"}, Properties: topology.NewValues(),
			Triggers: []*topology.Trigger{{Name: "restart", Target: "web", Condition: &topology.Value{Kind: topology.MapValue, Map: within},
				Actions: []topology.Activity{{Kind: topology.ActivityInline, Name: "stop"}}}}})
		w := newWard(t, list)
		defer w.close()
		w.c.set(web("1"), "refused")
		time.Sleep(45 * time.Second) // two checks, then two evaluations
		if got := w.world.done(); !slices.Equal(got, []string{"vm[0].stop", "vm[1].stop"}) && !slices.Equal(got, []string{"vm[1].stop", "vm[0].stop"}) {
			t.Errorf("done %v, %+v", got, w.policy(t, "boss"))
		}
	})
}

// yorcPolicies are a check as Yorc's, and an own one of the same instances.
func yorcPolicies() []*topology.Policy {
	return []*topology.Policy{
		{Name: "watch", Type: topology.Type{"yorc.policies.monitoring.TCPMonitoring", "yorc.policies.Root"}, Targets: []string{"web"}, Properties: values("port", int64(80), "time_interval", "5 s")},
	}
}

func (w *ward) states(t *testing.T) (out []string) {
	t.Helper()
	d, err := w.Deployment(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range d.Nodes {
		for _, i := range n.Instances {
			if n.Name == "web" {
				out = append(out, i.State+" "+i.Health)
			}
		}
	}
	return out
}

// told are the states of an instance that events tell of, and the lines about it.
func (w *ward) told(t *testing.T, in topology.Instance) (states, lines []string) {
	t.Helper()
	for e, err := range w.Events(t.Context(), orch.Filter{Deployment: "demo", Node: in.Node, Instance: in.Index}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Type == event.InstanceState:
			states = append(states, e.Status)
		case e.Type == event.Log && e.Key == "watch":
			lines = append(lines, string(e.Level)+" "+e.Message)
		}
	}
	return states, lines
}

// Yorc's monitoring shows in the instance's state.
func TestMonitoringMarksInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, yorcPolicies())
		defer w.close()
		time.Sleep(20 * time.Second)
		w.c.set(web("1"), "refused")
		time.Sleep(6 * time.Second)
		if got := w.states(t); !slices.Equal(got, []string{"started healthy", "error unhealthy"}) {
			t.Fatalf("%v", got)
		}
		// The next server goes on with what this one has marked.
		w.stop()
		w.keep(t)
		time.Sleep(20 * time.Second)
		if got := w.states(t); got[1] != "error unhealthy" {
			t.Fatalf("after a restart %v", got)
		}
		w.c.set(web("1"), "")
		time.Sleep(6 * time.Second)
		if got := w.states(t); got[1] != "started healthy" {
			t.Fatalf("%v", got)
		}
		states, lines := w.told(t, web("1"))
		if n := len(states); n < 2 || states[n-2] != "error" || states[n-1] != "started" || slices.Contains(states[:n-2], "error") {
			t.Errorf("events tell of %v", states)
		}
		if !slices.Equal(lines, []string{"error policy watch: web[1] is in the state error: refused", "info policy watch: web[1] is well again"}) {
			t.Errorf("lines %q", lines)
		}
	})
}

// While a task works on the deployment its instances' states are the task's; what goes with the policy is taken back.
func TestMonitoringWaitsAndForgives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := yorcPolicies()
		w := newWard(t, list)
		defer w.close()
		time.Sleep(20 * time.Second)
		free := make(chan struct{})
		w.world.mu.Lock()
		w.world.hold = map[string]chan struct{}{"web[0].start": free}
		w.world.mu.Unlock()
		task, err := w.Apply(t.Context(), orch.Request{Verb: orch.Operate, Deployment: "demo", Node: "web", Interface: "Standard", Operation: "start", Instances: []string{"0"}})
		if err != nil {
			t.Fatal(err)
		}
		w.c.set(web("1"), "refused")
		time.Sleep(30 * time.Second)
		if got := w.states(t); got[1] != "started unhealthy" {
			t.Fatalf("while a task runs: %v", got)
		}
		close(free)
		if _, err := w.Wait(t.Context(), "demo", task.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if got := w.states(t); got[1] != "error unhealthy" {
			t.Fatalf("after the task: %v", got)
		}
		list[0].Type = topology.Type{"tosca.policies.Placement"} // the topology as it is loaded from now on
		w.stop()
		w.keep(t)
		time.Sleep(10 * time.Second)
		if states, _ := w.told(t, web("1")); states[len(states)-1] != "started" {
			t.Fatalf("without the policy: %v", states)
		}
	})
}

// An instance that cannot be asked keeps the health that it had, and the policy says why.
func TestUnaskedInstancesKeepTheirHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, yorcPolicies())
		defer w.close()
		time.Sleep(20 * time.Second)
		w.c.set(web("1"), "no way")
		time.Sleep(time.Minute)
		if got := w.states(t); got[1] != "started healthy" {
			t.Errorf("%v", got)
		}
		if p := w.policy(t, "watch"); !strings.Contains(p.Message, "web[1] cannot be asked: no way") {
			t.Errorf("the policy: %+v", p)
		}
		w.c.set(web("1"), "")
		time.Sleep(6 * time.Second)
		if p := w.policy(t, "watch"); p.Message != "" {
			t.Errorf("the policy: %+v", p)
		}
		// What is in the state error is undeployed like anything else.
		w.c.set(web("0"), "refused")
		time.Sleep(6 * time.Second)
		if task := w.apply(t, orch.Request{Verb: orch.Deploy, Source: bundle("hello")}); task.Status != "done" {
			t.Errorf("deployed over it: %+v", task.Failure)
		}
		if task := w.apply(t, orch.Request{Verb: orch.Undeploy}); task.Status != "done" {
			t.Errorf("undeployed: %+v", task.Failure)
		}
	})
}
