package consul

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/pkg/state"
)

// leaseRecord is the value of lease/<key>. It stays when the lease is given back, for the generation.
type leaseRecord struct {
	state.Holder
	Nonce string `json:"nonce"` // of this taking
}

func (s *Store) leaseKey(key string) string { return s.root + "lease/" + key }

// token is what a lease knows of how it is held.
type token struct {
	store   *Store
	session *session
}

// Lease implements state.Store.
func (s *Store) Lease(ctx context.Context, key string, opts state.LeaseOptions) (*state.Lease, error) {
	ctx, cancel := s.during(ctx)
	defer cancel()
	if err := state.CheckKey(key); err != nil {
		return nil, err
	}
	s.live.look(s)
	defer s.live.taking(key)()
	opts = opts.Defaults()
	opts.TTL = max(opts.TTL, time.Second)
	var deadline <-chan time.Time
	if opts.Wait > 0 {
		t := time.NewTimer(opts.Wait)
		defer t.Stop()
		deadline = t.C
	}
	for n := 0; ; n++ {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		l, index, err := s.take(ctx, key, opts)
		switch {
		case err == nil:
			return l, nil
		case errors.Is(err, errTryAgain):
			if err := pause(ctx, min(n, 2)); err != nil {
				return nil, err
			}
			continue
		case !errors.Is(err, state.ErrHeld) || opts.Wait == 0:
			return nil, err
		}
		if waitErr := s.untilChanged(ctx, s.leaseKey(key), index, deadline); waitErr != nil {
			if errors.Is(waitErr, errDeadline) {
				return nil, err
			}
			return nil, errors.Join(waitErr, err)
		}
	}
}

var (
	errTryAgain = errors.New("try again")
	errDeadline = errors.New("waited long enough")
)

// take tries once. With ErrHeld it returns the index of the record, to wait for its next change.
func (s *Store) take(ctx context.Context, key string, opts state.LeaseOptions) (*state.Lease, uint64, error) {
	pair, err := s.readLease(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	op := &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: s.leaseKey(key)}
	var last leaseRecord
	if pair != nil {
		last = decodeLease(key, pair)
		if pair.Session != "" && !s.live.stray(key, pair.Session, opts.TTL) {
			return nil, pair.ModifyIndex, &state.HeldError{Holder: last.Holder}
		}
		op = &api.KVTxnOp{Verb: api.KVCheckIndex, Key: s.leaseKey(key), Index: pair.ModifyIndex}
	}
	x, err := s.live.session(ctx, s, opts.TTL)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot take the lease on %s: %w", key, err)
	}
	rec := leaseRecord{Nonce: rand.Text(), Holder: state.Holder{Key: key, Owner: opts.Owner, Host: opts.Host, PID: os.Getpid(),
		Since: time.Now().UTC(), Generation: last.Generation + 1}}
	value, err := json.Marshal(rec)
	if err != nil {
		return nil, 0, err
	}
	ops := []*api.KVTxnOp{op, {Verb: api.KVLock, Key: s.leaseKey(key), Value: value, Session: x.id}}
	ok, _, _, err := s.client.Txn().Txn(txnOf(ops), s.read(ctx))
	if err != nil && !unsent(err) { // it may have been done
		now, readErr := s.readLease(ctx, key)
		if readErr != nil {
			return nil, 0, readErr // if it was, it is a stray for the next who asks
		}
		ok = now != nil && now.Session == x.id && decodeLease(key, now).Nonce == rec.Nonce
	} else if err != nil && !transient(err) {
		return nil, 0, s.unavailable(err)
	}
	if !ok {
		return nil, 0, errTryAgain
	}
	return s.hold(x, rec.Holder)
}

// hold makes the lease of a record that this process has locked.
func (s *Store) hold(x *session, h state.Holder) (*state.Lease, uint64, error) {
	var l *state.Lease
	l = state.NewLease(h, token{s, x}, func(ctx context.Context) error { return s.release(ctx, x, l) })
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.leases[h.Key]; old != nil {
		old.Lose(errBroken) // it was broken, or it could not have been taken
	}
	if x.ended != nil {
		return nil, 0, errTryAgain
	}
	x.leases[h.Key] = l
	return l, 0, nil
}

func (s *Store) readLease(ctx context.Context, key string) (pair *api.KVPair, err error) {
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		pair, _, err = s.client.KV().Get(s.leaseKey(key), s.read(ctx))
		return err
	})
	return pair, err
}

