package engine_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
	"github.com/orch-project/orch/pkg/topology"
)

// chaosWorld is a world in which operations go on when nobody watches, as scripts on hosts and a supervised Terraform do. It checks the
// invariants: the effect of an operation happens once for each time that it is due, and never before those of what it waits for.
type chaosWorld struct {
	t    *testing.T
	seed uint64
	mu   sync.Mutex
	// faults is the chance in percent that something goes wrong with an operation.
	faults int
	ops    map[string]*chaosOp // by OpID
	// effects of the present life of an instance: step → times.
	effects map[string]int
	made    map[string]bool
	last    map[string]*chaosOp // the latest infrastructure operation of an instance: Terraform does one after the other
	needs   map[string][]string // of the plan that runs: step → needed steps that act
}

// chaosOp is an operation under way or ended.
type chaosOp struct {
	step   string
	ended  chan struct{}
	killed bool
	asked  int
	err    error
}

type chaosDriver struct{ *chaosWorld }

func (d *chaosDriver) Name() string { return "chaos" }

// chance is a number below n that depends on nothing but the seed and what: goroutines may come in any order.
func (w *chaosWorld) chance(n int, what ...any) int {
	h := fnv.New64a()
	fmt.Fprintln(h, append(what, w.seed)...)
	return rand.New(rand.NewPCG(h.Sum64(), 0)).IntN(n)
}

// begin starts the operation, or finds the one under this OpID.
func (w *chaosWorld) begin(req *driver.Request) *chaosOp {
	w.mu.Lock()
	defer w.mu.Unlock()
	if op := w.ops[req.OpID]; op != nil {
		if op.step != req.Step {
			w.t.Errorf("seed %d: OpID of %s is used for %s", w.seed, op.step, req.Step)
		}
		return op
	}
	op := &chaosOp{step: req.Step, ended: make(chan struct{})}
	w.ops[req.OpID] = op
	for _, n := range w.needs[req.Step] {
		if w.effects[n] == 0 {
			w.t.Errorf("seed %d: %s begins before %s is done", w.seed, req.Step, n)
		}
	}
	wait := time.Duration(w.chance(20, "wait", req.OpID)) * time.Second
	fails := w.chance(100, "fails", req.OpID) < w.faults
	var before *chaosOp
	if req.Action != driver.Run {
		before = w.last[req.ID().String()]
		w.last[req.ID().String()] = op
	}
	go func() {
		if before != nil {
			<-before.ended
		}
		time.Sleep(wait)
		w.mu.Lock()
		defer w.mu.Unlock()
		defer close(op.ended)
		if op.killed {
			op.err = errors.New("killed")
			return
		}
		if fails {
			op.err = &driver.Error{Op: "run " + req.Step, ExitCode: 1, Stderr: []string{"it went wrong"}}
			return
		}
		w.effect(req)
	}()
	return op
}

// effect happens. The lock is held.
func (w *chaosWorld) effect(req *driver.Request) {
	if os.Getenv("ORCH_CHAOS_SEED") != "" {
		w.t.Logf("%s: effect of %s, %s attempt %d of task %s", time.Now().Format("15:04:05"), req.Step, req.OpID[:6], req.Attempt, req.Task)
	}
	w.effects[req.Step]++
	if n := w.effects[req.Step]; n > 1 {
		w.t.Errorf("seed %d: %s has happened %d times", w.seed, req.Step, n)
	}
	in := req.ID().String()
	switch {
	case req.Action == driver.Create:
		w.made[in] = true
	case req.Action == driver.Delete:
		if !w.made[in] && w.effects[in+".create"] > 0 {
			w.t.Errorf("seed %d: %s is deleted twice", w.seed, in)
		}
		delete(w.made, in)
	}
}

