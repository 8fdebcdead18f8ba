package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/mem"
)

// counting is a stub that counts what was begun, and can be told to fail or to wait.
type counting struct {
	*stub
	mu    sync.Mutex
	n     int
	fail  error
	block chan struct{}
	begun chan struct{}
}

func (c *counting) Apply(_ context.Context, req orch.Request) (orch.Task, error) {
	c.mu.Lock()
	c.n++
	n, fail := c.n, c.fail
	c.mu.Unlock()
	if c.block != nil {
		close(c.begun)
		<-c.block
	}
	return orch.Task{ID: fmt.Sprint("t", n), Deployment: req.Deployment, Status: "running"}, fail
}

func post(h http.Handler, key, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, base+"/tasks", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	if key != "" {
		r.Header.Set(keyHeader, key)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

const asJSON = "application/json"

func TestTheSameKeyDoesNothingTwice(t *testing.T) {
	c := &counting{stub: &stub{}}
	s := New(Options{Service: c, Store: mem.New(mem.Options{})})
	h := validated(t, s.Handler())
	first := post(h, "k1", asJSON, `{"deployment":"web"}`)
	again := post(h, "k1", asJSON, `{"deployment":"web"}`)
	if first.Code != 202 || again.Code != 202 || first.Body.String() != again.Body.String() || c.n != 1 {
		t.Errorf("%d %s, then %d %s; done %d times", first.Code, first.Body, again.Code, again.Body, c.n)
	}
	if again.Header().Get(replayHeader) != "true" || first.Header().Get(replayHeader) != "" || again.Header().Get("Location") != first.Header().Get("Location") || again.Header().Get("Location") == "" {
		t.Errorf("%v, %v", first.Header(), again.Header())
	}
	for name, tt := range map[string]struct {
		rec    *httptest.ResponseRecorder
		status int
	}{
		"another body":  {post(h, "k1", asJSON, `{"deployment":"web2"}`), 422},
		"another key":   {post(h, "k2", asJSON, `{"deployment":"web"}`), 202},
		"no key":        {post(h, "", asJSON, `{"deployment":"web"}`), 202},
		"key too long":  {post(h, strings.Repeat("k", 256), asJSON, `{}`), 400},
		"control chars": {post(h, "a\x01", asJSON, `{}`), 400},
	} {
		if tt.rec.Code != tt.status {
			t.Errorf("%s: %d %s", name, tt.rec.Code, tt.rec.Body)
		}
	}
	if c.n != 3 {
		t.Errorf("done %d times", c.n)
	}
}

func TestAFailureMayBeTriedAgain(t *testing.T) {
	c := &counting{stub: &stub{}, fail: &orch.Error{Kind: orch.KindConflict, Msg: "busy"}}
	h := validated(t, New(Options{Service: c, Store: mem.New(mem.Options{})}).Handler())
	if rec := post(h, "k", asJSON, `{"deployment":"web"}`); rec.Code != 409 {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	c.fail = nil
	if rec := post(h, "k", asJSON, `{"deployment":"web"}`); rec.Code != 202 || c.n != 2 {
		t.Errorf("%d %s, %d", rec.Code, rec.Body, c.n)
	}
}

func TestTheSameKeyAtTheSameTime(t *testing.T) {
	c := &counting{stub: &stub{}, block: make(chan struct{}), begun: make(chan struct{})}
	h := New(Options{Service: c, Store: mem.New(mem.Options{})}).Handler()
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- post(h, "k", asJSON, `{"deployment":"web"}`) }()
	<-c.begun
	if rec := post(h, "k", asJSON, `{"deployment":"web"}`); rec.Code != 409 {
		t.Errorf("while it runs: %d %s", rec.Code, rec.Body)
	}
	close(c.block)
	if rec := <-done; rec.Code != 202 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestKeysOfOthersAreOtherKeys(t *testing.T) {
	p := newPeople(t)
	c := &counting{stub: &stub{}}
	c.accounts = p.accounts
	s := New(Options{Service: c, Auth: p.server(t, c.stub).opts.Auth, Store: mem.New(mem.Options{})})
	for _, who := range []string{"operator", "admin", "elsewhere", "operator"} {
		if rec := p.ask(s.Handler(), who, "POST", base+"/tasks", `{"deployment":"web"}`, keyHeader, "k"); rec.Code != 202 {
			t.Errorf("%s: %d %s", who, rec.Code, rec.Body)
		}
	}
	if c.n != 3 {
		t.Errorf("done %d times", c.n)
	}
}

func form(t *testing.T, request string, source []byte) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	err := w.WriteField("request", request)
	part, perr := w.CreateFormFile("source", "a.zip")
	_, werr := part.Write(source)
	if err = errors.Join(err, perr, werr, w.Close()); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func TestFormsAreComparedWithoutTheirBoundary(t *testing.T) {
	c := &counting{stub: &stub{}}
	h := New(Options{Service: c, Store: mem.New(mem.Options{})}).Handler()
	send := func(file string) int {
		kind, body := form(t, `{"deployment":"web"}`, zipWith(t, file, strings.Repeat("x", 9<<20)))
		return post(h, "k", kind, body).Code
	}
	if a, b, other := send("a.yaml"), send("a.yaml"), send("b.yaml"); a != 202 || b != 202 || other != 422 || c.n != 1 {
		t.Errorf("%d, %d, %d; done %d times", a, b, other, c.n)
	}
}

func TestAnswersAreForgottenAfterADay(t *testing.T) {
	c := &counting{stub: &stub{}}
	store := mem.New(mem.Options{})
	s := New(Options{Service: c, Store: store})
	at := time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC)
	s.replayed.now = func() time.Time { return at }
	send := func(key string) { post(s.Handler(), key, asJSON, `{"deployment":"web"}`) }
	send("k")
	at = at.Add(2 * time.Hour) // the next day
	send("k")
	if c.n != 1 {
		t.Errorf("done %d times", c.n)
	}
	at = at.Add(48 * time.Hour)
	send("other")
	send("k")
	if c.n != 3 {
		t.Errorf("done %d times", c.n)
	}
	// A server that died has left a key without an answer.
	if _, err := s.replayed.begin(t.Context(), replayName(orch.Identity{Tenant: "default"}, "dead"), "f"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.replayed.begin(t.Context(), replayName(orch.Identity{Tenant: "default"}, "dead"), "f"); err == nil {
		t.Error("taken while somebody has it")
	}
	at = at.Add(resultPatience)
	if kept, err := s.replayed.begin(t.Context(), replayName(orch.Identity{Tenant: "default"}, "dead"), "f"); err != nil || kept != nil {
		t.Errorf("%v, %v", kept, err)
	}
}

func TestLargeAnswersAreKept(t *testing.T) {
	r := newReplayed(mem.New(mem.Options{}))
	ctx := t.Context()
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	if kept, err := r.begin(ctx, "n", "f"); kept != nil || err != nil {
		t.Fatal(kept, err)
	}
	if err := r.keep(ctx, "n", replayRecord{Since: r.now(), Fingerprint: "f", Status: 201, Body: bytes.Clone(body)}); err != nil {
		t.Fatal(err)
	}
	kept, err := r.begin(ctx, "n", "f")
	if err != nil || kept == nil || !bytes.Equal(kept.Body, body) {
		t.Errorf("%v", err)
	}
}
