package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"encoding/json"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// Create stores a task and its plan, before anything is done. Lease guards the deployment.
func (e *Engine) Create(ctx context.Context, lease *state.Lease, t Task, p *plan.Plan) error {
	if err := e.StorePlan(ctx, lease, t, p); err != nil {
		return err
	}
	return state.Fenced(e.opts.Store, lease).Update(ctx, func(tx state.Tx) error { return PutTaskTx(tx, t) })
}

// StorePlan stores the plan of a task, for who stores the task together with other records.
func (e *Engine) StorePlan(ctx context.Context, lease *state.Lease, t Task, p *plan.Plan) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cannot encode the plan: %w", err)
	}
	if _, err := state.NewBlobs(state.Fenced(e.opts.Store, lease)).Put(ctx, planBlob(t.Deployment, t.ID), newReader(raw)); err != nil {
		return fmt.Errorf("cannot store the plan: %w", err)
	}
	return nil
}

// LoadPlan reads the plan of a task.
func LoadPlan(ctx context.Context, store state.Store, dep, task string) (*plan.Plan, error) {
	r, _, err := state.NewBlobs(store).Get(ctx, planBlob(dep, task))
	if err != nil {
		return nil, fmt.Errorf("cannot read the plan of task %s: %w", task, err)
	}
	defer r.Close()
	p := &plan.Plan{}
	raw, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(raw, p)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the plan of task %s: %w", task, err)
	}
	return p, nil
}

// run is one walk over a plan. All its fields belong to the goroutine of loop, except where said otherwise.
//
//	pending ─(predecessors done)─▶ ready ─(limits)─▶ chosen ─commit─▶ acting ─▶ ended ─commit─▶ successors
//
// Acts run in goroutines of their own and report by messages. Between two waits for messages the loop takes all that has arrived,
// decides what ends and what starts, stores both in as few transactions as possible, and only then starts: so intent is always
// stored before the act, and under load many steps share one transaction.
type run struct {
	e     *Engine
	job   Job
	lease *state.Lease
	store state.Store // fenced
	log   *state.EventLog
	world *World
	// removed are the instances whose records go at the end: what they run on is not waited for long.
	removed map[topology.Instance]bool
	// undeploys: nothing of the deployment stays, which a workflow called uninstall alone does not say.
	undeploys bool

	// working are the instances that were installed when the run began.
	working map[topology.Instance]bool

	steps   []*step // in the plan's order
	byID    map[string]*step
	ready   queue                      // operations
	records []*step                    // steps that only change records
	infra   map[driver.Driver]*batcher // by Batcher driver
	slots   slots
	later   timers

	rounds   rounds
	logged   int // events since their log was tidied
	acting   int // acts in flight
	open     int // steps that have not ended
	stop     stopping
	cleaning bool // after a cancellation: only on_cancel steps run
	forced   bool // the contexts of acts have ended, and those of on_cancel steps have not begun
	halted   bool // stop is due to a failure, not to a cancellation
	// finishing: the decision to halt is a dead process's; only what that had begun is started, once.
	finishing bool
	failures  []*Failure
	handled   []Handled
	causes    map[string]*Failure
	parts     map[partKey]bool // what filters of declared steps have decided

	pending changes // to be committed
	events  *outbox
	msgs    chan message
	quit    chan struct{} // closed when nobody reads msgs any more

	actCtx  context.Context // of acts: ends when the task is forced, the lease lost, or the caller gone
	actStop context.CancelCauseFunc
	base    context.Context         // what they are made of; it does not end
	opStop  context.CancelCauseFunc // of operations only: kills them
	opCtx   context.Context
}