func (d *chaosDriver) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	op := d.begin(req)
	d.mu.Lock()
	op.asked++
	lost := d.chance(100, "lost", req.OpID, op.asked) < d.faults
	d.mu.Unlock()
	emit(event.Event{Type: event.Log, Message: req.Step})
	select {
	case <-op.ended:
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), driver.ErrDetach) {
			return driver.Result{}, context.Cause(ctx)
		}
		d.mu.Lock()
		op.killed = true
		d.mu.Unlock()
		<-op.ended
		if op.err != nil {
			return driver.Result{}, context.Cause(ctx)
		}
	}
	if lost { // the reply is lost; asking again finds out
		return driver.Result{}, &driver.Error{Op: "ssh", Retryable: true, Err: errors.New("connection lost")}
	}
	if op.err != nil {
		return driver.Result{}, op.err
	}
	res := driver.Result{Attributes: map[string]any{"a": req.Step}}
	if req.Action == driver.Create {
		res.Host = &driver.Host{Instance: req.ID(), Addresses: []string{"10.0.0.1"}}
	}
	return res, nil
}

type chaosBatcher struct{ *chaosDriver }

// RunBatch does what Terraform does: in the order of references, and what fails stops what refers to it.
func (d *chaosBatcher) RunBatch(ctx context.Context, reqs []*driver.Request, emit event.Emit, done func(int, driver.Result, error)) error {
	ended := map[string]error{}
	var failed error
	for i, r := range reqs {
		blocked := false
		d.mu.Lock()
		for _, n := range d.needs[r.Step] {
			if err, here := ended[n]; here && err != nil {
				blocked = true
			}
		}
		d.mu.Unlock()
		if blocked {
			ended[r.Step] = errors.New("blocked")
			if r.OpID != "" && r.OpID[0]%2 == 0 { // as when the apply is killed: then each fails by itself
				done(i, driver.Result{}, &driver.Error{Op: "apply", Detail: "a signal ended it", Retryable: true})
			}
			continue
		}
		res, err := d.Run(ctx, r, emit)
		ended[r.Step] = err
		if err != nil {
			failed = err
		}
		if errors.Is(err, driver.ErrDetach) {
			return err
		}
		done(i, res, err)
	}
	return failed
}

// dying is a store whose process dies after some updates: in the middle, the last one may or may not have been written.
type dying struct {
	state.Store
	mu   sync.Mutex
	left int
	lost bool // the last one is written
}

var errDied = errors.New("the process has died")

