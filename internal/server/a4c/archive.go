package a4c

import (
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/spool"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
)

// validID is what Yorc allows as a deployment's id.
var validID = regexp.MustCompile(`^[-_0-9a-zA-Z]+$`)

func checkID(id string) error {
	if !validID.MatchString(id) {
		return badRequest("Deployment id should respect the following format: " + validID.String())
	}
	return nil
}

// inMemory are the archives that are not put into a file, in bytes.
const inMemory = 4 << 20

// archive reads the CSAR in a request's body.
func (s *Server) archive(c echo.Context, id string) (*source.Bundle, error) {
	r := c.Request()
	if r.ContentLength > s.opts.MaxUpload {
		return nil, &http.MaxBytesError{Limit: s.opts.MaxUpload}
	}
	data, size, err := spool.Read(http.MaxBytesReader(c.Response(), r.Body, s.opts.MaxUpload), inMemory)
	if err != nil {
		return nil, bodyError(err)
	}
	return openArchive(id, data, size)
}

// openArchive opens a CSAR. There must be exactly one YAML document at its root.
func openArchive(id string, data io.ReaderAt, size int64) (*source.Bundle, error) {
	b, list := source.OpenReader(id+".zip", data, size)
	if err := list.Err(); err != nil {
		return nil, err
	}
	roots, err := documents(b.FS)
	if err != nil || len(roots) != 1 {
		_ = b.Close()
		if err != nil {
			return nil, badRequest("The archive cannot be read: " + err.Error())
		}
		return nil, badRequest("One and only one YAML (.yml or .yaml) file should be present at the root of the archive for deployment " + id)
	}
	b.Entry = roots[0]
	return b, nil
}

func documents(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if ext := strings.ToLower(path.Ext(e.Name())); !e.IsDir() && (ext == ".yml" || ext == ".yaml") {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// locationOf is the configured location that the nodes' metadata names. A deployment is in one location: where they name several, the plugin's
// own location (the default one) has to do.
func locationOf(b *source.Bundle, locations []string) string {
	doc, list := source.ParseFile(b.FS, b.Entry, b.Name)
	if list.HasErrors() {
		return "" // loading says what is wrong
	}
	found := ""
	for _, n := range doc.Get("topology_template").Get("node_templates").All() {
		name := n.Get("metadata").Get("location").Str()
		if !slices.Contains(locations, name) {
			continue
		}
		if found != "" && found != name {
			return ""
		}
		found = name
	}
	return found
}

// request for a new topology.
func (s *Server) request(c echo.Context, id string, b *source.Bundle) (orch.Request, error) {
	names, err := s.locationNames(c.Request().Context())
	return orch.Request{Verb: orch.Deploy, Deployment: id, NoQueue: true, Narrate: true, Source: b.FS, Entry: b.Entry, SourceName: b.Name, Location: locationOf(b, names), User: user(c)}, err
}

// user is the name in the client's certificate; without one nobody knows who asks.
func user(c echo.Context) string {
	if t := c.Request().TLS; t != nil && len(t.PeerCertificates) > 0 {
		return t.PeerCertificates[0].Subject.CommonName
	}
	return "alien4cloud"
}