// step is a plan step on its way.
type step struct {
	*plan.Step
	index   int
	status  Status
	succ    []*step
	waits   int // predecessors that have not ended
	height  int // steps on the longest way to an end: those first
	attempt int
	opID    string
	retries int // attempts of this run
	err     error
	because string   // the failed step that this one is skipped for
	handled bool     // alternatives wait for its failure
	failure *Failure // if it was handled
	earlier *Failure // of an attempt before this one
	mends   *Failure // the handled one that has led here by on_failure
	ok      bool     // some predecessor has succeeded
	ways    []string // the declared steps that lead here and work on the same instance
	bad     bool     // some predecessor has failed
	lost    bool     // some predecessor was cancelled
	decided bool     // it is queued, or has ended
	trigger bool     // an alternative whose occasion has come
	alt     bool     // has alternatives' occasions at all
	cancelH bool
	struck  bool // it had begun when the task was cancelled
	cleanup bool // an on_cancel step whose occasion has come, or what follows from one
	leftOut bool // by the filter of its declared step
	// unfinished: a process that died was doing it.
	unfinished bool
	// taken: opID is of an attempt before this run, of which nobody knows how it ended.
	taken bool
	// begun: something may have been begun under opID. While it is not, pauses end what the act waits for.
	begun   bool
	pauses  *driver.Pauses
	why     string
	slot    []slotKey
	batch   *batcher
	began   time.Time
	waiting string
}

// message to the loop.
type message struct {
	step   *step
	result driver.Result
	err    error
	batch  *batcher // with step nil: this batch has ended
	shared bool     // err is that of the whole batch
}

// Run walks a stored plan until every step has ended, or the task is cancelled, or ctx or the lease ends. In the last two cases acts are
// detached, the error says so, and another Run goes on with the same task. Resuming starts from journal; commands may be nil.
func (e *Engine) Run(ctx context.Context, lease *state.Lease, job Job, commands <-chan Command) (*Outcome, error) {
	ctx, cancel := lease.Context(ctx)
	defer cancel()
	r, err := e.newRun(ctx, lease, job)
	if err != nil {
		return nil, err
	}
	defer r.events.close()
	defer close(r.quit)
	defer r.later.drop()
	defer func() { r.opStop(nil); r.actStop(nil) }()
	if err := r.loop(ctx, commands); err != nil {
		r.abandon(err)
		return nil, err
	}
	r.outputs(ctx)
	return r.outcome(), nil
}

func (e *Engine) newRun(ctx context.Context, lease *state.Lease, job Job) (*run, error) {
	store := state.Fenced(e.opts.Store, lease)
	snap, err := Load(ctx, store, job.Deployment)
	if err != nil {
		return nil, err
	}
	journal, next, err := journal(ctx, store, job.Deployment, job.Task)
	if err != nil {
		return nil, err
	}
	r := &run{e: e, job: job, lease: lease, store: store, log: state.NewEventLog(store), world: e.NewWorld(snap, job.Inputs),
		byID: map[string]*step{}, infra: map[driver.Driver]*batcher{}, causes: map[string]*Failure{}, parts: map[partKey]bool{},
		msgs: make(chan message, 256), quit: make(chan struct{}), events: newOutbox()}
	if err := r.runFunctions(ctx); err != nil {
		return nil, err
	}
	r.world.expect(job.Plan)
	r.removed, r.working = map[topology.Instance]bool{}, map[topology.Instance]bool{}
	for in, rec := range snap.Instances {
		r.working[in] = rec.Installed()
	}
	for _, s := range job.Plan.Steps {
		if s.Kind == plan.Forget {
			r.removed[topology.Instance{Node: s.Node, Index: s.Instance}] = true
		}
	}
	r.undeploys = job.Plan.Workflow == plan.Uninstall
	for in := range snap.Instances {
		r.undeploys = r.undeploys && r.removed[in]
	}
	r.slots = newSlots(e.opts.Limits, job.Parallel)
	r.rounds.never = slices.ContainsFunc(job.Plan.Steps, func(s *plan.Step) bool { return r.batches(&step{Step: s}) })
	r.base = context.WithoutCancel(ctx) // acts do not end with ctx: they are told to detach first
	r.contexts()
	if err := r.link(); err != nil {
		return nil, err
	}
	r.pending.next = next
	if cause := halted(journal); cause != nil && job.Halt {
		r.haltedBefore(cause)
	}
	r.replay(journal)
	return r, nil
}

func (r *run) contexts() {
	r.actCtx, r.actStop = context.WithCancelCause(r.base)
	r.opCtx, r.opStop = context.WithCancelCause(r.actCtx)
}

