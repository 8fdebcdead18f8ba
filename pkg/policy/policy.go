// Package policy reads the policies of a topology that a server evaluates, probes instances, and decides: is an instance healthy, should a
// node be scaled. What is done about it, and what is kept over a restart, is pkg/orch's.
//
//	list, findings := policy.Read(ctx, topology, env)
//	sample, err := policy.Dialer{}.Probe(ctx, target, list[0].Probe)
package policy

import (
	"regexp"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/topology"
)

// Kind of a policy.
type Kind string

const (
	Health Kind = "health" // Probe every instance
	Heal   Kind = "heal"   // run Workflow on unhealthy instances
	Scale  Kind = "scale"  // keep a metric within bounds
	Watch  Kind = "watch"  // only Triggers
)

// Policy as it is evaluated.
type Policy struct {
	Name string
	Type string
	Kind Kind
	// Nodes are the targets, groups expanded.
	Nodes []string
	// Period from one evaluation to the next, Timeout of one probe, Delay after an instance's start, Cooldown between two actions.
	Period, Timeout, Delay, Cooldown time.Duration

	// Probe of a Health policy, or of a Scale policy's metric.
	Probe Probe
	// Failures in a row make an instance unhealthy, Successes healthy again.
	Failures, Successes int
	// Marks: an unhealthy instance is in the state error until it is healthy again, as with Yorc.
	Marks bool

	// Grace is how long an instance must be unhealthy before it is healed, Attempts how often in a row, Workflow what heals.
	Grace    time.Duration
	Attempts int
	Workflow string

	// Metric is the name of the value; Above and Below its bounds (nil: none), Evaluations in a row that must agree, Step how far to scale
	// at once, between Min and Max instances (Max 0: none).
	Metric       string
	Above, Below *float64
	Evaluations  int
	Step         int
	Min, Max     int
	Aggregate    string

	Triggers []Trigger
	Pos      diag.Pos
}

// Trigger runs actions when its condition holds for an instance.
type Trigger struct {
	Name        string
	Condition   *topology.Value
	Evaluations int
	// Every is the time from one evaluation to the next, where the condition says it; 0: the policy's.
	Every time.Duration
	// Nodes are whose instances the condition is judged on, where these are others than the policy's targets (target_filter).
	Nodes   []string
	Actions []topology.Activity
	// Begin and End bound when it counts; zero: always.
	Begin, End time.Time
	Pos        diag.Pos
}

// ProbeKind is how an instance is asked.
type ProbeKind string

const (
	TCP       ProbeKind = "tcp"
	HTTP      ProbeKind = "http"
	Command   ProbeKind = "command"
	Operation ProbeKind = "operation"
)

// Probe of an instance.
type Probe struct {
	Kind     ProbeKind
	Port     int
	Scheme   string
	Path     string
	Headers  map[string]string
	Status   []int // good answers; empty: 200 to 399
	Body     *regexp.Regexp
	Insecure bool
	// Follow redirects, and judge what they lead to.
	Follow bool
	// CA are the authorities of the server's certificate, as PEM; "" is the system's.
	CA      string
	Command string
	// Interface and Operation; Output is the output that holds a metric's value.
	Interface, Operation, Output string
	// Value is where in a JSON document a metric's value is.
	Value string
}
