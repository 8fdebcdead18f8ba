package lsp

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/tosca"
)

// workspace is what the editor has open.
type workspace struct {
	open map[string]*openDocument // by URI
	memo source.Memo
	// published findings by URI, as JSON, so that nothing is sent twice.
	published map[string]string
}

// openDocument is open in the editor.
type openDocument struct {
	uri, file string
	version   int
	text      text
	// analysis of the text with what it imports; stale after a change of any of these. parsed is the text's tree, nil if it is not YAML.
	analysis *tosca.Analysis
	fresh    bool
	parsed   *source.Node
	// sound is the last analysis that could read the text, or as much of it as is sound: what is declared, while something is being typed.
	sound *tosca.Analysis
}

func (w *workspace) didOpen(t textDocumentItem) {
	d := &openDocument{uri: t.URI, file: fileOf(t.URI), version: t.Version, text: newText(t.Text)}
	if d.file == "" {
		return // not a file: nothing could be imported from there
	}
	w.open[t.URI] = d
	w.stale("")
}

func (w *workspace) didChange(p didChangeParams) {
	d := w.open[p.TextDocument.URI]
	if d == nil {
		return
	}
	for _, c := range p.ContentChanges {
		d.text = d.text.change(c)
	}
	d.version = p.TextDocument.Version
	w.stale(d.file)
}

func (w *workspace) didClose(uri string) {
	if w.open[uri] != nil {
		delete(w.open, uri)
		w.stale("")
	}
}

// stale marks what a change of a file ("" any) touches.
func (w *workspace) stale(file string) {
	for _, d := range w.open {
		if file == "" || d.file == file || d.analysis == nil || d.uses(file) {
			d.fresh = false
		}
	}
}

// uses reports whether a document imports a file, or lacks an import that the file may be.
func (d *openDocument) uses(file string) bool {
	for _, f := range d.analysis.Files {
		if d.analysis.Shown(f) == file || f.Incomplete {
			return true
		}
	}
	return len(d.analysis.Files) == 0
}

func (w *workspace) overlay(file string) ([]byte, bool) {
	for _, d := range w.open {
		if d.file == file {
			return []byte(d.text.s), true
		}
	}
	return nil, false
}

// next is a document that has to be analysed, in the order of URIs.
func (w *workspace) next() *openDocument {
	var stale *openDocument
	for _, d := range w.open {
		if !d.fresh && (stale == nil || d.uri < stale.uri) {
			stale = d
		}
	}
	return stale
}

// analysis of a document as it is now.
func (s *server) analysis(ctx context.Context, d *openDocument) *tosca.Analysis {
	if !d.fresh {
		d.fresh = true // also if the analysis fails: the same text would fail again
		a := s.o.Analyze(ctx, d.file, s.work.overlay, &s.work.memo)
		if a != nil {
			d.analysis = a
		}
		d.parsed, _ = s.work.memo.Parse(d.file, []byte(d.text.s))
		switch {
		case a != nil && a.Root != nil:
			d.sound = a
		case d.sound == nil:
			d.sound = s.soundPart(ctx, d)
		}
	}
	return d.analysis
}

// soundPart analyses what stands above the place where a text ceases to be YAML.
func (s *server) soundPart(ctx context.Context, d *openDocument) *tosca.Analysis {
	t := d.text
	for range 5 {
		_, list := source.Parse(d.file, []byte(t.s))
		line := 0
		for _, f := range list {
			if f.Severity == diag.Error && (line == 0 || f.Pos.Line < line) {
				line = f.Pos.Line
			}
		}
		if line == 0 {
			break
		}
		line = min(line, len(t.lines))
		t = newText(t.s[:t.lines[max(line-1, 1)-1]])
	}
	part := func(file string) ([]byte, bool) {
		if file == d.file {
			return []byte(t.s), true
		}
		return s.work.overlay(file)
	}
	a := s.o.Analyze(ctx, d.file, part, &source.Memo{})
	if a == nil || a.Root == nil {
		return nil
	}
	return a
}