func decodeLease(key string, pair *api.KVPair) leaseRecord {
	var r leaseRecord
	if json.Unmarshal(pair.Value, &r) != nil || r.Generation == 0 {
		r = leaseRecord{Holder: state.Holder{Owner: "unknown", Generation: pair.LockIndex}}
	}
	r.Key = key
	return r
}

// untilChanged waits for a key to change after an index: those of the dead do when they are freed. When many wait already it returns after
// about a second, for another look.
func (s *Store) untilChanged(ctx context.Context, key string, index uint64, deadline <-chan time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if deadline != nil {
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-deadline:
				cancel(errDeadline)
			case <-stop:
			}
		}()
	}
	select {
	case s.waits <- struct{}{}:
		defer func() { <-s.waits }()
	default:
		return pause(ctx, 10)
	}
	return s.retry(ctx, func(ctx context.Context) error {
		q := s.read(ctx)
		q.WaitIndex, q.WaitTime = index, 20*time.Second
		_, _, err := s.client.KV().Get(key, q)
		return err
	})
}

func (s *Store) release(ctx context.Context, x *session, l *state.Lease) error {
	x.mu.Lock()
	if x.leases[l.Key()] == l {
		delete(x.leases, l.Key())
	}
	ended := x.ended
	x.mu.Unlock()
	if ended != nil {
		return nil
	}
	ctx, cancel := s.during(ctx)
	defer cancel()
	return s.unlock(ctx, l.Key(), func(pair *api.KVPair) bool {
		return pair.Session == x.id && decodeLease(l.Key(), pair).Generation == l.Generation()
	})
}

// unlock frees a lease if the record is the one that is meant. Its outcome does not depend on how often it is tried.
func (s *Store) unlock(ctx context.Context, key string, meant func(*api.KVPair) bool) error {
	for n := 0; ; n++ {
		pair, err := s.readLease(ctx, key)
		if err != nil || pair == nil || pair.Session == "" || !meant(pair) {
			return err
		}
		ops := []*api.KVTxnOp{
			{Verb: api.KVCheckIndex, Key: pair.Key, Index: pair.ModifyIndex},
			{Verb: api.KVUnlock, Key: pair.Key, Value: pair.Value, Session: pair.Session},
		}
		ok, _, _, err := s.client.Txn().Txn(txnOf(ops), s.read(ctx))
		if ok && err == nil {
			return nil
		}
		if err != nil && !transient(err) {
			return s.unavailable(err)
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

// BreakLease implements state.Store. Its holder is fenced at once, and told within a fifth of its TTL.
func (s *Store) BreakLease(ctx context.Context, key string) error {
	ctx, cancel := s.during(ctx)
	defer cancel()
	first := true
	var session string
	err := s.unlock(ctx, key, func(pair *api.KVPair) bool {
		if first {
			first, session = false, pair.Session+string(pair.Value)
		}
		return session == pair.Session+string(pair.Value) // not the next holder's
	})
	if err != nil || first {
		return err
	}
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for _, x := range s.live.sessions { // of this process: tell it now
		x.mu.Lock()
		l := x.leases[key]
		x.mu.Unlock()
		if l != nil && strings.HasPrefix(session, x.id) {
			x.lose(key, l, errBroken)
		}
	}
	return nil
}

// Holders implements state.Store.
func (s *Store) Holders(ctx context.Context, prefix string) ([]state.Holder, error) {
	ctx, cancel := s.during(ctx)
	defer cancel()
	s.live.look(s)
	var pairs api.KVPairs
	if err := s.retry(ctx, func(ctx context.Context) (err error) {
		pairs, _, err = s.client.KV().List(s.leaseKey(prefix), s.read(ctx))
		return err
	}); err != nil {
		return nil, err
	}
	var hs []state.Holder
	for _, p := range pairs {
		if p.Session != "" {
			hs = append(hs, decodeLease(strings.TrimPrefix(p.Key, s.root+"lease/"), p).Holder)
		}
	}
	return hs, nil
}

// fence returns the operation that checks a lease in a transaction.
func (v *liveness) fence(s *Store, l *state.Lease) (*api.KVTxnOp, error) {
	if l == nil {
		return nil, fmt.Errorf("no lease: %w", state.ErrFenced)
	}
	if err := l.Err(); err != nil {
		return nil, err
	}
	t, ok := l.Token().(token)
	if !ok || t.store != s {
		return nil, fmt.Errorf("%s: a lease of another store: %w", l.Key(), state.ErrFenced)
	}
	return &api.KVTxnOp{Verb: api.KVCheckSession, Key: s.leaseKey(l.Key()), Session: t.session.id}, nil
}
