package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/pkg/state"
)

// liveness keeps the sessions of this process, one for each TTL that its leases ask for, and watches those of others.
//
// Consul ends a session only after twice its TTL, which is at least 10 s, so 20 s after the last renewal: too late. Therefore a process with
// leases also changes a key, its beat, every fifth of the TTL. Every process with an interest in leases looks at all beats; whose beat has not changed for the TTL,
// by the looker's own clock from the answer that first showed it to the asking of one that still did, is dead: its session is destroyed, which frees
// its leases. Looks that fail between the two do not matter, so a cluster without a leader most of the time does not keep the dead alive. The holder
// itself gives up a little earlier, when it has not been able to change its beat for nine tenths of the TTL:
//
//	beat written   ├──────── 0.9 TTL ────────▶ Lost is closed
//	beat seen        ├───────── 1.0 TTL ─────────▶ session destroyed, leases free
type liveness struct {
	mu       sync.Mutex
	sessions map[time.Duration]*session
	making   map[time.Duration]chan struct{} // closed when the attempt is over
	takers   map[string]int                  // calls of Lease that are under way, by key
	looking  bool
	closed   bool
}

func (v *liveness) init() {
	v.sessions = make(map[time.Duration]*session)
	v.making = make(map[time.Duration]chan struct{})
	v.takers = make(map[string]int)
}

// taking notes a call of Lease until the returned function is called.
func (v *liveness) taking(key string) (over func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.takers[key]++
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.takers[key]--; v.takers[key] == 0 {
			delete(v.takers, key)
		}
	}
}

// stray reports whether the only taker of a key finds it locked by its own session without a lease that anybody here has: a transaction whose reply was
// lost was done after all, later than somebody looked. Locking it once more makes it a lease; nobody else would free it while this process
// lives.
func (v *liveness) stray(key, session string, ttl time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	x := v.sessions[ttl]
	if x == nil || x.id != session || v.takers[key] != 1 {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended == nil && x.leases[key] == nil
}

// session is one of Consul's sessions of this process.
type session struct {
	id  string
	ttl time.Duration

	mu     sync.Mutex
	leases map[string]*state.Lease // by key
	ended  error
	stop   context.CancelFunc
}

// beat is the record under beat/<session>.
type beat struct {
	TTL  time.Duration `json:"ttl"`
	N    uint64        `json:"n"`
	Host string        `json:"host"`
	PID  int           `json:"pid"`
}

func (s *Store) beatKey(id string) string { return s.root + "beat/" + id }

// look starts looking for the dead, if that is not done already: who wants a lease, or asks who has one, has an interest in its holder.
func (v *liveness) look(s *Store) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.looking && !v.closed {
		v.looking = true
		s.tasks.Go(s.lookForDead)
	}
}

// session returns the live session for a TTL, making one if there is none.
func (v *liveness) session(ctx context.Context, s *Store, ttl time.Duration) (*session, error) {
	for {
		v.mu.Lock()
		if v.closed {
			v.mu.Unlock()
			return nil, state.ErrClosed
		}
		if x := v.sessions[ttl]; x != nil && x.err() == nil {
			v.mu.Unlock()
			return x, nil
		}
		if making := v.making[ttl]; making != nil {
			v.mu.Unlock()
			select {
			case <-making:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			continue
		}
		done := make(chan struct{})
		v.making[ttl] = done
		v.mu.Unlock()

		x, err := s.newSession(ctx, ttl)

		v.mu.Lock()
		delete(v.making, ttl)
		close(done)
		if err == nil && v.closed {
			err = state.ErrClosed
			go s.destroy(x.id)
		}
		if err == nil {
			v.sessions[ttl] = x
			x.keep(s)
		}
		v.mu.Unlock()
		return x, err
	}
}

func (s *Store) newSession(ctx context.Context, ttl time.Duration) (*session, error) {
	host, _ := os.Hostname()
	node, err := s.sessionNode(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot make a session: %w", err)
	}
	entry := &api.SessionEntry{
		Name:      fmt.Sprintf("orch process %d on %s", os.Getpid(), host),
		TTL:       max(ttl, 10*time.Second).String(),
		Behavior:  api.SessionBehaviorRelease,
		LockDelay: time.Millisecond, // 0 would mean Consul's default of 15 s; what it protects from, fences do
		Node:      node,
	}
	x := &session{ttl: ttl, leases: make(map[string]*state.Lease)}
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		x.id, _, err = s.client.Session().CreateNoChecks(entry, s.write(ctx)) // a lost reply leaves a session that expires
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make a session: %w", err)
	}
	err = s.retry(ctx, func(ctx context.Context) error { return s.beat(ctx, x, 0) })
	if err != nil {
		go s.destroy(x.id)
		return nil, fmt.Errorf("cannot make a session: %w", err)
	}
	return x, nil
}

// leaseNode is the node of Consul's catalog that has the sessions.
const leaseNode = "orch-leases"

// sessionNode registers the node that sessions belong to and returns its name. A session ends with its node, and without this that would be
// the server or agent of Consul that was asked: Consul forgets a dead server after a few seconds, with all leases of those who had asked it.
// A token that may not write nodes has to live with that: "" is the node of the agent.
func (s *Store) sessionNode(ctx context.Context) (string, error) {
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.client.Catalog().Register(&api.CatalogRegistration{Node: leaseNode, Address: "127.0.0.1",
			NodeMeta: map[string]string{"external-node": "true", "external-probe": "false"}}, s.write(ctx))
		return err
	})
	var refused *statusError
	switch {
	case errors.As(err, &refused) && !transient(refused):
		return "", nil
	case err != nil:
		return "", err
	}
	return leaseNode, nil
}

