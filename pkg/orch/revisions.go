package orch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// Previous as a Request.Revision is the last revision that was reached before the present one.
const Previous = -1

// DefaultRevisions is how many revisions of a deployment are kept.
const DefaultRevisions = 20

// Revision is a topology with inputs that a deployment was brought to, or was meant to be.
type Revision struct {
	N       int       `json:"revision"`
	Created time.Time `json:"created"`
	User    string    `json:"user,omitempty"`
	// Digest of the topology; Source is what it was called.
	Digest   string `json:"digest"`
	Source   string `json:"source,omitempty"`
	Location string `json:"location,omitempty"`
	// From is the older revision that this one goes back to; 0 for none.
	From int `json:"from,omitempty"`
	// Changes say in words what was different from the revision before, instances included.
	Changes []string `json:"changes,omitempty"`
	// Outcome of the last task that was to reach it: deployed failed cancelled paused rolled-back running; "" if there was none.
	Outcome string `json:"outcome,omitempty"`
	Task    string `json:"task,omitempty"`
	// Current is what the instances are made from, or on their way to.
	Current bool `json:"current,omitempty"`
}

// Revisions implements Service: newest first.
func (l *Local) Revisions(ctx context.Context, name string) ([]Revision, error) {
	d, err := loadDeployment(ctx, l.store, name)
	if err != nil {
		return nil, err
	}
	all, err := l.revisions(ctx, name)
	if err != nil {
		return nil, err
	}
	tasks, err := engine.Tasks(ctx, l.store, name)
	if err != nil {
		return nil, storeError(err)
	}
	out := make([]Revision, 0, len(all))
	for _, r := range slices.Backward(all) {
		v := Revision{N: r.N, Created: r.Created, User: r.User, Digest: r.Digest, Source: path.Join(r.SourceName, r.Entry), Location: r.Location, From: r.From, Changes: r.Changes,
			Current: r.N == d.Revision && d.Status != StatusUndeployed}
		v.Outcome, v.Task = outcome(r.N, tasks)
		out = append(out, v)
	}
	return out, nil
}

// revisions as stored, oldest first.
func (l *Local) revisions(ctx context.Context, name string) (out []revision, err error) {
	err = l.store.View(ctx, func(tx state.Tx) error {
		out = nil
		for r, err := range state.List[revision](tx, state.Prefix("d", name, "revision")) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	return out, storeError(err)
}

// outcome of the last task that was to reach a revision as a whole.
func outcome(n int, tasks []engine.Task) (text, task string) {
	for _, t := range slices.Backward(tasks) {
		if t.Revision != n || t.Verb != string(Deploy) || t.Limited || t.Status == engine.Queued {
			continue
		}
		switch {
		case t.Undo != "":
			return "rolled-back", t.ID
		case t.Status == engine.Done:
			return "deployed", t.ID
		}
		return string(t.Status), t.ID
	}
	return "", ""
}

// choose finds the revision that a request goes back to.
func (l *Local) choose(ctx context.Context, p *prepared) (revision, error) {
	all, err := l.revisions(ctx, p.name)
	if err != nil {
		return revision{}, err
	}
	tasks, err := engine.Tasks(ctx, l.store, p.name)
	if err != nil {
		return revision{}, storeError(err)
	}
	var known []string
	for _, r := range slices.Backward(all) {
		text, _ := outcome(r.N, tasks)
		if r.N == p.req.Revision || p.req.Revision == Previous && r.N < p.have.Revision && text == "deployed" {
			return r, nil
		}
		known = append(known, fmt.Sprint(r.N))
	}
	if p.req.Revision == Previous {
		return revision{}, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no revision before %d that was reached", p.name, p.have.Revision),
			Hint: "orch revisions shows all; name one", Err: ErrNotFound}
	}
	return revision{}, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no revision %d", p.name, p.req.Revision),
		Hint: "it has " + strings.Join(known, ", "), Err: ErrNotFound}
}

// loadRevision makes an older revision what is wanted.
func (l *Local) loadRevision(ctx context.Context, p *prepared) error {
	if p.req.Source != nil || len(p.req.Inputs) > 0 {
		return &Error{Kind: KindUser, Msg: "a rollback goes to a revision as it was", Hint: "leave out the document and the inputs, or deploy them instead"}
	}
	rev, err := l.choose(ctx, p)
	if err != nil {
		return err
	}
	p.target = &rev
	p.location = rev.Location
	p.topology, p.inputs, err = l.restore(withLocation(ctx, rev.Location), rev)
	return err
}

