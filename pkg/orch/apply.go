package orch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
)

// apply stores everything that is needed to go on without this process, and starts the task of a prepared request.
func (l *Local) apply(ctx context.Context, h *holding, p *prepared, t engine.Task) (Task, error) {
	t.Status, t.Waits, t.PlanDigest, t.Changed, t.Progress = engine.Pending, "", p.plan.Digest, len(p.plan.Steps) > 0, engine.Progress{}
	for _, s := range p.plan.Steps {
		if s.Acts() {
			t.Progress.Total++
		}
	}
	rev := p.stored
	if p.req.Verb == Deploy {
		var err error
		if rev, err = l.nextRevision(ctx, h.lease, p); err != nil {
			return Task{}, err
		}
	}
	t.Revision = rev.N
	if err := l.putPlan(ctx, h, t, p.plan); err != nil {
		return Task{}, err
	}
	left, err := l.superseded(ctx, h, t)
	if err != nil {
		return Task{}, err
	}
	var d record
	err = state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) (err error) {
		for _, old := range left {
			if err := engine.PutTaskTx(tx, old); err != nil {
				return err
			}
		}
		d, err = l.begun(tx, p, rev, &t)
		return err
	})
	if err != nil {
		return Task{}, storeError(err)
	}
	job := engine.Job{Deployment: p.name, Task: t.ID, Plan: p.plan, Topology: p.topology, Previous: p.previous, Inputs: p.inputs,
		PreviousInputs: p.prevIn, Older: p.older, WorkflowInputs: p.wfInputs, Revision: t.Revision, Parallel: t.Parallel,
		Halt: halts(t)}
	if p.req.Narrate && p.req.SkipPreflight {
		l.preflightBeside(p, t)
	}
	return l.start(h, d, t, job)
}

// halts reports whether a failure stops the task.
func halts(t engine.Task) bool { return t.OnFailure == PauseAndAsk || t.OnFailure == RollBack }

func (l *Local) putPlan(ctx context.Context, h *holding, t engine.Task, p *plan.Plan) error {
	return storeError(l.engine.StorePlan(ctx, h.lease, t, p))
}

// begun records the beginning of a task: the task, the revision if it is new, and the deployment. A request that was taken back while it
// waited is not begun.
func (l *Local) begun(tx state.Tx, p *prepared, rev revision, t *engine.Task) (record, error) {
	d, found, err := state.Find[record](tx, deploymentKey(p.name))
	if err != nil {
		return d, err
	}
	if !found {
		d = record{Name: p.name, Created: now()}
		if err := state.DropEventsTx(tx, p.name); err != nil { // that one of this name was purged
			return d, err
		}
	}
	if was, found, err := engine.FindTaskTx(tx, p.name, t.ID); err != nil || found && was.Status != engine.Queued {
		return d, errors.Join(err, &Error{Kind: KindConflict, Msg: fmt.Sprintf("task %s was cancelled", t.ID)})
	}
	t.Before = &engine.Before{Status: string(d.Status), Revision: d.Applied, Scale: maps.Clone(d.Scale)}
	if d.Status == StatusUndeployed || d.Status == StatusCreated {
		t.Before.Revision = 0
	}
	d.Purging = false
	p.change(&d, rev, t.ID)
	if t.Verb == string(Deploy) || t.Verb == string(Undeploy) {
		t.Doing = d.Doing
	}
	if p.req.Verb == Deploy && rev.N > d.Last {
		d.Last = rev.N
		if err := state.Put(tx, revisionKey(p.name, rev.N), rev); err != nil {
			return d, err
		}
	}
	if err := errors.Join(tx.Delete(controlKey(p.name, t.ID)), tx.Delete(queueKey(p.name, t.ID)), tx.Delete(waitingKey(p.name))); err != nil {
		return d, err
	}
	if err := errors.Join(engine.PutTaskTx(tx, *t), state.Put(tx, deploymentKey(p.name), d)); err != nil {
		return d, err
	}
	_, err = state.AppendTx(tx, p.name, p.beginning(d, *t)...)
	return d, err
}

