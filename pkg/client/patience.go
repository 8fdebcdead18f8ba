package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/orch-project/orch/pkg/orch"
)

// Patience is how long a client that follows a task, or events, waits for a server that does not answer: it is being restarted, or another one takes
// its place. It counts from the last sign of life. Requests that follow nothing have a few attempts only, as who asks waits for the answer.
type Patience struct {
	// Limit of an outage; 0 is five minutes for a server with an address. A socket belongs to a process of this machine: when nobody listens
	// there any more, nobody will, so that is an error at once.
	Limit time.Duration
	// Waiting is told when an outage begins, and of what it waits; nil: nobody is.
	Waiting func(cause error, limit time.Duration)
}

const (
	defaultPatience = 5 * time.Minute
	socketPatience  = 2 * time.Second
	firstPause      = 200 * time.Millisecond
	longestPause    = 10 * time.Second
)

// SetPatience changes how long the client waits. It is not to be called while requests are under way.
func (c *Client) SetPatience(p Patience) {
	if p.Limit == 0 {
		p.Limit = c.patience.Limit
	}
	c.patience = p
}

// unreachable is the cause of an error where no server has answered, or not to the end.
type unreachable struct{ error }

func (u unreachable) Unwrap() error { return u.error }

// Unreachable reports whether a call failed because no server has answered.
func Unreachable(err error) bool {
	var u unreachable
	return errors.As(err, &u)
}

// broken is a connection that ended in the middle of an answer.
func broken(err error) error {
	return &orch.Error{Kind: orch.KindStore, Msg: "the connection to the server broke", Err: unreachable{err}}
}

// later is an answer that says when to ask again (Retry-After): the server has done nothing of what was asked for.
type later struct {
	error
	after time.Duration
}

func (l *later) Unwrap() error { return l.error }

// retryAfter makes an error of such an answer; dates count as now.
func retryAfter(resp *http.Response, err error) error {
	text := resp.Header.Get("Retry-After")
	if text == "" {
		return err
	}
	seconds, _ := strconv.Atoi(text)
	return &later{err, time.Duration(max(seconds, 0)) * time.Second}
}

// outage is what a request that is repeated knows of the time in which it was not answered.
type outage struct {
	c     *Client
	began time.Time
	pause *backoff.ExponentialBackOff
}

func (c *Client) outage() *outage {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = firstPause, longestPause
	return &outage{c: c, pause: b}
}

// over notes a sign of life.
func (o *outage) over() { o.began = time.Time{} }

// again pauses, and reports whether to ask once more after this error.
func (o *outage) again(ctx context.Context, err error) bool {
	var l *later
	if !errors.As(err, &l) && !passes(err) {
		return false
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" && dial.Net == "unix" {
		return false
	}
	limit := o.c.patience.Limit
	begins := o.began.IsZero()
	if begins {
		o.began = time.Now()
		o.pause.Reset()
	}
	pause := o.pause.NextBackOff()
	if l != nil {
		pause = max(pause, l.after)
	}
	if time.Since(o.began)+pause > limit {
		return false
	}
	if begins && o.c.patience.Waiting != nil {
		o.c.patience.Waiting(err, limit)
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// passes reports whether a failure says nothing against asking again: nobody answers, the answer broke off, or the server has lost its store.
func passes(err error) bool {
	var known *orch.Error
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &known) && known.Kind == orch.KindStore && !errors.As(err, &certificate)
}
