package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestHealthAndReadiness(t *testing.T) {
	var away error
	s := New(Options{Service: &stub{}, Operation: Operation{Ready: func(context.Context) error { return away },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "orch_x 1\n") })}})
	for _, h := range []http.Handler{s.Handler(), s.OperationHandler()} {
		srv := httptest.NewServer(h)
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200} {
			if code, body := ask(t, "GET", srv.URL+path, ""); code != want {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
		away = errors.New("secret://address of the store")
		if code, body := ask(t, "GET", srv.URL+"/readyz", ""); code != 503 || strings.Contains(body, "secret") {
			t.Errorf("without a store: %d %s", code, body)
		}
		if code, _ := ask(t, "GET", srv.URL+"/healthz", ""); code != 200 {
			t.Errorf("alive: %d", code)
		}
		away = nil
		srv.Close()
	}
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	close(s.stop) // as Serve does when it is told to stop
	if code, body := ask(t, "GET", srv.URL+"/readyz", ""); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("stopping: %d %s", code, body)
	}
}

// Requests are told of by their pattern, with the status that the client got, errors too.
func TestRequestsAreMeasured(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	inFlight := 0.0
	s := New(Options{Service: &stub{err: &orch.Error{Kind: orch.KindNotFound, Msg: "no"}}, Operation: Operation{
		InFlight: func(d float64) { mu.Lock(); inFlight += d; mu.Unlock() },
		Request: func(method, route string, code int, _ time.Duration, stream bool) {
			mu.Lock()
			defer mu.Unlock()
			if !stream {
				seen[method+" "+route] = code
			}
		}}})
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	for _, path := range []string{"/healthz", "/api/v1/deployments/some-name", "/api/v1/nothing-here"} {
		if code, body := ask(t, "GET", srv.URL+path, ""); code == 0 {
			t.Error(body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for route, code := range map[string]int{"GET /healthz": 200, "GET /api/v1/deployments/:name": 404, "GET /api/v1/*": 404} {
		if seen[route] != code {
			t.Errorf("%s: %d, want %d (%v)", route, seen[route], code, seen)
		}
	}
	if inFlight != 0 {
		t.Errorf("%v in flight", inFlight)
	}
}

func TestLogLevelIsChangedWhileRunning(t *testing.T) {
	level := new(slog.LevelVar)
	level.Set(slog.LevelWarn)
	var log strings.Builder
	st := &stub{}
	srv := httptest.NewServer(New(Options{Service: st, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})), Operation: Operation{Level: level}}).Handler())
	defer srv.Close()
	url := srv.URL + "/api/v1/log-level"
	if code, body := ask(t, "GET", url, ""); code != 200 || !strings.Contains(body, `"warn"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := ask(t, "PUT", url, `{"level":"debug"}`); code != 200 || !strings.Contains(body, `"debug"`) || level.Level() != slog.LevelDebug {
		t.Errorf("%d %s", code, body)
	}
	for _, bad := range []string{`{"level":"loud"}`, `{"level":"info+3"}`, `{}`, `{"colour":1}`} {
		if code, body := ask(t, "PUT", url, bad); code != 400 {
			t.Errorf("%s: %d %s", bad, code, body)
		}
	}
	if !strings.Contains(log.String(), "the log level is changed") {
		t.Errorf("log: %s", log.String())
	}
	fixed := httptest.NewServer(New(Options{Service: st}).Handler())
	defer fixed.Close()
	if code, _ := ask(t, "GET", fixed.URL+"/api/v1/log-level", ""); code != 409 {
		t.Errorf("a fixed level: %d", code)
	}
}
