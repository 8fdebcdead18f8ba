package tosca

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/cloudify"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/grammar"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// blueprint loads a Cloudify blueprint. Its own files are merged into one document, as Cloudify does; plugins and the built-in types stay
// documents of their own, so that their types are resolved only when used.
type blueprint struct {
	*loader
	dir     string // of the main file: scripts are named from there
	version string
	main    *cloudify.Merger
	queue   []part
	seen    map[string]bool
	plugins []part
	// missing are plugins, blueprints and documents that could not be had; lacking are documents among them, whose types nobody knows.
	missing, lacking bool
	// types are the built-in ones, once something has imported them.
	types bool
}

// part is a file on its way into the blueprint, under a namespace.
type part struct {
	node          *source.Node
	path, ns      string
	root          string // directory of the library
	library, main bool
}

// blueprint is called for the root document of a bundle.
func (l *loader) blueprint(n *source.Node, name string, list *diag.List) *resolve.File {
	b := &blueprint{loader: l, dir: path.Dir(name), version: n.Get("tosca_definitions_version").Str(), seen: map[string]bool{name + "\x00": true}}
	if !cloudify.Is(n) {
		b.version = cloudify.Newest
	}
	if !slices.Contains(grammar.Versions(), b.version) {
		return nil
	}
	alone := !cloudify.Is(n)
	n = cloudify.YAML11(n)
	b.main = cloudify.NewMerger(n, list)
	b.queue = []part{{node: n, path: name, main: true}}
	b.drain(list)
	if !b.types {
		b.forgotten(alone, list)
	}
	return b.decode(name, list)
}

// drain reads what is queued, and what that imports.
func (b *blueprint) drain(list *diag.List) {
	for len(b.queue) > 0 && b.ctx.Err() == nil {
		p := b.queue[0]
		b.queue = b.queue[1:]
		if !p.main {
			if p.library {
				b.plugins = append(b.plugins, p)
			} else {
				b.main.Add(cloudify.Namespaced(p.node, p.ns))
				b.merged = append(b.merged, p.path)
			}
		}
		for _, im := range cloudify.Imports(p.node, b.version, list) {
			b.load(p, im)
		}
	}
}

// forgotten adds the built-in types where nothing imports them and something needs them: one finding instead of one for each of their names.
// A document for importing is right without them, and an import that could not be read may have had them.
func (b *blueprint) forgotten(alone bool, list *diag.List) {
	wanted, own := b.builtinsWanted()
	if len(wanted) == 0 {
		return
	}
	before := len(b.plugins)
	b.builtin("cloudify-types", "", "", "", importer{version: b.version})
	b.drain(list)
	have := map[string]bool{}
	for _, p := range b.plugins[before:] {
		for _, section := range []string{"node_types", "relationships"} {
			for _, name := range cloudify.Names(p.node, section) {
				have[name] = true
			}
		}
	}
	i := slices.IndexFunc(wanted, func(n *source.Node) bool { return have[n.Text] })
	if i < 0 {
		b.plugins = b.plugins[:before]
		return
	}
	if alone || b.lacking {
		return
	}
	pos := wanted[i].Pos
	if i >= own {
		pos = b.main.Root.Pos
	}
	d := list.Errorf("missing-import", pos, "nothing imports the built-in types, of which %s is one", wanted[i].Text)
	d.Hint = "add cloudify/types/types.yaml to the imports"
}

// builtinsWanted are the names of Cloudify's that templates and types use and nothing declares; the first own of them are in the blueprint's
// files, the others in plugins'.
func (b *blueprint) builtinsWanted() (out []*source.Node, own int) {
	roots := append([]*source.Node{b.main.Root}, nodesOf(b.plugins)...)
	want := func(section string, n *source.Node) {
		if strings.HasPrefix(n.Str(), "cloudify.") && !slices.ContainsFunc(roots, func(r *source.Node) bool { return r.Get(section).Get(n.Text) != nil }) {
			out = append(out, n)
		}
	}
	for i, root := range roots {
		if i == 1 {
			own = len(out)
		}
		for _, t := range root.Get("node_templates").All() {
			want("node_types", t.Get("type"))
			if rels := t.Get("relationships"); rels.Is(source.Sequence) {
				for _, r := range rels.Items {
					want("relationships", r.Get("type"))
				}
			}
		}
		for _, section := range []string{"node_types", "relationships"} {
			for _, t := range root.Get(section).All() {
				want(section, t.Get("derived_from"))
			}
		}
	}
	if len(roots) == 1 {
		own = len(out)
	}
	return out, own
}

