// Package convert writes a document of one dialect, with everything that it imports, as one document of another.
//
// It works on documents, not on the resolved topology: types stay types and functions stay functions, so that the result can be worked on.
// Every type that the document uses is written out, under its own name; files keep their places. What the other dialect cannot say is
// reported where the source says it, and left out.
package convert

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/grammar"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// Codes of this package.
const (
	CodeLost   = "not-expressible"
	CodeTarget = "no-conversion"
)

func init() {
	diag.Register(
		diag.Code{ID: CodeLost, Title: "The other dialect cannot say this", Text: "A conversion leaves out what the dialect that it writes has no words for, such as conditions of 1.x's triggers in TOSCA 2.0 or Alien4Cloud's abstract types in TOSCA 1.3. The finding names the place in the source. What the document means without it may differ; `orch validate --normal-form` shows what. Of Cloudify's blueprints functions of plugins, workflows that are code and scripts in the document have no words in TOSCA."},
		diag.Code{ID: CodeTarget, Title: "There is no conversion between these dialects", Text: "Documents are converted to tosca_simple_yaml_1_3 and tosca_2_0: those of the TOSCA family (TOSCA 1.0 to 2.0, Alien4Cloud's, Yorc's) and blueprints of Cloudify."},
	)
}

// Targets are the dialects that can be written.
var Targets = []string{"tosca_simple_yaml_1_3", "tosca_2_0"}

// Input of To.
type Input struct {
	// Root is the document, loaded with what it imports; Topology is what it means, with the files that it names.
	Root     *resolve.File
	Topology *topology.Topology
}

// To writes the document in a target dialect. The list says what was lost, by places of the source; nil is returned if nothing can be written.
func To(target string, in Input) (*source.Node, diag.List) {
	c := newConverter(target, in)
	doc := in.Root.Doc
	if !slices.Contains(Targets, target) || doc.Traits.Open && c.v2 {
		c.diags.Errorf(CodeTarget, doc.Pos, "%s cannot be converted to %s", doc.Version, target).Hint = "see `orch explain " + CodeTarget + "`"
		return nil, c.diags
	}
	if o := grammar.OutlineOf(target); o != nil {
		c.functions = o.Functions
	}
	write := func(c *converter) *source.Node {
		if doc.Traits.Open {
			return c.blueprintDocument(doc)
		}
		return c.document(doc)
	}
	write(c) // finds the types that are written and what templates do with them
	c.fit()
	again := newConverter(target, in)
	again.functions, again.fitted, again.ops, again.loose = c.functions, c.fitted, c.ops, c.loose
	out := write(again)
	again.circles()
	again.hosts()
	return out, again.diags.Sorted()
}

func newConverter(target string, in Input) *converter {
	return &converter{
		Input: in, target: target, v2: target == "tosca_2_0", names: map[*document.Type]string{}, taken: map[string]*document.Type{}, ops: map[string][]string{},
		defined: map[*document.Function]string{}, ctx: map[string]bool{}, central: map[string]bool{}, fitted: newFitting(), stubs: map[string]*document.Type{},
	}
}

type converter struct {
	Input
	target    string
	v2        bool
	functions []string
	diags     diag.List
	// names of the types that are written, taken by kind and name; queue are those to be written.
	names map[*document.Type]string
	taken map[string]*document.Type
	queue []resolve.Declared
	// ops are the operations of interfaces that have no type in the source, by the interface's name, in the order in which they were met.
	ops    map[string][]string
	loose  []string
	fitted *fitting
	// bp is the blueprint that is written, of which scripts that use ctx and nodes without a server are named once; nil for documents of TOSCA.
	bp           *blueprint
	ctx, central map[string]bool
	// defined are the documents' own functions that are written, calls those that still have to be.
	defined map[*document.Function]string
	calls   []definedFunction
	// flowInputs are the inputs of the workflow that is being written.
	flowInputs []*document.Param
	// written are the types of the result, in the order in which they are met.
	written []resolve.Declared
	// stubs are types that nobody declares, which the source's dialect lets through.
	stubs map[string]*document.Type
	// What is said once: renamed types, types that get a root, requirements that get a relationship.
	renamed, rooted, plain bool
}

// lost reports what cannot be said.
func (c *converter) lost(pos diag.Pos, at, format string, args ...any) {
	c.diags.Warnf(CodeLost, pos, "%s cannot be said in %s", fmt.Sprintf(format, args...), c.target).Path = at
}

// m is a map under construction: nil values are left out.
type m struct{ n *source.Node }

func newMap() m { return m{&source.Node{Kind: source.Mapping, Tag: "!!map"}} }

