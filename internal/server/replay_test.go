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

	"github.com/labstack/echo/v4"

	"github.com/orch-project/orch/internal/orchtest/ziptest"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
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
	key   string // of the last request
}

func (c *counting) Apply(ctx context.Context, req orch.Request) (orch.Task, error) {
	c.mu.Lock()
	c.n++
	c.key = orch.RequestKey(ctx)
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
	s := New(Options{Service: c, Store: mem.New(mem.Options{})})
	patience := s.replayed.patience
	s.replayed.patience, s.replayed.beat = 0, time.Millisecond
	h := s.Handler()
	done := make(chan *httptest.ResponseRecorder)
	send := func() { done <- post(h, "k", asJSON, `{"deployment":"web"}`) }
	go send()
	<-c.begun
	if rec := post(h, "k", asJSON, `{"deployment":"web"}`); rec.Code != 409 {
		t.Errorf("who does not wait: %d %s", rec.Code, rec.Body)
	}
	s.replayed.patience = patience
	go send()
	close(c.block)
	if a, b := <-done, <-done; a.Code != 202 || b.Code != 202 || a.Body.String() != b.Body.String() || c.n != 1 {
		t.Errorf("%d %s and %d %s, done %d times", a.Code, a.Body, b.Code, b.Body, c.n)
	}
}

// A server that died has left a key without an answer: another one does the request, and what the dead one may still do changes nothing.
func TestTheKeyOfADeadServer(t *testing.T) {
	c := &counting{stub: &stub{}}
	store := mem.New(mem.Options{})
	died, s := newReplayed(store), New(Options{Service: c, Store: store})
	name := replayName(orch.Identity{Tenant: orch.DefaultTenant, Role: orch.ServerAdmin, Via: "socket"}, "k")
	kept, mine, err := died.begin(t.Context(), t.Context(), name, fingerprintOf(t, s, `{"deployment":"web"}`))
	if err != nil || kept != nil {
		t.Fatal(kept, err)
	}
	s.replayed.dead = time.Millisecond
	rec := post(s.Handler(), "k", asJSON, `{"deployment":"web"}`)
	if rec.Code != 202 || rec.Header().Get(replayHeader) != "" || c.n != 1 {
		t.Errorf("%d %s, done %d times", rec.Code, rec.Body, c.n)
	}
	if c.key == "" {
		t.Error("the service is not told by what it finds the task of the dead server")
	}
	mine.Status, mine.Body = 202, []byte("late")
	if err := died.keep(t.Context(), name, mine); err != nil {
		t.Error(err)
	}
	died.drop(t.Context(), name, mine)
	if again := post(s.Handler(), "k", asJSON, `{"deployment":"web"}`); again.Body.String() != rec.Body.String() || again.Header().Get(replayHeader) != "true" {
		t.Errorf("%d %s, want %s", again.Code, again.Body, rec.Body)
	}
}

// A server that lives may take longer than others wait for a sign of life.
func TestTheKeyOfASlowServer(t *testing.T) {
	c := &counting{stub: &stub{}, block: make(chan struct{}), begun: make(chan struct{})}
	store := mem.New(mem.Options{})
	slow, other := New(Options{Service: c, Store: store}), New(Options{Service: c, Store: store})
	slow.replayed.beat, other.replayed.dead = 50*time.Millisecond, 10*time.Second
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- post(slow.Handler(), "k", asJSON, `{"deployment":"web"}`) }()
	<-c.begun
	beats := func() int {
		for day := range []int{0, 1} {
			key := state.Join(replayPrefix, time.Now().UTC().AddDate(0, 0, -day).Format(time.DateOnly), replayName(orch.Identity{Tenant: orch.DefaultTenant}, "k"))
			var rec replayRecord
			if err := store.View(t.Context(), func(tx state.Tx) (err error) { rec, _, err = state.Find[replayRecord](tx, key); return err }); err != nil {
				t.Fatal(err)
			}
			if rec.Beat > 0 {
				return rec.Beat
			}
		}
		return 0
	}
	for end := time.Now().Add(time.Minute); beats() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no sign of life")
		}
	}
	go func() { done <- post(other.Handler(), "k", asJSON, `{"deployment":"web"}`) }()
	close(c.block)
	if a, b := <-done, <-done; a.Code != 202 || b.Code != 202 || c.n != 1 {
		t.Errorf("%d %s and %d %s, done %d times", a.Code, a.Body, b.Code, b.Body, c.n)
	}
}

// fingerprintOf a request with a JSON body.
func fingerprintOf(t *testing.T, s *Server, body string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, base+"/tasks", strings.NewReader(body))
	r.Header.Set("Content-Type", asJSON)
	f, release, err := s.fingerprint(echo.New().NewContext(r, httptest.NewRecorder()))
	release()
	if err != nil {
		t.Fatal(err)
	}
	return f
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

func form(t testing.TB, request string, source []byte) (kind, body string) {
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
		kind, body := form(t, `{"deployment":"web"}`, ziptest.Pack(t, map[string]string{file: strings.Repeat("x", 9<<20)}))
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
}

func TestLargeAnswersAreKept(t *testing.T) {
	r := newReplayed(mem.New(mem.Options{}))
	ctx := t.Context()
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	kept, mine, err := r.begin(ctx, ctx, "n", "f")
	if kept != nil || err != nil {
		t.Fatal(kept, err)
	}
	mine.Status, mine.Body = 201, bytes.Clone(body)
	if err := r.keep(ctx, "n", mine); err != nil {
		t.Fatal(err)
	}
	kept, _, err = r.begin(ctx, ctx, "n", "f")
	if err != nil || kept == nil || !bytes.Equal(kept.Body, body) {
		t.Errorf("%v", err)
	}
}
