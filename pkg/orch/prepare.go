package orch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/engine"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/state"
	"github.com/orch-project/orch/pkg/topology"
)

// prepared is everything that a plan needs and a task is made from.
type prepared struct {
	req      Request
	asked    Request // as it came
	name     string
	have     *record // nil: a new deployment
	topology *topology.Topology
	previous *topology.Topology // what the instances were made from; topology itself if nothing else is known
	inputs   map[string]any
	prevIn   map[string]any
	wfInputs map[string]any
	location string
	parts    []*recorder // of a new bundle; nil: the stored one
	stored   revision
	target   *revision // of a rollback to an older one
	snapshot *engine.Snapshot
	older    []plan.Version
	back     *plan.Input // of a rollback
	plan     *plan.Plan
	selected []selected    // nodes of other deployments that stand for nodes of a new topology
	told     []event.Event // when the task begins
	diags    diag.List
	planned  diag.List // what planning has found, beside diags
}

// prepare loads, binds and plans, without asking the cloud: complete does. The plan is nil if the findings are errors.
func (l *Local) prepare(ctx context.Context, req Request) (*prepared, error) {
	p := &prepared{req: req, asked: req, name: req.Deployment}
	if !validName(p.name) {
		return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no name for a deployment", p.name),
			Hint: "use letters, digits, '-', '_' and '.', up to 128 of them"}
	}
	if err := req.check(); err != nil {
		return nil, err
	}
	have, err := loadDeployment(ctx, l.store, p.name)
	switch {
	case err == nil:
		p.have = &have
	case !errors.Is(err, ErrNotFound) || req.Source == nil:
		return nil, err
	}
	p.location = req.Location
	if p.have != nil && p.location == "" {
		p.location = p.have.Location
	}
	ctx = usedBy(withLocation(ctx, p.location), p.name)
	if err := l.loadTopologies(ctx, p); err != nil {
		return nil, err
	}
	if p.diags.HasErrors() {
		return p, nil
	}
	if req.Verb == Undeploy {
		if err := l.selectedElsewhere(ctx, p); err != nil {
			return nil, err
		}
	}
	if p.snapshot, err = engine.Load(ctx, l.store, p.name); err != nil {
		return nil, storeError(err)
	}
	if p.have != nil {
		if p.older, err = l.olderVersions(ctx, p.name, p.snapshot, p.stored.N); err != nil {
			return nil, err
		}
	}
	if err := p.numbers(); err != nil {
		return nil, err
	}
	if err := p.removal(); err != nil {
		return nil, err
	}
	in, err := l.input(ctx, p)
	if err != nil {
		return nil, err
	}
	p.build(in)
	return p, nil
}

// check refuses what no deployment could make sense of.
func (r Request) check() error {
	switch {
	case !slices.Contains([]Verb{Deploy, Undeploy, Workflow, Operate}, r.Verb):
		return &Error{Kind: KindUser, Msg: fmt.Sprintf("there is no verb %q", r.Verb), Hint: "use deploy, undeploy, workflow or operation"}
	case r.Verb == Workflow && r.Workflow == "":
		return &Error{Kind: KindUser, Msg: "the request names no workflow", Hint: "orch workflows " + r.Deployment + " shows those that there are"}
	case r.Verb == Operate && r.Operation == "":
		return &Error{Kind: KindUser, Msg: "the request names no operation"}
	case r.Parallel < 0:
		return &Error{Kind: KindUser, Msg: fmt.Sprintf("%d steps cannot run at once", r.Parallel), Hint: "parallel is 1 or more; 0 is the default"}
	}
	for name, n := range r.Scale {
		if n < 0 {
			return &Error{Kind: KindUser, Msg: fmt.Sprintf("%s cannot have %d instances", name, n)}
		}
	}
	return nil
}

// complete asks the drivers about a prepared request: whether it can be done at all, and what it does to the infrastructure. It plans again if
// that replaces something. The plan is nil afterwards if there are errors.
func (l *Local) complete(ctx context.Context, p *prepared) error {
	ctx = usedBy(withLocation(ctx, p.location), p.name)
	if p.plan != nil {
		if err := l.preconditions(ctx, p); err != nil {
			return err
		}
	}
	if p.snapshot != nil && !p.req.SkipPreflight && p.req.Verb == Deploy {
		l.preflight(ctx, p)
	}
	if p.plan == nil || p.diags.HasErrors() {
		p.plan = nil // with every mistake in findings
		return nil
	}
	built := p.plan
	changes, err := l.changes(ctx, p, built)
	if err != nil {
		return err
	}
	if replaced := replacements(changes, built); len(replaced) > 0 && built.Workflow == plan.Install {
		in, err := l.input(ctx, p)
		if err != nil {
			return err
		}
		in.Replaced = replaced
		if p.build(in); p.plan == nil {
			return nil
		}
	}
	p.plan.Changes = changes
	p.plan.Diagnostics = p.findings()
	return nil
}

