package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// Set is the loaded plugins. It is read-only after loading and safe for concurrent use.
type Set struct {
	Plugins []*Plugin
}

// Add loads the plugin in the root of a file system; a later one replaces an earlier one of the same name.
func (s *Set) Add(fsys fs.FS, dir string) diag.List {
	p, list := Load(fsys, dir)
	if p == nil || list.HasErrors() {
		return list
	}
	s.Plugins = slices.DeleteFunc(s.Plugins, func(o *Plugin) bool { return o.Name == p.Name })
	s.Plugins = append(s.Plugins, p)
	return list
}

// AddAll loads every folder of a file system that has a plugin.yaml.
func (s *Set) AddAll(fsys fs.FS, dir string) diag.List {
	var list diag.List
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		list.Errorf(CodeManifest, diag.Pos{File: dir}, "cannot read the plugins of %s: %v", dir, err)
		return list
	}
	for _, e := range entries {
		if _, err := fs.Stat(fsys, path.Join(e.Name(), "plugin.yaml")); err != nil {
			continue
		}
		sub, err := fs.Sub(fsys, e.Name())
		if err != nil {
			list.Errorf(CodeManifest, diag.Pos{File: path.Join(dir, e.Name())}, "cannot read the plugin: %v", err)
			continue
		}
		list.Add(s.Add(sub, path.Join(dir, e.Name()))...)
	}
	return list
}

// LoadAll loads the embedded plugins and then those of a search path (ORCH_PLUGIN_PATH: directories that are a plugin or hold plugins,
// separated like PATH).
func LoadAll(embedded fs.FS, searchPath string) (*Set, diag.List) {
	s := &Set{}
	var list diag.List
	if embedded != nil {
		list.Add(s.AddAll(embedded, "plugins")...)
	}
	for _, dir := range filepath.SplitList(searchPath) {
		if dir == "" {
			continue
		}
		_, err := os.Stat(filepath.Join(dir, "plugin.yaml"))
		switch {
		case err == nil:
			list.Add(s.Add(os.DirFS(dir), dir)...)
		case errors.Is(err, fs.ErrNotExist):
			list.Add(s.AddAll(os.DirFS(dir), dir)...)
		default:
			list.Errorf(CodeManifest, diag.Pos{File: dir}, "cannot read the plugin: %v", err)
		}
	}
	return s, list
}

// Plugin returns the plugin of a name, or nil.
func (s *Set) Plugin(name string) *Plugin {
	for _, p := range s.Plugins {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// MappingFor returns the mapping that makes the node at the location, or nil: the one of the nearest ancestor type, where a mapping of
// that very type goes before one that substitutes it.
func (s *Set) MappingFor(n *topology.Node, loc Location) *Mapping {
	p := s.Plugin(loc.Plugin)
	if p == nil || external(n) {
		return nil
	}
	for _, t := range n.Type {
		var substitute *Mapping
		for _, m := range p.Mappings {
			if slices.Contains(m.Types, t) {
				return m
			}
			if substitute == nil && slices.Contains(m.Substitutes, t) {
				substitute = m
			}
		}
		if substitute != nil {
			return substitute
		}
	}
	return nil
}

// external nodes exist already: services that another deployment offers.
func external(n *topology.Node) bool {
	return slices.Contains(n.Directives, "substitutable") || slices.Contains(n.Directives, "select") || slices.Contains(n.Directives, "selectable") || n.SubstitutedBy != ""
}

// Bind marks the nodes that the location makes as native and says which nodes they scale with. It changes the topology, before planning.
func (s *Set) Bind(t *topology.Topology, loc Location) diag.List {
	list := s.checkLocation(loc)
	p := s.Plugin(loc.Plugin)
	if p == nil {
		return list
	}
	r := &Renderer{Set: s, Location: loc, Topology: t}
	r.init()
	for _, n := range t.Nodes {
		m := s.MappingFor(n, loc)
		if m == nil {
			if !external(n) && (n.Native || slices.ContainsFunc(n.Type, s.knows)) {
				list.Errorf(CodeMapping, n.Pos, "the location %q cannot make node %q of type %s", loc.Name, n.Name, n.Type.Name()).Hint =
					fmt.Sprintf("choose a location of another kind, or a type that the plugin %s maps", p.Name)
			}
			continue
		}
		n.Native = true
	}
	p.takeOver(t)
	for _, n := range t.Nodes {
		m := s.MappingFor(n, loc)
		if m == nil || m.ScalesWith == "" || n.ScalesWith != "" {
			continue
		}
		for _, rel := range linkedNodes(r, n, m, m.Link(m.ScalesWith)) {
			if rel != n.Name && !dependsOn(t, rel, n.Name) {
				n.ScalesWith = rel
				break
			}
		}
	}
	return list
}

// knows reports whether some plugin maps the type itself (not by substitution).
func (s *Set) knows(typ string) bool {
	for _, p := range s.Plugins {
		for _, m := range p.Mappings {
			if slices.Contains(m.Types, typ) {
				return true
			}
		}
	}
	return false
}

// linkedNodes are the names of the nodes that a link leads to.
func linkedNodes(r *Renderer, n *topology.Node, m *Mapping, l *Link) []string {
	in := &inst{node: n, mapping: m}
	var out []string
	for _, rel := range n.Relationships {
		if t := r.Topology.NodeNamed(rel.Target); t != nil && r.selects(in, l, l.To, rel, t) {
			out = append(out, t.Name)
		}
	}
	for _, o := range r.Topology.Nodes {
		for _, rel := range o.Relationships {
			if rel.Target == n.Name && len(l.From) > 0 && r.selects(in, l, l.From, rel, o) {
				out = append(out, o.Name)
			}
		}
	}
	return out
}

// dependsOn reports whether a already scales with b, which would make a circle.
func dependsOn(t *topology.Topology, a, b string) bool {
	for range len(t.Nodes) {
		n := t.NodeNamed(a)
		if n == nil || n.ScalesWith == "" {
			return false
		}
		if n.ScalesWith == b {
			return true
		}
		a = n.ScalesWith
	}
	return false
}
