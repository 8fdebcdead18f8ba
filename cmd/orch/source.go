package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
	"github.com/orch-project/orch/plugins"
)

// openSource opens what the user named, "-" is standard input. A single file's bundle is its directory, so that the scripts beside it are part of it.
func openSource(path string) (*cli.Bundle, error) {
	open := source.Open
	if path == source.Stdin {
		open = func(string) (*source.Bundle, diag.List) { return source.OpenStdin(os.Stdin) }
	}
	b, list := open(path)
	if list.HasErrors() {
		if b != nil {
			_ = b.Close()
		}
		return nil, list.Err()
	}
	return &cli.Bundle{FS: b.FS, Entry: b.Entry, Name: b.Name, Shown: shown(b), Deployment: deploymentName(b), Close: b.Close, Source: b}, nil
}

// archiveMark ends the name of a bundle that came out of an archive, so that its positions read archive.zip!path when it is loaded again.
const archiveMark = "!"

// shown begins the names of a bundle's files in positions, also when it is loaded from its copy.
func shown(b *source.Bundle) string {
	switch {
	case b.Archive:
		return b.Name + archiveMark
	case b.Single:
		return filepath.Dir(b.Name)
	}
	return b.Name
}

// deploymentName is the topology's template_name if it has one, else the name of the folder or file.
func deploymentName(b *source.Bundle) string {
	if node, list := source.ParseFile(b.FS, b.Entry, ""); !list.HasErrors() {
		for _, n := range []*source.Node{node.Get("metadata").Get("template_name"), node.Get("template_name")} {
			if s := n.Str(); s != "" {
				return clean(s)
			}
		}
	}
	if b.Name == source.StdinFile || b.Name == source.Stdin {
		return "" // what comes on standard input has no name of its own
	}
	abs, err := filepath.Abs(b.Name)
	if err != nil {
		return clean(b.Name)
	}
	base := strings.TrimSuffix(filepath.Base(abs), filepath.Ext(abs))
	if base == "topology" || base == "main" || base == "service" || base == "blueprint" {
		base = filepath.Base(filepath.Dir(abs))
	}
	return clean(base)
}

var unclean = regexp.MustCompile(`[^-_.0-9A-Za-z]+`)

func clean(s string) string { return strings.Trim(unclean.ReplaceAllString(s, "-"), "-.") }

// loadTopology validates a bundle with the configured plugins and archives.
func loadTopology(ctx context.Context, c *config.Config, b *cli.Bundle) (*topology.Topology, diag.List) {
	_, libraries, list := pluginsOf(c)
	if list.HasErrors() {
		return nil, list
	}
	t, more := tosca.Load(ctx, tosca.Options{Bundle: b.Source.(*source.Bundle), ImportPath: c.ImportPath, Fetch: fetcher(c), Libraries: libraries})
	return t, append(list, more...)
}

// completeSource is a bundle as a Service is given it: opened high enough for what a single document imports from above it, with what it imports from
// the configuration's import path and from the network, and with the knowledge of which files are needed. Mistakes in its documents are told by
// whoever reads them next, who may know types that this process does not.
func completeSource(ctx context.Context, c *config.Config, b *cli.Bundle) (*cli.Bundle, error) {
	out := *b
	out.FS = &selected{b.FS, func() ([]string, error) {
		t, list := loadTopology(ctx, c, b)
		return tosca.Needed(b.FS, b.Entry, t, list.HasErrors())
	}}
	opened := b.Source.(*source.Bundle)
	if !opened.Single && len(c.ImportPath) == 0 && !c.AllowNetwork {
		return &out, nil
	}
	t, list := loadTopology(ctx, c, b)
	if t == nil {
		return &out, nil
	}
	fsys := b.FS
	if up := strings.Count(t.Entry, "/") - strings.Count(b.Entry, "/"); up > 0 {
		wide := opened.Widen(up)
		if wide == nil {
			return &out, nil
		}
		fsys, out.Entry = wide.FS, wide.Entry
		out.Shown = filepath.Join(b.Shown, strings.Repeat("../", up))
		out.Close = func() error { return errors.Join(wide.Close(), b.Close()) }
	}
	kept, err := tosca.Keep(t)
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "cannot pack what " + b.Name + " imports", Err: err}
	}
	fsys = tosca.WithKept(fsys, kept)
	entry, guess := out.Entry, list.HasErrors()
	out.FS = &selected{fsys, func() ([]string, error) { return tosca.Needed(fsys, entry, t, guess) }}
	return &out, nil
}

// selected is an orch.Selective.
type selected struct {
	fs.FS
	needed func() ([]string, error)
}

// Needed implements orch.Selective.
func (s *selected) Needed() ([]string, error) { return s.needed() }

// Stat implements fs.StatFS.
func (s *selected) Stat(name string) (fs.FileInfo, error) { return fs.Stat(s.FS, name) }

// ReadDir implements fs.ReadDirFS.
func (s *selected) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(s.FS, name) }

// pluginsOf loads the embedded plugins and those of the configuration, as mappings and as libraries of types.
func pluginsOf(c *config.Config) (*plugin.Set, []*tosca.Library, diag.List) {
	set, list := plugin.LoadAll(plugins.FS, strings.Join(c.PluginPath, string(os.PathListSeparator)))
	libraries := tosca.Builtin()
	for _, dir := range c.PluginPath {
		entries, err := os.ReadDir(dir)
		if err != nil {
			list.Errorf("cannot-read", diag.Pos{File: dir}, "cannot read the plugin directory: %v", err)
			continue
		}
		for _, e := range entries {
			lib, more := tosca.ReadLibrary(os.DirFS(filepath.Join(dir, e.Name())))
			list.Add(more...)
			if lib != nil {
				libraries = append(libraries, lib)
			}
		}
	}
	return set, libraries, list
}

// loader reads the bundles of requests and of stored deployments.
func loader(c *config.Config, libraries []*tosca.Library) func(context.Context, orch.Bundle) (*topology.Topology, diag.List) {
	return func(ctx context.Context, b orch.Bundle) (*topology.Topology, diag.List) {
		name, archive := strings.CutSuffix(b.Name, archiveMark)
		bundle, list := source.OpenFS(name, b.FS, b.Entry)
		if bundle == nil || list.HasErrors() {
			return nil, list
		}
		bundle.Archive = archive
		all := slices.Clone(libraries)
		for _, f := range b.ImportPath { // definitions that came with the request, as those of uploaded plugins
			lib, more := tosca.ReadLibrary(f)
			list.Add(more...)
			if lib != nil {
				all = append(all, lib)
			}
		}
		t, more := tosca.Load(ctx, tosca.Options{Bundle: bundle, ImportPath: c.ImportPath, Fetch: fetcher(c), Kept: b.Kept, Libraries: all})
		return t, append(list, more...)
	}
}

func readYAML(path string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "cannot read the inputs", Err: err}
	}
	node, list := source.Parse(path, data)
	if err := list.Err(); err != nil {
		return nil, err
	}
	if node.IsNull() {
		return nil, nil
	}
	m, ok := node.Any().(map[string]any)
	if !ok {
		list.Errorf("wrong-type", node.Pos, "inputs must be a map of names to values")
		return nil, list.Err()
	}
	return m, nil
}

func writeYAML(w io.Writer, v any) error {
	data, err := source.Marshal(plainJSON(v))
	if err != nil {
		return fmt.Errorf("cannot write YAML: %w", err)
	}
	_, err = w.Write(data)
	return err
}
