package engine_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

// A heal whose process dies goes on and completes: whatever it had written when it died, nothing happens twice, and afterwards everything is
// as it was installed.
func TestAHealThatIsKilledGoesOn(t *testing.T) {
	seeds := uint64(2)
	if os.Getenv("ORCH_CHAOS_LONG") != "" {
		seeds = 100
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		for _, lost := range []bool{false, true} {
			for left, killed := 1, true; killed && !t.Failed(); left++ {
				synctest.Test(t, func(t *testing.T) { killed = healKilled(t, seed, left, lost) })
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A node without operations is forgotten and made anew at once. Killed between the two writes of that, it was forgotten once more, and stayed so.
func TestAHealOfANodeWithoutOperationsThatIsKilledGoesOn(t *testing.T) {
	for left, killed := 1, true; killed && !t.Failed(); left++ {
		synctest.Test(t, func(t *testing.T) { killed = healKilled(t, 23, left, false) })
	}
}

// healKilled heals an instance of an installed topology in a process that dies at its left-th write, and reports whether it came to that.
func healKilled(t *testing.T, seed uint64, left int, lost bool) (killed bool) {
	rng := rand.New(rand.NewPCG(seed, 2))
	s := &schedule{t: t, rng: rng, seed: seed, store: mem.New(mem.Options{}), top: randomTopology(rng), batch: seed%2 == 0}
	defer s.store.Close()
	s.world = &chaosWorld{t: t, seed: seed, ops: map[string]*chaosOp{}, effects: map[string]int{}, made: map[string]bool{}, last: map[string]*chaosOp{}}
	installed := s.whole("install", plan.Input{Workflow: plan.Install}, 1<<30, false)
	if installed == nil {
		return false // a circle
	}
	snap, err := engine.Load(t.Context(), s.store, "d")
	if err != nil {
		t.Fatal(err)
	}
	var all []topology.Instance
	for in := range snap.Instances {
		all = append(all, in)
	}
	slices.SortFunc(all, func(a, b topology.Instance) int { return strings.Compare(a.String(), b.String()) })
	in := all[int(seed)%len(all)]
	s.world.effects = map[string]int{} // what the heal does again is done again on purpose
	healed := s.whole("heal", plan.Input{Workflow: plan.Heal, Instances: []topology.Instance{in}}, left, lost)
	if healed == nil {
		return false
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if snap, err = engine.Load(t.Context(), s.store, "d"); err != nil {
		t.Fatal(err)
	}
	for in, rec := range snap.Instances {
		if rec.State != "started" {
			t.Errorf("seed %d, killed at %d: %s is %s", seed, left, in, rec.State)
		}
	}
	p, _ := plan.Build(plan.Input{Deployment: "d", Workflow: plan.Install, Topology: s.top, Recorded: snap.Recorded()})
	if p == nil || len(snap.Instances) != len(all) || slices.ContainsFunc(p.Steps, func(st *plan.Step) bool { return st.Acts() }) {
		t.Errorf("seed %d, killed at %d: it is not as it was installed after %s: %s", seed, left, in, steps(p))
	}
	return *healed
}

// whole plans and runs a workflow to its end, by a second process if the first dies at its left-th write. killed says whether it did; nil: there is
// no plan.
func (s *schedule) whole(task string, in plan.Input, left int, lost bool) (killed *bool) {
	snap, err := engine.Load(s.t.Context(), s.store, "d")
	if err != nil {
		s.t.Fatal(err)
	}
	in.Deployment, in.Topology, in.Recorded = "d", s.top, snap.Recorded()
	p, _ := plan.Build(in)
	if p == nil {
		return nil
	}
	s.expect(p)
	job := engine.Job{Deployment: "d", Task: task, Plan: p, Topology: s.top, Previous: s.top}
	died := false
	for range 2 {
		d := &chaosDriver{s.world}
		opts := engine.Options{Store: &dying{Store: s.store, left: left, lost: lost}, Infra: d, Remote: d, Local: d}
		if s.batch {
			opts.Infra = &chaosBatcher{d}
		}
		out, err := engine.New(opts).Run(s.t.Context(), s.lease(), job, nil)
		switch {
		case errors.Is(err, errDied) && !died:
			died, left = true, 1<<30
			continue
		case err != nil || out.Status != engine.Done:
			s.t.Fatalf("seed %d, %s, killed %v: %+v, %v", s.seed, task, died, out, err)
		}
		break
	}
	s.complete(job)
	return &died
}

func steps(p *plan.Plan) (out []string) {
	if p != nil {
		for _, st := range p.Steps {
			out = append(out, st.ID+": "+st.Cause)
		}
	}
	return out
}
