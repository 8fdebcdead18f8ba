package cloudify

import (
	"context"

	"github.com/orch-project/orch/pkg/topology"
)

// planOf is what Cloudify's parser makes of a blueprint.
func planOf(ctx context.Context, t *topology.Topology) map[string]any {
	inputs := map[string]any{}
	for _, p := range t.Inputs {
		inputs[p.Name] = modelOf(p)
	}
	nodes := []map[string]any{}
	for _, n := range t.Nodes {
		d := staticNode(ctx, t, n, nil, false)
		nodes = append(nodes, map[string]any{"name": n.Name, "id": n.Name, "type": d.Type, "type_hierarchy": d.Hierarchy, "properties": d.Properties, "operations": d.Operations,
			"relationships": d.Relationships, "host_id": d.Host, "plugins": d.Plugins, "plugins_to_install": d.ToInstall,
			"capabilities": map[string]any{"scalable": map[string]any{"properties": scalableOf(n)}}})
	}
	workflows := map[string]any{}
	for _, w := range workflowsOf(t, "none") {
		workflows[w.Name] = w
	}
	return map[string]any{"description": t.Description, "metadata": orEmptyMap(t.Metadata), "inputs": inputs, "outputs": definitions(t.Outputs),
		"capabilities": definitions(t.Capabilities), "nodes": nodes, "workflows": workflows, "groups": groupsOf(t), "scaling_groups": scalingGroupsOf(t, nil),
		"policy_types": map[string]any{}, "policy_triggers": map[string]any{}, "policies": map[string]any{}, "deployment_plugins_to_install": []any{},
		"workflow_plugins_to_install": []any{}, "host_agent_plugins_to_install": []any{}, "labels": labelDefinitions(t.Labels),
		"blueprint_labels": labelDefinitions(t.BlueprintLabels), "resource_tags": definitionsOf(t.ResourceTags), "deployment_settings": definitionsOf(t.Settings),
		"imported_blueprints": []any{}, "namespaces_mapping": map[string]any{}, "data_types": map[string]any{}, "requirements": map[string]any{"secrets": orEmpty(secretsOf(t))},
		"dsl_version": t.Dialect}
}

func scalableOf(n *topology.Node) map[string]any {
	count := any(int64(1))
	if n.Count != nil {
		count = written(n.Count)
	}
	return map[string]any{"default_instances": count, "min_instances": 0, "max_instances": -1, "current_instances": count, "planned_instances": count}
}

func labelDefinitions(list []*topology.Parameter) map[string]any {
	out := map[string]any{}
	for _, p := range list {
		out[p.Name] = map[string]any{"values": written(p.Value)}
	}
	return out
}

func definitionsOf(list []*topology.Parameter) map[string]any {
	out := map[string]any{}
	for _, p := range list {
		out[p.Name] = written(p.Value)
	}
	return out
}

func orEmptyMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
