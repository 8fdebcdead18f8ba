package main

import (
	"context"

	"github.com/orch-project/orch/pkg/orch"
)

// Secrets implements orch.Service.
func (s *shared) Secrets() orch.Secrets { return sharedSecrets{s} }

// sharedSecrets asks whoever has the store.
type sharedSecrets struct{ s *shared }

func askSecrets[T any](ctx context.Context, x sharedSecrets, n need, fn func(orch.Secrets) (T, error)) (T, error) {
	return ask(ctx, x.s, n, func(svc orch.Service) (T, error) { return fn(svc.Secrets()) })
}

func (x sharedSecrets) Set(ctx context.Context, name string, value []byte, o orch.SecretOptions) (orch.SecretInfo, error) {
	return askSecrets(ctx, x, seal, func(s orch.Secrets) (orch.SecretInfo, error) { return s.Set(ctx, name, value, o) })
}

func (x sharedSecrets) Update(ctx context.Context, name string, c orch.SecretChange) (orch.SecretInfo, error) {
	return askSecrets(ctx, x, look, func(s orch.Secrets) (orch.SecretInfo, error) { return s.Update(ctx, name, c) })
}

func (x sharedSecrets) Get(ctx context.Context, name string, version int) ([]byte, error) {
	return askSecrets(ctx, x, look, func(s orch.Secrets) ([]byte, error) { return s.Get(ctx, name, version) })
}

func (x sharedSecrets) Describe(ctx context.Context, name string) (orch.SecretDetail, error) {
	return askSecrets(ctx, x, look, func(s orch.Secrets) (orch.SecretDetail, error) { return s.Describe(ctx, name) })
}

func (x sharedSecrets) List(ctx context.Context, prefix string) ([]orch.SecretInfo, error) {
	return askSecrets(ctx, x, look, func(s orch.Secrets) ([]orch.SecretInfo, error) { return s.List(ctx, prefix) })
}

func (x sharedSecrets) Remove(ctx context.Context, name string) error {
	return x.s.use(ctx, look, func(svc orch.Service) error { return svc.Secrets().Remove(ctx, name) })
}

func (x sharedSecrets) Export(ctx context.Context, o orch.SecretExport) (orch.SecretExported, error) {
	return askSecrets(ctx, x, look, func(s orch.Secrets) (orch.SecretExported, error) { return s.Export(ctx, o) })
}

func (x sharedSecrets) Import(ctx context.Context, o orch.SecretImport) (orch.SecretImported, error) {
	return askSecrets(ctx, x, seal, func(s orch.Secrets) (orch.SecretImported, error) { return s.Import(ctx, o) })
}

func (x sharedSecrets) Rotate(ctx context.Context, keepOld bool) (orch.SecretRotation, error) {
	return askSecrets(ctx, x, seal, func(s orch.Secrets) (orch.SecretRotation, error) { return s.Rotate(ctx, keepOld) })
}

func (x sharedSecrets) Reads(ctx context.Context, f orch.SecretReads) ([]orch.SecretRead, error) {
	return askSecrets(ctx, x, look, func(s orch.Secrets) ([]orch.SecretRead, error) { return s.Reads(ctx, f) })
}
