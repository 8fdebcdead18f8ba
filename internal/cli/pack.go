package cli

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/orch-project/orch/internal/view"
	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/topology"
)

// PackOptions say what goes into an archive beside what documents name.
type PackOptions struct {
	All     bool
	Include []string
}

// Archive is a topology ready to be written as one file.
type Archive struct {
	// Name of the archive's file where the user gives none.
	Name    string
	Entry   string
	Files   []string
	LeftOut int
	// Write writes it; tarball chooses a gzipped tar over a zip.
	Write func(w io.Writer, tarball bool) error
	// Tarball reports whether a file name asks for a gzipped tar.
	Tarball func(name string) bool
}

// packed is what `pack` prints.
type packed struct {
	Archive string   `json:"archive"`
	Digest  string   `json:"digest"`
	Entry   string   `json:"entry"`
	Files   []string `json:"files"`
	LeftOut int      `json:"left_out"`
}

func packCmd(env *environment) *cobra.Command {
	var to string
	var o PackOptions
	var force bool
	c := &cobra.Command{
		Use:   "pack PATH",
		Short: "Make one archive of a topology with every file that it names",
		Long: `Writes a CSAR (a zip with TOSCA-Metadata/TOSCA.meta) of the document, what it imports by path, and every script and
artifact that they name; a Cloudify blueprint becomes a tar.gz with one directory, as Cloudify's client packs it. A file that
is named and missing is an error. Files that nothing names are left out unless --all or --include asks for them.

The same files give the same bytes on every machine.`,
		Example: "  orch pack app.yaml\n  orch pack blueprint/ --all --to web.tar.gz\n  orch pack app.yaml --include 'templates/*' --to build/app.csar -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := env.config()
			if err != nil {
				return err
			}
			b, err := env.deps.Source(args[0])
			if err != nil {
				return err
			}
			defer b.Close()
			t, list := env.deps.Load(c.Context(), cfg, b)
			a, list := env.deps.Pack(t, list, o)
			env.diagnostics(env.err, list, b)
			if a == nil || list.HasErrors() {
				return &exitError{exitUser}
			}
			if to == "" {
				to = a.Name
			}
			out := packed{Archive: to, Entry: a.Entry, Files: a.Files, LeftOut: a.LeftOut}
			if out.Digest, err = writeArchive(a, to, force); err != nil {
				return err
			}
			return env.print(out, func() { env.packed(out) })
		},
	}
	c.Flags().StringVar(&to, "to", "", "the archive's `file`: .csar or .zip, .tar.gz or .tgz (default the topology's name in this directory)")
	c.Flags().BoolVar(&o.All, "all", false, "take every file in the document's directory and below")
	c.Flags().StringArrayVar(&o.Include, "include", nil, "also take the files that match a `pattern`, or lie in a directory; repeatable")
	c.Flags().BoolVar(&force, "force", false, "replace an archive that exists")
	return c
}

func (e *environment) packed(p packed) {
	for _, f := range p.Files {
		e.out.Printf("  %s\n", f)
	}
	e.out.Printf("%s\n", e.out.Paint(view.Good, "✓ "+p.Archive+": "+view.Plural(len(p.Files), "file")+", "+p.Digest))
	if p.LeftOut > 0 {
		e.out.Printf("  %s beside the document that nothing names: left out (--all takes them)\n", view.Plural(p.LeftOut, "file"))
	}
}

// writeArchive writes beside the target and renames, so that no half archive is ever there under its name.
func writeArchive(a *Archive, to string, force bool) (digest string, err error) {
	if _, err := os.Lstat(to); err == nil && !force {
		return "", &orch.Error{Kind: orch.KindUser, Msg: to + " exists already", Hint: "name another file with --to, or replace it with --force"}
	}
	fail := func(err error) error {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return &orch.Error{Kind: orch.KindUser, Msg: "cannot write " + to, Err: err}
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".orch-pack-*")
	if err != nil {
		return "", fail(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	buffered := bufio.NewWriter(f)
	err = a.Write(io.MultiWriter(buffered, sum), a.Tarball(to))
	err = errors.Join(err, buffered.Flush(), f.Chmod(0o644), f.Close())
	if err != nil {
		return "", fail(err)
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return "", fail(err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

func unpackCmd(env *environment) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "unpack ARCHIVE",
		Short: "Unpack an archive safely into a new directory",
		Long: `Writes the files of a CSAR, zip, tar or tar.gz into a directory that is empty or does not exist yet. An archive with an
absolute path, a path that leaves it, a link, a device or an unreasonable size is refused as a whole.`,
		Example: "  orch unpack app.csar\n  orch unpack blueprint.tar.gz --to work/ -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if to == "" {
				to = env.deps.ArchiveBase(args[0])
			}
			files, entry, list := env.deps.Unpack(args[0], to)
			env.diagnostics(env.err, list)
			if list.HasErrors() {
				return &exitError{exitUser}
			}
			out := map[string]any{"directory": to, "entry": entry, "files": files}
			return env.print(out, func() {
				env.out.Printf("%s\n", env.out.Paint(view.Good, "✓ "+to+": "+view.Plural(len(files), "file")))
				if entry != "" {
					env.out.Printf("  begins with %s\n", filepath.Join(to, entry))
				}
			})
		},
	}
	c.Flags().StringVar(&to, "to", "", "the `directory` (default the archive's name without its extension)")
	return c
}

// Packer, Unpacker and their like are wired in cmd/orch.
type (
	Packer   func(t *topology.Topology, found diag.List, o PackOptions) (*Archive, diag.List)
	Unpacker func(archive, dir string) (files []string, entry string, list diag.List)
)
