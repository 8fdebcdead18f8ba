// Package openstack asks OpenStack what Terraform does not: what the cloud offers, what quotas are left, why a server failed, what its
// console says, and what exists that carries a deployment's identity. It also removes that, for the proof that nothing is left.
//
// It is the only package that knows gophercloud. It must not know topologies, states or Terraform.
//
//	cfg, err := openstack.LoadConfig(openstack.Source{})
//	cloud, err := openstack.Connect(ctx, cfg)
package openstack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/secret"
)

// Client of one project of one cloud. It is safe for concurrent use.
type Client struct {
	cfg      *Config
	provider *gophercloud.ProviderClient
	endpoint gophercloud.EndpointOpts
	project  string

	catalog *tokens.ServiceCatalog // nil with Keystone v2

	mu       sync.Mutex
	services map[string]*gophercloud.ServiceClient
}

var (
	_ driver.Cloud    = (*Client)(nil)
	_ driver.Statuser = (*Client)(nil)
)

// requestTimeout of one HTTP request.
const requestTimeout = 60 * time.Second

// Connect logs in. The error says what to do: wrong credentials, unreachable endpoint, unknown project.
func Connect(ctx context.Context, cfg *Config) (*Client, error) {
	transport, err := transportOf(cfg)
	if err != nil {
		return nil, err
	}
	p, err := openstack.NewClient(cfg.AuthURL)
	if err != nil {
		return nil, fmt.Errorf("cannot use the auth URL %q: %w", cfg.AuthURL, err)
	}
	p.HTTPClient = http.Client{Transport: &retrier{next: transport}, Timeout: 5 * requestTimeout}
	p.UserAgent.Prepend("orch")
	if err := openstack.Authenticate(ctx, p, cfg.authOptions()); err != nil {
		return nil, loginError(cfg, err)
	}
	c := &Client{cfg: cfg, provider: p, services: map[string]*gophercloud.ServiceClient{},
		endpoint: gophercloud.EndpointOpts{Region: cfg.Region, Availability: gophercloud.AvailabilityPublic}}
	switch cfg.Interface {
	case "internal":
		c.endpoint.Availability = gophercloud.AvailabilityInternal
	case "admin":
		c.endpoint.Availability = gophercloud.AvailabilityAdmin
	}
	if r, ok := p.GetAuthResult().(tokens.CreateResult); ok {
		if pr, err := r.ExtractProject(); err == nil && pr != nil {
			c.project = pr.ID
		}
		if cat, err := r.ExtractServiceCatalog(); err == nil {
			c.catalog = cat
		}
	}
	if c.project == "" {
		c.project = cfg.ProjectID
	}
	return c, nil
}

func (c *Config) authOptions() gophercloud.AuthOptions {
	o := gophercloud.AuthOptions{IdentityEndpoint: c.AuthURL, AllowReauth: true}
	switch {
	case !c.Token.IsZero():
		o.TokenID, o.AllowReauth = c.Token.Reveal(), false
	case c.appCredential():
		o.ApplicationCredentialID, o.ApplicationCredentialName = c.ApplicationCredentialID, c.ApplicationCredentialName
		o.ApplicationCredentialSecret = c.ApplicationCredentialSecret.Reveal()
		if c.ApplicationCredentialID == "" {
			o.Username, o.UserID = c.Username, c.UserID
			c.userDomain(&o)
		}
		return o // the credential has its project
	default:
		o.Username, o.UserID, o.Password = c.Username, c.UserID, c.Password.Reveal()
		c.userDomain(&o)
	}
	switch {
	case c.ProjectID != "":
		o.Scope = &gophercloud.AuthScope{ProjectID: c.ProjectID}
	case c.ProjectName != "":
		o.Scope = &gophercloud.AuthScope{ProjectName: c.ProjectName, DomainID: c.ProjectDomainID}
		if c.ProjectDomainID == "" {
			o.Scope.DomainName = c.ProjectDomainName
		}
		if o.Scope.DomainID == "" && o.Scope.DomainName == "" {
			o.Scope.DomainID = "default"
		}
	}
	return o
}

func (c *Config) userDomain(o *gophercloud.AuthOptions) {
	if o.UserID != "" {
		return // ids are unique beyond domains
	}
	if o.DomainID = c.UserDomainID; o.DomainID == "" {
		o.DomainName = c.UserDomainName
	}
	if o.DomainID == "" && o.DomainName == "" {
		o.DomainID = "default"
	}
}

