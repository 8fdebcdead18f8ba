package cloudify

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/internal/server/jsonbody"
)

// groupRecord is a group of deployments, to which the same is done.
type groupRecord struct {
	owned
	Description string         `json:"description,omitempty"`
	Blueprint   string         `json:"blueprint,omitempty"` // of new deployments
	Inputs      map[string]any `json:"inputs,omitempty"`
	Labels      []labelRecord  `json:"labels,omitempty"`
	Deployments []string       `json:"deployments,omitempty"`
	Made        int            `json:"made,omitempty"` // deployments, for their ids
}

type groupDocument struct {
	common
	Description string         `json:"description"`
	Blueprint   *string        `json:"default_blueprint_id"`
	Inputs      map[string]any `json:"default_inputs"`
	Labels      []label        `json:"labels"`
	Deployments []string       `json:"deployment_ids"`
}

func (d groupDocument) labels() []label { return d.Labels }

func groupOf(r groupRecord) groupDocument {
	d := groupDocument{common: r.common(), Description: r.Description, Blueprint: text0(r.Blueprint), Inputs: r.Inputs, Labels: labels(r.Labels), Deployments: orEmpty(r.Deployments)}
	if d.Inputs == nil {
		d.Inputs = map[string]any{}
	}
	return d
}

// groupMembers name deployments: by id, by filter, by another group, or new ones.
type groupMembers struct {
	IDs    *[]string       `json:"deployment_ids"`
	Filter string          `json:"filter_id"`
	Rules  []rule          `json:"filter_rules"`
	Group  string          `json:"deployments_from_group"`
	New    []newDeployment `json:"new_deployments"`
	// Inputs are new ones, too, in the words of Cloudify 5.1.
	Inputs   []map[string]any `json:"inputs"`
	replaces bool
}

// fresh are the deployments that are to be made.
func (m *groupMembers) fresh() []newDeployment {
	out := slices.Clone(m.New)
	for _, inputs := range m.Inputs {
		out = append(out, newDeployment{Inputs: inputs})
	}
	return out
}

type newDeployment struct {
	ID          string         `json:"id"`
	DisplayName string         `json:"display_name"`
	Inputs      map[string]any `json:"inputs"`
	Labels      wishedLabels   `json:"labels"`
	Site        string         `json:"site_name"`
	RuntimeOnly flag           `json:"runtime_only_evaluation"`
}

func (s *Server) deploymentGroups(q *request) (any, error) {
	l, err := listingOf[groupDocument](q)
	if err != nil {
		return nil, err
	}
	all, err := s.shelf.groups.all(q.Request().Context(), q.tenant)
	if err != nil {
		return nil, err
	}
	docs := []groupDocument{}
	for _, r := range all {
		docs = append(docs, groupOf(r))
	}
	return answerList(q.Request().Context(), q, l, docs, nil)
}

func (s *Server) groupRecord(ctx context.Context, tenant, id string) (groupRecord, error) {
	r, found, err := s.shelf.groups.get(ctx, tenant, id)
	if err == nil && !found {
		err = notFound("DeploymentGroup", id)
	}
	return r, err
}

func (s *Server) deploymentGroup(q *request) (any, error) {
	r, err := s.groupRecord(q.Request().Context(), q.tenant, q.param("id"))
	if err != nil {
		return nil, err
	}
	return answerOne(q, groupOf(r))
}

// setGroup makes a group, or sets what the body names of one that there is.
func (s *Server) setGroup(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	if err := checkID("group_id", id, true); err != nil {
		return nil, err
	}
	var b struct {
		groupMembers
		Description *string        `json:"description"`
		Visibility  string         `json:"visibility"`
		Blueprint   string         `json:"blueprint_id"`
		Inputs      map[string]any `json:"default_inputs"`
		Labels      *wishedLabels  `json:"labels"`
	}
	if err := q.optionalBody(&b); err != nil {
		return nil, err
	}
	vis, err := visibility(b.Visibility, false)
	if err != nil {
		return nil, err
	}
	if b.Blueprint != "" {
		if _, err := s.blueprintRecord(ctx, b.Blueprint); err != nil {
			return nil, err
		}
	}
	inputs, err := storable(jsonbody.PlainMap(b.Inputs))
	if err != nil {
		return nil, err
	}
	b.replaces = b.IDs != nil || b.Filter != "" || b.Group != ""
	err = s.changeGroup(ctx, q, id, true, &b.groupMembers, func(r *groupRecord) {
		if b.Description != nil {
			r.Description = *b.Description
		}
		if b.Visibility != "" || r.Visibility == "" {
			r.Visibility = vis
		}
		if b.Blueprint != "" {
			r.Blueprint = b.Blueprint
		}
		if b.Inputs != nil {
			r.Inputs = inputs
		}
		if b.Labels != nil {
			r.Labels = b.Labels.records(r.Labels, q.user(), s.opts.now())
		}
	})
	if err != nil {
		return nil, err
	}
	return s.deploymentGroup(q)
}

