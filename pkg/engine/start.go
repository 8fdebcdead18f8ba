package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// start chooses everything that may start now, marks it, and returns what launches it once that is stored. Steps that only change
// records end at once, and with them perhaps whole chains. More says that others may start, too, in the next round.
func (r *run) start() (launches []func(), more bool) {
	for len(r.records) > 0 { // a cancellation does not stop them: what was done is to be on record
		st := r.records[0]
		r.records = r.records[1:]
		r.record(st)
	}
	if r.stop != goOn && !r.cleaning && !r.finishing {
		return nil, false
	}
	most := r.rounds.size(len(r.msgs) + r.ready.Len())
	if r.finishing { // there is no next round
		most, r.finishing = math.MaxInt, false
	}
	for r.ready.Len() > 0 && !r.slots.full() {
		if len(launches) == most {
			return launches, true
		}
		st := r.ready.pop()
		full, woken := r.slots.take(st, r.limits(st))
		for _, w := range woken {
			r.ready.push(w)
		}
		if full != "" {
			r.waitsFor(st, "a free place: "+string(full)+" is busy")
			continue
		}
		launches = append(launches, r.begin(st))
	}
	for _, b := range r.infra {
		if launch := b.start(); launch != nil {
			launches = append(launches, launch)
		}
	}
	return launches, false
}

// record does a step that only changes records.
func (r *run) record(st *step) {
	switch st.Kind {
	case plan.SetState:
		r.begun(st, plan.Done)
		if st.WorkflowStep != "" {
			r.setState(st.Of(), st.StateAfter) // exactly what the document says
		} else {
			r.passStates(st.Of(), st.StateAfter)
		}
	case plan.Assert:
		r.assert(st)
		return
	case plan.Forget:
		r.passStates(st.Of(), st.StateAfter)
		r.pending.forget(r, st.Of())
	}
	r.ended(st, Done)
}

// begin marks a step as being done and returns what does it.
func (r *run) begin(st *step) func() {
	r.mark(st)
	r.acting++
	return func() { go r.act(st) }
}

// mark writes intent: the step, the journal of its instance, and the state.
func (r *run) mark(st *step) {
	if st.opID == "" {
		r.takeOver(st)
	}
	if st.opID == "" {
		st.attempt++
		st.opID, st.begun = r.opIDFor(st), false
	}
	st.pauses = nil
	if st.Kind == plan.Health || st.Kind == plan.Op && !st.begun {
		st.pauses = &driver.Pauses{}
	}
	st.status, st.began, st.waiting = Doing, time.Now(), ""
	r.begun(st, plan.Doing)
	if st.StateBefore != "" && r.stateOf(st.StateOf()) != st.StateBefore {
		r.passStates(st.StateOf(), st.StateBefore)
	}
	r.pending.transition(r, st)
}

// takeOver finds the OpID of the same act in the instance's journal, where it was begun before and nobody knows how it ended.
func (r *run) takeOver(st *step) {
	rec := r.world.instances[st.Of()]
	if rec == nil {
		return
	}
	e, begun := rec.Journal[st.Key()]
	switch {
	case begun && e.Status == plan.Doing && e.Digest == st.Digest && e.OpID != "":
		st.opID, st.taken, st.begun = e.OpID, true, true
		st.attempt++
	case begun && e.Status != plan.Done && st.Kind == plan.Infra:
		st.attempt++ // not the first: it may have left something
	}
}

// opIDFor names an attempt. It is a function of what it names, so that it needs no luck to be unique.
func (r *run) opIDFor(st *step) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d", r.job.Deployment, r.job.Task, st.ID, st.attempt))
	return hex.EncodeToString(h[:16])
}

// begun writes the act into the journal of its instance.
func (r *run) begun(st *step, status plan.Status) {
	rec := r.instance(st.Of())
	e := plan.Entry{Status: status, OpID: st.opID, Digest: st.Digest, Parts: st.Parts,
		Task: r.job.Task, At: time.Now().UTC(), Replaces: st.Replaces}
	if in, ok := plan.ParseInstance(st.Host); ok {
		e.Host = r.generation(in)
	}
	if st.PerPair() {
		// Operations at the target's side may come before anything else of the target.
		e.Peer = r.instance(topology.Instance{Node: st.Target, Index: st.TargetInstance}).Generation
	}
	rec.Begin(st.Key(), e)
	r.pending.touch(st.Of())
}

func (r *run) generation(in topology.Instance) string {
	if rec := r.world.instances[in]; rec != nil {
		return rec.Generation
	}
	return ""
}

// instance returns the record of an instance for changing, making it at first.
func (r *run) instance(in topology.Instance) *Instance {
	rec := r.world.instances[in]
	if rec == nil {
		rec = &Instance{Recorded: plan.Recorded{Generation: newGeneration(r.job.Task, in), Created: time.Now().UTC()}}
		r.world.mu.Lock()
		r.world.instances[in] = rec
		r.world.mu.Unlock()
		r.setState(in, "initial")
	}
	return rec
}

