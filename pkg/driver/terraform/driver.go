// Package terraform makes native nodes through Terraform or OpenTofu: one generated root module for each deployment, one apply for all
// requests that are ready, run by a supervisor that outlives orch (see supervise.go), with the state in the caller's store.
//
// The package knows plugins, not clouds: which resources a node becomes is data of package plugin, what a cloud says beside Terraform comes
// through driver.Cloud. It must not know plans, the engine or the store's layout.
//
//	d, err := terraform.New(terraform.Options{Home: dir, Plugins: set, States: store, Secrets: secrets, Location: …, Cloud: …})
//	err = d.RunBatch(ctx, reqs, emit, done)
//
// Programs that use it call MaybeSupervise first in main.
package terraform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
)

// StateStore keeps one record for each deployment. It encrypts: the record holds Terraform's state and secret values.
type StateStore interface {
	// Load returns nil without error if there is none.
	Load(ctx context.Context, deployment string) ([]byte, error)
	Save(ctx context.Context, deployment string, data []byte) error
	Remove(ctx context.Context, deployment string) error
}

// Options of a Driver. Home, Plugins, States and Location must be set; the rest works at zero.
type Options struct {
	// Home is a directory for work files, made with mode 0700: initialised providers, and modules and states while an apply runs.
	Home    string
	Plugins *plugin.Set
	States  StateStore
	Secrets driver.Secrets
	// Location says where a deployment goes; see plugin.Set.Complete.
	Location func(ctx context.Context, deployment string) (plugin.Location, error)
	// Cloud of a location; nil: rendering works only for what needs no catalogue, and errors lack the cloud's own words.
	Cloud func(ctx context.Context, loc plugin.Location) (driver.Cloud, error)
	// Binary is a path or name of terraform or tofu; "": found, see FindTool.
	Binary string
	// Mirror is a directory with providers (a filesystem mirror); "": the tool cache's.
	Mirror string
	// Parallelism of one apply; 0: 10, as Terraform's own.
	Parallelism int
	// CancelGrace is how long a cancelled apply may take to finish what it has begun before it is ended; 0: 15 minutes.
	CancelGrace time.Duration
	// Relay lets another server, perhaps on another machine, finish a run whose server has died; nil: the store is this machine's own.
	Relay  *Relay
	Logger *slog.Logger
}

// Driver implements driver.Driver, Batcher, Checker, Planner, Drifter, Adopter and Explainer. It is safe for concurrent use; applies of one deployment run
// one after another, across processes of this machine.
type Driver struct {
	opts Options
	tool toolFinder

	mu sync.Mutex
	// forced deployments: a second request to cancel.
	forced map[string]chan struct{}
}

var (
	_ driver.Batcher   = (*Driver)(nil)
	_ driver.Checker   = (*Driver)(nil)
	_ driver.Planner   = (*Driver)(nil)
	_ driver.Drifter   = (*Driver)(nil)
	_ driver.Explainer = (*Driver)(nil)
	_ driver.Adopter   = (*Driver)(nil)
)

// New returns a driver. It does no more than check the options and make Home.
func New(o Options) (*Driver, error) {
	if o.Home == "" || o.Plugins == nil || o.States == nil || o.Location == nil {
		return nil, errors.New("cannot make the Terraform driver: Home, Plugins, States and Location are needed")
	}
	home, err := filepath.Abs(o.Home)
	if err != nil {
		return nil, fmt.Errorf("cannot make the Terraform driver: %w", err)
	}
	o.Home = home
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the Terraform driver: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Parallelism == 0 {
		o.Parallelism = 10
	}
	if o.CancelGrace == 0 {
		o.CancelGrace = 15 * time.Minute
	}
	d := &Driver{opts: o, forced: map[string]chan struct{}{}}
	if err := d.tidy(); err != nil {
		return nil, fmt.Errorf("cannot remove what an ended process has left in %s: %w", home, err)
	}
	return d, nil
}

// Name of the driver.
func (d *Driver) Name() string { return "terraform" }

// Run does one request as a batch of its own.
func (d *Driver) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	var res driver.Result
	var failed error
	called := false
	err := d.RunBatch(ctx, []*driver.Request{req}, emit, func(_ int, r driver.Result, err error) { res, failed, called = r, err, true })
	if called {
		return res, failed
	}
	return res, err
}

// Force ends the running apply of a deployment at once: the second stage of a cancel. What Terraform was making is found again by its
// identity (see strays.go).
func (d *Driver) Force(deployment string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.forced[deployment]; c != nil {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (d *Driver) forceChannel(deployment string) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	d.mu.Lock()
	d.forced[deployment] = c
	d.mu.Unlock()
	return c, func() {
		d.mu.Lock()
		delete(d.forced, deployment)
		d.mu.Unlock()
	}
}

// dir of a deployment; names that are no safe file names are hashed.
func (d *Driver) dir(deployment string) string {
	return filepath.Join(d.opts.Home, "deployments", fileName(deployment))
}

// Explain shows the command that a request leads to.
func (d *Driver) Explain(req *driver.Request) string {
	tool := "terraform"
	if t, err := d.tool.find(context.Background(), d.opts.Binary); err == nil {
		tool = t.Path
	}
	return fmt.Sprintf("%s -chdir=%s %s", tool, filepath.Join(d.dir(req.Deployment), "work"), join(applyArgs(d.opts.Parallelism, nil, nil, false)))
}
