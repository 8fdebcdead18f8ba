package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/version"
	"github.com/orch-project/orch/pkg/client"
	"github.com/orch-project/orch/pkg/driver"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/secret"
	"github.com/orch-project/orch/pkg/topology"
)

// connect opens the Service of a server.
func connect(_ context.Context, r cli.Remote, _ *slog.Logger) (*cli.App, error) {
	c, err := clientOf(r)
	if err != nil {
		return nil, err
	}
	c = c.WithAccess(client.Access{Token: r.Token, User: r.User, Password: r.Password, Tenant: r.Tenant})
	s := &remoteService{Client: c, held: heldSecrets{}}
	// A session goes to the host from here, whose sandbox may be the cloud.
	if here, err := config.Load(config.Options{}); err == nil {
		s.dial = dialer(here)
	}
	outage := func(tell func(string)) {
		c.SetPatience(client.Patience{Waiting: func(cause error, limit time.Duration) {
			tell(fmt.Sprintf("the server does not answer, waiting for it for up to %s; the task goes on without this command (%v)", limit, cause))
		}})
	}
	return &cli.App{Service: s, Shell: s.shell, WhoAmI: c.WhoAmI, OnOutage: outage}, nil
}

func clientOf(r cli.Remote) (*client.Client, error) {
	if path, ok := strings.CutPrefix(r.Server, "unix:"); ok {
		return client.NewUnix(strings.TrimPrefix(path, "//")), nil
	}
	u, err := url.Parse(r.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "the server must be a URL such as https://orch.example:8800, without credentials in it"}
	}
	if u.Scheme == "http" && (r.Token != "" || r.Password != "") && !r.Clear && !loopback(u.Hostname()) {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "the credentials would travel in clear to " + u.Host, Hint: "use https; orch context add --insecure-no-tls sends them all the same"}
	}
	conf, err := tlsOf(r)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = conf
	t.DialContext = (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return client.New(r.Server, &http.Client{Transport: agent{t}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}), nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func tlsOf(r cli.Remote) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.CA != "" {
		pem, err := os.ReadFile(r.CA)
		if err != nil {
			return nil, &orch.Error{Kind: orch.KindUser, Msg: "cannot read the server's authority", Err: err}
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &orch.Error{Kind: orch.KindUser, Msg: r.CA + " holds no certificate"}
		}
	}
	if r.Cert != "" {
		pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
		if err != nil {
			return nil, &orch.Error{Kind: orch.KindUser, Msg: "cannot use the client certificate", Err: err}
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// agent says what asks.
type agent struct{ next http.RoundTripper }

func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "orch/"+version.Version())
	return a.next.RoundTrip(r)
}

func (a agent) CloseIdleConnections() { a.next.(*http.Transport).CloseIdleConnections() }

// remoteService is a server's Service; what Host fetches is held for a session.
type remoteService struct {
	*client.Client
	held heldSecrets
	dial dialFunc
}

// Host also keeps the secrets that a session on it needs.
func (s *remoteService) Host(ctx context.Context, deployment string, in topology.Instance) (*driver.Host, error) {
	access, err := s.HostAccess(ctx, deployment, in)
	for ref, v := range access.Secrets {
		s.held[ref] = secret.New(v)
	}
	return access.Host, err
}

func (s *remoteService) shell(ctx context.Context, h *driver.Host, command []string, stdio cli.Stdio) (int, error) {
	return interact(ctx, s.held, s.dial, h, command, stdio)
}

var _ orch.Service = (*remoteService)(nil)

// whoAmI is who works on this machine's store: its owner.
func whoAmI(tenant string) func(context.Context) (orch.Identity, error) {
	return func(context.Context) (orch.Identity, error) {
		if tenant == "" {
			tenant = orch.DefaultTenant
		}
		return orch.Identity{User: userName(), Tenant: tenant, Role: orch.ServerAdmin, Via: "socket"}, nil
	}
}
