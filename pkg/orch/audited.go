package orch

import (
	"context"

	"github.com/oklog/ulid/v2"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/hostpool"
	"github.com/orch-project/orch/pkg/topology"
)

// Audited is a Service in this process whose changes are written to its audit log, as a server does it for each request: before they are made, so
// that what cannot be recorded is not done, and again with what has come of them. who is the user of this machine, or nobody; fail hears of
// outcomes that could not be written.
func Audited(svc Service, who Identity, fail func(error)) Service {
	return &audited{svc, auditor{svc.Accounts(), who, fail}}
}

type auditor struct {
	log  Accounts
	who  Identity
	fail func(error)
}

// asking is a context in which it is known who asks, so that what is made, and whose secret is read, says so.
func (a auditor) asking(ctx context.Context) context.Context {
	if _, known := IdentityOf(ctx); known || a.who.User == "" {
		return ctx
	}
	return WithIdentity(ctx, a.who)
}

// BeginAudit records that something is about to be done. Its outcome goes into the same entry, by Record.
func BeginAudit(ctx context.Context, log Accounts, e AuditEntry) (AuditEntry, error) {
	e.Time = now()
	e.ID, e.Result = ulid.MustNewDefault(e.Time).String(), AuditBegun
	if err := log.Record(ctx, e); err != nil {
		return e, &Error{Kind: KindStore, Msg: "the audit log cannot be written, and what is not in it is not done", Err: err}
	}
	return e, nil
}

