package cloudify

import (
	"context"
	"errors"
	"strings"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
)

// createRequest is the body of PUT /deployments/{id}.
type createRequest struct {
	Blueprint   string         `json:"blueprint_id"`
	Inputs      map[string]any `json:"inputs"`
	Visibility  string         `json:"visibility"`
	Private     flag           `json:"private_resource"`
	Site        string         `json:"site_name"`
	Labels      wishedLabels   `json:"labels"`
	DisplayName string         `json:"display_name"`
	RuntimeOnly flag           `json:"runtime_only_evaluation"`
}

func (s *Server) createDeployment(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	var b createRequest
	if err := checkID("deployment_id", id, true); err != nil {
		return nil, err
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	private, err := q.flag("private_resource")
	if err != nil {
		return nil, err
	}
	b.Private = b.Private || flag(private)
	if err := s.newDeployment(ctx, q, id, b); err != nil {
		return nil, err
	}
	d, err := s.document(ctx, id)
	if err != nil {
		return nil, err
	}
	return created(d)
}

// newDeployment records a deployment that is not installed yet, with what its blueprint brings: labels, schedules.
func (s *Server) newDeployment(ctx context.Context, q *request, id string, b createRequest) error {
	if b.Blueprint == "" {
		return badParameters("Missing blueprint_id in json request body")
	}
	vis, err := visibility(b.Visibility, bool(b.Private))
	if err != nil {
		return err
	}
	if b.Site != "" {
		if _, err := s.siteRecord(ctx, q.tenant, b.Site); err != nil {
			return err
		}
	}
	bp, err := s.blueprintRecord(ctx, b.Blueprint)
	if err != nil {
		return err
	}
	bundle, err := s.bundleOf(ctx, bp)
	if err != nil {
		return err
	}
	req := orch.Request{Deployment: id, Blueprint: b.Blueprint, Source: bundle.FS, Entry: bundle.Entry, SourceName: bundle.Name, ImportPath: bundle.ImportPath, Inputs: jsonbody.PlainMap(b.Inputs),
		New: true, User: q.user()}
	if _, err := s.opts.Engine.Create(ctx, req); err != nil {
		return s.creationError(id, err)
	}
	now := s.opts.now()
	r := deploymentRecord{owned: owned{ID: id, Tenant: q.tenant, By: q.user(), Visibility: vis, Created: now, Updated: now}, Blueprint: b.Blueprint,
		DisplayName: b.DisplayName, Site: b.Site, RuntimeOnly: bool(b.RuntimeOnly)}
	if m, err := s.opts.Engine.Model(ctx, id); err == nil {
		r.Created = m.Created
		own := append(wishedLabels(literalLabels(m.Resolved.Labels)), b.Labels...)
		r.Labels = own.records(nil, q.user(), now)
	}
	if err := s.shelf.deployments.put(ctx, q.tenant, id, r); err != nil {
		return err
	}
	if err := s.defaultSchedules(ctx, q, id); err != nil {
		return errors.Join(err, s.removeDeployment(ctx, q, id, true)) // nothing half-made is left
	}
	return nil
}

// creationError finds Cloudify's code for what speaks against a deployment.
func (s *Server) creationError(id string, err error) error {
	if isConflict(err) {
		return existing("deployment", id)
	}
	var list *diag.ListError
	if !errors.As(err, &list) {
		return err
	}
	var missing, unknown, constraint []string
	for _, d := range list.List {
		if d.Severity != diag.Error {
			continue
		}
		switch d.Code {
		case "missing-input":
			missing = append(missing, quoted(d.Message))
		case "unknown-input":
			unknown = append(unknown, quoted(d.Message))
		case "missing-secret":
			return refused("unknown_deployment_secret_error", "Required secrets: %s don't exist in this tenant", diagnostics(list.List))
		case "constraint", "wrong-type", "bad-value":
			constraint = append(constraint, d.Message)
		}
	}
	switch {
	case len(missing) > 0:
		return refused("missing_required_deployment_input_error", "Required inputs [%s] were not specified - expected inputs: [%s]",
			strings.Join(missing, ", "), strings.Join(missing, ", "))
	case len(unknown) > 0:
		return refused("unknown_deployment_input_error", "Unknown inputs [%s] specified: %s", strings.Join(unknown, ", "), diagnostics(list.List))
	case len(constraint) > 0:
		return refused("constraint_error", "%s", strings.Join(constraint, "\n"))
	}
	return refused("deployment_creation_error", "%s", diagnostics(list.List))
}

// quoted is the name that a message has in quotes, in Python's.
func quoted(message string) string {
	_, rest, _ := strings.Cut(message, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return "'" + name + "'"
}
