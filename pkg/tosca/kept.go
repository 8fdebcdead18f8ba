package tosca

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// KeptDir holds, beside the root document, copies of what it imports from the network: LockFile with the SHA-256 sum of each URL's document,
// and the documents under their sums. What is kept is read instead of the network. It also holds what the topology uses of archives of import
// paths, so that a bundle can be loaded where these are not.
const (
	KeptDir  = ".orch-imports"
	LockFile = KeptDir + "/lock.json"
)

// CodeKept marks a copy that is not what the lock says.
const CodeKept = "kept-import"

func init() {
	diag.Register(diag.Code{ID: CodeKept, Title: "A kept import is not what was kept", Text: "Documents that were imported from the network are kept with the deployment, or in the directory `" + KeptDir + "` of an archive, with their SHA-256 sums in `" + LockFile + "`; what is used of archives in import paths lies there, too. A copy that is missing or has another sum is refused, as is a list of archives that cannot be read. Deploy again with `--allow-network` or `--import-path` to read it anew, or restore the copy."})
}

// errNoNetwork is for imports that only the network has, where it is not allowed.
var errNoNetwork = errors.New("the network is not used")

// read is a document of the network: its copy in the bundle, else what Fetch gives, else the copy in Kept.
func (l *loader) read(url string) ([]byte, error) {
	data, found, err := kept(l.b.FS, url)
	if !found && err == nil {
		switch {
		case l.o.Fetch != nil:
			data, err = l.o.Fetch(l.ctx, url)
		case l.o.Kept != nil:
			if data, found, err = kept(l.o.Kept, url); !found && err == nil {
				err = errNoNetwork
			}
		default:
			err = errNoNetwork
		}
	}
	if err != nil {
		return nil, err
	}
	l.network = append(l.network, topology.Fetched{URL: url, Data: data})
	return data, nil
}

// unread reports an import that could not be read.
func (l *loader) unread(url, beside string, err error, by importer) {
	code, message := "missing-import", fmt.Sprintf("cannot import %s: %s", url, err)
	switch {
	case errors.Is(err, errNoNetwork):
		code = "network-import"
	case errors.Is(err, errKept):
		code = CodeKept
	}
	d := l.diags.Errorf(code, by.pos, "%s", message)
	if d.Path = by.path; code == "network-import" {
		d.Hint = "allow it with --allow-network, or keep a copy beside the " + beside
	}
}

var errKept = errors.New("the copy that was kept is not the one that the lock names")