// changed does something and records it.
func changed(ctx context.Context, a auditor, action, target string, do func(context.Context) error) error {
	_, err := noted(ctx, a, action, target, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

// noted does something that has a result, and records it.
func noted[T any](ctx context.Context, a auditor, action, target string, do func(context.Context) (T, error)) (T, error) {
	e, err := BeginAudit(ctx, a.log, AuditEntry{User: a.who.User, Tenant: a.who.Tenant, Via: a.who.Via, Action: action, Target: target})
	if err != nil {
		var none T
		return none, err
	}
	out, err := do(a.asking(ctx))
	if e.Result = AuditDone; err != nil {
		e.Result, e.Detail = AuditFailed, err.Error()
	}
	if err := a.log.Record(context.WithoutCancel(ctx), e); err != nil {
		a.fail(err)
	}
	return out, err
}

type audited struct {
	Service
	auditor
}

func (s *audited) Apply(ctx context.Context, req Request) (Task, error) {
	verb := req.Verb
	if verb == "" {
		verb = Deploy
	}
	if req.User == "" {
		req.User = s.who.User
	}
	return noted(ctx, s.auditor, string(verb), req.Deployment, func(ctx context.Context) (Task, error) { return s.Service.Apply(ctx, req) })
}

func (s *audited) Control(ctx context.Context, c Control) error {
	return changed(ctx, s.auditor, c.Verb, c.Deployment+" "+c.Step, func(ctx context.Context) error { return s.Service.Control(ctx, c) })
}

// Outputs that are secret are given away when they are revealed.
func (s *audited) Outputs(ctx context.Context, name string, reveal bool) ([]Output, error) {
	if !reveal {
		return s.Service.Outputs(ctx, name, reveal)
	}
	return noted(ctx, s.auditor, "outputs reveal", name, func(ctx context.Context) ([]Output, error) { return s.Service.Outputs(ctx, name, reveal) })
}

// Host is how to log in, with the keys for it.
func (s *audited) Host(ctx context.Context, name string, in topology.Instance) (*driver.Host, error) {
	return noted(ctx, s.auditor, "ssh", name+" "+in.String(), func(ctx context.Context) (*driver.Host, error) { return s.Service.Host(ctx, name, in) })
}

func (s *audited) Sweep(ctx context.Context, req SweepRequest) ([]Resource, error) {
	switch {
	case req.Adopt:
		return noted(ctx, s.auditor, "sweep adopt", req.Deployment, func(ctx context.Context) ([]Resource, error) { return s.Service.Sweep(ctx, req) })
	case req.Delete:
		return noted(ctx, s.auditor, "sweep delete", req.Deployment, func(ctx context.Context) ([]Resource, error) { return s.Service.Sweep(ctx, req) })
	}
	return s.Service.Sweep(ctx, req)
}

func (s *audited) Plans() Plans { return auditedPlans{s.Service.Plans(), s.auditor} }

type auditedPlans struct {
	Plans
	a auditor
}

func (p auditedPlans) Save(ctx context.Context, req Request) (SavedPlan, error) {
	return noted(ctx, p.a, "plan", req.Deployment, func(ctx context.Context) (SavedPlan, error) { return p.Plans.Save(ctx, req) })
}
func (p auditedPlans) Apply(ctx context.Context, id string) (Task, error) {
	return noted(ctx, p.a, "apply", id, func(ctx context.Context) (Task, error) { return p.Plans.Apply(ctx, id) })
}
func (p auditedPlans) Remove(ctx context.Context, id string) error {
	return changed(ctx, p.a, "plans rm", id, func(ctx context.Context) error { return p.Plans.Remove(ctx, id) })
}

func (s *audited) Blueprints() Blueprints {
	return auditedBlueprints{s.Service.Blueprints(), s.auditor}
}

type auditedBlueprints struct {
	Blueprints
	a auditor
}

func (b auditedBlueprints) Upload(ctx context.Context, n NewBlueprint) (Blueprint, error) {
	return noted(ctx, b.a, "blueprints push", n.Name+" "+n.Version, func(ctx context.Context) (Blueprint, error) { return b.Blueprints.Upload(ctx, n) })
}
func (b auditedBlueprints) Remove(ctx context.Context, name, version string, digests ...string) error {
	return changed(ctx, b.a, "blueprints rm", name+" "+version, func(ctx context.Context) error { return b.Blueprints.Remove(ctx, name, version, digests...) })
}

func (s *audited) Secrets() Secrets { return auditedSecrets{s.Service.Secrets(), s.auditor} }

type auditedSecrets struct {
	Secrets
	a auditor
}

func (x auditedSecrets) Set(ctx context.Context, name string, value []byte, o SecretOptions) (SecretInfo, error) {
	return noted(ctx, x.a, "secrets set", name, func(ctx context.Context) (SecretInfo, error) { return x.Secrets.Set(ctx, name, value, o) })
}
func (x auditedSecrets) Get(ctx context.Context, name string, version int) ([]byte, error) {
	return noted(ctx, x.a, "secrets get", name, func(ctx context.Context) ([]byte, error) { return x.Secrets.Get(ctx, name, version) })
}
func (x auditedSecrets) Update(ctx context.Context, name string, c SecretChange) (SecretInfo, error) {
	return noted(ctx, x.a, "secrets update", name, func(ctx context.Context) (SecretInfo, error) { return x.Secrets.Update(ctx, name, c) })
}
func (x auditedSecrets) Remove(ctx context.Context, name string) error {
	return changed(ctx, x.a, "secrets rm", name, func(ctx context.Context) error { return x.Secrets.Remove(ctx, name) })
}
func (x auditedSecrets) Export(ctx context.Context, o SecretExport) (SecretExported, error) {
	return noted(ctx, x.a, "secrets export", o.Prefix, func(ctx context.Context) (SecretExported, error) { return x.Secrets.Export(ctx, o) })
}
func (x auditedSecrets) Import(ctx context.Context, o SecretImport) (SecretImported, error) {
	return noted(ctx, x.a, "secrets import", "", func(ctx context.Context) (SecretImported, error) { return x.Secrets.Import(ctx, o) })
}
func (x auditedSecrets) Rotate(ctx context.Context, keepOld bool) (SecretRotation, error) {
	return noted(ctx, x.a, "secrets rotate-key", "", func(ctx context.Context) (SecretRotation, error) { return x.Secrets.Rotate(ctx, keepOld) })
}

func (s *audited) Hosts() Hosts { return auditedHosts{s.Service.Hosts(), s.auditor} }

type auditedHosts struct {
	Hosts
	a auditor
}

func (h auditedHosts) Add(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return noted(ctx, h.a, "hosts add", pool+" "+name, func(ctx context.Context) (*hostpool.Host, error) { return h.Hosts.Add(ctx, pool, name, w) })
}
func (h auditedHosts) Update(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return noted(ctx, h.a, "hosts update", pool+" "+name, func(ctx context.Context) (*hostpool.Host, error) { return h.Hosts.Update(ctx, pool, name, w) })
}
func (h auditedHosts) Remove(ctx context.Context, pool, name string) error {
	return changed(ctx, h.a, "hosts rm", pool+" "+name, func(ctx context.Context) error { return h.Hosts.Remove(ctx, pool, name) })
}
func (h auditedHosts) ApplyHosts(ctx context.Context, pool string, wanted map[string]hostpool.Wanted, checkpoint *uint64) (HostList, error) {
	return noted(ctx, h.a, "hosts apply", pool, func(ctx context.Context) (HostList, error) { return h.Hosts.ApplyHosts(ctx, pool, wanted, checkpoint) })
}

func (s *audited) Locations() Locations { return auditedLocations{s.Service.Locations(), s.auditor} }

type auditedLocations struct {
	Locations
	a auditor
}

func (l auditedLocations) Put(ctx context.Context, info LocationInfo, create bool) error {
	return changed(ctx, l.a, "locations put", info.Name, func(ctx context.Context) error { return l.Locations.Put(ctx, info, create) })
}
func (l auditedLocations) Remove(ctx context.Context, name string) error {
	return changed(ctx, l.a, "locations rm", name, func(ctx context.Context) error { return l.Locations.Remove(ctx, name) })
}

func (s *audited) Accounts() Accounts { return auditedAccounts{s.Service.Accounts(), s.auditor} }

type auditedAccounts struct {
	Accounts
	a auditor
}

func (x auditedAccounts) CreateTenant(ctx context.Context, t Tenant) (Tenant, error) {
	return noted(ctx, x.a, "tenants add", t.Name, func(ctx context.Context) (Tenant, error) { return x.Accounts.CreateTenant(ctx, t) })
}
func (x auditedAccounts) RemoveTenant(ctx context.Context, name string) error {
	return changed(ctx, x.a, "tenants rm", name, func(ctx context.Context) error { return x.Accounts.RemoveTenant(ctx, name) })
}
func (x auditedAccounts) CreateUser(ctx context.Context, u NewUser) (User, error) {
	return noted(ctx, x.a, "users add", u.Name, func(ctx context.Context) (User, error) { return x.Accounts.CreateUser(ctx, u) })
}
func (x auditedAccounts) UpdateUser(ctx context.Context, name string, c UserChange) (User, error) {
	return noted(ctx, x.a, "users set", name, func(ctx context.Context) (User, error) { return x.Accounts.UpdateUser(ctx, name, c) })
}
func (x auditedAccounts) RemoveUser(ctx context.Context, name string) error {
	return changed(ctx, x.a, "users rm", name, func(ctx context.Context) error { return x.Accounts.RemoveUser(ctx, name) })
}
func (x auditedAccounts) Grant(ctx context.Context, user, tenant string, role Role) (User, error) {
	return noted(ctx, x.a, "tenants grant", tenant+" "+user+" "+string(role), func(ctx context.Context) (User, error) { return x.Accounts.Grant(ctx, user, tenant, role) })
}
func (x auditedAccounts) CreateToken(ctx context.Context, t NewToken) (IssuedToken, error) {
	return noted(ctx, x.a, "tokens create", "for "+t.User, func(ctx context.Context) (IssuedToken, error) { return x.Accounts.CreateToken(ctx, t) })
}
func (x auditedAccounts) RevokeToken(ctx context.Context, id string) error {
	return changed(ctx, x.a, "tokens revoke", id, func(ctx context.Context) error { return x.Accounts.RevokeToken(ctx, id) })
}
func (x auditedAccounts) Bootstrap(ctx context.Context, user string) (IssuedToken, error) {
	return noted(ctx, x.a, "users bootstrap", user, func(ctx context.Context) (IssuedToken, error) { return x.Accounts.Bootstrap(ctx, user) })
}
