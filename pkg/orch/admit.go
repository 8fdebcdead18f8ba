package orch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
)

// Plan implements Service.
func (l *Local) Plan(ctx context.Context, req Request) (*plan.Plan, diag.List, error) {
	req, err := l.understood(ctx, req.defaults())
	if err != nil {
		return nil, nil, err
	}
	p, err := l.prepare(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	if err := l.complete(ctx, p); err != nil {
		return nil, nil, err
	}
	return p.plan, p.findings(), nil
}

func (r Request) defaults() Request {
	if r.Verb == "" {
		r.Verb = Deploy
	}
	return r
}

// Apply implements Service. A request becomes a task at once, or waits in the queue:
//
//	the deployment is free, or held here      planned; runs at once unless its footprint overlaps with that of a task before it
//	another process holds it                  queued in the store, where that process finds it; what is not on record is waited for
func (l *Local) Apply(ctx context.Context, req Request) (Task, error) {
	if same, err := l.numbered(ctx, req); err != nil || same != nil {
		return deref(same), err
	}
	req, err := l.understood(ctx, req.defaults())
	if err != nil {
		return Task{}, err
	}
	if same, err := l.cameOf(ctx, req.Deployment); err != nil || same != nil {
		return deref(same), err
	}
	for began := time.Now(); ; {
		t, err := l.applyOrAsk(ctx, req)
		switch {
		case !errors.Is(err, errNoQueue):
			return t, err
		case time.Since(began) > unrecordedWait:
			var held *state.HeldError
			if errors.As(err, &held) {
				return Task{}, heldError(req.Deployment, held)
			}
			return Task{}, &Error{Kind: KindConflict, Msg: "deployment " + req.Deployment + " is just going", Hint: "ask again in a moment"}
		}
		select {
		case <-ctx.Done():
			return Task{}, context.Cause(ctx)
		case <-time.After(unrecordedPace):
		}
	}
}

// applyOrAsk does it, or leaves it to the process that holds the deployment; errNoQueue if neither is possible just now.
func (l *Local) applyOrAsk(ctx context.Context, req Request) (Task, error) {
	h, err := l.hold(ctx, req.Deployment)
	var held *state.HeldError
	switch {
	case errors.As(err, &held):
		return l.ask(ctx, req, held)
	case err != nil:
		return Task{}, err
	}
	defer l.letGo(h)
	l.takeUp(ctx, req.Deployment)
	h.admit.Lock()
	defer h.admit.Unlock()
	return l.admit(ctx, h, req, nil)
}

// unrecordedWait is how long a request for a deployment waits that another process holds and that is not on record: it is just being recorded
// for the first time, or forgotten, or that process has died and its hold ends.
const (
	unrecordedWait = 2 * state.DefaultTTL
	unrecordedPace = 100 * time.Millisecond
)

// admit makes a task of a request, or puts it into the queue. from is the task of a request that comes out of the queue, nil for a new one.
// h.admit is held, which keeps tasks from starting but not from ending: what was planned while one ended is planned again.
func (l *Local) admit(ctx context.Context, h *holding, req Request, from *engine.Task) (Task, error) {
	for {
		ends := l.endsOf(h)
		t, err := l.admitAsOf(ctx, h, req, from, ends)
		if !errors.Is(err, errPlanAgain) {
			return t, err
		}
	}
}

var errPlanAgain = errors.New("a task has ended while this was planned")

func (l *Local) admitAsOf(ctx context.Context, h *holding, req Request, from *engine.Task, ends int) (Task, error) {
	p, err := l.prepare(ctx, req)
	if err != nil {
		return Task{}, err
	}
	if req.New && p.have != nil {
		return Task{}, existsError(p.name)
	}
	if p.plan == nil {
		return Task{}, l.mistakes(ctx, p)
	}
	t, err := l.newTask(ctx, p, from)
	if err != nil {
		return Task{}, err
	}
	if from == nil {
		if same, err := l.numbered(ctx, req); err != nil || same != nil {
			return deref(same), err // it was made while this one waited for the deployment
		}
		if same, err := l.asked(ctx, h, t); err != nil || same != nil {
			return deref(same), err
		}
		if left, err := l.leftUndone(ctx, h, req, t); err != nil || left != nil {
			return deref(left), err
		}
	}
	if req.Verb == Undeploy {
		if err := l.clear(ctx, h, t); err != nil {
			return Task{}, err
		}
	}
	if req.Adopt && req.Verb == Deploy && from == nil {
		if p, err = l.adoptFirst(ctx, h, p, t.ID); err != nil {
			return Task{}, err
		}
		if p.plan == nil {
			return Task{}, p.findings().Err()
		}
	}
	// What overlaps already now is queued without asking the cloud; what the cloud says may widen it.
	if req.Revision != 0 && from == nil {
		if err := l.yield(ctx, h); err != nil {
			return Task{}, err
		}
	}
	for _, look := range []func() error{func() error { return nil }, func() error { return l.complete(ctx, p) }} {
		if err := look(); err != nil {
			return Task{}, err
		}
		if p.plan == nil {
			return Task{}, p.findings().Err()
		}
		if t.Footprint = p.footprint(); p.findsOut() {
			t.Footprint.Writes = p.topology.NodeNames()
		}
		if t.Waits, err = l.waits(ctx, h, t, from != nil); err != nil {
			return Task{}, err
		}
		if t.Waits != "" {
			return l.wait(ctx, h, p, t, from)
		}
		t.Footprint = p.footprint()
	}
	if l.endsOf(h) != ends {
		return Task{}, errPlanAgain
	}
	if req.PlanDigest != "" && req.PlanDigest != p.plan.Digest {
		return Task{}, &Error{Kind: KindConflict, Msg: "the plan is not the reviewed one any more: something has changed in between", Hint: "review it again with orch plan"}
	}
	return l.apply(ctx, h, p, t)
}

// mistakes are those of a request that cannot be planned, with what the drivers find.
func (l *Local) mistakes(ctx context.Context, p *prepared) error {
	if err := l.complete(ctx, p); err != nil {
		return err
	}
	return p.findings().Err()
}

func deref[T any](t *T) (zero T) {
	if t == nil {
		return zero
	}
	return *t
}

// wait puts a task into the queue, or notes what it waits for now if it is there already.
func (l *Local) wait(ctx context.Context, h *holding, p *prepared, t engine.Task, from *engine.Task) (Task, error) {
	if from == nil && p.req.NoQueue {
		return Task{}, &Error{Kind: KindConflict, Msg: fmt.Sprintf("deployment %s is busy: %s", p.name, t.Waits),
			Hint: "follow it with orch status or orch events -f, or stop it with orch cancel"}
	}
	if from == nil {
		return l.enqueue(ctx, p, t)
	}
	t.Status = engine.Queued
	if from.Waits == t.Waits {
		return l.task(t), nil
	}
	err := state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) error {
		have, found, err := engine.FindTaskTx(tx, t.Deployment, t.ID)
		if err != nil || !found || have.Status != engine.Queued {
			return err
		}
		if err := engine.PutTaskTx(tx, t); err != nil {
			return err
		}
		_, err = state.AppendTx(tx, t.Deployment, queueEvent(t))
		return err
	})
	return l.task(t), storeError(err)
}

