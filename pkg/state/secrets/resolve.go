package secrets

import (
	"context"
	"errors"
	"fmt"

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

// ResolveRef is Resolve for a parsed reference.
func (s *Store) ResolveRef(ctx context.Context, r secret.Ref) (secret.Value, error) {
	if r.Scheme != "" {
		if s.opts.Read != nil {
			if err := s.opts.Read(ctx, r); err != nil {
				return secret.Value{}, err
			}
		}
		return s.opts.External.Resolve(ctx, r)
	}
	v, _, err := s.Get(ctx, r.Name, r.Version)
	if err != nil {
		return v, err
	}
	if v, err = secret.Field(v, r.Field); err != nil {
		return v, fmt.Errorf("cannot resolve the secret %s: %w", r, err)
	}
	return v, nil
}

// Generate returns the secret under a reference, making it with make if there is none. Of concurrent callers, in whatever process,
// one makes it and all get the same value.
func (s *Store) Generate(ctx context.Context, ref string, make func() ([]byte, error)) (secret.Value, error) {
	v, err := s.Resolve(ctx, ref)
	if !errors.Is(err, secret.ErrNotFound) {
		return v, err
	}
	r, err := secret.ParseRef(ref)
	if err != nil {
		return v, err
	}
	if r != (secret.Ref{Name: r.Name}) {
		return v, fmt.Errorf("cannot make the secret %s: only a whole secret of orch's own store can be made", r)
	}
	b, err := make()
	if err != nil {
		return v, fmt.Errorf("cannot make the secret %s: %w", r, err)
	}
	_, err = s.Set(ctx, r.Name, secret.New(string(b)), SetOptions{Kind: File, By: "orch", Create: true})
	if errors.Is(err, ErrExists) {
		return s.Resolve(ctx, ref)
	}
	return secret.New(string(b)), err
}

// Remove deletes what Generate has made. Removing what does not exist is no error.
func (s *Store) Remove(ctx context.Context, ref string) error {
	r, err := secret.ParseRef(ref)
	if err != nil {
		return err
	}
	if r.Scheme != "" {
		return fmt.Errorf("cannot remove the secret %s: it is not in orch's own store", r)
	}
	if err := s.Delete(ctx, r.Name); !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	return nil
}
