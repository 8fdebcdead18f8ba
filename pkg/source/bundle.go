package source

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
)

// Codes of bundles.
const (
	CodeArchive = "bad-archive"
	CodeEntry   = "no-entry"
	CodeUnpack  = "cannot-unpack"
)

// Bundle is an opened file, directory or archive: a rooted file system and the document to begin with.
type Bundle struct {
	// Name is how the user called it; it begins every position's file name.
	Name string
	// FS never leaves its root. For a single file it is the file's directory (see Widen).
	FS fs.FS
	// Entry is the path of the root document in FS, "" if none could be chosen (Open has said why).
	Entry string
	// Base is the folder that a found Entry belongs to: "." or, of archives that have nothing else at their root, their only folder.
	Base string
	// Archive is set for zip and tar files, and Single for one named file.
	Archive, Single bool
	// Meta holds TOSCA.meta's first block (nil if there is none) and MetaPath its file.
	Meta     map[string]string
	MetaPath string

	root    string // directory behind FS
	close   func() error
	overlay Overlay // nil: what is on disk counts
}

// Open opens what the user named: a YAML file, a directory, a zip/CSAR/tar/tar.gz/tar.bz2 archive, or ARCHIVE!PATH, a document inside of one.
func Open(name string) (*Bundle, diag.List) {
	var list diag.List
	info, err := os.Stat(name)
	if archive, inside, ok := strings.Cut(name, "!"); ok && err != nil && archiveName(archive) {
		return openInside(archive, inside)
	}
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: name}, "cannot open %s: %s", name, reason(err)).Hint = "check the path"
		return nil, list
	}
	if info.IsDir() {
		return openDir(name)
	}
	f, err := os.Open(name)
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: name}, "cannot open %s: %s", name, reason(err))
		return nil, list
	}
	if kind := sniff(f); kind != "" || archiveName(name) {
		b, l := OpenReader(name, f, info.Size())
		if b == nil {
			f.Close()
			return nil, l
		}
		b.close = f.Close
		return b, l
	}
	f.Close()
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: name}, "cannot open %s: %s", dir, reason(err))
		return nil, list
	}
	return &Bundle{Name: name, FS: root.FS(), Entry: base, Single: true, root: filepath.Clean(dir), close: root.Close}, nil
}

// openInside opens an archive at a document that the user chose.
func openInside(archive, entry string) (*Bundle, diag.List) {
	b, list := Open(archive)
	if b == nil {
		return nil, list
	}
	if info, err := fs.Stat(b.FS, entry); err != nil || info.IsDir() {
		b.Close()
		list = nil
		list.Errorf(CodeEntry, diag.Pos{File: archive}, "there is no document %s in %s", entry, archive).Hint = diag.Suggest(entry, b.yamlFiles(path.Dir(entry)))
		return nil, list
	}
	list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return d.Code == CodeEntry })
	b.Entry = entry
	return b, list
}

func openDir(name string) (*Bundle, diag.List) {
	var list diag.List
	root, err := os.OpenRoot(name)
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: name}, "cannot open %s: %s", name, reason(err))
		return nil, list
	}
	b := &Bundle{Name: name, FS: root.FS(), root: filepath.Clean(name), close: root.Close}
	list = b.findEntry()
	return b, list
}

func archiveName(name string) bool {
	n := strings.ToLower(name)
	return slices.ContainsFunc([]string{".zip", ".csar", ".tar", ".tar.gz", ".tgz", ".tar.bz2"}, func(s string) bool { return strings.HasSuffix(n, s) })
}

// sniff tells an archive by its first bytes.
func sniff(r io.ReaderAt) string {
	head := make([]byte, 262)
	n, _ := r.ReadAt(head, 0)
	head = head[:n]
	switch {
	case len(head) >= 4 && head[0] == 'P' && head[1] == 'K' && (head[2] == 3 && head[3] == 4 || head[2] == 5 && head[3] == 6):
		return "zip"
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		return "gzip"
	case len(head) >= 10 && string(head[:3]) == "BZh" && string(head[4:10]) == "1AY&SY":
		return "bzip2"
	case len(head) >= 262 && string(head[257:262]) == "ustar":
		return "tar"
	}
	return ""
}

