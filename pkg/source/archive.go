package source

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing/fstest"
	"time"

	"github.com/orch-project/orch/internal/spool"
	"github.com/orch-project/orch/pkg/diag"
)

// Limits of archives.
const (
	maxEntries     = 50_000
	maxArchiveSize = 2 << 30 // bytes after unpacking
	maxEntrySize   = 1 << 30
	maxRatio       = 200      // unpacked to packed, above minBomb bytes
	minBomb        = 64 << 20 // smaller results are harmless whatever their ratio
	maxTarSize     = 512 << 20
)

// entryProblem says why an archive's entry cannot be accepted, or "".
func entryProblem(name string, mode fs.FileMode) string {
	switch {
	case strings.ContainsRune(name, 0):
		return "its name has a NUL byte"
	case strings.HasPrefix(name, "/") || strings.HasPrefix(name, `\`) || len(name) > 1 && name[1] == ':':
		return "its path is absolute"
	case mode&fs.ModeSymlink != 0:
		return "it is a symbolic link"
	case !mode.IsRegular() && !mode.IsDir():
		return "it is neither a file nor a directory"
	}
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." {
			return "its path leaves the archive"
		}
	}
	return ""
}

// openZip checks every entry before anything is read. zip.Reader's own FS is used afterwards: it serves only valid paths.
func openZip(name string, z *zip.Reader) (fs.FS, diag.List) {
	var list diag.List
	pos := diag.Pos{File: name}
	if len(z.File) > maxEntries {
		list.Errorf(CodeArchive, pos, "the archive has more than %d entries", maxEntries)
		return nil, list
	}
	var total, packed uint64
	seen := map[string]bool{}
	for _, f := range z.File {
		if seen[f.Name] && !strings.HasSuffix(f.Name, "/") {
			list.Errorf(CodeArchive, diag.Pos{File: name + "!" + f.Name}, "the archive has the entry %q twice", f.Name).Hint = "nobody can tell which one is meant; make the archive again"
			continue
		}
		seen[f.Name] = true
		if why := entryProblem(f.Name, f.Mode()); why != "" {
			list.Errorf(CodeArchive, diag.Pos{File: name + "!" + f.Name}, "the archive's entry %q is refused: %s", f.Name, why)
			continue
		}
		if f.Flags&1 != 0 {
			list.Errorf(CodeArchive, diag.Pos{File: name + "!" + f.Name}, "the archive's entry %q is encrypted", f.Name)
		}
		total += f.UncompressedSize64
		packed += f.CompressedSize64
		if f.UncompressedSize64 > maxEntrySize || total > maxArchiveSize || f.UncompressedSize64 > minBomb && f.UncompressedSize64 > maxRatio*max(f.CompressedSize64, 1) {
			list.Errorf(CodeArchive, diag.Pos{File: name + "!" + f.Name}, "the archive unpacks to far more than is reasonable (entry %q: %d bytes)", f.Name, f.UncompressedSize64)
			return nil, list
		}
	}
	if total > minBomb && total > maxRatio*max(packed, 1) {
		list.Errorf(CodeArchive, pos, "the archive unpacks to far more than is reasonable (%d bytes from %d)", total, packed)
	}
	if list.HasErrors() {
		return nil, list
	}
	return z, nil
}

// openTar unpacks a tar, tar.gz or tar.bz2, within limits: little of it into memory, much of it into a file.
func openTar(name string, r io.ReaderAt, size int64) (fs.FS, diag.List) {
	var list diag.List
	pos := diag.Pos{File: name}
	in, err := tarStream(r, size)
	if err != nil {
		list.Errorf(CodeArchive, pos, "not a readable gzip file: %s", err)
		return nil, list
	}
	out := &tarFS{tree: fstest.MapFS{}, at: map[string]extent{}}
	content := spool.NewWriter(tarInMemory)
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			list.Errorf(CodeArchive, pos, "not a readable tar archive: %s", strings.TrimPrefix(err.Error(), "archive/tar: ")).Hint = "the file may be cut off; make it again"
			break
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag == tar.TypeLink {
			mode |= fs.ModeSymlink
		}
		if why := entryProblem(h.Name, mode); why != "" {
			list.Errorf(CodeArchive, diag.Pos{File: name + "!" + h.Name}, "the archive's entry %q is refused: %s", h.Name, why)
			continue
		}
		from := content.Size()
		if total := from + h.Size; len(out.at) > maxEntries || total > maxTarSize || total > minBomb && total > maxRatio*max(size, 1) {
			list.Errorf(CodeArchive, pos, "the archive unpacks to far more than is reasonable (more than %d bytes or %d entries)", total, len(out.at))
			break
		}
		clean := path.Clean(h.Name)
		if mode.IsDir() || clean == "." {
			continue
		}
		if _, err := io.Copy(content, tr); err != nil {
			list.Errorf(CodeArchive, pos, "not a readable tar archive: %s", err)
			break
		}
		out.tree[clean] = &fstest.MapFile{Mode: mode.Perm(), ModTime: h.ModTime.Truncate(time.Second)}
		out.at[clean] = extent{from, content.Size() - from}
	}
	if !list.HasErrors() {
		if out.data, err = content.Data(); err == nil {
			return out, nil
		}
		list.Errorf(CodeArchive, pos, "cannot unpack the archive: %s", err)
	}
	content.Discard()
	return nil, list
}

// tarStream is the tar in an archive that may be compressed.
func tarStream(r io.ReaderAt, size int64) (io.Reader, error) {
	in := io.NewSectionReader(r, 0, size)
	switch sniff(r) {
	case "gzip":
		return gzip.NewReader(in)
	case "bzip2":
		return bzip2.NewReader(in), nil
	}
	return in, nil
}
