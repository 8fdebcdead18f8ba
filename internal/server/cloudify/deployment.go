package cloudify

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// deploymentRecord is what Cloudify knows of a deployment and orch does not. Deployments that were made otherwise have none.
type deploymentRecord struct {
	owned
	Blueprint   string        `json:"blueprint"`
	DisplayName string        `json:"display_name,omitempty"`
	Labels      []labelRecord `json:"labels,omitempty"`
	Site        string        `json:"site,omitempty"`
	RuntimeOnly bool          `json:"runtime_only,omitempty"`
	// Cleared are the events that were deleted.
	Cleared []clearedRecord `json:"cleared,omitempty"`
}

type deploymentDocument struct {
	common
	DisplayName     string             `json:"display_name"`
	Blueprint       string             `json:"blueprint_id"`
	Description     string             `json:"description"`
	Inputs          map[string]any     `json:"inputs"`
	Outputs         map[string]any     `json:"outputs"`
	Capabilities    map[string]any     `json:"capabilities"`
	Workflows       []workflowDocument `json:"workflows"`
	Groups          map[string]any     `json:"groups"`
	ScalingGroups   map[string]any     `json:"scaling_groups"`
	PolicyTypes     map[string]any     `json:"policy_types"`
	PolicyTriggers  map[string]any     `json:"policy_triggers"`
	Labels          []label            `json:"labels"`
	Site            *string            `json:"site_name"`
	RuntimeOnly     bool               `json:"runtime_only_evaluation"`
	Installation    string             `json:"installation_status"`
	Status          string             `json:"deployment_status"`
	Latest          *string            `json:"latest_execution"`
	Create          *string            `json:"create_execution"`
	LatestStatus    *string            `json:"latest_execution_status"`
	LatestWorkflow  *string            `json:"latest_execution_workflow_id"`
	LatestTotal     *int               `json:"latest_execution_total_operations"`
	LatestFinished  *int               `json:"latest_execution_finished_operations"`
	Services        int                `json:"sub_services_count"`
	Environments    int                `json:"sub_environments_count"`
	ServicesStatus  *string            `json:"sub_services_status"`
	EnvsStatus      *string            `json:"sub_environments_status"`
	EnvironmentType string             `json:"environment_type"`
	Unavailable     int                `json:"unavailable_instances"`
	Drifted         int                `json:"drifted_instances"`
	SubDeployments  bool               `json:"has_sub_deployments"`
	ResourceTags    map[string]any     `json:"resource_tags"`
	Updated         *string            `json:"updated_at"`
	Persistent      bool               `json:"persistent_deployment,omitempty"`
	source          orch.Deployment    `json:"-"`
	record          deploymentRecord   `json:"-"`
}

func (d deploymentDocument) labels() []label { return d.Labels }

// known is a deployment with what Cloudify knows of it.
type knownDeployment struct {
	orch.Deployment
	record deploymentRecord
}

// recordOf makes up the record of a deployment that was not made through this endpoint.
func (s *Server) recordOf(d orch.Deployment) deploymentRecord {
	blueprint, _, _ := strings.Cut(d.Blueprint, ":")
	if blueprint == "" {
		blueprint = d.Topology
	}
	return deploymentRecord{owned: owned{ID: d.Name, Tenant: s.opts.Tenant, By: "admin", Created: d.Created, Updated: d.Updated}, Blueprint: blueprint}
}

// deploymentsOf lists the deployments of the tenant, oldest first.
func (s *Server) deploymentsOf(ctx context.Context) ([]knownDeployment, error) {
	all, err := s.opts.Service.Deployments(ctx)
	if err != nil {
		return nil, err
	}
	records, err := s.shelf.deployments.all(ctx, s.opts.Tenant)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]deploymentRecord, len(records))
	for _, r := range records {
		byName[r.ID] = r
	}
	out := []knownDeployment{}
	for _, d := range all {
		r, ok := byName[d.Name]
		if !ok || !r.Created.Equal(d.Created) { // of one that had this name before
			r = s.recordOf(d)
		}
		out = append(out, knownDeployment{d, r})
	}
	slices.SortStableFunc(out, func(a, b knownDeployment) int { return a.Created.Compare(b.Created) })
	return out, nil
}

