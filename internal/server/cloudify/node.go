package cloudify

import (
	"context"
	"slices"
	"strconv"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// nodeDocument is a node template in a deployment.
type nodeDocument struct {
	common
	Deployment    string                       `json:"deployment_id"`
	Blueprint     string                       `json:"blueprint_id"`
	Type          string                       `json:"type"`
	Hierarchy     []string                     `json:"type_hierarchy"`
	Properties    map[string]any               `json:"properties"`
	Operations    map[string]operationDocument `json:"operations"`
	Relationships []relationshipDocument       `json:"relationships"`
	Plugins       []map[string]any             `json:"plugins"`
	ToInstall     []map[string]any             `json:"plugins_to_install"`
	Host          *string                      `json:"host_id"`
	Instances     any                          `json:"number_of_instances"`
	Planned       any                          `json:"planned_number_of_instances"`
	Deploy        any                          `json:"deploy_number_of_instances"`
	Min           any                          `json:"min_number_of_instances"`
	Max           any                          `json:"max_number_of_instances"`
	Actual        int                          `json:"actual_number_of_instances"`
	ActualPlanned int                          `json:"actual_planned_number_of_instances"`
	Unavailable   int                          `json:"unavailable_instances"`
	Drifted       int                          `json:"drifted_instances"`
}

type relationshipDocument struct {
	Type       string                       `json:"type"`
	Hierarchy  []string                     `json:"type_hierarchy"`
	Target     string                       `json:"target_id"`
	Properties map[string]any               `json:"properties"`
	Source     map[string]operationDocument `json:"source_operations"`
	TargetOps  map[string]operationDocument `json:"target_operations"`
}

const computeType = "cloudify.nodes.Compute"

// hostOf is the node that a node runs on: the Compute node that contains it, or itself; "" without one.
func hostOf(t *topology.Topology, n *topology.Node) string {
	for range len(t.Nodes) + 1 {
		if n == nil {
			return ""
		}
		if n.Type.Is(computeType) || n.Type.Is("tosca.nodes.Compute") {
			return n.Name
		}
		n = t.NodeNamed(n.Host())
	}
	return ""
}

// staticNode is a node as the blueprint has it.
func staticNode(ctx context.Context, t *topology.Topology, n *topology.Node, env topology.Env, everything bool) nodeDocument {
	sc := topology.Scope{Topology: t, Node: n}
	d := nodeDocument{Type: n.Type.Name(), Hierarchy: hierarchy(n.Type), Properties: evaluated(ctx, sc, n.Properties, env, everything),
		Operations: operationsOf(ctx, sc, n.Interfaces, env), Relationships: []relationshipDocument{}, Plugins: []map[string]any{}, ToInstall: []map[string]any{}}
	d.ID = n.Name
	if h := hostOf(t, n); h != "" {
		d.Host = &h
	}
	for _, r := range n.Relationships {
		rsc := sc
		rsc.Relationship = r
		source, target := ends(r.Interfaces)
		d.Relationships = append(d.Relationships, relationshipDocument{r.Type.Name(), hierarchy(r.Type), r.Target, evaluated(ctx, rsc, r.Properties, env, everything),
			operationsOf(ctx, rsc, source, env), operationsOf(ctx, rsc, target, env)})
	}
	for _, p := range pluginsOf(d) {
		d.Plugins = append(d.Plugins, map[string]any{"name": p, "executor": "central_deployment_agent", "install": false})
	}
	return d
}

// hierarchy is a type's ancestry with the root first.
func hierarchy(t topology.Type) []string {
	out := slices.Clone([]string(t))
	slices.Reverse(out)
	return orEmpty(out)
}

func pluginsOf(d nodeDocument) (names []string) {
	for _, op := range d.Operations {
		if op.Plugin != "" && !slices.Contains(names, op.Plugin) {
			names = append(names, op.Plugin)
		}
	}
	slices.Sort(names)
	return names
}

// nodesOf are the nodes of a deployment.
func (s *Server) nodesOf(ctx context.Context, q *request, d deploymentRecord, m *orch.Model, everything bool) []nodeDocument {
	out := []nodeDocument{}
	all := instancesOf(d, m)
	for _, n := range m.Resolved.Nodes {
		doc := staticNode(ctx, m.Resolved, n, m.Env, everything)
		doc.common = d.common()
		doc.ID, doc.Deployment, doc.Blueprint = n.Name, d.ID, d.Blueprint
		least, most, def, err := m.Resolved.Scale(ctx, n.Name, m.Env)
		if err != nil {
			least, most, def = 1, 1, 1
		}
		if most >= 1<<31-1 {
			most = -1
		}
		planned := len(m.Wanted[n.Name])
		for _, i := range all {
			if i.Node != n.Name {
				continue
			}
			if i.State != "uninitialized" && i.State != "deleted" {
				doc.Actual++
			}
			if i.State != "started" {
				doc.Unavailable++
			}
		}
		doc.ActualPlanned = planned
		for p, v := range map[*any]int{&doc.Instances: planned, &doc.Planned: planned, &doc.Deploy: def, &doc.Min: least, &doc.Max: most} {
			*p = v
			if q.api < v3 {
				*p = strconv.Itoa(v) // as texts in older versions
			}
		}
		out = append(out, doc)
	}
	return out
}

// nodes lists the nodes of one deployment, or of all.
func (s *Server) nodes(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[nodeDocument](q)
	if err != nil {
		return nil, err
	}
	if err := s.savedRules(q, "nodes", &l); err != nil {
		return nil, err
	}
	everything, err := q.flag("_evaluate_functions")
	if err != nil {
		return nil, err
	}
	var docs []nodeDocument
	err = s.eachModel(ctx, q, &l, func(d deploymentRecord, m *orch.Model) {
		docs = append(docs, s.nodesOf(ctx, q, d, m, everything)...)
	})
	if err != nil {
		return nil, err
	}
	return answerList(ctx, q, l, docs, nil)
}

// node is /nodes/{deployment}/{node}.
func (s *Server) node(q *request) (any, error) {
	ctx := q.Request().Context()
	everything, err := q.flag("_evaluate_functions")
	if err != nil {
		return nil, err
	}
	d, m, err := s.model(ctx, q.param("id"))
	if err != nil {
		return nil, err
	}
	for _, n := range s.nodesOf(ctx, q, d, m, everything) {
		if n.ID == q.param("node") {
			return answerOne(q, n)
		}
	}
	return nil, notFound("Node", q.param("node"))
}

// eachModel visits the deployments that a list is about: those that it names, or all of the tenant.
func (s *Server) eachModel(ctx context.Context, q *request, l *listing, visit func(deploymentRecord, *orch.Model)) error {
	names := l.equal["deployment_id"]
	if len(names) == 0 {
		all, err := s.deploymentsOf(ctx)
		if err != nil {
			return err
		}
		for _, d := range all {
			names = append(names, d.record.ID)
		}
	}
	for _, name := range names {
		d, m, err := s.model(ctx, name)
		if isMissing(err) {
			continue // an empty list, and not an error; or it has just gone
		}
		if err != nil {
			return err
		}
		visit(d, m)
	}
	return nil
}
