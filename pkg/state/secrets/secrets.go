// Package secrets keeps secrets in a state.Store: named, versioned, per tenant, encrypted under the master key.
//
// It owns the records, who sees what of them (see Actor and Visibility), the audit of reads, and when the master key may be made or changed.
// It must not know topologies, and not how people log in: callers say who asks with As. Values leave it only as secret.Value, and are
// redacted from then on. Listing and describing never decrypt and need no key.
package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// KeepVersions is how many versions of a secret are kept.
const KeepVersions = 10

// ErrExists is returned for a secret that exists: by Set with Create, and where a name would mean two things.
var ErrExists = errors.New("the secret exists")

// InvalidError is a mistake of the caller: a name, value, option or envelope that cannot be.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// Options of New.
type Options struct {
	Key secret.KeySource
	// External resolves references that are not to the store; nil is secret.External().
	External secret.Resolvers
	// Fallback, if set, is asked by Resolve for names that the store does not have: a Vault, for documents that name paths in it without saying so.
	Fallback secret.Resolver
	// Redactor learns every value that goes in or out; nil: a new one.
	Redactor *secret.Redactor
	// Reseal encrypts anew what others keep under the master key, when that changes.
	Reseal []Resealer
}

// Store is the secrets of one state.Store. It is safe for concurrent use.
type Store struct {
	store state.Store
	blobs *state.Blobs
	opts  Options

	mu   sync.Mutex
	keys *secret.Keyring // loaded when first needed
	seen map[Read]bool   // reads of tasks that are on record
}

// New returns the secrets in a store. The master key is loaded, and made if nothing is stored yet, when the first value is written or read.
func New(s state.Store, o Options) *Store {
	if o.External == nil {
		o.External = secret.External()
	}
	if o.Redactor == nil {
		o.Redactor = secret.NewRedactor()
	}
	return &Store{store: s, blobs: state.NewBlobs(s), opts: o, seen: map[Read]bool{}}
}

// SetOptions of Set.
type SetOptions struct {
	Kind       Kind       // default Text
	Note       *string    // nil keeps what it has
	Labels     Labels     // nil keeps those it has
	Visibility Visibility // "" keeps what it has; Tenant for a new one
	Hidden     *bool      // nil keeps what it has
	Create     bool       // fail with ErrExists if the secret exists
}

// Set stores a new version, of at most secret.MaxSize bytes, and returns the secret's description. Kind JSON wants valid JSON.
// Versions beyond KeepVersions are removed.
func (s *Store) Set(ctx context.Context, name string, value secret.Value, o SetOptions) (Info, error) {
	info, err := s.set(ctx, name, value, o)
	if err != nil {
		return info, fmt.Errorf("cannot store the secret %s: %w", name, err)
	}
	return info, nil
}

func (s *Store) set(ctx context.Context, name string, value secret.Value, o SetOptions) (info Info, err error) {
	if o.Kind == "" {
		o.Kind = Text
	}
	s.opts.Redactor.Add(value)
	plain := []byte(value.Reveal())
	if err := check(name, plain, o); err != nil {
		return info, &InvalidError{err}
	}
	a := ActorOf(ctx)
	v := Version{Kind: o.Kind, Size: len(plain), Created: time.Now().UTC(), By: a.User}
	if v, err = s.seal(ctx, a.Tenant, name, v, plain); err != nil {
		return info, err
	}
	var old []Version
	err = s.store.Update(ctx, func(tx state.Tx) error {
		old = nil
		r, err := s.next(tx, a, name, o)
		if err != nil {
			return err
		}
		v.Number = 1
		if len(r.Versions) > 0 {
			v.Number = r.newest().Number + 1
		}
		r.Versions = append(r.Versions, v)
		if n := len(r.Versions) - KeepVersions; n > 0 {
			old, r.Versions = r.Versions[:n], r.Versions[n:]
		}
		info = r.info()
		return errors.Join(enter(tx, a.Tenant, name, r.Visibility), state.Put(tx, recordKey(a.Tenant, name), r))
	})
	if err != nil {
		old = []Version{v}
	}
	for _, o := range old { // what is not referred to any more; if this fails it is only lost space, and encrypted
		_ = s.blobs.Delete(context.WithoutCancel(ctx), blobPrefix(a.Tenant, name)+o.Content)
	}
	return info, err
}

