package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"go.uber.org/goleak"

	"github.com/orch-project/orch/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.MaybeRunDaemon()
	goleak.VerifyTestMain(m)
}

// quick are delays that a test hardly notices, but which leave the states in between observable.
var quick = sandbox.Delays{Build: 20 * time.Millisecond, Action: 5 * time.Millisecond, Volume: 10 * time.Millisecond, Delete: 10 * time.Millisecond}

// start runs a sandbox for the test.
func start(t *testing.T, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	if o.Delays == (sandbox.Delays{}) {
		o.Delays = quick
	}
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("cannot close the sandbox: %v", err)
		}
	})
	return s
}

// transport is closed with the test, so that no connection outlives it.
func transport(t *testing.T) *http.Transport {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// login authenticates a user as gophercloud does.
func login(t *testing.T, s *sandbox.Sandbox, user string) *gophercloud.ProviderClient {
	t.Helper()
	p, err := openstack.NewClient(s.AuthURL())
	if err != nil {
		t.Fatal(err)
	}
	p.HTTPClient = http.Client{Transport: transport(t)}
	err = openstack.Authenticate(t.Context(), p, gophercloud.AuthOptions{
		IdentityEndpoint: s.AuthURL(), Username: user, Password: s.Password, TenantName: user, DomainName: "Default",
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// clients are those of all services for one user.
type clients struct {
	compute, network, image, block, identity *gophercloud.ServiceClient
}

func connect(t *testing.T, s *sandbox.Sandbox, user string) clients {
	t.Helper()
	p := login(t, s, user)
	get := func(c *gophercloud.ServiceClient, err error) *gophercloud.ServiceClient {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	o := gophercloud.EndpointOpts{Region: s.Region()}
	return clients{
		compute: get(openstack.NewComputeV2(p, o)), network: get(openstack.NewNetworkV2(p, o)), image: get(openstack.NewImageV2(p, o)),
		block: get(openstack.NewBlockStorageV3(p, o)), identity: get(openstack.NewIdentityV3(p, o)),
	}
}

// eventually waits until ok, and fails with what when it takes too long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: %s", what)
		}
		time.Sleep(3 * time.Millisecond)
	}
}

// raw is an HTTP client without any library's help.
type raw struct {
	t      *testing.T
	url    string
	token  string
	client *http.Client
	header http.Header
}

func rawClient(t *testing.T, s *sandbox.Sandbox, user string) *raw {
	t.Helper()
	c := &raw{t: t, url: s.URL, client: &http.Client{Transport: transport(t)}}
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"id":"default"},"password":%q}}},
		"scope":{"project":{"name":%q,"domain":{"id":"default"}}}}}`, user, s.Password, user)
	status, header, text := c.do("POST", "/identity/v3/auth/tokens", body)
	if status != http.StatusCreated {
		t.Fatalf("login: %d %s", status, text)
	}
	c.token = header.Get("X-Subject-Token")
	return c
}

// with sends a header too.
func (c *raw) with(name, value string) *raw {
	d := *c
	d.header = http.Header{}
	for k, v := range c.header {
		d.header[k] = v
	}
	d.header.Set(name, value)
	return &d
}

func (c *raw) do(method, path, body string) (int, http.Header, string) {
	c.t.Helper()
	status, header, text, err := c.try(context.Background(), method, path, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, header, text
}

func (c *raw) try(ctx context.Context, method, path, body string) (int, http.Header, string, error) {
	if !strings.HasPrefix(path, "http") {
		path = c.url + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Auth-Token", c.token)
	reply, err := c.client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = reply.Body.Close() }()
	data, err := io.ReadAll(reply.Body)
	return reply.StatusCode, reply.Header, string(bytes.TrimSpace(data)), err
}

// must does the request, wants the status, and returns the document.
func (c *raw) must(status int, method, path, body string) map[string]any {
	c.t.Helper()
	got, _, text := c.do(method, path, body)
	if got != status {
		c.t.Fatalf("%s %s: %d, not %d: %s", method, path, got, status, text)
	}
	var doc map[string]any
	if text != "" {
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return doc
}

// at walks into a document by keys and indices.
func at(t *testing.T, doc any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := doc.(map[string]any)
			if !ok {
				t.Fatalf("no %v in %v", p, doc)
			}
			doc = m[p]
		case int:
			l, ok := doc.([]any)
			if !ok || p >= len(l) {
				t.Fatalf("no %v in %v", p, doc)
			}
			doc = l[p]
		}
	}
	return doc
}

func id(t *testing.T, doc any, path ...any) string {
	t.Helper()
	s, ok := at(t, doc, append(path, "id")...).(string)
	if !ok {
		t.Fatalf("no id in %v", doc)
	}
	return s
}
