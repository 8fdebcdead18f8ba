package resolve

import (
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// substitute is a node with the document whose topology template stands in for it (TOSCA 1.3 §2.11, TOSCA 2.0 §15).
type substitute struct {
	n    *node
	file *File
}

// nesting is how a template came to be resolved: the documents whose templates it is inside of, and what they may still add.
type nesting struct {
	files  []*File
	budget *int
}

// substitutes chooses templates for the nodes that ask for one by a directive, and for those whose type nobody implements.
func (r *resolver) substitutes() []substitute {
	candidates := r.templates()
	var out []substitute
	for _, n := range r.list {
		if n.typ == nil || n.typ.broken || n.typ.def.Name.Text == "" {
			continue
		}
		asked := slices.ContainsFunc(n.Directives, func(d string) bool { return strings.HasPrefix(d, "substitut") })
		if !asked && (len(candidates) == 0 || !r.unimplemented(n)) {
			continue
		}
		fits, refused := r.fitting(n, candidates, asked)
		if len(fits) == 0 && asked && r.in.nest != nil {
			fits, _ = r.fitting(n, append(slices.Clone(r.in.nest.files[1:]), r.in.Root), true) // to say that it does not end
		}
		if len(fits) == 0 {
			if asked {
				r.unsubstituted(n, refused)
			}
			continue
		}
		if len(fits) > 1 {
			names := make([]string, len(fits))
			for i, f := range fits {
				names[i] = f.Doc.Pos.File
			}
			r.warnf("ambiguous-substitution", n.Pos, n.def.Path, "%d topology templates can stand in for %s; the first is taken: %s", len(fits), n.Name, strings.Join(names, ", ")).Hint =
				"import only the one that is meant, or tell them apart by substitution_filter"
		}
		out = append(out, substitute{n, fits[0]})
	}
	return out
}

// templates are the other documents that offer their topology template for a node type.
func (r *resolver) templates() []*File {
	var out []*File
	for _, f := range r.in.Files {
		if t := f.Doc.Topology; !r.inside(f) && t != nil && t.Substitution != nil && !t.Substitution.Type.IsZero() {
			out = append(out, f)
		}
	}
	return out
}

// inside reports a document whose template is being resolved: it cannot stand in for a part of itself.
func (r *resolver) inside(f *File) bool {
	return f == r.in.Root || r.in.nest != nil && slices.Contains(r.in.nest.files, f)
}

// unimplemented reports a node whose type is abstract, or is no normative one and has no implemented operation: in TOSCA 1.x it can only
// exist by substitution. TOSCA 2.0 creates what has no directive.
func (r *resolver) unimplemented(n *node) bool {
	traits := r.in.Root.Doc.Traits
	switch {
	case n.typ.def.Abstract:
		return true
	case len(n.Directives) > 0 || traits.Strict || traits.Open || traits.Lenient || strings.HasPrefix(n.typ.def.Name.Text, "tosca."):
		return false
	}
	for _, i := range n.Interfaces {
		for _, o := range i.Operations {
			if o.Implementation != nil || o.Call != "" {
				return false
			}
		}
	}
	return true
}

// fitting are the templates for a node: of its very type first, then of derived ones. refused are those whose filter it does not pass.
func (r *resolver) fitting(n *node, candidates []*File, asked bool) (fits, refused []*File) {
	for _, f := range candidates {
		if f.stands(n.typ) {
			return []*File{f}, nil
		}
	}
	for _, exact := range []bool{true, false} {
		if !exact && !asked {
			break
		}
		for _, f := range candidates {
			if f.Doc.Topology == nil || f.Doc.Topology.Substitution == nil {
				continue
			}
			// Types are compared by name: a document of the import path has its own copy of the declarations.
			def, name := f.Doc.Topology.Substitution, n.typ.def.Name.Text
			t := f.lookup(document.NodeType, def.Type.Text)
			if t == nil || !r.link(t).chain.Is(name) || (t.def.Name.Text == name) != exact {
				continue
			}
			if def.Filter != nil && !r.passes(n, def.Filter, f) {
				refused = append(refused, f)
				continue
			}
			fits = append(fits, f)
		}
		if len(fits) > 0 {
			break
		}
	}
	return fits, refused
}

// unsubstituted reports a node that asks for a template where there is none. It is a warning: the document may be part of something larger.
func (r *resolver) unsubstituted(n *node, refused []*File) {
	d := r.warnf("no-substitution", n.Pos, n.def.Path+".directives", "no topology template can stand in for %s (%s)", n.Name, n.typ.def.Name.Text)
	d.Hint = "import a document whose substitution_mappings have node_type: " + n.typ.def.Name.Text + ", or name its directory by --import-path"
	for _, f := range refused {
		d.Hint = "its properties must pass the substitution_filter"
		d.Related = append(d.Related, diag.Related{Pos: f.Doc.Topology.Substitution.Filter.Pos, Message: "this filter refuses it"})
	}
	r.top.Unfulfilled = append(r.top.Unfulfilled, topology.Unfulfilled{Node: n.Name, Requirement: "substitution", Pos: n.Pos})
}

// nested resolves the template of a document that stands in for n. nil: it was reported why not.
func (r *resolver) nested(s substitute) *resolver {
	nest := r.in.nest
	if nest == nil {
		if r.nest == nil {
			budget := maxSubstituted
			r.nest = &nesting{budget: &budget}
		}
		nest = r.nest
	}
	inside := append(slices.Clone(nest.files), r.in.Root)
	if at := slices.Index(inside, s.file); at >= 0 {
		var names []string
		for _, f := range append(inside[at:], s.file) {
			names = append(names, path.Base(f.Path))
		}
		r.errorf("substitution-cycle", s.n.Pos, s.n.def.Path, "%s is substituted by a template that it is part of: %s", s.n.Name, strings.Join(names, " → "))
		return nil
	}
	if *nest.budget -= len(s.file.Doc.Topology.Nodes) + 1; *nest.budget < 0 {
		if *nest.budget += maxSubstituted; *nest.budget >= 0 { // said once
			r.errorf("substitution-cycle", s.n.Pos, s.n.def.Path, "substitution makes more than %d nodes", maxSubstituted).Hint = "templates that use each other several times grow like powers"
		}
		*nest.budget = -2 * maxSubstituted
		return nil
	}
	in := r.in
	in.Root, in.nest, in.Name = s.file, &nesting{files: inside, budget: nest.budget}, s.n.Name
	library := s.file.Library
	s.file.Library = false // what a template lacks is its user's business
	defer func() { s.file.Library = library }()
	var found diag.List
	sub := newResolver(in, &found)
	sub.resolve()
	r.addNew(found)
	return sub
}

// maxSubstituted bounds the nodes that substitution adds.
const maxSubstituted = 10_000

// addNew takes over findings, without those that another use of the same template gave already.
func (r *resolver) addNew(found diag.List) {
	if len(found) == 0 {
		return
	}
	key := func(d diag.Diagnostic) string { return d.Code + "\x00" + d.Pos.String() + "\x00" + d.Message }
	have := make(map[string]bool, len(*r.diags))
	for _, d := range *r.diags {
		have[key(d)] = true
	}
	for _, d := range found {
		if !have[key(d)] {
			r.diags.Add(d)
		}
	}
}
