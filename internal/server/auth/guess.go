package auth

import (
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Passwords can be guessed, so failing is slowed down: of one user from one address, and of all users from one address, for who tries one
// password with many names. A client with an old password in its configuration therefore stops neither the others behind its address nor, for
// long, itself. Tokens have 256 random bits and certificates are signed: they are never slowed down.
const (
	userBurst    = 10
	userPace     = 6 * time.Second
	addressBurst = 50
	addressPace  = time.Second
	maxGuessers  = 10_000
)

// ErrTooMany is what a TooManyError is.
var ErrTooMany = errors.New("too many failed attempts")

// TooManyError refuses a password unseen.
type TooManyError struct{ Wait time.Duration }

func (e *TooManyError) Error() string        { return ErrTooMany.Error() }
func (e *TooManyError) Is(target error) bool { return target == ErrTooMany }

// Seconds to wait, for Retry-After.
func (e *TooManyError) Seconds() int { return max(1, int(math.Ceil(e.Wait.Seconds()))) }

// guesser is an address and the user whose password it tries, or "" for all users.
type guesser struct{ address, user string }

// guesses counts failures.
type guesses struct {
	mu   sync.Mutex
	made map[guesser]*rate.Limiter
}

func newGuesses() *guesses { return &guesses{made: map[guesser]*rate.Limiter{}} }

// wait is how long an address must not try a password of the user.
func (g *guesses) wait(address, user string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	most := time.Duration(0)
	for _, k := range []guesser{{address, user}, {address, ""}} {
		if l := g.made[k]; l != nil {
			if lacking := 1 - l.Tokens(); lacking > 0 {
				most = max(most, time.Duration(lacking/float64(l.Limit())*float64(time.Second)))
			}
		}
	}
	return most
}

func (g *guesses) failed(address, user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(guesser{address, user}, userPace, userBurst)
	g.count(guesser{address, ""}, addressPace, addressBurst)
}

func (g *guesses) count(k guesser, pace time.Duration, burst int) {
	l := g.made[k]
	if l == nil {
		if len(g.made) >= maxGuessers {
			g.prune()
		}
		l = rate.NewLimiter(rate.Every(pace), burst)
		g.made[k] = l
	}
	l.Allow()
}

// prune forgets who has not failed for long, or all if every one has.
func (g *guesses) prune() {
	for k, l := range g.made {
		if l.Tokens() >= float64(l.Burst()) {
			delete(g.made, k)
		}
	}
	if len(g.made) >= maxGuessers {
		clear(g.made)
	}
}
