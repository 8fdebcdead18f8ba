package cloudify

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// workflowDocument is a workflow of a deployment.
type workflowDocument struct {
	Name       string                    `json:"name"`
	Plugin     string                    `json:"plugin"`
	Operation  string                    `json:"operation"`
	Parameters map[string]parameterModel `json:"parameters"`
	Cascading  bool                      `json:"is_cascading"`
	Available  bool                      `json:"is_available"`
	Rules      map[string]any            `json:"availability_rules"`
}

// parameterModel declares a parameter of a workflow, or an input.
type parameterModel map[string]any

// builtin is a workflow that every deployment has.
type builtin struct {
	task       string
	parameters []builtinParameter
	// active says in which parts of its instances being started (all, partial, none) a deployment has it; nil: always.
	active []string
}

type builtinParameter struct {
	name, kind string
	def        any
	required   bool
}

// selection is by which instances are chosen; ordered also says whether targets of relationships come before their sources.
var selection = []builtinParameter{{"type_names", "list", []any{}, false}, {"node_ids", "list", []any{}, false}, {"node_instance_ids", "list", []any{}, false}}

func ordered(byDefault bool, own ...builtinParameter) []builtinParameter {
	return slices.Concat(own, []builtinParameter{{"run_by_dependency_order", "boolean", byDefault, false}}, selection)
}

// operationInputs are those of the operations that a workflow runs.
func operationInputs(name string) builtinParameter {
	return builtinParameter{name, "", map[string]any{}, false}
}

// builtins are Cloudify's own workflows as far as orch has them, as cloudify/types/types.yaml declares them.
var builtins = map[string]builtin{
	"install":   {"cloudify.plugins.workflows.install", nil, []string{"none", "partial"}},
	"uninstall": {"cloudify.plugins.workflows.uninstall", []builtinParameter{{"ignore_failure", "boolean", false, false}, {"recursive", "boolean", false, false}}, []string{"all", "partial"}},
	"start":     {"cloudify.plugins.workflows.start", ordered(true, operationInputs("operation_parms")), []string{"all", "partial"}},
	"stop":      {"cloudify.plugins.workflows.stop", ordered(true, operationInputs("operation_parms")), []string{"all", "partial"}},
	"pull":      {"cloudify.plugins.workflows.pull", ordered(true, operationInputs("operation_parms")), nil},
	"restart":   {"cloudify.plugins.workflows.restart", ordered(true, operationInputs("stop_parms"), operationInputs("start_parms")), []string{"all", "partial"}},
	"execute_operation": {"cloudify.plugins.workflows.execute_operation", ordered(false, builtinParameter{"operation", "string", nil, true},
		operationInputs("operation_kwargs"), builtinParameter{"allow_kwargs_override", "boolean", nil, false}), nil},
	"reinstall": {"cloudify.plugins.workflows.reinstall", append([]builtinParameter{{"ignore_failure", "boolean", false, false}}, selection...), []string{"all", "partial"}},
	"rollback":  {"cloudify.plugins.workflows.rollback", append([]builtinParameter{{"full_rollback", "boolean", false, false}}, selection...), []string{"none", "partial"}},
	"heal": {"cloudify.plugins.workflows.auto_heal_reinstall_node_subgraph", append([]builtinParameter{{"node_instance_id", "string", nil, false},
		{"diagnose_value", "string", "Not provided", false}, {"ignore_failure", "boolean", true, false}, {"check_status", "boolean", true, false},
		{"allow_reinstall", "boolean", true, false}, {"force_reinstall", "boolean", false, false}}, selection...), nil},
	// There are no agents: these say so and end well, as scripts of Cloudify's users expect.
	"install_new_agents": {"cloudify.plugins.workflows.install_new_agents", []builtinParameter{{"install_agent_timeout", "integer", int64(300), false},
		{"node_ids", "list", []any{}, false}, {"node_instance_ids", "list", []any{}, false}, {"install_methods", "list", nil, false}, {"validate", "boolean", true, false},
		{"install", "boolean", true, false}, {"manager_ip", "string", nil, false}, {"manager_certificate", "string", nil, false}, {"stop_old_agent", "boolean", false, false}}, []string{"all", "partial"}},
	"validate_agents": {"cloudify.plugins.workflows.validate_agents", []builtinParameter{{"node_ids", "list", []any{}, false}, {"node_instance_ids", "list", []any{}, false},
		{"install_methods", "list", nil, false}}, []string{"all", "partial"}},
	"check_status": {"cloudify.plugins.workflows.check_status", ordered(false), nil},
	"check_drift":  {"cloudify.plugins.workflows.check_drift", ordered(true), nil},
	"scale": {"cloudify.plugins.workflows.scale", []builtinParameter{{"scalable_entity_name", "string", nil, true}, {"delta", "integer", int64(1), false},
		{"scale_compute", "boolean", false, false}, {"include_instances", "list", nil, false}, {"exclude_instances", "list", nil, false},
		{"ignore_failure", "boolean", false, false}, {"rollback_if_failed", "boolean", true, false}, {"abort_started", "boolean", false, false}},
		[]string{"all", "partial"}},
}