// differences say in words how a new revision differs from the one before, and what that makes of instances.
func (p *prepared) differences(next, before revision) (out []string) {
	switch {
	case next.From > 0:
		out = append(out, fmt.Sprintf("back to revision %d", next.From))
	case before.N == 0:
		out = append(out, "first deployment")
	case next.Bundle != before.Bundle:
		out = append(out, "other documents or files")
	}
	if before.N > 0 {
		out = append(out, inputChanges(p.inputs, p.prevIn)...)
		if next.Location != before.Location {
			out = append(out, fmt.Sprintf("location %s -> %s", before.Location, next.Location))
		}
	}
	if p.plan.Summary != nil {
		out = append(out, p.plan.Summary.Lines()...)
	}
	return out
}

// inputChanges names the inputs that differ; their values may be secrets.
func inputChanges(is, was map[string]any) (out []string) {
	all := maps.Clone(was)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, is)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, had := was[name]
		b, has := is[name]
		switch {
		case !had:
			out = append(out, "input "+name+" is new")
		case !has:
			out = append(out, "input "+name+" is gone")
		case canonicalInputs(map[string]any{"": a}) != canonicalInputs(map[string]any{"": b}):
			out = append(out, "input "+name+" changed")
		}
	}
	return out
}

// prune removes the oldest revisions above the number to keep, except for those that something is still made from or may go back to. What
// goes wrong is tried again after the next deployment.
func (l *Local) prune(ctx context.Context, h *holding) {
	if err := l.pruneRevisions(ctx, h); err != nil && ctx.Err() == nil {
		l.log.Warn("cannot remove old revisions", "deployment", h.name, "error", err)
	}
}

func (l *Local) pruneRevisions(ctx context.Context, h *holding) error {
	keep := l.opts.Revisions
	if keep == 0 {
		keep = DefaultRevisions
	}
	all, err := l.revisions(ctx, h.name)
	if err != nil || keep < 0 || len(all) <= keep {
		return err
	}
	used, err := l.usedRevisions(ctx, h.name)
	if err != nil {
		return err
	}
	var gone []revision
	blobs := map[string]bool{}
	for i, r := range all {
		if i < len(all)-keep && !used[r.N] {
			gone = append(gone, r)
		} else {
			blobs[r.Bundle] = true
		}
	}
	waiting, err := l.queue(ctx, h.name)
	if err != nil {
		return err
	}
	for _, q := range waiting {
		blobs[q.Bundle] = true
	}
	store := state.Fenced(l.store, h.lease)
	for _, r := range gone {
		if err := store.Update(ctx, func(tx state.Tx) error { return tx.Delete(revisionKey(h.name, r.N)) }); err != nil {
			return err
		}
		if blobs[r.Bundle] {
			continue
		}
		blobs[r.Bundle] = true // only once
		if err := state.NewBlobs(store).Delete(ctx, r.Bundle); err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
	}
	return nil
}

// usedRevisions are those that instances are made from, that the deployment is at, and that unfinished or resumable tasks need.
func (l *Local) usedRevisions(ctx context.Context, name string) (map[int]bool, error) {
	d, err := loadDeployment(ctx, l.store, name)
	if err != nil {
		return nil, err
	}
	used := map[int]bool{d.Revision: true, d.Applied: true}
	snap, err := engine.Load(ctx, l.store, name)
	if err != nil {
		return nil, storeError(err)
	}
	for _, in := range snap.Instances {
		used[in.Revision] = true
	}
	tasks, err := engine.Tasks(ctx, l.store, name)
	if err != nil {
		return nil, storeError(err)
	}
	for _, t := range tasks {
		if t.ID != d.Task && t.Status.Ended() {
			continue
		}
		used[t.Revision] = true
		if t.Before != nil {
			used[t.Before.Revision] = true
		}
	}
	return used, nil
}

// numbers resolves what a request says of numbers of instances: names become those of the nodes that decide about the number, and
// differences become numbers.
func (p *prepared) numbers() error {
	if p.req.Verb != Deploy || len(p.req.Scale)+len(p.req.ScaleBy) == 0 || p.topology == nil {
		return nil
	}
	scale := map[string]int{}
	for _, from := range []struct {
		of       map[string]int
		relative bool
	}{{p.req.Scale, false}, {p.req.ScaleBy, true}} {
		for _, name := range slices.Sorted(maps.Keys(from.of)) {
			n := p.topology.NodeNamed(name)
			if n == nil {
				return &Error{Kind: KindUser, Msg: fmt.Sprintf("deployment %s has no node %q", p.name, name), Hint: diag.Suggest(name, p.topology.NodeNames())}
			}
			root, want := p.topology.ScaleRoot(n).Name, from.of[name]
			if from.relative {
				want += p.instances(root)
			}
			if had, twice := scale[root]; twice && had != want {
				return &Error{Kind: KindUser, Msg: fmt.Sprintf("%s scales with %s, for which another number is given", name, root)}
			}
			scale[root] = want
		}
	}
	p.req.Scale, p.req.ScaleBy = scale, nil
	return nil
}

// instances of a node that are on record.
func (p *prepared) instances(node string) (n int) {
	for in := range p.snapshot.Instances {
		if in.Node == node {
			n++
		}
	}
	return n
}
