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
	"github.com/orch-project/orch/pkg/tosca/grammar"
)

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
	if d.Hint = diag.Suggest(im.Text, []string{"cloudify/types/types.yaml"}); d.Hint != "" {
		return
	}
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
		d.Path = im.Path
		if d.Hint = diag.Suggest(name, b.pluginNames()); d.Hint == "" {
			d.Hint = "keep its plugin.yaml as " + name + "/plugin.yaml in a directory that --import-path names"
		}
		return
	}
	d := b.diags.Warnf(cloudify.CodeVersion, im.Pos, "no version of %s that is here meets %q; another is used", name, condition)
	d.Path = im.Path
	for _, a := range found {
		d.Hint = "there is version " + a.version
	}
}

// pluginNames are the plugins that come with orch.
func (b *blueprint) pluginNames() []string {
	var out []string
	for _, lib := range b.o.Libraries {
		for _, p := range lib.Provides {
			if p.Cloudify && p.Name != "cloudify-types" {
				out = append(out, p.Name)
			}
		}
	}
	return out
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