// model of a deployment.
func (s *Server) model(ctx context.Context, name string) (deploymentRecord, *orch.Model, error) {
	r, found, err := s.shelf.deployments.get(ctx, s.opts.Tenant, name)
	if err != nil {
		return r, nil, err
	}
	m, err := s.opts.Engine.Model(ctx, name)
	if isNotFound(err) {
		return r, nil, notFound("Deployment", name)
	}
	if err == nil && (!found || !r.Created.Equal(m.Created)) {
		r = s.recordOf(m.Deployment)
	}
	return r, m, err
}

// record is model for what does not need the topology.
func (s *Server) record(ctx context.Context, name string) (deploymentRecord, error) {
	r, found, err := s.shelf.deployments.get(ctx, s.opts.Tenant, name)
	if err != nil || found {
		return r, err
	}
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return r, err
	}
	for _, d := range all {
		if d.record.ID == name {
			return d.record, nil
		}
	}
	return r, notFound("Deployment", name)
}

func isMissing(err error) bool {
	var p *problem
	return errors.As(err, &p) && p.code == "not_found_error" || isNotFound(err)
}

// cheap is a deployment's document as far as it can be told without its topology.
func (s *Server) cheap(ctx context.Context, k knownDeployment) (deploymentDocument, error) {
	r := k.record
	d := deploymentDocument{common: r.common(), DisplayName: r.DisplayName, Blueprint: r.Blueprint, Labels: labels(r.Labels), RuntimeOnly: r.RuntimeOnly,
		Updated: stamp(k.Updated), PolicyTypes: map[string]any{}, PolicyTriggers: map[string]any{}, Inputs: map[string]any{}, Outputs: map[string]any{},
		Capabilities: map[string]any{}, Workflows: []workflowDocument{}, Groups: map[string]any{}, ScalingGroups: map[string]any{}, ResourceTags: map[string]any{},
		source: k.Deployment, record: r, Installation: "inactive"}
	if d.DisplayName == "" {
		d.DisplayName = r.ID
	}
	if r.Site != "" {
		d.Site = &r.Site
	}
	if orch.Status(k.Status) == orch.StatusDeployed {
		d.Installation = "active"
	}
	last, err := s.latestExecution(ctx, k)
	if err != nil {
		return d, err
	}
	create := createID(r.ID)
	d.Create, d.Latest, d.LatestWorkflow = &create, &last.ID, &last.Workflow
	state := latestStatus[last.Status]
	if state == "" {
		state = "in_progress"
	}
	d.LatestStatus, d.LatestTotal, d.LatestFinished = &state, &last.Total, &last.Finished
	d.Status = deploymentStatus(state, d.Installation)
	return d, nil
}

var latestStatus = map[string]string{"terminated": "completed", "failed": "failed", "cancelled": "cancelled"}

func deploymentStatus(latest, installation string) string {
	switch {
	case latest == "in_progress":
		return "in_progress"
	case latest == "failed" || installation == "inactive":
		return "requires_attention"
	}
	return "good"
}

// heavy are the fields that need the topology.
var heavy = []string{"description", "inputs", "outputs", "capabilities", "workflows", "groups", "scaling_groups", "installation_status", "deployment_status",
	"unavailable_instances", "resource_tags", "environment_type"}

// complete fills in what needs the topology.
func (s *Server) complete(ctx context.Context, d *deploymentDocument) error {
	m, err := s.opts.Engine.Model(ctx, d.ID)
	if isNotFound(err) {
		return nil // it has just gone
	}
	if err != nil {
		return err
	}
	d.fill(ctx, m)
	return nil
}

