package tosca

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// Needed lists the files of a bundle that a deployment of it reads: its documents, the files and directories that they name, for Cloudify's
// blueprints what lies with them (topology.Resources), and copies of imports in KeptDir. t is what loading the bundle gave, nil for nothing.
//
// guess is for topologies in which mistakes were found, since types that only another process knows may say what is needed, too: it adds every
// file that a text in the documents could mean.
func Needed(fsys fs.FS, entry string, t *topology.Topology, guess bool) ([]string, error) {
	n := needed{fsys: fsys, files: map[string]bool{}}
	n.add(entry)
	documents := []string{entry}
	if t != nil {
		for _, name := range slices.Concat(t.Sources, t.Documents, t.Resources()) {
			n.add(name)
		}
		documents = append(documents, t.Documents...)
	}
	if _, err := fs.Stat(fsys, KeptDir); err == nil {
		n.add(KeptDir)
	}
	if guess {
		for _, name := range documents {
			n.named(name)
		}
	}
	return slices.Sorted(maps.Keys(n.files)), n.err
}

type needed struct {
	fsys  fs.FS
	files map[string]bool
	err   error
}

// add takes a file, or the files of a directory; what is not of the bundle itself comes from elsewhere.
func (n *needed) add(name string) {
	if strings.HasPrefix(name, mountDir+"/") || n.files[name] || n.err != nil {
		return
	}
	n.err = regular(n.fsys, name, func(f string) { n.files[f] = true })
}

// named adds what the texts of a document name, beside it or below the root.
func (n *needed) named(document string) {
	if strings.HasPrefix(document, mountDir+"/") {
		return
	}
	root, _ := source.ParseFile(n.fsys, document, "")
	for _, text := range texts(root, nil) {
		for _, name := range []string{path.Join(path.Dir(document), text), path.Clean(text)} {
			if name == "." || !fs.ValidPath(name) {
				continue
			}
			// A single word is hardly meant as the directory that happens to have its name.
			if info, err := fs.Stat(n.fsys, name); err == nil && (!info.IsDir() || strings.Contains(text, "/")) {
				n.add(name)
			}
		}
	}
}

// texts are all scalars below a node that could be a path.
func texts(n *source.Node, into []string) []string {
	if s := n.Str(); s != "" && len(s) < 1024 && !strings.HasPrefix(s, "/") {
		into = append(into, s)
	}
	if n != nil {
		for _, item := range n.Items {
			into = texts(item, into)
		}
	}
	for _, child := range n.All() {
		into = texts(child, into)
	}
	return into
}