// link makes the steps and their edges.
func (r *run) link() error {
	for i, s := range r.job.Plan.Steps {
		st := &step{Step: s, index: i, status: Pending, height: 1}
		r.steps = append(r.steps, st)
		r.byID[s.ID] = st
	}
	edge := func(from string, to *step) (*step, error) {
		f := r.byID[from]
		if f == nil || f.index >= to.index {
			return nil, fmt.Errorf("the plan is damaged: %s waits for %s, which does not come before it", to.ID, from)
		}
		f.succ = append(f.succ, to)
		to.waits++
		return f, nil
	}
	for _, st := range r.steps {
		for _, n := range st.Needs {
			f, err := edge(n, st)
			if err != nil {
				return err
			}
			if f.WorkflowStep != "" && f.Of() == st.Of() && !slices.Contains(st.Tolerates, n) {
				st.ways = append(st.ways, f.WorkflowStep)
			}
		}
		for _, n := range st.OnFailureOf {
			f, err := edge(n, st)
			if err != nil {
				return err
			}
			f.handled, st.alt = true, true
		}
		for _, n := range st.OnCancelOf {
			f, err := edge(n, st)
			if err != nil {
				return err
			}
			f.cancelH, st.alt = true, true
		}
	}
	for i := len(r.steps) - 1; i >= 0; i-- {
		for _, s := range r.steps[i].succ {
			r.steps[i].height = max(r.steps[i].height, s.height+1)
		}
	}
	return nil
}

// halted is the failure for which the task was decided to begin nothing more, nil if it was not, or was resumed since.
func halted(journal []Transition) (cause *Failure) {
	for _, t := range journal {
		if t.Halt != nil || t.Resumed {
			cause = t.Halt
		}
	}
	return cause
}

// haltedBefore goes on with a decision that a process has taken and not lived to carry out: nothing is begun, what was being done is
// brought to its end, and the task fails. Whoever resumes it after its end decides otherwise.
func (r *run) haltedBefore(cause *Failure) {
	if r.job.Again {
		r.pending.transitions = append(r.pending.transitions, Transition{Status: Pending, At: time.Now().UTC(), Resumed: true})
		return
	}
	r.stop, r.halted, r.finishing = stopStarting, true, true
	r.failures = append(r.failures, cause)
	r.causes[cause.Step] = cause
}

// replay brings the steps to where the journals say they are. What has failed, was skipped or cancelled is tried again; what was being
// done is done again under its old OpID, by which the driver finds out what became of it. A task that was halted only finishes that.
func (r *run) replay(journal []Transition) {
	for _, t := range journal {
		if st := r.byID[t.Step]; st != nil {
			st.status, st.attempt, st.opID, st.leftOut = t.Status, t.Attempt, t.OpID, t.LeftOut
			if st.Filter != "" && (t.Status == Doing || t.Status == Done || t.Status == Failed) {
				r.parts[st.part()] = !t.LeftOut
			}
		}
	}
	r.open = len(r.steps)
	for _, st := range r.steps {
		switch {
		case st.status == Done, r.doneInThisTask(st):
			st.status = Done
		case r.job.Skip[st.ID]:
			st.status = Done
			if st.Acts() {
				r.begun(st, plan.Done) // later tasks do not do it either
				r.passStates(st.StateOf(), st.StateAfter)
			}
		case st.status == Doing:
			st.status, st.unfinished, st.begun = Pending, true, true
		case r.finishing && st.status == Failed:
		default:
			st.status, st.opID = Pending, ""
		}
	}
	for _, st := range r.steps {
		if st.status == Done || st.status == Failed {
			r.tell(st)
			r.open--
		}
	}
	for _, st := range r.steps {
		if st.status == Pending && st.waits == 0 && (!r.finishing || st.unfinished || st.bad) {
			r.decide(st)
		}
	}
}

// doneInThisTask: the instance's journal is written before the task's, and a process may die in between.
func (r *run) doneInThisTask(st *step) bool {
	rec := r.world.instances[st.Of()]
	if rec == nil {
		return false
	}
	e, ok := rec.Journal[st.Key()]
	return ok && e.Status == plan.Done && e.Task == r.job.Task && e.Digest == st.Digest
}

