package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/secret"
)

func isSecret(v any) bool { _, ok := v.(secret.Value); return ok }

// CheckInputs checks the inputs given for a deployment (or a workflow): names, types, constraints, and that nothing required is missing.
// It returns the complete inputs with literal defaults; defaults that are expressions are left to Eval. at gives the place of an input for
// messages and may be nil.
func CheckInputs(params []*Parameter, given map[string]any, at func(name string) diag.Pos) (map[string]any, diag.List) {
	var list diag.List
	if at == nil {
		at = func(string) diag.Pos { return diag.Pos{} }
	}
	known := map[string]*Parameter{}
	var names []string
	for _, p := range params {
		known[p.Name] = p
		names = append(names, p.Name)
	}
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p := known[name]
		if p == nil {
			d := list.Errorf("unknown-input", at(name), "there is no input %q", name)
			if d.Hint = diag.Suggest(name, names); d.Hint == "" && len(names) > 0 && len(names) <= 12 {
				d.Hint = "there are " + strings.Join(names, ", ")
			}
			continue
		}
		before := len(list)
		out[name] = CoerceAt(given[name], p.Schema, name, at(name), &list)
		for i := before; i < len(list); i++ {
			list[i].Message = "input " + list[i].Message
			list[i].Related = append(list[i].Related, diag.Related{Pos: p.Pos, Message: "declared here"})
			if list[i].Pos.IsZero() {
				list[i].Pos = p.Pos
			}
		}
	}
	for _, p := range params {
		if _, ok := out[p.Name]; ok {
			continue
		}
		switch {
		case p.Value != nil:
			if !hasCall(p.Value) {
				out[p.Name] = Plain(p.Value)
			}
		case p.Required:
			d := list.Errorf("missing-input", p.Pos, "the input %q has no value and no default", p.Name)
			d.Hint = fmt.Sprintf("give it with --input %s=…", p.Name)
		}
	}
	return out, list
}
