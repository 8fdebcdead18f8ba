package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// batching is a scripted driver that takes batches: each request a minute after the one before it.
type batching struct {
	*scripted
	mu      sync.Mutex
	batches [][]string
	fails   map[string]error
	each    map[string]error // of the first batch: every step fails by itself
}

func (b *batching) RunBatch(_ context.Context, reqs []*driver.Request, _ event.Emit, done func(int, driver.Result, error)) error {
	var ids []string
	for _, r := range reqs {
		ids = append(ids, r.Step)
	}
	b.mu.Lock()
	b.batches = append(b.batches, ids)
	first := len(b.batches) == 1
	b.mu.Unlock()
	for i, r := range reqs {
		if err := b.each[r.Step]; err != nil && first {
			done(i, driver.Result{}, err)
			continue
		}
		time.Sleep(time.Minute)
		if err := b.fails[r.Step]; err != nil {
			done(i, driver.Result{}, err)
			return errors.New("the apply has failed") // the rest was not come to
		}
		done(i, driver.Result{Host: &driver.Host{Addresses: []string{"10.0.0.1"}}}, nil)
	}
	return nil
}

// cloud is net ◀ vm1, vm2; app on vm1; late is native and depends on app.
func cloud() *topology.Topology {
	t := chain("app")
	native := func(name string, typ string, needs ...string) {
		n := &topology.Node{Name: name, Type: topology.Type{typ}, Native: true, Properties: topology.NewValues()}
		for _, target := range needs {
			n.Relationships = append(n.Relationships, &topology.Relationship{Name: target, Type: topology.Type{"tosca.relationships.DependsOn"}, Source: name, Target: target})
		}
		t.Nodes = append(t.Nodes, n)
	}
	native("net", "tosca.nodes.network.Network")
	native("vm1", "tosca.nodes.Compute", "net")
	native("vm2", "tosca.nodes.Compute", "net")
	native("late", "tosca.nodes.network.Network", "app")
	app := t.NodeNamed("app")
	app.Relationships = []*topology.Relationship{{Name: "host", Type: topology.Type{"tosca.relationships.HostedOn"}, Source: "app", Target: "vm1"}}
	t.Reindex()
	return t
}

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cloud())
		d := &batching{scripted: b.d}
		b.opts.Infra = d
		var appAt time.Duration
		start := time.Now()
		b.d.do["app[0].create"] = func(context.Context, *driver.Request, int) (driver.Result, error) {
			appAt = time.Since(start)
			return driver.Result{}, nil
		}
		b.plan(plan.Input{})
		if out := b.run(nil); out.Status != engine.Done {
			t.Fatalf("%+v %+v", out, out.Failure)
		}
		want := [][]string{{"net[0].create", "vm1[0].create", "vm2[0].create"}, {"late[0].create"}}
		if !slices.EqualFunc(d.batches, want, slices.Equal) {
			t.Errorf("batches %v, want %v", d.batches, want)
		}
		if appAt != 2*time.Minute {
			t.Errorf("app began after %s, want 2 min: as soon as its own server is up, while the batch still runs", appAt)
		}
	})
}

func TestBatchThatFailsInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cloud())
		d := &batching{scripted: b.d, fails: map[string]error{"net[0].create": &driver.Error{Op: "terraform apply", Detail: "Quota exceeded for networks"}}}
		b.opts.Infra = d
		b.plan(plan.Input{})
		out := b.run(nil)
		f := out.Failure
		slices.Sort(f.Skipped)
		if f.Step != "net[0].create" || f.Detail != "Quota exceeded for networks" || !f.Infra || len(f.Others) != 0 ||
			!slices.Equal(f.Skipped, []string{"app[0].create", "late[0].create", "vm1[0].create", "vm2[0].create"}) {
			t.Errorf("failure %+v", f)
		}
		d.fails = nil
		if out := b.run(nil); out.Status != engine.Done {
			t.Errorf("resumed: %+v %+v", out, out.Failure)
		}
	})
}

// An apply that is killed fails for each of its steps by itself, and each tries again in its own time. Those that wait for others of the batch
// wait for them again: none runs before them, and none twice.
func TestBatchOfWhichEachStepFails(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, cloud())
			b.opts.Rand = rand.New(rand.NewPCG(seed, 0))
			killed := &driver.Error{Op: "terraform apply", Detail: "a signal ended Terraform", Retryable: true}
			d := &batching{scripted: b.d, each: map[string]error{"net[0].create": killed, "vm1[0].create": killed, "vm2[0].create": killed}}
			b.opts.Infra = d
			b.plan(plan.Input{})
			if out := b.run(nil); out.Status != engine.Done {
				t.Fatalf("seed %d: %+v %+v", seed, out, out.Failure)
			}
			made := map[string]bool{}
			for _, batch := range d.batches[1:] {
				for _, id := range batch {
					if made[id] || strings.HasPrefix(id, "vm") && !made["net[0].create"] {
						t.Errorf("seed %d: %s in %v", seed, id, d.batches)
					}
					made[id] = true
				}
			}
		})
	}
}