// newTask is the task of a prepared request.
func (l *Local) newTask(ctx context.Context, p *prepared, from *engine.Task) (engine.Task, error) {
	req := p.req
	t := engine.Task{ID: ulid.Make().String(), Deployment: p.name, Verb: string(req.Verb), Workflow: workflowName(req), Status: engine.Pending,
		User: req.User, Created: now(), Force: req.Force, Parallel: req.Parallel, Purge: req.Purge}
	t.Admin, t.Key = secrets.ActorOf(asking(ctx)).Admin, RequestKey(ctx)
	switch {
	case from != nil:
		t.ID, t.Created, t.Admin, t.Key = from.ID, from.Created, from.Admin, from.Key
	case req.Task != "":
		t.ID = req.Task
	}
	var err error
	if t.Inputs, err = engine.EncodeMap(p.wfInputs, l.opts.Cipher); err != nil {
		return t, storeError(err)
	}
	if t.OnFailure, err = p.policy(); err != nil {
		return t, err
	}
	t.Limited = p.only() != nil
	t.Request, err = p.fingerprint()
	return t, err
}

func workflowName(req Request) string {
	switch req.Verb {
	case Deploy:
		return plan.Install
	case Undeploy:
		return plan.Uninstall
	case Operate:
		return plan.Operation
	}
	return req.Workflow
}

