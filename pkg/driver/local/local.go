// Package local runs operations on the orchestrator's own host: those of nodes without a host, and those with operation_host ORCHESTRATOR.
//
// They are run as on any other host, in a journal (Options.Dir), so that they survive a kill of orch and are executed once. What scripts see
// and give back is described in package script. Two things differ: bash is no login shell, and of orch's own environment only what programs
// need is passed on, because the rest holds credentials.
package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
	"github.com/orch-project/orch/pkg/event"
)

// Options of the driver. The zero value keeps the journal below the user's cache directory.
type Options struct {
	// Dir of the journal, usually ORCH_HOME/journal. It must be on a disk that survives a reboot.
	Dir string
	// Pass names further variables of orch's environment that scripts get.
	Pass []string
	// Timeout of operations that ask for none; 0 is an hour.
	Timeout time.Duration
	// Retention of ended operations; 0 is seven days, negative is for ever.
	Retention time.Duration
	// Grace between TERM and KILL; 0 is ten seconds.
	Grace time.Duration
	// AllowSudo lets operations that ask for root rights have them through sudo -n. Otherwise they fail.
	AllowSudo bool
}

// Driver runs operations on this host.
type Driver struct {
	o     Options
	swept atomic.Bool
}

var (
	_ driver.Driver    = (*Driver)(nil)
	_ driver.Checker   = (*Driver)(nil)
	_ driver.Explainer = (*Driver)(nil)
)

// New makes a driver.
func New(o Options) (*Driver, error) {
	if o.Dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		o.Dir = filepath.Join(cache, "orch", "journal")
	}
	dir, err := filepath.Abs(o.Dir)
	o.Dir = dir
	return &Driver{o: o}, err
}

// Name is "local".
func (d *Driver) Name() string { return "local" }

// Run runs the operation, attaches to it if it is running, or returns its recorded result.
func (d *Driver) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	if req.Operation == nil || req.Operation.Implementation == nil {
		return driver.Result{}, nil
	}
	m := &Machine{Env: Environ(d.o.Pass)}
	dir := d.o.Dir
	if req.Operation.Sudo == "true" && os.Getuid() != 0 {
		if !d.o.AllowSudo {
			return driver.Result{}, &driver.Error{Op: script.OpName(req), Host: m.Address(), ExitCode: -1,
				Err:  errors.New("the operation asks for root rights on the orchestrator's own host"),
				Hint: "allow that in the configuration of the local driver, or run the operation on another host"}
		}
		m.Prefix = []string{"sudo", "-n", "-H", "--"}
		dir += "-root"
	}
	r := &script.Runner{Machine: m, Dir: dir, Retention: d.o.Retention, Grace: d.o.Grace, Sweep: !d.swept.Swap(true), Own: len(m.Prefix) == 0}
	return script.Perform(ctx, req, r, script.Options{Timeout: d.o.Timeout}, emit)
}

// Check finds missing and unusable implementations.
func (d *Driver) Check(_ context.Context, reqs []*driver.Request) diag.List {
	return script.Check(reqs, script.Options{})
}

// Explain shows what would run.
func (d *Driver) Explain(req *driver.Request) string {
	return script.Explain(req, "the orchestrator's host", script.Options{})
}
