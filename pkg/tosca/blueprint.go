package tosca

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing/fstest"

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
		if name.IsZero() || said[name.Text] || slices.Contains(have[kind], name.Text) || diag.Suggest(name.Text, have[kind]) != "" {
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

// load resolves one import.
func (b *blueprint) load(from part, im cloudify.Import) {
	ns := from.ns
	if im.Namespace != "" {
		if ns != "" {
			ns += "--"
		}
		ns += im.Namespace
	}
	by := importer{pos: im.Pos, path: im.Path, version: b.version}
	switch name, version, file, isPlugin := cloudify.PluginURL(im.Target); {
	case cloudify.TypesPath(im.Target):
		if im.Namespace != "" {
			b.diags.Errorf(cloudify.CodeImport, im.Pos, "the built-in types have no namespace").Path = im.Path
			return
		}
		b.types = true
		b.builtin("cloudify-types", "", "", "", by)
	case im.Plugin != "":
		b.plugin(im.Plugin, im.Condition, "", ns, im, by)
	case im.Blueprint != "":
		b.imported(ns, im, by)
	case isPlugin && !strings.Contains(file, "blueprint"):
		b.plugin(name, version, file, ns, im, by)
	case strings.Contains(im.Target, "://"):
		b.fetch(from, ns, im, by)
	default:
		b.local(from, ns, im, by)
	}
}

// add reads a file and queues it, once under a namespace.
func (b *blueprint) add(name, root, ns string, library bool, by importer) bool {
	if b.seen[name+"\x00"+ns] {
		return true
	}
	b.seen[name+"\x00"+ns] = true
	n, list := b.o.Memo.ParseFile(b.fs, name, b.displayName(name))
	b.diags.Add(list...)
	if n == nil {
		b.missing, b.lacking = true, true
		return false
	}
	if n.IsNull() {
		return true
	}
	if !n.Is(source.Mapping) {
		b.diags.Errorf(grammar.CodeForm, n.Pos, "the imported document must be a map, not %s", n)
		return false
	}
	if v := n.Get("tosca_definitions_version"); !v.IsNull() && !library && cloudify.Level(v.Str()) == 0 {
		b.diags.Errorf(grammar.CodeVersion, v.At(), "%s is imported by a blueprint, but is none of cloudify_dsl_1_0 to 1_5", b.displayName(name)).Path = "tosca_definitions_version"
		return false
	} else if cloudify.Level(v.Str()) > cloudify.Level(b.version) && !library {
		d := b.diags.Errorf(grammar.CodeVersion, v.At(), "the imported document is of %s, which is newer than the blueprint's %s", v.Str(), b.version)
		d.Path = "tosca_definitions_version"
		d.Related = []diag.Related{{Pos: by.pos, Message: "imported here"}}
	}
	b.queue = append(b.queue, part{node: cloudify.YAML11(n), path: name, ns: ns, root: root, library: library})
	return true
}

// local finds a path: beside the importing file, then beside the main one, in the version's own variant first; then by name in the libraries.
func (b *blueprint) local(from part, ns string, im cloudify.Import, by importer) {
	text := strings.TrimPrefix(im.Target, "file:")
	ext := path.Ext(text)
	variant := strings.TrimSuffix(text, ext) + strings.TrimPrefix(b.version, "cloudify_dsl") + ext
	for _, dir := range []string{path.Dir(from.path), b.dir} {
		for _, t := range []string{variant, text} {
			p := path.Join(dir, t)
			if strings.HasPrefix(p, "../") {
				if b.b.Single && !strings.HasPrefix(from.path, mountDir+"/") {
					n := strings.Count(p, "../")
					b.escaped = max(b.escaped, n)
					return
				}
				continue
			}
			if !fs.ValidPath(p) {
				continue
			}
			if info, err := fs.Stat(b.fs, p); err == nil && !info.IsDir() {
				b.add(p, from.root, ns, from.library, by)
				return
			}
		}
	}
	if b.builtin("", "", path.Base(text), ns, by) {
		return
	}
	b.missing, b.lacking = true, true
	d := b.diags.Errorf("missing-import", im.Pos, "cannot import %s: there is no such file", im.Text)
	d.Path = im.Path
	if p := path.Join(path.Dir(from.path), text); fs.ValidPath(p) {
		d.Hint = b.suggestFile(p)
	}
}

// builtin adds a document of a library: by its name and version condition, or by its file's name.
func (b *blueprint) builtin(name, condition, file, ns string, by importer) bool {
	var best *Provided
	var of *Library
	for _, lib := range b.o.Libraries {
		for i := range lib.Provides {
			p := &lib.Provides[i]
			switch {
			case !p.Cloudify || name != "" && !p.answersName(name) || name == "" && path.Base(p.File) != file:
			case name != "" && condition != "" && !cloudify.Fits(p.version(), exact(condition)):
			case best == nil || cloudify.Compare(p.version(), best.version()) > 0:
				best, of = p, lib
			}
		}
	}
	if best == nil {
		return false
	}
	if best.Partial {
		b.partial = append(b.partial, best.Name)
	}
	prefix := b.fs.mount("plugins", of.Name, of.FS)
	b.display[prefix] = "plugins/" + of.Name + "/"
	for _, f := range append([]string{best.File}, best.filesOf(b.version)...) {
		b.add(path.Join(prefix, f), prefix, ns, true, by)
	}
	return true
}

// exact reads a bare version of a URL ("1.3.17") as a condition that the same major version meets.
func exact(condition string) string {
	if condition != "" && condition[0] >= '0' && condition[0] <= '9' {
		major, _, _ := strings.Cut(condition, ".")
		return "==" + major + ".*"
	}
	return condition
}

func (p *Provided) version() string {
	if len(p.Versions) == 0 {
		return ""
	}
	return p.Versions[0]
}

// filesOf are the further documents of a version of the language.
func (p *Provided) filesOf(version string) []string { return p.With[version] }

// plugin adds a plugin's types: of the import path first, then of the libraries; the highest version that fits, else the highest.
func (b *blueprint) plugin(name, condition, file, ns string, im cloudify.Import, by importer) {
	if file != "" {
		condition = exact(condition) // a URL's version is what was current then
	}
	found := b.pluginPath(name)
	use := func(a *archive) {
		prefix := b.mountArchive(a)
		b.add(path.Join(prefix, a.entryFor(b.version, file)), prefix, ns, true, by)
	}
	found = slices.DeleteFunc(found, func(a *archive) bool { return !b.readable(a, a.entryFor(b.version, file), by) })
	if a := highest(found, condition); a != nil {
		use(a)
		return
	}
	if file != "" && !strings.Contains(file, "plugin") && b.builtin("", "", file, ns, by) || b.builtin(name, condition, "", ns, by) {
		return
	}
	if a := highest(found, ""); a != nil {
		use(a)
	} else if !b.builtin(name, "", "", ns, by) {
		b.missing = true
		d := b.diags.Errorf(cloudify.CodePlugin, im.Pos, "the plugin %s is not here", name)
		d.Path, d.Hint = im.Path, "keep its plugin.yaml as "+name+"/plugin.yaml in a directory that --import-path names"
		return
	}
	d := b.diags.Warnf(cloudify.CodeVersion, im.Pos, "no version of %s that is here meets %q; another is used", name, condition)
	d.Path = im.Path
	for _, a := range found {
		d.Hint = "there is version " + a.version
	}
}

// readable reports a plugin's document that is valid YAML; another version is looked for otherwise.
func (b *blueprint) readable(a *archive, entry string, by importer) bool {
	if a.bad == nil {
		a.bad = map[string]bool{}
	}
	bad, known := a.bad[entry]
	if !known {
		_, list := source.ParseFile(a.fs, entry, a.shown+entry)
		bad = list.HasErrors()
		if a.bad[entry] = bad; bad {
			d := b.diags.Warnf(cloudify.CodePlugin, by.pos, "the plugin's document %s cannot be read: %s", a.shown+entry, list[0].Message)
			d.Path, d.Hint = by.path, "another version of the plugin is used, if there is one"
		}
	}
	return !bad
}

func highest(list []*archive, condition string) *archive {
	var best *archive
	for _, a := range list {
		if cloudify.Fits(a.version, condition) && (best == nil || cloudify.Compare(a.version, best.version) > 0) {
			best = a
		}
	}
	return best
}

// entryFor chooses a plugin's document for a version of the language: the named one, the version's own, else the plain one.
func (a *archive) entryFor(version, file string) string {
	want := "plugin" + strings.TrimPrefix(version, "cloudify_dsl") + ".yaml"
	if other := file != "" && !strings.Contains(file, "plugin"); other && a.files[file] != "" {
		return file // compat.yaml
	}
	for _, f := range []string{want, file, "plugin.yaml", "v2_plugin.yaml"} {
		if f != "" && a.files[f] != "" {
			return f
		}
	}
	return a.entry
}

// imported adds an uploaded blueprint: ID.yaml or ID/blueprint.yaml of the import path, or one of the libraries.
func (b *blueprint) imported(ns string, im cloudify.Import, by importer) {
	for _, a := range b.importDirs() {
		for _, p := range []string{im.Blueprint + ".yaml", im.Blueprint + "/blueprint.yaml"} {
			if !fs.ValidPath(p) {
				continue
			}
			if _, err := fs.Stat(a.fs, p); err == nil {
				b.add(path.Join(b.mountArchive(a), p), path.Dir(path.Join(b.mountArchive(a), p)), ns, false, by)
				return
			}
		}
	}
	for _, lib := range b.o.Libraries {
		for _, p := range lib.Provides {
			if p.Blueprint && p.Name == im.Blueprint {
				file := path.Join(b.fs.mount("blueprints", lib.Name, lib.FS), p.File)
				b.add(file, path.Dir(file), ns, false, by)
				return
			}
		}
	}
	b.missing = true
	d := b.diags.Errorf(cloudify.CodePlugin, im.Pos, "the blueprint %s is not here", im.Blueprint)
	d.Path, d.Hint = im.Path, "keep it as "+im.Blueprint+"/blueprint.yaml in a directory that --import-path names"
}

// fetch reads a document from the network, if that is allowed.
func (b *blueprint) fetch(from part, ns string, im cloudify.Import, by importer) {
	data, err := b.read(im.Target)
	if err != nil {
		b.missing, b.lacking = true, true
		by.pos, by.path = im.Pos, im.Path
		b.unread(im.Target, "blueprint and import that", err, by)
		return
	}
	base := path.Base(im.Target)
	if base == "." || base == "/" || !fs.ValidPath(base) {
		base = "document.yaml"
	}
	prefix := b.fs.mount("network", strings.NewReplacer("/", "_", ":", "_").Replace(im.Target), fstest.MapFS{base: {Data: data}})
	b.display[prefix] = strings.TrimSuffix(im.Target, base)
	b.add(path.Join(prefix, base), from.root, ns, false, by)
}