func (d *deploymentDocument) fill(ctx context.Context, m *orch.Model) {
	t := m.Resolved
	d.Description = t.Description
	for _, p := range t.Inputs {
		if v, ok := m.Inputs[p.Name]; ok {
			d.Inputs[p.Name] = v
		} else if p.Value != nil {
			d.Inputs[p.Name] = evaluatedValue(ctx, topology.Scope{Topology: t}, p.Value, m.Env, false)
		}
	}
	d.Outputs, d.Capabilities = definitions(t.Outputs), definitions(t.Capabilities)
	d.ResourceTags = map[string]any{}
	for _, p := range t.ResourceTags {
		d.ResourceTags[p.Name] = evaluatedValue(ctx, topology.Scope{Topology: t}, p.Value, m.Env, false)
	}
	d.Groups, d.ScalingGroups = groupsOf(t), scalingGroupsOf(t, m)
	instances := instancesOf(d.record, m)
	started := 0
	for _, i := range instances {
		if i.State == "started" {
			started++
		}
	}
	d.Installation = "inactive"
	if started == len(instances) {
		d.Installation = "active"
	}
	if d.LatestStatus != nil {
		d.Status = deploymentStatus(*d.LatestStatus, d.Installation)
	}
	if d.Installation == "inactive" && orch.Status(m.Status) != orch.StatusCreated {
		d.Unavailable = len(instances) - started
	}
	for _, l := range d.Labels {
		if l.Key == "csys-env-type" {
			d.EnvironmentType = l.Value
		}
	}
	d.Workflows = workflowsOf(t, activity(instances))
}

// definitions are outputs or capabilities as the blueprint has them.
func definitions(list []*topology.Parameter) map[string]any {
	out := map[string]any{}
	for _, p := range list {
		o := map[string]any{"value": written(p.Value)}
		if p.Description != "" {
			o["description"] = p.Description
		}
		out[p.Name] = o
	}
	return out
}

func groupsOf(t *topology.Topology) map[string]any {
	out := map[string]any{}
	for _, g := range t.Groups {
		out[g.Name] = map[string]any{"members": g.Members, "policies": map[string]any{}}
	}
	return out
}

func scalingGroupsOf(t *topology.Topology, m *orch.Model) map[string]any {
	out := map[string]any{}
	for _, g := range t.Groups {
		if !isScaling(t, g.Name) {
			continue
		}
		now := 1
		if m != nil && len(g.Members) > 0 {
			now = len(m.Wanted[g.Members[0]])
		}
		out[g.Name] = map[string]any{"members": g.Members, "properties": map[string]any{"default_instances": now, "min_instances": 0, "max_instances": -1,
			"current_instances": now, "planned_instances": now}}
	}
	return out
}

func (s *Server) deployments(q *request) (any, error) {
	l, err := listingOf[deploymentDocument](q)
	if err != nil {
		return nil, err
	}
	return s.listDeployments(q, l)
}

func (s *Server) listDeployments(q *request, l listing) (any, error) {
	ctx := q.Request().Context()
	if err := s.savedRules(q, "deployments", &l); err != nil {
		return nil, err
	}
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return nil, err
	}
	docs := make([]deploymentDocument, 0, len(all))
	early := l.uses(heavy...)
	group, err := s.inGroup(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if group != nil && !group[k.record.ID] {
			continue
		}
		d, err := s.cheap(ctx, k)
		if err != nil {
			return nil, err
		}
		if early {
			if err := s.complete(ctx, &d); err != nil {
				return nil, err
			}
		}
		docs = append(docs, d)
	}
	var late func(context.Context, *deploymentDocument) error
	if !early && l.wants(heavy...) {
		late = s.complete
	}
	return answerList(ctx, q, l, docs, late)
}

// document of one deployment.
func (s *Server) document(ctx context.Context, name string) (deploymentDocument, error) {
	r, m, err := s.model(ctx, name)
	if err != nil {
		return deploymentDocument{}, err
	}
	d, err := s.cheap(ctx, knownDeployment{m.Deployment, r})
	if err != nil {
		return d, err
	}
	d.fill(ctx, m)
	return d, nil
}

func (s *Server) deployment(q *request) (any, error) {
	if _, err := includes[deploymentDocument](q.QueryParams()); err != nil {
		return nil, err
	}
	d, err := s.document(q.Request().Context(), q.param("id"))
	if err != nil {
		return nil, err
	}
	return answerOne(q, d)
}

