package orch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/event"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// InTenant is the Service as a tenant sees it: only its own deployments, blueprints, secrets and events, under their own names. Everything
// that users reach goes through it, in the default tenant, too.
//
// It embeds nothing on purpose: a new method of Service must say here what it means in a tenant before anything compiles. A method whose
// argument is a deployment's name calls name, one that returns a deployment's name calls bare, and every error passes through fail.
func InTenant(svc Service, tenant string) Service {
	if tenant == "" {
		tenant = DefaultTenant
	}
	return &inTenant{svc, scope{tenant}}
}

// FeedInTenant is the same for a Feed.
func FeedInTenant(f Feed, tenant string) Feed {
	if tenant == "" {
		tenant = DefaultTenant
	}
	return &feedInTenant{f, scope{tenant}}
}

// scope maps names between a tenant and the store.
type scope struct{ tenant string }

// name is the recorded name of a deployment, or an error for what can be no name in a tenant.
func (s scope) name(name string) (string, error) {
	if strings.Contains(name, tenantMark) {
		return "", &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no deployment %q", name), Hint: "orch list shows all deployments", Err: ErrNotFound}
	}
	if name == "" {
		return "", nil
	}
	return FullName(s.tenant, name), nil
}

// bare is the reverse of name; false for deployments of other tenants.
func (s scope) bare(full string) (string, bool) {
	tenant, name := SplitName(full)
	return name, tenant == s.tenant
}

func (s scope) of(ctx context.Context) context.Context { return WithTenant(ctx, s.tenant) }

// fail takes recorded names out of an error's text.
func (s scope) fail(err error) error {
	prefix := FullName(s.tenant, "")
	if err == nil || prefix == "" || !strings.Contains(err.Error(), prefix) {
		return err
	}
	var list *diag.ListError
	if errors.As(err, &list) {
		return err // places in documents
	}
	as := &renamed{strings.ReplaceAll(err.Error(), prefix, ""), err}
	var known *Error
	if !errors.As(err, &known) {
		return as
	}
	return &Error{Kind: known.Kind, Hint: strings.ReplaceAll(known.Hint, prefix, ""), Err: as}
}

type renamed struct {
	text string
	err  error
}

func (r *renamed) Error() string { return r.text }
func (r *renamed) Unwrap() error { return r.err }

func (s scope) event(e event.Event) event.Event {
	e.Deployment, _ = s.bare(e.Deployment)
	return e
}

type inTenant struct {
	svc Service
	scope
}

// request maps the deployment and says who asks. What was authenticated counts more than what the request says.
func (s *inTenant) request(ctx context.Context, req Request) (_ Request, err error) {
	if req.Deployment, err = s.name(req.Deployment); err != nil {
		return req, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no name for a deployment", req.Deployment), Hint: "use letters, digits, '-', '_' and '.', up to 128 of them"}
	}
	if id, ok := IdentityOf(ctx); ok && id.User != "" && (req.User == "" || id.Via != "socket" && id.Via != "none" && id.Via != "local") {
		req.User = id.User
	}
	return req, nil
}

func (s *inTenant) task(t Task, err error) (Task, error) {
	if t.Deployment != "" {
		t.Deployment, _ = s.bare(t.Deployment)
	}
	return t, s.fail(err)
}

func (s *inTenant) plan(p *plan.Plan) *plan.Plan {
	if p == nil {
		return nil
	}
	out := *p
	out.Deployment, _ = s.bare(p.Deployment)
	return &out
}

