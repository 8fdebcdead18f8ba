package access

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state"
)

// A token's text is "orch_<id>_<secret>": the prefix lets scanners for leaked credentials find it, the id finds the record.
const tokenMark = "orch_"

type tokenRecord struct {
	orch.Token
	Hash string `json:"hash"` // SHA-256 of the secret: it has 256 random bits, there is nothing to slow down guessing of
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

func (a *Accounts) issue(t orch.NewToken) (orch.IssuedToken, tokenRecord) {
	id, secret := hex.EncodeToString(random(8)), base64.RawURLEncoding.EncodeToString(random(32))
	life := time.Duration(t.Seconds) * time.Second
	if t.Seconds == 0 {
		life = orch.DefaultTokenLife
	}
	token := orch.Token{ID: id, User: t.User, Note: t.Note, Tenant: t.Tenant, Role: t.Role, Created: a.now()}
	if life > 0 {
		token.Expires = a.now().Add(life)
	}
	sum := sha256.Sum256([]byte(secret))
	return orch.IssuedToken{Token: token, Secret: tokenMark + id + "_" + secret}, tokenRecord{Token: token, Hash: hex.EncodeToString(sum[:])}
}

// maxTokenLife keeps the arithmetic of times sound.
const maxTokenLife = 100 * 365 * 24 * 3600

// CreateToken implements orch.Accounts.
func (a *Accounts) CreateToken(ctx context.Context, t orch.NewToken) (orch.IssuedToken, error) {
	if t.User == "" {
		id, _ := orch.IdentityOf(ctx)
		t.User = id.User
	}
	if t.Role != "" {
		if err := checkRole(t.Role); err != nil {
			return orch.IssuedToken{}, err
		}
	}
	if t.Seconds > maxTokenLife || len(t.Note) > 1024 {
		return orch.IssuedToken{}, wrong("", "a token lives 100 years at most, and its note has 1024 bytes at most")
	}
	issued, record := a.issue(t)
	err := a.store.Update(ctx, func(tx state.Tx) error {
		if _, err := tx.Get(userKey(t.User)); errors.Is(err, state.ErrNotFound) {
			return missing("user", t.User)
		} else if err != nil {
			return err
		}
		if t.Tenant != "" {
			if err := tenantExists(tx, t.Tenant); err != nil {
				return err
			}
		}
		return state.Put(tx, tokenKey(record.ID), record)
	})
	if err != nil {
		return orch.IssuedToken{}, failure(err)
	}
	return issued, nil
}

func (a *Accounts) tokens(ctx context.Context) ([]tokenRecord, error) {
	var out []tokenRecord
	err := a.store.View(ctx, func(tx state.Tx) error {
		out = nil
		for r, err := range state.List[tokenRecord](tx, tokenPrefix) {
			if err != nil {
				return err
			}
			out = append(out, r.Value)
		}
		return nil
	})
	return out, failure(err)
}

// Tokens implements orch.Accounts.
func (a *Accounts) Tokens(ctx context.Context, user string) ([]orch.Token, error) {
	all, err := a.tokens(ctx)
	out := []orch.Token{}
	for _, t := range all {
		if user == "" || t.User == user {
			out = append(out, t.Token)
		}
	}
	slices.SortFunc(out, func(x, y orch.Token) int { return cmp.Or(x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID)) })
	return out, err
}

// RevokeToken implements orch.Accounts.
func (a *Accounts) RevokeToken(ctx context.Context, id string) error {
	return failure(a.store.Update(ctx, func(tx state.Tx) error {
		_, err := tx.Get(tokenKey(id))
		if errors.Is(err, state.ErrNotFound) {
			return missing("token", id)
		}
		return errors.Join(err, tx.Delete(tokenKey(id)))
	}))
}

func (a *Accounts) revoke(ctx context.Context, which func(tokenRecord) bool) error {
	all, err := a.tokens(ctx)
	for _, t := range all {
		if err == nil && which(t) {
			if err = a.RevokeToken(ctx, t.ID); errors.Is(err, orch.ErrNotFound) {
				err = nil
			}
		}
	}
	return err
}

// ErrBadCredentials is wrapped by every failed authentication. What exactly was wrong is nothing the client is told.
var ErrBadCredentials = errors.New("the credentials are not valid")

func refused(hint string) error {
	return &orch.Error{Kind: orch.KindUnauthenticated, Err: ErrBadCredentials, Hint: hint}
}

// ByToken returns the user and token that a token's text belongs to.
func (a *Accounts) ByToken(ctx context.Context, text string) (orch.User, orch.Token, error) {
	rest, ok := strings.CutPrefix(text, tokenMark)
	id, secret, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || len(id) != 16 || len(text) > 128 {
		return orch.User{}, orch.Token{}, refused("")
	}
	var t tokenRecord
	var u userRecord
	err := a.store.View(ctx, func(tx state.Tx) (err error) {
		if t, _, err = state.Get[tokenRecord](tx, tokenKey(id)); err != nil {
			return err
		}
		u, _, err = state.Get[userRecord](tx, userKey(t.User))
		return err
	})
	if errors.Is(err, state.ErrNotFound) {
		return orch.User{}, orch.Token{}, refused("")
	}
	if err != nil {
		return orch.User{}, orch.Token{}, failure(err)
	}
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(t.Hash)) != 1 || u.Disabled {
		return orch.User{}, orch.Token{}, refused("")
	}
	if !t.Expires.IsZero() && !a.now().Before(t.Expires) {
		return orch.User{}, orch.Token{}, refused("the token has expired: make another one with orch tokens create")
	}
	a.touch(ctx, t)
	return u.public(), t.Token, nil
}

// touch notes that a token is in use, once an hour; it is no reason to refuse a request.
func (a *Accounts) touch(ctx context.Context, t tokenRecord) {
	hour := a.now().Truncate(time.Hour)
	if !t.Used.Before(hour) {
		return
	}
	_ = a.store.Update(ctx, func(tx state.Tx) error {
		r, found, err := state.Find[tokenRecord](tx, tokenKey(t.ID))
		if err != nil || !found {
			return err
		}
		r.Used = hour
		return state.Put(tx, tokenKey(t.ID), r)
	})
}

// ErrDisabled is wrapped, besides ErrBadCredentials, where a user is known and may not come in.
var ErrDisabled = errors.New("the user is disabled")

// ByName returns the user that another authority has vouched for: a certificate, or an identity provider.
func (a *Accounts) ByName(ctx context.Context, name string) (orch.User, error) {
	u, err := a.user(ctx, name)
	switch {
	case errors.Is(err, orch.ErrNotFound):
		return orch.User{}, refused("an admin has to add the user " + name)
	case err == nil && u.Disabled:
		return orch.User{}, &orch.Error{Kind: orch.KindUnauthenticated, Err: fmt.Errorf("%w: %w", ErrBadCredentials, ErrDisabled)}
	}
	return u.public(), err
}
