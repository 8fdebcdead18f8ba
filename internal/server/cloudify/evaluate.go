package cloudify

import (
	"context"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/grammar"
)

// evaluateFunctions is POST /evaluate/functions: the payload with its functions evaluated, as seen from the node instances of the context. Secrets
// are masked, as everywhere.
func (s *Server) evaluateFunctions(q *request) (any, error) {
	ctx := q.Request().Context()
	var b struct {
		Deployment string            `json:"deployment_id"`
		Context    map[string]string `json:"context"`
		Payload    map[string]any    `json:"payload"`
	}
	if err := q.body(&b); err != nil {
		return nil, err
	}
	if b.Deployment == "" || b.Payload == nil {
		return nil, badParameters("Missing deployment_id or payload in json request body")
	}
	d, m, err := s.model(ctx, b.Deployment)
	if err != nil {
		return nil, err
	}
	sc, err := scopeOf(m.Resolved, instancesOf(d, m), b.Context)
	if err != nil {
		return nil, err
	}
	out, err := evaluatePayload(ctx, sc, jsonbody.PlainMap(b.Payload), m.Env)
	if err != nil {
		return nil, err
	}
	return map[string]any{"deployment_id": b.Deployment, "payload": out}, nil
}

func evaluatePayload(ctx context.Context, sc topology.Scope, payload map[string]any, env topology.Env) (map[string]any, error) {
	out := map[string]any{}
	for _, k := range sorted(payload) {
		v, err := topology.Eval(ctx, sc, expression(payload[k]), env)
		if err != nil {
			return nil, refused("functions_evaluation_error", "%s: %v", k, err)
		}
		out[k] = visible(v)
	}
	return out, nil
}

// scopeOf is where SELF, SOURCE and TARGET lead to.
func scopeOf(t *topology.Topology, all []instanceDocument, named map[string]string) (topology.Scope, error) {
	sc := topology.Scope{Topology: t}
	found := map[string]topology.Instance{}
	for role, id := range named {
		if role != "self" && role != "source" && role != "target" {
			return sc, badParameters("Unknown context %s; there are self, source and target", role)
		}
		if id == "" {
			continue
		}
		for _, i := range all {
			if i.ID == id || i.Node == id && found[role].Node == "" { // older clients name the node
				found[role] = i.in
			}
		}
		if found[role].Node == "" {
			return sc, notFound("NodeInstance", id)
		}
	}
	self, ok := found["self"]
	if !ok {
		self = found["source"]
	}
	sc.Node, sc.Instance = t.NodeNamed(self.Node), self.Index
	target, ok := found["target"]
	if !ok || sc.Node == nil {
		return sc, nil
	}
	for _, r := range sc.Node.Relationships {
		if r.Target == target.Node {
			sc.Relationship, sc.TargetInstance = r, target.Index
			return sc, nil
		}
	}
	return sc, badParameters("%s has no relationship to %s", self.Node, target.Node)
}

// expression is the opposite of written: JSON with intrinsic functions in it.
func expression(v any) *topology.Value {
	switch t := v.(type) {
	case []any:
		return &topology.Value{Kind: topology.ListValue, List: expressions(t)}
	case map[string]any:
		if len(t) == 1 {
			for fn, arg := range t {
				if !grammar.IsCloudifyFunction(fn) {
					break
				}
				args, ok := arg.([]any)
				if !ok {
					args = []any{arg}
				}
				return &topology.Value{Kind: topology.CallValue, Call: &topology.Call{Fn: fn, Args: expressions(args)}}
			}
		}
		m := topology.NewValues()
		for _, k := range sorted(t) {
			m.Set(k, expression(t[k]))
		}
		return &topology.Value{Kind: topology.MapValue, Map: m}
	}
	return &topology.Value{Lit: v}
}

func expressions(list []any) []*topology.Value {
	out := make([]*topology.Value, len(list))
	for i, x := range list {
		out[i] = expression(x)
	}
	return out
}
