package resolve

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// typ is a type with what it inherits.
type typ struct {
	def             *document.Type
	file            *File
	parent          *typ
	chain           topology.Type
	state           int // 0 untouched, 1 members being resolved, 2 done
	linked, linking bool
	// broken: an ancestor is unknown, so what it declares is unknown, too, and nobody should complain about it.
	broken bool

	props, attrs *params
	caps         []*capability
	reqs         []*requirement
	ifaces       []*topology.Interface
	artifacts    []*topology.Artifact
	schema       *topology.Schema // data types

	declared map[string]*topology.Schema
}

// is reports whether a type is, or derives from, another. Normative types are the same in every version of the profile: plugins written
// for one serve documents of another.
func (t *typ) is(o *typ) bool {
	for ; t != nil; t = t.parent {
		if t == o || t.def.Name.Text == o.def.Name.Text && strings.HasPrefix(o.def.Name.Text, "tosca.") {
			return true
		}
	}
	return false
}

// params are declared properties or attributes in order of declaration, the ancestors' first.
type params struct {
	list []*param
	m    map[string]*param
}

type param struct {
	name     string
	schema   *topology.Schema // nil: anything
	required bool
	value    *topology.Value // default or formula
	fixed    bool            // the value cannot be changed (TOSCA 2.0)
	owner    *typ
	def      *document.Param
}

func (p *params) get(name string) *param {
	if p == nil {
		return nil
	}
	return p.m[name]
}

func (p *params) names() []string {
	if p == nil {
		return nil
	}
	out := make([]string, len(p.list))
	for i, x := range p.list {
		out[i] = x.name
	}
	return out
}

func (p *params) set(x *param) {
	if old := p.m[x.name]; old != nil {
		for i := range p.list {
			if p.list[i] == old {
				p.list[i] = x
			}
		}
	} else {
		p.list = append(p.list, x)
	}
	p.m[x.name] = x
}

func (p *params) clone() *params {
	c := &params{m: map[string]*param{}}
	if p != nil {
		for _, x := range p.list {
			c.set(x)
		}
	}
	return c
}

// schemas of declared names.
func (p *params) schemas() map[string]*topology.Schema {
	if p == nil {
		return nil
	}
	out := make(map[string]*topology.Schema, len(p.list))
	for _, x := range p.list {
		out[x.name] = x.schema
	}
	return out
}

// typeRef looks a type up and resolves it. A name that is not there is reported; the result is then nil. Node types are only linked to
// their ancestors, because they refer to each other: flatten them where their members are needed.
func (r *resolver) typeRef(f *File, kind document.Kind, name document.Name, docPath string) *typ {
	if name.IsZero() {
		return nil
	}
	t := f.lookup(kind, name.Text)
	if t == nil {
		r.unknownType(f, kind, name, docPath)
		return nil
	}
	if kind == document.NodeType {
		return r.link(t)
	}
	return r.flatten(t)
}

// Misspelt tells whether a name is the suggested one misspelt rather than one that a missing import would have declared: a name without a
// namespace (up to the last dot), or of the same one; others are alike by chance.
func Misspelt(name, suggestion string) bool {
	_, near, _ := strings.Cut(suggestion, `"`)
	near, _, _ = strings.Cut(near, `"`)
	space := name[:strings.LastIndexByte(name, '.')+1]
	return near != "" && (space == "" || near[:strings.LastIndexByte(near, '.')+1] == space)
}

func (r *resolver) unknownType(f *File, kind document.Kind, name document.Name, docPath string) {
	similar := r.suggest(name.Text, func() []string {
		if names := f.typeNames(kind); kind == document.DataType {
			return append(names, topology.Primitives()...)
		} else {
			return names
		}
	})
	if f.incomplete() && !Misspelt(name.Text, similar) {
		return // the missing import is the mistake
	}
	severity := diag.Error
	if f.Library || kind == document.ArtifactType && f.Doc.Traits.Lenient {
		// What libraries lack is their authors' business; Alien4Cloud and Yorc never look artifact types up.
		severity = diag.Warning
	}
	r.diags.Add(diag.Diagnostic{Severity: severity, Code: "unknown-type", Pos: name.Pos, Path: docPath, Message: fmt.Sprintf("unknown %s %q", kind, name.Text)})
	d := &(*r.diags)[len(*r.diags)-1]
	for k := range document.Kinds {
		if k != kind && f.lookup(k, name.Text) != nil {
			d.Hint = fmt.Sprintf("there is a %s of that name", k)
		}
	}
	if other := inOtherLanguages[strings.ToLower(name.Text)]; d.Hint == "" && kind == document.DataType && other != "" {
		if f.Doc.Traits.Open && (other == "map" || name.Text == "map") {
			other = "dict"
		}
		similar = "did you mean " + strconv.Quote(other) + "?"
	}
	if d.Hint == "" {
		d.Hint = similar
	}
	if d.Hint == "" && f.Doc.Traits.Strict && strings.HasPrefix(name.Text, "tosca") {
		d.Hint = "TOSCA 2.0 has no types of its own: import the profile that declares it"
	}
	if d.Hint == "" {
		d.Hint = "declare it under " + kind.Section() + " or import the file that does"
	}
}