// editDeployment changes labels and display name.
func (s *Server) editDeployment(q *request) (any, error) {
	var b struct {
		Labels      *wishedLabels `json:"labels"`
		DisplayName *string       `json:"display_name"`
		Creator     *string       `json:"creator"`
	}
	names, err := q.changes("deployment", &b)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.Contains([]string{"labels", "display_name", "creator", "visibility"}, name) {
			return nil, conflict("%s is already set", name)
		}
	}
	return s.changeDeployment(q, func(r *deploymentRecord) error {
		if b.Labels != nil {
			r.Labels = b.Labels.records(r.Labels, q.user(), s.opts.now())
		}
		if b.DisplayName != nil {
			r.DisplayName = *b.DisplayName
		}
		if b.Creator != nil {
			r.By = *b.Creator
		}
		return nil
	})
}

// changeDeployment changes a deployment's record, making it for one that has none, and answers with the deployment.
func (s *Server) changeDeployment(q *request, fn func(*deploymentRecord) error) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	if _, err := s.changeDeploymentNamed(ctx, q, id, func(r *deploymentRecord) error {
		r.Updated = s.opts.now()
		return fn(r)
	}); err != nil {
		return nil, err
	}
	return s.document(ctx, id)
}

func (s *Server) changeDeploymentNamed(ctx context.Context, q *request, id string, fn func(*deploymentRecord) error) (out deploymentRecord, err error) {
	r, _, err := s.model(ctx, id)
	if err != nil {
		return r, err
	}
	err = s.shelf.deployments.change(ctx, q.tenant, id, func(have *deploymentRecord) (*deploymentRecord, error) {
		if have == nil || !have.Created.Equal(r.Created) {
			have = &r
		}
		err := fn(have)
		out = *have
		return have, err
	})
	return out, err
}

func (s *Server) showDeployment(q *request) (any, error) {
	to, err := q.wishedVisibility()
	if err != nil {
		return nil, err
	}
	return s.changeDeployment(q, func(r *deploymentRecord) error {
		if err := widen("deployment", r.ID, r.Visibility, to); err != nil {
			return err
		}
		r.Visibility = to
		return nil
	})
}

// setSite attaches a deployment to a site, or detaches it.
func (s *Server) setSite(q *request) (any, error) {
	var b struct {
		Site   string `json:"site_name"`
		Detach flag   `json:"detach_site"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if (b.Site == "") == !bool(b.Detach) {
		return nil, badParameters("Must provide either a `site_name` of a valid site or `detach_site` with true value for detaching the current site of the given deployment")
	}
	if b.Site != "" {
		if _, err := s.siteRecord(q.Request().Context(), q.tenant, b.Site); err != nil {
			return nil, err
		}
	}
	return s.changeDeployment(q, func(r *deploymentRecord) error {
		r.Site = b.Site
		return nil
	})
}

// outputs of a deployment; null where a value is not known yet.
func (s *Server) outputs(q *request) (any, error) {
	vals, err := s.parameters(q, "deployment_outputs_evaluation_error", func(t *topology.Topology) []*topology.Parameter { return t.Outputs })
	if err != nil {
		return nil, err
	}
	return map[string]any{"deployment_id": q.param("id"), "outputs": vals}, nil
}

func (s *Server) capabilities(q *request) (any, error) {
	vals, err := s.parameters(q, "deployment_capabilities_evaluation_error", func(t *topology.Topology) []*topology.Parameter { return t.Capabilities })
	if err != nil {
		return nil, err
	}
	return map[string]any{"deployment_id": q.param("id"), "capabilities": vals}, nil
}

func (s *Server) parameters(q *request, code string, of func(*topology.Topology) []*topology.Parameter) (map[string]any, error) {
	ctx := q.Request().Context()
	_, m, err := s.model(ctx, q.param("id"))
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for _, p := range of(m.Resolved) {
		v, err := topology.Eval(ctx, topology.Scope{Topology: m.Resolved}, p.Value, m.Env)
		if err != nil {
			return nil, refused(code, "%s: %v", p.Name, err)
		}
		out[p.Name] = visible(v)
	}
	return out, nil
}
