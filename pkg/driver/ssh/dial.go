package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/orch-project/orch/pkg/driver"
)

// stagger is how long an address is preferred over the next.
const stagger = 300 * time.Millisecond

// connect tries the host's addresses, each a little after the one before, and takes the first that lets us in with the right key. It
// pins keys that were found.
func (p *Pool) connect(ctx context.Context, e *entry, h driver.Host, report Report) (*conn, error) {
	if len(h.Addresses) == 0 {
		return nil, errors.New("the host has no address")
	}
	keys, err := p.hostKeys(ctx, e, h)
	if err != nil {
		return nil, err
	}
	login, err := p.login(ctx, h)
	if err != nil {
		return nil, err
	}
	defer login.close()
	dial := p.direct
	var after func()
	if h.Bastion != nil {
		b, release, err := p.acquire(ctx, *h.Bastion, forLogin, report)
		if err != nil {
			return nil, &bastionError{*h.Bastion, err}
		}
		after, dial = release, p.through(b)
	}
	c, err := p.race(ctx, h, keys, login, dial)
	if err != nil {
		if after != nil {
			after()
		}
		return nil, err
	}
	if len(keys.pinned) == 0 {
		if err := p.pin(ctx, e, h, []string{c.hostKey}); err != nil {
			c.client.Close()
			if after != nil {
				after()
			}
			return nil, err
		}
	}
	return newConn(c.client, c.address, c.hostKey, p.o, after), nil
}

// direct dials from this machine.
func (p *Pool) direct(ctx context.Context, network, addr string) (net.Conn, error) {
	timeout := cmp.Or(p.o.ConnectTimeout, 15*time.Second)
	if p.o.Dial == nil {
		return (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, addr)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.o.Dial(ctx, network, addr)
}

// through dials from a bastion.
func (p *Pool) through(b *conn) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.o.ConnectTimeout, 15*time.Second))
		defer cancel()
		c, err := b.client.DialContext(ctx, network, addr)
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) && refused.Reason == ssh.Prohibited {
			return nil, &forwardError{b.address, refused.Message}
		}
		return c, err
	}
}

// candidate is a connection that passed the handshake.
type candidate struct {
	client           *ssh.Client
	address, hostKey string
	err              error
}

func (p *Pool) race(ctx context.Context, h driver.Host, keys hostKeys, l *login, dial func(context.Context, string, string) (net.Conn, error)) (*candidate, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan *candidate)
	port := strconv.Itoa(cmp.Or(h.Port, 22))
	for i, a := range h.Addresses {
		go func() {
			select {
			case <-time.After(time.Duration(i) * stagger):
			case <-ctx.Done():
			}
			c := &candidate{address: a}
			if i > 0 && ctx.Err() != nil {
				c.err = context.Cause(ctx)
			} else {
				c.client, c.hostKey, c.err = p.handshake(ctx, net.JoinHostPort(strings.Trim(a, "[]"), port), h, keys, l, dial)
			}
			results <- c
		}()
	}
	var won *candidate
	var failed []error
	for range h.Addresses {
		c := <-results
		switch {
		case c.err != nil && won == nil && !(errors.Is(c.err, context.Canceled) && ctx.Err() != nil && len(failed) > 0):
			failed = append(failed, &addressError{c.address, c.err})
		case c.err == nil && won == nil:
			won = c
			cancel()
		case c.err == nil:
			c.client.Close()
		}
	}
	if won != nil {
		return won, nil
	}
	// What a host said weighs more than that another address is silent.
	slices.SortStableFunc(failed, func(a, b error) int { return weight(a) - weight(b) })
	if len(failed) == 1 {
		return nil, failed[0]
	}
	return nil, errors.Join(failed...)
}

// handshake connects, checks the host key and logs in.
func (p *Pool) handshake(ctx context.Context, addr string, h driver.Host, keys hostKeys, l *login, dial func(context.Context, string, string) (net.Conn, error)) (*ssh.Client, string, error) {
	nc, err := dial(ctx, "tcp", addr)
	if err != nil {
		return nil, "", &dialError{err}
	}
	limit := cmp.Or(p.o.HandshakeTimeout, 30*time.Second)
	hctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	stop := context.AfterFunc(hctx, func() { nc.Close() })
	var shown ssh.PublicKey
	var keyErr error
	var banner string
	cfg := &ssh.ClientConfig{
		User: cmp.Or(h.User, p.o.user()),
		Auth: l.methods(),
		HostKeyCallback: func(name string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			keyErr = keys.check(name, key)
			return keyErr
		},
		HostKeyAlgorithms: keys.algorithms(),
		BannerCallback:    func(m string) error { banner = m; return nil },
		ClientVersion:     "SSH-2.0-orch",
	}
	cc, chans, reqs, err := ssh.NewClientConn(nc, addr, cfg)
	if !stop() || err != nil {
		nc.Close()
		switch {
		case ctx.Err() != nil:
			return nil, "", context.Cause(ctx)
		case hctx.Err() != nil:
			return nil, "", &dialError{fmt.Errorf("%w in %s", errSilent, limit)}
		case keyErr != nil:
			return nil, "", keyErr
		}
		return nil, "", handshakeError(err, h, cfg.User, l, keys, banner)
	}
	return ssh.NewClient(cc, chans, reqs), keyLine(shown), nil
}

var errSilent = errors.New("the port accepts connections, but no SSH server answers on it")

// handshakeError sorts what x/crypto says, which has types for little of it.
func handshakeError(err error, h driver.Host, user string, l *login, keys hostKeys, banner string) error {
	var algo *ssh.AlgorithmNegotiationError
	switch {
	case strings.Contains(err.Error(), "unable to authenticate"):
		return &loginError{user: user, tried: l.tried(), banner: strings.TrimSpace(banner), host: h}
	case errors.As(err, &algo) && algo.What == "host key" && len(keys.pinned) > 0:
		return &KeyError{Want: keys.pinned, Offers: algo.RequestedAlgorithms}
	}
	if banner != "" {
		err = fmt.Errorf("%w (%s)", err, strings.TrimSpace(banner))
	}
	return &dialError{err}
}
