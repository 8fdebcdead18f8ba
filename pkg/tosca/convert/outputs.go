package convert

import (
	"slices"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// withOutputs writes attributes that are the output of an operation of the same type as TOSCA 2.0 has it, which has no get_operation_output: the
// operation's output is mapped to the attribute. The type is copied where it changes.
//
//	url: { get_operation_output: [ SELF, Standard, create, URL ] }   →   create: { outputs: { URL: [ SELF, url ] } }
func withOutputs(t *document.Type) *document.Type {
	out := *t
	changed := false
	for i, p := range t.Attributes {
		formula := p.Value
		if formula == nil {
			formula = p.Default
		}
		call := formula.Get("get_operation_output")
		if call == nil || len(formula.Pairs) != 1 || !call.Is(source.Sequence) || len(call.Items) != 4 || call.Items[0].Str() != "SELF" {
			continue
		}
		interfaces, ok := mapOutput(out.Interfaces, call.Items[1].Str(), call.Items[2].Str(), &document.Output{
			Name: document.Name{Text: call.Items[3].Str(), Pos: call.Items[3].Pos}, Pos: call.Items[3].Pos, Target: []string{"SELF", p.Name.Text},
		})
		if !ok {
			continue
		}
		if !changed {
			out.Attributes, changed = slices.Clone(t.Attributes), true
		}
		own := *p
		own.Value, own.Default = nil, nil
		if own.Schema == nil {
			own.Schema = &document.Schema{Type: document.Name{Text: "string", Pos: p.Name.Pos}, Pos: p.Name.Pos, Path: p.Path}
		}
		out.Attributes[i], out.Interfaces = &own, interfaces
	}
	if !changed {
		return t
	}
	return &out
}

// mapOutput adds an output to an operation; false if the interfaces do not define it.
func mapOutput(list []*document.Interface, iface, operation string, o *document.Output) ([]*document.Interface, bool) {
	for i, in := range list {
		if topology.InterfaceName(in.Name.Text) != topology.InterfaceName(iface) {
			continue
		}
		for j, op := range in.Operations {
			if op.Name.Text != operation {
				continue
			}
			own, with := *op, *in
			own.Outputs = append(slices.Clone(op.Outputs), o)
			with.Operations = slices.Clone(in.Operations)
			with.Operations[j] = &own
			list = slices.Clone(list)
			list[i] = &with
			return list, true
		}
	}
	return list, false
}
