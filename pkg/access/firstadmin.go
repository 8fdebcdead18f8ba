package access

import (
	"context"
	"encoding/base64"
	"errors"
	"regexp"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// FirstAdmin is a user with a password, or the argon2id hash of one.
type FirstAdmin struct {
	Name     string
	Password string
	Hash     string // PHC string
}

var argonHash = regexp.MustCompile(`^\$argon2id\$v=19\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)

// EnsureAdmin makes the first admin of a server that has none, and reports whether it did. A server that has one is left alone, whoever that is.
func (a *Accounts) EnsureAdmin(ctx context.Context, first FirstAdmin) (made bool, err error) {
	if !validUser(first.Name) {
		return false, wrong("", "%q is no name for a user", first.Name)
	}
	hash := first.Hash
	if hash == "" {
		if err := checkPassword(first.Password); err != nil {
			return false, err
		}
		hash = hashPassword(first.Password)
	} else if err := checkHash(hash); err != nil {
		return false, err
	}
	err = a.store.Update(ctx, func(tx state.Tx) error {
		made = false
		for r, err := range state.List[userRecord](tx, userPrefix) {
			if err != nil || r.Value.Admin {
				return err
			}
		}
		r, found, err := state.Find[userRecord](tx, userKey(first.Name))
		if err != nil {
			return err
		}
		if !found {
			r = userRecord{User: orch.User{Name: first.Name, Created: a.now()}}
		}
		r.Admin, r.Disabled, r.Hash, r.Updated, r.Version = true, false, hash, a.now(), r.Version+1
		if _, err := tx.Get(bootKey); err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		made = true
		return errors.Join(state.Put(tx, bootKey, bootRecord{first.Name}), state.Put(tx, userKey(first.Name), r))
	})
	return made && err == nil, failure(err)
}

// checkHash refuses what no password would ever match.
func checkHash(phc string) error {
	m := argonHash.FindStringSubmatch(phc)
	ok := m != nil
	for _, part := range m[min(1, len(m)):] {
		_, err := base64.RawStdEncoding.DecodeString(part)
		ok = ok && err == nil
	}
	if !ok {
		return wrong("it begins with $argon2id$v=19$m=", "the hash of the first admin's password is no argon2id hash")
	}
	return nil
}
