package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/spool"
	"github.com/orch-project/orch/pkg/diag"
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
	if err := limitBody(c, s.opts.MaxUpload); err != nil {
		return req, done, err
	}
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
	bundle, err := open(files[0], req)
	if err != nil {
		return req, done, err
	}
	req.Source = bundle.FS
	if req.Entry == "" {
		req.Entry = bundle.Entry
	}
	return req, func() { _ = bundle.Close(); _ = form.RemoveAll() }, nil
}

func open(h *multipart.FileHeader, req orch.Request) (*source.Bundle, error) {
	f, err := h.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The archive is read once more while the deployment runs, after the request has ended.
	data, size, err := spool.Read(f, memoryForm)
	if err != nil {
		return nil, badUpload(err)
	}
	name := req.SourceName
	if name == "" {
		name = h.Filename
	}
	b, list := source.OpenReader(name, data, size)
	if req.Entry != "" { // the client has chosen
		list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return d.Code == source.CodeEntry })
	}
	if list.HasErrors() {
		return nil, list.Err()
	}
	return b, nil
}

// limitBody limits the body of a request; one that says that it is larger is refused before it comes.
func limitBody(c echo.Context, limit int64) error {
	r := c.Request()
	if r.ContentLength > limit {
		return badUpload(&http.MaxBytesError{Limit: limit})
	}
	r.Body = http.MaxBytesReader(c.Response(), r.Body, limit)
	return nil
}

func badUpload(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &statusError{http.StatusRequestEntityTooLarge, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}}
	case errors.Is(err, errSlow):
		return &statusError{http.StatusRequestTimeout, &orch.Error{Kind: orch.KindUser, Err: err}}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &statusError{http.StatusRequestTimeout, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("nothing more of the body came for %s", bodyPause)}}
	}
	return &orch.Error{Kind: orch.KindUser, Msg: "cannot read the upload", Err: err}
}

// decodeJSON reads a body that must be JSON and say so.
func decodeJSON(c echo.Context, into any) error { return decodeLarge(c, into, memoryForm) }

// decodeLarge is decodeJSON with another limit.
func decodeLarge(c echo.Context, into any, limit int64) error {
	kind, _, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	if err != nil || kind != echo.MIMEApplicationJSON {
		given := c.Request().Header.Get(echo.HeaderContentType)
		return &statusError{http.StatusUnsupportedMediaType, &orch.Error{Kind: orch.KindUser, Msg: fmt.Sprintf("%.80q is no type that is taken here", given),
			Hint: "send JSON, with Content-Type: application/json"}}
	}
	if err := limitBody(c, limit); err != nil {
		return err
	}
	return strict(c.Request().Body, into)
}

// bodyError says where a body is wrong.
type bodyError struct {
	pointer, detail string
}

func (e *bodyError) Error() string {
	if e.pointer == "" {
		return e.detail
	}
	return e.pointer + ": " + e.detail
}

// strict decodes JSON, refusing unknown fields, wrong types and trailing text, and says where they are.
func strict(r io.Reader, into any) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return badUpload(err)
	}
	if err := check(raw, into); err != nil {
		return &orch.Error{Kind: orch.KindUser, Msg: "cannot read the request", Err: err, Hint: "send a JSON object as docs/api.md describes it"}
	}
	return nil
}

func check(raw []byte, into any) error {
	if !json.Valid(raw) {
		return notJSON(raw)
	}
	if p, ok := twice(json.NewDecoder(bytes.NewReader(raw)), ""); ok {
		return &bodyError{p, "it is there twice"}
	}
	if p, ok := unknownField(raw, reflect.TypeOf(into), ""); ok {
		return &bodyError{p, "there is no such field"}
	}
	err := json.Unmarshal(raw, into)
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) {
		return &bodyError{pointer(strings.Split(typed.Field, ".")...), fmt.Sprintf("not what belongs here: %s", typed.Value)}
	}
	if err != nil {
		return &bodyError{"", err.Error()}
	}
	return nil
}

// notJSON tells where the text stops being JSON.
func notJSON(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	var any any
	if err := d.Decode(&any); err != nil {
		if errors.Is(err, io.EOF) {
			return &bodyError{"", "the body is empty"}
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return &bodyError{"", "it is cut off"}
		}
		return &bodyError{"", err.Error()}
	}
	return &bodyError{"", "text after the JSON value"}
}
