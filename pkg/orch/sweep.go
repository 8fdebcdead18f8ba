package orch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// SweepRequest asks what a deployment has in the cloud, against what is on record of it.
type SweepRequest struct {
	Deployment string `json:"deployment"`
	// Location of a deployment that is not on record; "" is the default one.
	Location string `json:"location,omitempty"`
	// Adopt takes orphans over: they are on record afterwards, as if a task had made them. Delete removes what carries the deployment's mark.
	Adopt  bool `json:"adopt,omitempty"`
	Delete bool `json:"delete,omitempty"`
	// IDs limits both to these resources.
	IDs []string `json:"ids,omitempty"`
	// Force deletes under a deployment that is not undeployed, too.
	Force bool   `json:"force,omitempty"`
	User  string `json:"user,omitempty"`
}

// Resource of a deployment, with where it is known.
type Resource struct {
	Service  string `json:"service,omitempty"`
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"`
	Status   string `json:"status,omitempty"`
	Node     string `json:"node,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Kept: it stays on purpose, and is not swept.
	Kept bool `json:"kept,omitempty"`
	// Record is both (on record and in the cloud), cloud (an orphan: nobody has it on record), state (on record, but gone), or unchecked (on
	// record; the cloud is not asked for this kind).
	Record string `json:"record"`
	// Address in Terraform's state, or of what an orphan is found to be; "" with Reason where it is not.
	Address string `json:"address,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Adopted bool   `json:"adopted,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	// Changes are what the next deployment has to change of what was adopted.
	Changes []driver.Change `json:"changes,omitempty"`
}

var errNoCloud = &Error{Kind: KindUser, Msg: "there is no cloud to ask"}

// Sweep implements Service.
func (l *Local) Sweep(ctx context.Context, req SweepRequest) ([]Resource, error) {
	if req.Adopt && req.Delete {
		return nil, &Error{Kind: KindUser, Msg: "what is adopted cannot be deleted at once", Hint: "choose one of both"}
	}
	if !validName(req.Deployment) {
		return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no name for a deployment", req.Deployment)}
	}
	switch {
	case req.Adopt:
		return l.sweepIn(ctx, req)
	case req.Delete:
		return l.delete(ctx, req)
	}
	rows, err := l.survey(ctx, req)
	return resources(rows), err
}

// surveyable is what is known of a deployment to survey: without a record, or after its undeployment, nothing but where it is.
type surveyable struct {
	have *record
	p    *prepared // nil: nothing is known of its instances
	reqs []*driver.Request
}

// surveyable loads the instances that are wanted. They are those of the stored topology, whether made or not.
func (l *Local) surveyable(ctx context.Context, req SweepRequest) (context.Context, surveyable, error) {
	var s surveyable
	have, err := loadDeployment(ctx, l.store, req.Deployment)
	location := req.Location
	switch {
	case errors.Is(err, ErrNotFound):
		return withLocation(ctx, location), s, nil
	case err != nil:
		return ctx, s, err
	}
	s.have = &have
	if location == "" || have.Status != StatusUndeployed {
		location = have.Location
	}
	ctx = usedBy(withLocation(ctx, location), have.Name)
	if have.Status == StatusUndeployed || have.Revision == 0 {
		return ctx, s, nil
	}
	p, err := l.prepare(ctx, Request{Verb: Deploy, Deployment: have.Name, SkipPreflight: true})
	if err != nil {
		return ctx, s, err
	}
	if p.topology == nil || p.snapshot == nil {
		return ctx, s, p.findings().Err()
	}
	s.p, s.reqs = p, l.nativeRequests(p)
	return ctx, s, nil
}

// nativeRequests are those of every wanted instance that the infrastructure makes.
func (l *Local) nativeRequests(p *prepared) (reqs []*driver.Request) {
	env := l.env(p, p.inputs)
	wanted := plan.Wanted(plan.Input{Topology: p.topology, Inputs: p.inputs, Recorded: p.snapshot.Recorded(), Scale: p.scale()})
	for _, n := range p.topology.Nodes {
		if !n.Native {
			continue
		}
		for _, i := range wanted[n.Name] {
			reqs = append(reqs, &driver.Request{Deployment: p.name, Location: p.location, Action: driver.Update, Topology: p.topology, Node: n, Instance: i, Env: env})
		}
	}
	return reqs
}

