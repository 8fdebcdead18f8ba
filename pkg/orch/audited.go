package orch

import (
	"context"

	"github.com/orch-project/orch/pkg/hostpool"
)

// Audited is a Service in this process whose changes are written to its audit log, as a server does it for each request. who is the user of
// this machine, or nobody; fail hears of entries that could not be written, which is no reason to take back what was done.
func Audited(svc Service, who Identity, fail func(error)) Service {
	return &audited{svc, auditor{svc.Accounts(), who, fail}}
}

type auditor struct {
	log  Accounts
	who  Identity
	fail func(error)
}

// done records one change with its result.
func (a auditor) done(ctx context.Context, action, target string, err error) {
	e := AuditEntry{User: a.who.User, Tenant: a.who.Tenant, Via: a.who.Via, Action: action, Target: target, Result: "done"}
	if err != nil {
		e.Result, e.Detail = "failed", err.Error()
	}
	if err := a.log.Record(context.WithoutCancel(ctx), e); err != nil {
		a.fail(err)
	}
}

// noted does something and records it.
func noted[T any](ctx context.Context, a auditor, action, target string, do func() (T, error)) (T, error) {
	out, err := do()
	a.done(ctx, action, target, err)
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
	return noted(ctx, s.auditor, string(verb), req.Deployment, func() (Task, error) { return s.Service.Apply(ctx, req) })
}

func (s *audited) Control(ctx context.Context, c Control) error {
	err := s.Service.Control(ctx, c)
	s.done(ctx, c.Verb, c.Deployment+" "+c.Step, err)
	return err
}

func (s *audited) Sweep(ctx context.Context, req SweepRequest) ([]Resource, error) {
	switch {
	case req.Adopt:
		return noted(ctx, s.auditor, "sweep adopt", req.Deployment, func() ([]Resource, error) { return s.Service.Sweep(ctx, req) })
	case req.Delete:
		return noted(ctx, s.auditor, "sweep delete", req.Deployment, func() ([]Resource, error) { return s.Service.Sweep(ctx, req) })
	}
	return s.Service.Sweep(ctx, req)
}

func (s *audited) Plans() Plans { return auditedPlans{s.Service.Plans(), s.auditor} }

type auditedPlans struct {
	Plans
	a auditor
}

func (p auditedPlans) Save(ctx context.Context, req Request) (SavedPlan, error) {
	return noted(ctx, p.a, "plan", req.Deployment, func() (SavedPlan, error) { return p.Plans.Save(ctx, req) })
}
func (p auditedPlans) Apply(ctx context.Context, id string) (Task, error) {
	return noted(ctx, p.a, "apply", id, func() (Task, error) { return p.Plans.Apply(ctx, id) })
}
func (p auditedPlans) Remove(ctx context.Context, id string) error {
	err := p.Plans.Remove(ctx, id)
	p.a.done(ctx, "plans rm", id, err)
	return err
}

func (s *audited) Blueprints() Blueprints {
	return auditedBlueprints{s.Service.Blueprints(), s.auditor}
}

type auditedBlueprints struct {
	Blueprints
	a auditor
}

func (b auditedBlueprints) Upload(ctx context.Context, n NewBlueprint) (Blueprint, error) {
	return noted(ctx, b.a, "blueprints push", n.Name+" "+n.Version, func() (Blueprint, error) { return b.Blueprints.Upload(ctx, n) })
}
func (b auditedBlueprints) Remove(ctx context.Context, name, version string, digests ...string) error {
	err := b.Blueprints.Remove(ctx, name, version, digests...)
	b.a.done(ctx, "blueprints rm", name+" "+version, err)
	return err
}

func (s *audited) Secrets() Secrets { return auditedSecrets{s.Service.Secrets(), s.auditor} }

// auditedSecrets: who was given which value is in the secrets' own audit.
type auditedSecrets struct {
	Secrets
	a auditor
}

func (x auditedSecrets) Set(ctx context.Context, name string, value []byte, o SecretOptions) (SecretInfo, error) {
	return noted(ctx, x.a, "secrets set", name, func() (SecretInfo, error) { return x.Secrets.Set(ctx, name, value, o) })
}
func (x auditedSecrets) Update(ctx context.Context, name string, c SecretChange) (SecretInfo, error) {
	return noted(ctx, x.a, "secrets update", name, func() (SecretInfo, error) { return x.Secrets.Update(ctx, name, c) })
}
func (x auditedSecrets) Remove(ctx context.Context, name string) error {
	err := x.Secrets.Remove(ctx, name)
	x.a.done(ctx, "secrets rm", name, err)
	return err
}
func (x auditedSecrets) Export(ctx context.Context, o SecretExport) (SecretExported, error) {
	return noted(ctx, x.a, "secrets export", o.Prefix, func() (SecretExported, error) { return x.Secrets.Export(ctx, o) })
}
func (x auditedSecrets) Import(ctx context.Context, o SecretImport) (SecretImported, error) {
	return noted(ctx, x.a, "secrets import", "", func() (SecretImported, error) { return x.Secrets.Import(ctx, o) })
}
func (x auditedSecrets) Rotate(ctx context.Context, keepOld bool) (SecretRotation, error) {
	return noted(ctx, x.a, "secrets rotate-key", "", func() (SecretRotation, error) { return x.Secrets.Rotate(ctx, keepOld) })
}

