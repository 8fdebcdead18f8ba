package auth

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/orch-project/orch/pkg/orch"
)

// faulty reaches the provider, or not.
type faulty struct {
	away  atomic.Bool
	asked atomic.Int64
}

func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	f.asked.Add(1)
	if f.away.Load() {
		return nil, errors.New("no route to host")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// A provider that cannot be asked for new keys is the server's trouble, not the client's: its token may be good. Tokens with keys that are
// known go on.
func TestOIDCProviderAwayWhenKeysChange(t *testing.T) {
	provider, way := newIssuer(t), &faulty{}
	v, err := NewOIDC(OIDCOptions{Issuer: provider.URL, Audience: "orch", Client: &http.Client{Transport: way}})
	if err != nil {
		t.Fatal(err)
	}
	a := New(Options{Accounts: newAccounts(t), OIDC: v})
	known := "Bearer " + provider.token(t, provider.key, nil)
	if _, err := ask(a, "Authorization", known); err != nil {
		t.Fatal(err)
	}
	way.away.Store(true)
	if _, err := ask(a, "Authorization", known); err != nil {
		t.Errorf("a known key, with the provider away: %v", err)
	}
	other := newIssuer(t)
	fresh := "Bearer " + provider.token(t, other.key, nil) // signed with a key that the provider may have by now
	var failed *orch.Error
	if _, err := ask(a, "Authorization", fresh); !errors.As(err, &failed) || failed.Kind != orch.KindStore {
		t.Errorf("a key that is not known, with the provider away: %v", err)
	}
	way.away.Store(false)
	if _, err := ask(a, "Authorization", fresh); !refusedAs(err) {
		t.Errorf("the provider does not have that key: %v", err)
	}
}

// Tokens with invented keys make the server ask the provider; not more often than it can bear.
func TestOIDCProviderIsNotFlooded(t *testing.T) {
	provider, way, stranger := newIssuer(t), &faulty{}, newIssuer(t)
	v, err := NewOIDC(OIDCOptions{Issuer: provider.URL, Audience: "orch", Client: &http.Client{Transport: way}})
	if err != nil {
		t.Fatal(err)
	}
	a := New(Options{Accounts: newAccounts(t), OIDC: v})
	invented := "Bearer " + provider.token(t, stranger.key, nil)
	for range 10 * askBurst {
		if _, err := ask(a, "Authorization", invented); err == nil {
			t.Fatal("it is let in")
		}
	}
	if n := way.asked.Load(); n > 5*askBurst {
		t.Errorf("the provider was asked %d times", n)
	}
	if _, err := ask(a, "Authorization", "Bearer "+provider.token(t, provider.key, nil)); err != nil {
		t.Errorf("a good token meanwhile: %v", err)
	}
}

// A provider that cannot be reached at all is not waited for by one request after the other.
func TestOIDCProviderAwayIsAskedOnce(t *testing.T) {
	way := &faulty{}
	way.away.Store(true)
	v, err := NewOIDC(OIDCOptions{Issuer: "http://login.example", Audience: "orch", Client: &http.Client{Transport: way}})
	if err != nil {
		t.Fatal(err)
	}
	a := New(Options{Accounts: newAccounts(t), OIDC: v})
	for range 5 {
		if _, err := ask(a, "Authorization", "Bearer a.b.c"); err == nil || refusedAs(err) {
			t.Errorf("a provider that is away: %v", err)
		}
	}
	if n := way.asked.Load(); n >= 5 {
		t.Errorf("it was asked %d times", n)
	}
}
