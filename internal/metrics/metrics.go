// Package metrics counts what a server does, for Prometheus. It is the only place that knows its client library.
//
// No label takes values from users: no deployment, node, user or path. What they would multiply to is unbounded.
package metrics

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/state"
)

// Metrics of a process. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	tasks        *prometheus.CounterVec
	taskTime     *prometheus.HistogramVec
	tasksRunning *prometheus.GaugeVec
	steps        *prometheus.CounterVec
	stepTime     *prometheus.HistogramVec
	stepsRunning *prometheus.GaugeVec
	retries      *prometheus.CounterVec
	storeTime    *prometheus.HistogramVec
	storeErrors  *prometheus.CounterVec
	leases       prometheus.Gauge
	leasesLost   prometheus.Counter
	httpTime     *prometheus.HistogramVec
	httpRunning  prometheus.Gauge

	mu    sync.Mutex
	begun map[[2]string]engine.Observation // what runs, by task and step
}

var (
	quick = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	long  = []float64{.1, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}
)

// New returns metrics with the version of the build, and those of Go and of the process.
func New(version, commit string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), begun: map[[2]string]engine.Observation{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "orch_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "orch_" + name, Help: help}, labels)
	}
	times := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "orch_" + name, Help: help, Buckets: buckets}, labels)
	}
	m.tasks = counter("tasks_total", "Tasks that have ended in this process; left: for another one to go on with.", "verb", "status")
	m.taskTime = times("task_duration_seconds", "Time of tasks in this process.", long, "verb", "status")
	m.tasksRunning = gauge("tasks_running", "Tasks that this process works on.", "verb")
	m.steps = counter("steps_total", "Steps that have ended, by the driver that acted.", "driver", "status")
	m.stepTime = times("step_duration_seconds", "Time of steps from their start to their end, retries included.", long, "driver", "status")
	m.stepsRunning = gauge("steps_running", "Steps that are acting.", "driver")
	m.retries = counter("step_retries_total", "Attempts of steps after the first.", "driver")
	m.storeTime = times("store_duration_seconds", "Time of calls of the state store.", quick, "call")
	m.storeErrors = counter("store_errors_total", "Calls of the state store that failed because it could not be used.", "call")
	m.leases = prometheus.NewGauge(prometheus.GaugeOpts{Name: "orch_leases_held", Help: "Leases that this process holds."})
	m.leasesLost = prometheus.NewCounter(prometheus.CounterOpts{Name: "orch_leases_lost_total", Help: "Leases that ended otherwise than by being given back."})
	m.httpTime = times("http_request_duration_seconds", "Time of requests; route is the pattern, not the path. Streams and long polls are not in it.", quick, "method", "route", "code")
	m.httpRunning = prometheus.NewGauge(prometheus.GaugeOpts{Name: "orch_http_requests_in_flight", Help: "Requests that are being answered, streams and long polls among them."})
	build := gauge("build_info", "1, with the version of the build.", "version", "commit")
	build.WithLabelValues(version, commit).Set(1)
	m.registry.MustRegister(m.tasks, m.taskTime, m.tasksRunning, m.steps, m.stepTime, m.stepsRunning, m.retries, m.storeTime, m.storeErrors, m.leases, m.leasesLost,
		m.httpTime, m.httpRunning, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4})
}

// verbs and the like are closed lists; what is not on one counts as other.
func known(v string, list ...string) string {
	for _, k := range list {
		if v == k {
			return v
		}
	}
	return "other"
}

func verb(o engine.Observation) string {
	return known(o.Verb, "deploy", "undeploy", "workflow", "operation", "rollback")
}

// Observe counts tasks and steps; see engine.Options.
func (m *Metrics) Observe(o engine.Observation) {
	key := [2]string{o.Task, o.Step}
	m.mu.Lock()
	before, running := m.begun[key]
	now := o.Status == engine.Doing || o.Status == engine.Running || o.Status == engine.Cancelling
	switch {
	case now && !running:
		m.begun[key] = o
	case !now:
		delete(m.begun, key)
	}
	m.mu.Unlock()
	if o.Step == "" {
		m.task(o, before, now, running)
		return
	}
	m.step(o, before, now, running)
}