func (l *Local) survey(ctx context.Context, req SweepRequest) ([]driver.Surveyed, error) {
	adopter, ok := l.opts.Infra.(driver.Adopter)
	if !ok {
		return nil, errNoCloud
	}
	ctx, s, err := l.surveyable(ctx, req)
	if err != nil && s.have == nil {
		return nil, err
	} // else a topology that cannot be loaded any more is no reason not to say what exists
	rows, err := adopter.Survey(ctx, req.Deployment, s.reqs)
	if err != nil {
		return nil, driverError("cannot compare what exists with what is on record", err)
	}
	return rows, nil
}

func resources(rows []driver.Surveyed) []Resource {
	out := make([]Resource, len(rows))
	for i, r := range rows {
		out[i] = Resource{Service: r.Service, Kind: r.Kind, ID: r.ID, Name: r.Name, Status: r.Status, Node: r.Node, Instance: r.Instance, Kept: r.Kept,
			Record: r.Where, Address: r.Address, Reason: r.Reason, Adopted: r.Adopted, Changes: r.Changes}
	}
	return out
}

// sweepIn adopts under the deployment's lease, while no task of it runs.
func (l *Local) sweepIn(ctx context.Context, req SweepRequest) ([]Resource, error) {
	have, err := loadDeployment(ctx, l.store, req.Deployment)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("nothing is on record of deployment %s that its resources could belong to", req.Deployment),
			Hint: "deploy its document with --adopt and the same name: what exists is taken over, and the rest made", Err: ErrNotFound}
	case err != nil:
		return nil, err
	case have.Status == StatusUndeployed:
		return nil, &Error{Kind: KindConflict, Msg: fmt.Sprintf("deployment %s is undeployed", req.Deployment),
			Hint: "deploy it with --adopt to take over what exists, or remove that with orch sweep --delete"}
	}
	h, err := l.hold(ctx, req.Deployment)
	if err != nil {
		return nil, asHeld(req.Deployment, err)
	}
	defer l.letGo(h)
	h.admit.Lock()
	defer h.admit.Unlock()
	rows, err := l.adopt(ctx, h, req, "")
	return resources(rows), err
}

// adopt takes over what exists. Its instances are recorded as if their creation had been interrupted: the next deployment goes on with them,
// and an undeployment removes them. task, if any, is told of in the events. h.admit is held.
func (l *Local) adopt(ctx context.Context, h *holding, req SweepRequest, task string) ([]driver.Surveyed, error) {
	adopter, ok := l.opts.Infra.(driver.Adopter)
	if !ok {
		return nil, errNoCloud
	}
	if len(l.works(h)) > 0 {
		return nil, &Error{Kind: KindConflict, Msg: "deployment " + h.name + " is busy", Hint: "orch tasks shows with what; adopt when it has ended"}
	}
	ctx, cancel := h.lease.Context(ctx)
	defer cancel()
	ctx, s, err := l.surveyable(ctx, req)
	if err != nil {
		return nil, err
	}
	if len(s.reqs) == 0 {
		return nil, nil
	}
	var events []event.Event
	rows, err := adopter.Adopt(ctx, h.name, s.reqs, req.IDs, func(e event.Event) {
		e.Task, e.Deployment = task, h.name
		events = append(events, e)
	})
	if err != nil {
		return nil, driverError("cannot adopt what exists", err)
	}
	var owners []topology.Instance
	for _, r := range rows {
		if r.Where != driver.InBoth || !r.Adopted && r.Instance == "" {
			continue
		}
		for _, in := range r.Owners {
			if !slices.Contains(owners, in) {
				owners = append(owners, in)
			}
		}
	}
	slices.SortFunc(owners, byInstance)
	err = state.Fenced(l.store, h.lease).Update(ctx, func(tx state.Tx) error {
		changed, err := engine.BegunTx(tx, h.name, owners, s.have.Revision)
		if err != nil || len(changed)+len(events) == 0 {
			return err
		}
		d, _, err := state.Get[record](tx, deploymentKey(h.name))
		if err != nil {
			return err
		}
		d.Infra, d.Updated = true, now()
		if err := state.Put(tx, deploymentKey(h.name), d); err != nil {
			return err
		}
		_, err = state.AppendTx(tx, h.name, append(events, changed...)...)
		return err
	})
	return rows, storeError(err)
}

