// Package resolve turns documents into a topology: it looks names up, flattens types, checks values against their schemas, binds requirements
// to capabilities, and keeps expressions. It knows no dialect; what dialects differ in beyond syntax is in document.Traits.
//
// Every mistake is reported and resolution goes on; what depends on something that was reported (an unknown type) is silent.
package resolve

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/tosca/document"
)

// File is a loaded document with its imports.
type File struct {
	Doc *document.Document
	// Path in the mounted file system; Root the directory of its archive, where paths of its artifacts may begin, too.
	Path, Root string
	// Library files come with plugins: their types are resolved when used, and their files are not checked.
	Library bool
	Imports []Edge
	// Incomplete: an import could not be loaded, which was reported. What it would have declared is not missed again.
	Incomplete bool

	types map[typeKey]*typ
	short map[typeKey]*typ
	reach []reached
	found map[typeKey]*typ
	exts  map[string]*typ
	root  *File
	// composite is the node type that Alien4Cloud makes of the document's topology.
	composite *document.Type
}

// Edge is an import.
type Edge struct {
	File   *File
	Prefix string // namespace prefix, "" for none
}

// Input of Resolve.
type Input struct {
	Root  *File
	Files []*File // all of them, the root first
	FS    fs.FS   // where Path and artifacts are
	// Name of the topology when the document has none.
	Name string
	// MissingFiles is the severity of an artifact file that is not there.
	MissingFiles diag.Severity
	nest         *nesting // of a template that stands in for a node; nil for the root document
	// Escaped is called when a path leaves the root by that many directories; true: the caller will come again with a wider root.
	Escaped func(levels int) bool
}

type typeKey struct {
	kind document.Kind
	name string
}

type reached struct {
	file   *File
	prefix string
}

// index collects the file's own types.
func (r *resolver) index(f *File) {
	f.types = make(map[typeKey]*typ, len(f.Doc.Types))
	f.found = map[typeKey]*typ{}
	f.short, f.exts = map[typeKey]*typ{}, nil
	for _, def := range f.Doc.Types {
		t := &typ{def: def, file: f}
		f.types[typeKey{def.Kind, def.Name.Text}] = t
	}
	// Short names of normative types (TOSCA 1.3 §5.1): tosca.nodes.network.Port is network.Port and, where nothing else is, Port.
	for _, last := range []bool{false, true} {
		for _, def := range f.Doc.Types {
			rest, ok := strings.CutPrefix(def.Name.Text, "tosca.")
			_, short, more := strings.Cut(rest, ".")
			if !ok || !more {
				continue
			}
			if last {
				short = short[strings.LastIndexByte(short, '.')+1:]
			}
			if k := (typeKey{def.Kind, short}); f.short[k] == nil {
				f.short[k] = f.types[typeKey{def.Kind, def.Name.Text}]
			}
		}
	}
}

// reachable lists the file itself and everything it imports, nearest first, with the prefix that names need.
func (f *File) reachable() []reached {
	if f.reach != nil {
		return f.reach
	}
	seen := map[reached]bool{}
	queue := []reached{{f, ""}}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if seen[at] || strings.Count(at.prefix, ":") > 8 {
			continue
		}
		seen[at] = true
		f.reach = append(f.reach, at)
		for _, e := range at.file.Imports {
			p := at.prefix
			if e.Prefix != "" {
				p += e.Prefix + ":"
			}
			queue = append(queue, reached{e.File, p})
		}
	}
	return f.reach
}

// lookup finds a type by the name a file uses, or nil.
func (f *File) lookup(kind document.Kind, name string) *typ {
	k := typeKey{kind, name}
	if t, ok := f.found[k]; ok {
		return t
	}
	t := f.search(kind, name)
	if t == nil {
		if rest, ok := strings.CutPrefix(name, "tosca:"); ok {
			t = f.search(kind, rest)
		}
	}
	if t == nil && f.root != nil && f.root != f && !f.Doc.Traits.Strict {
		// TOSCA 1.x merges imports into one document: what the root sees, its imports see.
		t = f.root.lookup(kind, name)
	}
	f.found[k] = t
	return t
}

func (f *File) search(kind document.Kind, name string) *typ {
	reach := f.reachable()
	for _, r := range reach {
		if rest, ok := strings.CutPrefix(name, r.prefix); ok {
			if t := r.file.types[typeKey{kind, rest}]; t != nil {
				return t
			}
		}
	}
	for _, r := range reach {
		if rest, ok := strings.CutPrefix(name, r.prefix); ok {
			if t := r.file.short[typeKey{kind, rest}]; t != nil {
				return t
			}
		}
	}
	return nil
}

// incomplete reports that something the file imports, directly or not, is missing.
func (f *File) incomplete() bool {
	for _, r := range f.reachable() {
		if r.file.Incomplete {
			return true
		}
	}
	return f.root != nil && f.root != f && f.root.incomplete()
}

// typeNames lists every name of a kind in scope, for suggestions.
func (f *File) typeNames(kind document.Kind) []string {
	var out []string
	for _, r := range f.reachable() {
		for k := range maps.Keys(r.file.types) {
			if k.kind == kind {
				out = append(out, r.prefix+k.name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// dir is where the file's relative paths begin.
func (f *File) dir() string { return path.Dir(f.Path) }
