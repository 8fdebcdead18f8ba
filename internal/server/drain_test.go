package server

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// busy is a stub that is slow to list deployments, waits for tasks without end, and has a stream without end.
type busy struct {
	*stub
	inside, answer, waiting, following chan struct{}
}

func (b *busy) Deployments(ctx context.Context) ([]orch.Deployment, error) {
	close(b.inside)
	select {
	case <-b.answer:
		return []orch.Deployment{{Name: "web"}}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (b *busy) Wait(ctx context.Context, _, _ string) (orch.Task, error) {
	close(b.waiting)
	<-ctx.Done()
	return orch.Task{}, context.Cause(ctx)
}

func (b *busy) Events(ctx context.Context, _ orch.Filter) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		close(b.following)
		<-ctx.Done()
		yield(event.Event{}, context.Cause(ctx))
	}
}

// A server that is told to stop says that it is not ready, ends streams and waits, refuses what is new, and answers what is under way.
func TestDrain(t *testing.T) {
	b := &busy{&stub{}, make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})}
	s := New(Options{Service: b, Drain: time.Minute, Mounts: []Mount{{Handler: http.NotFoundHandler(), Refuse: func(w http.ResponseWriter, _ *http.Request, p orch.Problem) {
		w.WriteHeader(p.Status)
		_, _ = io.WriteString(w, "own words")
	}}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	type reply struct {
		*http.Response
		body string
		err  error
	}
	get := func(path string) reply {
		resp, err := client.Get("http://" + l.Addr().String() + path)
		if err != nil {
			return reply{err: err}
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return reply{resp, string(body), err}
	}
	later := func(path string, begun chan struct{}) chan reply {
		out := make(chan reply, 1)
		go func() { out <- get(path) }()
		<-begun
		return out
	}
	list, wait, stream := later(base+"/deployments", b.inside), later(base+"/deployments/web/tasks/t/wait", b.waiting), later(base+"/events?follow=true", b.following)
	stop()
	if r := <-stream; r.err != nil || r.StatusCode != 200 || strings.Contains(r.body, "event: error") || strings.Contains(r.body, "event: end") {
		t.Errorf("the stream ends with %q, %v", r.body, r.err)
	}
	refused := func(name string, r reply) {
		t.Helper()
		if r.err != nil {
			t.Errorf("%s: %v", name, r.err)
			return
		}
		if r.StatusCode != 503 || !r.Close || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s %v", name, r.Status, r.Header)
		}
	}
	r := <-wait
	refused("a long poll", r)
	var p orch.Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Kind != orch.KindStore || !strings.Contains(p.Detail, "stopping") {
		t.Errorf("the long poll is answered %q", r.body)
	}
	refused("a new request", get(base+"/deployments/web"))
	if r := get("/elsewhere"); r.err == nil && r.body != "own words" {
		t.Errorf("a mount refuses with %q", r.body)
	} else {
		refused("a mount's request", r)
	}
	if r := get("/readyz"); r.err != nil || r.StatusCode != 503 {
		t.Errorf("/readyz: %+v", r)
	}
	if r := get("/healthz"); r.err != nil || r.StatusCode != 200 {
		t.Errorf("/healthz: %+v", r)
	}
	close(b.answer)
	if r := <-list; r.err != nil || r.StatusCode != 200 || !r.Close || !strings.Contains(r.body, "web") {
		t.Errorf("what was under way: %+v", r)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if r := get("/healthz"); r.err == nil {
		t.Error("it still listens")
	}
}
