package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// What a failure of a deployment leads to.
const (
	Keep          = "keep"     // everything stays as it is: resume goes on
	RollBack      = "rollback" // what the task has done is undone: what it made is removed, what it changed is changed back
	PauseAndAsk   = "pause"    // nothing more is begun; the task waits for resume, retry, skip, rollback or cancel
	defaultPolicy = Keep
)

// policy of a request: its own, or the deployment's. Only deploying can be rolled back; an undeployment goes as far as it can.
func (p *prepared) policy() (string, error) {
	own := p.req.OnFailure
	if own != "" && !slices.Contains([]string{Keep, RollBack, PauseAndAsk}, own) {
		return "", &Error{Kind: KindUser, Msg: fmt.Sprintf("there is no failure policy %q", own), Hint: "keep, rollback or pause"}
	}
	if own == RollBack && p.req.Verb != Deploy {
		return "", &Error{Kind: KindUser, Msg: fmt.Sprintf("the failure of this %s cannot be rolled back", p.req.Verb), Hint: "only a deployment can; use keep or pause"}
	}
	stored := ""
	if p.have != nil && p.req.Verb != Undeploy {
		stored = p.have.OnFailure
	}
	if stored == RollBack && p.req.Verb != Deploy {
		stored = ""
	}
	for _, policy := range []string{own, stored} {
		if policy != "" {
			return policy, nil
		}
	}
	return defaultPolicy, nil
}

// failed says how a task goes on that has failed by itself. h.admit is not held.
func (l *Local) failed(ctx context.Context, h *holding, t engine.Task) error {
	switch {
	case t.OnFailure == PauseAndAsk:
		t.Status, t.Ended = engine.Paused, noTime
	case t.OnFailure == RollBack && t.Verb == string(Deploy):
		h.admit.Lock()
		defer h.admit.Unlock()
		err := l.undo(ctx, h, t)
		if err == nil || ctx.Err() != nil {
			return err // stored together with the task
		}
		t.Failure.Others = append(t.Failure.Others, engine.Failure{Step: "rollback", Message: "cannot roll back: " + l.opts.Redactor.String(err.Error()),
			Hint: "try again with orch rollback, or go on with orch resume"})
	}
	return l.write(ctx, h.lease, t, func(d *record) { d.ended(t, false, false) })
}

// undo plans the rollback of a task, and starts it as a task of its own in the same breath as the first is stored as ended: a process that
// dies leaves either the one or the other to go on with. h.admit is held.
func (l *Local) undo(ctx context.Context, h *holding, t engine.Task) error {
	p, err := l.prepareUndo(ctx, t)
	if err != nil {
		return err
	}
	u := engine.Task{ID: ulid.Make().String(), Deployment: h.name, Verb: string(Undo), Workflow: string(Undo), Status: engine.Pending, User: t.User, Admin: t.Admin,
		Created: now(), Undoes: t.ID, Before: t.Before, Revision: p.stored.N, Force: t.Force, Parallel: t.Parallel, Request: "undo " + t.ID,
		Footprint: p.footprint(), PlanDigest: p.plan.Digest, Changed: len(p.plan.Steps) > 0, OnFailure: Keep}
	for _, s := range p.plan.Steps {
		if s.Acts() {
			u.Progress.Total++
		}
	}
	if err := l.engine.StorePlan(ctx, h.lease, u, p.plan); err != nil {
		return storeError(err)
	}
	t.Status, t.Undo = engine.Failed, u.ID
	if t.Ended.IsZero() {
		t.Ended = now()
	}
	var d record
	err = state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) error {
		if d, _, err = state.Get[record](tx, deploymentKey(h.name)); err != nil {
			return err
		}
		d.undoing(u, t, p)
		if err := errors.Join(engine.PutTaskTx(tx, t), engine.PutTaskTx(tx, u), tx.Delete(queueKey(h.name, t.ID)), state.Put(tx, deploymentKey(h.name), d)); err != nil {
			return err
		}
		_, err = state.AppendTx(tx, h.name, append(statusEvents(d, t)[:1], statusEvents(d, u)...)...)
		return err
	})
	if err != nil {
		return storeError(err)
	}
	l.observe(t)
	job := engine.Job{Deployment: h.name, Task: u.ID, Plan: p.plan, Topology: p.topology, Previous: p.previous, Inputs: p.inputs,
		PreviousInputs: p.prevIn, Older: p.older, Revision: u.Revision, Parallel: u.Parallel}
	_, err = l.start(h, d, u, job)
	return err
}

// undoing is what the beginning of a rollback means for its deployment.
func (d *record) undoing(u, t engine.Task, p *prepared) {
	d.Updated, d.Task, d.Status, d.Cause = now(), u.ID, StatusRollingBack, cause(t.Failure)
	if t.Before.Revision > 0 {
		d.Revision, d.Scale, d.Location = p.stored.N, t.Before.Scale, p.location
		d.Topology, d.Description, d.Metadata = p.topology.Name, p.topology.Description, p.topology.Metadata
	}
}

