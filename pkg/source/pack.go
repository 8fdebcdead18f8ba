package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Packed is a file of an archive to be written: its name in the archive, and where its content comes from.
type Packed struct {
	Name string
	// Data, or the file From of FS.
	Data []byte
	FS   fs.FS
	From string
}

// packTime is every entry's time: archives of the same files have the same bytes. It is the first that a zip can hold.
var packTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// IsTarball reports whether an archive of that name is a gzipped tar, rather than a zip.
func IsTarball(name string) bool {
	n := strings.ToLower(name)
	return strings.HasSuffix(n, ".tar.gz") || strings.HasSuffix(n, ".tgz")
}

// WriteZip writes a zip (CSAR) whose bytes depend on nothing but the files' names, contents and executable bits.
func WriteZip(w io.Writer, files []Packed) error {
	z := zip.NewWriter(w)
	for _, f := range sortedFiles(files) {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: packTime}
		r, mode, _, err := f.open()
		if err != nil {
			return err
		}
		h.SetMode(mode)
		part, err := z.CreateHeader(h)
		if err == nil {
			_, err = io.Copy(part, r)
		}
		r.Close()
		if err != nil {
			return fmt.Errorf("cannot pack %s: %w", f.Name, err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("cannot end the archive: %w", err)
	}
	return nil
}

// LargeError is an archive that would be larger than whoever it is for takes.
type LargeError struct {
	Files int
	Limit int64 // bytes
	// Largest files with their sizes, at most three.
	Largest []string
}

func (e *LargeError) Error() string {
	return fmt.Sprintf("the %d files are more than the %d MiB that a server takes, packed; the largest: %s", e.Files, e.Limit>>20, strings.Join(e.Largest, ", "))
}

// ZipNamed is a zip as of WriteZip with the named files of a file system, of at most limit bytes; LargeError.
func ZipNamed(fsys fs.FS, names []string, limit int64) ([]byte, error) {
	files := make([]Packed, 0, len(names))
	for _, name := range names {
		files = append(files, Packed{Name: name, FS: fsys, From: name})
	}
	w := &limitedBuffer{limit: limit}
	err := WriteZip(w, files)
	if !w.full {
		return w.Bytes(), err
	}
	return nil, &LargeError{Files: len(names), Limit: limit, Largest: largest(fsys, names)}
}

type limitedBuffer struct {
	bytes.Buffer
	limit int64
	full  bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.full = b.full || int64(b.Len()+len(p)) > b.limit; b.full {
		return 0, io.ErrShortWrite
	}
	return b.Buffer.Write(p)
}

func largest(fsys fs.FS, names []string) (out []string) {
	size := map[string]int64{}
	for _, name := range names {
		if info, err := fs.Stat(fsys, name); err == nil {
			size[name] = info.Size()
		}
	}
	names = slices.SortedFunc(slices.Values(names), func(a, b string) int { return cmp.Compare(size[b], size[a]) })
	for _, name := range names[:min(3, len(names))] {
		out = append(out, fmt.Sprintf("%s (%d MiB)", name, size[name]>>20))
	}
	return out
}

// WriteTarball writes a gzipped tar, as deterministic as WriteZip.
func WriteTarball(w io.Writer, files []Packed) error {
	gz := gzip.NewWriter(w)
	t := tar.NewWriter(gz)
	made := map[string]bool{}
	for _, f := range sortedFiles(files) {
		if err := tarParents(t, f.Name, made); err != nil {
			return err
		}
		r, mode, size, err := f.open()
		if err != nil {
			return err
		}
		err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: size, Mode: int64(mode.Perm()), ModTime: packTime})
		if err == nil {
			_, err = io.Copy(t, r)
		}
		r.Close()
		if err != nil {
			return fmt.Errorf("cannot pack %s: %w", f.Name, err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("cannot end the archive: %w", err)
	}
	if err := gz.Close(); err != nil {
		return fmt.Errorf("cannot end the archive: %w", err)
	}
	return nil
}

// tarParents writes the directories above a file, which some readers want to see.
func tarParents(t *tar.Writer, name string, made map[string]bool) error {
	dir := path.Dir(name)
	if dir == "." || made[dir] {
		return nil
	}
	if err := tarParents(t, dir, made); err != nil {
		return err
	}
	made[dir] = true
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: packTime}); err != nil {
		return fmt.Errorf("cannot pack %s: %w", dir, err)
	}
	return nil
}

func sortedFiles(files []Packed) []Packed {
	out := slices.Clone(files)
	slices.SortFunc(out, func(a, b Packed) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Packed) bool { return a.Name == b.Name })
}

// open returns the content, what may be done with it (0644, or 0755 for programs) and its size.
func (p Packed) open() (io.ReadCloser, fs.FileMode, int64, error) {
	if p.FS == nil {
		return io.NopCloser(strings.NewReader(string(p.Data))), 0o644, int64(len(p.Data)), nil
	}
	f, err := p.FS.Open(p.From)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("cannot pack %s: %s", p.From, reason(err))
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, 0, 0, fmt.Errorf("cannot pack %s: it is no regular file", p.From)
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return f, mode, info.Size(), nil
}
