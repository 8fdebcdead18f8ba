package cloudify

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// instanceDocument is a node instance.
type instanceDocument struct {
	common
	Node          string                 `json:"node_id"`
	Deployment    string                 `json:"deployment_id"`
	Host          *string                `json:"host_id"`
	State         string                 `json:"state"`
	Index         int                    `json:"index"`
	Version       int                    `json:"version"`
	Runtime       map[string]any         `json:"runtime_properties"`
	System        map[string]any         `json:"system_properties"`
	Relationships []instanceRelationship `json:"relationships"`
	Scaling       []map[string]string    `json:"scaling_groups"`
	StatusOK      bool                   `json:"is_status_check_ok"`
	Drift         bool                   `json:"has_configuration_drift"`
	in            topology.Instance
}

type instanceRelationship struct {
	Type       string `json:"type"`
	Target     string `json:"target_id"`
	TargetName string `json:"target_name"`
}

// stateWords are Cloudify's words for orch's states; the others are the same.
var stateWords = map[string]string{"": "uninitialized", "initial": "uninitialized"}

// failedIn is the state in which a failed operation leaves an instance.
var failedIn = map[string]string{"create": "creating", "configure": "configuring", "start": "starting", "stop": "stopping", "delete": "deleting",
	"precreate": "initializing", "preconfigure": "created", "postconfigure": "configured", "poststart": "starting", "establish": "starting",
	"prestop": "stopping", "unlink": "stopped", "postdelete": "deleting"}

// instancesOf are the instances of a deployment: those that exist, and those that are to exist or have existed.
func instancesOf(d deploymentRecord, m *orch.Model) []instanceDocument {
	absent := "uninitialized"
	if orch.Status(m.Status) == orch.StatusUndeployed {
		absent = "deleted"
	}
	out := []instanceDocument{}
	for _, ns := range m.Nodes {
		n := m.Resolved.NodeNamed(ns.Name)
		seen := map[string]bool{}
		for _, i := range ns.Instances {
			seen[i.Index] = true
			doc := blankInstance(d, m, n, topology.Instance{Node: ns.Name, Index: i.Index})
			doc.State = stateOf(i.State, topology.Instance{Node: ns.Name, Index: i.Index}, m)
			doc.Runtime = i.Attributes
			if doc.Runtime == nil {
				doc.Runtime = map[string]any{}
			}
			doc.StatusOK = doc.State == "started"
			doc.Version = versionOf(doc)
			out = append(out, doc)
		}
		for _, index := range m.Wanted[ns.Name] {
			if !seen[index] {
				doc := blankInstance(d, m, n, topology.Instance{Node: ns.Name, Index: index})
				doc.State, doc.Runtime = absent, map[string]any{}
				doc.Version = versionOf(doc)
				out = append(out, doc)
			}
		}
	}
	return out
}

func stateOf(state string, in topology.Instance, m *orch.Model) string {
	if w, ok := stateWords[state]; ok {
		return w
	}
	if state == "error" {
		return failedState(in, m)
	}
	return state
}

// failedState tells from the cause of the last failure where an instance has stopped.
func failedState(in topology.Instance, m *orch.Model) string {
	if f := m.Failure; f != nil {
		for _, x := range append([]orch.Failure{*f}, f.Others...) {
			if x.Node == in.Node && (x.Instance == in.Index || x.Instance == "") {
				if s := failedIn[x.Operation]; s != "" {
					return s
				}
			}
		}
	}
	if m.Doing == "undeploy" || m.Doing == "purge" {
		return "stopping"
	}
	return "creating"
}

func blankInstance(d deploymentRecord, m *orch.Model, n *topology.Node, in topology.Instance) instanceDocument {
	doc := instanceDocument{common: d.common(), Node: in.Node, Deployment: d.ID, System: map[string]any{}, Relationships: []instanceRelationship{},
		Scaling: []map[string]string{}}
	doc.ID = instanceID(d.ID, in)
	doc.in = in
	doc.Index = slices.Index(m.Wanted[in.Node], in.Index) + 1 // Cloudify counts from one
	if doc.Index == 0 {
		doc.Index = len(m.Wanted[in.Node]) + 1 // it is on its way out
	}
	if n == nil {
		return doc
	}
	if h := hostOf(m.Resolved, n); h != "" {
		id := instanceID(d.ID, topology.Instance{Node: h, Index: m.Resolved.HostIndex(m.Resolved.NodeNamed(h), in.Index)})
		doc.Host = &id
	}
	for _, r := range n.Relationships {
		for _, i := range plan.TargetsOf(m.Resolved, r, in.Index, m.Wanted[r.Target]) {
			doc.Relationships = append(doc.Relationships, instanceRelationship{r.Type.Name(), instanceID(d.ID, topology.Instance{Node: r.Target, Index: i}), r.Target})
		}
	}
	for _, g := range m.Resolved.Groups {
		if slices.Contains(g.Members, in.Node) && isScaling(m.Resolved, g.Name) {
			doc.Scaling = append(doc.Scaling, map[string]string{"name": g.Name, "id": instanceID(d.ID, topology.Instance{Node: g.Name, Index: in.Index})})
		}
	}
	return doc
}

