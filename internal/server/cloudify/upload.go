package cloudify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/orch-project/orch/internal/server/jsonbody"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
)

// An upload comes in two forms:
//
//	cfy 7:      multipart/form-data: params (JSON) and blueprint_archive (a file), or blueprint_archive_url in params
//	all others: the parameters in the query, the archive as the body; or blueprint_archive_url and no body
type uploadParams struct {
	Main       string       `json:"application_file_name"`
	URL        string       `json:"blueprint_archive_url"`
	Visibility string       `json:"visibility"`
	Private    flag         `json:"private_resource"`
	Async      flag         `json:"async_upload"`
	Skip       flag         `json:"skip_execution"`
	Labels     wishedLabels `json:"labels"`
	// of updates
	Inputs map[string]any `json:"inputs"`
}

// upload reads parameters and archive; the archive is nil if there is none.
func (q *request) upload() (p uploadParams, archive orch.Content, err error) {
	if err := p.query(q.QueryParams()); err != nil {
		return p, nil, err
	}
	body := http.MaxBytesReader(q.Response(), q.Request().Body, q.opts.MaxUpload)
	t, attrs, _ := mime.ParseMediaType(q.Request().Header.Get("Content-Type"))
	if t == "multipart/form-data" {
		archive, err = p.parts(multipart.NewReader(body, attrs["boundary"]))
	} else {
		archive, err = orch.ReadContent(body)
	}
	if err != nil {
		return p, nil, uploadError(err)
	}
	if p.URL != "" {
		if sent(archive) {
			return p, nil, badParameters("Can't pass both a blueprint URL via query parameters and blueprint data via the request body at the same time")
		}
		archive, err = q.fetch(p.URL)
	}
	if !sent(archive) {
		archive = nil
	}
	return p, archive, err
}

func sent(archive orch.Content) bool { return archive != nil && archive.Size() > 0 }

func uploadError(err error) error {
	var own *problem
	var large *http.MaxBytesError
	if errors.As(err, &own) || errors.As(err, &large) || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return badParameters("The upload cannot be read: %v", err)
}

func (p *uploadParams) query(v url.Values) error {
	p.Main, p.URL, p.Visibility = v.Get("application_file_name"), v.Get("blueprint_archive_url"), v.Get("visibility")
	for name, into := range map[string]*flag{"private_resource": &p.Private, "async_upload": &p.Async, "skip_execution": &p.Skip} {
		b, err := parseBool(name, v.Get(name))
		if err != nil {
			return err
		}
		*into = flag(b)
	}
	return p.queryLabels(v.Get("labels"))
}

// queryLabels are JSON, or "key=value,key=value".
func (p *uploadParams) queryLabels(s string) error {
	if s == "" {
		return nil
	}
	if strings.HasPrefix(s, "[") {
		return decode([]byte(s), &p.Labels)
	}
	for part := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(part, "=")
		if !ok {
			return badParameters("Labels must be of the form key=value: %s", part)
		}
		p.Labels = append(p.Labels, [2]string{k, v})
	}
	return p.Labels.check()
}

// parts reads a form.
func (p *uploadParams) parts(r *multipart.Reader) (archive orch.Content, err error) {
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return archive, nil
		}
		if err != nil {
			return nil, err
		}
		if part.FormName() == "blueprint_archive" {
			archive, err = orch.ReadContent(part)
		} else {
			err = p.field(part)
		}
		if err != nil {
			return nil, err
		}
	}
}

// field reads a part that is no file.
func (p *uploadParams) field(part *multipart.Part) error {
	data, err := io.ReadAll(io.LimitReader(part, maxBody+1))
	switch name := part.FormName(); {
	case err != nil:
		return err
	case len(data) > maxBody:
		return &http.MaxBytesError{Limit: maxBody}
	case name == "params":
		err = decode(data, p)
		jsonbody.PlainMap(p.Inputs)
	case name == "inputs":
		if err := json.Unmarshal(data, &p.Inputs); err != nil {
			return badParameters("The inputs cannot be read: %v", err)
		}
	}
	return err
}

func (q *request) fetch(address string) (orch.Content, error) {
	if q.opts.Fetch == nil {
		return nil, badParameters("This server does not fetch archives from URLs: send the archive itself")
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, refused("param_url_not_found_error", "%s is no URL of an archive", address)
	}
	r, err := q.opts.Fetch(q.Request().Context(), address)
	if err != nil {
		return nil, refused("param_url_not_found_error", "URL %s not found - %v", address, err)
	}
	defer r.Close()
	data, err := orch.ReadContent(io.LimitReader(r, q.opts.MaxUpload+1))
	if err != nil {
		return nil, refused("param_url_not_found_error", "URL %s cannot be read: %v", address, err)
	}
	if data.Size() > q.opts.MaxUpload {
		return nil, badParameters("The archive at %s is larger than %d bytes", address, q.opts.MaxUpload)
	}
	return data, nil
}

// fileName undoes the quoting of a file's name: cfy quotes it once, and once more in a query.
func fileName(s string) string {
	for range 2 {
		u, err := url.PathUnescape(s)
		if err != nil {
			break
		}
		s = u
	}
	return s
}

const defaultMain = "blueprint.yaml"

var errFormat = badParameters("Blueprint archive is of an unrecognized format. Supported formats are: zip, tar, tar.gz, tar.bz2")

// application is the bundle of a blueprint, with the directory of the archive that it is.
type application struct {
	orch.Bundle
	Dir string
}

// openBlueprint opens an archive at its application's directory: the only one at its root, or the root itself for archives that have none.
func openBlueprint(id, main string, archive orch.Content) (application, error) {
	b, list := source.OpenReader(id, archive, archive.Size())
	if b == nil {
		for _, d := range list {
			if strings.HasPrefix(d.Message, "not an archive") {
				return application{}, errFormat
			}
		}
		return application{}, list.Err()
	}
	if main = fileName(main); main == "" {
		main = defaultMain
	}
	main = path.Clean(main)
	if !fs.ValidPath(main) {
		return application{}, badParameters("The application's file %s is outside of the archive", main)
	}
	root, dir, err := applicationDir(b.FS, main)
	if err != nil {
		return application{}, err
	}
	if info, err := fs.Stat(root, main); err != nil || info.IsDir() {
		return application{}, badParameters("%s does not exist in the application directory", path.Join(dir, main))
	}
	return application{orch.Bundle{FS: root, Entry: main, Name: id}, dir}, nil
}

func applicationDir(fsys fs.FS, main string) (fs.FS, string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, "", fmt.Errorf("cannot read the archive: %w", err)
	}
	if len(entries) == 1 && entries[0].IsDir() {
		if info, err := fs.Stat(fsys, main); err == nil && !info.IsDir() {
			return fsys, "", nil // the main file's name has the directory in it
		}
		sub, err := fs.Sub(fsys, entries[0].Name())
		return sub, entries[0].Name(), err
	}
	return fsys, "", nil
}
