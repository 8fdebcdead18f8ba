// Package hostpool gives hosts of a pool to servers of a topology: the infrastructure driver of deployments whose location is a pool. All
// others are the next driver's.
//
// The package knows how a server's properties, capabilities and policies become a question to the pool. It must not know the pool's records
// nor any cloud.
package hostpool

import (
	"context"
	"errors"
	"fmt"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	pool "github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/plugin"
)

// Plugin is the name of the plugin whose locations are pools.
const Plugin = "hostspool"

// Options of a Driver; all must be set.
type Options struct {
	Pool *pool.Pool
	// Next makes the nodes of every other location.
	Next interface {
		driver.Batcher
		driver.Checker
		driver.Planner
		driver.Explainer
	}
	// Location of a deployment, with the plugin's defaults.
	Location func(ctx context.Context, deployment string) (plugin.Location, error)
}

// Driver implements what Terraform's does. It is safe for concurrent use.
type Driver struct{ opts Options }

var (
	_ driver.Batcher   = (*Driver)(nil)
	_ driver.Checker   = (*Driver)(nil)
	_ driver.Planner   = (*Driver)(nil)
	_ driver.Drifter   = (*Driver)(nil)
	_ driver.Explainer = (*Driver)(nil)
	_ driver.Adopter   = (*Driver)(nil)
)

// New returns a driver.
func New(o Options) *Driver { return &Driver{o} }

// Name of the driver that makes infrastructure.
func (d *Driver) Name() string { return d.opts.Next.Name() }

// PoolOf is the pool that a location takes its hosts from, and whether it is of this kind.
func PoolOf(loc plugin.Location) (string, bool) {
	if loc.Plugin != Plugin {
		return "", false
	}
	if name, ok := loc.Setting("pool").(string); ok && name != "" {
		return name, true
	}
	return loc.Name, true
}

// ServerID is the name that a host's keys are pinned to.
func ServerID(pool, host string) string { return "hostspool/" + pool + "/" + host }

// Run does one request.
func (d *Driver) Run(ctx context.Context, req *driver.Request, emit event.Emit) (driver.Result, error) {
	loc, err := d.opts.Location(ctx, req.Deployment)
	if err != nil {
		return driver.Result{}, err
	}
	if name, ok := PoolOf(loc); ok {
		return d.act(ctx, loc, name, req, emit)
	}
	return d.opts.Next.Run(ctx, req, emit)
}

// RunBatch implements driver.Batcher. The requests are of one deployment.
func (d *Driver) RunBatch(ctx context.Context, reqs []*driver.Request, emit event.Emit, done func(int, driver.Result, error)) error {
	if len(reqs) == 0 {
		return nil
	}
	loc, err := d.opts.Location(ctx, reqs[0].Deployment)
	if err != nil {
		return err
	}
	name, ok := PoolOf(loc)
	if !ok {
		return d.opts.Next.RunBatch(ctx, reqs, emit, done)
	}
	for i, req := range reqs {
		res, err := d.act(ctx, loc, name, req, emit)
		done(i, res, err)
	}
	return nil
}

// act gives a host or takes it back. Both may be repeated: an instance has one host.
func (d *Driver) act(ctx context.Context, loc plugin.Location, name string, req *driver.Request, emit event.Emit) (driver.Result, error) {
	switch req.Action {
	case driver.Create, driver.Update, driver.Replace:
		asked, err := d.asked(ctx, loc, name, req)
		if err != nil {
			return driver.Result{}, err
		}
		if req.Action == driver.Replace { // another host, if there is one
			asked.Instead = "replace " + req.OpID
		}
		h, err := d.opts.Pool.Allocate(ctx, asked)
		if errors.Is(err, pool.ErrNoHost) {
			return driver.Result{}, &driver.Error{Op: "allocate a host", Host: "pool " + name, ExitCode: -1, Detail: err.Error(), Err: err,
				Hint: fmt.Sprintf("add a host that fits (orch hosts add -l %s), free one, or ask for less", name)}
		}
		if err != nil {
			return driver.Result{}, err
		}
		tell(emit, req, "allocated", address(name, h.Name))
		return result(req, loc, h), nil
	case driver.Delete:
		found, err := d.opts.Pool.Release(ctx, name, req.Deployment, req.Node.Name, req.Instance)
		if err == nil && found {
			tell(emit, req, "released", "pool "+name)
		}
		return driver.Result{Changed: found}, err
	}
	return driver.Result{}, nil // the pool's hosts are never switched off
}

func address(pool, host string) string { return "host " + host + " of the pool " + pool }

func tell(emit event.Emit, req *driver.Request, status, what string) {
	if emit != nil {
		emit(event.Event{Type: event.Resource, Task: req.Task, Node: req.Node.Name, Instance: req.Instance, Key: what, Status: status})
	}
}