// editGroup adds deployments to a group, or takes some out.
func (s *Server) editGroup(q *request) (any, error) {
	ctx, id := q.Request().Context(), q.param("id")
	var b struct {
		Add    *groupMembers `json:"add"`
		Remove *groupMembers `json:"remove"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if b.Add == nil && b.Remove == nil {
		return nil, badParameters("Missing add or remove in json request body")
	}
	if b.Add != nil {
		if err := s.changeGroup(ctx, q, id, false, b.Add, func(*groupRecord) {}); err != nil {
			return nil, err
		}
	}
	if b.Remove != nil {
		gone, err := s.members(ctx, q, b.Remove)
		if err != nil {
			return nil, err
		}
		_, err = s.shelf.groups.edit(ctx, "DeploymentGroup", q.tenant, id, func(r *groupRecord) error {
			r.Deployments = slices.DeleteFunc(r.Deployments, func(d string) bool { return slices.Contains(gone, d) })
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s.deploymentGroup(q)
}

// changeGroup changes a group's record and its members; new deployments are made at once.
func (s *Server) changeGroup(ctx context.Context, q *request, id string, make bool, m *groupMembers, fn func(*groupRecord)) error {
	members, err := s.members(ctx, q, m)
	if err != nil {
		return err
	}
	var group groupRecord
	err = s.shelf.groups.change(ctx, q.tenant, id, func(r *groupRecord) (*groupRecord, error) {
		if r == nil {
			if !make {
				return nil, notFound("DeploymentGroup", id)
			}
			r = &groupRecord{owned: owned{ID: id, Tenant: q.tenant, By: q.user(), Created: s.opts.now()}}
		}
		fn(r)
		if m.replaces {
			r.Deployments = nil
		}
		r.join(members...)
		r.Made += len(m.fresh())
		group = *r
		return r, nil
	})
	if err != nil {
		return err
	}
	if err := s.labelMembers(ctx, q, group); err != nil {
		return err
	}
	return s.makeMembers(ctx, q, group, m.fresh())
}

func (r *groupRecord) join(deployments ...string) {
	for _, d := range deployments {
		if !slices.Contains(r.Deployments, d) {
			r.Deployments = append(r.Deployments, d)
		}
	}
}

// members are the deployments that are named, without new ones.
func (s *Server) members(ctx context.Context, q *request, m *groupMembers) (out []string, err error) {
	if m.IDs != nil {
		for _, id := range *m.IDs {
			if _, err := s.record(ctx, id); err != nil {
				return nil, err
			}
		}
		out = append(out, *m.IDs...)
	}
	if m.Group != "" {
		g, err := s.groupRecord(ctx, q.tenant, m.Group)
		if err != nil {
			return nil, err
		}
		out = append(out, g.Deployments...)
	}
	rules := m.Rules
	if m.Filter != "" {
		f, found, err := s.shelf.filters.get(ctx, q.tenant, "deployments/"+m.Filter)
		if err == nil && !found {
			err = notFound("Filter", m.Filter)
		}
		if err != nil {
			return nil, err
		}
		rules = append(slices.Clone(rules), f.Rules...)
	}
	if len(rules) == 0 {
		return out, nil
	}
	for _, r := range rules {
		if err := r.check(attributes["deployments"]); err != nil {
			return nil, err
		}
	}
	all, err := deploymentDocuments(s, q)
	for _, d := range all {
		if holdAll(rules, d) {
			out = append(out, d.ID)
		}
	}
	return out, err
}

// labelMembers gives the deployments of a group its labels.
func (s *Server) labelMembers(ctx context.Context, q *request, g groupRecord) error {
	if len(g.Labels) == 0 {
		return nil
	}
	for _, id := range g.Deployments {
		d, _, err := s.model(ctx, id)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return err
		}
		err = s.shelf.deployments.change(ctx, q.tenant, id, func(have *deploymentRecord) (*deploymentRecord, error) {
			if have == nil || !have.Created.Equal(d.Created) {
				have = &d
			}
			for _, l := range g.Labels {
				if !slices.ContainsFunc(have.Labels, func(h labelRecord) bool { return h.Key == l.Key && h.Value == l.Value }) {
					have.Labels = append(have.Labels, l)
				}
			}
			return have, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeMembers creates a group's new deployments. Those that could be created stay if another cannot.
func (s *Server) makeMembers(ctx context.Context, q *request, g groupRecord, list []newDeployment) error {
	if len(list) > 0 && g.Blueprint == "" {
		return conflict("Cannot create deployments: group %s has no default blueprint set", g.ID)
	}
	for i, n := range list {
		id, err := g.memberID(n.ID, g.Made-len(list)+i+1)
		if err != nil {
			return err
		}
		inputs := maps.Clone(g.Inputs)
		if inputs == nil {
			inputs = map[string]any{}
		}
		maps.Copy(inputs, jsonbody.PlainMap(n.Inputs))
		labels := n.Labels
		for _, l := range g.Labels {
			labels = append(labels, [2]string{l.Key, l.Value})
		}
		b := createRequest{Blueprint: g.Blueprint, Inputs: inputs, Visibility: g.Visibility, Site: n.Site, Labels: labels, DisplayName: n.DisplayName, RuntimeOnly: n.RuntimeOnly}
		if err := s.newDeployment(ctx, q, id, b); err != nil {
			return err
		}
		_, err = s.shelf.groups.edit(ctx, "DeploymentGroup", q.tenant, g.ID, func(r *groupRecord) error {
			r.join(id)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// memberID of a new deployment: a pattern with {group_id}, {uuid}, {count}, {blueprint_id} and {site_name} as Cloudify has it, or an id.
func (r *groupRecord) memberID(pattern string, count int) (string, error) {
	if pattern == "" {
		pattern = "{group_id}-{uuid}"
	}
	id := strings.NewReplacer("{group_id}", r.ID, "{uuid}", strings.ToLower(ulid.Make().String()), "{count}", fmt.Sprint(count), "{blueprint_id}", r.Blueprint).Replace(pattern)
	return id, checkID("deployment_id", id, true)
}

// deleteGroup forgets a group, with its deployments if that is asked for.
func (s *Server) deleteGroup(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Deployments flag `json:"delete_deployments"`
		Force       flag `json:"force"`
	}
	if err := q.optionalBody(&b); err != nil {
		return nil, err
	}
	for name, into := range map[string]*flag{"delete_deployments": &b.Deployments, "force": &b.Force} {
		on, err := q.flag(name)
		if err != nil {
			return nil, err
		}
		*into = *into || flag(on)
	}
	r, err := s.groupRecord(ctx, q.tenant, q.param("id"))
	if err != nil {
		return nil, err
	}
	if bool(b.Deployments) {
		for _, id := range r.Deployments {
			if err := s.removeDeployment(ctx, q, id, bool(b.Force)); err != nil && !isMissing(err) {
				return nil, err
			}
		}
	}
	if err := s.shelf.groups.remove(ctx, q.tenant, r.ID); err != nil {
		return nil, err
	}
	return answered{http.StatusNoContent, nil}, nil
}

// inGroup returns the deployments of the groups that a query names, or those that a deployment depends on, which are none; nil where it asks for neither.
func (s *Server) inGroup(ctx context.Context, q *request) (map[string]bool, error) {
	ids, of := q.QueryParams()["_group_id"], q.QueryParams()["_dependencies_of"]
	if len(ids)+len(of) == 0 {
		return nil, nil
	}
	out := map[string]bool{}
	if len(of) > 0 {
		for _, id := range of {
			if _, err := s.record(ctx, id); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	for _, id := range ids {
		g, err := s.groupRecord(ctx, q.tenant, id)
		if err != nil {
			return nil, err
		}
		for _, d := range g.Deployments {
			out[d] = true
		}
	}
	return out, nil
}