func (s *audited) Hosts() Hosts { return auditedHosts{s.Service.Hosts(), s.auditor} }

type auditedHosts struct {
	Hosts
	a auditor
}

func (h auditedHosts) Add(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return noted(ctx, h.a, "hosts add", pool+" "+name, func() (*hostpool.Host, error) { return h.Hosts.Add(ctx, pool, name, w) })
}
func (h auditedHosts) Update(ctx context.Context, pool, name string, w hostpool.Wanted) (*hostpool.Host, error) {
	return noted(ctx, h.a, "hosts update", pool+" "+name, func() (*hostpool.Host, error) { return h.Hosts.Update(ctx, pool, name, w) })
}
func (h auditedHosts) Remove(ctx context.Context, pool, name string) error {
	err := h.Hosts.Remove(ctx, pool, name)
	h.a.done(ctx, "hosts rm", pool+" "+name, err)
	return err
}
func (h auditedHosts) ApplyHosts(ctx context.Context, pool string, wanted map[string]hostpool.Wanted, checkpoint *uint64) (HostList, error) {
	return noted(ctx, h.a, "hosts apply", pool, func() (HostList, error) { return h.Hosts.ApplyHosts(ctx, pool, wanted, checkpoint) })
}

func (s *audited) Locations() Locations { return auditedLocations{s.Service.Locations(), s.auditor} }

type auditedLocations struct {
	Locations
	a auditor
}

func (l auditedLocations) Put(ctx context.Context, info LocationInfo, create bool) error {
	err := l.Locations.Put(ctx, info, create)
	l.a.done(ctx, "locations put", info.Name, err)
	return err
}
func (l auditedLocations) Remove(ctx context.Context, name string) error {
	err := l.Locations.Remove(ctx, name)
	l.a.done(ctx, "locations rm", name, err)
	return err
}

func (s *audited) Accounts() Accounts { return auditedAccounts{s.Service.Accounts(), s.auditor} }

type auditedAccounts struct {
	Accounts
	a auditor
}

func (x auditedAccounts) CreateTenant(ctx context.Context, t Tenant) (Tenant, error) {
	return noted(ctx, x.a, "tenants add", t.Name, func() (Tenant, error) { return x.Accounts.CreateTenant(ctx, t) })
}
func (x auditedAccounts) RemoveTenant(ctx context.Context, name string) error {
	err := x.Accounts.RemoveTenant(ctx, name)
	x.a.done(ctx, "tenants rm", name, err)
	return err
}
func (x auditedAccounts) CreateUser(ctx context.Context, u NewUser) (User, error) {
	return noted(ctx, x.a, "users add", u.Name, func() (User, error) { return x.Accounts.CreateUser(ctx, u) })
}
func (x auditedAccounts) UpdateUser(ctx context.Context, name string, c UserChange) (User, error) {
	return noted(ctx, x.a, "users set", name, func() (User, error) { return x.Accounts.UpdateUser(ctx, name, c) })
}
func (x auditedAccounts) RemoveUser(ctx context.Context, name string) error {
	err := x.Accounts.RemoveUser(ctx, name)
	x.a.done(ctx, "users rm", name, err)
	return err
}
func (x auditedAccounts) Grant(ctx context.Context, user, tenant string, role Role) (User, error) {
	return noted(ctx, x.a, "tenants grant", tenant+" "+user+" "+string(role), func() (User, error) { return x.Accounts.Grant(ctx, user, tenant, role) })
}
func (x auditedAccounts) CreateToken(ctx context.Context, t NewToken) (IssuedToken, error) {
	return noted(ctx, x.a, "tokens create", "for "+t.User, func() (IssuedToken, error) { return x.Accounts.CreateToken(ctx, t) })
}
func (x auditedAccounts) RevokeToken(ctx context.Context, id string) error {
	err := x.Accounts.RevokeToken(ctx, id)
	x.a.done(ctx, "tokens revoke", id, err)
	return err
}
func (x auditedAccounts) Bootstrap(ctx context.Context, user string) (IssuedToken, error) {
	return noted(ctx, x.a, "users bootstrap", user, func() (IssuedToken, error) { return x.Accounts.Bootstrap(ctx, user) })
}
