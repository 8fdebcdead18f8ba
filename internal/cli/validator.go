package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
)

// validator validates paths one after the other and gathers what was found.
type validator struct {
	e         *environment
	cfg       *config.Config
	found     diag.List
	documents []documentResult
	// bundles are the archives and standard input: excerpts of their documents are read when the findings are printed.
	bundles []*Bundle
}

func (v *validator) close() {
	for _, b := range v.bundles {
		_ = b.Close()
	}
}

// path validates what the user named.
func (v *validator) path(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() || v.e.deps.Documents == nil {
		v.add(v.one(ctx, path))
		return ctx.Err()
	}
	return v.directory(ctx, path)
}

// result of one document: its row, what was found, and the files that it was made of.
type result struct {
	documentResult
	found   diag.List
	sources []fs.FileInfo
	entry   fs.FileInfo
	// nothing: the directory has no document to begin with.
	nothing bool
}

// directory validates what a deployment would take of it, then every other document below it that none of them imports.
func (v *validator) directory(ctx context.Context, dir string) error {
	paths, err := v.e.deps.Documents(dir)
	if err != nil {
		return &orch.Error{Kind: orch.KindUser, Err: err}
	}
	whole := v.one(ctx, dir)
	if whole.nothing && len(paths) > 0 {
		whole = nil
	}
	var results []*result
	if whole != nil {
		results = append(results, whole)
	}
	for _, p := range paths {
		if p == dir || whole != nil && whole.has(p) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		results = append(results, v.one(ctx, p))
	}
	for i, r := range results {
		if r != whole && imported(r, results[:i], results[i+1:]) {
			continue
		}
		v.add(r)
	}
	return ctx.Err()
}

// imported reports a document that another one imports; of two that import each other, the first stays.
func imported(r *result, before, after []*result) bool {
	if r.entry == nil {
		return false
	}
	by := func(other *result) bool { return holds(other.sources, r.entry) }
	return slices.ContainsFunc(before, by) ||
		slices.ContainsFunc(after, func(other *result) bool { return by(other) && (other.entry == nil || !holds(r.sources, other.entry)) })
}

func holds(list []fs.FileInfo, f fs.FileInfo) bool {
	return slices.ContainsFunc(list, func(x fs.FileInfo) bool { return os.SameFile(x, f) })
}

// has reports whether the document was made of the file.
func (r *result) has(path string) bool {
	info, err := os.Stat(path)
	return err == nil && holds(r.sources, info)
}

func (v *validator) add(r *result) {
	v.found.Add(r.found...)
	v.documents = append(v.documents, r.documentResult)
}

func (v *validator) one(ctx context.Context, path string) *result {
	r := &result{documentResult: documentResult{Path: path}}
	defer func() {
		r.Valid, r.Errors, r.Warnings = !r.found.HasErrors(), r.found.Count(diag.Error), r.found.Count(diag.Warning)
	}()
	b, err := v.e.deps.Source(path)
	if err != nil {
		r.found = asDiagnostics(path, err)
		r.nothing = slices.ContainsFunc(r.found, func(d diag.Diagnostic) bool { return d.Code == "no-entry" })
		return r
	}
	if strings.HasSuffix(b.Shown, "!") || path == source.Stdin {
		v.bundles = append(v.bundles, b)
	} else {
		defer func() { _ = b.Close() }()
	}
	t, list := v.e.deps.Load(ctx, v.cfg, b)
	r.found = list.Sorted()
	if t != nil {
		r.Dialect, r.Nodes = t.Dialect, len(t.Nodes)
		r.entry, r.sources = filesOf(t)
	}
	return r
}

// filesOf are the documents that a topology was made of, the root apart.
func filesOf(t *topology.Topology) (entry fs.FileInfo, others []fs.FileInfo) {
	if t.Files == nil {
		return nil, nil
	}
	for _, p := range t.Sources {
		info, err := fs.Stat(t.Files, p)
		if err != nil {
			continue
		}
		if p == t.Entry {
			entry = info
		}
		others = append(others, info)
	}
	return entry, others
}

// asDiagnostics turns an error of reading into the same form as mistakes in the document.
func asDiagnostics(path string, err error) diag.List {
	var list *diag.ListError
	if errors.As(err, &list) {
		return list.List
	}
	return diag.List{{Severity: diag.Error, Code: "cannot-read", Pos: diag.Pos{File: path}, Message: err.Error()}}
}
