package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/source"
)

// memoryForm is how much of an upload is held in memory; the rest goes to temporary files.
const memoryForm = 8 << 20

// request reads an orch.Request: a JSON body, or multipart/form-data with a part "request" (JSON) and a part "source" (zip or tar).
// done releases the upload.
func (s *Server) request(c echo.Context) (req orch.Request, done func(), err error) {
	done = func() {}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, s.opts.MaxUpload)
	if !strings.HasPrefix(r.Header.Get(echo.HeaderContentType), "multipart/form-data") {
		return req, done, decodeJSON(c, &req)
	}
	if err := r.ParseMultipartForm(memoryForm); err != nil {
		return req, done, badUpload(err)
	}
	form := r.MultipartForm
	done = func() { _ = form.RemoveAll() }
	if err := strict(strings.NewReader(r.FormValue("request")), &req); err != nil {
		return req, done, err
	}
	files := form.File["source"]
	if len(files) == 0 {
		return req, done, nil
	}
	bundle, err := open(files[0], req.SourceName)
	if err != nil {
		return req, done, err
	}
	req.Source = bundle.FS
	if req.Entry == "" {
		req.Entry = bundle.Entry
	}
	return req, func() { _ = bundle.Close(); _ = form.RemoveAll() }, nil
}

func open(h *multipart.FileHeader, name string) (*source.Bundle, error) {
	f, err := h.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The archive is read once more while the deployment runs, after the request has ended.
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, badUpload(err)
	}
	if name == "" {
		name = h.Filename
	}
	b, list := source.OpenReader(name, bytes.NewReader(data), int64(len(data)))
	if list.HasErrors() {
		return nil, list.Err()
	}
	return b, nil
}

func badUpload(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &echo.HTTPError{Code: http.StatusRequestEntityTooLarge}
	}
	return &orch.Error{Kind: orch.KindUser, Msg: "cannot read the upload", Err: err}
}

func decodeJSON(c echo.Context, into any) error {
	return strict(http.MaxBytesReader(c.Response(), c.Request().Body, memoryForm), into)
}

// strict decodes JSON, refusing unknown fields and trailing text.
func strict(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("text after the JSON value")
	}
	if err != nil {
		return &orch.Error{Kind: orch.KindUser, Msg: "cannot read the request", Err: err, Hint: "send a JSON object as docs/api.md describes it"}
	}
	return nil
}
