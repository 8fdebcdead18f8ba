package source

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/orch-project/orch/pkg/diag"
)

// Overlay has the content of files that an editor has changed and not saved, by their absolute paths.
type Overlay func(file string) ([]byte, bool)

// OpenDocument opens one document for an editor: what the overlay has counts over what lies on disk, and the document need not exist there
// yet. In a directory with a TOSCA.meta, or below one, paths may begin at that directory, as in the archive that will be made of it.
func OpenDocument(file string, overlay Overlay) (*Bundle, diag.List) {
	var list diag.List
	abs, err := filepath.Abs(file)
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: file}, "cannot open %s: %s", file, reason(err))
		return nil, list
	}
	dir, entry, single := filepath.Dir(abs), filepath.Base(abs), true
	for up, rest := dir, entry; ; {
		if closedArchive(up) {
			dir, entry, single = up, rest, false
			break
		}
		parent := filepath.Dir(up)
		if parent == up {
			break
		}
		rest = path.Join(filepath.Base(up), rest)
		up = parent
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		list.Errorf(CodeRead, diag.Pos{File: file}, "cannot open %s: %s", dir, reason(err))
		return nil, list
	}
	return &Bundle{
		Name: abs, FS: overlayFS{root.FS(), dir, overlay}, Entry: entry, Single: single, root: dir, close: root.Close, overlay: overlay,
	}, nil
}

// overlayFS shows the overlay's files of a directory over the directory's own.
type overlayFS struct {
	fs.FS
	dir     string
	overlay Overlay
}

func (o overlayFS) changed(name string) ([]byte, bool) {
	if !fs.ValidPath(name) {
		return nil, false
	}
	return o.overlay(filepath.Join(o.dir, filepath.FromSlash(name)))
}

// Open implements fs.FS.
func (o overlayFS) Open(name string) (fs.File, error) {
	if data, ok := o.changed(name); ok {
		return &memoryFile{Reader: bytes.NewReader(data), memoryInfo: memoryInfo{path.Base(name), int64(len(data))}}, nil
	}
	return o.FS.Open(name)
}

// Stat implements fs.StatFS.
func (o overlayFS) Stat(name string) (fs.FileInfo, error) {
	if data, ok := o.changed(name); ok {
		return memoryInfo{path.Base(name), int64(len(data))}, nil
	}
	return fs.Stat(o.FS, name)
}

type memoryInfo struct {
	name string
	size int64
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return 0o644 }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }

type memoryFile struct {
	*bytes.Reader
	memoryInfo
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f.memoryInfo, nil }
func (f *memoryFile) Close() error               { return nil }

// Size is ambiguous between the reader and the info; both say the same.
func (f *memoryFile) Size() int64 { return f.memoryInfo.size }
