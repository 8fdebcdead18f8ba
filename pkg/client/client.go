// Package client is the Service over HTTP: what the native API of internal/server offers, with the same types and the same errors.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/orch-project/orch/pkg/diag"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/plan"
	"github.com/orch-project/orch/pkg/topology"
)

// Client of a server. It is safe for concurrent use.
type Client struct {
	base     string
	http     *http.Client
	header   http.Header // of every request
	patience Patience
}

// Access to a server: who asks, and in which tenant. The zero value asks as nobody in the default tenant.
type Access struct {
	Token          string
	User, Password string // basic authentication, where there is no token
	Tenant         string
}

// WithAccess returns a client that asks with these credentials.
func (c *Client) WithAccess(a Access) *Client {
	out := *c
	out.header = http.Header{}
	switch {
	case a.Token != "":
		out.header.Set("Authorization", "Bearer "+a.Token)
	case a.User != "":
		out.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Password)))
	}
	if a.Tenant != "" {
		out.header.Set("X-Orch-Tenant", a.Tenant)
	}
	return &out
}

// WithHeader returns a client that sends a header with every request.
func (c *Client) WithHeader(name, value string) *Client {
	out := *c
	if out.header = c.header.Clone(); out.header == nil {
		out.header = http.Header{}
	}
	out.header.Set(name, value)
	return &out
}

// New returns a client of the server at an http or https URL.
func New(base string, h *http.Client) *Client {
	if h == nil {
		h = &http.Client{}
	}
	return &Client{base: strings.TrimSuffix(base, "/") + "/api/v1", http: h, patience: Patience{Limit: defaultPatience}}
}

// NewUnix returns a client of the server that listens on a socket of this machine.
func NewUnix(socket string) *Client {
	dialer := &net.Dialer{}
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}
	c := New("http://orch", &http.Client{Transport: t})
	c.patience.Limit = socketPatience
	return c
}

// do sends a request and decodes the answer into `into` (nil: none is expected).
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, contentType string, into any) error {
	resp, err := c.send(ctx, method, path, body, contentType, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return decode(resp.Body, into)
}

// decode reads an answer; nil: none is expected.
func decode(body io.Reader, into any) (err error) {
	if into == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(into)
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	return broken(err)
}

// send returns a successful answer; errors of the server come back as what they were there.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader, contentType string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, c.header)
	maps.Copy(req.Header, header)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &orch.Error{Kind: orch.KindStore, Msg: "cannot reach the server", Err: unreachable{err}}
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var p orch.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 8<<20)).Decode(&p); err != nil || p.Kind == "" {
		kind := orch.KindInternal
		switch resp.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			kind = orch.KindStore // a proxy, behind which no server is
		}
		return nil, retryAfter(resp, &orch.Error{Kind: kind, Msg: "the server answered " + resp.Status + " and no problem document; is this an orch server?"})
	}
	return nil, retryAfter(resp, p.Err())
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, "", into)
}

func deployment(name string, rest ...string) string {
	p := "/deployments/" + url.PathEscape(name)
	for _, r := range rest {
		p += "/" + url.PathEscape(r)
	}
	return p
}

// Plan implements orch.Service.
func (c *Client) Plan(ctx context.Context, req orch.Request) (*plan.Plan, diag.List, error) {
	var a orch.PlanAnswer
	err := c.post(ctx, "/plans?dry_run=true", req, &a)
	return a.Plan, a.Diagnostics, err
}

// Apply implements orch.Service.
func (c *Client) Apply(ctx context.Context, req orch.Request) (t orch.Task, err error) {
	err = c.post(ctx, "/tasks", req, &t)
	return t, err
}

// idempotent is a header by which the server knows a request that is sent again because the answer was lost.
func idempotent() http.Header { return http.Header{"Idempotency-Key": {rand.Text()}} }

// attempts of a request that no server answers.
const attempts = 3

func (c *Client) post(ctx context.Context, path string, req orch.Request, into any) error {
	body, contentType, err := encode(req)
	if err != nil {
		return err
	}
	return c.again(ctx, path, body, contentType, into)
}

// again posts, and posts again with the same key if the connection breaks or the server says when to: the server does nothing twice.
func (c *Client) again(ctx context.Context, path string, body []byte, contentType string, into any) error {
	header, out, answered := idempotent(), c.outage(), false
	for n := 1; ; n++ {
		resp, err := c.send(ctx, http.MethodPost, path, bytes.NewReader(body), contentType, header)
		if err == nil {
			err = decode(resp.Body, into)
			_ = resp.Body.Close()
		}
		if err == nil {
			return nil
		}
		var l *later
		answered = answered || errors.As(err, &l) // so there is a server, which a restart takes away for a while
		if !answered && (n == attempts || !Unreachable(err)) || !out.again(ctx, err) {
			return err
		}
	}
}

// Wait implements orch.Service. It outlasts restarts of the server, see Patience.
func (c *Client) Wait(ctx context.Context, name, task string) (t orch.Task, err error) {
	for out := c.outage(); ; {
		began := time.Now()
		if err = c.get(ctx, deployment(name, "tasks", task, "wait"), &t); err == nil {
			return t, nil
		}
		if time.Since(began) > lively {
			out.over()
		}
		if !out.again(ctx, err) {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return t, err
		}
	}
}

// Control implements orch.Service.
func (c *Client) Control(ctx context.Context, ctl orch.Control) error {
	body, err := json.Marshal(ctl)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, deployment(ctl.Deployment, "control"), bytes.NewReader(body), "application/json", nil)
}

// Deployments implements orch.Service.
func (c *Client) Deployments(ctx context.Context) (all []orch.Deployment, err error) {
	return all, c.get(ctx, "/deployments", &all)
}

// Deployment implements orch.Service.
func (c *Client) Deployment(ctx context.Context, name string) (*orch.Detail, error) {
	d := &orch.Detail{}
	if err := c.get(ctx, deployment(name), d); err != nil {
		return nil, err
	}
	return d, nil
}

// Outputs implements orch.Service.
func (c *Client) Outputs(ctx context.Context, name string, reveal bool) (outs []orch.Output, err error) {
	return outs, c.get(ctx, deployment(name, "outputs")+"?reveal="+strconv.FormatBool(reveal), &outs)
}

// Tasks implements orch.Service.
func (c *Client) Tasks(ctx context.Context, name string) (t []orch.Task, err error) {
	return t, c.get(ctx, deployment(name, "tasks"), &t)
}

// Steps implements orch.Service.
func (c *Client) Steps(ctx context.Context, name, task string) (st []orch.StepStatus, err error) {
	return st, c.get(ctx, deployment(name, "tasks", task, "steps"), &st)
}

// Host implements orch.Service.
func (c *Client) Host(ctx context.Context, name string, in topology.Instance) (*driver.Host, error) {
	a, err := c.HostAccess(ctx, name, in)
	return a.Host, err
}

// HostAccess is Host with the secrets it refers to.
func (c *Client) HostAccess(ctx context.Context, name string, in topology.Instance) (a orch.HostAccess, err error) {
	return a, c.get(ctx, deployment(name, "hosts", in.Node, in.Index), &a)
}

// Close implements orch.Service.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

var _ orch.Service = (*Client)(nil)
