package orch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/orch-project/orch/pkg/state"
)

// DefaultLocation is what the location is called that is there without configuration, and, in paths, whichever is used where none is named.
const DefaultLocation = "default"

// Locations are the places to deploy to: those of the configuration, which are read-only here, and those that were stored at run time.
type Locations interface {
	// Locations with secrets masked, by name.
	List(ctx context.Context) ([]LocationInfo, error)
	// Put stores a location. With create it must not exist, else it must; properties that are Mask stay as they are.
	Put(ctx context.Context, l LocationInfo, create bool) error
	Remove(ctx context.Context, name string) error
	// Usage is what the location has and what of it is in use, asked of the cloud now; "" is the default location.
	Usage(ctx context.Context, name string) ([]Usage, error)
}

// LocationInfo is a location: the plugin that makes its nodes, settings, and, for stored ones, how to log in.
type LocationInfo struct {
	Name       string         `json:"name"`
	Plugin     string         `json:"plugin"`
	Properties map[string]any `json:"properties,omitempty"`
	// Configured locations come from the configuration and cannot be changed.
	Configured bool `json:"configured,omitempty"`
}

// LocationSource is what a service needs for Locations beside its store.
type LocationSource interface {
	// Configured locations, by name.
	Configured() []LocationInfo
	// Check says what is wrong with a location that is to be stored.
	Check(l LocationInfo) error
}

// StoredLocation is the record of a location: all that it holds is sealed, as credentials are part of it.
type StoredLocation struct {
	Name   string `json:"name"`
	Plugin string `json:"plugin"`
	Sealed []byte `json:"sealed"`
}

func placeKey(name string) string { return state.Join("locations", name) }

// ReadLocation returns a stored location in clear, and the revision of its record; nil if there is none.
func ReadLocation(ctx context.Context, store state.Store, cipher Cipher, name string) (l *LocationInfo, rev state.Rev, err error) {
	var r StoredLocation
	found := false
	err = store.View(ctx, func(tx state.Tx) error {
		var err error
		if r, found, err = state.Find[StoredLocation](tx, placeKey(name)); err != nil || !found {
			return err
		}
		_, rev, err = state.Get[StoredLocation](tx, placeKey(name))
		return err
	})
	if err != nil || !found {
		return nil, 0, storeError(err)
	}
	l, err = unseal(r, cipher)
	return l, rev, err
}

func unseal(r StoredLocation, cipher Cipher) (*LocationInfo, error) {
	if cipher == nil {
		return nil, errNoKey
	}
	plain, err := cipher.Open(r.Sealed)
	if err != nil {
		return nil, &Error{Kind: KindStore, Msg: fmt.Sprintf("the location %q cannot be decrypted", r.Name), Hint: "is the encryption key the one of this store?", Err: err}
	}
	l := &LocationInfo{Name: r.Name, Plugin: r.Plugin}
	if err := json.Unmarshal(plain, &l.Properties); err != nil {
		return nil, &Error{Kind: KindStore, Msg: fmt.Sprintf("the location %q cannot be read", r.Name), Err: err}
	}
	return l, nil
}

// Locations implements Service.
func (l *Local) Locations() Locations { return storedLocations{l} }

type storedLocations struct{ l *Local }

func (s storedLocations) configured() []LocationInfo {
	if s.l.opts.Locations == nil {
		return nil
	}
	return s.l.opts.Locations.Configured()
}

func (s storedLocations) List(ctx context.Context) ([]LocationInfo, error) {
	byName := map[string]LocationInfo{}
	var records []StoredLocation
	err := s.l.store.View(ctx, func(tx state.Tx) error {
		records = nil
		for r, err := range state.List[StoredLocation](tx, state.Prefix("locations")) {
			if err != nil {
				return err
			}
			records = append(records, r.Value)
		}
		return nil
	})
	if err != nil {
		return nil, storeError(err)
	}
	for _, r := range records {
		l, err := unseal(r, s.l.opts.Cipher)
		if err != nil {
			return nil, err
		}
		byName[l.Name] = *l
	}
	for _, l := range s.configured() {
		l.Configured = true
		byName[l.Name] = l
	}
	out := []LocationInfo{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		l := byName[name]
		l.Properties = hideSecrets(l.Properties)
		out = append(out, l)
	}
	return out, nil
}

