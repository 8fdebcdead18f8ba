package tosca

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// KeptDir holds, beside the root document, copies of what it imports from the network: LockFile with the SHA-256 sum of each URL's document,
// and the documents under their sums. What is kept is read instead of the network.
const (
	KeptDir  = ".orch-imports"
	LockFile = KeptDir + "/lock.json"
)

// CodeKept marks a copy that is not what the lock says.
const CodeKept = "kept-import"

func init() {
	diag.Register(diag.Code{ID: CodeKept, Title: "A kept import is not what was kept", Text: "Documents that were imported from the network are kept with the deployment, or in the directory `" + KeptDir + "` of an archive, with their SHA-256 sums in `" + LockFile + "`. A copy that is missing or has another sum is refused. Deploy again with `--allow-network` to read it anew, or restore the copy."})
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

// Keep returns the files of KeptDir for what a topology imported from the network, by path; nil for nothing.
func Keep(t *topology.Topology) map[string][]byte {
	if t == nil || len(t.Network) == 0 {
		return nil
	}
	lock, out := map[string]string{}, map[string][]byte{}
	for _, f := range t.Network {
		lock[f.URL] = digest(f.Data)
		out[path.Join(KeptDir, lock[f.URL])] = f.Data
	}
	raw, err := json.MarshalIndent(lock, "", "  ")
	if err != nil {
		return nil // a map of texts
	}
	out[LockFile] = append(raw, '\n')
	return out
}

// remoteDir is the address that a file of the network lies at, "" for other files.
func (l *loader) remoteDir(name string) string {
	if !strings.HasPrefix(name, mountDir+"/network/") {
		return ""
	}
	parts := strings.SplitN(name, "/", 4)
	return l.display[strings.Join(parts[:3], "/")]
}