// next is the record that gets a new version.
func (s *Store) next(tx state.Tx, a Actor, name string, o SetOptions) (record, error) {
	r, ok, err := load(tx, a.Tenant, name)
	switch {
	case err != nil:
		return r, err
	case ok && !a.sees(r):
		return r, fmt.Errorf("%w: it is somebody else's", ErrForbidden)
	case ok && o.Create:
		return r, ErrExists
	case ok && r.Hidden && !a.owns(r):
		return r, fmt.Errorf("%w: its value is hidden, only %s and admins may change it", ErrForbidden, r.Owner)
	case !ok:
		r.Created, r.Owner, r.Visibility = time.Now().UTC(), a.User, Tenant
	}
	if err := r.change(a, Change{Note: o.Note, Visibility: o.Visibility, Hidden: o.Hidden}); err != nil {
		return r, err
	}
	if o.Labels != nil {
		r.Labels = o.Labels
	}
	return r, nil
}

func check(name string, plain []byte, o SetOptions) error {
	if err := CheckName(name); err != nil {
		return err
	}
	switch {
	case len(plain) > secret.MaxSize:
		return fmt.Errorf("it has %d bytes, the most is %d", len(plain), secret.MaxSize)
	case o.Kind == JSON && !json.Valid(plain):
		return errors.New("it is not valid JSON")
	case o.Kind != Text && o.Kind != File && o.Kind != JSON:
		return fmt.Errorf("secrets of the kind %q are not known (want text, file or json)", o.Kind)
	}
	return nil
}

// Change of what is known of a secret, without a new version; nil and "" keep what is.
type Change struct {
	Note       *string    `json:"note,omitempty"`
	Visibility Visibility `json:"visibility,omitempty"`
	Hidden     *bool      `json:"hidden,omitempty"`
}

// change applies c. Visibility is never narrowed: others may use it already.
func (r *record) change(a Actor, c Change) error {
	rank := []Visibility{Private, Tenant, Global}
	switch {
	case c.Visibility == "":
	case !slices.Contains(rank, c.Visibility):
		return &InvalidError{fmt.Errorf("the visibility %q is not known (want private, tenant or global)", c.Visibility)}
	case len(r.Versions) > 0 && slices.Index(rank, c.Visibility) < slices.Index(rank, r.Visibility):
		return fmt.Errorf("%w: it is %s and cannot become %s: others may use it already", ErrForbidden, r.Visibility, c.Visibility)
	default:
		r.Visibility = c.Visibility
	}
	if c.Hidden != nil && *c.Hidden != r.Hidden {
		if !a.owns(*r) {
			return fmt.Errorf("%w: only %s and admins may hide or show it", ErrForbidden, r.Owner)
		}
		r.Hidden = *c.Hidden
	}
	if c.Note != nil {
		r.Note = *c.Note
	}
	return nil
}

// Update changes what is known of a secret of the actor's tenant.
func (s *Store) Update(ctx context.Context, name string, c Change) (info Info, err error) {
	a := ActorOf(ctx)
	err = s.store.Update(ctx, func(tx state.Tx) error {
		r, err := find(tx, a, name)
		if err != nil {
			return err
		}
		if r.tenant != a.Tenant {
			return fmt.Errorf("%w: it belongs to the tenant %s", ErrForbidden, r.tenant)
		}
		if err := r.change(a, c); err != nil {
			return err
		}
		info = r.info()
		return errors.Join(enter(tx, a.Tenant, name, r.Visibility), state.Put(tx, recordKey(a.Tenant, name), r))
	})
	if err != nil {
		err = fmt.Errorf("cannot change the secret %s: %w", name, err)
	}
	return info, err
}

// Get returns a version of a secret; 0 is the newest. secret.ErrNotFound if there is none, ErrForbidden if its value is hidden from the actor.
func (s *Store) Get(ctx context.Context, name string, number int) (secret.Value, Version, error) {
	r, v, err := s.readable(ctx, name, number)
	if err != nil {
		return secret.Value{}, Version{}, err
	}
	if err := s.audit(ctx, Read{Secret: name, Version: v.Number, Of: r.tenant}); err != nil {
		return secret.Value{}, v, err
	}
	value, err := s.value(ctx, r, v)
	return value, v, err
}

// readable finds a version that the actor may read.
func (s *Store) readable(ctx context.Context, name string, number int) (record, Version, error) {
	r, err := s.find(ctx, name)
	if err != nil {
		return r, Version{}, err
	}
	if !ActorOf(ctx).reads(r) {
		return r, Version{}, fmt.Errorf("cannot read the secret %s: %w: its value is hidden", name, ErrForbidden)
	}
	v, err := r.version(number)
	return r, v, err
}

