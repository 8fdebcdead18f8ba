package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// match finds the one node that fits; none or several are passed on.
func (r *resolver) match(n *node, w wanted, other func([]*node)) *node {
	var fits []*node
	for _, c := range r.candidates(w) {
		if c != n && r.fits(c, w) {
			fits = append(fits, c)
		}
	}
	if len(fits) == 1 {
		return fits[0]
	}
	other(fits)
	return nil
}

// candidates by type, from an index.
func (r *resolver) candidates(w wanted) []*node {
	if r.byType == nil {
		r.byType = map[typeKey][]*node{}
		for _, n := range r.list {
			seen := map[typeKey]bool{}
			add := func(t *typ) {
				for ; t != nil && t.def.Name.Text != ""; t = t.parent {
					if k := t.key(); !seen[k] {
						seen[k] = true
						r.byType[k] = append(r.byType[k], n)
					}
				}
			}
			if add(n.typ); n.typ != nil {
				for _, c := range n.typ.caps {
					add(c.typ)
				}
			}
		}
	}
	switch {
	case w.node != nil:
		return r.byType[w.node.key()]
	case w.capability != nil:
		return r.byType[w.capability.key()]
	case w.capabilityName != "":
		return r.list
	}
	return nil
}

func (t *typ) key() typeKey { return typeKey{t.def.Kind, t.def.Name.Text} }

func (r *resolver) fits(c *node, w wanted) bool {
	if c.typ == nil || w.node != nil && !c.typ.is(w.node) {
		return false
	}
	if (w.capability != nil || w.capabilityName != "") && r.targetCapability(c, w) == nil {
		return false
	}
	for i, f := range w.filters {
		if !r.passes(c, f, w.filterFiles[i]) {
			return false
		}
	}
	return true
}

// targetCapability chooses the target's capability: by name, else the first of the type.
func (r *resolver) targetCapability(target *node, w wanted) *capability {
	if w.capabilityName != "" {
		if c := findCapability(target.typ.caps, w.capabilityName); c != nil {
			return c
		}
	}
	if w.capability != nil {
		var derived *capability
		for _, c := range target.typ.caps {
			if c.typ == w.capability {
				return c
			}
			if derived == nil && c.typ != nil && c.typ.is(w.capability) {
				derived = c
			}
		}
		return derived
	}
	return nil
}

// unmatched reports an assignment that no node or several nodes fulfil. It is a warning: the orchestrator or another topology may.
func (r *resolver) unmatched(n *node, q *requirement, def *document.Requirement, w wanted, fits []*node) {
	if n.placeholder || q.lower == 0 && def.Node.IsZero() && def.Capability.IsZero() && def.NodeFilter == nil || def.Optional {
		return
	}
	if q.unknown && def.Node.IsZero() {
		return
	}
	d := r.warnf("unfulfilled-requirement", def.Name.Pos, def.Path, "no node fulfils the requirement %s of %s (%s)", def.Name.Text, n.Name, describeWanted(w))
	d.Hint = "name the node template that it needs"
	if len(fits) > 1 {
		names := make([]string, len(fits))
		for i, f := range fits {
			names[i] = f.Name
		}
		d.Message = fmt.Sprintf("several nodes fulfil the requirement %s of %s: %s", def.Name.Text, n.Name, strings.TrimPrefix(hintList("", names), " "))
		d.Hint = "name the node template that is meant"
	}
	r.top.Unfulfilled = append(r.top.Unfulfilled, topology.Unfulfilled{Node: n.Name, Requirement: def.Name.Text, Pos: def.Name.Pos})
}

func describeWanted(w wanted) string {
	var parts []string
	if w.node != nil {
		parts = append(parts, "a node of type "+w.node.def.Name.Text)
	}
	if w.capability != nil {
		parts = append(parts, "a capability of type "+w.capability.def.Name.Text)
	} else if w.capabilityName != "" {
		parts = append(parts, "a capability "+w.capabilityName)
	}
	if len(w.filters) > 0 {
		parts = append(parts, "passing the node filter")
	}
	if len(parts) == 0 {
		return "nothing is said of it"
	}
	return strings.Join(parts, ", ")
}

// meant tells whether an assignment that names no requirement, which has been reported, must have meant this one.
func (r *resolver) meant(n *node, q *requirement) bool {
	return slices.ContainsFunc(n.def.Requirements, func(def *document.Requirement) bool {
		name := def.Requirement.Text
		if name == "" {
			name = def.Name.Text
		}
		return !hasRequirement(n.typ.reqs, name) && diag.Suggest(name, requirementNames(n.typ.reqs)) == diag.Suggest(name, []string{q.name}) && diag.Suggest(name, []string{q.name}) != ""
	})
}

// bindUnassigned fulfils a required requirement that the template does not mention when exactly one node fits.
func (r *resolver) bindUnassigned(n *node, q *requirement, names map[string]int) {
	if n.placeholder || q.unknown || q.lower == 0 || r.meant(n, q) {
		return
	}
	w := wanted{node: q.node, capability: q.capability, capabilityName: q.capabilityName}
	if q.filter != nil {
		w.filters, w.filterFiles = []*document.NodeFilter{q.filter}, []*File{q.owner.file}
	}
	def := &document.Requirement{Name: document.Name{Text: q.name, Pos: n.Pos}, Path: n.def.Path + ".requirements"}
	target := r.match(n, w, func(fits []*node) {
		if r.mapped(n.Name, q.name) {
			return
		}
		d := r.warnf("unfulfilled-requirement", n.Pos, def.Path, "%s does not assign its requirement %s, and no node fulfils it (%s)", n.Name, q.name, describeWanted(w))
		d.Hint = "add a requirement assignment: - " + q.name + ": <node template>"
		if len(fits) > 1 {
			d.Message = fmt.Sprintf("%s does not assign its requirement %s, which %d nodes could fulfil", n.Name, q.name, len(fits))
		}
		d.Related = []diag.Related{{Pos: q.def.Name.Pos, Message: "required here"}}
		r.top.Unfulfilled = append(r.top.Unfulfilled, topology.Unfulfilled{Node: n.Name, Requirement: q.name, Pos: n.Pos})
	})
	if target != nil {
		r.relate(n, q, def, w, target, unique(names, q.name))
	}
}

// unmatchedByMistake forgets requirements that no node fulfils where a mistake in a template or in a type may be why.
func (r *resolver) unmatchedByMistake() {
	if r.in.nest != nil || !slices.ContainsFunc(*r.diags, func(d diag.Diagnostic) bool {
		return d.Severity == diag.Error && d.Code != "unfulfilled-requirement" && (strings.Contains(d.Path, "node_templates.") || strings.Contains(d.Path, "_types."))
	}) {
		return
	}
	*r.diags = slices.DeleteFunc(*r.diags, func(d diag.Diagnostic) bool { return d.Code == "unfulfilled-requirement" && d.Severity == diag.Warning })
}
