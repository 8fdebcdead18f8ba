package cloudify

import (
	"context"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// written is an expression as a blueprint has it: {"get_attribute": ["app", "port"]}.
func written(v *topology.Value) any {
	if v == nil {
		return nil
	}
	switch v.Kind {
	case topology.ListValue:
		return writtenList(v.List)
	case topology.MapValue:
		return writtenMap(v.Map)
	case topology.CallValue:
		if len(v.Call.Args) == 1 {
			return map[string]any{v.Call.Fn: written(v.Call.Args[0])}
		}
		return map[string]any{v.Call.Fn: writtenList(v.Call.Args)}
	}
	return v.Lit
}

func writtenList(list []*topology.Value) []any {
	out := make([]any, len(list))
	for i, x := range list {
		out[i] = written(x)
	}
	return out
}

func writtenMap(m *topology.Values) map[string]any {
	out := map[string]any{}
	for k, v := range m.All() {
		out[k] = written(v)
	}
	return out
}

// evaluated are values as a deployment's plan has them: what its inputs and properties say is computed, what only the running application or
// the secrets store knows stays an expression. With everything, that is computed too, but for secrets.
func evaluated(ctx context.Context, sc topology.Scope, m *topology.Values, env topology.Env, everything bool) map[string]any {
	out := map[string]any{}
	for k, v := range m.All() {
		out[k] = evaluatedValue(ctx, sc, v, env, everything)
	}
	return out
}

func evaluatedValue(ctx context.Context, sc topology.Scope, v *topology.Value, env topology.Env, everything bool) any {
	switch {
	case v == nil:
		return nil
	case v.Kind == topology.ListValue:
		out := make([]any, len(v.List))
		for i, x := range v.List {
			out[i] = evaluatedValue(ctx, sc, x, env, everything)
		}
		return out
	case v.Kind == topology.MapValue:
		return evaluated(ctx, sc, v.Map, env, everything)
	case v.Kind == topology.LitValue:
		return v.Lit
	case env == nil || !everything && runtimeOnly(v):
		return written(v)
	}
	r, err := topology.Eval(ctx, sc, v, env)
	if err != nil || !showable(r) {
		return written(v)
	}
	return r
}

// runtimeOnly reports whether an expression asks for what Cloudify looks up anew each time.
func runtimeOnly(v *topology.Value) bool {
	if v == nil {
		return false
	}
	if v.Kind == topology.CallValue {
		switch v.Call.Fn {
		case "get_attribute", "get_attributes_list", "get_attributes_dict", "get_secret", "get_capability", "get_group_capability", "get_operation_output":
			return true
		}
		for _, a := range v.Call.Args {
			if runtimeOnly(a) {
				return true
			}
		}
	}
	for _, x := range v.List {
		if runtimeOnly(x) {
			return true
		}
	}
	for _, x := range v.Map.All() {
		if runtimeOnly(x) {
			return true
		}
	}
	return false
}

// showable reports whether an evaluated value is known and holds no secret.
func showable(v any) bool {
	switch t := v.(type) {
	case secret.Value, topology.Unknown:
		return false
	case []any:
		for _, x := range t {
			if !showable(x) {
				return false
			}
		}
	case map[string]any:
		for _, x := range t {
			if !showable(x) {
				return false
			}
		}
	}
	return true
}

// visible is an evaluated value as it may be shown: what is not known is null, secrets are masked.
func visible(v any) any {
	return topology.MapLeaves(v, func(leaf any) any {
		switch leaf.(type) {
		case secret.Value:
			return secret.Mask
		case topology.Unknown:
			return nil
		}
		return leaf
	})
}
