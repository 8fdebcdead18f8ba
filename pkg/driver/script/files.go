package script

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/topology"
)

// bigFile is where files are linked instead of copied, and uploaded one by one so that an upload can be resumed.
const bigFile = 4 << 20

// unit is what is uploaded and laid out as one: a file, or the small files of a directory as a tar.
type unit struct {
	kind   string // file, big, tree
	path   string // below the work directory
	mode   fs.FileMode
	digest string // SHA-256 of what open gives
	size   int64
	open   func() (io.ReadCloser, error)
	// files of a tree, for hosts without tar.
	files []unit
}

// collect makes the units of a file or directory of the topology.
func collect(fsys fs.FS, name string) ([]unit, error) {
	name = path.Clean(name)
	if fsys == nil {
		return nil, fmt.Errorf("cannot read %s: the topology has no files", name)
	}
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, errors.Unwrap(err))
	}
	if !info.IsDir() {
		u, err := fileUnit(fsys, name)
		return []unit{u}, err
	}
	tree := unit{kind: "tree", path: name, mode: 0o755}
	var units []unit
	err = fs.WalkDir(fsys, name, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := fs.Stat(fsys, p); err != nil || !info.Mode().IsRegular() {
			return err // a link to a directory, a socket: nothing to upload
		}
		u, err := fileUnit(fsys, p)
		if err != nil {
			return err
		}
		if u.kind == "big" {
			units = append(units, u)
		} else {
			tree.files = append(tree.files, u)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	tree.open = func() (io.ReadCloser, error) { return tarOf(name, tree.files), nil }
	if err := tree.measure(); err != nil {
		return nil, err
	}
	return append([]unit{tree}, units...), nil
}

func fileUnit(fsys fs.FS, name string) (unit, error) {
	u := unit{kind: "file", path: name, mode: 0o644, open: func() (io.ReadCloser, error) { return fsys.Open(name) }}
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return u, fmt.Errorf("cannot read %s: %w", name, err)
	}
	head, err := u.head(4)
	if err != nil {
		return u, err
	}
	// Archives made on other systems lose the executable bit.
	if info.Mode()&0o111 != 0 || bytes.HasPrefix(head, []byte("#!")) || bytes.Equal(head, []byte("\x7fELF")) {
		u.mode = 0o755
	}
	if err := u.measure(); err != nil {
		return u, err
	}
	if u.size >= bigFile {
		u.kind = "big"
	}
	return u, nil
}

// textUnit is a file that exists in the document only.
func textUnit(name, text string) unit {
	sum := sha256.Sum256([]byte(text))
	return unit{kind: "file", path: name, mode: 0o755, digest: hex.EncodeToString(sum[:]), size: int64(len(text)),
		open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

// measure reads the unit once for its digest and size.
func (u *unit) measure() error {
	h := sha256.New()
	n, err := u.copyTo(h)
	u.size, u.digest = n, hex.EncodeToString(h.Sum(nil))
	return err
}

func (u *unit) copyTo(w io.Writer) (int64, error) {
	r, err := u.open()
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", u.path, err)
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err != nil {
		err = fmt.Errorf("cannot read %s: %w", u.path, err)
	}
	return n, err
}

// head returns up to n first bytes.
func (u *unit) head(n int64) ([]byte, error) {
	r, err := u.open()
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", u.path, err)
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, n))
}

// treeOf makes the units of named files: a tree of the small ones, and each big one.
func treeOf(fsys fs.FS, dir string, names []string) ([]unit, error) {
	tree := unit{kind: "tree", path: dir, mode: 0o755}
	var units []unit
	for _, name := range names {
		u, err := fileUnit(fsys, name)
		if err != nil {
			return nil, err
		}
		if u.kind == "big" {
			units = append(units, u)
		} else {
			tree.files = append(tree.files, u)
		}
	}
	if len(tree.files) == 0 {
		return units, nil
	}
	tree.open = func() (io.ReadCloser, error) { return tarOf(dir, tree.files), nil }
	if err := tree.measure(); err != nil {
		return nil, err
	}
	return append([]unit{tree}, units...), nil
}

// openAt opens the unit for going on with an interrupted upload.
func (u *unit) openAt(offset int64) (io.ReadCloser, error) {
	r, err := u.open()
	if err != nil {
		return nil, err
	}
	if s, ok := r.(io.Seeker); ok {
		if _, err := s.Seek(offset, io.SeekStart); err == nil {
			return r, nil
		}
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// tarOf streams files as a tar with paths relative to dir. The same files give the same bytes.
func tarOf(dir string, files []unit) io.ReadCloser {
	pr, pw := io.Pipe()
	go func() {
		tw := tar.NewWriter(pw)
		pw.CloseWithError(func() error {
			for _, f := range files {
				name := strings.TrimPrefix(f.path, dir+"/")
				if err := addFile(tw, name, &f); err != nil {
					return err
				}
			}
			return tw.Close()
		}())
	}()
	return pr
}

func addFile(tw *tar.Writer, name string, u *unit) error {
	// GNU's format is what busybox understands of long names.
	h := &tar.Header{Name: name, Mode: int64(u.mode.Perm()), Size: u.size, ModTime: time.Unix(946684800, 0), Format: tar.FormatGNU}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	n, err := u.copyTo(tw)
	if err == nil && n != u.size {
		err = fmt.Errorf("%s changed while it was read", u.path)
	}
	return err
}

// verify compares a file with the checksum that the document gives for it.
func verify(a *topology.Artifact, u *unit) error {
	if a.Checksum == "" || u.kind == "tree" {
		return nil
	}
	var h hash.Hash
	switch strings.ToLower(strings.ReplaceAll(a.ChecksumAlg, "-", "")) {
	case "", "sha256":
		h = sha256.New()
	case "sha512":
		h = sha512.New()
	case "sha384":
		h = sha512.New384()
	case "sha1", "sha":
		h = sha1.New()
	case "md5":
		h = md5.New()
	default:
		return fmt.Errorf("cannot verify %s: unknown checksum algorithm %q (known: MD5, SHA-1, SHA-256, SHA-384, SHA-512)", a.File, a.ChecksumAlg)
	}
	if _, err := u.copyTo(h); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, a.Checksum) {
		return fmt.Errorf("%s is not what the document says: its %s checksum is %s, not %s", a.File, a.ChecksumAlg, got, a.Checksum)
	}
	return nil
}
