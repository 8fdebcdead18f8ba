package orch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
)

// Plans are kept with everything they were made of, so that somebody else can review and apply exactly them.
type Plans interface {
	// Save plans and keeps the result for PlanLife. Findings that are errors keep nothing and are the error.
	Save(ctx context.Context, req Request) (SavedPlan, error)
	// List those of a deployment, "" of all, newest first, without their steps.
	List(ctx context.Context, deployment string) ([]SavedPlan, error)
	Get(ctx context.Context, id string) (SavedPlan, error)
	// Apply it: KindConflict if planning now gives anything else than what was reviewed, or if it was applied before.
	Apply(ctx context.Context, id string) (Task, error)
	Remove(ctx context.Context, id string) error
}

// PlanLife is how long a kept plan can be applied.
const PlanLife = 7 * 24 * time.Hour

// SavedPlan is a plan that was kept.
type SavedPlan struct {
	ID         string    `json:"id"`
	Digest     string    `json:"digest"`
	Deployment string    `json:"deployment"`
	Verb       Verb      `json:"verb"`
	Blueprint  string    `json:"blueprint,omitempty"`
	User       string    `json:"user,omitempty"`
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires"`
	// Task that applied it.
	Task        string     `json:"task,omitempty"`
	Plan        *plan.Plan `json:"plan,omitempty"`
	Diagnostics diag.List  `json:"diagnostics,omitempty"`
}

// The records of kept plans:
//
//	plans/<tenant>/<id>            planRecord
//	blob kept/plan/<tenant>/<id>   the plan, JSON
//	blob kept/source/<tenant>/<id> the documents, a zip; absent where the deployment's own are planned
type planRecord struct {
	SavedPlan
	Request Request `json:"request"` // without inputs
	Inputs  []byte  `json:"inputs,omitempty"`
	Source  bool    `json:"source,omitempty"`
	Imports int     `json:"imports,omitempty"`
}

type savedPlans struct{ l *Local }

// Plans implements Service.
func (l *Local) Plans() Plans { return savedPlans{l} }

func planKey(tenant, id string) string    { return state.Join("plans", tenant, id) }
func planBlob(tenant, id string) string   { return state.Join("kept", "plan", tenant, id) }
func sourceBlob(tenant, id string) string { return state.Join("kept", "source", tenant, id) }

// Save implements Plans.
func (s savedPlans) Save(ctx context.Context, req Request) (SavedPlan, error) {
	if req.Verb == "" {
		req.Verb = Deploy
	}
	req, err := s.l.fromBlueprint(ctx, req)
	if err != nil {
		return SavedPlan{}, err
	}
	p, err := s.l.prepare(ctx, req)
	if err != nil {
		return SavedPlan{}, err
	}
	if err := s.l.complete(ctx, p); err != nil {
		return SavedPlan{}, err
	}
	if p.plan == nil {
		return SavedPlan{}, p.findings().Err()
	}
	tenant := TenantOf(ctx)
	s.expire(ctx, tenant)
	r := planRecord{SavedPlan: SavedPlan{ID: ulid.Make().String(), Digest: p.plan.Digest, Deployment: req.Deployment, Verb: req.Verb, Blueprint: req.Blueprint,
		User: req.User, Created: now(), Expires: now().Add(PlanLife), Diagnostics: p.findings()}, Request: req}
	if r.Inputs, err = engine.EncodeMap(req.Inputs, s.l.opts.Cipher); err != nil {
		return SavedPlan{}, storeError(err)
	}
	r.Request.Inputs = nil
	if err := s.keep(ctx, tenant, &r, p); err != nil {
		s.dropBlobs(ctx, tenant, r.ID)
		return SavedPlan{}, err
	}
	out := r.SavedPlan
	out.Plan = p.plan
	return out, nil
}

// keep stores the content, and then the record that makes it visible.
func (s savedPlans) keep(ctx context.Context, tenant string, r *planRecord, p *prepared) error {
	if p.parts != nil {
		packed, _, err := pack(p.parts)
		if err != nil {
			return &Error{Kind: KindUser, Msg: "cannot store the topology", Err: err}
		}
		if _, err := s.l.blobs.Put(ctx, sourceBlob(tenant, r.ID), packed); err != nil {
			return storeError(err)
		}
		r.Source, r.Imports = true, len(p.parts)-1
	}
	doc, err := json.Marshal(p.plan)
	if err != nil {
		return err
	}
	if _, err := s.l.blobs.Put(ctx, planBlob(tenant, r.ID), newReader(doc)); err != nil {
		return storeError(err)
	}
	return storeError(s.l.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, planKey(tenant, r.ID), *r) }))
}

// expire removes plans that are too old to be applied.
func (s savedPlans) expire(ctx context.Context, tenant string) {
	all, err := s.records(ctx, tenant)
	for _, r := range all {
		if err == nil && time.Now().After(r.Expires) {
			err = s.Remove(ctx, r.ID)
		}
	}
	if err != nil {
		s.l.log.Warn("cannot remove old plans", "error", err)
	}
}