func newGeneration(task string, in topology.Instance) string {
	h := sha256.Sum256([]byte(task + "\n" + in.String()))
	return hex.EncodeToString(h[:8])
}

// MadeBy reports whether a task has made an instance: it was not there before.
func MadeBy(rec *Instance, in topology.Instance, task string) bool {
	return rec.Generation == newGeneration(task, in)
}

// passStates brings an instance to a state by way of the lifecycle.
func (r *run) passStates(in topology.Instance, to string) {
	for _, s := range plan.Path(r.stateOf(in), to) {
		r.setState(in, s)
	}
}

func (r *run) setState(in topology.Instance, state string) {
	rec := r.world.instances[in]
	if rec == nil {
		if state == "deleted" {
			return
		}
		rec = r.instance(in)
	}
	if state == "" || rec.State == state {
		return
	}
	r.world.mu.Lock()
	rec.State, rec.Updated = state, time.Now().UTC()
	if r.job.Plan.Workflow == plan.Install && r.job.Topology.NodeNamed(in.Node) != nil {
		rec.Revision = r.job.Revision // what is only taken down stays what the old one has made
	}
	r.world.mu.Unlock()
	r.pending.touch(in)
	r.pending.event(event.Event{Type: event.InstanceState, Status: state, Node: in.Node, Instance: in.Index})
}

// limits that an operation runs under.
func (r *run) limits(st *step) []slotKey {
	keys := []slotKey{"driver " + slotKey(r.driverName(st))}
	if st.Kind == plan.Op && st.Host != plan.OnOrchestrator && st.Host != "" {
		keys = append(keys, "host "+slotKey(st.Host))
	}
	return keys
}

func (r *run) driverName(st *step) string {
	if d := r.driver(st); d != nil {
		return d.Name()
	}
	return ""
}

// driver by kind and host. A request may choose another (Options.Select) when it is made.
func (r *run) driver(st *step) driver.Driver {
	switch {
	case st.Kind == plan.Infra:
		return r.e.opts.Infra
	case st.Host == "" || st.Host == plan.OnOrchestrator:
		return r.e.opts.Local
	}
	return r.e.opts.Remote
}

// driverOf is the driver of a request that is made: the operation may name a host itself, and Options.Select may choose another driver.
func (r *run) driverOf(st *step, req *driver.Request) driver.Driver {
	d := r.driver(st)
	if st.Kind == plan.Op && req.Host != nil {
		d = r.e.opts.Remote
	}
	if r.e.opts.Select != nil {
		if other := r.e.opts.Select(req); other != nil {
			d = other
		}
	}
	return d
}

// act runs in a goroutine of its own and reports by one message.
func (r *run) act(st *step) {
	ctx, stop := r.opCtx, func() {}
	if st.Kind == plan.Infra {
		ctx = r.actCtx // infrastructure is never killed, only let go of
	}
	if st.pauses != nil {
		ctx = driver.WithPauses(ctx, st.pauses)
	}
	if host := r.turnOf(st); host != "" {
		wait, end := driver.Pause(ctx)
		free, err := r.e.turns.take(wait, host, r.e.opts.Limits.Host, func() {
			r.emit(st)(event.Event{Type: event.Waiting, Message: "waiting for a free place: another task works on " + st.Host})
		})
		took := err == nil
		if err = end(err); err != nil {
			if took {
				free()
			}
			r.send(message{step: st, err: err})
			return
		}
		defer free()
	}
	if st.Timeout > 0 && st.Kind != plan.Health { // that says itself why its time was not enough
		ctx, stop = withTimeout(ctx, st.Timeout)
	}
	defer stop()
	res, err := r.perform(ctx, st)
	r.send(message{step: st, result: res, err: err})
}

// turnOf names the host whose operations take turns; "" where they need not.
func (r *run) turnOf(st *step) string {
	if r.e.opts.Limits.Host <= 0 || st.Kind != plan.Op || st.Host == "" || st.Host == plan.OnOrchestrator {
		return ""
	}
	return r.job.Deployment + " " + st.Host
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, func()) {
	c, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("%w after %s", errTimeout, d))
	return c, func() { cancel() }
}

func (r *run) send(m message) {
	select {
	case r.msgs <- m:
	case <-r.quit:
	}
}

// perform makes the request and runs it. A panic in a driver is that step's failure, not everybody's.
func (r *run) perform(ctx context.Context, st *step) (res driver.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("defect in the driver: %v", p)
		}
	}()
	if st.Kind == plan.Health {
		return res, r.probe(ctx, st)
	}
	req, err := r.request(ctx, st)
	if err != nil {
		return res, err
	}
	d := r.driverOf(st, req)
	if d == nil {
		return res, fmt.Errorf("no driver is configured for %s", st.ID)
	}
	return d.Run(ctx, req, r.emit(st))
}
