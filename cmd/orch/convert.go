package main

import (
	"bytes"
	"context"
	"io/fs"
	"path/filepath"
	"testing/fstest"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// convertDocument writes a document in another dialect, and loads the result in its place, without import paths, to see what it means.
func convertDocument(ctx context.Context, c *config.Config, b *cli.Bundle, target string) (*cli.Conversion, error) {
	_, libraries, list := pluginsOf(c)
	if err := list.Err(); err != nil {
		return nil, err
	}
	bundle := b.Source.(*source.Bundle)
	a := tosca.Analyze(ctx, tosca.Options{Bundle: bundle, ImportPath: c.ImportPath, Fetch: fetcher(c), Libraries: libraries})
	out := &cli.Conversion{Found: a.Findings}
	if a.Findings.HasErrors() || a.Root == nil {
		return out, nil
	}
	place := func(data []byte) (*source.Bundle, error) { return inPlace(bundle, data) }
	data, lost, err := a.Convert(ctx, target, place, tosca.Options{Libraries: libraries})
	out.Lost = lost
	if err != nil || data == nil {
		return out, err
	}
	out.Text = string(data)
	again, _ := inPlace(bundle, data)
	if again == nil {
		return out, nil
	}
	defer again.Close()
	t, wrong := tosca.Load(ctx, tosca.Options{Bundle: again, Libraries: libraries})
	if out.Wrong = wrong; t != nil && !wrong.HasErrors() {
		out.Differ, err = topology.SameMeaning(a.Topology, t)
	}
	return out, err
}

// inPlace opens a bundle with another text in the place of its root document.
func inPlace(b *source.Bundle, data []byte) (*source.Bundle, error) {
	if b.Archive {
		again, list := source.OpenFS(b.Name, replaced{b.FS, b.Entry, data}, b.Entry)
		return again, list.Err()
	}
	file, err := filepath.Abs(b.Display(b.Entry))
	if err != nil {
		return nil, err
	}
	again, list := source.OpenDocument(file, func(p string) ([]byte, bool) { return data, p == file })
	return again, list.Err()
}

// replaced is a file system with another content of one file.
type replaced struct {
	fs.FS
	name string
	data []byte
}

// Open implements fs.FS.
func (r replaced) Open(name string) (fs.File, error) {
	if name == r.name {
		return fstest.MapFS{name: {Data: bytes.Clone(r.data)}}.Open(name)
	}
	return r.FS.Open(name)
}
