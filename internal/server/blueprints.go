package server

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// uploads are the types of a blueprint's upload. The content decides what it is; JSON or HTML is a client's mistake that should be told.
var uploads = []string{"application/zip", "application/x-zip-compressed", "application/x-tar", "application/gzip", "application/x-gzip", "application/yaml",
	"application/x-yaml", "text/yaml", "text/x-yaml", "text/plain", "application/octet-stream", "application/vnd.oasis.csar"}

// upload reads a blueprint: the document itself as body, with the rest as parameters, or a form with a part "archive".
func (s *Server) upload(c echo.Context) (b orch.NewBlueprint, err error) {
	r := c.Request()
	b = orch.NewBlueprint{Name: param(c, "blueprint"), Version: param(c, "version"), Entry: c.QueryParam("entry"), Filename: c.QueryParam("filename")}
	if b.Name == "" {
		b.Name = c.QueryParam("name")
	}
	if b.Version == "" {
		b.Version = c.QueryParam("version")
	}
	if b.Unchecked, err = boolParam(c, "unchecked"); err != nil {
		return b, err
	}
	if b.Labels, err = labels(c.QueryParams()["label"]); err != nil {
		return b, err
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil && r.Header.Get(echo.HeaderContentType) != "" {
		return b, unsupported(r.Header.Get(echo.HeaderContentType))
	}
	if err := limitBody(c, s.opts.MaxUpload); err != nil {
		return b, err
	}
	switch {
	case kind == "multipart/form-data":
		return s.uploadForm(c, b)
	case kind != "" && !contains(uploads, kind):
		return b, unsupported(kind)
	}
	return b, keep(&b, r.Body)
}

func (s *Server) uploadForm(c echo.Context, b orch.NewBlueprint) (orch.NewBlueprint, error) {
	r := c.Request()
	if err := r.ParseMultipartForm(memoryForm); err != nil {
		return b, badUpload(err)
	}
	defer func() { _ = r.MultipartForm.RemoveAll() }()
	set := func(to *string, name string) {
		if v := r.PostFormValue(name); v != "" && *to == "" {
			*to = v
		}
	}
	set(&b.Name, "name")
	set(&b.Version, "version")
	set(&b.Entry, "entry")
	more, err := labels(r.PostForm["label"])
	if err != nil {
		return b, err
	}
	for k, v := range more {
		if b.Labels == nil {
			b.Labels = map[string]string{}
		}
		b.Labels[k] = v
	}
	files := r.MultipartForm.File["archive"]
	if len(files) != 1 {
		return b, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("the form has %d parts named archive; it needs one", len(files))}
	}
	f, err := files[0].Open()
	if err != nil {
		return b, badUpload(err)
	}
	defer f.Close()
	if b.Filename == "" {
		b.Filename = files[0].Filename
	}
	return b, keep(&b, f)
}

// keep gives a blueprint what was uploaded.
func keep(b *orch.NewBlueprint, r io.Reader) error {
	data, err := orch.ReadContent(r)
	if err != nil {
		return badUpload(err)
	}
	b.Content, b.Size = data, data.Size()
	return nil
}

func labels(texts []string) (map[string]string, error) {
	var out map[string]string
	for _, t := range texts {
		k, v, ok := strings.Cut(t, "=")
		if !ok || k == "" {
			return nil, badParam("label", t, "of the form key=value")
		}
		if out == nil {
			out = map[string]string{}
		}
		out[k] = v
	}
	return out, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func unsupported(kind string) error {
	return &statusError{http.StatusUnsupportedMediaType, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("%.80q is no type that is taken here", kind),
		Hint: "docs/api.md lists the types; an archive is application/zip, application/x-tar or application/gzip, a document application/yaml"}}
}

func (s *Server) uploadBlueprint(c echo.Context) error {
	b, err := s.upload(c)
	if err != nil {
		return err
	}
	begun := time.Now().UTC()
	b.New = c.Request().Header.Get("If-None-Match") == "*"
	about(c, b.Name+" "+b.Version)
	made, err := s.service(c).Blueprints().Upload(c.Request().Context(), b)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, base+"/blueprints/"+url.PathEscape(made.Name)+"/versions/"+url.PathEscape(made.Version))
	c.Response().Header().Set("ETag", quoted(made.SHA256))
	if made.Created.Before(begun) {
		return c.JSON(http.StatusOK, made) // it was there
	}
	return c.JSON(http.StatusCreated, made)
}

// validate answers 200 with findings also where they are errors: having them is what the client asked for.
func (s *Server) validate(c echo.Context) error {
	b, err := s.upload(c)
	if err != nil {
		return err
	}
	made, err := s.service(c).Blueprints().Validate(c.Request().Context(), b)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, made)
}

func (s *Server) blueprints(c echo.Context) error {
	all, err := s.service(c).Blueprints().List(c.Request().Context())
	if all == nil {
		all = []orch.Blueprint{}
	}
	return answer(c, all, err)
}

func (s *Server) blueprintVersions(c echo.Context) error {
	all, err := s.service(c).Blueprints().Versions(c.Request().Context(), param(c, "blueprint"))
	return answer(c, all, err)
}

func (s *Server) blueprint(c echo.Context) error {
	b, err := s.service(c).Blueprints().Get(c.Request().Context(), param(c, "blueprint"), param(c, "version"))
	if err != nil {
		return err
	}
	return tagged(c, quoted(b.SHA256), func() error { return c.JSON(http.StatusOK, b) })
}

func (s *Server) blueprintArchive(c echo.Context) error {
	b, data, err := s.service(c).Blueprints().Download(c.Request().Context(), param(c, "blueprint"), param(c, "version"))
	if err != nil {
		return err
	}
	return tagged(c, quoted(b.SHA256), func() error {
		c.Response().Header().Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": b.Filename}))
		c.Response().Header().Set(echo.HeaderContentLength, strconv.FormatInt(data.Size(), 10))
		return c.Stream(http.StatusOK, echo.MIMEOctetStream, data)
	})
}

func (s *Server) removeBlueprint(c echo.Context) error {
	ctx, catalogue := c.Request().Context(), s.service(c).Blueprints()
	name, version := param(c, "blueprint"), param(c, "version")
	err := unchanged(c, func() (string, error) {
		b, err := catalogue.Get(ctx, name, version)
		return quoted(b.SHA256), err
	})
	if err == nil {
		err = catalogue.Remove(ctx, name, version, digests(c)...) // which looks again, as it may have been changed since
	}
	if errors.Is(err, orch.ErrChanged) {
		return &statusError{http.StatusPreconditionFailed, err}
	}
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
