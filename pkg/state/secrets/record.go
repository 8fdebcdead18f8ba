package secrets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/state"
)

// The records:
//
//	secret/<tenant>/<name>                record: what is known of a secret and its versions, not its values
//	blob secret/<tenant>/<name>/<content> one value, encrypted, bound to its place by its label
//	secretname/<name>                     names: which tenants have a secret of this name, so that a global one is the only one
//	secretread/<day>/<time>-<id>          Read: who has read what
//	masterkey                             masterKey: what all this is encrypted with
const (
	prefix      = "secret/"
	namesPrefix = "secretname/"
	readsPrefix = "secretread/"
	keyRecord   = "masterkey"
	maxName     = 256
)

// Kind says what a value is; it decides how it is shown and checked, not how it is kept.
type Kind string

const (
	Text Kind = "text"
	File Kind = "file" // any bytes
	JSON Kind = "json" // a document; fields can be taken out of it
)

// Labels are the caller's own data about a secret; they are not encrypted.
type Labels map[string]string

// Info describes a secret. It holds no value.
type Info struct {
	Tenant     string     `json:"tenant"`
	Name       string     `json:"name"`
	Version    int        `json:"version"` // the newest
	Kind       Kind       `json:"kind"`
	Size       int        `json:"size"` // bytes of the newest value
	Visibility Visibility `json:"visibility"`
	Hidden     bool       `json:"hidden,omitempty"` // its value is shown to its creator and to admins only
	Owner      string     `json:"owner,omitempty"`  // who made it
	Note       string     `json:"note,omitempty"`
	Created    time.Time  `json:"created"`
	Updated    time.Time  `json:"updated"`
	By         string     `json:"by,omitempty"` // who wrote the newest version
	Labels     Labels     `json:"labels,omitempty"`
}

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
	Created    time.Time  `json:"created"`
	Owner      string     `json:"owner,omitempty"`
	Visibility Visibility `json:"visibility"`
	Hidden     bool       `json:"hidden,omitempty"`
	Note       string     `json:"note,omitempty"`
	Labels     Labels     `json:"labels,omitempty"`
	Versions   []Version  `json:"versions"` // oldest first

	tenant, name string // of its key
}

// names of the tenants that have a secret of a name.
type names struct {
	Tenants []string `json:"tenants,omitempty"`
	Global  string   `json:"global,omitempty"` // the tenant whose secret all see
}

func (r record) newest() Version { return r.Versions[len(r.Versions)-1] }

func (r record) info() Info {
	v := r.newest()
	return Info{Tenant: r.tenant, Name: r.name, Version: v.Number, Kind: v.Kind, Size: v.Size, Visibility: r.Visibility, Hidden: r.Hidden, Owner: r.Owner,
		Note: r.Note, Created: r.Created, Updated: v.Created, By: v.By, Labels: r.Labels}
}

func (r record) version(number int) (Version, error) {
	if number == 0 {
		return r.newest(), nil
	}
	i := slices.IndexFunc(r.Versions, func(v Version) bool { return v.Number == number })
	if i < 0 {
		return Version{}, fmt.Errorf("%w: %s has no version %d", secret.ErrNotFound, r.name, number)
	}
	return r.Versions[i], nil
}

func recordKey(tenant, name string) string { return state.Join("secret", tenant, name) }

func blobPrefix(tenant, name string) string { return state.Prefix("secret", tenant, name) }

func namesKey(name string) string { return state.Join("secretname", name) }

// label binds content to its place: it cannot be read as another secret's.
func label(tenant, name, content string) string {
	return "secret " + state.Join(tenant, name, content)
}

// load returns the record of a tenant's secret; false if there is none.
func load(tx state.Tx, tenant, name string) (record, bool, error) {
	r, ok, err := state.Find[record](tx, recordKey(tenant, name))
	r.tenant, r.name = tenant, name
	return r, ok && len(r.Versions) > 0, err
}

// find returns the secret that a name means to an actor: the tenant's own, else the global one.
func find(tx state.Tx, a Actor, name string) (record, error) {
	r, ok, err := load(tx, a.Tenant, name)
	if err == nil && !ok && a.Tenant != OwnTenant {
		var n names
		if n, _, err = state.Find[names](tx, namesKey(name)); err == nil && n.Global != "" {
			r, ok, err = load(tx, n.Global, name)
		}
	}
	switch {
	case err != nil:
		return r, err
	case !ok || !a.sees(r):
		return r, fmt.Errorf("%w: %s", secret.ErrNotFound, name)
	}
	return r, nil
}

func (s *Store) find(ctx context.Context, name string) (r record, err error) {
	err = s.store.View(ctx, func(tx state.Tx) error {
		r, err = find(tx, ActorOf(ctx), name)
		return err
	})
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		err = fmt.Errorf("cannot read the secret %s: %w", name, err)
	}
	return r, err
}

// enter notes in the names record that a tenant has a secret, and refuses what would make a name mean two things to somebody.
func enter(tx state.Tx, tenant, name string, visibility Visibility) error {
	if tenant == OwnTenant {
		return nil
	}
	n, _, err := state.Find[names](tx, namesKey(name))
	if err != nil {
		return err
	}
	others := slices.ContainsFunc(n.Tenants, func(t string) bool { return t != tenant })
	switch {
	case n.Global != "" && n.Global != tenant:
		return fmt.Errorf("%w: the tenant %s has a global secret of this name", ErrExists, n.Global)
	case visibility == Global && others:
		return fmt.Errorf("%w: it cannot be global, other tenants have a secret of this name", ErrExists)
	}
	if !slices.Contains(n.Tenants, tenant) {
		n.Tenants = append(n.Tenants, tenant)
	}
	if n.Global = ""; visibility == Global {
		n.Global = tenant
	}
	return state.Put(tx, namesKey(name), n)
}

// leave is the inverse of enter.
func leave(tx state.Tx, tenant, name string) error {
	n, ok, err := state.Find[names](tx, namesKey(name))
	if err != nil || !ok {
		return err
	}
	n.Tenants = slices.DeleteFunc(n.Tenants, func(t string) bool { return t == tenant })
	if len(n.Tenants) == 0 {
		return tx.Delete(namesKey(name))
	}
	if n.Global == tenant {
		n.Global = ""
	}
	return state.Put(tx, namesKey(name), n)
}