func (x m) put(key string, v *source.Node) {
	if v != nil {
		x.n.Pairs = append(x.n.Pairs, source.Pair{Key: plain(key), Value: v})
	}
}

func (x m) text(key, v string) {
	if v != "" {
		x.put(key, str(v))
	}
}

// or is the map, or nil if it is empty.
func (x m) or() *source.Node {
	if len(x.n.Pairs) == 0 {
		return nil
	}
	return x.n
}

func plain(s string) *source.Node { return &source.Node{Kind: source.Scalar, Tag: "!!str", Text: s} }

func str(s string) *source.Node {
	return &source.Node{Kind: source.Scalar, Tag: "!!str", Text: s, Quoted: !bare(s)}
}

// bareWord is a text that every reader of YAML takes for one without quotes; words of YAML itself are none.
var bareWord = regexp.MustCompile(`^[A-Za-z_][-A-Za-z0-9_./]*$`)

func bare(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf":
		return false
	}
	return bareWord.MatchString(s)
}

func num(n int64) *source.Node {
	return &source.Node{Kind: source.Scalar, Tag: "!!int", Text: fmt.Sprint(n)}
}

func flag(b bool) *source.Node {
	return &source.Node{Kind: source.Scalar, Tag: "!!bool", Text: fmt.Sprint(b)}
}

func seq(items ...*source.Node) *source.Node {
	return &source.Node{Kind: source.Sequence, Tag: "!!seq", Items: items}
}

func one(key string, v *source.Node) *source.Node {
	x := newMap()
	x.put(key, v)
	return x.n
}

func texts(list []string) *source.Node {
	if len(list) == 0 {
		return nil
	}
	n := seq()
	for _, t := range list {
		n.Items = append(n.Items, str(t))
	}
	return n
}

func metadata(md map[string]string) *source.Node {
	x := newMap()
	for _, k := range sortedKeys(md) {
		x.put(k, str(md[k]))
	}
	return x.or()
}

