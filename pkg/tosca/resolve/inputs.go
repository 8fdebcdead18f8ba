package resolve

import (
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// operationInputs reports required inputs of operations that have no value: an error in Cloudify, whose workflows give none; a warning in TOSCA
// for the life cycle's operations, because a workflow of the document may give the value.
func (r *resolver) operationInputs() {
	if r.in.Root.Doc.Traits.Lenient {
		return
	}
	for _, n := range r.list {
		if n.typ == nil || n.typ.broken || n.placeholder || r.external(n) {
			continue
		}
		r.emptyInputs(n.Interfaces, n.Name, n.Pos, n.def.Path+".interfaces")
		for _, rel := range n.Relationships {
			r.emptyInputs(rel.Interfaces, n.Name+"."+rel.Name, rel.Pos, n.def.Path+".requirements")
		}
	}
}

func (r *resolver) emptyInputs(in []*topology.Interface, of string, pos diag.Pos, docPath string) {
	open := r.in.Root.Doc.Traits.Open
	for _, i := range in {
		if !open && i.Name != "Standard" && i.Name != "Configure" {
			continue
		}
		for _, o := range i.Operations {
			if o.Implementation == nil && o.Call == "" {
				continue
			}
			for name, v := range o.Inputs.All() {
				if !r.requiredInputs[v] {
					continue
				}
				d := r.errorf("missing-operation-input", pos, docPath+"."+i.Name+"."+o.Name+".inputs."+name,
					"the operation %s.%s of %s has no value for its input %q", i.Name, o.Name, of, name)
				d.Hint = "give the input a value in the template, or a default in the type"
				if !open {
					d.Severity = diag.Warning
				}
				if !v.Pos.IsZero() {
					d.Related = []diag.Related{{Pos: v.Pos, Message: "declared here, required and without default"}}
				}
			}
		}
	}
}

// external nodes go without what they need to be made.
func (r *resolver) external(n *node) bool {
	v := n.Properties.Get(r.in.Root.Doc.Traits.External)
	return v != nil && v.Lit == true || slices.Contains(n.Directives, "select")
}
