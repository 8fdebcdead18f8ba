package cli

import (
	"encoding/json"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
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
	case "text":
		text()
		return nil
	}
	return usage("unknown output format %q: use text, json or yaml", e.format)
}

// diagnostics prints findings as text with excerpts.
func (e *environment) diagnostics(p *view.Printer, l diag.List) {
	p.Diagnostics(l)
}