func sortedKeys[V any](md map[string]V) []string {
	keys := make([]string, 0, len(md))
	for k := range md {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (c *converter) document(doc *document.Document) *source.Node {
	out := newMap()
	out.text("tosca_definitions_version", c.target)
	md := map[string]string{}
	for k, v := range doc.Metadata {
		md[k] = v
	}
	for k, v := range map[string]string{"template_name": doc.ArchiveName, "template_version": doc.ArchiveVersion} {
		if v != "" {
			md[k] = v
		}
	}
	out.put("metadata", metadata(md))
	out.text("description", doc.Description)
	out.put("repositories", c.repositories())
	for _, t := range doc.Types { // the document's own types, used or not
		c.use(resolve.Declared{Type: t, File: c.Root})
	}
	section := "topology_template"
	if c.v2 {
		section = "service_template"
	}
	body := c.topology(doc.Topology)
	for _, t := range c.fitted.used {
		c.use(t)
	}
	for _, fn := range doc.Functions {
		c.define(c.Root, fn)
	}
	functions := newMap()
	sections := make([]m, document.Kinds)
	for i := range sections {
		sections[i] = newMap()
	}
	for len(c.queue) > 0 || len(c.calls) > 0 { // types call functions, and functions name types
		c.types(sections)
		c.definitions(functions)
	}
	types := make([]*source.Node, len(sections))
	for i, x := range sections {
		types[i] = x.or()
	}
	types[document.InterfaceType] = c.looseInterfaces(types[document.InterfaceType])
	for kind, n := range types {
		out.put(document.Kind(kind).Section(), n)
	}
	out.put("functions", functions.or())
	out.put(section, body)
	return out.n
}

func (c *converter) repositories() *source.Node {
	out := newMap()
	seen := map[string]bool{}
	queue, visited := []*resolve.File{c.Root}, map[*resolve.File]bool{}
	for len(queue) > 0 {
		f := queue[0]
		queue = queue[1:]
		if visited[f] {
			continue
		}
		visited[f] = true
		for _, r := range f.Doc.Repositories {
			if f.Library || seen[r.Name.Text] {
				continue
			}
			seen[r.Name.Text] = true
			x := newMap()
			x.text("url", r.URL)
			if r.Credential != nil {
				if c.v2 {
					c.lost(r.Name.Pos, "repositories."+r.Name.Text, "the credential of the repository %s", r.Name.Text)
				} else {
					x.put("credential", c.value(f, r.Credential, nil))
				}
			}
			out.put(r.Name.Text, x.n)
		}
		for _, e := range f.Imports {
			queue = append(queue, e.File)
		}
	}
	return out.or()
}

// ref is how a type is called in the result; it will be written, too.
func (c *converter) ref(f *resolve.File, kind document.Kind, name document.Name) string {
	if name.IsZero() {
		return ""
	}
	chain := f.Lookup(kind, name.Text)
	switch {
	case len(chain) > 0:
		return c.use(chain[0])
	case !f.Doc.Traits.Lenient || kind == document.DataType && topology.IsPrimitive(name.Text):
		return name.Text // a type of the language itself
	}
	key := kind.Section() + "\x00" + name.Text
	if c.stubs[key] == nil {
		c.lost(name.Pos, "", "that nobody declares the %s %s: an empty one is written; it", kind, name.Text)
		c.stubs[key] = &document.Type{Kind: kind, Name: name}
	}
	return c.use(resolve.Declared{Type: c.stubs[key], File: c.Root})
}

// use has a type written and returns its name.
func (c *converter) use(t resolve.Declared) string {
	if name, ok := c.names[t.Type]; ok {
		return name
	}
	name := t.Name.Text
	if own := c.normative(t); own != "" {
		c.names[t.Type] = own
		if !c.renamed {
			c.renamed = true
			c.diags.Warnf(CodeLost, c.Root.Doc.Pos, "the types of the profile org.oasis-open.simple become the normative ones of TOSCA 1.3 that they stand for")
		}
		return own
	}
	key := section(t) + "\x00" + name
	if other := c.taken[key]; other != nil && other != t.Type {
		ns := strings.TrimSuffix(path.Base(t.File.Path), path.Ext(t.File.Path))
		name = ns + "." + name
		c.diags.Warnf(CodeLost, t.Name.Pos, "two %ss are called %s; this one becomes %s", t.Kind, t.Name.Text, name).Path = t.Path
		key = section(t) + "\x00" + name
	}
	c.taken[key] = t.Type
	c.names[t.Type] = name
	if !c.native(t) {
		c.queue = append(c.queue, t)
		c.written = append(c.written, t)
	}
	return name
}

// Section of a declared type.
func section(t resolve.Declared) string { return t.Kind.Section() }

// scalarUnits are TOSCA 1.3's own types that the profile for TOSCA 2.0 defines.
var scalarUnits = map[string]string{"Size": "scalar-unit.size", "Time": "scalar-unit.time", "Frequency": "scalar-unit.frequency", "Bitrate": "scalar-unit.bitrate"}

// normative is the type of TOSCA 1.3 that a type of the profile for TOSCA 2.0 stands for, "" for none.
func (c *converter) normative(t resolve.Declared) string {
	if c.v2 || !t.File.Library || !strings.HasSuffix(t.File.Path, "/tosca/types/2.0.yaml") {
		return ""
	}
	if t.Kind == document.DataType && scalarUnits[t.Name.Text] != "" {
		return scalarUnits[t.Name.Text]
	}
	return t.Metadata["tosca_name"]
}

// native reports a type that every document of the target has.
func (c *converter) native(t resolve.Declared) bool {
	return !c.v2 && t.File.Library && t.File.Doc.Version == c.target && strings.HasPrefix(t.Name.Text, "tosca.") && strings.HasSuffix(t.File.Path, "/types/1.3.yaml")
}

// types writes the queue until nothing new is used, each into the section of its kind.
func (c *converter) types(sections []m) {
	for len(c.queue) > 0 {
		t := c.queue[0]
		c.queue = c.queue[1:]
		sections[t.Kind].put(c.names[t.Type], c.typeDef(t))
	}
}

// file is an artifact's file, seen from the root document.
func (c *converter) file(f *resolve.File, name document.Name, at string) string {
	if name.IsZero() || f == c.Root || strings.Contains(name.Text, "://") || path.IsAbs(name.Text) {
		return name.Text
	}
	for _, dir := range []string{path.Dir(f.Path), f.Root} {
		p := path.Join(dir, name.Text)
		if !fs.ValidPath(p) {
			continue
		}
		if _, err := fs.Stat(c.Topology.Files, p); err != nil {
			continue
		}
		if strings.HasPrefix(p, ".orch/") {
			c.lost(name.Pos, at, "the file %s of an archive that is imported", name.Text)
			return name.Text
		}
		return relative(path.Dir(c.Root.Path), p)
	}
	return name.Text
}

// relative is a path seen from a directory; both are below the same root.
func relative(dir, p string) string {
	if dir == "." {
		return p
	}
	from, to := strings.Split(dir, "/"), strings.Split(p, "/")
	for len(from) > 0 && len(to) > 1 && from[0] == to[0] {
		from, to = from[1:], to[1:]
	}
	return strings.Repeat("../", len(from)) + strings.Join(to, "/")
}