// adoptFirst takes over what exists for a request that is to be planned. What is not on record yet is recorded first, so that an
// undeployment finds it, whatever happens next. h.admit is held.
func (l *Local) adoptFirst(ctx context.Context, h *holding, p *prepared, task string) (*prepared, error) {
	if p.have == nil || p.have.Status == StatusUndeployed {
		if _, err := l.create(ctx, h, p); err != nil {
			return nil, err
		}
	}
	rows, err := l.adopt(ctx, h, SweepRequest{Deployment: h.name, User: p.req.User}, task)
	if err != nil {
		return nil, err
	}
	if err := lostForGood(rows); err != nil {
		return nil, err
	}
	return l.prepare(ctx, p.asked)
}

// lostForGood refuses to go on where what was adopted has to be made anew: what is on a server's disk is nothing to lose unasked.
func lostForGood(rows []driver.Surveyed) error {
	var what []string
	for _, r := range rows {
		for _, c := range r.Changes {
			if r.Kind == "server" && c.Action == "replace" {
				what = append(what, r.Name)
			}
		}
	}
	if len(what) == 0 {
		return nil
	}
	return &Error{Kind: KindConflict, Msg: "what exists is adopted, but these servers have to be made anew: " + strings.Join(what, ", "),
		Hint: "the keys to log in to a server are lost with the record. If what is on its disk matters, restore the store from a backup, or save it first; " +
			"orch plan shows what is replaced, and orch deploy without --adopt goes on"}
}

// delete removes what carries the mark. Under a deployment that is up that takes force, or the names of orphans.
func (l *Local) delete(ctx context.Context, req SweepRequest) ([]Resource, error) {
	remover, ok := l.opts.Inventory.(Remover)
	if !ok {
		return nil, errNoCloud
	}
	have, err := loadDeployment(ctx, l.store, req.Deployment)
	up := err == nil && have.Status != StatusUndeployed
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if up && !req.Force && len(req.IDs) == 0 {
		return nil, &Error{Kind: KindConflict, Msg: "deployment " + req.Deployment + " is " + string(have.Status),
			Hint: "orch undeploy " + req.Deployment + " removes it in order; name ids to delete only orphans; --force sweeps all the same"}
	}
	if !req.Force { // nobody makes anything meanwhile
		h, err := l.hold(ctx, req.Deployment)
		if err != nil {
			return nil, asHeld(req.Deployment, err)
		}
		defer l.letGo(h)
		if len(l.works(h)) > 0 {
			return nil, &Error{Kind: KindConflict, Msg: "deployment " + req.Deployment + " is busy", Hint: "orch tasks shows with what"}
		}
		var cancel context.CancelFunc
		ctx, cancel = h.lease.Context(ctx)
		defer cancel()
	}
	rows, err := l.survey(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := deletable(rows, req); err != nil {
		return nil, err
	}
	location := have.Location
	if location == "" {
		location = req.Location
	}
	err = remover.Remove(ctx, req.Deployment, location, req.IDs...)
	out := slices.DeleteFunc(resources(rows), func(r Resource) bool {
		return r.Record == driver.InState || r.Record == driver.Unchecked || len(req.IDs) > 0 && !slices.Contains(req.IDs, r.ID)
	})
	for i := range out {
		out[i].Deleted = err == nil && !out[i].Kept
	}
	if err != nil {
		return out, &Error{Kind: KindCloud, Msg: "cannot remove everything", Err: err}
	}
	return out, nil
}

// deletable reports ids that are not there, or that are no orphans.
func deletable(rows []driver.Surveyed, req SweepRequest) error {
	for _, id := range req.IDs {
		i := slices.IndexFunc(rows, func(r driver.Surveyed) bool { return r.ID == id && r.Marked })
		switch {
		case i < 0:
			return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("nothing in the cloud with the mark of %s has the id %s", req.Deployment, id), Hint: "orch sweep " + req.Deployment + " lists what there is", Err: ErrNotFound}
		case rows[i].Where == driver.InBoth && !req.Force:
			return &Error{Kind: KindConflict, Msg: fmt.Sprintf("%s %s is on record as %s", rows[i].Kind, id, rows[i].Address), Hint: "--force deletes it all the same; orch heal makes it anew afterwards"}
		}
	}
	return nil
}