// loadTopologies loads the wanted topology, from the request or the store, and the one that the instances were made from.
func (l *Local) loadTopologies(ctx context.Context, p *prepared) error {
	if p.have != nil && p.have.Revision > 0 {
		rev, err := l.revision(ctx, p.name, p.have.Revision)
		if err != nil {
			return err
		}
		t, inputs, err := l.restore(ctx, rev)
		if err != nil && (p.req.Source == nil || p.req.Verb != Deploy) {
			return err
		}
		p.stored, p.previous, p.prevIn = rev, t, inputs
	}
	if p.req.Revision != 0 && p.req.Verb == Deploy && p.have != nil {
		return l.loadRevision(ctx, p)
	}
	if p.req.Source == nil || p.req.Verb != Deploy {
		if p.previous == nil {
			return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("deployment %s has no topology yet", p.name), Err: ErrNotFound}
		}
		p.topology, p.inputs = p.previous, p.prevIn
		if p.req.Verb == Deploy && len(p.req.Inputs) > 0 {
			given := maps.Clone(p.prevIn)
			maps.Copy(given, p.req.Inputs)
			p.checkInputs(given)
		} else if p.req.Verb != Deploy {
			p.wfInputs = p.req.Inputs
			l.checkWorkflowInputs(p)
		}
		return nil
	}
	return l.loadNew(ctx, p)
}

func (l *Local) loadNew(ctx context.Context, p *prepared) error {
	b := Bundle{Entry: p.req.Entry, Name: p.req.SourceName, Location: p.location}
	main := recordReads(p.req.Source)
	b.FS, p.parts = main, append(p.parts, main)
	for _, f := range p.req.ImportPath {
		r := recordReads(f)
		b.ImportPath = append(b.ImportPath, r)
		p.parts = append(p.parts, r)
	}
	if p.stored.N > 0 {
		old, err := l.unpack(ctx, p.stored)
		if err != nil {
			return storeError(err)
		}
		b.Kept = old.FS
	}
	t, diags := l.load(ctx, b, l.searching(p))
	p.diags.Add(diags...)
	if t == nil || diags.HasErrors() {
		return nil
	}
	p.topology = t
	touchArtifacts(t)
	kept, err := l.keep(t)
	if err != nil {
		return &Error{Kind: KindUser, Msg: "cannot keep what the topology imports", Err: err}
	}
	main.add(kept)
	given := p.req.Inputs
	if p.prevIn != nil { // what was given once stays given, as long as the topology still asks for it
		given = map[string]any{}
		for k, v := range p.prevIn {
			if t.Input(k) != nil {
				given[k] = v
			}
		}
		maps.Copy(given, p.req.Inputs)
	}
	p.checkInputs(given)
	if p.previous == nil {
		p.previous, p.prevIn = p.topology, p.inputs
	}
	return nil
}

// keep are the files by which a topology can be loaded again without the network and import paths.
func (l *Local) keep(t *topology.Topology) (map[string][]byte, error) {
	if l.opts.Keep == nil {
		return nil, nil
	}
	return l.opts.Keep(t)
}

// ownFunction is the code of calls that are valid, of functions that have nothing to run.
const ownFunction = "own-function"

// load resolves and binds a bundle. choose says what nodes of other deployments stand for; nil: nothing does.
func (l *Local) load(ctx context.Context, b Bundle, choose selecting) (*topology.Topology, diag.List) {
	t, diags := l.opts.Load(ctx, b)
	return l.bound(ctx, b, t, diags, choose)
}

func (l *Local) bound(ctx context.Context, b Bundle, t *topology.Topology, diags diag.List, choose selecting) (*topology.Topology, diag.List) {
	for i := range diags {
		if diags[i].Code == ownFunction || diags[i].Code == topology.CodeAsksInVain && t != nil && !t.HostLookup {
			diags[i].Severity = diag.Error // known before anything is made, not when the value is needed
		}
	}
	if t == nil || diags.HasErrors() {
		return t, diags
	}
	if choose != nil {
		diags.Add(choose(ctx, t)...)
	}
	if diags.HasErrors() || l.opts.Bind == nil {
		return t, diags
	}
	diags.Add(l.opts.Bind(ctx, t, b.Location)...)
	return t, diags
}

