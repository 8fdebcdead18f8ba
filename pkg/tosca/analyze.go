package tosca

import (
	"context"
	"io/fs"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/resolve"
)

// Analysis is a document with everything that it imports, for tools that show what is declared where.
type Analysis struct {
	// Topology is what Load returns; nil if not even a document could be read.
	Topology *topology.Topology
	Findings diag.List
	// Root is the document's own file and Files all of them, the root first.
	Root  *resolve.File
	Files []*resolve.File

	fs      fs.FS
	display func(string) string
}

// Analyze loads a document as Load does and keeps what was found on the way.
func Analyze(ctx context.Context, o Options) *Analysis {
	l, top, list := load(ctx, o)
	a := &Analysis{Topology: top, Findings: list}
	if l == nil {
		return a
	}
	a.Files, a.fs, a.display = l.order, l.fs, l.displayName
	if len(l.order) > 0 {
		a.Root = l.order[0]
	}
	return a
}

// Shown is how a file of the analysis is called in positions.
func (a *Analysis) Shown(f *resolve.File) string { return a.display(f.Path) }

// Read returns a file by the name that positions give it: also one of a plugin, which is no file of this machine.
func (a *Analysis) Read(shown string) ([]byte, bool) {
	for _, f := range a.Files {
		if a.Shown(f) == shown {
			data, err := fs.ReadFile(a.fs, f.Path)
			return data, err == nil
		}
	}
	return nil, false
}
