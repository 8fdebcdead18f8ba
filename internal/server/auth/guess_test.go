package auth

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/orch-project/orch/pkg/orch"
)

// guess tries a password from an address.
func guess(a *Authenticator, from, user, password string) error {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = from + ":5"
	r.SetBasicAuth(user, password)
	_, err := a.Identify(r)
	return err
}

// Who guesses passwords waits. Nobody else does: not other users behind the same address, not tokens, not who is right.
func TestGuessingIsSlowedDown(t *testing.T) {
	accounts := newAccounts(t, orch.NewUser{Name: "bob", Password: "correct horse"}, orch.NewUser{Name: "alice", Password: "battery staple"})
	token, err := accounts.CreateToken(t.Context(), orch.NewToken{User: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	a := New(Options{Accounts: accounts})
	const here = "192.0.2.1"
	for range userBurst {
		if err := guess(a, here, "bob", "wrong horse"); !refusedAs(err) || errors.Is(err, ErrTooMany) {
			t.Fatalf("too early: %v", err)
		}
	}
	var many *TooManyError
	if err := guess(a, here, "bob", "correct horse"); !errors.As(err, &many) || many.Wait <= 0 || many.Wait > userPace || many.Seconds() < 1 {
		t.Errorf("the next guess: %v, %+v", err, many)
	}
	if err := guess(a, here, "alice", "battery staple"); err != nil {
		t.Errorf("another user behind the address: %v", err)
	}
	if err := guess(a, "192.0.2.77", "bob", "correct horse"); err != nil {
		t.Errorf("the user from another address: %v", err)
	}
	for range 3 * addressBurst {
		if _, err := ask(a, "Authorization", "Bearer orch_x"); !refusedAs(err) || errors.Is(err, ErrTooMany) {
			t.Fatalf("a token that is none: %v", err)
		}
		if _, err := ask(a, "Authorization", "Bearer "+token.Secret); err != nil {
			t.Fatalf("a good token: %v", err)
		}
		if err := guess(a, "192.0.2.78", "bob", "correct horse"); err != nil {
			t.Fatalf("who is right is not slowed down: %v", err)
		}
	}
}

// One password tried with many names is guessing too.
func TestGuessingOfManyUsersIsSlowedDown(t *testing.T) {
	g := newGuesses()
	for i := range addressBurst {
		if wait := g.wait("a", fmt.Sprint(i)); wait > 0 {
			t.Fatalf("after %d: %s", i, wait)
		}
		g.failed("a", fmt.Sprint(i))
	}
	if wait := g.wait("a", "another"); wait <= 0 || wait > addressPace {
		t.Errorf("the next one waits %s", wait)
	}
	if wait := g.wait("b", "0"); wait > 0 {
		t.Errorf("another address waits %s", wait)
	}
	if s := (&TooManyError{1500 * time.Millisecond}).Seconds(); s != 2 {
		t.Errorf("Retry-After: %d", s)
	}
}

func TestGuessesAreBounded(t *testing.T) {
	g := newGuesses()
	for i := range maxGuessers {
		g.failed(fmt.Sprint(i), "u")
	}
	if len(g.made) > maxGuessers {
		t.Errorf("%d are remembered", len(g.made))
	}
}