// publish sends the findings of every file that has other ones than before.
func (s *server) publish(ctx context.Context) {
	now := map[string][]diagnostic{}
	for _, uri := range sortedKeys(s.work.open) {
		d := s.work.open[uri]
		now[uri] = append(now[uri], []diagnostic{}...)
		if d.analysis == nil || s.importedByOpen(d) {
			continue // who imports it has the whole picture
		}
		for _, f := range d.analysis.Findings {
			to := uriOf(f.Pos.File)
			if !strings.HasPrefix(f.Pos.File, "/") && fileOf(to) != f.Pos.File {
				to = uri // a plugin's document, or none: say it in the document itself
			}
			one := s.diagnostic(d, f)
			if !slices.ContainsFunc(now[to], func(x diagnostic) bool { return x.Range == one.Range && x.Code == one.Code && x.Message == one.Message }) {
				now[to] = append(now[to], one)
			}
		}
	}
	for uri := range s.work.published {
		if _, ok := now[uri]; !ok {
			now[uri] = nil
		}
	}
	for _, uri := range sortedKeys(now) {
		p := publishParams{URI: uri, Diagnostics: now[uri]}
		if p.Diagnostics == nil {
			p.Diagnostics = []diagnostic{}
		}
		d := s.work.open[uri]
		if d != nil {
			p.Version = &d.version
		}
		raw, err := json.Marshal(p)
		if err != nil || s.work.published[uri] == string(raw) {
			continue
		}
		if d == nil && len(p.Diagnostics) == 0 {
			delete(s.work.published, uri)
		} else {
			s.work.published[uri] = string(raw)
		}
		_ = s.conn.Notify(ctx, "textDocument/publishDiagnostics", json.RawMessage(raw))
	}
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// importedByOpen reports a document that another open one imports; of two that import each other, the first by URI counts as the importer.
func (s *server) importedByOpen(d *openDocument) bool {
	for _, other := range s.work.open {
		if other == d || other.analysis == nil || !other.imports(d.file) {
			continue
		}
		if d.analysis.Root == nil || !d.imports(other.file) || other.uri < d.uri {
			return true
		}
	}
	return false
}

func (d *openDocument) imports(file string) bool {
	for _, f := range d.analysis.Files {
		if f != d.analysis.Root && d.analysis.Shown(f) == file {
			return true
		}
	}
	return false
}

var severities = map[diag.Severity]int{diag.Error: 1, diag.Warning: 2, diag.Info: 3}

// docsOf is where codes are explained.
const docsOf = "https://github.com/orch-project/orch/blob/main/docs/diagnostics.md#"

func (s *server) diagnostic(d *openDocument, f diag.Diagnostic) diagnostic {
	out := diagnostic{Severity: severities[f.Severity], Code: f.Code, Source: "orch", Message: f.Message, Range: s.rangeOf(d, f.Pos)}
	if f.Hint != "" {
		out.Message += "\n" + f.Hint
	}
	if _, ok := diag.Explain(f.Code); ok {
		out.CodeDescription = &codeDescription{docsOf + f.Code}
	}
	for _, r := range f.Related {
		if loc := s.location(d, r.Pos); loc != nil {
			out.Related = append(out.Related, related{*loc, r.Message})
		}
	}
	return out
}

// rangeOf is the word at a place of any file.
func (s *server) rangeOf(d *openDocument, p diag.Pos) span {
	if p.Line == 0 {
		return span{}
	}
	return s.textOf(d, p.File).token(p.Line, max(p.Col, 1))
}

// textOf is a file as the analysis of a document saw it.
func (s *server) textOf(d *openDocument, file string) text {
	for _, o := range s.work.open {
		if o.file == file {
			return o.text
		}
	}
	if d.analysis != nil {
		if data, ok := d.analysis.Read(file); ok {
			return newText(string(data))
		}
	}
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Size() < source.MaxDocument {
		if data, err := os.ReadFile(file); err == nil {
			return newText(string(data))
		}
	}
	return newText("")
}