// inOtherLanguages are names of TOSCA's primitive types elsewhere.
var inOtherLanguages = map[string]string{
	"int": "integer", "long": "integer", "bool": "boolean", "str": "string", "text": "string", "double": "float", "number": "float", "decimal": "float",
	"array": "list", "dict": "map", "object": "map", "hash": "map", "datetime": "timestamp", "date": "timestamp",
}

// link finds a type's ancestors, once.
func (r *resolver) link(t *typ) *typ {
	if t.linked {
		return t
	}
	t.linked, t.linking = true, true
	t.chain = topology.Type{t.def.Name.Text}
	if name := t.def.Metadata["tosca_name"]; name != "" && t.file.Library {
		// A profile's type says which normative type it is, so that what knows Compute by its full name (mappings, lifecycles) knows it, too.
		t.chain = append(t.chain, name)
	}
	p := r.findParent(t)
	if p != nil && p.linking {
		r.errorf("type-cycle", t.def.Name.Pos, t.def.Path, "the %s %s derives from itself: %s", t.def.Kind, t.def.Name.Text, r.cyclePath(t))
		t.broken, p = true, nil
	}
	if r.deriving++; r.deriving > maxAncestors && p != nil {
		r.tooDeep(t)
		p = nil // following it would only take long
	} else if p != nil && len(r.link(p).chain) >= maxAncestors {
		r.tooDeep(t)
		p = nil
	}
	r.deriving--
	if p != nil {
		t.parent = p
		t.chain = append(t.chain, p.chain...)
		t.broken = t.broken || p.broken
	}
	if alias := standard2[t.def.Name.Text[strings.LastIndexAny(t.def.Name.Text, ".:")+1:]]; alias != "" && t.def.Kind == document.RelationshipType && t.file.Doc.Traits.Strict {
		if !t.chain.Is(alias) {
			t.chain = append(t.chain, alias)
		}
	}
	t.linking = false
	return t
}

// tooDeep reports a type with more ancestors than anybody means, once: what is kept of each type grows with them.
func (r *resolver) tooDeep(t *typ) {
	t.broken = true
	if !r.saidDeep {
		r.saidDeep = true
		r.errorf("type-depth", t.def.Name.Pos, t.def.Path, "the %s %s has more than %d ancestors", t.def.Kind, t.def.Name.Text, maxAncestors).Hint = "derive from a type further up"
	}
}

// standard2 gives TOSCA 2.0's relationship types, which have no normative names, the semantics of the Simple Profile's by their usual names.
var standard2 = map[string]string{
	"HostedOn": "tosca.relationships.HostedOn", "DependsOn": "tosca.relationships.DependsOn", "ConnectsTo": "tosca.relationships.ConnectsTo",
	"AttachesTo": "tosca.relationships.AttachesTo", "RoutesTo": "tosca.relationships.RoutesTo", "LinksTo": "tosca.relationships.network.LinksTo",
	"BindsTo": "tosca.relationships.network.BindsTo",
}

// flatten resolves a type's members over those of its ancestors, once.
func (r *resolver) flatten(t *typ) *typ {
	if t.state != 0 {
		return t
	}
	r.link(t)
	if t.parent != nil {
		r.flatten(t.parent)
	}
	t.state = 1
	r.active++
	defer r.settle()
	if t.def.Kind == document.DataType {
		r.dataType(t)
	} else {
		r.members(t)
	}
	t.state = 2
	return t
}

// settle completes schemas of data types that contain themselves, once no type is half done.
func (r *resolver) settle() {
	if r.active--; r.active == 0 {
		later := r.later
		r.later = nil // what is flattened meanwhile settles on its own
		for _, f := range later {
			f()
		}
	}
}

func (r *resolver) cyclePath(t *typ) string {
	names := []string{t.def.Name.Text}
	for p := t.file.lookup(t.def.Kind, t.def.DerivedFrom.Text); p != nil && p != t && len(names) < 20; p = p.file.lookup(p.def.Kind, p.def.DerivedFrom.Text) {
		names = append(names, p.def.Name.Text)
	}
	return strings.Join(append(names, t.def.Name.Text), " → ")
}

