// Package secrets keeps secrets in a state.Store: named, versioned, encrypted under the master key.
//
// It owns the records and when the master key may be made. It must not know who may read what, nor topologies: callers check permissions
// before they ask. Values leave it only as secret.Value. Listing and describing never decrypt and need no key.
package secrets

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// Kind says what a value is; it decides how it is shown and checked, not how it is kept.
type Kind string

const (
	Text Kind = "text"
	File Kind = "file" // any bytes
	JSON Kind = "json" // a document; fields can be taken out of it
)

// Info describes a secret. It holds no value.
type Info struct {
	Name    string    `json:"name"`
	Version int       `json:"version"` // the newest
	Kind    Kind      `json:"kind"`
	Size    int       `json:"size"` // bytes of the newest value
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	By      string    `json:"by,omitempty"`     // who wrote the newest version
	Labels  Labels    `json:"labels,omitempty"` // the caller's: tenant, visibility …
}

// Labels are the caller's own data about a secret; they are not encrypted.
type Labels map[string]string

// Version describes one version.
type Version struct {
	Number  int       `json:"number"`
	Kind    Kind      `json:"kind"`
	Size    int       `json:"size"`
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
	Key     string    `json:"key"`     // ID of the master key that encrypts it
	Content string    `json:"content"` // the last segment of the key of the blob that holds it
}

// record is everything known of a secret.
type record struct {
	Created  time.Time `json:"created"`
	Labels   Labels    `json:"labels,omitempty"`
	Versions []Version `json:"versions"` // oldest first
}

func (r record) newest() Version { return r.Versions[len(r.Versions)-1] }

func (r record) info(name string) Info {
	v := r.newest()
	return Info{Name: name, Version: v.Number, Kind: v.Kind, Size: v.Size, Created: r.Created, Updated: v.Created, By: v.By, Labels: r.Labels}
}

// KeepVersions is how many versions of a secret are kept.
const KeepVersions = 10

const (
	prefix  = "secret/" // records; content is in blobs below the same
	maxName = 256
)

// ErrExists is returned by Set with Create for a secret that exists.
var ErrExists = errors.New("the secret exists")

// Options of New.
type Options struct {
	Key secret.KeySource
	// External resolves references that are not to the store; nil is secret.External().
	External secret.Resolvers
	// Read, if set, is told of every value that is handed out, for an audit; an error refuses it.
	Read func(ctx context.Context, ref secret.Ref) error
}

// Store is the secrets of one state.Store. It is safe for concurrent use.
type Store struct {
	store state.Store
	blobs *state.Blobs
	opts  Options

	mu   sync.Mutex
	keys *secret.Keyring // loaded when first needed
}

// New returns the secrets in a store. The master key is loaded, and made if there are no secrets yet, when the first value is written or read.
func New(s state.Store, o Options) *Store {
	if o.External == nil {
		o.External = secret.External()
	}
	return &Store{store: s, blobs: state.NewBlobs(s), opts: o}
}

// Keyring loads the master key, for what else is encrypted under it (Terraform's state). It makes one only while nothing stored needs
// another.
func (s *Store) Keyring(ctx context.Context) (*secret.Keyring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != nil {
		return s.keys, nil
	}
	used, err := s.usedKey(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.opts.Key.Load(ctx, used == "")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: stored secrets are encrypted with %s: bring back that key file, or give the key in ORCH_MASTER_KEY", err, used)
	case err != nil:
		return nil, err
	case used != "" && !keys.Has(used):
		return nil, fmt.Errorf("%w: this is the key %s, stored secrets are encrypted with %s", secret.ErrNoKey, keys.ID(), used)
	}
	if used != keys.ID() {
		if err := s.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, keyRecord, masterKey{keys.ID()}) }); err != nil {
			return nil, err
		}
	}
	s.keys = keys
	return keys, nil
}

// masterKey records which key the store was last used with, so that losing it is noticed before a new one is made.
type masterKey struct {
	ID string `json:"id"`
}

