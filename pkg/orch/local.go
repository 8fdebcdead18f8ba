package orch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/policy"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/state/secrets"
	"github.com/orch-project/orch/pkg/topology"
)

// Options of a Local service. Store, Load and the drivers must be set; the rest works at zero.
type Options struct {
	Store state.Store
	// Load reads a bundle and resolves it to a topology, with every mistake in it.
	Load func(ctx context.Context, b Bundle) (*topology.Topology, diag.List)
	// Keep returns files, by path, that the stored bundle has beside those that were read, so that it loads without the network and import paths; nil:
	// none.
	Keep func(t *topology.Topology) (map[string][]byte, error)
	// Bind lets the location's plugins say which nodes are native and what scales with what; nil: none are.
	Bind func(ctx context.Context, t *topology.Topology, location string) diag.List
	// Infra, Remote and Local drivers, and Select, Hosts, Complete and Login, as engine.Options has them. Drivers that are Checkers take part in the
	// preflight, an Infra driver that is a Planner in plans.
	Infra, Remote, Local driver.Driver
	Select               func(*driver.Request) driver.Driver
	Hosts                func(ctx context.Context, deployment string, t *topology.Topology, in topology.Instance, env topology.Env) (*driver.Host, error)
	Complete             func(ctx context.Context, s driver.Server) (*driver.Host, error)
	Login                func(ctx context.Context, req *driver.Request, known *driver.Host) (*driver.Host, error)
	// Inventory proves that nothing is left of a deployment after its undeployment; nil: there is no proof.
	Inventory Inventory
	// Accounts answers who may do what; nil: there are no accounts.
	Accounts Accounts
	// Pool of hosts that exist already; nil: there is none.
	Pool *hostpool.Pool
	// Locations of the configuration; nil: there are none.
	Locations LocationSource
	// Secrets store; nil: secrets are refused. Drivers get secrets.Drivers of the same.
	Secrets *secrets.Store
	// Prober does the health checks of policies that go over the network; nil: policy.Dialer.
	Prober policy.Prober
	// Cipher encrypts inputs and secret attributes at rest; nil: they are refused.
	Cipher Cipher
	// Redactor hides secrets; nil: a new one. Give the drivers the same.
	Redactor *secret.Redactor
	// Observe is told of every change of a task and its steps: for metrics and traces. It must be quick.
	Observe func(engine.Observation)
	Limits  engine.Limits
	// Revisions is how many are kept of a deployment; 0: DefaultRevisions, below 0: all.
	Revisions int
	Retry     engine.Retry
	// Owner and Host name this process to others; TTL is that of its leases (see state.LeaseOptions).
	Owner, Host string
	TTL         time.Duration
	Logger      *slog.Logger
}

// Bundle is what is loaded: a file system with documents and scripts.
type Bundle struct {
	FS         fs.FS
	Entry      string // root document; "" lets the CSAR rules find it
	Name       string // shown in positions
	ImportPath []fs.FS
	Location   string
	// Kept has what an older revision imported from the network; nil for none.
	Kept fs.FS
}

// Cipher encrypts at rest.
type Cipher = engine.Cipher

// Inventory asks the cloud what exists of a deployment.
type Inventory interface {
	// Inventory returns what is left ("nova server web-0 3f…") and the services that were asked.
	Inventory(ctx context.Context, deployment, location string) (left, checked []string, err error)
}

// Prover is an Inventory that tells what stays on purpose (kept) from what is left.
type Prover interface {
	Proof(ctx context.Context, deployment, location string) (left, kept, checked []string, err error)
}

// Local is the Service on the engine in this process.
type Local struct {
	opts      Options
	engine    *engine.Engine
	store     state.Store
	blobs     *state.Blobs
	events    *state.EventLog
	log       *slog.Logger
	settled   settled // what Recover need not look at
	abandoned abandoned
	recovers  atomic.Bool // this process takes over what others leave, and what it has left itself: it is a server

	mu       sync.Mutex
	holdings map[string]*holding // by deployment
	closed   bool
	listens  bool // to what other processes ask for
	tasks    sync.WaitGroup
	// life ends with Close; tasks outlive the requests that start them.
	life context.Context
	stop context.CancelCauseFunc
}

var _ Service = (*Local)(nil)

// ErrClosing is the cause with which tasks are detached when the service closes.
var ErrClosing = errors.New("orch is closing")

// New returns the service. Close detaches what still runs: the next process goes on with it.
func New(o Options) (*Local, error) {
	if o.Store == nil || o.Load == nil {
		return nil, errors.New("cannot make the service: Store and Load are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Redactor == nil {
		o.Redactor = secret.NewRedactor()
	}
	l := &Local{opts: o, store: o.Store, blobs: state.NewBlobs(o.Store), events: state.NewEventLog(o.Store), log: o.Logger,
		holdings: map[string]*holding{}}
	l.life, l.stop = context.WithCancelCause(context.Background())
	l.engine = engine.New(engine.Options{Store: o.Store, Infra: o.Infra, Remote: o.Remote, Local: o.Local, Select: o.Select, Hosts: o.Hosts, Complete: o.Complete, Named: tenantAndName, Health: l.healthy, Login: o.Login,
		Secrets: localSecrets{o.Secrets}, Cipher: o.Cipher, Redactor: o.Redactor, Limits: o.Limits, Retry: o.Retry, Observe: o.Observe, Logger: o.Logger})
	return l, nil
}

// Close detaches running tasks and waits for them to let go. The store belongs to the caller.
func (l *Local) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.stop(ErrClosing)
	l.tasks.Wait()
	return nil
}

type locationKey struct{}

// Location tells drivers where a deployment is, or, while it is only planned, where it would be.
func Location(ctx context.Context, store state.Store, deployment string) (string, error) {
	if name, ok := ctx.Value(locationKey{}).(string); ok {
		return name, nil
	}
	d, err := loadDeployment(ctx, store, deployment)
	if err != nil {
		return "", fmt.Errorf("cannot tell the location of %s: %w", deployment, err)
	}
	return d.Location, nil
}

func withLocation(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, locationKey{}, name)
}

// Accounts implements Service.
func (l *Local) Accounts() Accounts {
	if l.opts.Accounts == nil {
		return noAccounts{}
	}
	return l.opts.Accounts
}
