package cloudify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// endless is as much of nothing as is asked for.
func endless(size int64) io.Reader { return io.LimitReader(zeros{}, size) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Archives are not held in memory, whichever way they come.
func TestLargeUploads(t *testing.T) {
	const size = 64 << 20
	s := &Server{opts: Options{MaxUpload: 2 * size, Fetch: func(context.Context, string) (io.ReadCloser, error) { return io.NopCloser(endless(size)), nil }}}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := w.WriteField("params", `{"application_file_name": "x.yaml"}`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.CreateFormFile("blueprint_archive", "filename"); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*http.Request{
		"multipart": httptest.NewRequest("PUT", "/", io.MultiReader(&form, endless(size), bytes.NewReader([]byte("\r\n--"+w.Boundary()+"--\r\n")))),
		"chunked":   httptest.NewRequest("PUT", "/?application_file_name=x.yaml", endless(size)),
		"url":       httptest.NewRequest("PUT", "/?application_file_name=x.yaml&blueprint_archive_url="+url.QueryEscape("http://example.org/x"), http.NoBody),
	} {
		if name == "multipart" {
			r.Header.Set("Content-Type", w.FormDataContentType())
		}
		q := &request{Context: echo.New().NewContext(r, httptest.NewRecorder()), Server: s}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, archive, err := q.upload()
		runtime.ReadMemStats(&after)
		if err != nil || archive.Size() != size || p.Main != "x.yaml" {
			t.Fatalf("%s: %+v, %v, %v", name, p, archive, err)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > size/2 {
			t.Errorf("%s: %d bytes were allocated for %d", name, made, size)
		}
	}
}

// A wagon in a zip, and what else a form has, is bounded.
func TestUploadsAreBounded(t *testing.T) {
	s := &Server{opts: Options{MaxUpload: 1 << 30}}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := w.WriteField("params", fmt.Sprintf(`{"application_file_name": %q}`, bytes.Repeat([]byte("x"), maxBody))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("PUT", "/", &form)
	r.Header.Set("Content-Type", w.FormDataContentType())
	_, _, err := (&request{Context: echo.New().NewContext(r, httptest.NewRecorder()), Server: s}).upload()
	if p := problemOf(err); p.status != http.StatusRequestEntityTooLarge {
		t.Errorf("parameters of %d bytes: %+v", maxBody, p)
	}
	packed := wagon(t, map[string]string{"plugin.yaml": shopPlugin})
	var content orch.Content = bytes.NewReader(packed)
	if _, _, err := readPlugin(content); err != nil {
		t.Error(err)
	}
}
