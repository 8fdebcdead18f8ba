package consul

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/orch-project/orch/pkg/state"
)

// maxConns of a process to one of Consul's servers, which refuses a client's 201st (limits.http_max_conns_per_client): more calls wait for a
// free one. At most maxWaits of them are held by waits for leases, or nothing else would get through, beats included.
const (
	maxConns = 160
	maxWaits = 40
)

// newClient makes Consul's client over a transport of ours, which chooses among the addresses and keeps the status of errors.
func newClient(o Options) (*api.Client, *transport, error) {
	base := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxConnsPerHost:     maxConns,
		MaxIdleConnsPerHost: maxConns,
		IdleConnTimeout:     60 * time.Second,
	}
	scheme := "http"
	if o.TLS || o.CAFile != "" || o.CertFile != "" || o.Insecure {
		scheme = "https"
		conf, err := tlsConfig(o)
		if err != nil {
			return nil, nil, err
		}
		base.TLSClientConfig = conf
	}
	t := &transport{base: base, hosts: o.Addresses}
	if o.Token.IsZero() {
		t.tokenFile = o.TokenFile
	}
	// What the environment says was read into the options; Consul's own reading of it must not add to that.
	client, err := api.NewClient(&api.Config{
		Address: o.Addresses[0], Scheme: scheme, HttpClient: &http.Client{Transport: t}, Token: o.Token.Reveal(),
		Datacenter: o.Datacenter, Namespace: o.Namespace, Partition: o.Partition,
	})
	if err != nil {
		return nil, nil, errors.New("cannot make a client of Consul: its configuration is wrong") // the error may show the address with the token
	}
	return client, t, nil
}

func tlsConfig(o Options) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName, InsecureSkipVerify: o.Insecure}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read the certificates of Consul's CA: %w", err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no certificate in %s", o.CAFile)
		}
	}
	if o.CertFile != "" || o.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot use the client certificate for Consul: %w", err)
		}
		// Read again for every connection: certificates are renewed while a server runs. One that cannot be read leaves the one before in place.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if now, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile); err == nil {
				return &now, nil
			}
			return &cert, nil
		}
	}
	return conf, nil
}

// transport sends to one of several hosts, and goes to the next when one fails, or gives no answer in time: a network that is cut drops what
// is sent, and the kernel would try for a quarter of an hour. Statuses that are no answer of the API become errors: Consul's client would
// reduce some of them to text.
type transport struct {
	base  *http.Transport
	hosts []string
	at    atomic.Uint32
	// tokenFile holds the ACL token, unless the options do. It is read for every request: tokens are replaced while a server runs.
	tokenFile string
	// patience is how long an answer may take, beyond what the request itself waits for; 0 is answerTime.
	patience time.Duration
}

// answerTime is much more than a healthy Consul needs for anything.
const answerTime = 15 * time.Second

// limit of a request: blocking queries wait for a change, and up to a sixteenth longer.
func (t *transport) limit(req *http.Request) time.Duration {
	d := cmp.Or(t.patience, answerTime)
	if req.Method != http.MethodGet {
		d *= 2 // large transactions on slow disks
	}
	q := req.URL.Query()
	if wait, err := time.ParseDuration(q.Get("wait")); err == nil && q.Get("index") != "" {
		d += wait + wait/8
	}
	return d
}

// endingBody ends the time of a request when its answer was read.
type endingBody struct {
	io.ReadCloser
	end context.CancelFunc
}

