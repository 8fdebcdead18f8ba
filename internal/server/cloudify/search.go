package cloudify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// What is looked for in the forms of inputs: capabilities, scaling groups, types and workflows of deployments.

type capabilitiesDocument struct {
	Tenant       string           `json:"tenant_name"`
	Deployment   string           `json:"deployment_id"`
	Capabilities []map[string]any `json:"capabilities"`
}

type scalingGroupDocument struct {
	Tenant     string   `json:"tenant_name"`
	Deployment string   `json:"deployment_id"`
	Name       string   `json:"name"`
	Members    []string `json:"members"`
	Properties any      `json:"properties"`
}

type nodeTypeDocument struct {
	ID         string `json:"id"` // of a node of the type
	Tenant     string `json:"tenant_name"`
	Deployment string `json:"deployment_id"`
	Type       string `json:"type"`
	hierarchy  []string
}

// searchOf answers a search with what docs finds in each deployment.
func searchOf[T any](kind string, docs func(context.Context, *listing, deploymentRecord, *orch.Model) ([]T, error)) handler {
	return func(s *Server, q *request) (any, error) {
		ctx := q.Request().Context()
		l, err := listingOf[T](q)
		if err != nil {
			return nil, err
		}
		if err := s.savedRules(q, kind, &l); err != nil {
			return nil, err
		}
		if len(l.equal["deployment_id"]) == 0 {
			return nil, badParameters("Please provide a valid 'deployment_id' parameter or have a relevant key in the constraints.")
		}
		var out []T
		var failed error
		err = s.eachModel(ctx, q, &l, func(d deploymentRecord, m *orch.Model) {
			found, err := docs(ctx, &l, d, m)
			if err != nil && failed == nil {
				failed = err
			}
			out = append(out, found...)
		})
		if err != nil || failed != nil {
			return nil, firstOf(err, failed)
		}
		have := indexOfDocument[T]()
		l.rules = slices.DeleteFunc(l.rules, func(r rule) bool { return r.Type == "attribute" && have[r.Key] == nil }) // they have been applied to what is inside
		return answerList(ctx, q, l, out, nil)
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// about are the rules about an attribute.
func (l *listing) about(key string) (out []rule) {
	for _, r := range l.rules {
		if r.Type == "attribute" && r.Key == key {
			out = append(out, r)
		}
	}
	return out
}

// capabilityDocuments are a deployment's capabilities with their values: patterns are about their names, valid values and what is searched for
// about their values.
func capabilityDocuments(ctx context.Context, l *listing, d deploymentRecord, m *orch.Model) ([]capabilitiesDocument, error) {
	rules, wanted := l.about("id"), l.search
	doc := capabilitiesDocument{Tenant: d.common().Tenant, Deployment: d.ID, Capabilities: []map[string]any{}}
	for _, p := range m.Resolved.Capabilities {
		v, err := topology.Eval(ctx, topology.Scope{Topology: m.Resolved}, p.Value, m.Env)
		if err != nil {
			return nil, refused("deployment_capabilities_evaluation_error", "%s: %v", p.Name, err)
		}
		shown := visible(v)
		text := fmt.Sprint(shown)
		if wanted != "" && wanted != text || slices.ContainsFunc(rules, func(r rule) bool {
			if r.Operator == "any_of" { // a name that is equal, or a valid value
				return !slices.Contains(r.Values, text) && !slices.Contains(r.Values, p.Name)
			}
			return !r.holds(common{ID: p.Name})
		}) {
			continue
		}
		c := map[string]any{"value": shown}
		if p.Description != "" {
			c["description"] = p.Description
		}
		doc.Capabilities = append(doc.Capabilities, map[string]any{p.Name: c})
	}
	if len(doc.Capabilities) == 0 {
		return nil, nil
	}
	return []capabilitiesDocument{doc}, nil
}

func scalingGroupDocuments(_ context.Context, l *listing, d deploymentRecord, m *orch.Model) (out []scalingGroupDocument, _ error) {
	all := scalingGroupsOf(m.Resolved, m)
	for _, g := range m.Resolved.Groups {
		known, ok := all[g.Name].(map[string]any)
		if !ok || l.search != "" && l.search != g.Name {
			continue
		}
		out = append(out, scalingGroupDocument{Tenant: d.common().Tenant, Deployment: d.ID, Name: g.Name, Members: orEmpty(g.Members), Properties: known["properties"]})
	}
	return out, nil
}

// nodeTypeDocuments are the types of a deployment's nodes. A valid value also allows what is derived from it.
func nodeTypeDocuments(_ context.Context, l *listing, d deploymentRecord, m *orch.Model) (out []nodeTypeDocument, _ error) {
	valid := slices.IndexFunc(l.rules, func(r rule) bool { return r.Type == "attribute" && r.Key == "type" && r.Operator == "any_of" })
	for _, n := range m.Resolved.Nodes {
		t := nodeTypeDocument{ID: n.Name, Tenant: d.common().Tenant, Deployment: d.ID, Type: n.Type.Name(), hierarchy: n.Type}
		if slices.ContainsFunc(out, func(x nodeTypeDocument) bool { return x.Type == t.Type }) || l.search != "" && !strings.Contains(t.Type, l.search) {
			continue
		}
		if valid >= 0 && slices.ContainsFunc(t.hierarchy, func(h string) bool { return slices.Contains(l.rules[valid].Values, h) }) {
			l.rules[valid].Values = append(l.rules[valid].Values, t.Type)
		}
		out = append(out, t)
	}
	return out, nil
}

// workflowList are the workflows of the deployments that a list of those would show.
func (s *Server) workflowList(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[deploymentDocument](q)
	if err != nil {
		return nil, err
	}
	if err := s.savedRules(q, "deployments", &l); err != nil {
		return nil, err
	}
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return nil, err
	}
	group, err := s.inGroup(ctx, q)
	if err != nil {
		return nil, err
	}
	byName := map[string]bool{}
	items := []workflowDocument{}
	for _, k := range all {
		if group != nil && !group[k.record.ID] {
			continue
		}
		d, err := s.cheap(ctx, k)
		if err == nil {
			err = s.complete(ctx, &d)
		}
		if err != nil {
			return nil, err
		}
		if !l.matches(d) || !holdAll(l.rules, d) {
			continue
		}
		for _, w := range d.Workflows {
			if !byName[w.Name] {
				byName[w.Name] = true
				items = append(items, w)
			}
		}
	}
	slices.SortFunc(items, func(a, b workflowDocument) int { return strings.Compare(a.Name, b.Name) })
	return page{Items: items, Metadata: metadata{Pagination: pagination{len(items), len(items), 0}}}, nil
}