// superseded are the tasks that dead processes have left and that have something in common with a new one, which takes over: they end.
func (l *Local) superseded(ctx context.Context, h *holding, self engine.Task) (out []engine.Task, err error) {
	tasks, err := engine.Tasks(ctx, l.store, h.name)
	if err != nil {
		return nil, storeError(err)
	}
	here := l.works(h)
	if l.life.Err() != nil {
		return nil, &Error{Kind: KindConflict, Msg: ErrClosing.Error()} // what has just been left here is for the next process
	}
	for _, t := range tasks {
		if t.ID == self.ID || !t.Status.Works() || here[t.ID] || overlap(self, t) == "" && t.Request != "" {
			continue
		}
		t = ended(t, engine.Cancelled)
		t.Failure = &engine.Failure{Step: "task", Message: "its process has ended; another task has taken over"}
		out = append(out, t)
	}
	return out, nil
}

// change is what the beginning of the task means for its deployment.
func (p *prepared) change(d *record, rev revision, task string) {
	installed := d.Status == StatusDeployed || d.Status == StatusUpdating
	d.Doing = doing(p, d.Doing)
	d.Updated, d.Task = now(), task
	d.Infra = d.Infra || slices.ContainsFunc(p.plan.Steps, func(s *plan.Step) bool { return s.Kind == plan.Infra })
	switch {
	case p.req.Verb == Undeploy:
		d.Status, d.Cause = StatusUndeploying, ""
	case p.req.Verb != Deploy:
	case installed:
		d.Status, d.Cause = StatusUpdating, ""
	case p.only() == nil:
		d.Status, d.Cause = StatusDeploying, ""
	}
	if p.req.Verb == Deploy && p.req.Source != nil {
		d.Blueprint = p.req.Blueprint // "" for documents of one's own
	}
	if p.req.Verb == Deploy {
		if p.req.OnFailure != "" {
			d.OnFailure = p.req.OnFailure
		}
		d.Revision, d.Scale = rev.N, p.scale()
		d.Topology, d.Description, d.Metadata, d.Location = p.topology.Name, p.topology.Description, p.topology.Metadata, p.location
	}
}

// nextRevision stores the bundle. Where nothing is new it is the stored revision.
func (l *Local) nextRevision(ctx context.Context, lease *state.Lease, p *prepared) (revision, error) {
	rev := p.stored
	inputs, err := engine.EncodeMap(p.inputs, l.opts.Cipher)
	if err != nil {
		return rev, storeError(err)
	}
	sameInputs := canonicalInputs(p.inputs) == canonicalInputs(p.prevIn) && p.stored.N > 0
	blob, from := rev.Bundle, rev
	if p.target != nil {
		blob, from = p.target.Bundle, *p.target
	}
	if p.parts != nil {
		packed, digest, err := pack(p.parts)
		if err != nil {
			return rev, &Error{Kind: KindUser, Msg: "cannot store the topology", Err: err}
		}
		blob = bundleBlob(p.name, digest)
		if blob != rev.Bundle {
			if _, err := state.NewBlobs(state.Fenced(l.store, lease)).Put(ctx, blob, packed); err != nil {
				return rev, storeError(err)
			}
		}
	}
	chosen := from.Selected
	if p.parts != nil {
		chosen = p.selected
	}
	if blob == rev.Bundle && l.sameSelection(chosen, rev.Selected) && sameInputs && p.location == rev.Location && (p.parts == nil || p.req.Entry == rev.Entry) {
		return rev, nil
	}
	next := revision{N: max(rev.N, p.last()) + 1, Bundle: blob, Entry: from.Entry, SourceName: from.SourceName, Imports: from.Imports, Inputs: inputs,
		Location: p.location, Digest: p.topology.Digest, Created: now(), User: p.req.User, Selected: chosen}
	if p.parts != nil {
		next.Entry, next.SourceName, next.Imports = p.req.Entry, p.req.SourceName, len(p.req.ImportPath)
	}
	if p.target != nil {
		next.From = p.target.N
	}
	if p.plan != nil {
		next.Changes = p.differences(next, rev)
	}
	return next, nil
}

// last is the number of the newest revision.
func (p *prepared) last() int {
	if p.have == nil {
		return 0
	}
	return max(p.have.Last, p.have.Revision)
}

func now() time.Time { return time.Now().UTC() }

// canonicalInputs is a text that is equal for equal inputs; secrets count by their value.
func canonicalInputs(m map[string]any) string { return canonical(m) }
