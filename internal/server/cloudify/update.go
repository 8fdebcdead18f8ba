package cloudify

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
)

// updateRecord is an update of a deployment.
type updateRecord struct {
	owned
	Deployment   string         `json:"deployment"`
	Execution    string         `json:"execution,omitempty"`
	Preview      bool           `json:"preview,omitempty"`
	RuntimeOnly  bool           `json:"runtime_only,omitempty"`
	OldBlueprint string         `json:"old_blueprint"`
	NewBlueprint string         `json:"new_blueprint"`
	OldInputs    map[string]any `json:"old_inputs,omitempty"`
	NewInputs    map[string]any `json:"new_inputs,omitempty"`
	Steps        []stepDocument `json:"steps,omitempty"`
	// State of an update that has no execution.
	State string `json:"state,omitempty"`
}

type updateDocument struct {
	common
	Deployment   string         `json:"deployment_id"`
	Execution    *string        `json:"execution_id"`
	State        string         `json:"state"`
	OldBlueprint string         `json:"old_blueprint_id"`
	NewBlueprint string         `json:"new_blueprint_id"`
	OldInputs    map[string]any `json:"old_inputs"`
	NewInputs    map[string]any `json:"new_inputs"`
	Steps        []stepDocument `json:"steps"`
	Nodes        map[string]any `json:"deployment_update_nodes"`
	Instances    map[string]any `json:"deployment_update_node_instances"`
	Modified     map[string]any `json:"modified_entity_ids"`
	RuntimeOnly  bool           `json:"runtime_only_evaluation"`
	KeepOld      bool           `json:"keep_old_deployment_dependencies"`
	// Dependent deployments, and changes of schedules and labels, of which there are none: clients look these up.
	Dependencies    []any          `json:"recursive_dependencies"`
	NewSchedules    map[string]any `json:"schedules_to_create"`
	NoMoreSchedules []any          `json:"schedules_to_delete"`
	NewLabels       []any          `json:"labels_to_create"`
}

// initiateUpdate comes as JSON with the id of a blueprint, or, of older clients and Alien4Cloud, as a blueprint's archive.
func (s *Server) initiateUpdate(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	b, archive, main, err := q.updateRequest()
	if err != nil {
		return nil, err
	}
	r, m, err := s.model(ctx, id)
	if err != nil {
		return nil, err
	}
	if b.Blueprint == "" && archive == nil && len(b.Inputs) == 0 {
		return nil, badParameters("Must supply either the `blueprint_id` parameter, or new inputs, in order the preform a deployment update")
	}
	if archive != nil {
		if b.Blueprint, err = s.updateBlueprint(q, id, main, archive); err != nil {
			return nil, err
		}
	}
	if b.Blueprint == "" {
		b.Blueprint = r.Blueprint
	}
	bp, err := s.blueprintRecord(ctx, b.Blueprint)
	if err != nil {
		return nil, err
	}
	bundle, err := s.bundleOf(ctx, bp)
	if err != nil {
		return nil, err
	}
	t, list := s.opts.Engine.Resolve(ctx, bundle)
	if list.HasErrors() {
		return nil, refused("invalid_blueprint_error", "Blueprint `%s` is invalid. Error: %s", bp.ID, diagnostics(list))
	}
	jsonbody.PlainMap(b.Inputs)
	if bool(b.AutoCorrect) {
		corrected(t.Inputs, b.Inputs)
	}
	env := &changedInputs{Env: m.Env, given: b.Inputs}
	u := updateRecord{owned: owned{ID: id + "-" + newID(), Tenant: q.tenant, By: q.user(), Visibility: r.Visibility, Created: s.opts.now()}, Deployment: id,
		OldBlueprint: r.Blueprint, NewBlueprint: b.Blueprint, OldInputs: m.Inputs, NewInputs: map[string]any{}, Preview: bool(b.Preview), RuntimeOnly: bool(b.RuntimeOnly),
		Steps: difference(editionOf(ctx, m.Resolved, m.Env), editionOf(ctx, t, env))}
	for _, p := range t.Inputs { // those that the blueprint has lost are dropped
		if v, ok := m.Inputs[p.Name]; ok {
			u.NewInputs[p.Name] = v
		}
	}
	maps.Copy(u.NewInputs, masked(b.Inputs))
	l := &launch{startRequest: startRequest{Deployment: id, Workflow: "update", Force: b.Force}, record: r, model: m, parameters: b.parameters(&u)}
	l.request = orch.Request{Verb: orch.Deploy, Deployment: id, Blueprint: b.Blueprint, Source: bundle.FS, Entry: bundle.Entry, SourceName: bundle.Name, ImportPath: bundle.ImportPath,
		Inputs: b.Inputs, User: q.user(), NoQueue: true, Force: bool(b.IgnoreFailure)}
	if l.request.Update, err = b.options(l, t); err != nil {
		return nil, err
	}
	return s.update(q, &u, l, b.Workflow)
}