func isScaling(t *topology.Topology, group string) bool {
	return slices.ContainsFunc(t.Policies, func(p *topology.Policy) bool {
		return p.Type.Is("cloudify.policies.scaling") && slices.Contains(p.Targets, group)
	})
}

// versionOf numbers what an instance says: the same as long as it says the same.
func versionOf(d instanceDocument) int {
	b, err := json.Marshal([]any{d.State, d.Runtime})
	if err != nil {
		return 1
	}
	n := 1
	for _, c := range b {
		n = (n*31 + int(c)) & 0x3fffffff
	}
	return n
}

func (s *Server) instances(q *request) (any, error) {
	ctx := q.Request().Context()
	l, err := listingOf[instanceDocument](q)
	if err != nil {
		return nil, err
	}
	if err := s.savedRules(q, "node-instances", &l); err != nil {
		return nil, err
	}
	docs := []instanceDocument{}
	err = s.eachModel(ctx, q, &l, func(d deploymentRecord, m *orch.Model) {
		all := instancesOf(d, m)
		s.known.instances(d.ID, all)
		docs = append(docs, all...)
	})
	if err != nil {
		return nil, err
	}
	return answerList(ctx, q, l, docs, nil)
}

// findInstance finds an instance by its id alone.
func (s *Server) findInstance(ctx context.Context, q *request, id string) (instanceDocument, error) {
	look := func(deployment string) (instanceDocument, bool, error) {
		d, m, err := s.model(ctx, deployment)
		if err != nil {
			return instanceDocument{}, false, err
		}
		all := instancesOf(d, m)
		s.known.instances(d.ID, all)
		i := slices.IndexFunc(all, func(x instanceDocument) bool { return x.ID == id })
		if i < 0 {
			return instanceDocument{}, false, nil
		}
		return all[i], true, nil
	}
	if name, ok := s.known.deploymentOfInstance(id); ok {
		if doc, found, err := look(name); err == nil && found {
			return doc, nil
		}
	}
	all, err := s.deploymentsOf(ctx)
	if err != nil {
		return instanceDocument{}, err
	}
	for _, d := range all {
		doc, found, err := look(d.record.ID)
		if err != nil && !isMissing(err) {
			return doc, err
		}
		if found {
			return doc, nil
		}
	}
	return instanceDocument{}, notFound("NodeInstance", id)
}

func (s *Server) instance(q *request) (any, error) {
	d, err := s.findInstance(q.Request().Context(), q, q.param("id"))
	if err != nil {
		return nil, err
	}
	return answerOne(q, d)
}

// editInstance replaces an instance's runtime properties. States are the engine's.
func (s *Server) editInstance(q *request) (any, error) {
	ctx := q.Request().Context()
	force, err := q.flag("force")
	if err != nil {
		return nil, err
	}
	var b struct {
		Version *int           `json:"version"`
		Runtime map[string]any `json:"runtime_properties"`
		State   *string        `json:"state"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if b.Version == nil {
		return nil, badParameters("Missing version in json request body")
	}
	d, err := s.findInstance(ctx, q, q.param("id"))
	if err != nil {
		return nil, err
	}
	if *b.Version != d.Version && !force {
		return nil, conflict("Node instance update conflict [current version=%d, update version=%d]", d.Version, *b.Version)
	}
	if b.State != nil && *b.State != d.State {
		return nil, refused("illegal_action_error", "The state of node instance %s is set by executions only", d.ID)
	}
	if b.Runtime == nil {
		return answerOne(q, d)
	}
	if err := s.opts.Engine.SetAttributes(ctx, d.Deployment, d.in, jsonbody.PlainMap(b.Runtime)); err != nil {
		return nil, err
	}
	if d, err = s.findInstance(ctx, q, d.ID); err != nil {
		return nil, err
	}
	return answerOne(q, d)
}
