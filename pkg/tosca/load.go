// Package tosca turns documents into topologies: it finds the root document of a file, directory or archive, loads everything that it
// imports, and has the dialect (package grammar) and the resolver (package resolve) do the rest.
//
//	top, list := tosca.Load(ctx, tosca.Options{Path: "app.yaml"})
//	if list.HasErrors() { … every mistake, with its place … }
package tosca

import (
	"context"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/cloudify"
	"github.com/orch-project/orch/pkg/tosca/document"
	"github.com/orch-project/orch/pkg/tosca/grammar"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// Options of Load. Only Path or Bundle is needed.
type Options struct {
	// Path of a YAML file, directory or archive; or an opened Bundle, which the caller closes.
	Path   string
	Bundle *source.Bundle
	// ImportPath lists directories and archives that are searched for imported archives (name:version) and internal documents (<name.yml>).
	ImportPath []string
	// Libraries of plugins, searched in order; nil means Builtin().
	Libraries []*Library
	// Fetch reads imports from the network; nil refuses them.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// Kept has copies of what was read from the network before, which are taken where Fetch is nil; nil for none. See KeptDir.
	Kept fs.FS
	// Memo remembers what was parsed, for editors that load a document at every change; nil: nothing.
	Memo *source.Memo
}

// Load reads a topology. The list holds every finding, sorted by place; with errors in it the topology is a best effort for tools (nil if
// not even a document could be read) and must not be deployed. Topology.Files stays readable until the bundle is closed; a bundle that Load
// opened itself stays open as long as the topology is used.
func Load(ctx context.Context, o Options) (*topology.Topology, diag.List) {
	_, top, list := load(ctx, o)
	return top, list
}

func load(ctx context.Context, o Options) (*loader, *topology.Topology, diag.List) {
	b, list := o.Bundle, diag.List(nil)
	if b == nil {
		if b, list = source.Open(o.Path); b == nil {
			return nil, nil, list
		}
	}
	if b.Entry == "" {
		return nil, nil, list
	}
	if o.Libraries == nil {
		o.Libraries = Builtin()
	}
	// A single file's imports may begin with "../": come again with a wider root until nothing leaves it.
	for {
		l := newLoader(ctx, o, b)
		top := l.run()
		if l.escaped > 0 {
			if wider := b.Widen(l.escaped); wider != nil {
				b = wider
				continue
			}
		}
		return l, top, append(list, l.diags...).Sorted()
	}
}

// loader reads documents and their imports, each file once.
type loader struct {
	ctx     context.Context
	o       Options
	b       *source.Bundle
	fs      *mounts
	display map[string]string // mount prefix → how its files are called in positions
	diags   diag.List
	files   map[string]*resolve.File
	order   []*resolve.File
	// escaped is how many directories a path left the root of a single file's bundle.
	escaped int
	search  []*archive
	merged  []string // documents of a blueprint that became part of the main one
	network []topology.Fetched
	partial []string            // Cloudify plugins of which only some types are here
	dirs    map[string]*archive // directories of the import path that are looked into by name
	// keptDirs are archives of import paths that the bundle has copies of, once keptRead.
	keptDirs []*archive
	keptRead bool
}

func newLoader(ctx context.Context, o Options, b *source.Bundle) *loader {
	return &loader{ctx: ctx, o: o, b: b, fs: &mounts{root: b.FS, at: map[string]fs.FS{}}, files: map[string]*resolve.File{}, display: map[string]string{}}
}

func (l *loader) run() *topology.Topology {
	root := l.file(l.b.Entry, l.base(), false, importer{})
	if root == nil {
		return nil
	}
	l.templates(root)
	missing := diag.Error
	if l.b.Single {
		missing = diag.Warning
	}
	if l.b.Meta != nil && root.Doc.ArchiveName == "" {
		root.Doc.ArchiveName, root.Doc.ArchiveVersion = l.b.Meta["Name"], l.b.Meta["CSAR-Version"]
	}
	top := resolve.Resolve(resolve.Input{
		Root: root, Files: l.order, FS: l.fs, Name: topologyName(l.b), MissingFiles: missing,
		Escaped: func(levels int) bool {
			if !l.b.Single {
				return false
			}
			l.escaped = max(l.escaped, levels)
			return true
		},
	}, &l.diags)
	for i := range l.diags {
		if d := &l.diags[i]; d.Code == "unknown-type" && len(l.partial) > 0 && !strings.HasPrefix(d.Hint, "did you mean") {
			d.Hint = "orch has only some of the types of " + strings.Join(l.partial, ", ") + ": keep the plugin's own plugin.yaml in a directory NAME/ that --import-path names"
		}
	}
	l.diags = slices.DeleteFunc(l.diags, l.foreign)
	top.Network = l.network
	top.Documents = l.merged
	for _, f := range l.order {
		top.Documents = append(top.Documents, f.Path)
	}
	if cloudify.Level(root.Doc.Version) > 0 {
		cloudify.Finish(top, func(name string) bool { return root.Cut(document.RelationshipType, name) }, &l.diags)
	}
	if !l.diags.HasErrors() && l.escaped == 0 {
		names := append([]string{}, top.Sources...)
		names = append(names, top.Documents...) // plugins' types, too: another version may mean another thing
		digest, err := source.Digest(l.fs, names)
		if err != nil {
			l.diags.Errorf(source.CodeRead, diag.Pos{File: l.b.Name}, "%s", err)
		}
		top.Digest = digest
	}
	return top
}

// base is the directory of the archive, or of what was named.
func (l *loader) base() string {
	if l.b.Base == "" {
		return "."
	}
	return l.b.Base
}

// foreign tells warnings about documents of the import path: whoever validates what imports them cannot mend them, and sees them when
// validating the archive itself.
func (l *loader) foreign(d diag.Diagnostic) bool {
	if d.Severity != diag.Warning {
		return false
	}
	for mount, shown := range l.display {
		if strings.HasPrefix(mount, importsDir) && strings.HasPrefix(d.Pos.File, shown) {
			return true
		}
	}
	return false
}

// topologyName is the file's or directory's own name, for documents without a template_name.
func topologyName(b *source.Bundle) string {
	name := b.Name
	if abs, err := filepath.Abs(name); err == nil && (name == "." || name == "..") {
		name = abs
	}
	name = filepath.Base(name)
	for _, ext := range []string{".yaml", ".yml", ".csar", ".zip", ".tar.gz", ".tgz", ".tar"} {
		name = strings.TrimSuffix(name, ext)
	}
	return name
}

// importer is who asked for a file.
type importer struct {
	pos     diag.Pos
	path    string
	version string // its tosca_definitions_version
}

// file loads a document and everything it imports, once. root is the directory of its archive.
func (l *loader) file(name, root string, library bool, by importer) *resolve.File {
	if f, ok := l.files[name]; ok {
		return f
	}
	l.files[name] = nil
	n, list := l.o.Memo.ParseFile(l.fs, name, l.displayName(name))
	if len(list) == 1 && list[0].Code == source.CodeRead && !by.pos.IsZero() {
		d := l.diags.Errorf("missing-import", by.pos, "cannot import %s: %s", l.displayName(name), readProblem(list[0].Message))
		d.Path, d.Hint = by.path, l.suggestFile(name)
		return nil
	}
	if n == nil {
		l.diags.Add(list...)
		return nil
	}
	if by.version == "" && !library && (cloudify.Is(n) || cloudify.IsTypes(n)) {
		if f := l.blueprint(n, name, &list); f != nil {
			l.diags.Add(list...)
			return f
		}
	}
	// The dialect may judge what the YAML reader found, so it gets the file's own list.
	doc := grammar.Decode(n, l.displayName(name), grammar.Options{Imported: by.version != "", Version: by.version}, &list)
	l.diags.Add(list...)
	if doc == nil {
		return nil
	}
	doc.File = name
	f := &resolve.File{Doc: doc, Path: name, Root: root, Library: library}
	l.files[name] = f
	l.order = append(l.order, f)
	for _, im := range doc.Imports {
		if l.ctx.Err() != nil {
			return f
		}
		edges := l.imported(f, im)
		f.Imports = append(f.Imports, edges...)
		f.Incomplete = f.Incomplete || edges == nil
	}
	if doc.Traits.Implicit != "" {
		if e := l.implicit(doc.Traits.Implicit); e != nil && e != f {
			f.Imports = append(f.Imports, resolve.Edge{File: e})
		}
	}
	return f
}

func readProblem(msg string) string {
	if i := strings.LastIndex(msg, ": "); i >= 0 {
		return msg[i+2:]
	}
	return msg
}

// displayName is how a file is called in positions.
func (l *loader) displayName(name string) string {
	if strings.HasPrefix(name, mountDir+"/") {
		for prefix, shown := range l.display {
			if rest, ok := strings.CutPrefix(name, prefix+"/"); ok {
				return shown + rest
			}
		}
		return name
	}
	return l.b.Display(name)
}

func (l *loader) suggestFile(name string) string {
	entries, err := fs.ReadDir(l.fs, path.Dir(name))
	if err != nil {
		return "paths are relative to the importing document"
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if h := diag.Suggest(path.Base(name), names); h != "" {
		return h
	}
	return "paths are relative to the importing document"
}
