package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/bolt"
	"github.com/orch-project/orch/pkg/state/consul"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

// noop is a driver whose operations take a time, or none.
type noop struct {
	takes func(step string) time.Duration
}

func (noop) Name() string { return "noop" }

func (d noop) Run(_ context.Context, req *driver.Request, _ event.Emit) (driver.Result, error) {
	if d.takes != nil {
		time.Sleep(d.takes(req.Step))
	}
	return driver.Result{}, nil
}

// wide is a topology of n nodes, each of which, if chained, depends on one of ten others before it; ops are implemented.
func wide(n int, chained bool, ops ...string) *topology.Topology {
	t := &topology.Topology{Name: "wide", Digest: "w"}
	for i := range n {
		node := &topology.Node{Name: fmt.Sprintf("n%04d", i), Type: topology.Type{"Any"}, Properties: topology.NewValues(), Attributes: topology.NewValues()}
		face := &topology.Interface{Name: "Standard"}
		for _, op := range ops {
			face.Operations = append(face.Operations, &topology.Operation{Interface: "Standard", Name: op, Retries: -1, Implementation: &topology.Artifact{File: op}})
		}
		node.Interfaces = []*topology.Interface{face}
		if i >= 10 && chained {
			node.Relationships = []*topology.Relationship{{Name: "dep", Type: topology.Type{"tosca.relationships.DependsOn"}, Source: node.Name, Target: fmt.Sprintf("n%04d", i-10+i%7)}}
		}
		t.Nodes = append(t.Nodes, node)
	}
	t.Reindex()
	return t
}

func boltStore(tb testing.TB) state.Store {
	tb.Helper()
	s, err := bolt.Open(context.Background(), filepath.Join(tb.TempDir(), "state.db"), bolt.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// planAndRun plans an installation and runs it. It returns the number of steps and the time that running them took.
func planAndRun(tb testing.TB, store state.Store, dep string, t *topology.Topology, d driver.Driver) (steps int, took time.Duration) {
	tb.Helper()
	ctx := context.Background()
	p, diags := plan.Build(plan.Input{Deployment: dep, Topology: t})
	if p == nil {
		tb.Fatal(diags)
	}
	lease, err := store.Lease(ctx, dep, state.LeaseOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	defer lease.Release(ctx)
	e := engine.New(engine.Options{Store: store, Infra: d, Local: d, Remote: d, Limits: engine.Limits{Deployment: -1, Host: -1}})
	if err := e.Create(ctx, lease, engine.Task{ID: "t", Deployment: dep}, p); err != nil {
		tb.Fatal(err)
	}
	start := time.Now()
	out, err := e.Run(ctx, lease, engine.Job{Deployment: dep, Task: "t", Plan: p, Topology: t, Previous: t}, nil)
	if err != nil || out.Status != engine.Done {
		tb.Fatalf("%+v %v", out, err)
	}
	return len(p.Steps), time.Since(start)
}

// BenchmarkNoopTopology measures what docs/benchmarks.md promises: 1,000 nodes without operations, planned and run on bbolt, in at most 1.0 s.
func BenchmarkNoopTopology(b *testing.B) {
	t := wide(1000, true)
	b.Run("bolt", func(b *testing.B) { noopTopology(b, t, boltStore(b)) })
	// On a real Consul server: at most 5 s.
	b.Run("consul", func(b *testing.B) { noopTopology(b, t, consulStore(b)) })
}

func noopTopology(b *testing.B, t *topology.Topology, store state.Store) {
	for i := 0; b.Loop(); i++ {
		planAndRun(b, store, fmt.Sprintf("d%d", i), t, noop{})
	}
}

func consulStore(tb testing.TB) state.Store {
	tb.Helper()
	s, err := consul.Open(context.Background(), consul.Options{Addresses: []string{tools.StartConsul(tb, 1).Addr()}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// BenchmarkSteps measures what docs/benchmarks.md promises: steps per second whose operations do nothing.
func BenchmarkSteps(b *testing.B) {
	t := wide(3334, false, "create", "configure", "start")
	for _, s := range []struct {
		name string
		open func(testing.TB) state.Store
	}{{"mem", func(testing.TB) state.Store { return mem.New(mem.Options{}) }}, {"bolt", boltStore}, {"consul", consulStore}} {
		b.Run(s.name, func(b *testing.B) {
			store := s.open(b)
			steps, took := 0, time.Duration(0)
			for i := 0; b.Loop(); i++ {
				n, d := planAndRun(b, store, fmt.Sprintf("d%d", i), t, noop{})
				steps, took = steps+n, took+d
			}
			b.ReportMetric(float64(steps)/took.Seconds(), "steps/s")
		})
	}
}

// BenchmarkPlan plans 10,000 steps.
func BenchmarkPlan(b *testing.B) {
	t := wide(3334, true, "create", "configure", "start")
	for b.Loop() {
		if p, diags := plan.Build(plan.Input{Topology: t}); p == nil || len(p.Steps) < 10_000 {
			b.Fatal(diags)
		}
	}
}

// BenchmarkMakespan measures what docs/benchmarks.md promises: 1,000 steps of 50 ms with random dependencies, against their critical path.
func BenchmarkMakespan(b *testing.B) {
	t := wide(1000, true, "create")
	rng := rand.New(rand.NewPCG(1, 2))
	for i, n := range t.Nodes {
		n.Relationships = nil
		for range rng.IntN(4) {
			if i > 0 {
				n.Relationships = append(n.Relationships, &topology.Relationship{Name: fmt.Sprintf("r%d", len(n.Relationships)),
					Type: topology.Type{"tosca.relationships.DependsOn"}, Source: n.Name, Target: t.Nodes[rng.IntN(i)].Name})
			}
		}
	}
	p, diags := plan.Build(plan.Input{Topology: t})
	if p == nil {
		b.Fatal(diags)
	}
	depth := map[string]int{}
	longest := 0
	for _, s := range p.Steps {
		for _, n := range s.Needs {
			depth[s.ID] = max(depth[s.ID], depth[n])
		}
		if s.Acts() {
			depth[s.ID]++
		}
		longest = max(longest, depth[s.ID])
	}
	critical := time.Duration(longest) * 50 * time.Millisecond
	var all time.Duration
	for i := 0; b.Loop(); i++ {
		_, took := planAndRun(b, mem.New(mem.Options{}), fmt.Sprintf("d%d", i), t, noop{takes: func(string) time.Duration { return 50 * time.Millisecond }})
		all += took
	}
	b.ReportMetric(float64(all)/float64(critical)/float64(b.N), "×critical-path")
}

// BenchmarkMemory measures what docs/benchmarks.md promises: the peak resident set of a process that plans and runs one task of 10,000 steps, below 300 MB. The
// process is this test binary, which keeps the store, too.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkSteps$/^mem$", "-test.benchtime=1x")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			b.Skip("this system does not tell the peak resident set")
		}
		b.ReportMetric(float64(usage.Maxrss)/1024, "peak-MB") // kilobytes on Linux
	}
}
