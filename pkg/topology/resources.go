package topology

import (
	"errors"
	"io/fs"
	"strings"
)

// Limits of what counts as the resources of a blueprint: a document that lies in somebody's home directory does not bring that along.
const (
	maxResources     = 5000
	maxResourceBytes = 64 << 20
)

var errTooMany = errors.New("too many")

// Resources are the files that operations may ask for by name while they run: for Cloudify's blueprints all that lie with the blueprint but
// hidden ones, as the whole directory belongs to it. It is nil for other dialects, and where the directory holds far more than a blueprint.
func (t *Topology) Resources() []string {
	if t.Files == nil || !strings.HasPrefix(t.Dialect, "cloudify_dsl_") {
		return nil
	}
	var names []string
	bytes := int64(0)
	err := fs.WalkDir(t.Files, ".", func(p string, d fs.DirEntry, err error) error {
		hidden := p != "." && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil || d.IsDir() && hidden:
			return fs.SkipDir
		case d.IsDir() || hidden:
			return nil
		}
		info, err := fs.Stat(t.Files, p)
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		if bytes += info.Size(); bytes > maxResourceBytes || len(names) == maxResources {
			return errTooMany
		}
		names = append(names, p)
		return nil
	})
	if err != nil {
		return nil
	}
	return names
}