// fingerprint identifies what is asked for, whoever asks.
func (p *prepared) fingerprint() (string, error) {
	req := p.asked
	source := ""
	if p.parts != nil {
		_, digest, err := pack(p.parts)
		if err != nil {
			return "", &Error{Kind: KindUser, Msg: "cannot read the topology", Err: err}
		}
		source = digest
	}
	inputs := canonicalInputs(req.Inputs)
	req.Source, req.ImportPath, req.Inputs, req.SourceName = nil, nil, nil, ""
	req.User, req.New, req.PlanDigest, req.SkipPreflight, req.Parallel = "", false, "", false, 0
	req.NoQueue = false
	b, err := json.Marshal(req)
	if err != nil {
		return "", fmt.Errorf("cannot encode the request: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s", b, inputs, source))
	return hex.EncodeToString(sum[:16]), nil
}

// asked finds the unfinished task that was asked for by the same request.
func (l *Local) asked(ctx context.Context, h *holding, t engine.Task) (*Task, error) {
	tasks, err := engine.Tasks(ctx, l.store, t.Deployment)
	if err != nil {
		return nil, storeError(err)
	}
	for _, have := range tasks {
		if have.Request != t.Request || have.Verb != t.Verb || h != nil && have.Status.Works() && l.runningTask(t.Deployment, have.ID) == nil {
			continue // another one, or one that its process has left
		}
		if have.Status.Works() || have.Status == engine.Queued {
			same := l.task(have)
			return &same, nil
		}
	}
	return nil, nil
}

// leftUndone goes on with the task that was asked for by the same request and that its process, which has died, has left; nil if there is none.
// Deploying and undeploying are planned anew instead: they end the same whatever has been done. Others would do again what has been done.
func (l *Local) leftUndone(ctx context.Context, h *holding, req Request, t engine.Task) (*Task, error) {
	if req.Verb == Undeploy || req.Verb == Deploy && req.Revision == 0 && len(req.ScaleBy) == 0 {
		return nil, nil
	}
	tasks, err := engine.Tasks(ctx, l.store, t.Deployment)
	if err != nil {
		return nil, storeError(err)
	}
	for _, have := range tasks {
		if have.Request != t.Request || have.Verb != t.Verb || !have.Status.Works() || l.runningTask(t.Deployment, have.ID) != nil {
			continue
		}
		goOn := Control{Verb: "resume"}
		if l.resumable(ctx, have, goOn) != nil {
			continue
		}
		if err := l.resumeHeld(ctx, h, have, goOn, false); err != nil {
			return nil, err
		}
		have, err := engine.LoadTask(ctx, l.store, t.Deployment, have.ID)
		same := l.task(have)
		return &same, storeError(err)
	}
	return nil, nil
}

// numbered finds the task whose id a request has chosen; nil if it has chosen none, or there is none.
func (l *Local) numbered(ctx context.Context, req Request) (*Task, error) {
	if req.Task == "" {
		return nil, nil
	}
	if _, err := ulid.ParseStrict(req.Task); err != nil {
		return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no id for a task", req.Task), Hint: "leave it out, or choose a ULID"}
	}
	var t engine.Task
	var found bool
	err := l.store.View(ctx, func(tx state.Tx) (err error) {
		t, found, err = engine.FindTaskTx(tx, req.Deployment, req.Task)
		return err
	})
	if err != nil || !found {
		return nil, storeError(err)
	}
	same := l.task(t)
	return &same, nil
}