// Mask stands for what is not shown.
const Mask = "<secret value redacted>"

var secretWords = regexp.MustCompile(`(?i)(password|secret|token|private_key|^key$|passphrase)`)

// hideSecrets hides the properties that are secrets by their names; names and ids of such things are none.
func hideSecrets(m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if secretWords.MatchString(k) && !strings.HasSuffix(k, "_id") && !strings.HasSuffix(k, "_name") {
			v = Mask
		}
		out[k] = v
	}
	return out
}

var locationName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

func (s storedLocations) Put(ctx context.Context, l LocationInfo, create bool) error {
	if !locationName.MatchString(l.Name) {
		return &Error{Kind: KindUser, Msg: fmt.Sprintf("%q cannot be the name of a location", l.Name)}
	}
	if slices.ContainsFunc(s.configured(), func(c LocationInfo) bool { return c.Name == l.Name }) {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("the location %q is the configuration's", l.Name), Hint: "change it there"}
	}
	if s.l.opts.Locations != nil {
		if err := s.l.opts.Locations.Check(l); err != nil {
			return err
		}
	}
	if s.l.opts.Cipher == nil {
		return errNoKey
	}
	return storeError(s.l.store.Update(ctx, func(tx state.Tx) error {
		old, found, err := state.Find[StoredLocation](tx, placeKey(l.Name))
		switch {
		case err != nil:
			return err
		case create && found:
			return &Error{Kind: KindConflict, Msg: fmt.Sprintf("the location %q exists already", l.Name)}
		case !create && !found:
			return noLocation(l.Name)
		}
		known := &LocationInfo{}
		if found {
			if known, err = unseal(old, s.l.opts.Cipher); err != nil {
				return err
			}
		}
		sealed, err := s.seal(l, known.Properties)
		if err != nil {
			return err
		}
		return state.Put(tx, placeKey(l.Name), StoredLocation{l.Name, l.Plugin, sealed})
	}))
}

// seal encrypts a location's properties. One that was sent back as it is shown, masked, stays what it was.
func (s storedLocations) seal(l LocationInfo, before map[string]any) ([]byte, error) {
	properties := maps.Clone(l.Properties)
	for name, v := range properties {
		if v != Mask {
			continue
		}
		old, known := before[name]
		if !known {
			return nil, &Error{Kind: KindUser, Msg: fmt.Sprintf("the property %q of the location %q is only the mask of a secret", name, l.Name), Hint: "give its value"}
		}
		properties[name] = old
	}
	plain, err := json.Marshal(properties)
	if err != nil {
		return nil, &Error{Kind: KindUser, Msg: "the location's properties cannot be stored", Err: err}
	}
	sealed, err := s.l.opts.Cipher.Seal(plain)
	if err != nil {
		return nil, &Error{Kind: KindInternal, Msg: "cannot encrypt the location", Err: err}
	}
	return sealed, nil
}

func noLocation(name string) error {
	return &Error{Kind: KindNotFound, Msg: fmt.Sprintf("there is no location %q", name), Err: ErrNotFound}
}

func (s storedLocations) Remove(ctx context.Context, name string) error {
	if slices.ContainsFunc(s.configured(), func(c LocationInfo) bool { return c.Name == name }) {
		return &Error{Kind: KindConflict, Msg: fmt.Sprintf("the location %q is the configuration's", name), Hint: "remove it there"}
	}
	using, err := s.l.Deployments(ctx)
	if err != nil {
		return err
	}
	for _, d := range using {
		if d.Location == name && Status(d.Status) != StatusUndeployed {
			return &Error{Kind: KindConflict, Msg: fmt.Sprintf("the location %q is used by the deployment %q", name, d.Name), Hint: "undeploy it first: without the location nothing of it could be removed"}
		}
	}
	return storeError(s.l.store.Update(ctx, func(tx state.Tx) error {
		_, found, err := state.Find[StoredLocation](tx, placeKey(name))
		if err == nil && !found {
			err = noLocation(name)
		}
		if err != nil {
			return err
		}
		return tx.Delete(placeKey(name))
	}))
}
