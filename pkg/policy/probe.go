package policy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/orch-project/orch/pkg/topology"
)

// Target of a probe.
type Target struct {
	Deployment string
	Instance   topology.Instance
	// Addresses of its server, in order of preference.
	Addresses []string
}

// Sample is what a probe has brought.
type Sample struct {
	Text    string
	Outputs map[string]string
}

// Prober asks an instance. An error says why it is not well.
type Prober interface {
	Probe(ctx context.Context, t Target, p Probe) (Sample, error)
}

// Unasked is the error of a probe that did not get as far as the instance, whose health it says nothing about.
type Unasked struct{ Err error }

func (e *Unasked) Error() string { return e.Err.Error() }
func (e *Unasked) Unwrap() error { return e.Err }

// Dialer probes by network: TCP and HTTP.
type Dialer struct {
	// Dial connects to an address; nil: from this machine.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (d Dialer) dialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	if d.Dial != nil {
		return d.Dial
	}
	return (&net.Dialer{}).DialContext
}

var _ Prober = Dialer{}

// maxBody is how much of an answer is read.
const maxBody = 1 << 20

// Probe tries the target's addresses in order.
func (d Dialer) Probe(ctx context.Context, t Target, p Probe) (Sample, error) {
	if len(t.Addresses) == 0 {
		return Sample{}, errors.New("its address is not known")
	}
	var errs []error
	for _, a := range t.Addresses {
		var s Sample
		var err error
		if p.Kind == HTTP {
			s, err = d.get(ctx, a, p)
		} else {
			err = d.dial(ctx, a, p.Port)
		}
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
		var answered *answerError
		var unasked *Unasked
		if errors.As(err, &answered) || errors.As(err, &unasked) || ctx.Err() != nil {
			break // it is there, and not well; or nobody knows
		}
	}
	return Sample{}, errs[len(errs)-1]
}

func (d Dialer) dial(ctx context.Context, host string, port int) error {
	c, err := d.dialer()(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return c.Close()
}

// answerError is an answer that is not good.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

func (d Dialer) get(ctx context.Context, host string, p Probe) (Sample, error) {
	url := p.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(p.Port)) + "/" + strings.TrimPrefix(p.Path, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Sample{}, err
	}
	for k, v := range p.Headers {
		if http.CanonicalHeaderKey(k) == "Host" {
			req.Host = v
		}
		req.Header.Set(k, v)
	}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: d.dialer(), TLSClientConfig: &tls.Config{InsecureSkipVerify: p.Insecure, ServerName: serverName(req)}}
	if p.CA != "" {
		tr.TLSClientConfig.RootCAs = x509.NewCertPool()
		tr.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(p.CA))
	}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	if !p.Follow {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	resp, err := c.Do(req)
	if err != nil {
		return Sample{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Sample{}, fmt.Errorf("cannot read the answer of %s: %w", url, err)
	}
	good := resp.StatusCode >= 200 && resp.StatusCode < 400
	if len(p.Status) > 0 {
		good = slices.Contains(p.Status, resp.StatusCode)
	}
	switch {
	case !good:
		return Sample{}, &answerError{fmt.Sprintf("%s answers %s", url, resp.Status)}
	case p.Body != nil && !p.Body.Match(body):
		return Sample{}, &answerError{fmt.Sprintf("the answer of %s does not contain %s", url, p.Body)}
	}
	return Sample{Text: string(body)}, nil
}

// serverName for TLS is the Host header's, where one is given.
func serverName(req *http.Request) string {
	if req.Host == "" || req.Host == req.URL.Host {
		return ""
	}
	if h, _, err := net.SplitHostPort(req.Host); err == nil {
		return h
	}
	return req.Host
}

// Read finds the metric in a sample: the operation's output, a place in a JSON document, or the number that is the whole text.
func (p Probe) Read(s Sample) (float64, error) {
	text := s.Text
	if p.Kind == Operation {
		text = s.Outputs[p.Output]
		if text == "" {
			return 0, fmt.Errorf("the operation has set no output %s", p.Output)
		}
	}
	if p.Value != "" {
		var doc any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			return 0, errors.New("the answer is not JSON")
		}
		for _, k := range strings.Split(p.Value, ".") {
			next, ok := step(doc, k)
			if !ok {
				return 0, fmt.Errorf("the answer has no %s", p.Value)
			}
			doc = next
		}
		text = fmt.Sprint(doc)
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is no number", clip(strings.TrimSpace(text)))
	}
	return f, nil
}

func step(doc any, key string) (any, bool) {
	switch t := doc.(type) {
	case map[string]any:
		v, ok := t[key]
		return v, ok
	case []any:
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(t) {
			return nil, false
		}
		return t[i], true
	}
	return nil, false
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