// findParent looks the parent up; a type that derives from nothing has its dialect's root type for parent.
func (r *resolver) findParent(t *typ) *typ {
	from := t.def.DerivedFrom
	if t.def.Kind == document.DataType && topology.IsPrimitive(from.Text) {
		if own := t.file.types[typeKey{document.DataType, from.Text}]; own == nil {
			return nil // the primitive is the end of the chain
		}
	}
	if from.IsZero() {
		root := t.file.Doc.Traits.Roots[t.def.Kind]
		if root == "" || root == t.def.Name.Text {
			return nil
		}
		if p := t.file.lookup(t.def.Kind, root); p != t {
			return p
		}
		return nil
	}
	p := t.file.lookup(t.def.Kind, from.Text)
	if p == nil {
		r.unknownType(t.file, t.def.Kind, from, t.def.Path+".derived_from")
		t.broken = true
	}
	return p
}

// members flattens everything but data types.
func (r *resolver) members(t *typ) {
	var from typ
	if t.parent != nil {
		from = *t.parent
	}
	t.props = r.declare(t, from.props, t.def.Properties, "property")
	t.attrs = r.declare(t, from.attrs, t.def.Attributes, "attribute")
	t.declared = t.props.schemas()
	switch t.def.Kind {
	case document.NodeType:
		t.caps = r.capabilities(t, from.caps)
		t.reqs = r.requirements(t, from.reqs)
	case document.CapabilityType:
		r.typeRefs(t.file, t.def.ValidSourceTypes, t.def.Path+".valid_source_types", document.NodeType)
		r.typeRefs(t.file, t.def.ValidRelationshipTypes, t.def.Path+".valid_relationship_types", document.RelationshipType)
	case document.RelationshipType:
		r.typeRefs(t.file, t.def.ValidTargetTypes, t.def.Path+".valid_target_types", document.CapabilityType, document.NodeType)
		r.typeRefs(t.file, t.def.ValidCapabilityTypes, t.def.Path+".valid_capability_types", document.CapabilityType)
	case document.PolicyType:
		r.typeRefs(t.file, t.def.Targets, t.def.Path+".targets", document.NodeType, document.GroupType)
	case document.GroupType:
		r.typeRefs(t.file, t.def.Members, t.def.Path+".members", document.NodeType, document.GroupType)
	}
	t.artifacts = r.typeArtifacts(t, from.artifacts)
	if t.def.Kind == document.InterfaceType {
		t.ifaces = r.interfaceType(t, from.ifaces)
	} else {
		t.ifaces = r.typeInterfaces(t, from.ifaces)
	}
}

// typeRefs checks a list of types, each of one of the kinds.
func (r *resolver) typeRefs(f *File, names []document.Name, docPath string, kinds ...document.Kind) {
next:
	for _, n := range names {
		for _, k := range kinds {
			if f.lookup(k, n.Text) != nil {
				continue next
			}
		}
		if f.Doc.Traits.Lenient {
			continue
		}
		r.unknownType(f, kinds[0], n, docPath)
	}
}

// declare merges a type's own definitions over the inherited ones. A redefinition refines: it may set a default, add constraints and
// choose a derived data type.
func (r *resolver) declare(t *typ, inherited *params, defs []*document.Param, what string) *params {
	if len(defs) == 0 && inherited != nil {
		return inherited
	}
	out := inherited.clone()
	for _, def := range defs {
		out.set(r.refine(t, out.get(def.Name.Text), def, what))
	}
	return out
}