const keyRecord = "masterkey"

func (s *Store) usedKey(ctx context.Context) (id string, err error) {
	err = s.store.View(ctx, func(tx state.Tx) error {
		k, _, err := state.Find[masterKey](tx, keyRecord)
		id = k.ID
		return err
	})
	return id, err
}

// CheckName reports a name that cannot be used.
func CheckName(name string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || r == '#' || r == unicode.ReplacementChar }
	switch ref, err := secret.ParseRef(name); {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("the name of a secret has 1 to %d bytes", maxName)
	case strings.ContainsFunc(name, bad), strings.TrimSpace(name) != name:
		return fmt.Errorf("the name %q has characters that a secret's name cannot have (#, control characters, spaces around it)", name)
	case err != nil || ref != secret.Ref{Name: name}:
		return fmt.Errorf("the name %q would be read as a reference to something else (env:, file:, vault:, or @ and a number at its end)", name)
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/"):
		return fmt.Errorf("the name %q begins or ends with a slash", name)
	}
	return nil
}

// SetOptions of Set.
type SetOptions struct {
	Kind   Kind   // default Text
	By     string // who
	Labels Labels // nil keeps those it has
	Create bool   // fail with ErrExists if the secret exists
}

func recordKey(name string) string { return prefix + state.Join(name) }

func blobPrefix(name string) string { return state.Prefix("secret", name) }

// label binds content to its place: it cannot be read as another secret's.
func label(name, content string) string { return "secret " + name + " " + content }

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
	plain := []byte(value.Reveal())
	if err := check(name, plain, o.Kind); err != nil {
		return info, err
	}
	keys, err := s.Keyring(ctx)
	if err != nil {
		return info, err
	}
	v := Version{Kind: o.Kind, Size: len(plain), Created: time.Now().UTC(), By: o.By}
	if v, err = s.seal(ctx, keys, name, v, plain); err != nil {
		return info, err
	}
	var old []Version
	err = s.store.Update(ctx, func(tx state.Tx) error {
		old = nil
		r, ok, err := state.Find[record](tx, recordKey(name))
		if err != nil {
			return err
		}
		if ok && o.Create {
			return ErrExists
		}
		v.Number = 1
		if ok {
			v.Number = r.newest().Number + 1
		} else {
			r.Created = v.Created
		}
		if o.Labels != nil {
			r.Labels = o.Labels
		}
		r.Versions = append(r.Versions, v)
		if n := len(r.Versions) - KeepVersions; n > 0 {
			old, r.Versions = r.Versions[:n], r.Versions[n:]
		}
		info = r.info(name)
		return state.Put(tx, recordKey(name), r)
	})
	if err != nil {
		old = []Version{v}
	}
	for _, o := range old { // what is not referred to any more; if this fails it is only lost space, and encrypted
		_ = s.blobs.Delete(context.WithoutCancel(ctx), blobPrefix(name)+o.Content)
	}
	return info, err
}

func check(name string, plain []byte, kind Kind) error {
	if err := CheckName(name); err != nil {
		return err
	}
	switch {
	case len(plain) > secret.MaxSize:
		return fmt.Errorf("it has %d bytes, the most is %d", len(plain), secret.MaxSize)
	case kind == JSON && !json.Valid(plain):
		return errors.New("it is not valid JSON")
	case kind != Text && kind != File && kind != JSON:
		return fmt.Errorf("secrets of the kind %q are not known (want text, file or json)", kind)
	}
	return nil
}

// seal stores content that no record names yet.
func (s *Store) seal(ctx context.Context, keys *secret.Keyring, name string, v Version, plain []byte) (Version, error) {
	v.Content, v.Key = rand.Text(), keys.ID()
	sealed, err := keys.Seal(label(name, v.Content), plain)
	if err != nil {
		return v, err
	}
	_, err = s.blobs.Put(ctx, blobPrefix(name)+v.Content, bytes.NewReader(sealed))
	return v, err
}

