package main

import (
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/source"
	"github.com/orch-project/orch/pkg/topology"
	"github.com/orch-project/orch/pkg/tosca"
)

// packTopology decides what an archive holds.
func packTopology(t *topology.Topology, found diag.List, o cli.PackOptions) (*cli.Archive, diag.List) {
	p, list := tosca.Pack(t, found, tosca.PackOptions{All: o.All, Include: o.Include, CreatedBy: "orch"})
	if p == nil {
		return nil, list
	}
	a := &cli.Archive{Name: p.Name + ".csar", Entry: p.Entry, LeftOut: p.LeftOut, Tarball: source.IsTarball}
	if p.Blueprint {
		a.Name = p.Name + ".tar.gz"
	}
	for _, f := range p.Files {
		a.Files = append(a.Files, f.Name)
	}
	slices.Sort(a.Files)
	a.Write = func(w io.Writer, tarball bool) error {
		if tarball {
			return source.WriteTarball(w, p.Files)
		}
		return source.WriteZip(w, p.Files)
	}
	return a, list
}

// unpackArchive writes an archive's files below dir. That the archive's root document cannot be found is no reason not to.
func unpackArchive(archive, dir string) ([]string, string, diag.List) {
	b, list := source.Open(archive)
	if b != nil {
		defer b.Close()
		list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return d.Code == source.CodeEntry })
	}
	if list.HasErrors() || b == nil {
		return nil, "", list
	}
	if !b.Archive {
		list.Errorf(source.CodeArchive, diag.Pos{File: archive}, "%s is no archive", archive).Hint = "name a zip, CSAR, tar or tar.gz"
		return nil, "", list
	}
	files, more := source.Unpack(b, dir)
	return files, b.Entry, append(list, more...)
}

// archiveBase is an archive's name without its extension.
func archiveBase(archive string) string {
	base := filepath.Base(archive)
	for _, ext := range []string{".tar.gz", ".tgz", ".tar", ".csar", ".zip"} {
		if len(base) > len(ext) && strings.EqualFold(base[len(base)-len(ext):], ext) {
			return base[:len(base)-len(ext)]
		}
	}
	return base + ".unpacked"
}