func (s *inTenant) Plan(ctx context.Context, req Request) (*plan.Plan, diag.List, error) {
	req, err := s.request(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	p, list, err := s.svc.Plan(s.of(ctx), req)
	return s.plan(p), list, s.fail(err)
}

func (s *inTenant) Apply(ctx context.Context, req Request) (Task, error) {
	req, err := s.request(ctx, req)
	if err != nil {
		return Task{}, err
	}
	return s.task(s.svc.Apply(s.of(ctx), req))
}

func (s *inTenant) Wait(ctx context.Context, deployment, task string) (Task, error) {
	full, err := s.name(deployment)
	if err != nil {
		return Task{}, err
	}
	return s.task(s.svc.Wait(s.of(ctx), full, task))
}

func (s *inTenant) Control(ctx context.Context, c Control) (err error) {
	if c.Deployment, err = s.name(c.Deployment); err != nil {
		return err
	}
	return s.fail(s.svc.Control(s.of(ctx), c))
}

func (s *inTenant) Deployments(ctx context.Context) ([]Deployment, error) {
	all, err := s.svc.Deployments(s.of(ctx))
	out := make([]Deployment, 0, len(all))
	for _, d := range all {
		if name, mine := s.bare(d.Name); mine {
			d.Name = name
			out = append(out, d)
		}
	}
	return out, s.fail(err)
}

func (s *inTenant) Deployment(ctx context.Context, name string) (*Detail, error) {
	full, err := s.name(name)
	if err != nil {
		return nil, err
	}
	d, err := s.svc.Deployment(s.of(ctx), full)
	if err != nil {
		return nil, s.fail(err)
	}
	out := *d
	out.Name, _ = s.bare(d.Name)
	return &out, nil
}

func (s *inTenant) Outputs(ctx context.Context, name string, reveal bool) ([]Output, error) {
	full, err := s.name(name)
	if err != nil {
		return nil, err
	}
	outs, err := s.svc.Outputs(s.of(ctx), full, reveal)
	return outs, s.fail(err)
}

func (s *inTenant) Tasks(ctx context.Context, deployment string) ([]Task, error) {
	full, err := s.name(deployment)
	if err != nil {
		return nil, err
	}
	all, err := s.svc.Tasks(s.of(ctx), full)
	for i := range all {
		all[i], _ = s.task(all[i], nil)
	}
	return all, s.fail(err)
}

func (s *inTenant) Steps(ctx context.Context, deployment, task string) ([]StepStatus, error) {
	full, err := s.name(deployment)
	if err != nil {
		return nil, err
	}
	steps, err := s.svc.Steps(s.of(ctx), full, task)
	return steps, s.fail(err)
}

func (s *inTenant) Events(ctx context.Context, f Filter) iter.Seq2[event.Event, error] {
	full, err := s.name(f.Deployment)
	f.Deployment, f.tenant = full, s.tenant
	return func(yield func(event.Event, error) bool) {
		if err != nil {
			yield(event.Event{}, err)
			return
		}
		for e, err := range s.svc.Events(s.of(ctx), f) {
			if _, mine := s.bare(e.Deployment); err == nil && full == "" && !mine {
				continue
			}
			if !yield(s.event(e), s.fail(err)) {
				return
			}
		}
	}
}

func (s *inTenant) Host(ctx context.Context, deployment string, in topology.Instance) (*driver.Host, error) {
	full, err := s.name(deployment)
	if err != nil {
		return nil, err
	}
	h, err := s.svc.Host(s.of(ctx), full, in)
	return h, s.fail(err)
}

func (s *inTenant) Secrets() Secrets { return secretsIn{s} }

// secretsIn gives every call the tenant; the store of secrets keeps those of tenants apart.
type secretsIn struct{ s *inTenant }

func (x secretsIn) Set(ctx context.Context, name string, value []byte, o SecretOptions) (SecretInfo, error) {
	return x.s.svc.Secrets().Set(x.s.of(ctx), name, value, o)
}
func (x secretsIn) Update(ctx context.Context, name string, c SecretChange) (SecretInfo, error) {
	return x.s.svc.Secrets().Update(x.s.of(ctx), name, c)
}
func (x secretsIn) Get(ctx context.Context, name string, version int) ([]byte, error) {
	return x.s.svc.Secrets().Get(x.s.of(ctx), name, version)
}
func (x secretsIn) Describe(ctx context.Context, name string) (SecretDetail, error) {
	return x.s.svc.Secrets().Describe(x.s.of(ctx), name)
}
func (x secretsIn) List(ctx context.Context, prefix string) ([]SecretInfo, error) {
	return x.s.svc.Secrets().List(x.s.of(ctx), prefix)
}
func (x secretsIn) Remove(ctx context.Context, name string) error {
	return x.s.svc.Secrets().Remove(x.s.of(ctx), name)
}
func (x secretsIn) Export(ctx context.Context, o SecretExport) (SecretExported, error) {
	return x.s.svc.Secrets().Export(x.s.of(ctx), o)
}
func (x secretsIn) Import(ctx context.Context, o SecretImport) (SecretImported, error) {
	return x.s.svc.Secrets().Import(x.s.of(ctx), o)
}
func (x secretsIn) Rotate(ctx context.Context, keepOld bool) (SecretRotation, error) {
	return x.s.svc.Secrets().Rotate(x.s.of(ctx), keepOld)
}
func (x secretsIn) Reads(ctx context.Context, f SecretReads) ([]SecretRead, error) {
	reads, err := x.s.svc.Secrets().Reads(x.s.of(ctx), f)
	for i := range reads {
		if reads[i].Deployment != "" {
			reads[i].Deployment, _ = x.s.bare(reads[i].Deployment)
		}
	}
	return reads, err
}

func (s *inTenant) Blueprints() Blueprints { return blueprintsIn{s} }

// blueprintsIn gives every call the tenant.
type blueprintsIn struct{ s *inTenant }

func (x blueprintsIn) Upload(ctx context.Context, b NewBlueprint) (Blueprint, error) {
	return x.s.svc.Blueprints().Upload(x.s.of(ctx), b)
}
func (x blueprintsIn) Validate(ctx context.Context, b NewBlueprint) (Blueprint, error) {
	return x.s.svc.Blueprints().Validate(x.s.of(ctx), b)
}
func (x blueprintsIn) List(ctx context.Context) ([]Blueprint, error) {
	return x.s.svc.Blueprints().List(x.s.of(ctx))
}
func (x blueprintsIn) Versions(ctx context.Context, name string) ([]Blueprint, error) {
	return x.s.svc.Blueprints().Versions(x.s.of(ctx), name)
}
func (x blueprintsIn) Get(ctx context.Context, name, version string) (Blueprint, error) {
	return x.s.svc.Blueprints().Get(x.s.of(ctx), name, version)
}
func (x blueprintsIn) Download(ctx context.Context, name, version string) (Blueprint, Content, error) {
	return x.s.svc.Blueprints().Download(x.s.of(ctx), name, version)
}
func (x blueprintsIn) Remove(ctx context.Context, name, version string, digests ...string) error {
	return x.s.svc.Blueprints().Remove(x.s.of(ctx), name, version, digests...)
}

func (s *inTenant) Plans() Plans { return plansIn{s} }

type plansIn struct{ s *inTenant }

func (x plansIn) plan(p SavedPlan) SavedPlan {
	p.Deployment, _ = x.s.bare(p.Deployment)
	p.Plan = x.s.plan(p.Plan)
	return p
}
func (x plansIn) Save(ctx context.Context, req Request) (SavedPlan, error) {
	req, err := x.s.request(ctx, req)
	if err != nil {
		return SavedPlan{}, err
	}
	p, err := x.s.svc.Plans().Save(x.s.of(ctx), req)
	return x.plan(p), x.s.fail(err)
}
func (x plansIn) List(ctx context.Context, deployment string) ([]SavedPlan, error) {
	full, err := x.s.name(deployment)
	if err != nil {
		return nil, err
	}
	all, err := x.s.svc.Plans().List(x.s.of(ctx), full)
	for i := range all {
		all[i] = x.plan(all[i])
	}
	return all, x.s.fail(err)
}
func (x plansIn) Get(ctx context.Context, id string) (SavedPlan, error) {
	p, err := x.s.svc.Plans().Get(x.s.of(ctx), id)
	return x.plan(p), x.s.fail(err)
}
func (x plansIn) Apply(ctx context.Context, id string) (Task, error) {
	return x.s.task(x.s.svc.Plans().Apply(x.s.of(ctx), id))
}
func (x plansIn) Remove(ctx context.Context, id string) error {
	return x.s.fail(x.s.svc.Plans().Remove(x.s.of(ctx), id))
}

// Accounts are the server's: tenants and users are above tenants.
func (s *inTenant) Accounts() Accounts { return s.svc.Accounts() }

func (s *inTenant) Close() error { return s.svc.Close() }

type feedInTenant struct {
	feed Feed
	scope
}

func (f *feedInTenant) LastIndex(ctx context.Context) (uint64, error) { return f.feed.LastIndex(ctx) }

func (f *feedInTenant) Page(ctx context.Context, filter Filter, limit int, wait time.Duration) (EventPage, error) {
	full, err := f.name(filter.Deployment)
	if err != nil {
		return EventPage{Last: filter.After}, err
	}
	filter.Deployment = full
	end := time.Now().Add(wait)
	last, err := f.feed.LastIndex(f.of(ctx))
	if err != nil {
		return EventPage{Last: filter.After}, f.fail(err)
	}
	for {
		page, err := f.feed.Page(f.of(ctx), filter, limit, max(wait, 0))
		if err != nil {
			return page, f.fail(err)
		}
		mine := page.Events[:0:0]
		for _, e := range page.Events {
			if _, ok := f.bare(e.Deployment); ok || full != "" {
				mine = append(mine, f.event(e))
			}
		}
		// Others' events are no answer to somebody who waits for its own, up to the end of the wait: there may always be more of them.
		if len(mine) > 0 || len(page.Events) == 0 || page.Last >= last && !time.Now().Before(end) {
			return EventPage{Events: mine, Last: page.Last}, nil
		}
		filter.After, wait = page.Last, time.Until(end)
	}
}

func (f *feedInTenant) Announce(ctx context.Context, deployment string, events ...event.Event) error {
	full, err := f.name(deployment)
	if err != nil {
		return err
	}
	return f.fail(f.feed.Announce(f.of(ctx), full, events...))
}

func (f *feedInTenant) Topology(ctx context.Context, deployment string) (*topology.Topology, error) {
	full, err := f.name(deployment)
	if err != nil {
		return nil, err
	}
	t, err := f.feed.Topology(f.of(ctx), full)
	return t, f.fail(err)
}

func (f *feedInTenant) Scaling(ctx context.Context, deployment, node string) (Scalable, error) {
	full, err := f.name(deployment)
	if err != nil {
		return Scalable{}, err
	}
	s, err := f.feed.Scaling(f.of(ctx), full, node)
	return s, f.fail(err)
}

var (
	_ Service = (*inTenant)(nil)
	_ Feed    = (*feedInTenant)(nil)
)