func (s *Store) open(ctx context.Context, keys *secret.Keyring, name string, v Version) ([]byte, error) {
	sealed, _, err := s.blobs.ReadAll(ctx, blobPrefix(name)+v.Content, 2*secret.MaxSize)
	if err != nil {
		return nil, err
	}
	plain, err := keys.Open(label(name, v.Content), sealed)
	if errors.Is(err, secret.ErrNoKey) {
		err = fmt.Errorf("%w: it is %s", err, v.Key)
	}
	return plain, err
}

// Get returns a version of a secret; 0 is the newest. secret.ErrNotFound if there is none.
func (s *Store) Get(ctx context.Context, name string, number int) (secret.Value, Version, error) {
	if s.opts.Read != nil {
		if err := s.opts.Read(ctx, secret.Ref{Name: name, Version: number}); err != nil {
			return secret.Value{}, Version{}, err
		}
	}
	r, err := s.record(ctx, name)
	if err != nil {
		return secret.Value{}, Version{}, err
	}
	v := r.newest()
	if number != 0 {
		i := slices.IndexFunc(r.Versions, func(v Version) bool { return v.Number == number })
		if i < 0 {
			return secret.Value{}, Version{}, fmt.Errorf("%w: %s has no version %d", secret.ErrNotFound, name, number)
		}
		v = r.Versions[i]
	}
	keys, err := s.Keyring(ctx)
	if err != nil {
		return secret.Value{}, v, fmt.Errorf("cannot read the secret %s: %w", name, err)
	}
	plain, err := s.open(ctx, keys, name, v)
	if err != nil {
		return secret.Value{}, v, fmt.Errorf("cannot read the secret %s: %w", name, err)
	}
	return secret.New(string(plain)), v, nil
}

func (s *Store) record(ctx context.Context, name string) (r record, err error) {
	err = s.store.View(ctx, func(tx state.Tx) error {
		r, _, err = state.Get[record](tx, recordKey(name))
		return err
	})
	if errors.Is(err, state.ErrNotFound) || err == nil && len(r.Versions) == 0 {
		return r, fmt.Errorf("%w: %s", secret.ErrNotFound, name)
	}
	return r, err
}

// Describe returns what is known of a secret and its versions, newest last, without decrypting.
func (s *Store) Describe(ctx context.Context, name string) (Info, []Version, error) {
	r, err := s.record(ctx, name)
	if err != nil {
		return Info{}, nil, err
	}
	return r.info(name), r.Versions, nil
}

// List describes the secrets whose name begins with prefix, by name, without decrypting.
func (s *Store) List(ctx context.Context, namePrefix string) (infos []Info, err error) {
	err = s.store.View(ctx, func(tx state.Tx) error {
		infos = nil
		for rec, err := range state.List[record](tx, prefix) {
			if err != nil {
				return err
			}
			if name := state.Last(rec.Key); strings.HasPrefix(name, namePrefix) && len(rec.Value.Versions) > 0 {
				infos = append(infos, rec.Value.info(name))
			}
		}
		return nil
	})
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, err
}

// Delete removes a secret with all its versions. secret.ErrNotFound if there is none.
func (s *Store) Delete(ctx context.Context, name string) error {
	err := s.store.Update(ctx, func(tx state.Tx) error {
		if _, err := tx.Get(recordKey(name)); err != nil {
			return err
		}
		return tx.Delete(recordKey(name))
	})
	if errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("%w: %s", secret.ErrNotFound, name)
	}
	if err != nil {
		return fmt.Errorf("cannot delete the secret %s: %w", name, err)
	}
	blobs, err := s.blobs.List(ctx, blobPrefix(name))
	for _, b := range blobs {
		err = errors.Join(err, s.blobs.Delete(ctx, b.Key))
	}
	if err != nil {
		return fmt.Errorf("the secret %s is deleted, but its encrypted content is not all removed: %w", name, err)
	}
	return nil
}
