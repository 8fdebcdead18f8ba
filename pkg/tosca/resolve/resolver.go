package resolve

import (
	"maps"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// resolver holds what is known while a topology is made.
type resolver struct {
	in    Input
	diags *diag.List
	top   *topology.Topology

	suggestions int

	active   int      // types being flattened
	deriving int      // types being linked to their ancestors
	saidDeep bool     // that types derive too deep
	later    []func() // completions of recursive data types

	list         []*node
	byName       map[string]*node
	byType       map[typeKey][]*node
	relTemplates map[string]*document.RelationshipTemplate
	groups       map[string]*topology.Group
	calls        []call
	filters      map[filterKey]topology.Constraint
	checked      map[filterOf]bool
	signed       map[*document.Function]*topology.Function
	conditions   map[*document.NodeFilter]*topology.Value // parsed, nil for what is malformed

	// requiredInputs are the placeholders of operation inputs that need a value.
	requiredInputs map[*topology.Value]bool

	stat map[string]bool // files looked for
	used map[string]bool // files found

	chosen   []substitute // what stands in for which node
	expanded map[string]*expansion
	nest     *nesting // of the root document's substitutions
}

// Resolve makes the topology of the root document. It is never nil; with errors in diags it is a best effort that must not be deployed.
func Resolve(in Input, diags *diag.List) *topology.Topology { return newResolver(in, diags).resolve() }

func newResolver(in Input, diags *diag.List) *resolver {
	return &resolver{
		in: in, diags: diags, top: &topology.Topology{},
		byName: map[string]*node{}, groups: map[string]*topology.Group{}, relTemplates: map[string]*document.RelationshipTemplate{},
		filters: map[filterKey]topology.Constraint{}, conditions: map[*document.NodeFilter]*topology.Value{}, signed: map[*document.Function]*topology.Function{}, checked: map[filterOf]bool{}, requiredInputs: map[*topology.Value]bool{}, stat: map[string]bool{}, used: map[string]bool{},
	}
}

func (r *resolver) resolve() *topology.Topology {
	in, doc := r.in, r.in.Root.Doc
	r.top.Name, r.top.Version = doc.ArchiveName, doc.ArchiveVersion
	if r.top.Name == "" {
		r.top.Name = in.Name
	}
	r.top.Description, r.top.Dialect, r.top.Metadata, r.top.Order = doc.Description, doc.Version, doc.Metadata, doc.Traits.Order
	r.top.Entry, r.top.Files = in.Root.Path, in.FS
	for _, f := range in.Files {
		r.index(f)
		f.root = in.Root
	}
	r.composites()
	if in.nest == nil {
		r.functions()
		r.duplicateTypes()
		r.types() // a template that stands in for a node is one of the files that are checked already
	}
	if doc.Topology != nil {
		r.topology(doc.Topology)
	}
	r.checkCalls()
	r.chosen = r.substitutes()
	r.expand()
	r.missing()
	r.unmatchedByMistake()
	r.top.Sources = slices.Sorted(maps.Keys(r.used))
	r.top.Sources = append(r.top.Sources, sourceFiles(in.Files)...)
	slices.Sort(r.top.Sources)
	r.top.Sources = slices.Compact(r.top.Sources)
	return r.top
}

// types resolves every type of the user's own documents, so that mistakes in unused ones are found, too.
func (r *resolver) types() {
	for _, f := range r.in.Files {
		if f.Library {
			continue
		}
		for _, def := range f.Doc.Types {
			t := f.types[typeKey{def.Kind, def.Name.Text}]
			if t.def == def {
				r.flatten(t)
			}
		}
	}
}

// topology resolves the template's parts in the order in which they need each other.
func (r *resolver) topology(t *document.Topology) {
	if t.Description != "" {
		r.top.Description = t.Description
	}
	for k, v := range t.Metadata {
		if r.top.Metadata == nil {
			r.top.Metadata = map[string]string{}
		}
		r.top.Metadata[k] = v
	}
	r.inputs(t)
	r.relationshipTemplates(t)
	r.nodes(t)
	for _, n := range r.list {
		r.bind(n)
	}
	r.unusedTemplates(t)
	r.outputMappings()
	r.operationInputs()
	r.cycles()
	r.allocations()
	r.groupTemplates(t)
	r.operationHosts()
	r.policies(t)
	r.workflows(t)
	r.outputs(t)
	r.published(t)
	if t.Substitution != nil {
		r.substitution(t.Substitution)
	}
}

func (r *resolver) relationshipTemplates(t *document.Topology) {
	for _, def := range t.Relationships {
		r.relTemplates[def.Name.Text] = def
		r.typeRef(r.in.Root, document.RelationshipType, def.Type, def.Path+".type")
	}
}

func (r *resolver) parameter(ctx *context, def *document.Param, required bool) *topology.Parameter {
	def = expandShort(def, false)
	p := &topology.Parameter{Name: def.Name.Text, Description: def.Description, Pos: def.Name.Pos, Mapping: def.Mapping, Required: required}
	if def.Required != nil {
		p.Required = *def.Required
	}
	p.Schema = r.schema(ctx.file, def.Schema)
	switch {
	case def.Value != nil && !def.Value.IsNull():
		p.Value = r.value(ctx, def.Value, p.Schema, def.Path+".value")
	case def.Default != nil && !def.Default.IsNull():
		p.Value = r.value(ctx, def.Default, p.Schema, def.Path+".default")
	}
	return p
}

func (r *resolver) inputs(t *document.Topology) {
	ctx := &context{file: r.in.Root}
	for _, def := range t.Inputs {
		p := r.parameter(ctx, def, true)
		if def.Schema == nil || def.Schema.Type.IsZero() && !r.in.Root.Doc.Traits.Lenient {
			if r.in.Root.Doc.Traits.Strict && def.Schema == nil && p.Value == nil {
				r.errorf("missing-keyname", def.Name.Pos, def.Path, "the input %s has no type", def.Name.Text)
			}
		}
		r.top.Inputs = append(r.top.Inputs, p)
	}
	for _, a := range t.InputArtifacts {
		art := r.artifact(ctx, a)
		r.top.Inputs = append(r.top.Inputs, &topology.Parameter{
			Name: a.Name.Text, Description: a.Description, Pos: a.Name.Pos, Value: topology.Lit(art.File), Schema: &topology.Schema{Type: topology.Type{"string"}},
		})
	}
}

func (r *resolver) outputs(t *document.Topology) {
	ctx := &context{file: r.in.Root}
	for _, def := range t.Outputs {
		r.top.Outputs = append(r.top.Outputs, r.parameter(ctx, def, false))
	}
}

// published resolves what a Cloudify blueprint publishes beside its outputs.
func (r *resolver) published(t *document.Topology) {
	r.top.OpenAttributes, r.top.HostLookup = r.in.Root.Doc.Traits.Open, r.in.Root.Doc.Traits.HostLookup
	ctx := &context{file: r.in.Root}
	for _, s := range []struct {
		defs []*document.Param
		into *[]*topology.Parameter
	}{
		{t.Capabilities, &r.top.Capabilities}, {t.Labels, &r.top.Labels}, {t.BlueprintLabels, &r.top.BlueprintLabels},
		{t.ResourceTags, &r.top.ResourceTags}, {t.Settings, &r.top.Settings},
	} {
		for _, def := range s.defs {
			*s.into = append(*s.into, r.parameter(ctx, def, false))
		}
	}
}

// cycles reports nodes that need each other in a circle, with the path, once per circle.
func (r *resolver) cycles() {
	state := make(map[*node]int, len(r.list))
	for _, n := range r.list {
		if state[n] == 0 {
			r.visit(n, state)
		}
	}
}

// visit is a depth-first search with an explicit stack: chains of nodes may be long.
func (r *resolver) visit(start *node, state map[*node]int) {
	type frame struct {
		n    *node
		next int
	}
	stack := []frame{{n: start}}
	state[start] = 1
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(top.n.Relationships) {
			state[top.n] = 2
			stack = stack[:len(stack)-1]
			continue
		}
		rel := top.n.Relationships[top.next]
		top.next++
		to := r.byName[rel.Target]
		switch {
		case to == nil:
		case state[to] == 0:
			state[to] = 1
			stack = append(stack, frame{n: to})
		case state[to] == 1:
			text, ordered := "", true
			for _, f := range stack {
				if text != "" || f.n == to {
					rel := f.n.Relationships[f.next-1]
					text += f.n.Name + " -" + rel.Name + "→ "
					ordered = ordered && Ordered(rel.Type)
				}
			}
			r.nodeCycle(rel, top.n, text+to.Name, ordered)
		}
	}
}

// Ordered reports a relationship whose standard semantics is that the target comes first.
func Ordered(t topology.Type) bool {
	return t.Is("tosca.relationships.DependsOn") || t.Is("tosca.relationships.HostedOn") || t.Is("tosca.relationships.ConnectsTo") ||
		t.Is("tosca.relationships.AttachesTo")
}

// nodeCycle is an error where the standard orders every relationship of the circle and the order is generated. A document that brings its own
// workflows, or relationship types of its own, may be meant so; deploying with a generated order will refuse it.
func (r *resolver) nodeCycle(rel *topology.Relationship, n *node, path string, ordered bool) {
	d := diag.Diagnostic{
		Code: "node-cycle", Pos: rel.Pos, Path: n.def.Path + ".requirements", Message: "nodes depend on each other in a circle: " + path,
		Hint: "one of these relationships has to go: a node can only be created after the nodes it depends on",
	}
	if !ordered || r.in.Root.Doc.Traits.Lenient {
		d.Severity = diag.Warning
	}
	r.diags.Add(d)
}

// sourceFiles are the user's own documents.
func sourceFiles(files []*File) []string {
	var out []string
	for _, f := range files {
		if !f.Library {
			out = append(out, f.Path)
		}
	}
	return out
}
