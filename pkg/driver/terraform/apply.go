package terraform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plugin"
	"github.com/orch-project/orch/pkg/topology"
)

var safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

func fileName(s string) string {
	if safeName.MatchString(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "h-" + hex.EncodeToString(sum[:16])
}

func join(args []string) string { return strings.Join(args, " ") }

// applyArgs of the tool. Without refresh nothing but the batch's own resources is looked at, which is both quicker and safer: what changed
// elsewhere in the deployment is left to its own steps.
func applyArgs(parallelism int, targets, replace []string, refresh bool) []string {
	args := []string{"apply", "-json", "-auto-approve", "-input=false", "-lock=false", "-backup=-", fmt.Sprintf("-parallelism=%d", parallelism)}
	if !refresh {
		args = append(args, "-refresh=false")
	}
	for _, t := range targets {
		args = append(args, "-target="+t)
	}
	for _, r := range replace {
		args = append(args, "-replace="+r)
	}
	return args
}

// batch is one call of RunBatch.
type batch struct {
	// failed: the last apply did not get through.
	failed     bool
	d          *Driver
	deployment string
	reqs       []*driver.Request
	emit       event.Emit
	report     func(i int, res driver.Result, err error)
	reported   []bool

	home string // directory of the deployment
	work string // directory of the run
	// uncertain are the keys of entries that an apply which was cut off may have made, or removed, without the state knowing.
	uncertain map[string]bool
	// suspects are the resources of instances that an earlier attempt may have made; nil: there was none that went wrong.
	suspects func(*driver.CloudResource) bool
	loc      plugin.Location
	cloud    driver.Cloud
	bundle   *bundle
	renderer *plugin.Renderer
}

// RunBatch makes, changes and removes the instances of the requests, which are of one deployment, in one apply. Requests may depend on
// each other: Terraform orders them. A request is done as soon as its own resources are.
func (d *Driver) RunBatch(ctx context.Context, reqs []*driver.Request, emit event.Emit, done func(i int, res driver.Result, err error)) error {
	if len(reqs) == 0 {
		return nil
	}
	if emit == nil {
		emit = func(event.Event) {}
	}
	b := &batch{d: d, deployment: reqs[0].Deployment, reqs: reqs, emit: emit, report: done, reported: make([]bool, len(reqs))}
	for _, r := range reqs {
		if r.Deployment != b.deployment {
			return fmt.Errorf("cannot apply: the batch has requests of two deployments, %s and %s", b.deployment, r.Deployment)
		}
	}
	b.home = d.dir(b.deployment)
	b.work = filepath.Join(b.home, "work")
	if err := os.MkdirAll(b.home, 0o700); err != nil {
		return fmt.Errorf("cannot apply: %w", err)
	}
	unlock, err := flock(ctx, filepath.Join(b.home, "lock"))
	if err != nil {
		return fmt.Errorf("cannot apply: waiting for another apply of %s: %w", b.deployment, err)
	}
	defer unlock()
	return b.run(ctx)
}

func (b *batch) run(ctx context.Context) error {
	if err := b.begin(ctx); err != nil {
		return err
	}
	if err := b.recover(ctx); err != nil {
		return err
	}
	if b.finished() {
		return nil
	}
	return b.apply(ctx)
}

// begin loads what a batch works with. Without requests there is no renderer.
func (b *batch) begin(ctx context.Context) error {
	var err error
	if b.loc, err = b.d.location(ctx, b.deployment); err != nil {
		return err
	}
	if b.d.opts.Cloud != nil {
		if b.cloud, err = b.d.opts.Cloud(ctx, b.loc); err != nil {
			return cloudUnreachable(err)
		}
	}
	data, err := b.d.opts.States.Load(ctx, b.deployment)
	if err != nil {
		return fmt.Errorf("cannot load the Terraform state of %s: %w", b.deployment, err)
	}
	if b.bundle, err = decodeBundle(data); err != nil {
		return err
	}
	if len(b.reqs) > 0 {
		b.renderer = b.rendererFor(b.wanted())
	}
	return nil
}

// wanted is a request with the topology that is to be: removals may be of the one before.
func (b *batch) wanted() *driver.Request {
	for _, r := range b.reqs {
		if r.Action != driver.Delete {
			return r
		}
	}
	return b.reqs[0]
}

func (b *batch) rendererFor(r *driver.Request) *plugin.Renderer {
	return b.d.renderer(b.deployment, b.loc, r, b.cloud, b.bundle.Manifest.Pins)
}

func (b *batch) finished() bool { return !slices.Contains(b.reported, false) }

func (b *batch) done(i int, res driver.Result, err error) {
	if !b.reported[i] {
		b.reported[i] = true
		b.report(i, res, err)
	}
}

func (d *Driver) location(ctx context.Context, deployment string) (plugin.Location, error) {
	loc, err := d.opts.Location(ctx, deployment)
	if err != nil {
		return loc, fmt.Errorf("cannot find the location of %s: %w", deployment, err)
	}
	loc, list := d.opts.Plugins.Complete(loc)
	return loc, list.Err()
}

func (d *Driver) renderer(deployment string, loc plugin.Location, req *driver.Request, cloud driver.Cloud, pins plugin.Pins) *plugin.Renderer {
	r := &plugin.Renderer{Deployment: deployment, Set: d.opts.Plugins, Location: loc, Topology: req.Topology, Env: req.Env, Pins: pins,
		Stopped: map[topology.Instance]bool{}}
	if cloud != nil {
		r.Catalogue = &catalogue{cloud: cloud}
	}
	if d.opts.Secrets != nil {
		r.Secrets = d.opts.Secrets
	}
	return r
}

// goal is what a batch asks Terraform for.
type goal struct {
	manifest *manifest
	// addresses that each request waits for: to exist, or to be gone.
	addresses [][]string
	targets   []string
	replace   []string // addresses to make anew although nothing asks for it
	refresh   bool
	// own are all addresses that the batch is about.
	own []string
	// held are addresses that were to go and cannot, with the reason.
	held map[string]string
	// later are addresses that go when this apply has taken off what holds them.
	later map[string]bool
	// idle: the world is as asked, as far as the state says.
	idle bool
}

// aim renders the requests into the manifest. Requests whose rendering fails are reported and left out.
func (b *batch) aim(ctx context.Context) (*goal, error) {
	old := b.bundle.Manifest
	next, err := b.bundle.clone()
	if err != nil {
		return nil, err
	}
	m := next.Manifest
	b.renderer.Pins = m.Pins
	m.Location = b.loc.Name
	g := &goal{manifest: m, addresses: make([][]string, len(b.reqs))}
	for _, e := range m.Entries {
		b.renderer.Stopped[e.Instance] = e.Stopped
	}
	requested := map[string]bool{}
	var ids []topology.Instance
	for i, r := range b.reqs {
		if b.reported[i] {
			continue
		}
		switch r.Action {
		case driver.Delete:
			m.unwant(r.ID(), r.Wanted)
			continue
		case driver.Start, driver.Stop:
			b.renderer.Stopped[r.ID()] = r.Action == driver.Stop
		case driver.Create, driver.Replace:
			b.renderer.Stopped[r.ID()] = false
		case driver.Update:
		default:
			b.done(i, driver.Result{}, fmt.Errorf("cannot %q a node by Terraform", r.Action))
			continue
		}
		// One by one first, so that a mistake in one node does not stop the others.
		if _, err := b.renderer.Render(ctx, append(slices.Clone(ids), r.ID())); err != nil {
			b.renderer = b.renderer.Fresh()
			b.done(i, driver.Result{}, renderError(r, err))
			continue
		}
		ids = append(ids, r.ID())
		requested[plugin.EntryKey(r.ID())] = true
	}
	rendered, err := b.renderer.Render(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("cannot render the Terraform module: %w", err)
	}
	m.merge(rendered, requested)
	for _, r := range b.reqs {
		if e := m.Entries[plugin.EntryKey(r.ID())]; e != nil && requested[plugin.EntryKey(r.ID())] {
			if err := e.shrunk(b.bundle.state); err != nil {
				return nil, renderError(r, &plugin.ExprError{At: r.Node.Pos, Node: r.Node.Name, Err: err,
					Hint: "leave it as it is, or give the node another name: then a new one is made, and this one is removed with what is on it"})
			}
		}
	}
	for _, id := range ids {
		e := m.Entries[plugin.EntryKey(id)]
		e.Wanted, e.Stopped = true, b.renderer.Stopped[id]
		if e.Awaits, err = b.renderer.Awaits(ctx, id); err != nil {
			return nil, err
		}
		concerned, err := b.renderer.Refreshes(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, o := range concerned {
			if !slices.Contains(e.Tells, o) {
				e.Tells = append(e.Tells, o)
			}
		}
	}
	m.sweep()
	if err := b.keep(old, m); err != nil {
		return nil, err
	}
	m.bury(old, b.bundle.state)
	b.choose(g, old)
	return g, nil
}

// apply does the batch's own apply, and another one for what can go only after it.
func (b *batch) apply(ctx context.Context) error {
	if err := b.clearStrays(ctx); err != nil {
		return err
	}
	b.unblock(ctx)
	g, err := b.aim(ctx)
	if err != nil {
		return err
	}
	if b.finished() {
		return nil
	}
	if err := b.clearUnnoted(ctx, g.manifest); err != nil {
		return err
	}
	if err := b.reach(ctx, g); err != nil || len(g.later) == 0 || b.failed {
		return err
	}
	if err := context.Cause(ctx); err != nil { // what is left was not begun because of it
		return err
	}
	if g, err = b.aim(ctx); err != nil {
		return err
	}
	return b.reach(ctx, g)
}

// reach makes the world what the goal says, but for what goes later.
func (b *batch) reach(ctx context.Context, g *goal) error {
	b.bundle.Manifest, b.failed = g.manifest, false
	t := b.track(g.addresses)
	b.spare(ctx, g)
	t.held, t.later = g.held, g.later
	if g.idle || len(g.held)+len(g.later) > 0 && len(g.targets) == 0 {
		t.settle(ctx, nil)
		return b.save(ctx)
	}
	if g.refresh {
		b.remark(ctx, g.manifest)
	}
	tool, err := b.d.tool.find(ctx, b.d.opts.Binary)
	if err != nil {
		return err
	}
	plugins := pluginsOf(b.d.opts.Plugins, g.manifest, b.loc)
	prep, err := b.d.prepare(ctx, tool, plugins)
	if err != nil {
		return err
	}
	mod, values, err := buildModule(g.manifest, plugins, prep.versions(), false)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	rec := &applyRecord{ID: ulid.Make().String(), Host: host, Started: time.Now().UTC(), Ops: map[string]string{}, Held: g.held, Later: g.later, Relayed: b.d.opts.Relay != nil}
	for i, r := range b.reqs {
		if !b.reported[i] {
			rec.Ops[r.ID().String()] = r.OpID
		}
	}
	g.manifest.Apply = rec
	// The intent is stored before the act.
	if err := b.save(ctx); err != nil {
		return err
	}
	if err := b.writeWork(prep, mod, rec); err != nil {
		return fmt.Errorf("cannot prepare the apply: %w", err)
	}
	c := &command{Dir: b.work, Run: rec.ID, Path: tool.Path, Args: applyArgs(b.d.opts.Parallelism, g.targets, g.replace, g.refresh), Env: b.environ(prep, values)}
	if rec.Relayed {
		c.Relay = &relayed{Config: b.d.opts.Relay.Config, Deployment: b.deployment, Run: rec.ID}
	}
	if err := start(ctx, c); err != nil {
		return err
	}
	return b.follow(ctx, t)
}

// writeWork makes the run's directory.
func (b *batch) writeWork(prep *prepared, mod []byte, rec *applyRecord) error {
	if err := os.RemoveAll(b.work); err != nil {
		return err
	}
	if err := os.MkdirAll(b.work, 0o700); err != nil {
		return err
	}
	lock, err := os.ReadFile(prep.lockFile())
	if err != nil {
		return err
	}
	files := map[string][]byte{fileModule: mod, ".terraform.lock.hcl": lock}
	if len(b.bundle.State) > 0 {
		files[fileState] = b.bundle.State
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(b.work, name), data, 0o600); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(b.work, fileRun), rec)
}

// environ of Terraform: credentials and secret arguments are here and nowhere else.
func (b *batch) environ(prep *prepared, values map[string]string) []string {
	env := append(hostEnv(), prep.environ()...)
	if b.cloud != nil {
		for k, v := range b.cloud.Environ() {
			env = append(env, k+"="+v.Reveal())
		}
	}
	for k, v := range values {
		env = append(env, "TF_VAR_"+k+"="+v)
	}
	slices.Sort(env)
	return env
}

// save stores the bundle, or removes the record when nothing is left. It must not be cut short by a cancellation.
func (b *batch) save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if b.bundle.empty() {
		if err := b.d.opts.States.Remove(ctx, b.deployment); err != nil {
			return fmt.Errorf("cannot remove the Terraform state of %s: %w", b.deployment, err)
		}
		return nil
	}
	data, err := b.bundle.encode()
	if err != nil {
		return err
	}
	if err := b.d.opts.States.Save(ctx, b.deployment, data); err != nil {
		return fmt.Errorf("cannot save the Terraform state of %s: %w", b.deployment, err)
	}
	return nil
}

func renderError(r *driver.Request, err error) error {
	e := &driver.Error{Op: "render " + r.Node.Name, Host: "orchestrator", ExitCode: -1, Detail: err.Error(), Err: err}
	var x *plugin.ExprError
	if errors.As(err, &x) {
		e.Hint = x.Hint
		if !x.At.IsZero() {
			e.Detail += " (" + x.At.String() + ")"
		}
	}
	return e
}
