package orch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// SecretStore keeps secrets encrypted in the store: those of users for get_secret, and those that drivers make (key pairs, host keys),
// whose names begin with "orch/". What it hands out is redacted from then on.
type SecretStore struct {
	store    state.Store
	cipher   Cipher
	redactor *secret.Redactor
}

// NewSecrets returns the secrets in a store. Drivers get the same as the service's.
func NewSecrets(store state.Store, cipher Cipher, redactor *secret.Redactor) *SecretStore {
	if redactor == nil {
		redactor = secret.NewRedactor()
	}
	return &SecretStore{store: store, cipher: cipher, redactor: redactor}
}

type secretRecord struct {
	SecretInfo
	Sealed []byte `json:"sealed"`
}

const (
	secretPrefix = "secrets/"
	ownPrefix    = "orch/" // of secrets that orch makes for itself
	maxSecret    = 128 * 1024
)

func secretKey(name string) string { return state.Join("secrets", name) }

var errNoKey = &Error{Kind: KindUser, Msg: "secrets cannot be kept: no encryption key is configured", Hint: "orch doctor says how to make one"}

// Set implements Secrets.
func (s *SecretStore) Set(ctx context.Context, name string, value []byte, note string) (SecretInfo, error) {
	if name == "" || len(name) > 256 || strings.TrimSpace(name) != name {
		return SecretInfo{}, &Error{Kind: KindUser, Msg: fmt.Sprintf("%q is no name for a secret", name)}
	}
	if strings.HasPrefix(name, ownPrefix) {
		return SecretInfo{}, &Error{Kind: KindUser, Msg: "names that begin with " + ownPrefix + " are orch's own"}
	}
	return s.put(ctx, name, value, note, true)
}

// put writes a secret. With replace false an existing one stays.
func (s *SecretStore) put(ctx context.Context, name string, value []byte, note string, replace bool) (SecretInfo, error) {
	switch {
	case s.cipher == nil:
		return SecretInfo{}, errNoKey
	case len(value) > maxSecret:
		return SecretInfo{}, &Error{Kind: KindUser, Msg: fmt.Sprintf("the secret has %d bytes, more than %d", len(value), maxSecret)}
	}
	sealed, err := s.cipher.Seal(value)
	if err != nil {
		return SecretInfo{}, &Error{Kind: KindInternal, Msg: "cannot encrypt the secret", Err: err}
	}
	s.redactor.Add(secret.New(string(value)))
	var info SecretInfo
	err = s.store.Update(ctx, func(tx state.Tx) error {
		r, found, err := state.Find[secretRecord](tx, secretKey(name))
		if err != nil {
			return err
		}
		if found && !replace {
			info = r.SecretInfo
			return errExists
		}
		if !found {
			r.Name, r.Created = name, now()
		}
		r.Version++
		r.Updated, r.Note, r.Size, r.Sealed = now(), note, len(value), sealed
		info = r.SecretInfo
		return state.Put(tx, secretKey(name), r)
	})
	if errors.Is(err, errExists) {
		return info, err
	}
	return info, storeError(err)
}

var errExists = errors.New("exists already")

// Get implements Secrets.
func (s *SecretStore) Get(ctx context.Context, name string) ([]byte, error) {
	var r secretRecord
	err := s.store.View(ctx, func(tx state.Tx) (err error) {
		r, _, err = state.Get[secretRecord](tx, secretKey(name))
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return nil, &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no secret %q", name), Hint: "set it with: orch secrets set " + name, Err: ErrNotFound}
	}
	if err != nil {
		return nil, storeError(err)
	}
	if s.cipher == nil {
		return nil, errNoKey
	}
	b, err := s.cipher.Open(r.Sealed)
	if err != nil {
		return nil, &Error{Kind: KindStore, Msg: fmt.Sprintf("the secret %q cannot be decrypted", name), Hint: "is the encryption key the one of this store?", Err: err}
	}
	s.redactor.Add(secret.New(string(b)))
	return b, nil
}

// List implements Secrets; orch's own are not listed.
func (s *SecretStore) List(ctx context.Context) ([]SecretInfo, error) {
	out := []SecretInfo{}
	err := s.store.View(ctx, func(tx state.Tx) error {
		out = out[:0]
		for r, err := range state.List[secretRecord](tx, secretPrefix) {
			if err != nil {
				return err
			}
			if !strings.HasPrefix(r.Value.Name, ownPrefix) {
				out = append(out, r.Value.SecretInfo)
			}
		}
		return nil
	})
	return out, storeError(err)
}

// Remove implements Secrets and driver.Secrets; removing what does not exist is an error of KindNotFound only for users' secrets.
func (s *SecretStore) Remove(ctx context.Context, name string) error {
	found := false
	err := s.store.Update(ctx, func(tx state.Tx) error {
		_, err := tx.Get(secretKey(name))
		if errors.Is(err, state.ErrNotFound) {
			found = false
			return nil
		}
		found = true
		return errors.Join(err, tx.Delete(secretKey(name)))
	})
	if err == nil && !found && !strings.HasPrefix(name, ownPrefix) {
		return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no secret %q", name), Err: ErrNotFound}
	}
	return storeError(err)
}

// Secret implements engine.SecretReader: get_secret with one name, or with a provider's path of which the last is the name.
func (s *SecretStore) Secret(ctx context.Context, args []string) (secret.Value, error) {
	if len(args) == 0 || args[0] == "" {
		return secret.Value{}, errors.New("get_secret needs a name")
	}
	b, err := s.Get(ctx, args[0])
	return secret.New(string(b)), err
}

// Resolve implements driver.Secrets.
func (s *SecretStore) Resolve(ctx context.Context, ref string) (secret.Value, error) {
	b, err := s.Get(ctx, ref)
	return secret.New(string(b)), err
}

// Generate implements driver.Secrets: concurrent callers, also of other processes, get the same value.
func (s *SecretStore) Generate(ctx context.Context, ref string, make func() ([]byte, error)) (secret.Value, error) {
	v, err := s.Resolve(ctx, ref)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return v, err
	}
	fresh, err := make()
	if err != nil {
		return secret.Value{}, err
	}
	if _, err := s.put(ctx, ref, fresh, "", false); err != nil && !errors.Is(err, errExists) {
		return secret.Value{}, err
	}
	return s.Resolve(ctx, ref)
}
