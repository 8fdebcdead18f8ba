package a4c

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/pkg/orch"
)

// A large archive goes through a file, which does not stay; nor does that of one that is refused.
func TestLargeArchives(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	noise := make([]byte, inMemory+1)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	files := mongo(t)
	files["9c1e/data.bin"] = string(noise)
	s := newSite(t)
	a := connect(s, "shop")
	a.deploy(files)
	a.awaitState("DEPLOYED")
	if r := s.Send("PUT", "/deployments/other", zipType, noise); r.Status != 400 {
		t.Errorf("no archive: %+v", r)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), "orch-body-") {
			t.Errorf("left: %s", e.Name())
		}
	}
	a.undeploy()
	a.awaitState("UNDEPLOYED")
}

// What a file was put into can be read when the request has ended.
func TestSpooledArchivesStay(t *testing.T) {
	files := mongo(t)
	files["data.bin"] = strings.Repeat("x", 10)
	noise := make([]byte, inMemory)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	files["noise.bin"] = string(noise)
	s := &Server{opts: Options{MaxUpload: defaultMaxUpload}}
	req := httptest.NewRequest("PUT", "/deployments/x", bytes.NewReader(archive(t, files)))
	b, err := s.archive(echo.New().NewContext(req, httptest.NewRecorder()), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	for name, want := range files {
		if got, err := fs.ReadFile(b.FS, name); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// What is too large is refused, a body that says so itself without reading it.
func TestOversizedArchives(t *testing.T) {
	s := &Server{opts: Options{MaxUpload: 100}}
	for _, declared := range []bool{true, false} {
		req := httptest.NewRequest("PUT", "/deployments/x", strings.NewReader(strings.Repeat("x", 200)))
		if !declared {
			req.ContentLength = -1
		}
		_, err := s.archive(echo.New().NewContext(req, httptest.NewRecorder()), "x")
		if p := problemOf(err); p.status != 413 || p.id != "request_too_large" {
			t.Errorf("declared %v: %+v", declared, p)
		}
	}
	if p := problemOf(os.ErrDeadlineExceeded); p.status != 408 {
		t.Errorf("a body that stops: %+v", p)
	}
}

// Who is not let through is told so in Yorc's words.
func TestRefuse(t *testing.T) {
	w := httptest.NewRecorder()
	Refuse(w, nil, orch.Problem{Status: 403, Detail: "the role operator is needed"})
	var doc errorDocument
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 403 || w.Header().Get("Content-Type") != jsonType {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if len(doc.Errors) != 1 || doc.Errors[0] != (errorEntry{"forbidden", 403, "Forbidden", "the role operator is needed"}) {
		t.Errorf("%+v", doc)
	}
}
