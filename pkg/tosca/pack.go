package tosca

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca/cloudify"
)

// CodeUnpacked marks what an archive needs and does not hold.
const CodeUnpacked = "not-packed"

// PackOptions of Pack.
type PackOptions struct {
	// All takes every file beside the root document and below, not only those that documents name; Include adds those that match one of
	// the patterns (path.Match on the whole path or on its last element).
	All     bool
	Include []string
	// CreatedBy is for the archive's metadata.
	CreatedBy string
}

// Package is an archive to be written.
type Package struct {
	// Name without extension; Blueprint: Cloudify's form, one directory with everything, without TOSCA's metadata.
	Name      string
	Blueprint bool
	Entry     string
	Files     []source.Packed
	// LeftOut counts the files beside the root document that nothing names.
	LeftOut int
}

// Pack decides what belongs into the archive of a loaded topology: its documents, the files that they name, and what the options ask for.
// list is what loading found; files that are missing are errors here. What comes from elsewhere (import paths, plugins, the network) is not
// packed, which a warning says.
func Pack(t *topology.Topology, found diag.List, o PackOptions) (*Package, diag.List) {
	list := slices.Clone(found)
	for i := range list {
		if list[i].Code == "missing-file" {
			list[i].Severity = diag.Error
		}
	}
	if t == nil || list.HasErrors() {
		return nil, list
	}
	p := &Package{Blueprint: cloudify.Level(t.Dialect) > 0, Name: clearName(t.Name)}
	files, err := p.contents(t, o)
	if err != nil {
		list.Errorf(source.CodeRead, diag.Pos{File: t.Entry}, "cannot pack: %s", err)
		return nil, list
	}
	elsewhere(t, &list)
	prefix := ""
	if p.Blueprint {
		// Cloudify's client names the directory after the main file.
		base := path.Base(t.Entry)
		prefix = strings.TrimSuffix(base, path.Ext(base)) + "/"
	}
	p.Entry = prefix + t.Entry
	for _, f := range slices.Sorted(maps.Keys(files)) {
		p.Files = append(p.Files, source.Packed{Name: prefix + f, FS: t.Files, From: f})
	}
	if !p.Blueprint {
		p.metadata(t, o, files)
	}
	return p, list
}

// contents are the files of the archive by their paths.
func (p *Package) contents(t *topology.Topology, o PackOptions) (map[string]bool, error) {
	files := map[string]bool{}
	for _, s := range t.Sources {
		if strings.HasPrefix(s, mountDir+"/") {
			continue
		}
		if err := regular(t.Files, s, func(f string) { files[f] = true }); err != nil {
			return nil, err
		}
	}
	return files, regular(t.Files, path.Dir(t.Entry), func(f string) {
		switch {
		case files[f]:
		case o.All || matches(f, o.Include):
			files[f] = true
		case path.Base(f) != "TOSCA.meta":
			p.LeftOut++
		}
	})
}

// regular visits the regular files of a path; what is hidden is only taken when it is named.
func regular(fsys fs.FS, name string, visit func(string)) error {
	err := fs.WalkDir(fsys, name, func(f string, d fs.DirEntry, err error) error {
		switch hidden := f != name && strings.HasPrefix(path.Base(f), "."); {
		case err != nil:
			return err
		case hidden && d.IsDir():
			return fs.SkipDir
		case d.Type().IsRegular() && !hidden:
			visit(f)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	return nil
}

func matches(f string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		whole, err := path.Match(p, f)
		last, _ := path.Match(p, path.Base(f))
		return err == nil && (whole || last) || strings.HasPrefix(f, strings.TrimSuffix(p, "/")+"/")
	})
}

// elsewhere warns of documents that whoever opens the archive must have, too. What comes with orch is there always.
func elsewhere(t *topology.Topology, list *diag.List) {
	m, ok := t.Files.(*mounts)
	if !ok {
		return
	}
	for _, prefix := range slices.Sorted(maps.Keys(m.at)) {
		parts := strings.Split(prefix, "/")
		if len(parts) < 3 || parts[1] == "plugins" {
			continue
		}
		list.Warnf(CodeUnpacked, diag.Pos{File: t.Entry}, "%s is imported from elsewhere (%s) and is not part of the archive", parts[2], parts[1]).Hint =
			"whoever opens the archive needs it, too; to have it inside, copy it beside the document and import it by its path"
	}
}

// metadata adds TOSCA-Metadata/TOSCA.meta (TOSCA 1.3 §6.2; TOSCA 2.0 §14), which keeps what a file of that name says beyond the entry.
func (p *Package) metadata(t *topology.Topology, o PackOptions, files map[string]bool) {
	for _, own := range []string{"TOSCA-Metadata/TOSCA.meta", "TOSCA.meta"} {
		if data, err := fs.ReadFile(t.Files, own); err == nil {
			if !files[own] {
				p.Files = append(p.Files, source.Packed{Name: own, Data: data})
			}
			return
		}
	}
	var b strings.Builder
	if t.Dialect == "tosca_2_0" {
		b.WriteString("CSAR-Version: 2.0\n")
	} else {
		b.WriteString("TOSCA-Meta-File-Version: 1.1\nCSAR-Version: 1.1\n")
	}
	fmt.Fprintf(&b, "Created-By: %s\nEntry-Definitions: %s\n", strings.ReplaceAll(o.CreatedBy, "\n", " "), t.Entry)
	p.Files = append(p.Files, source.Packed{Name: "TOSCA-Metadata/TOSCA.meta", Data: []byte(b.String())})
}

// clearName is a file name for a topology's archive.
func clearName(name string) string {
	s := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '-'
	}, name), "-.")
	if s == "" {
		return "topology"
	}
	return s
}
