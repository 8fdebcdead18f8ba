package openstack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// retrier repeats requests that may be repeated: everything after 429, and what changes nothing (or is done when it is done) after a
// failure of the server or the connection.
type retrier struct {
	next http.RoundTripper
	// base delay; 0: half a second.
	base time.Duration
}

const (
	maxTries      = 5
	maxTimeouts   = 2 // of a service that takes connections and says nothing: each takes requestTimeout
	maxRetryAfter = 30 * time.Second
)

func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := replayable(req)
	if err != nil {
		return nil, err
	}
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 500 * time.Millisecond
	if r.base > 0 {
		b.InitialInterval = r.base
	}
	for try, timeouts := 1, 0; ; try++ {
		if body != nil {
			req.Body = io.NopCloser(bytes.NewReader(body))
		}
		resp, err := r.next.RoundTrip(req)
		wait, again := r.again(req, resp, err, b)
		if timedOut(err) {
			timeouts++
		}
		if !again || try == maxTries || timeouts == maxTimeouts || req.Context().Err() != nil {
			return resp, err
		}
		if resp != nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
			resp.Body.Close()
		}
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// timedOut reports a connection on which nothing came.
func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func replayable(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	return io.ReadAll(req.Body)
}

func (r *retrier) again(req *http.Request, resp *http.Response, err error, b *backoff.ExponentialBackOff) (time.Duration, bool) {
	idempotent := req.Method == http.MethodGet || req.Method == http.MethodHead || req.Method == http.MethodDelete
	wait := b.NextBackOff()
	if err != nil {
		return wait, idempotent
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
	case idempotent && resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented:
	default:
		return 0, false
	}
	if s := resp.Header.Get("Retry-After"); s != "" {
		if n, err := strconv.Atoi(s); err == nil && n >= 0 {
			wait = time.Duration(n) * time.Second
		} else if t, err := http.ParseTime(s); err == nil {
			wait = time.Until(t)
		}
	}
	return min(max(wait, 0), maxRetryAfter), true
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
