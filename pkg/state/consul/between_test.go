package consul_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orch-project/orch/internal/orchtest/tools"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/consul"
)

// between is an HTTP proxy before Consul; handle sees every request, with its body, and passes it on when it wants to.
func between(t *testing.T, c *tools.ConsulCluster, handle func(w http.ResponseWriter, r *http.Request, body []byte, pass func() (int, []byte))) string {
	t.Helper()
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		handle(w, r, body, func() (int, []byte) {
			req, err := http.NewRequest(r.Method, "http://"+c.Addr()+r.URL.RequestURI(), bytes.NewReader(body)) // it is sent even if who asked has gone
			if err != nil {
				t.Error(err)
				return http.StatusInternalServerError, nil
			}
			resp, err := direct.Do(req)
			if err != nil {
				return http.StatusInternalServerError, nil // Consul ends with the test
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			for k, v := range resp.Header {
				if strings.HasPrefix(k, "X-Consul") {
					w.Header()[k] = v
				}
			}
			return resp.StatusCode, answer
		})
	}))
	t.Cleanup(p.Close)
	return p.Listener.Addr().String()
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who asked may have gone
}

// Consul's default reads are answered by a leader that may be deposed, or that has not caught up with the one before: every read must ask for more.
func TestReadsAreConsistent(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	reads := 0
	addr := between(t, tools.StartConsul(t, 1), func(w http.ResponseWriter, r *http.Request, _ []byte, pass func() (int, []byte)) {
		if r.Method == http.MethodGet {
			mu.Lock()
			reads++
			mu.Unlock()
			if _, ok := r.URL.Query()["consistent"]; !ok {
				t.Errorf("not consistent: GET %s", r.URL)
			}
		}
		status, body := pass()
		answer(w, status, body)
	})
	s := connect(t, consul.Options{Addresses: []string{addr}})
	ctx := t.Context()
	l, err := s.Lease(ctx, "d", state.LeaseOptions{Owner: "o"})
	if err != nil {
		t.Fatal(err)
	}
	events := state.NewEventLog(s)
	if _, err := events.Append(ctx, "d", event.Event{Type: event.Log, Message: "m"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(ctx, func(tx state.Tx) error {
		_, err := tx.Get("a")
		if !errors.Is(err, state.ErrNotFound) {
			t.Error(err)
		}
		return tx.Put("a", []byte("1"))
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.View(ctx, func(tx state.Tx) error {
		_, err := tx.Get("a")
		for range tx.List("a") {
		}
		for range tx.Keys("a") {
		}
		for range tx.Range("a", "b") {
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if page, err := events.Read(ctx, state.EventFilter{Deployment: "d"}, 0, 10); err != nil || len(page.Events) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
	if hs, err := s.Holders(ctx, ""); err != nil || len(hs) != 1 {
		t.Errorf("%v, %v", hs, err)
	}
	for c, err := range s.Watch(ctx, "a", 0) {
		if err != nil || c.Key != "a" {
			t.Errorf("%+v, %v", c, err)
		}
		break
	}
	if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if reads < 10 {
		t.Errorf("only %d reads were seen", reads)
	}
}

// The transaction that takes a lease arrives late: after its sender has lost the connection and seen that nobody has the lease. The sender must not
// find itself to be another holder, who never lets go.
func TestLateLockIsTheTakersOwn(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var late func() (int, []byte) // the transaction, until it is passed on
	held := false
	addr := between(t, tools.StartConsul(t, 1), func(w http.ResponseWriter, r *http.Request, body []byte, pass func() (int, []byte)) {
		mu.Lock()
		defer mu.Unlock()
		if !held && strings.HasSuffix(r.URL.Path, "/txn") && bytes.Contains(body, []byte(`"lock"`)) {
			held, late = true, pass
			panic(http.ErrAbortHandler)
		}
		status, text := pass()
		if late != nil && strings.Contains(r.URL.Path, "/lease/d") {
			if s, b := late(); s != http.StatusOK {
				t.Errorf("the late transaction: %d %s", s, b)
			}
			late = nil
		}
		answer(w, status, text)
	})
	s := connect(t, consul.Options{Addresses: []string{addr}})
	l, err := s.Lease(t.Context(), "d", state.LeaseOptions{Owner: "o", Wait: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if !held || l.Generation() != 2 {
		t.Errorf("the lease has generation %d, and the late transaction would be the first", l.Generation())
	}
	// It is a lease like any other.
	if _, err := s.Lease(t.Context(), "d", state.LeaseOptions{Owner: "p"}); !errors.Is(err, state.ErrHeld) {
		t.Errorf("a second taker of the same process: %v", err)
	}
	if err := state.Fenced(s, l).Update(t.Context(), func(tx state.Tx) error { return tx.Put("a", nil) }); err != nil {
		t.Error(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
	again, err := s.Lease(t.Context(), "d", state.LeaseOptions{Owner: "o"})
	if err != nil || again.Generation() != 3 {
		t.Errorf("%+v, %v", again, err)
	}
}

// An ACL token that is replaced in its file, as Vault's agent does, is used from then on.
func TestTokenFileIsReadAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	token := ""
	addr := between(t, tools.StartConsul(t, 1), func(w http.ResponseWriter, r *http.Request, _ []byte, pass func() (int, []byte)) {
		mu.Lock()
		token = r.Header.Get("X-Consul-Token")
		mu.Unlock()
		status, body := pass()
		answer(w, status, body)
	})
	file := filepath.Join(t.TempDir(), "token")
	look := func() error { return nil }
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if want == "first" {
			s := connect(t, consul.Options{Addresses: []string{addr}, TokenFile: file, Patience: time.Second})
			look = func() error {
				return s.View(t.Context(), func(tx state.Tx) error {
					if _, err := tx.Get("a"); !errors.Is(err, state.ErrNotFound) {
						return err
					}
					return nil
				})
			}
		}
		if err := look(); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if token != want {
			t.Errorf("token %q was sent, not %q", token, want)
		}
		mu.Unlock()
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := look(); err == nil || !strings.Contains(err.Error(), file+" does not hold a token") {
		t.Errorf("with an empty file: %v", err)
	}
}