func (s *dying) Update(ctx context.Context, fn func(state.Tx) error) error {
	s.mu.Lock()
	s.left--
	left, lost := s.left, s.lost
	s.mu.Unlock()
	switch {
	case left > 0:
		return s.Store.Update(ctx, fn)
	case left == 0 && lost:
		if err := s.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return errDied
}

// randomTopology makes some nodes of random kinds with random relationships, never in a circle.
func randomTopology(rng *rand.Rand) *topology.Topology {
	t := &topology.Topology{Name: "random", Digest: "r"}
	if rng.IntN(2) == 0 {
		t.Order = []topology.Order{topology.CreateInParallel, topology.Interleaved}[rng.IntN(2)]
	}
	for i := range 2 + rng.IntN(5) {
		n := &topology.Node{Name: fmt.Sprintf("n%d", i), Type: topology.Type{"Any"}, Properties: topology.NewValues(), Attributes: topology.NewValues()}
		switch rng.IntN(3) {
		case 0:
			n.Type, n.Native = topology.Type{"tosca.nodes.Compute"}, true
		case 1:
			n.Type, n.Native = topology.Type{"tosca.nodes.network.Network"}, true
		}
		if rng.IntN(4) == 0 {
			n.Count = topology.Lit(int64(1 + rng.IntN(3)))
		}
		n.Interfaces = []*topology.Interface{randomOps(rng, "Standard", "create", "configure", "start", "stop", "delete")}
		for _, target := range t.Nodes {
			if rng.IntN(3) > 0 {
				continue
			}
			typ := []string{"tosca.relationships.DependsOn", "tosca.relationships.ConnectsTo"}[rng.IntN(2)]
			if !n.Native && n.Host() == "" && n.Count == nil && rng.IntN(2) == 0 {
				typ = "tosca.relationships.HostedOn"
			}
			n.Relationships = append(n.Relationships, &topology.Relationship{Name: "to_" + target.Name, Type: topology.Type{typ}, Source: n.Name, Target: target.Name,
				Interfaces: []*topology.Interface{randomOps(rng, "Configure", "pre_configure_source", "pre_configure_target", "post_configure_source",
					"post_configure_target", "add_target", "add_source", "remove_target", "remove_source")}})
		}
		t.Nodes = append(t.Nodes, n)
		t.Reindex()
	}
	return t
}

func randomOps(rng *rand.Rand, iface string, ops ...string) *topology.Interface {
	i := &topology.Interface{Name: iface}
	for _, op := range ops {
		if rng.IntN(2) == 0 {
			o := &topology.Operation{Interface: iface, Name: op, Retries: -1, Implementation: &topology.Artifact{File: op + ".sh"}}
			if rng.IntN(5) == 0 {
				o.Retries = 2
			}
			i.Operations = append(i.Operations, o)
		}
	}
	return i
}

// schedule is one deployment's life under faults and crashes.
type schedule struct {
	t     *testing.T
	rng   *rand.Rand
	seed  uint64
	world *chaosWorld
	store *mem.Store
	top   *topology.Topology
	task  int
	batch bool
}

func runSchedule(t *testing.T, seed uint64) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := &schedule{t: t, rng: rng, seed: seed, store: mem.New(mem.Options{}), top: randomTopology(rng), batch: rng.IntN(2) == 0}
		defer s.store.Close()
		s.world = &chaosWorld{t: t, seed: seed, faults: rng.IntN(40), ops: map[string]*chaosOp{},
			effects: map[string]int{}, made: map[string]bool{}, last: map[string]*chaosOp{}}
		if s.rng.IntN(4) > 0 { // else the uninstall begins wherever the first attempts have led
			s.reach(plan.Install, 100)
		} else {
			s.reach(plan.Install, 1+s.rng.IntN(3))
		}
		s.reach(plan.Uninstall, 100)
		snap, err := engine.Load(t.Context(), s.store, "d")
		if err != nil || len(snap.Instances) > 0 || len(snap.Values) > 0 {
			t.Errorf("seed %d: %v; left on record: %v %v", seed, err, snap.Instances, snap.Values)
		}
		time.Sleep(time.Minute) // whatever was detached ends
		synctest.Wait()
		if len(s.world.made) > 0 {
			t.Errorf("seed %d: left in the world: %v", seed, s.world.made)
		}
	})
}

// reach plans and runs until the workflow is done, at most so many times: sometimes the same task again, sometimes a new plan.
func (s *schedule) reach(workflow string, attempts int) {
	var job engine.Job
	fresh := true
	for try := range attempts {
		if try > 20 {
			s.world.mu.Lock()
			s.world.faults = 0
			s.world.mu.Unlock()
		}
		if fresh || s.rng.IntN(2) == 0 {
			snap, err := engine.Load(s.t.Context(), s.store, "d")
			if err != nil {
				s.t.Fatal(err)
			}
			p, diags := plan.Build(plan.Input{Deployment: "d", Workflow: workflow, Topology: s.top, Recorded: snap.Recorded()})
			if p == nil {
				if strings.Contains(fmt.Sprint(diags), "dependency-cycle") {
					return // the old order makes them of innocent relationships
				}
				s.t.Fatalf("seed %d: %v", s.seed, diags)
			}
			s.task++
			job = engine.Job{Deployment: "d", Task: "t" + strconv.Itoa(s.task), Plan: p, Topology: s.top, Previous: s.top}
			s.expect(p)
			fresh = false
		}
		out, err := s.run(job, try)
		if os.Getenv("ORCH_CHAOS_SEED") != "" {
			s.t.Logf("%s: task %s: %+v %v", time.Now().Format("15:04:05"), job.Task, out, err)
			if out != nil && out.Failure != nil {
				s.t.Logf("%+v", *out.Failure)
			}
		}
		switch {
		case err != nil:
			continue
		case out.Status == engine.Failed && (out.Failure == nil || out.Failure.Step == "" || out.Failure.Message == ""):
			s.t.Errorf("seed %d: failed without a cause: %+v", s.seed, out)
		case out.Status == engine.Done:
			s.complete(job)
			return
		}
	}
	if attempts > 3 {
		s.t.Errorf("seed %d: %s was not reached", s.seed, workflow)
	}
}