// activity is which part of a deployment's instances is started: all, partial or none.
func activity(all []instanceDocument) string {
	n := 0
	for _, i := range all {
		if i.State == "started" {
			n++
		}
	}
	switch {
	case n == 0:
		return "none"
	case n == len(all):
		return "all"
	}
	return "partial"
}

// ruled reports whether workflows of a blueprint are only available at times: Cloudify's types have such rules from version 1.4 on.
func ruled(t *topology.Topology) bool {
	_, minor, ok := strings.Cut(t.Dialect, "cloudify_dsl_1_")
	n, err := strconv.Atoi(minor)
	return ok && err == nil && n >= 4
}

func workflowsOf(t *topology.Topology, active string) []workflowDocument {
	out := []workflowDocument{}
	for _, name := range slices.Sorted(maps.Keys(builtins)) {
		if _, own := t.Workflows[name]; own {
			continue
		}
		b := builtins[name]
		w := workflowDocument{Name: name, Plugin: "default_workflows", Operation: b.task, Parameters: map[string]parameterModel{}, Available: true, Rules: map[string]any{}}
		for _, p := range b.parameters {
			w.Parameters[p.name] = p.model()
		}
		if b.active != nil && ruled(t) {
			w.Rules["node_instances_active"] = b.active
			w.Available = slices.Contains(b.active, active)
		}
		out = append(out, w)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Workflows)) {
		wf := t.Workflows[name]
		w := workflowDocument{Name: name, Parameters: map[string]parameterModel{}, Available: wf.Call == "" || wf.BuiltIn() != "", Rules: map[string]any{}, Operation: "orch." + name, Plugin: "orch"}
		if wf.Call != "" {
			w.Plugin, w.Operation, _ = strings.Cut(wf.Call, ".")
		}
		for _, p := range wf.Inputs {
			w.Parameters[p.Name] = modelOf(p)
		}
		out = append(out, w)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (p builtinParameter) model() parameterModel {
	m := parameterModel{}
	if p.kind != "" {
		m["type"] = p.kind
	}
	if !p.required {
		m["default"] = p.def
	}
	return m
}

// modelOf declares an input or a parameter.
func modelOf(p *topology.Parameter) parameterModel {
	m := parameterModel{}
	if p.Description != "" {
		m["description"] = p.Description
	}
	if p.Schema != nil && p.Schema.Type.Name() != "" && p.Schema.Type.Name() != "any" {
		m["type"] = p.Schema.Type.Name()
	}
	if p.Value != nil {
		m["default"] = written(p.Value)
	}
	m["required"] = p.Required
	return m
}

// checkParameters fills in defaults and checks names and types, as Cloudify does before it starts an execution.
func (b builtin) checkParameters(workflow string, given map[string]any, custom bool) (map[string]any, error) {
	out := map[string]any{}
	for _, p := range b.parameters {
		v, ok := given[p.name]
		if (!ok || v == nil) && p.required {
			return nil, refused("illegal_execution_parameters_error", "Workflow \"%s\" must be provided with the following parameters to execute: %s", workflow, p.name)
		}
		if !ok {
			v = p.def
		}
		conv, ok := convert(v, p.kind)
		if !ok {
			return nil, refused("illegal_execution_parameters_error", "Parameter \"%s\" must be of type %s", p.name, p.kind)
		}
		out[p.name] = conv
	}
	var foreign []string
	for name, v := range given {
		if !slices.ContainsFunc(b.parameters, func(p builtinParameter) bool { return p.name == name }) {
			foreign = append(foreign, name)
			out[name] = v
		}
	}
	if len(foreign) > 0 && !custom {
		slices.Sort(foreign)
		return nil, refused("illegal_execution_parameters_error", "Workflow \"%s\" does not have the following parameters declared: %s. Remove these parameters or use the flag for allowing custom parameters",
			workflow, strings.Join(foreign, ","))
	}
	return out, nil
}

// convert reads texts as what a parameter is to be: "12" is 12, "true" is true.
func convert(v any, kind string) (any, bool) {
	if v == nil {
		return nil, true
	}
	s, isText := v.(string)
	switch kind {
	case "integer":
		switch t := v.(type) {
		case int64, int:
			return t, true
		case float64:
			return int64(t), t == float64(int64(t))
		}
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		return n, isText && err == nil
	case "float":
		switch t := v.(type) {
		case float64, int64, int:
			return t, true
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		return n, isText && err == nil
	case "boolean":
		if b, ok := v.(bool); ok {
			return b, true
		}
		b, err := parseBool("", s)
		return b, isText && s != "" && err == nil
	case "string":
		return fmt.Sprint(v), !isComposite(v)
	case "list":
		if isText { // one name
			return []any{s}, true
		}
		l, ok := v.([]any)
		return l, ok
	}
	return v, true
}

func isComposite(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}