// OpenReader opens an archive that is in memory or in an open file (uploads). name is only for positions.
func OpenReader(name string, r io.ReaderAt, size int64) (*Bundle, diag.List) {
	var list diag.List
	var fsys fs.FS
	switch sniff(r) {
	case "zip":
		z, err := zip.NewReader(r, size)
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
			list.Errorf(CodeArchive, diag.Pos{File: name}, "not a readable zip archive: %s", strings.TrimPrefix(err.Error(), "zip: ")).Hint = "the file may be cut off; make it again"
			return nil, list
		}
		fsys, list = openZip(name, z)
	case "gzip", "bzip2", "tar":
		fsys, list = openTar(name, r, size)
	default:
		list.Errorf(CodeArchive, diag.Pos{File: name}, "not an archive: it is neither zip nor tar").Hint = "make it with zip, or name the YAML file itself"
	}
	if fsys == nil {
		return nil, list
	}
	b := &Bundle{Name: name, FS: fsys, Archive: true}
	list = append(list, b.findEntry()...)
	return b, list
}

// OpenFS makes a bundle of a file system that the caller vouches for. entry "" is found as in a CSAR.
func OpenFS(name string, fsys fs.FS, entry string) (*Bundle, diag.List) {
	b := &Bundle{Name: name, FS: fsys, Entry: entry}
	if entry != "" {
		if top := b.onlyFolder(); top != "" && strings.HasPrefix(entry, top+"/") {
			b.Base = top // it was an archive with one folder, whose root that is
		}
		return b, nil
	}
	return b, b.findEntry()
}

// Close releases the file or directory behind the bundle.
func (b *Bundle) Close() error {
	if b.close == nil {
		return nil
	}
	return b.close()
}

// Display is the name of a file of the bundle in positions: what the user can open, or archive.zip!path.
func (b *Bundle) Display(p string) string {
	switch {
	case b.Archive:
		return b.Name + "!" + p
	case b.Single && p == b.Entry:
		return b.Name
	case b.root != "":
		return filepath.Join(b.root, filepath.FromSlash(p))
	case b.Name == "" || b.Name == ".":
		return p
	}
	return path.Join(b.Name, p)
}

// Widen moves the root of a single file's bundle n directories up, for imports that begin with "../". Only files that the user named on this
// machine can be widened: archives and directories are closed worlds. It returns nil if it cannot be done.
func (b *Bundle) Widen(n int) *Bundle {
	if !b.Single || n <= 0 {
		return nil
	}
	abs, err := filepath.Abs(b.root)
	if err != nil {
		return nil
	}
	dir, sub := b.root, ""
	for range n {
		parent := filepath.Dir(abs)
		if parent == abs {
			return nil
		}
		sub = path.Join(filepath.Base(abs), sub)
		abs, dir = parent, filepath.Join(dir, "..")
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil
	}
	w := &Bundle{Name: b.Name, FS: root.FS(), Entry: path.Join(sub, b.Entry), Single: true, root: dir, close: root.Close, overlay: b.overlay}
	if b.overlay != nil {
		w.FS = overlayFS{w.FS, abs, b.overlay}
	}
	return w
}

// Digest identifies the named files' content: their names and bytes, in the order of names. Directories count with everything in them.
func Digest(fsys fs.FS, names []string) (string, error) {
	h := sha256.New()
	sorted := slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range sorted {
		err := fs.WalkDir(fsys, name, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if !d.Type().IsRegular() {
				return nil
			}
			return hashFile(h, fsys, p)
		})
		if err != nil {
			return "", fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(w io.Writer, fsys fs.FS, p string) error {
	f, err := fsys.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	one := sha256.New()
	if _, err := io.Copy(one, f); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%x %q\n", one.Sum(nil), p)
	return err
}
