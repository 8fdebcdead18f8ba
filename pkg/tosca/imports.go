package tosca

import (
	"fmt"
	"io/fs"
	neturl "net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// imported loads what an import names. Nothing is returned for what cannot be found; that has been reported.
func (l *loader) imported(from *resolve.File, im *document.Import) []resolve.Edge {
	by := importer{pos: im.Pos, path: im.Path, version: from.Doc.Version}
	var f *resolve.File
	switch {
	case im.Internal != "":
		f = l.internal(im.Internal, by)
	case im.Profile != "":
		name, version, _ := strings.Cut(im.Profile, ":")
		f = l.archive(name, version, "profile", by)
	case im.Archive != "" && l.embedded(im) != "":
		p := l.embedded(im)
		f = l.file(p, path.Dir(p), from.Library, by)
	case im.Archive != "":
		f = l.archive(im.Archive, im.ArchiveVersion, "archive", by)
	case strings.Contains(im.File, "://"):
		f = l.fetched(im.File, by)
	case !im.Repository.IsZero():
		f = l.fromRepository(from, im, by)
	default:
		f = l.relative(from, im, by)
	}
	if f == nil {
		return nil
	}
	if f.Doc.Traits.Implicit != "" && from.Doc.Traits.Implicit != "" || im.Namespace != "" {
		return []resolve.Edge{{File: f, Prefix: im.Namespace}}
	}
	return []resolve.Edge{{File: f}}
}

// embedded finds an archive inside the bundle: Alien4Cloud's deployment archives hold each one they need under name/version/.
func (l *loader) embedded(im *document.Import) string {
	dir := path.Join(im.Archive, im.ArchiveVersion)
	if !fs.ValidPath(dir) || im.ArchiveVersion == "" {
		return ""
	}
	entries, err := fs.ReadDir(l.b.FS, dir)
	if err != nil {
		return ""
	}
	found := ""
	for _, e := range entries {
		if ext := path.Ext(e.Name()); !e.IsDir() && (ext == ".yml" || ext == ".yaml") {
			if found != "" {
				return ""
			}
			found = path.Join(dir, e.Name())
		}
	}
	return found
}

func (l *loader) relative(from *resolve.File, im *document.Import, by importer) *resolve.File {
	if dir := l.remoteDir(from.Path); dir != "" { // beside a document of the network
		if base, err := neturl.Parse(dir); err == nil {
			if ref, err := base.Parse(im.File); err == nil {
				return l.fetched(ref.String(), by)
			}
		}
	}
	text := strings.TrimPrefix(im.File, "/")
	p := path.Join(path.Dir(from.Path), text)
	if strings.HasPrefix(p, "../") || p == ".." {
		if l.b.Single && !strings.HasPrefix(from.Path, mountDir+"/") {
			n := 0
			for rest := p; strings.HasPrefix(rest, "../"); rest = rest[3:] {
				n++
			}
			l.escaped = max(l.escaped, n)
			return nil
		}
		d := l.diags.Errorf("bad-path", by.pos, "cannot import %s: it is outside of the archive", im.File)
		d.Path, d.Hint = by.path, "archives are closed: put the file inside"
		return nil
	}
	if !fs.ValidPath(p) {
		l.diags.Errorf("bad-path", by.pos, "cannot import %q: it is not a path", im.File).Path = by.path
		return nil
	}
	if _, err := fs.Stat(l.fs, p); err != nil {
		// Paths also count from the root of the archive (Alien4Cloud's deployment archives), and plugins answer plain names.
		if q := path.Join(from.Root, text); fs.ValidPath(q) {
			if _, err := fs.Stat(l.fs, q); err == nil {
				return l.file(q, archiveRoot(q, from.Root), from.Library, by)
			}
		}
		if !strings.Contains(text, "/") {
			for _, lib := range l.o.Libraries {
				for i := range lib.Provides {
					if lib.Provides[i].internal(text) {
						return l.provided(lib, &lib.Provides[i], by)
					}
				}
			}
		}
	}
	return l.file(p, archiveRoot(p, from.Root), from.Library, by)
}

// archiveRoot is where an imported document's paths may begin, too: its own directory if it is an archive of its own (name/version/file.yml),
// else the importer's root.
func archiveRoot(p, root string) string {
	parts := strings.Split(path.Dir(p), "/")
	if n := len(parts); n >= 2 {
		if v := parts[n-1]; v != "" && v[0] >= '0' && v[0] <= '9' && strings.Contains(v, ".") {
			return path.Dir(p)
		}
	}
	return root
}

// otherCloud are the documents of Yorc and Janus for what orch does not deploy on.
var otherCloud = regexp.MustCompile(`^(?:yorc|janus)-(aws|google|kubernetes|maas|slurm)-types\.ya?ml$`)

// internal finds <name.yml>: in the import path first, then in the libraries.
func (l *loader) internal(name string, by importer) *resolve.File {
	for _, a := range l.searchPath() {
		for p, base := range a.files {
			if base == name {
				return l.file(path.Join(l.mountArchive(a), p), l.mountArchive(a), true, by)
			}
		}
	}
	var names []string
	for _, lib := range l.o.Libraries {
		for i := range lib.Provides {
			if lib.Provides[i].internal(name) {
				return l.provided(lib, &lib.Provides[i], by)
			}
			names = append(names, "<"+lib.Provides[i].Name+".yml>")
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	d := l.diags.Errorf("missing-import", by.pos, "no plugin provides <%s>", name)
	d.Path = by.path
	if elsewhere := otherCloud.FindStringSubmatch(name); elsewhere != nil {
		d.Hint = "orch deploys on OpenStack and on hosts of pools and has no types for " + elsewhere[1] + ": use a location of these kinds"
		return nil
	}
	if d.Hint = diag.Suggest("<"+name+">", names); d.Hint == "" {
		d.Hint = "known are " + strings.Join(names, ", ") + "; or give a directory with the file by --import-path"
	}
	return nil
}

// archive finds name:version: in the import path, else in the libraries; in both, an exact version before a compatible one.
func (l *loader) archive(name, version, what string, by importer) *resolve.File {
	var other []string
	for _, exact := range []bool{true, false} {
		for _, a := range l.searchPath() {
			if a.name != name {
				continue
			}
			if a.version == version || version == "" || version == "*" || !exact && compatible(a.version, version) {
				l.otherVersion(name, version, a.version, what, by)
				return l.file(path.Join(l.mountArchive(a), a.entry), l.mountArchive(a), true, by)
			}
			other = append(other, a.version)
		}
	}
	for _, lib := range l.o.Libraries {
		for i := range lib.Provides {
			p := &lib.Provides[i]
			if p.answers(name, version) {
				f := l.provided(lib, p, by)
				if f != nil {
					l.otherVersion(name, version, first(f.Doc.ArchiveVersion, profileVersion(f.Doc)), what, by)
				}
				return f
			}
			if p.answersName(name) {
				other = append(other, strings.Join(p.Versions, ", "))
			}
		}
	}
	d := l.diags.Errorf("missing-import", by.pos, "the %s %s:%s cannot be found", what, name, version)
	d.Path = by.path
	d.Hint = "name the directory that holds it by --import-path"
	if len(other) > 0 {
		d.Hint = "there is version " + strings.Join(other, ", ")
	} else if h := diag.Suggest(name, l.archiveNames()); h != "" {
		d.Hint = h
	}
	return nil
}

// otherVersion says that an import is answered by another version than the one it names. Alien4Cloud and TOSCA 2.0 want the very one; types of one
// major number seldom differ in what a document uses, so it is worth a warning, not a refusal.
func (l *loader) otherVersion(name, want, have, what string, by importer) {
	if want == "" || want == "*" || have == "" || want == have || by.pos.IsZero() {
		return
	}
	d := l.diags.Warnf("other-version", by.pos, "the %s %s:%s is not here; version %s is used in its place", what, name, want, have)
	d.Path = by.path
	d.Hint = "give the directory of that version by --import-path, or import " + name + ":" + have
}

func profileVersion(doc *document.Document) string {
	_, v, _ := strings.Cut(doc.Profile.Text, ":")
	return v
}

// compatible versions have the same major number: archives are referred to by the version that was current then.
func compatible(have, want string) bool {
	h, err1 := topology.ParseVersion(have)
	w, err2 := topology.ParseVersion(want)
	if err1 != nil || err2 != nil || len(h.Numbers) == 0 || len(w.Numbers) == 0 {
		return false
	}
	return h.Numbers[0] == w.Numbers[0]
}

func (l *loader) provided(lib *Library, p *Provided, by importer) *resolve.File {
	prefix := l.fs.mount("plugins", lib.Name, lib.FS)
	l.display[prefix] = "plugins/" + lib.Name + "/"
	return l.file(path.Join(prefix, p.File), prefix, true, by)
}

// implicit loads the types that a dialect's documents always have in scope, with the libraries that extend them.
func (l *loader) implicit(name string) *resolve.File {
	for _, lib := range l.o.Libraries {
		for i := range lib.Provides {
			p := &lib.Provides[i]
			for _, im := range p.Implicit {
				if im == name {
					f := l.provided(lib, p, importer{})
					l.extend(f, name)
					return f
				}
			}
		}
	}
	return nil
}

// extend adds the types of libraries that are in scope wherever the named one is.
func (l *loader) extend(f *resolve.File, name string) {
	if f == nil {
		return
	}
	for _, lib := range l.o.Libraries {
		for i := range lib.Provides {
			p := &lib.Provides[i]
			for _, ex := range p.Extends {
				if ok, _ := path.Match(ex, name); !ok {
					continue
				}
				e := l.provided(lib, p, importer{})
				if e == nil || e == f {
					continue
				}
				seen := false
				for _, have := range f.Imports {
					seen = seen || have.File == e
				}
				if !seen {
					f.Imports = append(f.Imports, resolve.Edge{File: e})
				}
			}
		}
	}
}

// fetched reads a document from the network, if that is allowed.
func (l *loader) fetched(url string, by importer) *resolve.File {
	if f, ok := l.files[url]; ok {
		return f
	}
	data, err := l.read(url)
	if err != nil {
		l.unread(url, "document", err, by)
		return nil
	}
	base := path.Base(url)
	if base == "." || base == "/" || !fs.ValidPath(base) {
		base = "document.yaml"
	}
	prefix := l.fs.mount("network", fmt.Sprintf("%d", len(l.fs.at)), fstest.MapFS{base: {Data: data}})
	l.display[prefix] = strings.TrimSuffix(url, base)
	f := l.file(path.Join(prefix, base), prefix, true, by)
	l.files[url] = f
	return f
}

// fromRepository reads a file of a declared repository: a directory of this machine's (file:// or a relative path) or a URL.
func (l *loader) fromRepository(from *resolve.File, im *document.Import, by importer) *resolve.File {
	for _, repo := range from.Doc.Repositories {
		if repo.Name.Text != im.Repository.Text {
			continue
		}
		if strings.Contains(repo.URL, "://") && !strings.HasPrefix(repo.URL, "file://") {
			return l.fetched(strings.TrimSuffix(repo.URL, "/")+"/"+strings.TrimPrefix(im.File, "/"), by)
		}
		dir := strings.TrimPrefix(repo.URL, "file://")
		if path.IsAbs(dir) && l.b.Single {
			root, err := os.OpenRoot(dir)
			if err == nil {
				prefix := l.fs.mount("repositories", repo.Name.Text, root.FS())
				l.display[prefix] = strings.TrimSuffix(dir, "/") + "/"
				return l.file(path.Join(prefix, im.File), prefix, false, by)
			}
		}
		rel := *im
		rel.File = path.Join(dir, im.File)
		return l.relative(from, &rel, by)
	}
	var names []string
	for _, r := range from.Doc.Repositories {
		names = append(names, r.Name.Text)
	}
	d := l.diags.Errorf("unknown-repository", im.Repository.Pos, "there is no repository %q", im.Repository.Text)
	d.Path, d.Hint = by.path, diag.Suggest(im.Repository.Text, names)
	return nil
}

// archive of the import path.
type archive struct {
	name, version string
	fs            fs.FS
	entry         string
	shown         string
	// files are the YAML files at its root: path → base name.
	files map[string]string
	mount string
	bad   map[string]bool // plugins' documents that cannot be read
}

// searchPath reads the identities of the archives in the import path, once.
func (l *loader) searchPath() []*archive {
	if l.search != nil {
		return l.search
	}
	l.search = []*archive{}
	for _, a := range l.keptArchives() {
		l.identify(a.fs, a.shown, nil)
	}
	for _, dir := range l.o.ImportPath {
		l.searchDir(dir, 0)
	}
	return l.search
}

// searchDir takes a directory as an archive if it has YAML files, and looks into its subdirectories otherwise (to a small depth).
func (l *loader) searchDir(dir string, depth int) {
	info, err := os.Stat(dir)
	if err != nil {
		l.diags.Errorf(source.CodeRead, diag.Pos{File: dir}, "cannot search %s for imports: %v", dir, err).Hint = "check --import-path"
		return
	}
	if !info.IsDir() {
		b, list := source.Open(dir)
		if b == nil || list.HasErrors() {
			l.diags.Add(list...)
			return
		}
		if b.Archive {
			l.identify(b.FS, dir+"!", b.Meta)
		}
		return
	}
	if path.Base(dir) == "Definitions" {
		// Alien4Cloud's old archives: the documents' directory has its TOSCA-Metadata beside it.
		if _, err := os.Stat(path.Join(path.Dir(dir), "TOSCA-Metadata", "TOSCA.meta")); err == nil {
			dir = path.Dir(dir)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		l.diags.Errorf(source.CodeRead, diag.Pos{File: dir}, "cannot search %s for imports: %v", dir, err)
		return
	}
	if l.identify(root.FS(), strings.TrimSuffix(dir, "/")+"/", nil) || depth >= 4 {
		return
	}
	root.Close()
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		switch ext := strings.ToLower(path.Ext(e.Name())); {
		case e.IsDir() && !strings.HasPrefix(e.Name(), "."):
			l.searchDir(path.Join(dir, e.Name()), depth+1)
		case ext == ".csar" || ext == ".zip":
			l.searchDir(path.Join(dir, e.Name()), depth+1)
		}
	}
}

// identify reads the name and version of each document at an archive's root.
func (l *loader) identify(fsys fs.FS, shown string, meta map[string]string) bool {
	found := false
	for _, sub := range []string{".", "Definitions"} {
		entries, _ := fs.ReadDir(fsys, sub)
		files := map[string]string{}
		for _, e := range entries {
			if ext := path.Ext(e.Name()); !e.IsDir() && (ext == ".yml" || ext == ".yaml") {
				files[path.Join(sub, e.Name())] = e.Name()
			}
		}
		for p := range files {
			a := &archive{fs: fsys, entry: p, shown: shown, files: files}
			n, _ := source.ParseFile(fsys, p, shown+p)
			if n.Get("tosca_definitions_version") == nil {
				continue
			}
			found = true
			md := n.Get("metadata")
			a.name, a.version = first(md.Get("template_name").Str(), n.Get("template_name").Str()), first(md.Get("template_version").Str(), n.Get("template_version").Str())
			if pr := n.Get("profile").Str(); pr != "" {
				a.name, a.version, _ = strings.Cut(pr, ":")
				if a.version == "" {
					a.version = n.Get("metadata").Get("version").Str()
				}
			}
			if a.name == "" {
				if m := first2(meta, readMeta(fsys)); m != nil {
					a.name, a.version = m["Name"], m["CSAR-Version"]
				}
			}
			l.search = append(l.search, a)
		}
	}
	return found
}

func readMeta(fsys fs.FS) map[string]string {
	for _, dir := range []string{".", ".."} {
		if !fs.ValidPath(dir) {
			continue
		}
		data, err := fs.ReadFile(fsys, path.Join(dir, "TOSCA-Metadata/TOSCA.meta"))
		if err != nil {
			continue
		}
		m := map[string]string{}
		for line := range strings.Lines(string(data)) {
			if k, v, ok := strings.Cut(line, ":"); ok {
				m[strings.TrimSpace(k)] = strings.TrimSpace(v)
			}
		}
		return m
	}
	return nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func first2(a, b map[string]string) map[string]string {
	if a != nil {
		return a
	}
	return b
}

func (l *loader) mountArchive(a *archive) string {
	if a.mount == "" {
		name := a.name + "-" + a.version
		for _, o := range l.search {
			if o.fs == a.fs && o.mount != "" {
				a.mount = o.mount
				return a.mount
			}
		}
		a.mount = l.fs.mount("imports", name, a.fs)
		l.display[a.mount] = a.shown
		if l.fs.shown == nil {
			l.fs.shown = map[string]string{}
		}
		l.fs.shown[a.mount] = a.shown
	}
	return a.mount
}

// archiveNames are those of what comes with orch and of the import path.
func (l *loader) archiveNames() []string {
	var out []string
	for _, lib := range l.o.Libraries {
		for _, p := range lib.Provides {
			if !p.Cloudify && !p.Blueprint {
				out = append(out, p.Name)
			}
		}
	}
	for _, a := range l.searchPath() {
		out = append(out, a.name)
	}
	return out
}
