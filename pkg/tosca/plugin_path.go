package tosca

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// pluginPath finds a Cloudify plugin in the import path: directories that are named after it (cloudify-aws-plugin, aws-plugin,
// cloudify-aws-plugin-3.2.4) and hold plugin.yaml or a variant of it.
func (l *loader) pluginPath(name string) []*archive {
	var out []*archive
	for _, a := range l.keptArchives() {
		if samePlugin(a.name, name) && a.identifyPlugin() {
			out = append(out, a)
		}
	}
	for _, dir := range l.o.ImportPath {
		dirs := []string{dir}
		if entries, err := os.ReadDir(dir); err == nil {
			for _, e := range entries {
				if e.IsDir() {
					dirs = append(dirs, path.Join(dir, e.Name()))
				}
			}
		}
		for _, d := range dirs {
			if samePlugin(path.Base(d), name) {
				if a := l.importDir(d); a != nil && a.identifyPlugin() {
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// samePlugin compares a directory's name with a plugin's.
func samePlugin(dir, name string) bool {
	dir, name = strings.TrimPrefix(dir, "cloudify-"), strings.TrimPrefix(name, "cloudify-")
	if rest, ok := strings.CutPrefix(dir, name+"-"); ok {
		return rest != "" && rest[0] >= '0' && rest[0] <= '9'
	}
	return dir == name
}

// importDirs are the directories of the import path, after what is kept of them.
func (l *loader) importDirs() []*archive {
	out := slices.Clone(l.keptArchives())
	for _, dir := range l.o.ImportPath {
		if a := l.importDir(dir); a != nil {
			out = append(out, a)
		}
	}
	return out
}

// importDir is a directory of the import path as an archive, opened once.
func (l *loader) importDir(dir string) *archive {
	if l.dirs == nil {
		l.dirs = map[string]*archive{}
	}
	if a, ok := l.dirs[dir]; ok {
		return a
	}
	l.dirs[dir] = nil
	root, err := os.OpenRoot(dir)
	if err != nil {
		l.diags.Errorf(source.CodeRead, diag.Pos{File: dir}, "cannot search %s for imports: %v", dir, err).Hint = "check --import-path"
		return nil
	}
	a := &archive{name: path.Base(dir), fs: root.FS(), shown: strings.TrimSuffix(dir, "/") + "/"}
	l.dirs[dir] = a
	return a
}

// identifyPlugin finds the plugin's documents and version.
func (a *archive) identifyPlugin() bool {
	if a.files != nil {
		return a.entry != ""
	}
	a.files = map[string]string{}
	entries, _ := fs.ReadDir(a.fs, ".")
	for _, e := range entries {
		if n := e.Name(); !e.IsDir() && path.Ext(n) == ".yaml" {
			a.files[n] = n
		}
	}
	for _, n := range []string{"plugin.yaml", "v2_plugin.yaml", "plugin_1_5.yaml", "plugin_1_4.yaml"} {
		if a.files[n] == "" {
			continue
		}
		a.entry = n
		doc, _ := source.ParseFile(a.fs, n, a.shown+n)
		for _, p := range doc.Get("plugins").All() {
			if v := p.Get("package_version").Str(); v != "" {
				a.version = v
			}
		}
		return true
	}
	return false
}
