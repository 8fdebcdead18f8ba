package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/secrets"
)

// Plan implements Service.
func (l *Local) Plan(ctx context.Context, req Request) (*plan.Plan, diag.List, error) {
	if req.Verb == "" {
		req.Verb = Deploy
	}
	req, err := l.understood(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	p, err := l.prepare(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	return p.plan, p.diags.Sorted(), nil
}

// Apply implements Service.
func (l *Local) Apply(ctx context.Context, req Request) (Task, error) {
	if req.Verb == "" {
		req.Verb = Deploy
	}
	req, err := l.understood(ctx, req)
	if err != nil {
		return Task{}, err
	}
	lease, same, err := l.hold(ctx, req)
	if req.New && same != nil {
		return Task{}, existsError(req.Deployment)
	}
	if req.Verb == Undeploy && errors.Is(err, state.ErrHeld) {
		if err := l.clear(ctx, req); err != nil {
			return Task{}, err
		}
		lease, same, err = l.hold(ctx, req)
	}
	if err != nil || same != nil {
		return deref(same), err
	}
	t, err := l.apply(ctx, lease, req)
	if err != nil {
		l.release(lease)
		return Task{}, err
	}
	return t, nil
}

// clear makes room for an undeployment, which is always possible: what runs is cancelled (killed, with Force) and waited for.
func (l *Local) clear(ctx context.Context, req Request) error {
	t, err := l.findTask(ctx, req.Deployment, "")
	if err != nil || t.Status.Ended() {
		return err
	}
	verb := "cancel"
	if req.Force {
		verb = "force"
	}
	if err := l.command(ctx, t, verb); err != nil {
		return err
	}
	if _, err := l.Wait(ctx, req.Deployment, t.ID); err != nil {
		return err
	}
	// Its process gives the lease back just after the end.
	lease, err := l.store.Lease(ctx, leaseKey(req.Deployment), state.LeaseOptions{Owner: l.opts.Owner, Host: l.opts.Host, TTL: l.opts.TTL, Wait: releaseWait})
	if err == nil {
		l.release(lease)
	}
	return asHeld(req.Deployment, err)
}

const releaseWait = 10 * time.Second

func deref[T any](t *T) (zero T) {
	if t == nil {
		return zero
	}
	return *t
}

// hold takes the deployment's lease. Where the same is running already, that task is returned instead.
func (l *Local) hold(ctx context.Context, req Request) (*state.Lease, *Task, error) {
	lease, err := l.leaseAfterTask(ctx, req.Deployment)
	var held *state.HeldError
	if !errors.As(err, &held) {
		return lease, nil, err
	}
	if d, derr := loadDeployment(ctx, l.store, req.Deployment); derr == nil && d.Task != "" {
		if t, terr := engine.LoadTask(ctx, l.store, req.Deployment, d.Task); terr == nil && !t.Status.Ended() && t.Verb == string(req.Verb) && t.Workflow == workflowName(req) {
			same := l.task(t)
			return nil, &same, nil
		}
	}
	return nil, nil, heldError(req.Deployment, held)
}

func heldError(name string, held *state.HeldError) error {
	return &Error{Kind: KindConflict, Msg: fmt.Sprintf("deployment %s is busy: %s works on it", name, held.Holder),
		Hint: "follow it with orch status or orch events -f, or stop it with orch cancel; if that process is dead, its hold ends by itself within seconds", Err: held}
}

func (l *Local) lease(ctx context.Context, name string) (*state.Lease, error) {
	if !validName(name) {
		return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no name for a deployment", name),
			Hint: "use letters, digits, '-', '_' and '.', up to 128 of them"}
	}
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, &Error{Kind: KindConflict, Msg: ErrClosing.Error()}
	}
	lease, err := l.store.Lease(ctx, leaseKey(name), state.LeaseOptions{Owner: l.opts.Owner, Host: l.opts.Host, TTL: l.opts.TTL})
	var held *state.HeldError
	if err != nil && !errors.As(err, &held) {
		return nil, storeError(err)
	}
	return lease, err
}

func (l *Local) release(lease *state.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.life), 5*time.Second)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		l.log.Warn("cannot give a lease back; it ends by itself", "lease", lease.Key(), "error", err)
	}
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

// apply plans under the lease, stores everything that is needed to go on without this process, and starts the task.
func (l *Local) apply(ctx context.Context, lease *state.Lease, req Request) (Task, error) {
	p, err := l.prepare(ctx, req)
	if err != nil {
		return Task{}, err
	}
	if req.New && p.have != nil {
		return Task{}, existsError(p.name)
	}
	if p.plan == nil {
		return Task{}, p.diags.Err()
	}
	if req.PlanDigest != "" && req.PlanDigest != p.plan.Digest {
		return Task{}, &Error{Kind: KindConflict, Msg: "the plan is not the reviewed one any more: something has changed in between", Hint: "review it again with orch plan"}
	}
	t := engine.Task{ID: ulid.Make().String(), Deployment: p.name, Verb: string(req.Verb), Workflow: workflowName(req), Status: engine.Pending,
		User: req.User, Created: now(), PlanDigest: p.plan.Digest, Force: req.Force, Parallel: req.Parallel, Purge: req.Purge,
		Changed: len(p.plan.Steps) > 0}
	t.Admin = secrets.ActorOf(asking(ctx)).Admin
	for _, s := range p.plan.Steps {
		if s.Acts() {
			t.Progress.Total++
		}
	}
	if t.Inputs, err = engine.EncodeMap(p.wfInputs, l.opts.Cipher); err != nil {
		return Task{}, storeError(err)
	}
	d, rev, err := l.nextRecord(ctx, lease, p, &t)
	if err != nil {
		return Task{}, err
	}
	if err := l.engine.Create(ctx, lease, t, p.plan); err != nil {
		return Task{}, storeError(err)
	}
	fenced := state.Fenced(l.store, lease)
	err = fenced.Update(ctx, func(tx state.Tx) error {
		if rev != nil {
			if err := state.Put(tx, revisionKey(p.name, rev.N), *rev); err != nil {
				return err
			}
		}
		if err := tx.Delete(controlKey(p.name)); err != nil {
			return err
		}
		if err := supersede(tx, p.have); err != nil {
			return err
		}
		if err := state.Put(tx, deploymentKey(p.name), d); err != nil {
			return err
		}
		_, err := state.AppendTx(tx, p.name, statusEvents(d, t)...)
		return err
	})
	if err != nil {
		return Task{}, storeError(err)
	}
	job := engine.Job{Deployment: p.name, Task: t.ID, Plan: p.plan, Topology: p.topology, Previous: p.previous, Inputs: p.inputs,
		PreviousInputs: p.prevIn, Older: p.older, WorkflowInputs: p.wfInputs, Revision: d.Revision, Parallel: req.Parallel}
	return l.start(lease, d, t, job)
}