// result is what becomes known of a server by its host: addresses, and every label as an attribute that its label names.
func result(req *driver.Request, loc plugin.Location, h *pool.Host) driver.Result {
	attributes := map[string]any{"hostname": h.Name, "ip_address": h.Connection.Host, "private_address": h.Connection.Host, "public_address": h.Connection.Host,
		"public_ip_address": h.Connection.Host}
	for k, v := range h.Labels {
		attributes[k] = v
	}
	sudo, _ := loc.Setting("sudo").(bool)
	return driver.Result{Attributes: attributes, Changed: true, Host: &driver.Host{Instance: req.ID(), Addresses: []string{h.Connection.Host}, Port: h.Connection.Port,
		User: h.Connection.User, KeyRef: h.Connection.KeyRef, PasswordRef: h.Connection.PasswordRef, Agent: h.Connection.KeyRef == "" && h.Connection.PasswordRef == "",
		HostKeySource: "first-use", ServerID: ServerID(h.Location, h.Name), Sudo: sudo && h.Connection.User != "root"}}
}

// Check implements driver.Checker: there is a host for every server, all at once.
func (d *Driver) Check(ctx context.Context, reqs []*driver.Request) diag.List {
	var list diag.List
	if len(reqs) == 0 {
		return nil
	}
	loc, err := d.opts.Location(ctx, reqs[0].Deployment)
	if err != nil {
		return d.opts.Next.Check(ctx, reqs) // which says what is wrong with the location
	}
	name, ok := PoolOf(loc)
	if !ok {
		return d.opts.Next.Check(ctx, reqs)
	}
	var asked []pool.Asked
	var of []*driver.Request
	for _, req := range reqs {
		a, err := d.asked(ctx, loc, name, req)
		if err != nil {
			list.Errorf(CodeFilter, req.Node.Pos, "%s: %v", req.Node.Name, err)
			continue
		}
		if c := req.Node.Capability("host"); c != nil && c.Properties.Get("resources") != nil {
			list.Warnf(CodeFilter, req.Node.Pos, "%s: pieces of a host's resources are not given out; the property resources of the capability host has no effect", req.Node.Name).Hint =
				"choose the host by a label in filters"
		}
		asked, of = append(asked, a), append(of, req)
	}
	missing, err := d.opts.Pool.Check(ctx, name, asked)
	if err != nil {
		list.Errorf(CodeNoHost, loc.Pos, "cannot read the pool %s: %v", name, err)
	}
	for i, err := range missing {
		list.Errorf(CodeNoHost, of[i].Node.Pos, "%v", err).Hint = "orch hosts list -l " + name + " shows the pool; add a host that fits, free one, or ask for less"
	}
	return list.Sorted()
}

// Plan implements driver.Planner.
func (d *Driver) Plan(ctx context.Context, reqs []*driver.Request) ([]driver.Change, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	loc, err := d.opts.Location(ctx, reqs[0].Deployment)
	if err != nil {
		return nil, err
	}
	name, ok := PoolOf(loc)
	if !ok {
		return d.opts.Next.Plan(ctx, reqs)
	}
	var out []driver.Change
	for _, r := range reqs {
		c := driver.Change{Instance: r.ID(), Address: "pool." + name + "." + r.Node.Name + "_" + r.Instance, Action: "no-op"}
		switch r.Action {
		case driver.Create:
			c.Action = "create"
		case driver.Delete:
			c.Action = "delete"
		}
		out = append(out, c)
	}
	return out, nil
}

// Drift implements driver.Drifter: the hosts of a pool are nobody's to compare.
func (d *Driver) Drift(ctx context.Context, reqs []*driver.Request) ([]driver.Change, error) {
	next, ok := d.opts.Next.(driver.Drifter)
	if !ok || len(reqs) == 0 {
		return nil, nil
	}
	loc, err := d.opts.Location(ctx, reqs[0].Deployment)
	if err != nil {
		return nil, err
	}
	if _, ok := PoolOf(loc); ok {
		return nil, nil
	}
	return next.Drift(ctx, reqs)
}

// adopter is who surveys the deployment; nil for a pool, whose hosts are all on record.
func (d *Driver) adopter(ctx context.Context, deployment string) (driver.Adopter, error) {
	next, ok := d.opts.Next.(driver.Adopter)
	if !ok {
		return nil, nil
	}
	loc, err := d.opts.Location(ctx, deployment)
	if err != nil {
		return nil, err
	}
	if _, ok := PoolOf(loc); ok {
		return nil, nil
	}
	return next, nil
}

// Survey implements driver.Adopter.
func (d *Driver) Survey(ctx context.Context, deployment string, reqs []*driver.Request) ([]driver.Surveyed, error) {
	next, err := d.adopter(ctx, deployment)
	if err != nil || next == nil {
		return nil, err
	}
	return next.Survey(ctx, deployment, reqs)
}

// Adopt implements driver.Adopter.
func (d *Driver) Adopt(ctx context.Context, deployment string, reqs []*driver.Request, ids []string, emit event.Emit) ([]driver.Surveyed, error) {
	next, err := d.adopter(ctx, deployment)
	if err != nil || next == nil {
		return nil, err
	}
	return next.Adopt(ctx, deployment, reqs, ids, emit)
}

// Explain implements driver.Explainer.
func (d *Driver) Explain(req *driver.Request) string {
	loc, err := d.opts.Location(context.Background(), req.Deployment)
	if name, ok := PoolOf(loc); err == nil && ok {
		return "take a host of the pool " + name
	}
	return d.opts.Next.Explain(req)
}
