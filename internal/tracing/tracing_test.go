package tracing

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/orch-project/orch/pkg/engine"
)

func TestOffByDefault(t *testing.T) {
	for _, env := range []map[string]string{
		{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
	} {
		if Enabled(func(name string) string { return env[name] }) {
			t.Errorf("on with %v", env)
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	tr, err := FromEnvironment(t.Context(), "v1", slog.New(slog.DiscardHandler))
	if tr != nil || err != nil {
		t.Fatal(tr, err)
	}
	tr.Observe(engine.Observation{}) // and harmless
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if _, err := FromEnvironment(t.Context(), "v1", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("grpc is accepted")
	}
}

// A task and its steps reach a collector as one trace.
func TestSpansReachTheCollector(t *testing.T) {
	var mu sync.Mutex
	got := map[string]*otlp.Span{}
	service := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("X-Key") != "k" || proto.Unmarshal(body, &req) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range req.ResourceSpans {
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					service = a.Value.GetStringValue()
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					got[s.Name] = s
				}
			}
		}
	}))
	defer srv.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=k")
	t.Setenv("OTEL_SERVICE_NAME", "orch-of-the-shop")
	tr, err := FromEnvironment(t.Context(), "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	tell := func(step string, status engine.Status, after time.Duration) {
		tr.Observe(engine.Observation{Deployment: "shop", Task: "t1", Verb: "deploy", Step: step, Driver: "ssh", Status: status, Attempt: 2, At: at.Add(after)})
	}
	tell("", engine.Running, 0)
	tell("web[0].create", engine.Doing, time.Second)
	tell("web[0].create", engine.Doing, 2*time.Second)
	tell("web[0].create", engine.Failed, 3*time.Second)
	tell("web[0].start", engine.Skipped, 3*time.Second) // it never ran
	tell("db[0].create", engine.Doing, 3*time.Second)
	tell("", engine.Failed, 4*time.Second)
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	task, step, left := got["task deploy"], got["step web[0].create"], got["step db[0].create"]
	if len(got) != 3 || task == nil || step == nil || left == nil {
		t.Fatalf("spans: %v", got)
	}
	if service != "orch-of-the-shop" {
		t.Errorf("service %q", service)
	}
	if string(step.ParentSpanId) != string(task.SpanId) || string(step.TraceId) != string(task.TraceId) || len(task.ParentSpanId) != 0 {
		t.Error("the step is not below its task")
	}
	if took := step.EndTimeUnixNano - step.StartTimeUnixNano; took != uint64(2*time.Second) || len(step.Events) != 1 || step.Status.Code != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("%v", step)
	}
}