func (p *prepared) checkInputs(given map[string]any) {
	inputs, diags := topology.CheckInputs(p.topology.Inputs, given, nil)
	p.diags.Add(diags...)
	p.inputs = inputs
}

// checkWorkflowInputs checks those of a declared workflow; an operation's are taken as they are.
func (l *Local) checkWorkflowInputs(p *prepared) {
	wf := p.topology.Workflows[p.req.Workflow]
	if p.req.Verb != Workflow || wf == nil {
		return
	}
	inputs, diags := topology.CheckInputs(wf.Inputs, p.wfInputs, nil)
	p.diags.Add(diags...)
	p.wfInputs = inputs
}

// onlyPlanned are mistakes of a stored revision that an older orch has not seen, and that nothing which exists depends on: those in workflows
// and policies. Plans and policies that come to them name them.
func onlyPlanned(d diag.Diagnostic) bool {
	parts := strings.SplitN(d.Path, ".", 3)
	return slices.ContainsFunc(parts[:min(len(parts), 2)], func(s string) bool { return s == "workflows" || s == "policies" })
}

// restore loads a stored revision.
func (l *Local) restore(ctx context.Context, rev revision) (*topology.Topology, map[string]any, error) {
	b, err := l.unpack(ctx, rev)
	if err != nil {
		return nil, nil, storeError(err)
	}
	t, found := l.opts.Load(ctx, b)
	t, diags := l.bound(ctx, b, t, slices.DeleteFunc(found, onlyPlanned), l.taking(rev.Selected))
	if err := diags.Err(); err != nil {
		return nil, nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("the stored topology (revision %d) cannot be loaded any more", rev.N),
			Hint: "deploy the document again, or install the plugins that it needs", Err: err}
	}
	inputs, err := engine.DecodeMap(rev.Inputs, l.opts.Cipher)
	if err != nil {
		return nil, nil, &Error{Kind: KindStore, Msg: "the stored inputs cannot be read", Hint: "is the encryption key the one of this store?", Err: err}
	}
	return t, inputs, nil
}

// olderVersions loads the revisions that instances are left of, newest first.
func (l *Local) olderVersions(ctx context.Context, name string, snap *engine.Snapshot, except int) ([]plan.Version, error) {
	have := map[int]bool{}
	for _, in := range snap.Instances {
		if in.Revision > 0 && in.Revision != except {
			have[in.Revision] = true
		}
	}
	var out []plan.Version
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(have))) {
		rev, err := l.revision(ctx, name, n)
		if err != nil {
			return nil, err
		}
		t, inputs, err := l.restore(ctx, rev)
		if err != nil {
			return nil, err
		}
		out = append(out, plan.Version{Topology: t, Inputs: inputs})
	}
	return out, nil
}

func (l *Local) revision(ctx context.Context, name string, n int) (revision, error) {
	var rev revision
	err := l.store.View(ctx, func(tx state.Tx) (err error) {
		rev, _, err = state.Get[revision](tx, revisionKey(name, n))
		return err
	})
	return rev, storeError(err)
}

// input of the planner.
func (l *Local) input(ctx context.Context, p *prepared) (plan.Input, error) {
	if p.back != nil {
		return *p.back, nil
	}
	in := plan.Input{Deployment: p.name, Topology: p.topology, Previous: p.previous, Inputs: p.inputs, PreviousInputs: p.prevIn, Older: p.older,
		WorkflowInputs: p.wfInputs, Recorded: p.snapshot.Recorded(), Force: p.req.Force}
	in.Scale, in.Remove = p.scale(), p.req.Remove
	switch p.req.Verb {
	case Deploy:
		in.Workflow, in.Only, in.Update = plan.Install, p.only(), p.req.Update
		if err := p.rollout(ctx, l.env(p, p.inputs), &in); err != nil {
			return in, err
		}
	case Undeploy:
		in.Workflow = plan.Uninstall
	case Workflow:
		in.Workflow = p.req.Workflow
		p.choose(&in)
		if p.heals() {
			if err := l.healing(ctx, p, &in); err != nil {
				return in, err
			}
		}
	case Operate:
		in.Workflow = plan.Operation
		in.Operate = &plan.Operate{Node: p.req.Node, Interface: p.req.Interface, Operation: p.req.Operation, Instances: p.req.Instances, Ordered: p.req.Ordered}
		in.Instances = p.req.Select
	default:
		return in, &Error{Kind: KindUser, Msg: fmt.Sprintf("there is no %q", p.req.Verb)}
	}
	return in, nil
}

