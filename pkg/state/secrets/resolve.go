package secrets

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
)

// Resolve returns the secret that a reference names (see secret.Ref): in this store, or by an external provider.
func (s *Store) Resolve(ctx context.Context, ref string) (secret.Value, error) {
	r, err := secret.ParseRef(ref)
	if err != nil {
		return secret.Value{}, err
	}
	return s.ResolveRef(ctx, r)
}

// Secret returns what get_secret with these arguments means (see secret.RefOf).
func (s *Store) Secret(ctx context.Context, args []string) (secret.Value, error) {
	r, err := secret.RefOf(args)
	if err != nil {
		return secret.Value{}, err
	}
	return s.ResolveRef(ctx, r)
}

// ResolveRef is Resolve for a parsed reference.
func (s *Store) ResolveRef(ctx context.Context, r secret.Ref) (secret.Value, error) {
	return s.resolve(ctx, r, s.Get, func(r secret.Ref) error { return s.audit(ctx, Read{Secret: r.String()}) })
}

// Check reports what would keep get_secret with these arguments from getting a value. Nobody is given it, so it is not noted as read.
func (s *Store) Check(ctx context.Context, args []string) error {
	r, err := secret.RefOf(args)
	if err != nil {
		return err
	}
	_, err = s.resolve(ctx, r, func(ctx context.Context, name string, number int) (secret.Value, Version, error) {
		rec, v, err := s.readable(ctx, name, number)
		if err != nil || r.Field == "" {
			return secret.Value{}, v, err
		}
		value, err := s.value(ctx, rec, v)
		return value, v, err
	}, func(secret.Ref) error { return nil })
	return err
}

type getter func(ctx context.Context, name string, number int) (secret.Value, Version, error)

// resolve calls note before it returns the value of an external provider; get has done so for what is in the store.
func (s *Store) resolve(ctx context.Context, r secret.Ref, get getter, note func(secret.Ref) error) (secret.Value, error) {
	if r.Scheme != "" {
		return s.external(ctx, r, s.opts.External, note)
	}
	whole, _, err := get(ctx, r.Name, r.Version)
	if errors.Is(err, secret.ErrNotFound) && s.opts.Fallback != nil {
		if v, ferr := s.external(ctx, r, s.opts.Fallback, note); ferr == nil || !errors.Is(ferr, secret.ErrNotFound) {
			return v, ferr
		}
	}
	if err != nil {
		return whole, err
	}
	v, err := secret.Field(whole, r.Field)
	if err != nil {
		return v, fmt.Errorf("cannot resolve the secret %s: %w", r, err)
	}
	s.opts.Redactor.Add(v)
	return v, nil
}

func (s *Store) external(ctx context.Context, r secret.Ref, by secret.Resolver, note func(secret.Ref) error) (secret.Value, error) {
	v, err := by.Resolve(ctx, r)
	if err != nil {
		return v, err
	}
	s.opts.Redactor.Add(v)
	return v, note(r)
}

// Drivers is what drivers get of a Store: what they make for deployments lies in OwnTenant, apart from what users keep.
type Drivers struct{ *Store }

// made reports whether a reference is to something that orch keeps for itself: what was made for a deployment (plugin.SecretRef), or belongs to
// a pool of hosts.
func made(ref string) bool {
	return strings.HasPrefix(ref, "deployments/") || strings.HasPrefix(ref, "orch/")
}

func asOwn(ctx context.Context) context.Context {
	a := ActorOf(ctx)
	a.Tenant, a.Admin = OwnTenant, true
	return As(ctx, a)
}

// Resolve returns what orch has made, or a secret of the actor's tenant.
func (d Drivers) Resolve(ctx context.Context, ref string) (secret.Value, error) {
	if made(ref) {
		v, err := d.Store.Resolve(asOwn(ctx), ref)
		if !errors.Is(err, secret.ErrNotFound) {
			return v, err
		}
	}
	return d.Store.Resolve(ctx, ref)
}

// Generate returns the secret under a reference, making it with make if there is none. Of concurrent callers, in whatever process,
// one makes it and all get the same value.
func (d Drivers) Generate(ctx context.Context, ref string, make func() ([]byte, error)) (secret.Value, error) {
	ctx = asOwn(ctx)
	v, err := d.Store.Resolve(ctx, ref)
	if !errors.Is(err, secret.ErrNotFound) {
		return v, err
	}
	r, err := secret.ParseRef(ref)
	if err != nil {
		return v, err
	}
	if r != (secret.Ref{Name: r.Name}) || !made(ref) {
		return v, fmt.Errorf("cannot make the secret %s: only a whole secret of a deployment, in orch's own store, can be made", r)
	}
	b, err := make()
	if err != nil {
		return v, fmt.Errorf("cannot make the secret %s: %w", r, err)
	}
	_, err = d.Set(ctx, r.Name, secret.New(string(b)), SetOptions{Kind: File, Create: true})
	if errors.Is(err, ErrExists) {
		return d.Store.Resolve(ctx, ref)
	}
	return secret.New(string(b)), err
}

// Remove deletes what Generate has made. Removing what does not exist is no error.
func (d Drivers) Remove(ctx context.Context, ref string) error {
	if err := d.Delete(asOwn(ctx), ref); !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	return nil
}

// RemoveMade deletes everything that was made below a prefix of references.
func (d Drivers) RemoveMade(ctx context.Context, prefix string) error {
	all, err := d.List(asOwn(ctx), prefix)
	for _, s := range all {
		err = errors.Join(err, d.Remove(ctx, s.Name))
	}
	return err
}
