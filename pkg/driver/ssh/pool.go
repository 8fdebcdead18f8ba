package ssh

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/driver/script"
)

// Report is told what a connection waits for; address is the host's.
type Report func(address, text string)

// Pool keeps one connection per host, shared by all who hold it. It is safe for concurrent use.
//
//	(none) ── first holder ──▶ dialing ──▶ open ── last holder gone ──▶ idle ── Options.Idle ──▶ (none)
//	                              ▲           │                           │
//	                              └── lost ◀──┴───── next holder ◀────────┘
type Pool struct {
	o     Options
	asked questions

	mu     sync.Mutex
	closed bool
	hosts  map[string]*entry
}

// entry is what a pool knows of a host.
type entry struct {
	key     string
	conn    *conn
	holders int
	dial    *dialing
	idle    *time.Timer
	// found are host keys that this process learnt; ready and readyLogin are the stages of readiness once passed.
	found             []string
	ready, readyLogin bool
	// boot is the one in which the host got ready, "" if it cannot be told.
	boot string
}

// dialing is a connection being made; all who need it wait for it together.
type dialing struct {
	why  purpose
	done chan struct{}
	err  error

	mu      sync.Mutex
	reports []Report
}

func (d *dialing) report(address, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.reports {
		r(address, text)
	}
}

// NewPool makes an empty pool. Close it.
func NewPool(o Options) *Pool { return &Pool{o: o, hosts: map[string]*entry{}} }

// keyOf identifies a host's connection. Host keys are not part of it: they become known later.
func keyOf(h driver.Host) string {
	for p := &h; p != nil; p = p.Bastion {
		p.HostKeys, p.HostKeySource, p.CloudInit, p.Sudo = nil, "", false, false
		if p.Bastion != nil {
			b := *p.Bastion
			p.Bastion = &b
		}
	}
	b, err := json.Marshal(h)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(b)
}

// purpose of a connection.
type purpose int

const (
	forUser  purpose = iota // a person waits: one try, no more
	forLogin                // a bastion: it need not have finished its cloud-init
	forWork
)

// acquire returns the host's connection, making and waiting for it if needed. Call release when done with it.
func (p *Pool) acquire(ctx context.Context, h driver.Host, why purpose, report Report) (*conn, func(), error) {
	if report == nil {
		report = func(string, string) {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, errors.New("the SSH connections are closed")
	}
	key := keyOf(h)
	e := p.hosts[key]
	if e == nil {
		e = &entry{key: key}
		p.hosts[key] = e
	}
	e.holders++
	if e.idle != nil {
		e.idle.Stop()
		e.idle = nil
	}
	c, err := p.connection(ctx, e, h, why, report)
	if err != nil {
		p.leave(e)
		return nil, nil, err
	}
	return c, sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.leave(e)
	}), nil
}

// connection waits until the entry has a usable connection. Called with the lock held, which it gives up while it waits.
func (p *Pool) connection(ctx context.Context, e *entry, h driver.Host, why purpose, report Report) (*conn, error) {
	for {
		if c := e.conn; c != nil {
			switch {
			case c.dead():
				e.conn = nil
			case len(h.HostKeys) > 0 && !slices.Contains(keyLines(h.HostKeys), c.hostKey):
				// The pins changed: what the connection was checked against counts no more.
				e.conn = nil
				go c.close()
			case e.ready || why < forWork:
				return c, nil
			}
		}
		if d := e.dial; d != nil {
			d.mu.Lock()
			d.reports = append(d.reports, report)
			d.mu.Unlock()
			p.mu.Unlock()
			select {
			case <-d.done:
			case <-ctx.Done():
			}
			p.mu.Lock()
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if d.err != nil && !errors.Is(d.err, errGaveUp) && d.why >= why {
				return nil, d.err
			}
			continue
		}
		d := &dialing{why: why, done: make(chan struct{}), reports: []Report{report}}
		e.dial = d
		state := *e
		p.mu.Unlock()
		c, err := p.establish(ctx, &state, h, why, d.report)
		p.mu.Lock()
		e.found, e.ready, e.readyLogin, e.boot = state.found, state.ready, state.readyLogin, state.boot
		e.dial = nil
		if err == nil && p.closed {
			go c.close()
			err = errors.New("the SSH connections are closed")
		}
		if err != nil && ctx.Err() != nil {
			d.err = errGaveUp // it was this holder's decision, not the host's fault
			close(d.done)
			return nil, context.Cause(ctx)
		}
		d.err = err
		close(d.done)
		if err != nil {
			return nil, err
		}
		e.conn = c
		return c, nil
	}
}

var errGaveUp = errors.New("the connection was given up")

