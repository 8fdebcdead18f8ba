package source

import (
	"io"
	"io/fs"
	"testing/fstest"

	"github.com/orch-project/orch/internal/spool"
)

// tarInMemory is how much of an unpacked tar is held in memory, in bytes; a larger one lies in a file.
const tarInMemory = 16 << 20

// tarFS is an unpacked tar. What its files hold lies one behind the other in data; tree knows their names and modes, and that they are empty.
type tarFS struct {
	tree fstest.MapFS
	at   map[string]extent
	data spool.Data
}

// extent is where in the data a file lies.
type extent struct{ from, size int64 }

// Open implements fs.FS.
func (t *tarFS) Open(name string) (fs.File, error) {
	f, err := t.tree.Open(name)
	if err != nil {
		return nil, err
	}
	if x, ok := t.at[name]; ok {
		return &tarFile{File: f, SectionReader: io.NewSectionReader(t.data, x.from, x.size)}, nil
	}
	if dir, ok := f.(fs.ReadDirFile); ok {
		return tarDir{dir, t, name}, nil
	}
	return f, nil
}

// tarFile is an opened file: a piece of the data.
type tarFile struct {
	fs.File
	*io.SectionReader
}

// Read implements fs.File.
func (f *tarFile) Read(p []byte) (int, error) { return f.SectionReader.Read(p) }

// Stat implements fs.File.
func (f *tarFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return sized{info, f.Size()}, err
}

// tarDir is an opened directory.
type tarDir struct {
	fs.ReadDirFile
	t    *tarFS
	name string
}

// ReadDir implements fs.ReadDirFile.
func (d tarDir) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := d.ReadDirFile.ReadDir(n)
	for i, e := range entries {
		name := e.Name()
		if d.name != "." {
			name = d.name + "/" + name
		}
		x, file := d.t.at[name]
		if info, err := e.Info(); file && err == nil {
			entries[i] = fs.FileInfoToDirEntry(sized{info, x.size})
		}
	}
	return entries, err
}

// sized is a file's description with the size that it has.
type sized struct {
	fs.FileInfo
	size int64
}

// Size implements fs.FileInfo.
func (s sized) Size() int64 { return s.size }