// decode makes the documents: one of the blueprint's own files, one for each library.
func (b *blueprint) decode(name string, list *diag.List) *resolve.File {
	o := grammar.BlueprintOptions{Version: b.version, Incomplete: b.missing, Exists: b.exists}
	for _, n := range append([]*source.Node{b.main.Root}, nodesOf(b.plugins)...) {
		o.Plugins = append(o.Plugins, cloudify.Names(n, "plugins")...)
		o.PolicyTypes = append(o.PolicyTypes, cloudify.Names(n, "policy_types")...)
		o.Triggers = append(o.Triggers, cloudify.Names(n, "policy_triggers")...)
	}
	slices.Sort(o.Plugins)
	o.Plugins = slices.Compact(o.Plugins)
	doc := grammar.DecodeBlueprint(b.main.Root, o, list)
	doc.File = name
	f := &resolve.File{Doc: doc, Path: name, Root: b.dir, Incomplete: b.missing}
	b.files[name] = f
	b.order = append(b.order, f)
	o.Library = true
	for _, p := range b.plugins {
		var quiet diag.List // a plugin's mistakes are its author's
		lib := grammar.DecodeBlueprint(cloudify.Namespaced(p.node, p.ns), o, &quiet)
		b.newer(p, o, list)
		lib.File, lib.Topology = p.path, nil
		e := &resolve.File{Doc: lib, Path: p.path, Root: p.root, Library: true}
		b.order = append(b.order, e)
		f.Imports = append(f.Imports, resolve.Edge{File: e})
	}
	if b.missing {
		b.lacks(f, list)
	}
	return f
}

// newer reports a plugin whose definitions use what the blueprint's version of the language does not have.
func (b *blueprint) newer(p part, o grammar.BlueprintOptions, list *diag.List) {
	if cloudify.Level(b.version) >= 15 || strings.HasPrefix(p.path, mountDir+"/plugins/") {
		return
	}
	var found diag.List
	o.Library, o.Incomplete = false, true
	grammar.DecodeBlueprint(p.node, o, &found)
	for _, d := range found {
		if d.Code == grammar.CodeUnknownKeyname && strings.Contains(d.Hint, "exists from version") {
			d.Message = "the plugin's definitions are for a newer version of the language than the blueprint's: " + d.Message
			list.Add(d)
			return
		}
	}
}

func nodesOf(parts []part) []*source.Node {
	out := make([]*source.Node, len(parts))
	for i, p := range parts {
		out[i] = cloudify.Namespaced(p.node, p.ns)
	}
	return out
}

func (b *blueprint) exists(name string) bool {
	p := path.Join(b.dir, strings.TrimPrefix(name, "/"))
	if !fs.ValidPath(p) {
		return false
	}
	info, err := fs.Stat(b.fs, p)
	return err == nil && !info.IsDir()
}

// lacks names, once each, the types that nothing declares and the secrets that the blueprint needs, when plugins are missing: whoever has to
// find the plugins wants to know it all at once.
func (b *blueprint) lacks(f *resolve.File, list *diag.List) {
	have := map[document.Kind][]string{}
	for _, d := range b.order {
		for _, t := range d.Doc.Types {
			have[t.Kind] = append(have[t.Kind], t.Name.Text)
		}
	}
	said := map[string]bool{}
	need := func(kind document.Kind, name document.Name, docPath string) {
		if name.IsZero() || said[name.Text] || slices.Contains(have[kind], name.Text) || resolve.Misspelt(name.Text, diag.Suggest(name.Text, have[kind])) {
			return // a similar name is reported as a mistake of its own
		}
		said[name.Text] = true
		d := list.Errorf("unknown-type", name.Pos, "unknown %s %q", kind, name.Text)
		d.Path, d.Hint = docPath, "a plugin that is missing may declare it"
	}
	for _, n := range f.Doc.Topology.Nodes {
		need(document.NodeType, n.Type, n.Path+".type")
		for _, r := range n.Requirements {
			need(document.RelationshipType, r.Relationship.Name, r.Path+".type")
		}
	}
	for _, t := range f.Doc.Types {
		need(t.Kind, t.DerivedFrom, t.Path+".derived_from")
	}
	if secrets := cloudify.Secrets(b.main.Root); len(secrets) > 0 {
		list.Add(diag.Diagnostic{Severity: diag.Info, Code: cloudify.CodePlugin, Pos: f.Doc.Pos, Message: "the blueprint needs " + map[bool]string{true: "the secret ", false: "the secrets "}[len(secrets) == 1] + strings.Join(secrets, ", ")})
	}
}