func (b endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

var errNoAnswer = errors.New("no answer from Consul")

// statusError is such a status.
type statusError struct {
	Code int
	Body string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("Consul answers %d %s: %s", e.Code, http.StatusText(e.Code), strings.TrimSpace(e.Body))
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	at := t.at.Load()
	limit := t.limit(req)
	caller := req.Context()
	ctx, end := context.WithTimeoutCause(caller, limit, fmt.Errorf("%w within %v", errNoAnswer, limit))
	req = req.Clone(ctx)
	if t.tokenFile != "" {
		token, err := readToken(t.tokenFile)
		if err != nil {
			end()
			return nil, err
		}
		req.Header.Set("X-Consul-Token", token)
	}
	if len(t.hosts) > 1 {
		host := t.hosts[int(at)%len(t.hosts)]
		req.URL.Host, req.Host = host, host
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errNoAnswer) {
			err = cause
		}
		end()
		if caller.Err() == nil {
			t.at.CompareAndSwap(at, at+1)
		}
		return nil, err
	}
	resp.Body = endingBody{resp.Body, end}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNotFound, http.StatusConflict:
		return resp, nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	if resp.StatusCode >= 500 {
		t.at.CompareAndSwap(at, at+1)
	}
	return nil, &statusError{resp.StatusCode, string(bytes.ToValidUTF8(body, nil))}
}

// transient reports whether the same call may succeed later.
func transient(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		switch {
		case status.Code == http.StatusTooManyRequests, status.Code == 502, status.Code == 503, status.Code == 504:
			return true
		case status.Code == 500:
			return !strings.Contains(status.Body, "Permission denied") && !strings.Contains(status.Body, "ACL not found") && !invalidSession(err)
		}
		return false
	}
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var dns *net.DNSError
	switch {
	case errors.As(err, &certificate), errors.As(err, &alert), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

func invalidSession(err error) bool {
	var status *statusError
	return errors.As(err, &status) && strings.Contains(status.Body, "invalid session")
}

// unsent reports whether a failed request certainly had no effect.
func unsent(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.Code < 500
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || !transient(err)
}

// retry repeats a call that has no effect, or the same effect when repeated, until it gets an answer, patience ends, or ctx does.
func (s *Store) retry(ctx context.Context, call func(ctx context.Context) error) error {
	began := time.Now()
	for n := 0; ; n++ {
		err := call(ctx)
		if err == nil || errors.Is(err, errAnswer) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !transient(err) || time.Since(began) > s.opts.Patience {
			return s.unavailable(err)
		}
		if err := pause(ctx, n); err != nil {
			return err
		}
	}
}

// errAnswer marks errors that are an answer and no failure.
var errAnswer = errors.New("answered")

// pause waits before attempt n+1: 25 ms to 1 s, with jitter.
func pause(ctx context.Context, n int) error {
	d := min(25*time.Millisecond<<min(n, 10), time.Second)
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unavailable says what to do about an error.
func (s *Store) unavailable(err error) error {
	e := &state.UnavailableError{Store: s.name, Err: err}
	var status *statusError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &status) && (status.Code == 401 || status.Code == 403 || strings.Contains(status.Body, "ACL not found")):
		e.Hint = fmt.Sprintf("the ACL token needs key_prefix %q and session_prefix \"\" with policy write (and node \"orch-leases\", so that leases outlive the Consul server that was asked); give it as consul://TOKEN@…, in a file with token_file=, or in CONSUL_HTTP_TOKEN", s.root)
	case errors.As(err, &status) && strings.Contains(status.Body, "leader"):
		e.Hint = "the cluster has no leader; see `consul operator raft list-peers` and the logs of its servers, and whether their disks are full"
	case errors.As(err, &status) && status.Code == http.StatusTooManyRequests:
		e.Hint = "Consul limits the rate or the connections of this client (limits.http_max_conns_per_client, request_limits)"
	case errors.As(err, &certificate):
		e.Hint = "its certificate is not trusted; give its CA with ca=FILE, or the name in it with server_name="
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Hint = "it does not speak TLS; remove tls=true, or use the port for HTTPS (8501)"
	case strings.Contains(err.Error(), "Client sent an HTTP request to an HTTPS server"):
		e.Hint = "it wants TLS; add tls=true"
	case errors.As(err, &status):
	default:
		e.Hint = "check that Consul runs and the address is right: `consul members`, or curl http://ADDRESS/v1/status/leader"
	}
	return e
}