// heals reports whether the request is for the built-in workflow that heals.
func (p *prepared) heals() bool {
	wf := p.topology.Workflows[p.req.Workflow]
	return p.req.Verb == Workflow && p.req.Workflow == plan.Heal && (wf == nil || wf.BuiltIn() != "")
}

// build plans; what it finds replaces what planning found before.
func (p *prepared) build(in plan.Input) {
	if p.plan, p.planned = plan.Build(in); p.plan != nil {
		p.plan.Diagnostics = p.findings()
	}
}

// findings are all of them, in order.
func (p *prepared) findings() diag.List { return slices.Concat(p.diags, p.planned).Sorted() }

// changes asks the infrastructure driver what it would do.
func (l *Local) changes(ctx context.Context, p *prepared, built *plan.Plan) ([]driver.Change, error) {
	planner, ok := l.opts.Infra.(driver.Planner)
	if !ok || p.req.SkipPreflight {
		return nil, nil
	}
	var reqs []*driver.Request
	for _, s := range built.Steps {
		if s.Kind == plan.Infra {
			if r := l.infraRequest(p, s.Of(), s.Action); r != nil {
				reqs = append(reqs, r)
			}
		}
	}
	if len(reqs) == 0 {
		return nil, nil
	}
	changes, err := planner.Plan(withLocation(ctx, p.location), reqs)
	if err != nil {
		return nil, driverError("cannot plan the infrastructure", err)
	}
	return changes, nil
}

func (l *Local) infraRequest(p *prepared, in topology.Instance, action driver.Action) *driver.Request {
	t, inputs := p.topology, p.inputs
	if action == driver.Delete {
		t, inputs = p.previous, p.prevIn
	}
	for _, v := range p.older {
		if t.NodeNamed(in.Node) == nil {
			t, inputs = v.Topology, v.Inputs
		}
	}
	n := t.NodeNamed(in.Node)
	if n == nil {
		return nil
	}
	req := &driver.Request{Deployment: p.name, Location: p.location, Action: action, Topology: t, Node: n, Instance: in.Index,
		Env: l.env(p, inputs)}
	if p.topology != nil && p.topology.NodeNamed(in.Node) == nil {
		req.Wanted = p.topology
	}
	return req
}

// env is the deployment as planned: what is recorded, with the inputs given.
func (l *Local) env(p *prepared, inputs map[string]any) topology.Env {
	return &plannedEnv{World: l.engine.NewWorld(p.snapshot, inputs), p: p}
}

// plannedEnv adds the instances that do not exist yet.
type plannedEnv struct {
	*engine.World
	p *prepared
}

// Instances implements topology.Env.
func (e *plannedEnv) Instances(node string) []string {
	return plan.Wanted(plan.Input{Topology: e.p.topology, Inputs: e.p.inputs, Recorded: e.p.snapshot.Recorded(), Scale: e.p.scale(), Remove: e.p.req.Remove})[node]
}

// replacements are the instances that an update makes anew.
func replacements(changes []driver.Change, built *plan.Plan) map[topology.Instance]string {
	updated := map[topology.Instance]bool{}
	for _, s := range built.Steps {
		if s.Kind == plan.Infra && (s.Action == driver.Update || s.Action == driver.Create) {
			updated[s.Of()] = true
		}
	}
	out := map[topology.Instance]string{}
	for _, c := range changes {
		if c.Action == "replace" && updated[c.Instance] {
			out[c.Instance] = "it is replaced"
			for _, f := range c.Fields {
				if f.Forces {
					out[c.Instance] = "it is replaced because of " + f.Path
				}
			}
		}
	}
	return out
}

// driverError gives errors of drivers their kind.
func driverError(msg string, err error) error {
	var de *driver.Error
	if errors.As(err, &de) {
		return &Error{Kind: KindCloud, Msg: msg, Hint: de.Hint, Err: err}
	}
	var le *diag.ListError
	if errors.As(err, &le) || errors.Is(err, context.Canceled) {
		return err
	}
	kind := KindCloud
	var own *Error
	if errors.As(err, &own) { // what was asked for is wrong, not the cloud
		kind = own.Kind
	}
	return &Error{Kind: kind, Msg: msg, Err: err}
}

// exists reports whether an artifact's file is in the bundle.
func exists(t *topology.Topology, file string) bool {
	if t.Files == nil {
		return true
	}
	_, err := fs.Stat(t.Files, file)
	return err == nil
}
