// Package engine runs plans: it chooses which step may start, writes intent before each act and the outcome after it, retries, stops what
// depends on a failure, cancels, and goes on where another process died.
//
// It owns the records of tasks and instances in the store and is their only writer while it holds the deployment's lease. It decides
// nothing about what should be done (package plan) nor how (package driver), and knows no documents, command lines or HTTP.
//
//	e := engine.New(engine.Options{Store: store, Infra: terraform, Remote: ssh, Local: local})
//	task, err := e.Create(ctx, lease, engine.Job{…})      // the plan is stored before anything is done
//	outcome, err := e.Run(ctx, lease, task.ID, job, control)
package engine

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// Options of an Engine. Store and the drivers that the plans need must be set; the rest works at zero.
type Options struct {
	Store state.Store
	// Infra makes native nodes; Remote runs operations on hosts, Local those on the orchestrator.
	Infra, Remote, Local driver.Driver
	// Select chooses another driver for a request (Ansible, a plugin's own); nil or a nil result leaves the choice to the three above.
	Select func(*driver.Request) driver.Driver
	// Hosts tells how to reach a server that no driver has reported (a Compute that exists already); nil: such servers have no host.
	Hosts func(ctx context.Context, deployment string, t *topology.Topology, in topology.Instance, env topology.Env) (*driver.Host, error)
	// Complete adds to the host of a server that a driver has reported what the topology says of the way to it; nil: nothing.
	Complete func(ctx context.Context, s driver.Server) (*driver.Host, error)
	// Login may choose another host for an operation that names one itself; known is where it would run, nil for the orchestrator. A nil result
	// leaves it there.
	Login func(ctx context.Context, req *driver.Request, known *driver.Host) (*driver.Host, error)
	// Named splits a deployment's recorded name into a tenant, "" for the default one, and what its users call it; nil: it is called what it is recorded as.
	Named func(deployment string) (tenant, name string)
	// Secrets resolves get_secret; Cipher encrypts secret attributes and outputs at rest. Without Cipher they are refused.
	Secrets SecretReader
	Cipher  Cipher
	// Health does the checks of plan.Health steps; nil: they fail.
	Health func(context.Context, HealthCheck) error
	// Redactor hides secrets in whatever is stored or emitted; nil: a new one.
	Redactor *secret.Redactor
	Limits   Limits
	Retry    Retry
	// StorePatience is how long a store that cannot be used is tried again before the run stops, leaving everything as it is; 0: 2 min.
	StorePatience time.Duration
	// Observe is told of every change of a step. It is called one at a time for each task, and must be quick.
	Observe func(Observation)
	Logger  *slog.Logger
	// Rand makes the jitter; nil: the runtime's.
	Rand *rand.Rand
}

// SecretReader resolves what get_secret asks for.
type SecretReader interface {
	Secret(ctx context.Context, args []string) (secret.Value, error)
}

// Cipher encrypts at rest.
type Cipher interface {
	Seal(plain []byte) ([]byte, error)
	Open(sealed []byte) ([]byte, error)
}

// Limits on what runs at once; 0 is the default, below 0 none.
type Limits struct {
	Deployment int            // operations of one task; default 64
	Host       int            // operations of a deployment on one host; default 1: scripts that install packages disturb each other
	Drivers    map[string]int // by Driver.Name; default none
}

// Retry of failures that may pass (driver.Error.Retryable) and the pace of an operation's own retries.
type Retry struct {
	Max      int           // attempts after the first; 0: 5, below 0: none
	Base     time.Duration // first delay; 0: 2 s. It doubles with each attempt
	Cap      time.Duration // longest delay; 0: 1 min
	MaxAfter time.Duration // longest RetryAfter that is honoured; 0: 10 min
}

// Engine runs tasks. It is safe for concurrent use: several tasks of one deployment may run under its lease if their plans' footprints do
// not overlap.
type Engine struct {
	opts  Options
	turns turns
}

// New returns an engine.
func New(o Options) *Engine {
	if o.Limits.Deployment == 0 {
		o.Limits.Deployment = 64
	}
	if o.Limits.Host == 0 {
		o.Limits.Host = 1
	}
	if o.Retry.Max == 0 {
		o.Retry.Max = 5
	}
	if o.Retry.Base == 0 {
		o.Retry.Base = 2 * time.Second
	}
	if o.Retry.Cap == 0 {
		o.Retry.Cap = time.Minute
	}
	if o.Retry.MaxAfter == 0 {
		o.Retry.MaxAfter = 10 * time.Minute
	}
	if o.StorePatience == 0 {
		o.StorePatience = 2 * time.Minute
	}
	if o.Redactor == nil {
		o.Redactor = secret.NewRedactor()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{opts: o}
}

// Job is what a task runs.
type Job struct {
	Deployment string
	Task       string
	Plan       *plan.Plan
	// Topology that steps belong to; Previous that of what is gone (see plan.Input).
	Topology, Previous *topology.Topology
	Inputs             map[string]any
	PreviousInputs     map[string]any
	WorkflowInputs     map[string]any
	Older              []plan.Version
	Revision           int
	// Skip holds steps that are to count as done without being run.
	Skip map[string]bool
	// Halt stops starting steps once one has failed: what runs is waited for, the rest stays pending.
	Halt bool
	// Again tries what has failed although the task was halted for it: somebody has decided so. Without it a halted task only ends.
	Again bool
	// Parallel bounds concurrent operations below Limits.Deployment.
	Parallel int
}

// Outcome of a run.
type Outcome struct {
	Status   Status
	Failure  *Failure
	Handled  []Handled
	Progress Progress
	// Halted: steps are pending because another failed (Job.Halt).
	Halted bool
	// Detached steps were left running; they go on with their operation when the task is resumed.
	Detached []string
}