// expect tells the world the order and begins a new life for what the plan does again on purpose.
func (s *schedule) expect(p *plan.Plan) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	byID := map[string]*plan.Step{}
	for _, st := range p.Steps {
		byID[st.ID] = st
	}
	s.world.needs = map[string][]string{}
	for _, st := range p.Steps {
		for todo := slices.Clone(st.Needs); len(todo) > 0; todo = todo[1:] {
			if slices.Contains(st.Tolerates, todo[0]) {
				continue // it may have failed
			}
			if n := byID[todo[0]]; n.Acts() {
				s.world.needs[st.ID] = append(s.world.needs[st.ID], n.ID)
			} else {
				todo = append(todo, n.Needs...)
			}
		}
	}
}

func (s *schedule) lease() *state.Lease {
	_ = s.store.BreakLease(s.t.Context(), "d")
	lease, err := s.store.Lease(s.t.Context(), "d", state.LeaseOptions{Owner: "test", Host: "here"})
	if err != nil {
		s.t.Fatal(err)
	}
	return lease
}

// run runs a task in a process that may die, or is cancelled.
func (s *schedule) run(job engine.Job, try int) (*engine.Outcome, error) {
	store := &dying{Store: s.store, left: 1 << 30, lost: s.rng.IntN(2) == 0}
	if try < 15 && s.rng.IntN(2) == 0 {
		store.left = 1 + s.rng.IntN(25)
	}
	d := &chaosDriver{s.world}
	opts := engine.Options{Store: store, Infra: d, Remote: d, Local: d, Rand: rand.New(rand.NewPCG(s.seed, 3)),
		Limits: engine.Limits{Deployment: 1 + s.rng.IntN(8), Host: s.rng.IntN(3)}}
	if s.batch {
		opts.Infra = &chaosBatcher{d}
	}
	commands := make(chan engine.Command, 2)
	stop := make(chan struct{})
	defer close(stop)
	if try < 15 && s.rng.IntN(5) == 0 {
		after, force := time.Duration(s.rng.IntN(60))*time.Second, s.rng.IntN(2) == 0
		go func() {
			select {
			case <-time.After(after):
				commands <- engine.CommandCancel
			case <-stop:
				return
			}
			if force {
				commands <- engine.CommandForce
			}
		}()
	}
	lease := s.lease()
	out, err := engine.New(opts).Run(s.t.Context(), lease, job, commands)
	if err != nil && !errors.Is(err, errDied) {
		s.t.Fatalf("seed %d: %v", s.seed, err)
	}
	return out, err
}

// complete checks that everything in the plan has happened.
func (s *schedule) complete(job engine.Job) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	for _, st := range job.Plan.Steps {
		if st.Acts() && s.world.effects[st.ID] == 0 {
			s.t.Errorf("seed %d: the task is done, but %s has never happened", s.seed, st.ID)
		}
	}
}

// TestChaos runs random topologies through random faults, lost replies, crashes and cancellations. ORCH_CHAOS sets the number of
// schedules, ORCH_CHAOS_SEED runs one. They are always the same ones, unless ORCH_CHAOS_FIRST is the seed of the first, or "new" for some that
// nobody has run yet.
func TestChaos(t *testing.T) {
	if s := os.Getenv("ORCH_CHAOS_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runSchedule(t, seed)
		return
	}
	n := 1000
	if s := os.Getenv("ORCH_CHAOS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	first := uint64(0)
	switch s := os.Getenv("ORCH_CHAOS_FIRST"); s {
	case "":
	case "new":
		first = uint64(time.Now().UnixNano())
	default:
		var err error
		if first, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d schedules from seed %d on", n, first)
	for seed := first; seed < first+uint64(n); seed++ {
		if runSchedule(t, seed); t.Failed() {
			t.Fatalf("seed %d failed; run it alone with ORCH_CHAOS_SEED=%d", seed, seed)
		}
	}
}
