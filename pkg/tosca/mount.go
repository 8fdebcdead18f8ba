package tosca

import (
	"io/fs"
	"strings"
)

// mounts is a file system that has others mounted under hidden prefixes: imported archives and libraries.
type mounts struct {
	root fs.FS
	at   map[string]fs.FS // prefix without slash
	// shown are the beginnings of files' names in positions, by prefix, of archives of import paths.
	shown map[string]string
}

// mountDir holds all mounts.
const mountDir = ".orch"

// importsDir holds archives of import paths.
const importsDir = mountDir + "/imports/"

func (m *mounts) find(name string) (fs.FS, string) {
	if !strings.HasPrefix(name, mountDir+"/") {
		return m.root, name
	}
	// .orch/<kind>/<name>[/…]
	parts := strings.SplitN(name, "/", 4)
	if len(parts) < 3 {
		return m.root, name
	}
	fsys, ok := m.at[strings.Join(parts[:3], "/")]
	if !ok {
		return m.root, name
	}
	if len(parts) == 3 {
		return fsys, "."
	}
	return fsys, parts[3]
}

// Open implements fs.FS.
func (m *mounts) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	fsys, rest := m.find(name)
	return fsys.Open(rest)
}

// Stat implements fs.StatFS.
func (m *mounts) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrInvalid}
	}
	fsys, rest := m.find(name)
	return fs.Stat(fsys, rest)
}

// ReadFile implements fs.ReadFileFS.
func (m *mounts) ReadFile(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	fsys, rest := m.find(name)
	return fs.ReadFile(fsys, rest)
}

// ReadDir implements fs.ReadDirFS.
func (m *mounts) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	fsys, rest := m.find(name)
	return fs.ReadDir(fsys, rest)
}

// mount adds a file system and returns its prefix.
func (m *mounts) mount(kind, name string, fsys fs.FS) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, name)
	prefix := mountDir + "/" + kind + "/" + clean
	for m.at[prefix] != nil && m.at[prefix] != fsys {
		prefix += "_"
	}
	m.at[prefix] = fsys
	return prefix
}
