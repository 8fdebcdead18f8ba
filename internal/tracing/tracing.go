// Package tracing sends a span for each task and each step to an OpenTelemetry collector, if the environment names one. It is the only place
// that knows OpenTelemetry's libraries.
//
// Off by default: it is on with OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, unless OTEL_SDK_DISABLED=true or
// OTEL_TRACES_EXPORTER=none. The exporter is OTLP over HTTP; the other standard OTEL_* variables (headers, certificate, timeout, sampler,
// service name, resource attributes) count.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/orch-project/orch/pkg/engine"
)

// Tracer turns observations into spans. A nil Tracer does nothing.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer

	mu    sync.Mutex
	spans map[[2]string]trace.Span // what runs, by task and step
}

// Enabled reports whether the environment asks for traces.
func Enabled(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// FromEnvironment returns a tracer as the environment describes it, nil if it asks for none.
func FromEnvironment(ctx context.Context, version string, log *slog.Logger) (*Tracer, error) {
	if !Enabled(os.Getenv) {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := os.Getenv(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("%s=%s: traces are sent by http/protobuf only", name, p)
		}
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot send traces: %w", err)
	}
	// What the environment says of the service wins over what is said here.
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "orch"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("cannot describe this process to the collector: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces are not sent", "error", err) }))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("orch"), spans: map[[2]string]trace.Span{}}, nil
}

// Close sends what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Observe begins and ends spans; see engine.Options. A step that is tried again has one span with an event for each attempt.
func (t *Tracer) Observe(o engine.Observation) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{o.Task, o.Step}
	span, running := t.spans[key]
	now := o.Status == engine.Doing || o.Status == engine.Running || o.Status == engine.Cancelling
	switch {
	case now && running && o.Step == "":
	case now && running:
		span.AddEvent("attempt", trace.WithTimestamp(o.At), trace.WithAttributes(attribute.Int("orch.attempt", o.Attempt)))
	case now:
		t.spans[key] = t.begin(o)
	case running:
		end(span, o.Status, o.At)
		delete(t.spans, key)
		if o.Step == "" {
			t.forget(o)
		}
	}
}

func (t *Tracer) begin(o engine.Observation) trace.Span {
	ctx := context.Background()
	name := "task " + o.Verb
	attributes := []attribute.KeyValue{attribute.String("orch.deployment", o.Deployment), attribute.String("orch.task", o.Task)}
	if o.Step == "" {
		attributes = append(attributes, attribute.String("orch.verb", o.Verb), attribute.String("orch.workflow", o.Workflow))
	} else {
		name = "step " + o.Step
		attributes = append(attributes, attribute.String("orch.step", o.Step), attribute.String("orch.node", o.Node),
			attribute.String("orch.operation", o.Operation), attribute.String("orch.driver", o.Driver))
		if task := t.spans[[2]string{o.Task, ""}]; task != nil {
			ctx = trace.ContextWithSpan(ctx, task)
		}
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(o.At), trace.WithAttributes(attributes...))
	return span
}

// forget ends what is left of a task's steps when this process no longer works on it.
func (t *Tracer) forget(o engine.Observation) {
	for key, span := range t.spans {
		if key[0] == o.Task {
			end(span, engine.Pending, o.At)
			delete(t.spans, key)
		}
	}
}

// end says how it ended. Messages of errors stay out: a collector is not where orch's log may go.
func end(span trace.Span, status engine.Status, at time.Time) {
	text := string(status)
	if status == engine.Pending {
		text = "left"
	}
	span.SetAttributes(attribute.String("orch.status", text))
	if status == engine.Failed {
		span.SetStatus(codes.Error, "failed")
	}
	span.End(trace.WithTimestamp(at))
}