// update plans or starts an update.
func (s *Server) update(q *request, u *updateRecord, l *launch, workflow string) (any, error) {
	ctx := q.Request().Context()
	if err := s.free(ctx, l); err != nil {
		return nil, err
	}
	installed := slices.ContainsFunc(instancesOf(l.record, l.model), func(i instanceDocument) bool { return i.State != "uninitialized" && i.State != "deleted" })
	switch {
	case u.Preview:
		p, list, err := s.opts.Service.Plan(ctx, l.request)
		if err == nil && p == nil {
			err = list.Err()
		}
		if err != nil {
			return nil, s.updateError(l.Deployment, err)
		}
		u.State = "preview"
		x := s.instantExecution(q, l)
		if err := s.shelf.executions.put(ctx, q.tenant, x.ID, x); err != nil {
			return nil, err
		}
		u.Execution = x.ID
	case !installed: // nothing is there that could be updated: what is to be installed changes
		if _, err := s.opts.Engine.Create(ctx, l.request); err != nil {
			return nil, s.updateError(l.Deployment, err)
		}
		x := s.instantExecution(q, l)
		if err := s.shelf.executions.put(ctx, q.tenant, x.ID, x); err != nil {
			return nil, err
		}
		u.Execution, u.State = x.ID, "successful"
	default:
		t, err := s.startUpdate(ctx, q, l, workflow)
		if err != nil {
			return nil, s.updateError(l.Deployment, err)
		}
		if _, err := s.launched(q, l, t); err != nil {
			return nil, err
		}
		u.Execution = executionID(t.ID)
	}
	if !u.Preview {
		next := l.record
		next.Blueprint, next.RuntimeOnly, next.Updated = u.NewBlueprint, next.RuntimeOnly || u.RuntimeOnly, s.opts.now()
		if err := s.shelf.deployments.put(ctx, q.tenant, next.ID, next); err != nil {
			return nil, err
		}
	}
	if err := s.shelf.updates.put(ctx, q.tenant, u.ID, *u); err != nil {
		return nil, err
	}
	return s.updateOf(q, *u)
}

// startUpdate brings the deployment to the new blueprint, or only records it and starts a workflow that does the rest.
func (s *Server) startUpdate(ctx context.Context, q *request, l *launch, workflow string) (orch.Task, error) {
	if workflow == "" {
		return s.opts.Service.Apply(ctx, l.request)
	}
	adopt := l.request
	adopt.Update = &plan.Update{RecordOnly: true}
	t, err := s.opts.Service.Apply(ctx, adopt)
	if err == nil {
		t, err = s.opts.Service.Wait(ctx, l.Deployment, t.ID)
	}
	if err != nil {
		return t, err
	}
	own, err := s.understand(ctx, q.user(), startRequest{Deployment: l.Deployment, Workflow: workflow, Force: true})
	if err != nil {
		return t, err
	}
	own.request.NoQueue = true
	return s.opts.Service.Apply(ctx, own.request)
}

// instantExecution is one that has ended at once.
func (s *Server) instantExecution(q *request, l *launch) executionRecord {
	now := s.opts.now()
	return executionRecord{owned: owned{ID: newID(), Tenant: q.tenant, By: q.user(), Created: now}, Deployment: l.Deployment, Blueprint: l.record.Blueprint,
		Workflow: l.Workflow, Parameters: masked(l.parameters), Status: "terminated", Started: now, Ended: now.Add(time.Millisecond)}
}

func (s *Server) updateError(id string, err error) error {
	var list *diag.ListError
	if errors.As(err, &list) {
		return s.creationError(id, err)
	}
	if isConflict(err) {
		return refused("existing_running_execution_error", "Deployment %s: %s", id, problemOf(err).message)
	}
	return err
}

// updateBlueprint keeps an archive that came with an update as a blueprint of its own.
func (s *Server) updateBlueprint(q *request, deployment, main string, archive orch.Content) (string, error) {
	now := s.opts.now()
	id := deployment + "-" + newID()
	r := blueprintRecord{owned: owned{ID: id, Tenant: q.tenant, By: q.user(), Created: now, Updated: now}, Size: int(archive.Size()), Began: now, FileName: id + extension(archive)}
	if _, err := s.examine(q.Request().Context(), &r, uploadParams{Main: main}, archive); err != nil {
		return "", err
	}
	r.Ended = s.opts.now()
	return id, s.keepBlueprint(q.Request().Context(), r, archive)
}

func (s *Server) updateOf(q *request, u updateRecord) (updateDocument, error) {
	d := updateDocument{common: u.common(), Deployment: u.Deployment, Execution: text0(u.Execution), OldBlueprint: u.OldBlueprint, NewBlueprint: u.NewBlueprint,
		OldInputs: u.OldInputs, NewInputs: u.NewInputs, Steps: orEmpty(u.Steps), Nodes: map[string]any{}, Instances: map[string]any{}, Modified: modified(u.Steps), State: u.State, RuntimeOnly: u.RuntimeOnly,
		Dependencies: []any{}, NewSchedules: map[string]any{}, NoMoreSchedules: []any{}, NewLabels: []any{}}
	if d.State != "" || u.Execution == "" {
		return d, nil
	}
	x, _, err := s.findExecution(q.Request().Context(), q, u.Execution)
	switch {
	case isMissing(err):
		d.State = "failed"
	case err != nil:
		return d, err
	case x.Status == "terminated":
		d.State = "successful"
	case ended(x.Status):
		d.State = "failed"
	default:
		d.State = "updating"
	}
	return d, nil
}

func (s *Server) updates(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[updateDocument](q)
	if err != nil {
		return nil, err
	}
	all, err := s.shelf.updates.all(ctx, q.tenant)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b updateRecord) int { return a.Created.Compare(b.Created) })
	docs := []updateDocument{}
	for _, u := range all {
		d, err := s.updateOf(q, u)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return answerList(ctx, q, l, docs, nil)
}

func (s *Server) deploymentUpdate(q *request) (any, error) {
	u, found, err := s.shelf.updates.get(q.Request().Context(), q.tenant, q.param("id"))
	if err == nil && !found {
		err = notFound("DeploymentUpdate", q.param("id"))
	}
	if err != nil {
		return nil, err
	}
	d, err := s.updateOf(q, u)
	if err != nil {
		return nil, err
	}
	return answerOne(q, d)
}
