package tosca

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/plugins"
)

// Library is a set of documents with types that can be imported by name or are always in scope. Plugins bring libraries.
type Library struct {
	Name string
	// FS holds the documents and the files that they name.
	FS       fs.FS
	Provides []Provided
}

// Provided is one document of a library.
type Provided struct {
	// Name answers imports of archives (name:version), internal documents (<name.yml>, <file>) and TOSCA 2.0 profiles (name:version).
	Name string `yaml:"name"`
	// Versions are patterns (path.Match) of the versions that it answers; none: all.
	Versions []string `yaml:"versions"`
	// Also lists further names.
	Also []string `yaml:"also"`
	// Cloudify documents answer the imports of blueprints only; With names further files that blueprints of a version also get.
	Cloudify bool `yaml:"cloudify"`
	// Partial documents have some of a plugin's types only.
	Partial bool                `yaml:"partial"`
	With    map[string][]string `yaml:"with"`
	// Blueprint says that it is a blueprint of that name, which others import as blueprint:NAME.
	Blueprint bool `yaml:"blueprint"`
	// File is the document's path in FS.
	File string `yaml:"file"`
	// Implicit names: the traits' "name:version" of dialects whose documents have these types always in scope.
	Implicit []string `yaml:"implicit"`
	// Extends says that documents which import or imply the named library ("name:version") also have these types in scope.
	Extends []string `yaml:"extends"`
}

// LibraryFile is the manifest of a library at the root of its file system.
const LibraryFile = "library.yaml"

// ReadLibrary reads a plugin folder's library.yaml, or, without one, the types that its plugin.yaml lists (see pkg/plugin): each file can be
// imported by its name, and its types are in scope wherever those of the TOSCA Simple Profile are. It returns nil without a word for a folder
// that has neither.
func ReadLibrary(fsys fs.FS) (*Library, diag.List) {
	if _, err := fs.Stat(fsys, LibraryFile); err != nil {
		return pluginLibrary(fsys)
	}
	n, list := source.ParseFile(fsys, LibraryFile, "")
	if list.HasErrors() {
		return nil, list
	}
	var m struct {
		Name     string     `yaml:"name"`
		Provides []Provided `yaml:"provides"`
	}
	if list = append(list, source.Decode(n, &m)...); list.HasErrors() {
		return nil, list
	}
	return &Library{Name: m.Name, FS: fsys, Provides: m.Provides}, list
}

// pluginLibrary makes a library of a plugin's types.
func pluginLibrary(fsys fs.FS) (*Library, diag.List) {
	if _, err := fs.Stat(fsys, "plugin.yaml"); err != nil {
		return nil, nil
	}
	n, list := source.ParseFile(fsys, "plugin.yaml", "")
	if list.HasErrors() {
		return nil, list
	}
	lib := &Library{Name: n.Get("name").Str(), FS: fsys}
	var globs []string
	if t := n.Get("types"); t.Is(source.Sequence) {
		for _, g := range t.Items {
			globs = append(globs, g.Str())
		}
	}
	for _, g := range globs {
		files, err := fs.Glob(fsys, g)
		if err != nil {
			continue // pkg/plugin reports the manifest's own mistakes
		}
		for _, f := range files {
			doc, more := source.ParseFile(fsys, f, "plugins/"+lib.Name+"/"+f)
			if list = append(list, more...); more.HasErrors() {
				continue
			}
			base := path.Base(f)
			p := Provided{Name: doc.Get("metadata").Get("template_name").Str(), Also: []string{strings.TrimSuffix(base, path.Ext(base))}, File: f, Extends: []string{"tosca-simple-profile:*"}}
			if v := doc.Get("metadata").Get("template_version").Str(); v != "" {
				p.Versions = []string{v, majorPattern(v)}
			}
			if len(files) == 1 {
				p.Also = append(p.Also, lib.Name, lib.Name+"-types")
			}
			if p.Name == "" {
				p.Name = p.Also[0]
			}
			lib.Provides = append(lib.Provides, p)
		}
	}
	if lib.Provides == nil {
		return nil, list
	}
	return lib, list
}

// majorPattern lets 1.0.0 answer for 1.*, as versions of types are compatible within a major number.
func majorPattern(v string) string {
	major, _, _ := strings.Cut(v, ".")
	return major + ".*"
}

// Builtin returns the libraries of the embedded plugins, to which the caller may append. They are read once.
func Builtin() []*Library { return slices.Clone(builtin()) }

var builtin = sync.OnceValue(func() []*Library {
	entries, err := fs.ReadDir(plugins.FS, ".")
	if err != nil {
		panic(fmt.Sprintf("the embedded plugins cannot be read: %v", err))
	}
	var out []*Library
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub, err := fs.Sub(plugins.FS, e.Name())
		if err != nil {
			continue
		}
		lib, list := ReadLibrary(sub)
		if err := list.Err(); err != nil {
			panic(fmt.Sprintf("the embedded plugin %s: %v", e.Name(), err))
		}
		if lib != nil {
			out = append(out, lib)
		}
	}
	return out
})

func (p *Provided) answersName(name string) bool {
	if p.Name == name {
		return true
	}
	for _, a := range p.Also {
		if a == name {
			return true
		}
	}
	return false
}

func (p *Provided) answers(name, version string) bool {
	return p.answersName(name) && p.answersVersion(version)
}

func (p *Provided) answersVersion(version string) bool {
	if len(p.Versions) == 0 || version == "" || version == "*" {
		return true
	}
	for _, v := range p.Versions {
		if ok, err := path.Match(v, version); ok && err == nil {
			return true
		}
	}
	return false
}

// internal finds a document by <name.yml>: its file's base name, or a name it answers to.
func (p *Provided) internal(file string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(file, ".yml"), ".yaml")
	own := path.Base(p.File)
	return !p.Cloudify && (own == file || p.answersName(base) || p.answersName(file))
}
