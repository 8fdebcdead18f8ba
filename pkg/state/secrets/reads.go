package secrets

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/state"
)

// Read is an entry of the audit: who was given the value of what.
type Read struct {
	Time    time.Time `json:"time"`
	Secret  string    `json:"secret"`            // name, or reference to an external one
	Version int       `json:"version,omitempty"` // 0 for external ones
	Of      string    `json:"of,omitempty"`      // the tenant that owns it
	// Tenant and User who read it; Deployment and Task that used it.
	Tenant     string `json:"tenant"`
	User       string `json:"user,omitempty"`
	Deployment string `json:"deployment,omitempty"`
	Task       string `json:"task,omitempty"`
}

// maxSeen bounds what is remembered of reads by deployments.
const maxSeen = 10_000

// audit stores a read; if that fails the value must not be handed out. A deployment that reads a version again and again is noted once.
// What orch made itself and uses in a task is not noted: nobody gets it.
func (s *Store) audit(ctx context.Context, r Read) error {
	a := ActorOf(ctx)
	r.Tenant, r.User, r.Deployment, r.Task = a.Tenant, a.User, a.Deployment, a.Task
	if r.Of == OwnTenant && r.Task != "" {
		return nil
	}
	if r.Deployment != "" && s.noted(r) {
		return nil
	}
	same := r
	r.Time = time.Now().UTC()
	key := state.Join("secretread", r.Time.Format(time.DateOnly), state.Num(uint64(r.Time.UnixNano()))+"-"+rand.Text()[:8])
	if err := s.store.Update(ctx, func(tx state.Tx) error { return state.Put(tx, key, r) }); err != nil {
		if !HasActor(ctx) {
			return nil // who runs the process has the store and its key: on a full disk they may still read
		}
		return fmt.Errorf("cannot note that the secret %s was read, so it is not: %w", r.Secret, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) >= maxSeen {
		clear(s.seen)
	}
	s.seen[same] = true
	return nil
}

func (s *Store) noted(r Read) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[r]
}

// ReadFilter chooses from the audit; zero fields choose all.
type ReadFilter struct {
	Secret, User, Deployment string
	Since                    time.Time
	Last                     int // the newest; 0 is 1000
}

const defaultReads = 1000

// Reads returns the audit of the actor's tenant, of its own secrets and of what it has read of others, oldest first.
func (s *Store) Reads(ctx context.Context, f ReadFilter) ([]Read, error) {
	a := ActorOf(ctx)
	if f.Last <= 0 {
		f.Last = defaultReads
	}
	out := []Read{}
	days, err := s.days(ctx)
	if err != nil {
		return nil, err
	}
	for _, day := range slices.Backward(days) { // newest first, so that a long audit is not read in full
		if len(out) >= f.Last || !f.Since.IsZero() && day < f.Since.UTC().Format(time.DateOnly) {
			break
		}
		found, err := s.readsOf(ctx, day, func(r Read) bool {
			own := r.Tenant == a.Tenant || r.Of == a.Tenant
			return own && (f.Secret == "" || f.Secret == r.Secret) && (f.User == "" || f.User == r.User) &&
				(f.Deployment == "" || f.Deployment == r.Deployment) && !r.Time.Before(f.Since)
		})
		if err != nil {
			return nil, err
		}
		out = append(append([]Read{}, found...), out...)
	}
	return out[max(0, len(out)-f.Last):], nil
}

func (s *Store) days(ctx context.Context) (days []string, err error) {
	err = s.store.View(ctx, func(tx state.Tx) error {
		days = nil
		for key, err := range tx.Keys(readsPrefix) {
			if err != nil {
				return err
			}
			day, _, _ := strings.Cut(strings.TrimPrefix(key, readsPrefix), "/")
			if len(days) == 0 || days[len(days)-1] != day {
				days = append(days, day)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the audit of secrets: %w", err)
	}
	return days, nil
}

func (s *Store) readsOf(ctx context.Context, day string, want func(Read) bool) (found []Read, err error) {
	err = s.store.View(ctx, func(tx state.Tx) error {
		found = nil
		for r, err := range state.List[Read](tx, state.Prefix("secretread", day)) {
			if err != nil {
				return err
			}
			if want(r.Value) {
				found = append(found, r.Value)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the audit of secrets: %w", err)
	}
	return found, nil
}

// PruneReads removes the audit of days before the given time.
func (s *Store) PruneReads(ctx context.Context, before time.Time) error {
	days, err := s.days(ctx)
	for _, day := range days {
		if err != nil || day >= before.UTC().Format(time.DateOnly) {
			break
		}
		err = s.store.Update(ctx, func(tx state.Tx) error { return tx.DeletePrefix(state.Prefix("secretread", day)) })
	}
	if err != nil {
		return fmt.Errorf("cannot shorten the audit of secrets: %w", err)
	}
	return nil
}
