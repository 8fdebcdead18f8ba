package tosca

import (
	"io/fs"
	"path"
	"strings"

	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// templates loads the documents that nobody imports but whose topology templates may stand in for a node: those that the archive lists under
// Other-Definitions, and those of the import path. Nothing is loaded unless a node asks for substitution.
func (l *loader) templates(root *resolve.File) {
	if !l.wantsSubstitution() {
		return
	}
	for _, name := range metaFiles(l.b.Meta["Other-Definitions"]) {
		name = path.Join(l.base(), name)
		if _, err := fs.Stat(l.fs, name); err == nil {
			l.file(name, l.base(), false, importer{version: root.Doc.Version})
		}
	}
	for _, a := range l.searchPath() {
		n, _ := source.ParseFile(a.fs, a.entry, a.shown+a.entry)
		if substitutes(n) != "" {
			prefix := l.mountArchive(a)
			l.file(path.Join(prefix, a.entry), prefix, true, importer{version: root.Doc.Version})
		}
	}
}

func (l *loader) wantsSubstitution() bool {
	for _, f := range l.order {
		if f.Doc.Topology == nil {
			continue
		}
		for _, n := range f.Doc.Topology.Nodes {
			for _, d := range n.Directives {
				if strings.HasPrefix(d.Text, "substitut") {
					return true
				}
			}
		}
	}
	return false
}

// substitutes is the node type that a document's template stands in for, as written; "" for none.
func substitutes(n *source.Node) string {
	for _, section := range []string{"topology_template", "service_template"} {
		if t := n.Get(section).Get("substitution_mappings").Get("node_type").Str(); t != "" {
			return t
		}
	}
	return ""
}

// metaFiles splits a list of file names of TOSCA.meta: separated by blanks, in quotes where a name has some.
func metaFiles(s string) []string {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		end, rest := strings.IndexAny(s, " \t,"), 0
		if s[0] == '"' || s[0] == '\'' {
			if i := strings.IndexByte(s[1:], s[0]); i >= 0 {
				out, rest = append(out, s[1:1+i]), i+2
				s = strings.TrimLeft(s[rest:], ", ")
				continue
			}
		}
		if end < 0 {
			return append(out, s)
		}
		if end > 0 {
			out = append(out, s[:end])
		}
		s = s[end+1:]
	}
	return out
}