func (s savedPlans) records(ctx context.Context, tenant string) ([]planRecord, error) {
	var all []planRecord
	err := s.l.store.View(ctx, func(tx state.Tx) error {
		all = nil
		for r, err := range state.List[planRecord](tx, state.Prefix("plans", tenant)) {
			if err != nil {
				return err
			}
			all = append(all, r.Value)
		}
		return nil
	})
	slices.SortFunc(all, func(a, b planRecord) int { return cmp.Compare(b.ID, a.ID) })
	return all, storeError(err)
}

// List implements Plans.
func (s savedPlans) List(ctx context.Context, deployment string) ([]SavedPlan, error) {
	all, err := s.records(ctx, TenantOf(ctx))
	out := []SavedPlan{}
	for _, r := range all {
		if (deployment == "" || r.Deployment == deployment) && time.Now().Before(r.Expires) {
			out = append(out, r.SavedPlan)
		}
	}
	return out, err
}

func (s savedPlans) get(ctx context.Context, id string) (planRecord, error) {
	var r planRecord
	err := s.l.store.View(ctx, func(tx state.Tx) (err error) {
		r, _, err = state.Get[planRecord](tx, planKey(TenantOf(ctx), id))
		return err
	})
	if errors.Is(err, state.ErrNotFound) || err == nil && time.Now().After(r.Expires) {
		return r, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no plan %q", id), Hint: "plans are kept for 7 days; orch plans list shows them", Err: ErrNotFound}
	}
	return r, storeError(err)
}

// Get implements Plans.
func (s savedPlans) Get(ctx context.Context, id string) (SavedPlan, error) {
	r, err := s.get(ctx, id)
	if err != nil {
		return SavedPlan{}, err
	}
	raw, _, err := s.l.blobs.ReadAll(ctx, planBlob(TenantOf(ctx), id), maxBundle)
	if err != nil {
		return SavedPlan{}, storeError(err)
	}
	out := r.SavedPlan
	out.Plan = &plan.Plan{}
	if err := json.Unmarshal(raw, out.Plan); err != nil {
		return SavedPlan{}, storeError(fmt.Errorf("%w: %w", state.ErrCorrupt, err))
	}
	return out, nil
}

// Apply implements Plans.
func (s savedPlans) Apply(ctx context.Context, id string) (Task, error) {
	r, err := s.get(ctx, id)
	if err != nil {
		return Task{}, err
	}
	if same, err := s.l.cameOf(ctx, r.Request.Deployment); err != nil || same != nil {
		return deref(same), err
	}
	if r.Task != "" {
		return Task{}, &Error{Kind: KindConflict, Msg: "the plan was applied already, by task " + r.Task, Hint: "make a new one with orch plan --save"}
	}
	req := r.Request
	req.PlanDigest = r.Digest
	if who, ok := IdentityOf(ctx); ok {
		req.User = who.User
	}
	if req.Inputs, err = engine.DecodeMap(r.Inputs, s.l.opts.Cipher); err != nil {
		return Task{}, &Error{Kind: KindStore, Msg: "the stored inputs cannot be read", Hint: "is the encryption key the one of this store?", Err: err}
	}
	if r.Source {
		b, err := s.l.unpack(ctx, revision{Bundle: sourceBlob(TenantOf(ctx), id), Entry: req.Entry, SourceName: req.SourceName, Imports: r.Imports})
		if err != nil {
			return Task{}, storeError(err)
		}
		req.Source, req.ImportPath = b.FS, b.ImportPath
	}
	t, err := s.l.Apply(ctx, req)
	if err != nil {
		return Task{}, err
	}
	err = s.l.store.Update(ctx, func(tx state.Tx) error {
		now, found, err := state.Find[planRecord](tx, planKey(TenantOf(ctx), id))
		if err != nil || !found {
			return err
		}
		now.Task = t.ID
		return state.Put(tx, planKey(TenantOf(ctx), id), now)
	})
	if err != nil { // the task runs; that it came of this plan is all that is lost
		s.l.log.Warn("cannot note that a plan was applied", "plan", id, "task", t.ID, "error", err)
	}
	return t, nil
}

// Remove implements Plans.
func (s savedPlans) Remove(ctx context.Context, id string) error {
	tenant, found := TenantOf(ctx), false
	err := s.l.store.Update(ctx, func(tx state.Tx) error {
		_, err := tx.Get(planKey(tenant, id))
		if found = err == nil; !found && errors.Is(err, state.ErrNotFound) {
			return nil
		}
		return errors.Join(err, tx.Delete(planKey(tenant, id)))
	})
	if err != nil {
		return storeError(err)
	}
	if !found {
		return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no plan %q", id), Err: ErrNotFound}
	}
	s.dropBlobs(ctx, tenant, id)
	return nil
}

func (s savedPlans) dropBlobs(ctx context.Context, tenant, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := errors.Join(s.l.blobs.Delete(ctx, planBlob(tenant, id)), s.l.blobs.Delete(ctx, sourceBlob(tenant, id))); err != nil {
		s.l.log.Warn("cannot remove a plan's content", "plan", id, "error", err)
	}
}
