package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// TestABodyThatDoesNotCome: a client that begins a body and sends nothing more is answered, or dropped, and holds no connection for ever.
func TestABodyThatDoesNotCome(t *testing.T) {
	before := bodyPause
	bodyPause = 200 * time.Millisecond
	srv := httptest.NewServer(New(Options{Service: withSecrets(t)}).Handler())
	t.Cleanup(func() { srv.Close(); bodyPause = before })
	for name, head := range map[string]string{
		"read":    "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"dep",
		"refused": "POST /api/v1/nope HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"dep",
		"chunked": "POST /api/v1/blueprints?name=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/zip\r\n\r\n3\r\nPK\x03\r\n",
	} {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		answer, err := io.ReadAll(c) // until the server has closed the connection
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the connection is still open: %v", name, err)
		}
		if line, _, _ := strings.Cut(string(answer), "\r\n"); name == "read" && !strings.Contains(line, "408") {
			t.Errorf("%s: %q", name, line)
		}
		_ = c.Close()
	}
}

// quiet is a stub whose events come late.
type quiet struct {
	*stub
	wait chan struct{}
}

func (q quiet) Events(ctx context.Context, _ orch.Filter) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		select {
		case <-q.wait:
			yield(event.Event{Seq: 1, Index: 7, Deployment: "web", Message: "late"}, nil)
		case <-ctx.Done():
		}
	}
}

// TestASilentStreamGoesOn: the limits of bodies are none of streams, which may be silent for as long as they like.
func TestASilentStreamGoesOn(t *testing.T) {
	before := bodyPause
	bodyPause = 50 * time.Millisecond
	q := quiet{&stub{}, make(chan struct{})}
	srv := httptest.NewServer(New(Options{Service: q}).Handler())
	t.Cleanup(func() { srv.Close(); bodyPause = before })
	resp, err := http.Get(srv.URL + base + "/events?follow=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	time.AfterFunc(10*bodyPause, func() { close(q.wait) })
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "id: 7\n" {
		t.Errorf("%q, %v", line, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestLastEventIDGoesOnWhereTheClientWas, whatever the URL says.
func TestLastEventIDGoesOnWhereTheClientWas(t *testing.T) {
	s := &stub{events: []event.Event{{Seq: 1, Deployment: "web"}, {Seq: 2, Deployment: "web"}, {Seq: 3, Deployment: "web"}}}
	r := httptest.NewRequest("GET", base+"/events?deployment=web&after=0", nil)
	r.Header.Set("Last-Event-ID", "2")
	rec := httptest.NewRecorder()
	New(Options{Service: s}).Handler().ServeHTTP(rec, r)
	if got := rec.Body.String(); strings.Contains(got, "id: 2\n") || !strings.Contains(got, "id: 3\n") || !strings.HasSuffix(got, "event: end\ndata: {}\n\n") {
		t.Errorf("%s", fmt.Sprintf("%q", got))
	}
}

// TestAConnectionThatWasIdle: the time to take one answer is over when the next one comes, which may have no body.
func TestAConnectionThatWasIdle(t *testing.T) {
	before := writePause
	defer func() { writePause = before }()
	// A busy machine may not answer in time by itself: then it has more.
	for writePause = 50 * time.Millisecond; ; writePause *= 4 {
		began := time.Now()
		err := idleBetween(t, 2*writePause)
		if err == nil {
			return
		}
		if took := time.Since(began) - 2*writePause; took < writePause || writePause > 10*time.Second {
			t.Fatalf("%v; the answers took %s, and each had %s", err, took, writePause)
		}
	}
}

// idleBetween asks twice over one connection, with a pause.
func idleBetween(t *testing.T, pause time.Duration) error {
	srv := httptest.NewServer(New(Options{Service: &stub{}}).Handler())
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(c)
	ask := func(head string, status int) error {
		if _, err := io.WriteString(c, head+"Host: localhost\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", head, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != status {
			t.Errorf("%s: %s", head, resp.Status)
		}
		return nil
	}
	if err := ask("GET /api/v1/deployments HTTP/1.1\r\n", http.StatusOK); err != nil {
		return err
	}
	time.Sleep(pause)
	return ask("DELETE /api/v1/plans/p1 HTTP/1.1\r\n", http.StatusNoContent)
}