// kept finds the copy of a URL's document.
func kept(fsys fs.FS, url string) (data []byte, found bool, err error) {
	raw, err := fs.ReadFile(fsys, LockFile)
	if err != nil {
		return nil, false, nil
	}
	var lock map[string]string
	if err := json.Unmarshal(raw, &lock); err != nil {
		return nil, false, fmt.Errorf("%w: %s cannot be read: %w", errKept, LockFile, err)
	}
	sum, ok := lock[url]
	if !ok {
		return nil, false, nil
	}
	name := path.Join(KeptDir, sum)
	if !fs.ValidPath(name) || strings.Contains(sum, "/") {
		return nil, false, errKept
	}
	data, err = fs.ReadFile(fsys, name)
	if err != nil || digest(data) != sum {
		return nil, false, errKept
	}
	return data, true, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Keep returns the files of KeptDir for what a topology imported from the network and from import paths, by path; nil for nothing.
func Keep(t *topology.Topology) (map[string][]byte, error) {
	if t == nil {
		return nil, nil
	}
	out := map[string][]byte{}
	if len(t.Network) > 0 {
		lock := map[string]string{}
		for _, f := range t.Network {
			lock[f.URL] = digest(f.Data)
			out[path.Join(KeptDir, lock[f.URL])] = f.Data
		}
		if err := write(out, LockFile, lock); err != nil {
			return nil, err
		}
	}
	if err := keepArchives(t, out); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// keptArchive is an archive of an import path in archives.json, of which archives/NUMBER/NAME holds what the topology uses.
type keptArchive struct {
	Name  string `json:"name"`            // of its directory, by which plugins are found
	Shown string `json:"shown,omitempty"` // begins the names of its files in positions
}

const (
	archivesFile = KeptDir + "/archives.json"
	archivesDir  = KeptDir + "/archives"
)

func (k keptArchive) dir(i int) string { return path.Join(archivesDir, strconv.Itoa(i), k.Name) }

// keepArchives adds the documents and artifacts that come from archives of import paths.
func keepArchives(t *topology.Topology, out map[string][]byte) error {
	m, ok := t.Files.(*mounts)
	if !ok {
		return nil
	}
	var index []keptArchive
	for _, prefix := range slices.Sorted(maps.Keys(m.at)) {
		if !strings.HasPrefix(prefix, importsDir) {
			continue
		}
		k := keptArchive{path.Base(prefix), m.shown[prefix]}
		if named := strings.TrimRight(k.Shown, "/!"); named != "" && path.Base(named) != "." {
			k.Name = path.Base(named)
		}
		for _, s := range slices.Concat(t.Sources, t.Documents) {
			rest, ok := strings.CutPrefix(s, prefix+"/")
			if !ok {
				continue
			}
			err := regular(t.Files, s, func(f string) {
				if data, err := fs.ReadFile(t.Files, f); err == nil {
					out[path.Join(k.dir(len(index)), rest, strings.TrimPrefix(f, s))] = data
				}
			})
			if err != nil {
				return err
			}
		}
		index = append(index, k)
	}
	if len(index) == 0 {
		return nil
	}
	return write(out, archivesFile, index)
}

func write(out map[string][]byte, name string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot keep imports: %w", err)
	}
	out[name] = append(raw, '\n')
	return nil
}

// keptArchives are those of the bundle. They are looked at before those of the import path: the topology was made with them.
func (l *loader) keptArchives() []*archive {
	if l.keptRead {
		return l.keptDirs
	}
	l.keptRead = true
	raw, err := fs.ReadFile(l.b.FS, archivesFile)
	if err != nil {
		return nil
	}
	var index []keptArchive
	if err := json.Unmarshal(raw, &index); err != nil {
		l.diags.Errorf(CodeKept, diag.Pos{File: archivesFile}, "%s cannot be read: %v", archivesFile, err)
		return nil
	}
	for i, k := range index {
		dir := k.dir(i)
		if !fs.ValidPath(dir) || !strings.HasPrefix(dir, archivesDir+"/"+strconv.Itoa(i)+"/") {
			l.diags.Errorf(CodeKept, diag.Pos{File: archivesFile}, "%q cannot be the name of an archive", k.Name)
			continue
		}
		sub, err := fs.Sub(l.b.FS, dir)
		if err != nil {
			continue
		}
		if k.Shown == "" {
			k.Shown = dir + "/"
		}
		l.keptDirs = append(l.keptDirs, &archive{name: k.Name, fs: sub, shown: k.Shown})
	}
	return l.keptDirs
}

// WithKept is a bundle's file system with the files of Keep in it.
func WithKept(fsys fs.FS, files map[string][]byte) fs.FS {
	if len(files) == 0 {
		return fsys
	}
	kept := fstest.MapFS{}
	for name, data := range files {
		kept[name] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
	return &completed{fsys, kept}
}

// completed shows KeptDir of one file system, and all else of another.
type completed struct{ bundle, kept fs.FS }

func (c *completed) of(name string) fs.FS {
	if name == KeptDir || strings.HasPrefix(name, KeptDir+"/") {
		return c.kept
	}
	return c.bundle
}

// Open implements fs.FS.
func (c *completed) Open(name string) (fs.File, error) { return c.of(name).Open(name) }

// Stat implements fs.StatFS.
func (c *completed) Stat(name string) (fs.FileInfo, error) { return fs.Stat(c.of(name), name) }

// ReadDir implements fs.ReadDirFS.
func (c *completed) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(c.of(name), name)
	if err != nil || name != "." {
		return entries, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == KeptDir })
	info, err := fs.Stat(c.kept, KeptDir)
	if err != nil {
		return nil, err
	}
	return append(entries, fs.FileInfoToDirEntry(info)), nil
}

// remoteDir is the address that a file of the network lies at, "" for other files.
func (l *loader) remoteDir(name string) string {
	if !strings.HasPrefix(name, mountDir+"/network/") {
		return ""
	}
	parts := strings.SplitN(name, "/", 4)
	return l.display[strings.Join(parts[:3], "/")]
}