func (m *Metrics) task(o, before engine.Observation, now, running bool) {
	switch {
	case now && !running:
		m.tasksRunning.WithLabelValues(verb(o)).Inc()
	case !now && running:
		status := string(o.Status)
		if o.Status == engine.Pending {
			status = "left"
		}
		m.tasksRunning.WithLabelValues(verb(before)).Dec()
		m.tasks.WithLabelValues(verb(before), status).Inc()
		m.taskTime.WithLabelValues(verb(before), status).Observe(o.At.Sub(before.At).Seconds())
		m.forget(o.Task)
	}
}

// forget drops the steps of a task that this process no longer works on.
func (m *Metrics) forget(task string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, o := range m.begun {
		if key[0] == task && key[1] != "" {
			delete(m.begun, key)
			m.stepsRunning.WithLabelValues(o.Driver).Dec()
		}
	}
}

func (m *Metrics) step(o, before engine.Observation, now, running bool) {
	switch {
	case now && running:
		m.retries.WithLabelValues(o.Driver).Inc()
	case now:
		m.stepsRunning.WithLabelValues(o.Driver).Inc()
	case running:
		m.stepsRunning.WithLabelValues(before.Driver).Dec()
		m.stepTime.WithLabelValues(before.Driver, string(o.Status)).Observe(o.At.Sub(before.At).Seconds())
		fallthrough
	case o.Status.Ended():
		m.steps.WithLabelValues(o.Driver, string(o.Status)).Inc()
	}
}

// slowest is the longest time that counts: what takes longer waits for something to happen.
const slowest = 30 * time.Second

// Request counts an answered request. Route is the pattern it was answered by.
func (m *Metrics) Request(method, route string, code int, took time.Duration, stream bool) {
	if stream || took > slowest {
		return
	}
	method = known(method, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions)
	m.httpTime.WithLabelValues(method, route, strconv.Itoa(code)).Observe(took.Seconds())
}

// InFlight counts requests that are being answered.
func (m *Metrics) InFlight(delta float64) { m.httpRunning.Add(delta) }

// Store returns the store with its calls timed and its leases counted.
func (m *Metrics) Store(s state.Store) state.Store { return &timed{s, m} }

type timed struct {
	state.Store
	m *Metrics
}

func (t *timed) done(call string, begun time.Time, err error) {
	t.m.storeTime.WithLabelValues(call).Observe(time.Since(begun).Seconds())
	var away *state.UnavailableError
	if errors.As(err, &away) {
		t.m.storeErrors.WithLabelValues(call).Inc()
	}
}

func (t *timed) View(ctx context.Context, fn func(state.Tx) error) error {
	begun := time.Now()
	err := t.Store.View(ctx, fn)
	t.done("view", begun, err)
	return err
}

func (t *timed) Update(ctx context.Context, fn func(state.Tx) error) error {
	begun := time.Now()
	err := t.Store.Update(ctx, fn)
	t.done("update", begun, err)
	return err
}

// Lease also counts leases while they are held. What is waited for another holder is no latency of the store.
func (t *timed) Lease(ctx context.Context, key string, o state.LeaseOptions) (*state.Lease, error) {
	l, err := t.Store.Lease(ctx, key, o)
	if err != nil {
		var away *state.UnavailableError
		if errors.As(err, &away) {
			t.m.storeErrors.WithLabelValues("lease").Inc()
		}
		return l, err
	}
	t.m.leases.Inc()
	go func() {
		<-l.Lost()
		t.m.leases.Dec()
		if l.Err() != nil && !errors.Is(l.Err(), state.ErrReleased) {
			t.m.leasesLost.Inc()
		}
	}()
	return l, nil
}