func (r *resolver) refine(t *typ, old *param, def *document.Param, what string) *param {
	p := &param{name: def.Name.Text, required: true, owner: t, def: def}
	if t.file.Doc.Traits.Replace {
		old = nil
	}
	def = expandShort(def, old != nil)
	if old != nil {
		p.required, p.value, p.fixed = old.required, old.value, old.fixed
	}
	if def.Required != nil {
		p.required = *def.Required
	}
	if what == "attribute" {
		p.required = false
	}
	if old == nil && !t.broken && (def.Schema == nil || def.Schema.Type.IsZero()) && def.Value == nil && !def.Misspelt && !t.file.Doc.Traits.Lenient && !t.file.Doc.Traits.Open {
		r.errorf("missing-keyname", def.Name.Pos, def.Path, "the %s %s has no type", what, def.Name.Text)
	}
	p.schema = r.refinement(t.file, def.Schema, old != nil)
	if old != nil && old.schema != nil {
		p.schema = r.refinedSchema(t, old, p.schema, def, what)
	}
	if old != nil && old.fixed && (def.Default != nil || def.Value != nil) {
		d := r.errorf("refinement", def.Name.Pos, def.Path, "the %s %s has a fixed value, which cannot be refined", what, def.Name.Text)
		d.Related = []diag.Related{{Pos: old.def.Name.Pos, Message: "fixed here"}}
	}
	ctx := &context{file: t.file, inType: t}
	if def.Default != nil {
		p.value = r.value(ctx, def.Default, p.schema, def.Path+".default")
		if def.Default.IsNull() {
			p.value = nil
		}
	}
	if def.Default == nil && t.file.Doc.Traits.Replace && what == "property" && fillable(p.schema, 0) {
		// A structure whose fields all have defaults, or need none, has a value without being given one.
		p.value = r.value(ctx, &source.Node{Kind: source.Mapping, Tag: "!!map", Pos: def.Name.Pos}, p.schema, def.Path)
	}
	if def.Value != nil {
		p.value, p.fixed = r.value(ctx, def.Value, p.schema, def.Path+".value"), what == "property"
	}
	return p
}

// fillable reports a structured type that needs nothing to be given.
func fillable(s *topology.Schema, depth int) bool {
	if s == nil || len(s.Fields) == 0 || depth > 8 {
		return false
	}
	for _, f := range s.Fields {
		if f.Required && f.Default == nil && !fillable(f.Schema, depth+1) {
			return false
		}
	}
	return true
}

// expandShort reads a scalar in place of a definition: the type of a new parameter, the fixed value of a refined one.
func expandShort(def *document.Param, refined bool) *document.Param {
	if def.Short == nil {
		return def
	}
	full := *def
	if refined {
		full.Value = def.Short
	} else {
		full.Schema = &document.Schema{Type: document.Name{Text: def.Short.Text, Pos: def.Short.Pos}, Pos: def.Short.Pos, Path: def.Path}
	}
	full.Short = nil
	return &full
}

func (r *resolver) refinedSchema(t *typ, old *param, s *topology.Schema, def *document.Param, what string) *topology.Schema {
	switch {
	case s == nil || len(s.Type) == 0:
		return mergeSchema(old.schema, s)
	case s.Type.Is(old.schema.Type.Name()) || old.schema.Type.Name() == "any":
	case t.file.Doc.Traits.Lenient:
		if s.Primitive() != old.schema.Primitive() {
			r.warnf("refinement", def.Name.Pos, def.Path, "the %s %s changes its type from %s to %s", what, def.Name.Text, old.schema, s)
		}
		return s
	default:
		d := r.errorf("refinement", def.Name.Pos, def.Path, "the %s %s cannot change its type from %s to %s", what, def.Name.Text, old.schema, s)
		d.Hint = "use the same type or one derived from it"
		if old.def != nil {
			d.Related = []diag.Related{{Pos: old.def.Name.Pos, Message: "first declared here"}}
		}
		if loose(t, old.owner) {
			d.Severity = diag.Warning
		}
		return s
	}
	merged := *s
	if s.Type.Name() == old.schema.Type.Name() {
		merged.Constraints = append(append([]topology.Constraint{}, old.schema.Constraints...), s.Constraints...)
		merged.Validation = append(append([]*topology.Value{}, old.schema.Validation...), s.Validation...)
	}
	merged.Entry, merged.Key = mergeSchema(old.schema.Entry, s.Entry), mergeSchema(old.schema.Key, s.Key)
	return &merged
}

// loose reports a type that may give what it inherits from owner another type: documents of TOSCA 1.x redefine the properties, attributes,
// capabilities and requirements of the normative types as they need, and no tool of theirs minds.
func loose(t, owner *typ) bool {
	return !t.file.Doc.Traits.Strict && owner != nil && owner.file.Library
}

// mergeSchema lays a refinement over a schema: what has no type of its own keeps the old one's and adds its conditions.
func mergeSchema(old, s *topology.Schema) *topology.Schema {
	switch {
	case s == nil || s == old:
		return old
	case old == nil || len(s.Type) > 0:
		return s
	}
	merged := *old
	merged.Constraints = append(append([]topology.Constraint{}, old.Constraints...), s.Constraints...)
	merged.Validation = append(append([]*topology.Value{}, old.Validation...), s.Validation...)
	merged.Entry, merged.Key = mergeSchema(old.Entry, s.Entry), mergeSchema(old.Key, s.Key)
	return &merged
}
