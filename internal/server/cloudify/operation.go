package cloudify

import (
	"context"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// operationDocument is an operation of a node or relationship.
type operationDocument struct {
	Plugin      string         `json:"plugin"`
	Operation   string         `json:"operation"`
	Executor    string         `json:"executor"`
	Inputs      map[string]any `json:"inputs"`
	HasFuncs    bool           `json:"has_intrinsic_functions"`
	MaxRetries  *int           `json:"max_retries"`
	Interval    *float64       `json:"retry_interval"`
	Timeout     *float64       `json:"timeout"`
	Recoverable *bool          `json:"timeout_recoverable"`
}

const (
	lifecycle = "cloudify.interfaces.lifecycle"
	// scriptTask is what runs scripts.
	scriptPlugin, scriptTask = "script", "script_runner.tasks.run"
)

func atTarget(i *topology.Interface) bool { return strings.HasPrefix(i.Name, topology.TargetEnd) }

// ends are the interfaces of the source and of the target of a relationship.
func ends(list []*topology.Interface) (source, target []*topology.Interface) {
	for _, i := range list {
		if atTarget(i) {
			target = append(target, i)
		} else {
			source = append(source, i)
		}
	}
	return source, target
}

// operationsOf lists operations by their full name, and by their short one where that is clear.
func operationsOf(ctx context.Context, sc topology.Scope, list []*topology.Interface, env topology.Env) map[string]operationDocument {
	out := map[string]operationDocument{}
	short := map[string]int{}
	for _, i := range list {
		for _, op := range i.Operations {
			d := operationOf(ctx, sc, op, env)
			out[topology.CloudifyInterface(i.Name)+"."+op.Name] = d
			short[op.Name]++
		}
	}
	for _, i := range list {
		for _, op := range i.Operations {
			if short[op.Name] == 1 {
				out[op.Name] = out[topology.CloudifyInterface(i.Name)+"."+op.Name]
			}
		}
	}
	return out
}

func operationOf(ctx context.Context, sc topology.Scope, op *topology.Operation, env topology.Env) operationDocument {
	d := operationDocument{Inputs: evaluated(ctx, sc, op.Inputs, env, false), Executor: op.Executor}
	for _, v := range op.Inputs.All() {
		d.HasFuncs = d.HasFuncs || runtimeOnly(v)
	}
	d.Plugin, d.Operation = taskOf(op)
	if op.Implementation != nil && op.Implementation.File != "" {
		d.Inputs["script_path"] = op.Implementation.File
	}
	if op.Retries >= 0 && (op.Retries > 0 || d.Operation != "") {
		n := op.Retries
		d.MaxRetries = &n
	}
	if op.RetryInterval > 0 {
		s := op.RetryInterval.Seconds()
		d.Interval = &s
	}
	if op.Timeout > 0 {
		s := op.Timeout.Seconds()
		d.Timeout = &s
	}
	return d
}

// taskOf is the plugin and the task in it that an operation is mapped to.
func taskOf(op *topology.Operation) (plugin, task string) {
	switch {
	case op == nil:
	case op.Call != "":
		plugin, task, _ = strings.Cut(op.Call, ".")
	case op.Implementation != nil:
		return scriptPlugin, scriptTask
	}
	return plugin, task
}