// clear makes room for an undeployment, which is always possible: what runs is cancelled (killed, with Force), and what waits is taken back.
func (l *Local) clear(ctx context.Context, h *holding, self engine.Task) error {
	tasks, err := engine.Tasks(ctx, l.store, h.name)
	if err != nil {
		return storeError(err)
	}
	verb := engine.CommandCancel
	if self.Force {
		verb = engine.CommandForce
	}
	for _, t := range tasks {
		switch {
		case t.Status == engine.Queued && t.ID < self.ID:
			err = l.cancelQueued(ctx, t)
		case t.Status == engine.Paused:
			err = l.write(ctx, h.lease, ended(t, engine.Cancelled), nil)
		default:
			if r := l.runningTask(h.name, t.ID); r != nil {
				r.command(verb)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// yield ends what is paused in favour of a rollback, which is one of the answers that it waits for.
func (l *Local) yield(ctx context.Context, h *holding) error {
	tasks, err := engine.Tasks(ctx, l.store, h.name)
	if err != nil {
		return storeError(err)
	}
	for _, t := range tasks {
		if t.Status == engine.Paused {
			if err := l.write(ctx, h.lease, ended(t, engine.Cancelled), nil); err != nil {
				return storeError(err)
			}
		}
	}
	return nil
}

// ended is a task that ends without having run.
func ended(t engine.Task, status engine.Status) engine.Task {
	t.Status, t.Ended, t.Waits = status, now(), ""
	return t
}

// ask leaves a request to the process that holds the deployment; errNoQueue if there is nothing on record to which it could be left.
func (l *Local) ask(ctx context.Context, req Request, held *state.HeldError) (Task, error) {
	if _, err := loadDeployment(ctx, l.store, req.Deployment); errors.Is(err, ErrNotFound) {
		return Task{}, errors.Join(errNoQueue, held)
	}
	p, err := l.prepare(ctx, req)
	if (req.NoQueue || req.Adopt) && err == nil {
		return Task{}, heldError(req.Deployment, held)
	}
	if err != nil {
		return Task{}, err
	}
	if req.New {
		return Task{}, existsError(p.name)
	}
	if p.plan == nil {
		return Task{}, l.mistakes(ctx, p)
	}
	t, err := l.newTask(ctx, p, nil)
	if err != nil {
		return Task{}, err
	}
	if same, err := l.asked(ctx, nil, t); err != nil || same != nil {
		return deref(same), err
	}
	t.Footprint, t.Waits = p.footprint(), "the process that works on the deployment: "+held.Holder.String()
	return l.enqueue(ctx, p, t)
}

// findsOut reports whether what the request is about depends on what others are still finding out: who is not well. It waits for everybody, and
// is planned when its turn has come.
func (p *prepared) findsOut() bool {
	return p.heals() && (p.req.Spare || len(p.req.chosen()) == 0 && p.req.Node == "")
}

func (p *prepared) footprint() plan.Footprint {
	topologies := append([]plan.Version{{Topology: p.topology}, {Topology: p.previous}}, p.older...)
	return footprint(p.plan, topologies)
}

func footprint(p *plan.Plan, versions []plan.Version) plan.Footprint {
	var ts []*topology.Topology
	for _, v := range versions {
		if v.Topology != nil {
			ts = append(ts, v.Topology)
		}
	}
	return p.Footprint(ts...)
}

// statusEvents tell of a deployment's and a task's new status. A deployment is there before its task begins, and done after it.
func statusEvents(d record, t engine.Task) []event.Event {
	at := now()
	task := event.Event{Time: at, Type: event.TaskStatus, Task: t.ID, Workflow: t.Workflow, Status: string(t.Status), Key: t.Doing}
	deployment := event.Event{Time: at, Type: event.DeploymentStatus, Task: t.ID, Workflow: t.Workflow, Status: string(d.Status), Key: d.Doing, Value: string(t.Status)}
	if t.Doing == doingPurge && !t.Changed {
		task.Key, deployment.Key = event.Forget, event.Forget
	}
	if t.Status == engine.Pending {
		return []event.Event{deployment, task}
	}
	return []event.Event{task, deployment}
}