// supersede ends the task that a dead process has left: the new one takes over what it was doing.
func supersede(tx state.Tx, have *record) error {
	if have == nil || have.Task == "" {
		return nil
	}
	old, found, err := engine.FindTaskTx(tx, have.Name, have.Task)
	if err != nil || !found || old.Status.Ended() {
		return err
	}
	old.Status, old.Ended = engine.Cancelled, now()
	old.Failure = &engine.Failure{Step: "task", Message: "its process has ended; another task has taken over"}
	return engine.PutTaskTx(tx, old)
}

// nextRecord is the deployment's record while the task runs, and the revision if there is a new one.
func (l *Local) nextRecord(ctx context.Context, lease *state.Lease, p *prepared, t *engine.Task) (record, *revision, error) {
	d := record{Name: p.name, Created: now()}
	if p.have != nil {
		d = *p.have
	}
	d.Updated, d.Task, d.Cause = now(), t.ID, ""
	d.Topology, d.Description, d.Metadata, d.Location = p.topology.Name, p.topology.Description, p.topology.Metadata, p.location
	d.Infra = d.Infra || slices.ContainsFunc(p.plan.Steps, func(s *plan.Step) bool { return s.Kind == plan.Infra })
	d.Scale, d.Doing = p.scale(), doing(p, d.Doing)
	if p.req.Verb == Deploy && p.req.Source != nil {
		d.Blueprint = p.req.Blueprint // "" for documents of one's own
	}
	switch p.req.Verb {
	case Undeploy:
		d.Status = StatusUndeploying
	case Deploy:
		d.Status = StatusDeploying
		if p.have != nil && (p.have.Status == StatusDeployed || p.have.Status == StatusUpdating) {
			d.Status = StatusUpdating
		}
	}
	var rev *revision
	if p.req.Verb == Deploy {
		r, err := l.nextRevision(ctx, lease, p)
		if err != nil {
			return d, nil, err
		}
		if r.N != p.stored.N {
			rev = &r
		}
		d.Revision = r.N
	}
	t.Revision = d.Revision
	return d, rev, nil
}

// nextRevision stores the bundle. Where nothing is new it is the stored revision.
func (l *Local) nextRevision(ctx context.Context, lease *state.Lease, p *prepared) (revision, error) {
	rev := p.stored
	inputs, err := engine.EncodeMap(p.inputs, l.opts.Cipher)
	if err != nil {
		return rev, storeError(err)
	}
	sameInputs := canonicalInputs(p.inputs) == canonicalInputs(p.prevIn) && p.stored.N > 0
	blob := rev.Bundle
	if p.parts != nil {
		raw, digest, err := pack(p.parts)
		if err != nil {
			return rev, &Error{Kind: KindUser, Msg: "cannot store the topology", Err: err}
		}
		blob = bundleBlob(p.name, digest)
		if blob != rev.Bundle {
			if _, err := state.NewBlobs(state.Fenced(l.store, lease)).Put(ctx, blob, newReader(raw)); err != nil {
				return rev, storeError(err)
			}
		}
	}
	if blob == rev.Bundle && sameInputs && p.location == rev.Location && (p.parts == nil || p.req.Entry == rev.Entry) {
		return rev, nil
	}
	next := revision{N: rev.N + 1, Bundle: blob, Entry: rev.Entry, SourceName: rev.SourceName, Imports: rev.Imports, Inputs: inputs,
		Location: p.location, Digest: p.topology.Digest, Created: now(), User: p.req.User}
	if p.parts != nil {
		next.Entry, next.SourceName, next.Imports = p.req.Entry, p.req.SourceName, len(p.req.ImportPath)
	}
	return next, nil
}

// statusEvents tell of a deployment's and a task's new status.
func statusEvents(d record, t engine.Task) []event.Event {
	at := now()
	return []event.Event{
		{Time: at, Type: event.TaskStatus, Task: t.ID, Workflow: t.Workflow, Status: string(t.Status)},
		{Time: at, Type: event.DeploymentStatus, Task: t.ID, Workflow: t.Workflow, Status: string(d.Status), Key: d.Doing, Value: string(t.Status)},
	}
}

func now() time.Time { return time.Now().UTC() }

// canonicalInputs is a text that is equal for equal inputs; secrets count by their value.
func canonicalInputs(m map[string]any) string { return canonical(m) }
