package cli

import (
	"encoding/json"
	"io/fs"
	"strings"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
)

// structured reports whether the user asked for JSON or YAML.
func (e *environment) structured() bool { return e.format == "json" || e.format == "yaml" }

// print writes v as JSON or YAML when asked for, else calls text.
func (e *environment) print(v any, text func()) error {
	switch e.format {
	case "json":
		enc := json.NewEncoder(e.out.W)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	case "yaml":
		return e.deps.WriteYAML(e.out.W, v)
	}
	text()
	return nil
}

// diagnostics prints findings as text with excerpts of the documents, also of those inside the opened bundles' archives.
func (e *environment) diagnostics(p *view.Printer, l diag.List, bundles ...*Bundle) {
	p.Diagnostics(l, func(file string) ([]byte, error) {
		for _, b := range bundles {
			if inside, ok := strings.CutPrefix(file, b.Name+"!"); ok {
				return fs.ReadFile(b.FS, inside)
			}
			if file == source.StdinFile && b.Name == file {
				return fs.ReadFile(b.FS, b.Entry)
			}
		}
		return view.ReadDocument(file)
	})
}