// prepareUndo plans back to what was before a task:
//
//	a revision was deployed         an update to it, limited to what the task worked on: what it made goes, what it changed is changed back
//	nothing was deployed before     the uninstallation of what the task made
func (l *Local) prepareUndo(ctx context.Context, t engine.Task) (*prepared, error) {
	if t.Before == nil {
		return nil, &Error{Kind: KindConflict, Msg: fmt.Sprintf("nothing is known of what was before task %s", t.ID), Hint: "undeploy, or deploy again"}
	}
	d, err := loadDeployment(ctx, l.store, t.Deployment)
	if err != nil {
		return nil, err
	}
	p := &prepared{req: Request{Verb: Undo, Deployment: d.Name}, name: d.Name, have: &d, location: d.Location}
	ctx = usedByTask(withLocation(ctx, p.location), t)
	failed, err := l.revision(ctx, d.Name, t.Revision)
	if err != nil {
		return nil, err
	}
	if p.previous, p.prevIn, err = l.restore(ctx, failed); err != nil {
		return nil, err
	}
	p.stored, p.topology, p.inputs = failed, p.previous, p.prevIn
	if t.Before.Revision > 0 && t.Before.Revision != t.Revision {
		if p.stored, err = l.revision(ctx, d.Name, t.Before.Revision); err != nil {
			return nil, err
		}
		if p.topology, p.inputs, err = l.restore(ctx, p.stored); err != nil {
			return nil, err
		}
		p.location = p.stored.Location
	}
	if p.snapshot, err = engine.Load(ctx, l.store, d.Name); err != nil {
		return nil, storeError(err)
	}
	if p.older, err = l.olderVersions(ctx, d.Name, p.snapshot, failed.N); err != nil {
		return nil, err
	}
	p.back = &plan.Input{Deployment: d.Name, Workflow: plan.Uninstall, Topology: p.topology, Previous: p.previous, Inputs: p.inputs, PreviousInputs: p.prevIn,
		Older: p.older, Recorded: p.snapshot.Recorded(), Instances: made(p.snapshot, t)}
	if t.Before.Revision > 0 {
		p.back.Workflow, p.back.Scale, p.back.Only, p.back.Remove = plan.Install, t.Before.Scale, t.Footprint.Writes, p.back.Instances
		p.back.Instances = nil
	}
	p.build(*p.back)
	if err := l.complete(ctx, p); err != nil {
		return nil, err
	}
	if p.plan == nil {
		return nil, p.findings().Err()
	}
	for _, s := range p.plan.Steps {
		s.Cause = strings.TrimPrefix(s.Cause+"; "+"task "+t.ID+" is rolled back", "; ")
	}
	return p, nil
}

// made are the instances that a task has made, in order.
func made(snap *engine.Snapshot, t engine.Task) []topology.Instance {
	out := []topology.Instance{} // not nil, which would mean all
	for in, rec := range snap.Instances {
		if engine.MadeBy(rec, in, t.ID) {
			out = append(out, in)
		}
	}
	slices.SortFunc(out, func(a, b topology.Instance) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// undone records the end of a rollback.
func (l *Local) undone(ctx context.Context, h *holding, u engine.Task) error {
	first, err := engine.LoadTask(ctx, l.store, h.name, u.Undoes)
	if err != nil {
		return storeError(err)
	}
	d, err := loadDeployment(ctx, l.store, h.name)
	if err != nil {
		return err
	}
	snap, err := engine.Load(ctx, l.store, h.name)
	if err != nil {
		return storeError(err)
	}
	d.Doing, d.Status = doingRollback, Status(u.Before.Status)
	switch {
	case u.Status != engine.Done:
		d.Status = StatusFailed
		if u.Status == engine.Cancelled {
			d.Status = StatusCancelled
		}
	case u.Before.Revision > 0:
		if d.Applied = u.Before.Revision; d.Status == StatusUpdating {
			d.Status = StatusDeployed
		}
	case len(snap.Instances) == 0:
		if l.prove(ctx, h.lease, &d, &u); d.Status == StatusUndeployed {
			l.forgetSecrets(ctx, plugin.SecretRef(d.Name, "", "", "")+"/")
		}
	case d.Status == "" || d.Status == StatusUndeployed || d.Status == StatusCreated:
		d.Status = StatusFailed // something older than the task is left
	}
	d.Cause = "rolled back after " + cause(first.Failure)
	if u.Status != engine.Done {
		d.Cause = strings.TrimSuffix("the rollback has ended early: "+cause(u.Failure), ": ") + "; it was to undo " + cause(first.Failure)
	}
	return l.write(ctx, h.lease, u, func(r *record) { r.Doing, r.Status, r.Cause, r.Applied = d.Doing, d.Status, d.Cause, d.Applied })
}
