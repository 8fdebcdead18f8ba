package resolve

import (
	"github.com/orch-project/orch/pkg/tosca/document"
)

// composites declares the node types that Alien4Cloud makes of topologies with substitution_mappings: called like the archive, derived from the
// mapping's node_type, with the inputs as properties, the outputs as attributes, and the capabilities and requirements that are exposed.
func (r *resolver) composites() {
	for _, f := range r.in.Files {
		t := f.Doc.Topology
		if f == r.in.Root || !f.Doc.Traits.Lenient || t == nil || t.Substitution == nil || t.Substitution.Type.IsZero() || f.Doc.ArchiveName == "" {
			continue
		}
		key := typeKey{document.NodeType, f.Doc.ArchiveName}
		if f.composite == nil {
			if f.types[key] != nil {
				continue // it declares such a type by itself
			}
			f.composite = compositeOf(f)
		}
		f.types[key] = &typ{def: f.composite, file: f}
	}
}

func compositeOf(f *File) *document.Type {
	t := f.Doc.Topology
	def := &document.Type{
		Kind: document.NodeType, Name: document.Name{Text: f.Doc.ArchiveName, Pos: t.Substitution.Type.Pos}, DerivedFrom: t.Substitution.Type,
		Version: f.Doc.ArchiveVersion, Description: t.Description, Abstract: true, Path: t.Substitution.Path, Properties: t.Inputs,
	}
	for _, o := range t.Outputs {
		schema := o.Schema
		if schema == nil {
			schema = &document.Schema{Type: document.Name{Text: "string"}}
		}
		def.Attributes = append(def.Attributes, &document.Param{Name: o.Name, Description: o.Description, Schema: schema, Path: o.Path})
	}
	for _, m := range t.Substitution.Capabilities {
		if c := exposed(f, m, func(t *document.Type) []*document.CapabilityDef { return t.Capabilities }, func(c *document.CapabilityDef) string { return c.Name.Text }); c != nil {
			copied := *c
			copied.Name, copied.Path = m.Name, m.Path
			def.Capabilities = append(def.Capabilities, &copied)
		}
	}
	for _, m := range t.Substitution.Requirements {
		if q := exposed(f, m, func(t *document.Type) []*document.RequirementDef { return t.Requirements }, func(q *document.RequirementDef) string { return q.Name.Text }); q != nil {
			copied := *q
			copied.Name, copied.Path = m.Name, m.Path
			def.Requirements = append(def.Requirements, &copied)
		}
	}
	return def
}

// exposed is the definition of what a mapping leads to, by the nearest type that has it.
func exposed[T any](f *File, m document.Mapping, list func(*document.Type) []T, name func(T) string) (none T) {
	node, feature := target(m)
	for _, n := range f.Doc.Topology.Nodes {
		if n.Name.Text != node {
			continue
		}
		for _, t := range f.Lookup(document.NodeType, n.Type.Text) {
			for _, x := range list(t.Type) {
				if name(x) == feature {
					return x
				}
			}
		}
	}
	return none
}

// stands reports the document of which Alien4Cloud makes the type.
func (f *File) stands(t *typ) bool {
	return f.composite != nil && t.def.Name.Text == f.composite.Name.Text && t.file.Path == f.Path
}