func (s *Store) value(ctx context.Context, r record, v Version) (secret.Value, error) {
	plain, err := s.open(ctx, r.tenant, r.name, v)
	if err != nil {
		return secret.Value{}, fmt.Errorf("cannot read the secret %s: %w", r.name, err)
	}
	value := secret.New(string(plain))
	s.opts.Redactor.Add(value)
	return value, nil
}

// seal stores content that no record names yet.
func (s *Store) seal(ctx context.Context, tenant, name string, v Version, plain []byte) (Version, error) {
	keys, err := s.Keyring(ctx)
	if err != nil {
		return v, err
	}
	v.Content, v.Key = rand.Text(), keys.ID()
	sealed, err := keys.Seal(label(tenant, name, v.Content), plain)
	if err != nil {
		return v, err
	}
	_, err = s.blobs.Put(ctx, blobPrefix(tenant, name)+v.Content, bytes.NewReader(sealed))
	return v, err
}

func (s *Store) open(ctx context.Context, tenant, name string, v Version) ([]byte, error) {
	sealed, _, err := s.blobs.ReadAll(ctx, blobPrefix(tenant, name)+v.Content, 2*secret.MaxSize)
	if err != nil {
		return nil, err
	}
	plain, err := s.Open(ctx, label(tenant, name, v.Content), sealed)
	if errors.Is(err, secret.ErrNoKey) {
		err = fmt.Errorf("%w: it is %s", err, v.Key)
	}
	return plain, err
}

// Describe returns what is known of a secret and its versions, newest last, without decrypting.
func (s *Store) Describe(ctx context.Context, name string) (Info, []Version, error) {
	r, err := s.find(ctx, name)
	if err != nil {
		return Info{}, nil, err
	}
	return r.info(), r.Versions, nil
}

// List describes the secrets that the actor sees and whose name begins with namePrefix, by name, without decrypting.
func (s *Store) List(ctx context.Context, namePrefix string) ([]Info, error) {
	a := ActorOf(ctx)
	infos := []Info{}
	err := s.each(ctx, func(r record) {
		own := r.tenant == OwnTenant && a.Tenant != OwnTenant
		if !own && a.sees(r) && strings.HasPrefix(r.name, namePrefix) {
			infos = append(infos, r.info())
		}
	})
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, err
}

// each visits every secret of every tenant.
func (s *Store) each(ctx context.Context, visit func(record)) error {
	var all []record
	err := s.store.View(ctx, func(tx state.Tx) error {
		all = nil
		for rec, err := range state.List[record](tx, prefix) {
			if err != nil {
				return err
			}
			parts, err := state.Split(rec.Key)
			if err != nil || len(parts) != 3 || len(rec.Value.Versions) == 0 {
				continue
			}
			rec.Value.tenant, rec.Value.name = parts[1], parts[2]
			all = append(all, rec.Value)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot list secrets: %w", err)
	}
	for _, r := range all {
		visit(r)
	}
	return nil
}

// Delete removes a secret of the actor's tenant with all its versions. secret.ErrNotFound if there is none.
func (s *Store) Delete(ctx context.Context, name string) error {
	a := ActorOf(ctx)
	err := s.store.Update(ctx, func(tx state.Tx) error {
		r, err := find(tx, a, name)
		switch {
		case err != nil:
			return err
		case r.tenant != a.Tenant:
			return fmt.Errorf("%w: it belongs to the tenant %s", ErrForbidden, r.tenant)
		case r.Hidden && !a.owns(r):
			return fmt.Errorf("%w: its value is hidden, only %s and admins may delete it", ErrForbidden, r.Owner)
		}
		return errors.Join(leave(tx, a.Tenant, name), tx.Delete(recordKey(a.Tenant, name)))
	})
	if errors.Is(err, secret.ErrNotFound) {
		return err
	}
	if err != nil {
		return fmt.Errorf("cannot delete the secret %s: %w", name, err)
	}
	blobs, err := s.blobs.List(ctx, blobPrefix(a.Tenant, name))
	for _, b := range blobs {
		err = errors.Join(err, s.blobs.Delete(ctx, b.Key))
	}
	if err != nil {
		return fmt.Errorf("the secret %s is deleted, but its encrypted content is not all removed: %w", name, err)
	}
	return nil
}
