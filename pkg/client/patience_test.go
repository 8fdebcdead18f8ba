package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/orch"
)

// transport answers without a network, so that time can be the test's.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

// scripted is a client whose requests are answered one after the other, the last answer again and again.
func scripted(asked *[]time.Duration, answers ...func(http.ResponseWriter)) *Client {
	began := time.Now()
	return New("http://server", &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		n := min(len(*asked), len(answers)-1)
		*asked = append(*asked, time.Since(began))
		if answers[n] == nil {
			return nil, errRefused
		}
		return answer(r, answers[n]), nil
	})})
}

func done(w http.ResponseWriter) { _ = json.NewEncoder(w).Encode(orch.Task{ID: "t", Status: "done"}) }

func problem(status int, kind orch.Kind, retryAfter string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(orch.Problem{Kind: kind, Detail: "the words of the server"})
	}
}

func half(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"id":`)) }

func gateway(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }

// Who waits for a task outlasts what a restart looks like, with growing pauses; what the server says for good ends the wait at once.
func TestWaitOutlastsARestart(t *testing.T) {
	for name, answers := range map[string][]func(http.ResponseWriter){
		"refused":     {nil, nil, nil, nil, nil, nil, nil, nil, done},
		"stopping":    {problem(503, orch.KindStore, "1"), nil, nil, done},
		"half":        {half, nil, done},
		"no gateway":  {gateway, gateway, done},
		"no store":    {problem(503, orch.KindStore, ""), done},
		"too many":    {problem(429, orch.KindUser, "7"), done},
		"many months": {problem(503, orch.KindStore, "Fri, 31 Dec 1999 23:59:59 GMT"), done},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []time.Duration
				c := scripted(&asked, answers...)
				var told int
				c.SetPatience(Patience{Waiting: func(error, time.Duration) { told++ }})
				got, err := c.Wait(t.Context(), "d", "t")
				if err != nil || got.Status != "done" || len(asked) != len(answers) || told != 1 {
					t.Fatalf("%+v, %v, asked %v, told %d times", got, err, asked, told)
				}
				if asked[1] < firstPause/2 || name == "too many" && asked[1] < 7*time.Second {
					t.Errorf("asked again too soon: %v", asked)
				}
			})
		})
	}
	for name, answers := range map[string][]func(http.ResponseWriter){
		"unknown":   {problem(404, orch.KindNotFound, "")},
		"forbidden": {problem(403, orch.KindForbidden, "")},
		"defect":    {problem(500, orch.KindInternal, "")},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []time.Duration
			if _, err := scripted(&asked, answers...).Wait(t.Context(), "d", "t"); err == nil || len(asked) != 1 {
				t.Errorf("%v, asked %v", err, asked)
			}
		})
	}
}

// A server that does not come back is an error after the patience, which says so; it has been asked now and then only.
func TestWaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		c := scripted(&asked, nil)
		_, err := c.Wait(t.Context(), "d", "t")
		if !Unreachable(err) || !strings.Contains(err.Error(), "cannot reach the server") || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v", err)
		}
		if last := asked[len(asked)-1]; last > defaultPatience || last < defaultPatience-3*longestPause || len(asked) > 100 {
			t.Errorf("asked %d times, the last time after %v", len(asked), last)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("enough"))
		defer cancel()
		if _, err := c.Wait(ctx, "d", "t"); err == nil || err.Error() != "enough" {
			t.Errorf("%v", err)
		}
	})
}

// Events are followed over a restart: each comes once; what has come ends an outage.
func TestEventsOutlastARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send := func(end string, seqs ...uint64) func(http.ResponseWriter) {
			return func(w http.ResponseWriter) {
				for _, n := range seqs {
					text, _ := json.Marshal(event.Event{Seq: n})
					fmt.Fprintf(w, "event: event\ndata: %s\n\n", text)
				}
				fmt.Fprint(w, end)
			}
		}
		var asked []time.Duration
		c := scripted(&asked, send("", 1, 2), nil, nil, nil, nil, nil, nil, send("", 3), problem(503, orch.KindStore, "1"), nil, send("event: end\ndata: {}\n\n", 4))
		var got []uint64
		for e, err := range c.Events(t.Context(), orch.Filter{Deployment: "d", Follow: true}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Seq)
		}
		if fmt.Sprint(got) != "[1 2 3 4]" {
			t.Errorf("%v", got)
		}
		asked = nil
		for _, err := range scripted(&asked, nil).Events(t.Context(), orch.Filter{Deployment: "d"}) {
			if !Unreachable(err) || len(asked) != attempts {
				t.Errorf("events that are not followed: %v after %d attempts", err, len(asked))
			}
		}
	})
}

// A request for a task has a few attempts at a server that nobody has seen, and patience with one that said when to ask again.
func TestApplyIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration
		if _, err := scripted(&asked, nil).Apply(t.Context(), orch.Request{}); !Unreachable(err) || len(asked) != attempts {
			t.Errorf("%v after %d attempts", err, len(asked))
		}
		asked = nil
		if _, err := scripted(&asked, problem(503, orch.KindStore, "1"), nil, nil, nil, nil, nil, done).Apply(t.Context(), orch.Request{}); err != nil || len(asked) != 7 {
			t.Errorf("%v after %d attempts", err, len(asked))
		}
		asked = nil
		if _, err := scripted(&asked, problem(503, orch.KindStore, "")).Apply(t.Context(), orch.Request{}); err == nil || len(asked) != 1 {
			t.Errorf("a store that cannot be reached: %v after %d attempts", err, len(asked))
		}
	})
}

// Nobody who listens on a socket of this machine any more is an error at once: who asks looks for the process that has the store now.
func TestASocketIsNotWaitedFor(t *testing.T) {
	var told atomic.Int32
	c := NewUnix(filepath.Join(t.TempDir(), "none.sock"))
	c.SetPatience(Patience{Waiting: func(error, time.Duration) { told.Add(1) }})
	if _, err := c.Wait(t.Context(), "d", "t"); !Unreachable(err) || told.Load() != 0 {
		t.Errorf("%v", err)
	}
}

// answer is what a handler writes; half an answer ends before its end.
func answer(r *http.Request, write func(http.ResponseWriter)) *http.Response {
	w := httptest.NewRecorder()
	write(w)
	resp := w.Result()
	resp.Request = r
	return resp
}