// leave is called with the lock held.
func (p *Pool) leave(e *entry) {
	if e.holders--; e.holders > 0 || p.closed {
		return
	}
	if e.conn == nil {
		if len(p.hosts) > 4096 && !e.ready && e.dial == nil {
			delete(p.hosts, e.key)
		}
		return
	}
	if e.conn.dead() {
		e.conn = nil
		return
	}
	e.idle = time.AfterFunc(cmp.Or(p.o.Idle, time.Minute), func() {
		p.mu.Lock()
		c := e.conn
		if e.holders > 0 || c == nil {
			p.mu.Unlock()
			return
		}
		e.conn = nil
		p.mu.Unlock()
		c.close()
	})
}

// Close closes all connections, also those in use.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var open []*conn
	for _, e := range p.hosts {
		if e.idle != nil {
			e.idle.Stop()
		}
		if e.conn != nil {
			open = append(open, e.conn)
			e.conn = nil
		}
	}
	p.mu.Unlock()
	for _, c := range open {
		c.close()
	}
	return nil
}

// Connections is the number of open ones.
func (p *Pool) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.hosts {
		if e.conn != nil && !e.conn.dead() {
			n++
		}
	}
	return n
}

// establish makes a connection. At a host's first use, and when it has booted since, it waits until the host is ready; later a host that
// does not answer is a lost connection, which the caller may try again.
func (p *Pool) establish(ctx context.Context, e *entry, h driver.Host, why purpose, report Report) (*conn, error) {
	if e.ready || e.readyLogin && why == forLogin || why == forUser {
		c, err := p.connect(ctx, e, h, report)
		if err != nil && why != forUser && (isTransient(err) || isRefusedLogin(err)) {
			if down := p.down(ctx, h); down != nil {
				return nil, down
			}
			return nil, fmt.Errorf("%w: %w", script.ErrLost, err)
		}
		if err != nil {
			return nil, explain(h, err)
		}
		if e.ready && e.boot != "" {
			now := boot(ctx, c)
			e.ready = now == "" || now == e.boot
		}
		if e.ready || why < forWork {
			return c, nil
		}
		report(c.address, "the host has booted since; waiting until it is ready again")
		e.conn = c
	}
	limit := cmp.Or(p.o.ReadyTimeout, 10*time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errNotReady)
	defer cancel()
	start := time.Now()
	for {
		// There may be a connection that was made for a bastion, and is now to be worked on.
		c, err := e.conn, error(nil)
		if e.conn = nil; c == nil || c.dead() {
			c, err = p.await(ctx, e, h, start, report)
		}
		if err != nil {
			return nil, err
		}
		e.readyLogin = true
		if why == forLogin {
			return c, nil
		}
		if err = p.ready(ctx, e, c, h, start, report); err == nil {
			e.ready, e.boot = true, boot(ctx, c)
			return c, nil
		}
		c.close()
		if !errors.Is(err, script.ErrLost) || ctx.Err() != nil {
			return nil, err
		}
		// cloud-init may restart the network, the SSH server or the host.
		report(c.address, "the connection was lost while the host got ready; connecting again")
	}
}

var errNotReady = errors.New("the host did not get ready in time")

// await connects until the host lets us in. Reasons that may pass are waited for and said.
func (p *Pool) await(ctx context.Context, e *entry, h driver.Host, start time.Time, report Report) (*conn, error) {
	pause := 250 * time.Millisecond
	var refused time.Time
	over := false
	said, saidAt := "", time.Time{}
	for {
		c, err := p.connect(ctx, e, h, report)
		if err == nil {
			return c, nil
		}
		if isRefusedLogin(err) && refused.IsZero() {
			refused = time.Now()
		}
		if over && isRefusedLogin(err) {
			return nil, stranger(h, err)
		}
		over = over || isRefusedLogin(err) && h.CloudInit && p.firstBootOver(ctx, h)
		if isTransient(err) {
			if down := p.down(ctx, h); down != nil {
				return nil, down
			}
		}
		what, passes := p.passing(h, err, refused)
		if !passes && ctx.Err() == nil {
			return nil, explain(h, err)
		}
		if ctx.Err() == nil && (what != said || time.Since(saidAt) >= reportEvery) {
			said, saidAt = what, time.Now()
			report(address(h), fmt.Sprintf("waiting for %s, %s", what, elapsed(start)))
		}
		select {
		case <-ctx.Done():
			if context.Cause(ctx) == errNotReady {
				return nil, notReady(h, what, start, err)
			}
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(pause*3/2, 3*time.Second)
	}
}

const reportEvery = 5 * time.Second

func elapsed(start time.Time) string { return time.Since(start).Round(time.Second).String() }

func address(h driver.Host) string {
	if len(h.Addresses) == 0 {
		return h.Instance.String()
	}
	return h.Addresses[0]
}
