package resolve

import (
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// unusedTemplates checks the relationship templates that no requirement uses; the others are checked where they are.
func (r *resolver) unusedTemplates(t *document.Topology) {
	used := map[string]bool{}
	for _, n := range r.list {
		for _, rel := range n.Relationships {
			used[rel.Template] = true
		}
	}
	for _, def := range t.Relationships {
		typ := r.typeRefOnce(document.RelationshipType, def.Type)
		if used[def.Name.Text] || typ == nil {
			continue
		}
		ctx := &context{file: r.in.Root, inType: typ}
		of := "the relationship template " + def.Name.Text
		r.assign(ctx, typ.props, def.Properties, "property", of, def.Path+".properties", typ.broken)
		r.assign(ctx, typ.attrs, def.Attributes, "attribute", of, def.Path+".attributes", typ.broken)
	}
}

// outputMappings checks that operations' outputs go to attributes that exist, once for each mapping.
func (r *resolver) outputMappings() {
	if r.in.Root.Doc.Traits.Lenient || r.in.Root.Doc.Traits.Open {
		return
	}
	seen := map[diag.Pos]bool{}
	for _, n := range r.list {
		if n.typ == nil || n.typ.broken {
			continue
		}
		for _, i := range n.Interfaces {
			for _, o := range i.Operations {
				for _, m := range o.Outputs {
					if !seen[m.Pos] {
						seen[m.Pos] = true
						r.outputMapping(n, o, m)
					}
				}
			}
		}
	}
}

func (r *resolver) outputMapping(n *node, o *topology.Operation, m topology.OutputMapping) {
	if len(m.Target) < 2 || m.Target[0] != "SELF" {
		return
	}
	attrs, name, of := n.typ.attrs, m.Target[1], n.Name
	if attrs.get(name) != nil || n.typ.props.get(name) != nil {
		return
	}
	if c := findCapability(n.typ.caps, name); c != nil && len(m.Target) > 2 {
		if c.typ == nil || c.typ.broken || c.attrs.get(m.Target[2]) != nil || c.props.get(m.Target[2]) != nil {
			return
		}
		attrs, name, of = c.attrs, m.Target[2], n.Name+"'s capability "+c.name
	} else if len(m.Target) > 2 && (hasRequirement(n.typ.reqs, name) || name == "CAPABILITY" || name == "RELATIONSHIP") {
		return
	}
	d := r.errorf("unknown-attribute", m.Pos, n.def.Path+".interfaces", "the output %s of %s.%s goes to the attribute %q, which %s does not have", m.Output, o.Interface, o.Name, name, of)
	if d.Hint = diag.Suggest(name, attrs.names()); d.Hint == "" {
		d.Hint = hintList("it has", attrs.names())
	}
}

// duplicateTypes warns of types of the same kind and name that several imported documents declare: which one is meant depends on the order.
func (r *resolver) duplicateTypes() {
	first := map[typeKey]*typ{}
	for _, at := range r.in.Root.reachable() {
		if at.file.Library {
			continue
		}
		for _, def := range at.file.Doc.Types {
			k := typeKey{def.Kind, at.prefix + def.Name.Text}
			t := at.file.types[typeKey{def.Kind, def.Name.Text}]
			switch have := first[k]; {
			case have == nil:
				first[k] = t
			case have != t && have.def != def && t.def == def:
				d := r.warnf("duplicate-type", def.Name.Pos, def.Path, "the %s %s is declared in two documents; the other one is used", def.Kind, k.name)
				d.Related = []diag.Related{{Pos: have.def.Name.Pos, Message: "declared here, too"}}
				d.Hint = "rename one, or import one of the documents with a namespace"
			}
		}
	}
}
