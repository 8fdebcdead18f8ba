package cloudify

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/orch"
)

// withImports gives a blueprint what it can import: the tenant's plugins and the blueprints that it names, as libraries. Scripts of an
// imported blueprint are named as its own are, so they are put beside those.
func (s *Server) withImports(ctx context.Context, b orch.Bundle) (orch.Bundle, error) {
	out, err := s.pluginImports(ctx)
	if err != nil {
		return b, err
	}
	own := b.FS
	seen := map[string]bool{b.Name: true}
	for queue := importedBlueprints(own); len(queue) > 0; queue = queue[1:] {
		id := queue[0]
		if seen[id] || len(seen) > maxImported {
			continue
		}
		seen[id] = true
		r, err := s.blueprintRecord(ctx, id)
		if isMissing(err) || err == nil && r.failed() {
			continue // whoever imports it is told
		}
		if err != nil {
			return b, err
		}
		open, err := s.openCatalogued(ctx, r)
		if err != nil {
			return b, err
		}
		if err := together(b.FS, open); err != nil {
			return b, refused("invalid_blueprint_error", "Blueprint `%s` is invalid. Error: it cannot import blueprint %s: %v", b.Name, id, err)
		}
		b.FS = overlaid{open.FS, b.FS}
		queue = append(queue, importedBlueprints(open.FS)...)
		manifest := fmt.Sprintf("name: %s\nprovides:\n  - { name: %s, blueprint: true, file: %q }\n", id, id, open.Entry)
		out = append(out, overlaid{open.FS, fstest.MapFS{"library.yaml": {Data: []byte(manifest), Mode: 0o644}}})
	}
	b.ImportPath = out
	return b, nil
}

// together refuses files that two blueprints have by one name with another content: one of them would be run in place of the other.
func together(own fs.FS, imported orch.Bundle) error {
	return fs.WalkDir(imported.FS, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || p == imported.Entry {
			return err
		}
		have, err := fs.ReadFile(own, p)
		if err != nil {
			return nil // it has none
		}
		theirs, err := fs.ReadFile(imported.FS, p)
		if err == nil && !bytes.Equal(have, theirs) {
			err = fmt.Errorf("both have a file %s, and they differ", p)
		}
		return err
	})
}

// maxImported bounds how many blueprints one may import, directly or not.
const maxImported = 100

// overlaid is a file system with some files of another over it.
type overlaid struct {
	fs.FS
	over fs.FS
}

// Open implements fs.FS.
func (o overlaid) Open(name string) (fs.File, error) {
	if f, err := o.over.Open(name); err == nil && name != "." {
		return f, nil
	}
	return o.FS.Open(name)
}

// importNames finds blueprint:NAME in a document, with or without a namespace (ns--blueprint:NAME), importPlugins plugin:NAME?query.
var (
	importNames   = regexp.MustCompile(`(?m)(?:^|[\s\[,"'-])blueprint:([0-9A-Za-z._-]+)`)
	importPlugins = regexp.MustCompile(`(?m)(?:^|[\s\[,"'-])plugin:([0-9A-Za-z._-]+(?:\?[^"'\r\n#,\]]*)?)`)
)

// importedBlueprints are the names of the blueprints that the documents of a bundle import. A name too many does no harm.
func importedBlueprints(fsys fs.FS) []string {
	return slices.DeleteFunc(imported(fsys, importNames), func(id string) bool { return !plainName.MatchString(id) })
}

// importedPlugins are the plugins that the documents of a bundle import, with what they ask of them.
func importedPlugins(fsys fs.FS) []string { return imported(fsys, importPlugins) }

func imported(fsys fs.FS, pattern *regexp.Regexp) (out []string) {
	_ = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if ext := path.Ext(p); err != nil || d.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil // what cannot be read is found out when it is loaded
		}
		if info, err := d.Info(); err != nil || info.Size() > maxDefinitions {
			return nil
		}
		data, err := fs.ReadFile(fsys, p)
		if err != nil {
			return nil
		}
		for _, m := range pattern.FindAllSubmatch(data, -1) {
			if id := strings.TrimSpace(string(m[1])); !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		return nil
	})
	return out
}