// loop is the run's only decider.
func (r *run) loop(ctx context.Context, commands <-chan Command) error {
	for {
		started, more := r.start()
		began, puts := time.Now(), len(r.pending.transitions)
		events, err := r.commit(ctx)
		r.rounds.committed(puts, time.Since(began))
		if err != nil {
			r.acting -= len(started) // they were never launched: nobody need wait for them
			return err
		}
		for _, launch := range started {
			launch()
		}
		if err := r.append(ctx, events); err != nil {
			return err
		}
		if more {
			r.drain()
			continue
		}
		if r.acting == 0 && r.halted {
			return nil
		}
		if r.acting == 0 && r.stop != goOn && !r.cleaning {
			r.cancelRest()
			continue
		}
		if r.acting == 0 && r.open == 0 {
			return nil
		}
		r.tidy(ctx)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-r.msgs:
			r.take(m)
		case c := <-commands:
			r.command(c)
		case <-r.later.wait():
			r.due()
		case <-r.events.due():
		}
		r.drain()
	}
}

// tidyEvents is after how many events it is worth to look whether their log should be tidied.
const tidyEvents = 32

// tidy does what can be done while nothing waits for the loop, so that it need not be done when something does.
func (r *run) tidy(ctx context.Context) {
	if r.logged < tidyEvents || len(r.msgs) > 0 || r.rounds.slow {
		return
	}
	r.logged = 0
	if err := r.log.Tidy(ctx, r.job.Deployment); err != nil {
		r.e.opts.Logger.Debug("the events are not tidied now", "deployment", r.job.Deployment, "error", err) // whatever it is, the next commit says so
	}
}

// drain takes what has arrived already, so that one commit serves it all, or a round of it.
func (r *run) drain() {
	for n := 1; n < r.rounds.size(len(r.msgs)+r.ready.Len()); n++ {
		select {
		case m := <-r.msgs:
			r.take(m)
		default:
			return
		}
	}
}

// abandon ends a run that cannot go on: acts are detached, and waited for as long as a driver may need to let go.
func (r *run) abandon(cause error) {
	r.actStop(fmt.Errorf("%w: %w", driver.ErrDetach, cause))
	grace := time.NewTimer(detachGrace)
	defer grace.Stop()
	for r.acting > 0 {
		select {
		case m := <-r.msgs:
			if m.step != nil || m.batch != nil {
				r.acting--
			}
		case <-grace.C:
			r.e.opts.Logger.Warn("acts did not let go in time", "deployment", r.job.Deployment, "task", r.job.Task, "acting", r.acting)
			return
		}
	}
}

// detachGrace is how long a driver may take to let go of an operation.
const detachGrace = 10 * time.Second

func (r *run) outcome() *Outcome {
	o := &Outcome{Status: Done, Progress: r.progress(), Handled: r.handledFailures()}
	if len(r.failures) > 0 {
		o.Status = Failed
		o.Failure = r.firstCause()
	}
	for _, st := range r.steps {
		o.Halted = o.Halted || r.halted && st.status == Pending
		if st.cleanup {
			o.Status = Cancelled // though nothing may have been left out
		}
		if st.status != Cancelled {
			continue
		}
		o.Status = Cancelled
		if errors.Is(st.err, driver.ErrDetach) {
			o.Detached = append(o.Detached, st.ID)
		}
	}
	return o
}

func (r *run) progress() (p Progress) {
	for _, st := range r.steps {
		if !st.Acts() {
			continue
		}
		p.Total++
		switch st.status {
		case Done:
			if st.leftOut {
				p.Skipped++
			} else {
				p.Done++
			}
		case Failed:
			p.Failed++
		case Skipped, Cancelled:
			p.Skipped++
		case Doing:
			p.Running++
		}
	}
	return p
}

// stateOf is the recorded state of an instance.
func (r *run) stateOf(in topology.Instance) string {
	if rec := r.world.instances[in]; rec != nil {
		return rec.State
	}
	return ""
}
