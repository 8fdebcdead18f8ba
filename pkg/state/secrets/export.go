package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/secret"
)

// export is the document under the encryption of an export.
type export struct {
	Format  string         `json:"format"` // exportFormat
	Version int            `json:"version"`
	Made    time.Time      `json:"made"`
	Tenant  string         `json:"tenant"`
	Secrets []exportSecret `json:"secrets"`
}

type exportSecret struct {
	Name       string     `json:"name"`
	Kind       Kind       `json:"kind"`
	Value      []byte     `json:"value"` // base64
	Visibility Visibility `json:"visibility"`
	Hidden     bool       `json:"hidden,omitempty"`
	Note       string     `json:"note,omitempty"`
	Labels     Labels     `json:"labels,omitempty"`
}

const (
	exportFormat  = "orch secrets"
	exportVersion = 1
)

// Export writes the newest versions of the secrets of the actor's tenant whose name begins with namePrefix, for whoever has the key of
// the envelope. What the actor may not read is left out and named in skipped.
func (s *Store) Export(ctx context.Context, namePrefix string, to secret.Envelope) (out []byte, skipped []string, err error) {
	a := ActorOf(ctx)
	doc := export{Format: exportFormat, Version: exportVersion, Made: time.Now().UTC(), Tenant: a.Tenant, Secrets: []exportSecret{}}
	infos, err := s.List(ctx, namePrefix)
	if err != nil {
		return nil, nil, err
	}
	for _, info := range infos {
		if info.Tenant != a.Tenant {
			continue
		}
		v, version, err := s.Get(ctx, info.Name, 0)
		switch {
		case errors.Is(err, ErrForbidden), errors.Is(err, secret.ErrNotFound):
			skipped = append(skipped, info.Name)
			continue
		case err != nil:
			return nil, nil, err
		}
		doc.Secrets = append(doc.Secrets, exportSecret{Name: info.Name, Kind: version.Kind, Value: []byte(v.Reveal()), Visibility: info.Visibility,
			Hidden: info.Hidden, Note: info.Note, Labels: info.Labels})
	}
	plain, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot encode the export: %w", err)
	}
	if out, err = to.Wrap(plain); err != nil {
		err = &InvalidError{err}
	}
	return out, skipped, err
}

// ImportOptions of Import.
type ImportOptions struct {
	// Overwrite gives secrets that exist a new version; else they are left and counted as Kept.
	Overwrite bool
	DryRun    bool
}

// Imported says what an import did, or would do.
type Imported struct {
	Created []string `json:"created"`
	Updated []string `json:"updated"`
	Kept    []string `json:"kept"` // existed already, with another value or the same
}

// Import reads an export into the actor's tenant.
func (s *Store) Import(ctx context.Context, data []byte, from secret.Envelope, o ImportOptions) (Imported, error) {
	done := Imported{Created: []string{}, Updated: []string{}, Kept: []string{}}
	doc, err := readExport(data, from)
	if err != nil {
		return done, &InvalidError{err}
	}
	for _, x := range doc.Secrets { // all or nothing where that can be known
		if err := check(x.Name, x.Value, SetOptions{Kind: x.Kind}); err != nil {
			return done, &InvalidError{fmt.Errorf("cannot import the secret %.80q: %w", x.Name, err)}
		}
	}
	for _, x := range doc.Secrets {
		into, err := s.importOne(ctx, x, o)
		if err != nil {
			return done, fmt.Errorf("cannot import the secret %s: %w", x.Name, err)
		}
		switch into {
		case created:
			done.Created = append(done.Created, x.Name)
		case updated:
			done.Updated = append(done.Updated, x.Name)
		default:
			done.Kept = append(done.Kept, x.Name)
		}
	}
	return done, nil
}

type outcome int

const (
	kept outcome = iota
	created
	updated
)

func (s *Store) importOne(ctx context.Context, x exportSecret, o ImportOptions) (outcome, error) {
	value := secret.New(string(x.Value))
	info, err := s.find(ctx, x.Name)
	exists := err == nil
	switch {
	case err != nil && !errors.Is(err, secret.ErrNotFound):
		return kept, err
	case exists && (!o.Overwrite || info.tenant != ActorOf(ctx).Tenant):
		return kept, nil
	case exists:
		old, _, err := s.Get(ctx, x.Name, 0)
		if err != nil || old.Equal(value) {
			return kept, err
		}
	}
	into := created
	if exists {
		into = updated
	}
	if o.DryRun {
		return into, nil
	}
	set := SetOptions{Kind: x.Kind, Note: &x.Note, Labels: x.Labels, Create: !exists}
	if !exists {
		set.Visibility, set.Hidden = x.Visibility, &x.Hidden
	}
	_, err = s.Set(ctx, x.Name, value, set)
	return into, err
}

func readExport(data []byte, from secret.Envelope) (doc export, err error) {
	plain, err := from.Unwrap(data)
	if err != nil {
		return doc, err
	}
	d := json.NewDecoder(strings.NewReader(string(plain)))
	if d.Decode(&doc) != nil || doc.Format != exportFormat { // its error could show a value
		return doc, errors.New("this is not an export of orch's secrets")
	}
	if doc.Version > exportVersion {
		return doc, fmt.Errorf("the export has version %d, this version of orch reads %d: update orch", doc.Version, exportVersion)
	}
	names := map[string]bool{}
	if i := slices.IndexFunc(doc.Secrets, func(x exportSecret) bool { had := names[x.Name]; names[x.Name] = true; return had }); i >= 0 {
		return doc, fmt.Errorf("the export has the secret %.80q twice", doc.Secrets[i].Name)
	}
	return doc, nil
}