func transportOf(cfg *Config) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: cfg.Insecure, MinVersion: tls.VersionTLS12}
	t.ResponseHeaderTimeout = requestTimeout
	if cfg.CACert != "" {
		pem, err := os.ReadFile(expand(cfg.CACert))
		if err != nil {
			return nil, fmt.Errorf("cannot read the cloud's CA certificate: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use the cloud's CA certificate: %s holds no certificate in PEM", cfg.CACert)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if cfg.Cert != "" && cfg.Key != "" {
		pair, err := tls.LoadX509KeyPair(expand(cfg.Cert), expand(cfg.Key))
		if err != nil {
			return nil, fmt.Errorf("cannot use the client certificate: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return home + "/" + rest
		}
	}
	return path
}

// LoginError says why the cloud could not be entered.
type LoginError struct {
	Text, Hint string
	Err        error
}

func (e *LoginError) Error() string { return e.Text + ": " + e.Hint }
func (e *LoginError) Unwrap() error { return e.Err }

func loginError(cfg *Config, err error) error {
	host := cfg.AuthURL
	if u, e := url.Parse(cfg.AuthURL); e == nil && u.Host != "" {
		host = u.Host
	}
	le := &LoginError{Err: err}
	var certErr *tls.CertificateVerificationError
	switch {
	case gophercloud.ResponseCodeIs(err, http.StatusUnauthorized):
		who := cfg.Username + cfg.UserID
		le.Hint = "check user, password, domains and project in clouds.yaml or OS_*"
		if cfg.appCredential() {
			le.Hint = "check its id and secret in clouds.yaml or OS_*, and that it has neither expired nor been deleted"
			who = "the application credential " + cfg.ApplicationCredentialName + cfg.ApplicationCredentialID
		}
		le.Text = fmt.Sprintf("cannot log in to OpenStack at %s: the cloud does not accept %s (401)", host, who)
	case gophercloud.ResponseCodeIs(err, http.StatusNotFound):
		le.Text = fmt.Sprintf("cannot log in to OpenStack: %s has no identity service (404)", cfg.AuthURL)
		le.Hint = "check auth_url (OS_AUTH_URL); it usually ends in /v3"
	case errors.As(err, &certErr):
		le.Text = fmt.Sprintf("cannot log in to OpenStack: the certificate of %s is not trusted: %v", host, certErr.Err)
		le.Hint = "give the cloud's CA certificate by cacert (OS_CACERT)"
	case errors.Is(err, context.DeadlineExceeded):
		le.Text = fmt.Sprintf("cannot log in to OpenStack: %s did not answer in time", host)
		le.Hint = "check auth_url (OS_AUTH_URL), the network and proxies"
	default:
		le.Text = fmt.Sprintf("cannot log in to OpenStack at %s: %v", host, reason(err))
		le.Hint = "check auth_url (OS_AUTH_URL), the network and proxies"
	}
	return le
}

// reason is the innermost cause, without the URL that net/http puts before it.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Environ are the variables for Terraform's provider.
func (c *Client) Environ() map[string]secret.Value { return c.cfg.Environ() }

// Project is the id of the project that the client is logged in to.
func (c *Client) Project() string { return c.project }

// Services of the catalogue that are used.
const (
	nova    = "nova"
	neutron = "neutron"
	cinder  = "cinder"
	glance  = "glance"
)

func (c *Client) service(ctx context.Context, name string) (*gophercloud.ServiceClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.services[name]; s != nil {
		return s, nil
	}
	if c.catalog != nil {
		c.provider.EndpointLocator = func(o gophercloud.EndpointOpts) (string, error) { return c.locate(ctx, o) }
	}
	var s *gophercloud.ServiceClient
	var err error
	switch name {
	case nova:
		s, err = openstack.NewComputeV2(c.provider, c.endpoint)
	case neutron:
		s, err = openstack.NewNetworkV2(c.provider, c.endpoint)
	case cinder:
		s, err = openstack.NewBlockStorageV3(c.provider, c.endpoint)
	case glance:
		s, err = openstack.NewImageV2(c.provider, c.endpoint)
	}
	if err != nil {
		region := ""
		if c.cfg.Region != "" {
			region = " in region " + c.cfg.Region
		}
		return nil, fmt.Errorf("the cloud has no %s%s: %w", name, region, err)
	}
	c.services[name] = s
	return s, nil
}

// locate finds a service in the catalogue. The library asks the service for its versions besides; one that is down at that moment, or keeps
// its list of versions to itself, is not absent for that: its endpoint is the catalogue's.
func (c *Client) locate(ctx context.Context, o gophercloud.EndpointOpts) (string, error) {
	found, err := openstack.V3Endpoint(ctx, c.provider, c.catalog, o)
	if err == nil || absent(err) || ctx.Err() != nil {
		return found, err
	}
	//lint:ignore SA1019 its successor is what has failed: it asks the service
	return openstack.V3EndpointURL(c.catalog, o)
}

// absent reports whether the catalogue has no endpoint of a service, which is all that says that a cloud is without it.
func absent(err error) bool {
	var none *gophercloud.ErrEndpointNotFound
	return errors.As(err, &none)
}
