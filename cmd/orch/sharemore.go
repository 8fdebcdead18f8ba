package main

import (
	"context"

	"github.com/orch-project/orch/pkg/orch"
)

// Plans implements orch.Service.
func (s *shared) Plans() orch.Plans { return sharedPlans{s} }

type sharedPlans struct{ s *shared }

func (x sharedPlans) Save(ctx context.Context, req orch.Request) (orch.SavedPlan, error) {
	return ask(ctx, x.s, act, func(svc orch.Service) (orch.SavedPlan, error) { return svc.Plans().Save(ctx, req) })
}

func (x sharedPlans) List(ctx context.Context, deployment string) ([]orch.SavedPlan, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.SavedPlan, error) { return svc.Plans().List(ctx, deployment) })
}

func (x sharedPlans) Get(ctx context.Context, id string) (orch.SavedPlan, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.SavedPlan, error) { return svc.Plans().Get(ctx, id) })
}

// Apply starts work: then this process must stay.
func (x sharedPlans) Apply(ctx context.Context, id string) (orch.Task, error) {
	return ask(ctx, x.s, stay, func(svc orch.Service) (orch.Task, error) { return svc.Plans().Apply(ctx, id) })
}

func (x sharedPlans) Remove(ctx context.Context, id string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Plans().Remove(ctx, id) })
}

// Blueprints implements orch.Service.
func (s *shared) Blueprints() orch.Blueprints { return sharedBlueprints{s} }

type sharedBlueprints struct{ s *shared }

func (x sharedBlueprints) Upload(ctx context.Context, b orch.NewBlueprint) (orch.Blueprint, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.Blueprint, error) { return svc.Blueprints().Upload(ctx, b) })
}

func (x sharedBlueprints) Validate(ctx context.Context, b orch.NewBlueprint) (orch.Blueprint, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.Blueprint, error) { return svc.Blueprints().Validate(ctx, b) })
}

func (x sharedBlueprints) List(ctx context.Context) ([]orch.Blueprint, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.Blueprint, error) { return svc.Blueprints().List(ctx) })
}

func (x sharedBlueprints) Versions(ctx context.Context, name string) ([]orch.Blueprint, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.Blueprint, error) { return svc.Blueprints().Versions(ctx, name) })
}

func (x sharedBlueprints) Get(ctx context.Context, name, version string) (orch.Blueprint, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.Blueprint, error) { return svc.Blueprints().Get(ctx, name, version) })
}

func (x sharedBlueprints) Download(ctx context.Context, name, version string) (b orch.Blueprint, data orch.Content, err error) {
	err = x.s.use(ctx, look, func(svc orch.Service) (err error) {
		b, data, err = svc.Blueprints().Download(ctx, name, version)
		return err
	})
	return b, data, err
}

func (x sharedBlueprints) Remove(ctx context.Context, name, version string, digests ...string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Blueprints().Remove(ctx, name, version, digests...) })
}

// Accounts implements orch.Service.
func (s *shared) Accounts() orch.Accounts { return sharedAccounts{s} }

type sharedAccounts struct{ s *shared }

func (x sharedAccounts) Tenants(ctx context.Context) ([]orch.Tenant, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.Tenant, error) { return svc.Accounts().Tenants(ctx) })
}

func (x sharedAccounts) CreateTenant(ctx context.Context, t orch.Tenant) (orch.Tenant, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.Tenant, error) { return svc.Accounts().CreateTenant(ctx, t) })
}

func (x sharedAccounts) RemoveTenant(ctx context.Context, name string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Accounts().RemoveTenant(ctx, name) })
}

func (x sharedAccounts) Users(ctx context.Context) ([]orch.User, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.User, error) { return svc.Accounts().Users(ctx) })
}

func (x sharedAccounts) User(ctx context.Context, name string) (orch.User, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.User, error) { return svc.Accounts().User(ctx, name) })
}

func (x sharedAccounts) CreateUser(ctx context.Context, u orch.NewUser) (orch.User, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.User, error) { return svc.Accounts().CreateUser(ctx, u) })
}

func (x sharedAccounts) UpdateUser(ctx context.Context, name string, c orch.UserChange) (orch.User, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.User, error) { return svc.Accounts().UpdateUser(ctx, name, c) })
}

func (x sharedAccounts) RemoveUser(ctx context.Context, name string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Accounts().RemoveUser(ctx, name) })
}

func (x sharedAccounts) Grant(ctx context.Context, user, tenant string, role orch.Role) (orch.User, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.User, error) { return svc.Accounts().Grant(ctx, user, tenant, role) })
}

func (x sharedAccounts) Members(ctx context.Context, tenant string) ([]orch.Member, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.Member, error) { return svc.Accounts().Members(ctx, tenant) })
}

func (x sharedAccounts) Tokens(ctx context.Context, user string) ([]orch.Token, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.Token, error) { return svc.Accounts().Tokens(ctx, user) })
}

func (x sharedAccounts) CreateToken(ctx context.Context, t orch.NewToken) (orch.IssuedToken, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.IssuedToken, error) { return svc.Accounts().CreateToken(ctx, t) })
}

func (x sharedAccounts) RevokeToken(ctx context.Context, id string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Accounts().RevokeToken(ctx, id) })
}

func (x sharedAccounts) Bootstrap(ctx context.Context, user string) (orch.IssuedToken, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) (orch.IssuedToken, error) { return svc.Accounts().Bootstrap(ctx, user) })
}

func (x sharedAccounts) Audit(ctx context.Context, f orch.AuditFilter) ([]orch.AuditEntry, error) {
	return ask(ctx, x.s, look, func(svc orch.Service) ([]orch.AuditEntry, error) { return svc.Accounts().Audit(ctx, f) })
}

func (x sharedAccounts) Record(ctx context.Context, e orch.AuditEntry) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Accounts().Record(ctx, e) })
}