// beat changes the beat. It is locked with the session, so it cannot be changed any more when that is over.
func (s *Store) beat(ctx context.Context, x *session, n uint64) error {
	host, _ := os.Hostname()
	value, err := json.Marshal(beat{x.ttl, n, host, os.Getpid()})
	if err != nil {
		return err
	}
	ok, _, err := s.client.KV().Acquire(&api.KVPair{Key: s.beatKey(x.id), Value: value, Session: x.id}, s.write(ctx))
	switch {
	case err != nil && invalidSession(err):
		return errSessionGone
	case err != nil:
		return err
	case !ok:
		return errSessionGone
	}
	return nil
}

var (
	errSessionGone = errors.New("the session was ended by Consul: another process took this one for dead, or an operator destroyed it")
	errSilent      = errors.New("no contact with Consul for too long")
	errBroken      = errors.New("broken by an operator, or taken over")
)

func (x *session) err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended
}

// end loses all leases of the session.
func (x *session) end(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended != nil {
		return
	}
	x.ended = cause
	x.stop()
	for _, l := range x.leases {
		l.Lose(cause)
	}
	clear(x.leases)
}

// keep keeps the session alive in the background.
func (x *session) keep(s *Store) {
	ctx, cancel := context.WithCancel(s.ctx)
	x.stop = cancel
	silent := time.AfterFunc(x.ttl*9/10, func() {
		x.end(errSilent)
		s.destroy(x.id) // in case it is only slow: others need not wait
	})
	s.tasks.Go(func() {
		defer cancel()
		defer silent.Stop()
		every := x.ttl / 5
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := uint64(1); ; n++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			began := time.Now()
			call, done := context.WithTimeout(ctx, max(every, time.Second))
			err := s.beat(call, x, n)
			if err == nil && silent.Stop() {
				silent.Reset(x.ttl*9/10 - time.Since(began))
			}
			if err == nil {
				// What follows is not urgent: the session's own time is long, and fences do not wait for the look at the leases.
				_, _, _ = s.client.Session().Renew(x.id, s.write(call))
				s.lookAtOwn(call, x)
			}
			done()
			if errors.Is(err, errSessionGone) {
				x.end(err)
				return
			}
		}
	})
}

// lookAtOwn finds leases that were broken.
func (s *Store) lookAtOwn(ctx context.Context, x *session) {
	x.mu.Lock()
	mine := make(map[string]*state.Lease, len(x.leases))
	for k, l := range x.leases {
		mine[k] = l
	}
	x.mu.Unlock()
	if len(mine) == 0 {
		return
	}
	pairs, _, err := s.client.KV().List(s.root+"lease/", s.read(ctx))
	if err != nil {
		return
	}
	for _, p := range pairs {
		if p.Session == x.id {
			delete(mine, p.Key[len(s.root+"lease/"):])
		}
	}
	for k, l := range mine {
		x.lose(k, l, errBroken)
	}
}

func (x *session) lose(key string, l *state.Lease, cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.leases[key] == l {
		delete(x.leases, key)
	}
	l.Lose(cause)
}

// destroy ends a session, its own or a dead one's, and removes its beat.
func (s *Store) destroy(id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 5*time.Second)
	defer cancel()
	if _, err := s.client.Session().Destroy(id, s.write(ctx)); err == nil {
		_, _ = s.client.KV().Delete(s.beatKey(id), s.write(ctx))
	}
}

// lookForDead watches the beats of all processes and ends the sessions of those that have stopped.
func (s *Store) lookForDead() {
	type seen struct {
		index uint64
		since time.Time
	}
	beats := make(map[string]seen)
	every := time.Second
	for {
		select {
		case <-time.After(every):
		case <-s.ctx.Done():
			return
		}
		asked := time.Now()
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		pairs, _, err := s.client.KV().List(s.root+"beat/", s.read(ctx))
		cancel()
		if err != nil {
			continue // who could not write meanwhile has given up by its own clock
		}
		answered := time.Now()
		known := make(map[string]bool, len(pairs))
		every = state.DefaultTTL / 8
		for _, p := range pairs {
			id := p.Key[len(s.root+"beat/"):]
			known[id] = true
			var b beat
			if json.Unmarshal(p.Value, &b) != nil || b.TTL <= 0 {
				b.TTL = state.DefaultTTL
			}
			every = max(min(every, b.TTL/8), 50*time.Millisecond)
			last, again := beats[id]
			if !again || last.index != p.ModifyIndex {
				beats[id] = seen{p.ModifyIndex, answered}
				continue
			}
			if asked.Sub(last.since) >= b.TTL {
				s.destroy(id) // if that fails, the next look tries again
			}
		}
		for id := range beats {
			if !known[id] {
				delete(beats, id)
			}
		}
	}
}

// close gives back all leases of this process.
func (v *liveness) close(s *Store) {
	v.mu.Lock()
	v.closed = true
	all := v.sessions
	v.sessions = nil
	v.mu.Unlock()
	for _, x := range all {
		x.end(state.ErrClosed)
		s.destroy(x.id)
	}
}
