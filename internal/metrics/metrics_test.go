package metrics

import (
	"context"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/mem"
)

// scrape returns the lines of orch's own metrics.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatal(w.Code, err)
	}
	return string(body)
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, l+"\n") {
			t.Errorf("no line %s", l)
		}
	}
}

func TestTasksAndSteps(t *testing.T) {
	m := New("v1", "abc")
	at := time.Now()
	tell := func(step, driver string, status engine.Status, after time.Duration) {
		m.Observe(engine.Observation{Deployment: "shop", Task: "t1", Step: step, Verb: "deploy", Driver: driver, Status: status, At: at.Add(after)})
	}
	tell("", "", engine.Running, 0)
	tell("a", "ssh", engine.Doing, 0)
	tell("b", "terraform", engine.Doing, 0)
	has(t, scrape(t, m), `orch_tasks_running{verb="deploy"} 1`, `orch_steps_running{driver="ssh"} 1`)
	tell("a", "ssh", engine.Doing, time.Second) // again
	tell("a", "ssh", engine.Done, 3*time.Second)
	tell("c", "ssh", engine.Skipped, 3*time.Second)
	tell("", "", engine.Running, 3*time.Second) // its record was written again
	tell("", "", engine.Cancelling, 3*time.Second)
	has(t, scrape(t, m), `orch_tasks_running{verb="deploy"} 1`)
	tell("", "", engine.Failed, 4*time.Second)
	text := scrape(t, m)
	has(t, text, `orch_tasks_running{verb="deploy"} 0`, `orch_tasks_total{status="failed",verb="deploy"} 1`, `orch_task_duration_seconds_sum{status="failed",verb="deploy"} 4`,
		`orch_steps_running{driver="ssh"} 0`, `orch_steps_running{driver="terraform"} 0`, `orch_steps_total{driver="ssh",status="done"} 1`, `orch_steps_total{driver="ssh",status="skipped"} 1`,
		`orch_step_retries_total{driver="ssh"} 1`, `orch_step_duration_seconds_sum{driver="ssh",status="done"} 3`, `orch_build_info{commit="abc",version="v1"} 1`)
	if len(m.begun) != 0 {
		t.Errorf("remembers %v", m.begun)
	}
	tell("", "", engine.Running, 0)
	tell("", "", engine.Pending, time.Second)
	has(t, scrape(t, m), `orch_tasks_total{status="left",verb="deploy"} 1`)
}

// What users can choose is in no label, so that there are never more series than the code has.
func TestLabelsAreBounded(t *testing.T) {
	m := New("v1", "abc")
	for _, name := range []string{"own-name-1", "own-name-2"} {
		m.Observe(engine.Observation{Deployment: name, Task: name, Verb: name, Workflow: name, Status: engine.Running})
		m.Observe(engine.Observation{Deployment: name, Task: name, Step: name, Node: name, Operation: name, Driver: "ssh", Status: engine.Doing})
		m.Observe(engine.Observation{Deployment: name, Task: name, Step: name, Node: name, Operation: name, Driver: "ssh", Status: engine.Done})
		m.Observe(engine.Observation{Deployment: name, Task: name, Verb: name, Status: engine.Done})
		m.Request(name, "/api/v1/deployments/:name", 200, time.Millisecond, false)
	}
	text := scrape(t, m)
	if found := regexp.MustCompile(`.*own-name.*`).FindString(text); found != "" {
		t.Error(found)
	}
	has(t, text, `orch_tasks_total{status="done",verb="other"} 2`, `orch_http_request_duration_seconds_count{code="200",method="other",route="/api/v1/deployments/:name"} 2`)
	m.Request("GET", "/api/v1/events", 200, time.Hour, true)
	if strings.Contains(scrape(t, m), "events") {
		t.Error("a stream is in the times")
	}
}

func TestStoreAndLeases(t *testing.T) {
	m := New("v1", "abc")
	s := m.Store(mem.New(mem.Options{}))
	if err := s.Update(t.Context(), func(tx state.Tx) error { return tx.Put("a", nil) }); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), func(tx state.Tx) error { _, err := tx.Get("a"); return err }); err != nil {
		t.Fatal(err)
	}
	given, err := s.Lease(t.Context(), "x", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := s.Lease(t.Context(), "y", state.LeaseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// A fenced update through the wrapped store works with the leases of the wrapped one.
	if err := state.Fenced(s, taken).Update(t.Context(), func(tx state.Tx) error { return tx.Put("b", nil) }); err != nil {
		t.Fatal(err)
	}
	has(t, scrape(t, m), `orch_leases_held 2`, `orch_store_duration_seconds_count{call="update"} 2`, `orch_store_duration_seconds_count{call="view"} 1`)
	if err := given.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.BreakLease(t.Context(), "y"); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return strings.Contains(scrape(t, m), "orch_leases_held 0\n") })
	has(t, scrape(t, m), `orch_leases_lost_total 1`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_ = s.View(context.Background(), func(state.Tx) error { return nil })
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}
