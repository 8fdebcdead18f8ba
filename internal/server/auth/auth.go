// Package auth finds out who sends a request: by API token, password, client certificate, or an OpenID Connect provider's token. It says
// nothing about what they may do.
package auth

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/orch"
)

// Options of an Authenticator.
type Options struct {
	Accounts *access.Accounts
	// Open lets requests without credentials do everything for as long as there is no admin: a server on a loopback address that nobody has
	// set up yet. Everybody lets them in always (--insecure-no-auth).
	Open, Everybody bool
	// OIDC verifies tokens of an identity provider; nil: there is none.
	OIDC *OIDC
	// CertificateRole is the role in the default tenant of verified certificates whose names are no users; "" refuses them.
	CertificateRole orch.Role
}

// Authenticator of requests.
type Authenticator struct {
	opts Options

	guesses *guesses

	mu    sync.Mutex
	open  bool // no admin, as of asked
	asked time.Time
}

// New returns an authenticator.
func New(o Options) *Authenticator {
	return &Authenticator{opts: o, guesses: newGuesses()}
}

// Identify returns who sends a request; the tenant is not chosen yet. Errors are KindUnauthenticated, or the store's.
func (a *Authenticator) Identify(r *http.Request) (orch.Identity, error) {
	id, err := a.identify(r)
	id.From = address(r)
	return id, err
}

// cloudifyToken is a token as Cloudify's clients and scripts send it.
func cloudifyToken(r *http.Request) string {
	return cmp.Or(r.Header.Get("Execution-Token"), r.Header.Get("Authentication-Token"))
}

func (a *Authenticator) identify(r *http.Request) (orch.Identity, error) {
	ctx := r.Context()
	header := r.Header.Get("Authorization")
	scheme, value, _ := strings.Cut(header, " ")
	value = strings.TrimSpace(value)
	switch {
	case header == "" && cloudifyToken(r) != "":
		return a.byToken(ctx, cloudifyToken(r))
	case header == "" && r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
		return a.byCertificate(ctx, r.TLS.VerifiedChains[0][0])
	case header == "":
		return a.anonymous(ctx)
	case strings.EqualFold(scheme, "Bearer"):
		if a.opts.OIDC != nil && !strings.HasPrefix(value, "orch_") {
			return a.byOIDC(ctx, value)
		}
		return a.byToken(ctx, value)
	case strings.EqualFold(scheme, "Basic"):
		name, password, ok := r.BasicAuth()
		if !ok {
			return orch.Identity{}, unauthenticated("the Authorization header cannot be read")
		}
		return a.byPassword(ctx, address(r), name, password)
	}
	return orch.Identity{}, unauthenticated("the server takes Bearer and Basic authentication, and client certificates")
}

func unauthenticated(msg string) error {
	return &orch.Error{Kind: orch.KindUnauthenticated, Msg: msg, Hint: "give a token (orch context add), a user's password, or a client certificate; see docs/server.md"}
}

func identity(u orch.User, via string) orch.Identity {
	id := orch.Identity{User: u.Name, Tenants: u.Tenants, Via: via, Role: orch.Known}
	if u.Admin {
		id.Role = orch.ServerAdmin
	}
	return id
}

// anonymous is a request without credentials.
func (a *Authenticator) anonymous(ctx context.Context) (orch.Identity, error) {
	owner := orch.Identity{User: "anonymous", Role: orch.ServerAdmin, Via: "none"}
	if a.opts.Everybody {
		return owner, nil
	}
	if a.opts.Open {
		open, err := a.nobodyYet(ctx)
		if open || err != nil {
			return owner, err
		}
	}
	return orch.Identity{}, unauthenticated("the server has to know who asks")
}

// openFor is how long it is believed that there is no admin; that there is one is believed for good.
const openFor = 2 * time.Second

func (a *Authenticator) nobodyYet(ctx context.Context) (bool, error) {
	a.mu.Lock()
	open, asked := a.open, a.asked
	a.mu.Unlock()
	if !asked.IsZero() && (!open || time.Since(asked) < openFor) {
		return open, nil
	}
	open, err := a.opts.Accounts.Empty(ctx)
	if err != nil {
		return false, err
	}
	a.mu.Lock()
	a.open, a.asked = open, time.Now()
	a.mu.Unlock()
	return open, nil
}

func (a *Authenticator) byPassword(ctx context.Context, from, name, password string) (orch.Identity, error) {
	if wait := a.guesses.wait(from, name); wait > 0 {
		return orch.Identity{}, &orch.Error{Kind: orch.KindUnauthenticated, Err: &TooManyError{wait}, Hint: "the password was not looked at; wait as long as Retry-After says"}
	}
	u, err := a.opts.Accounts.ByPassword(ctx, name, password)
	if errors.Is(err, access.ErrBadCredentials) {
		a.guesses.failed(from, name)
	}
	return identity(u, "basic"), err
}

func (a *Authenticator) byToken(ctx context.Context, text string) (orch.Identity, error) {
	u, t, err := a.opts.Accounts.ByToken(ctx, text)
	if err != nil {
		return orch.Identity{}, err
	}
	id := identity(u, "token")
	id.Token = t.ID
	return narrow(id, t), nil
}

// narrow takes away what a token does not allow.
func narrow(id orch.Identity, t orch.Token) orch.Identity {
	if t.Tenant == "" && t.Role == "" {
		return id
	}
	id.Narrowed = true
	have := id.Tenants
	id.Tenants = map[string]orch.Role{}
	if id.Role == orch.ServerAdmin {
		if t.Tenant == "" { // an admin's token with a lesser role, in every tenant
			id.Role = t.Role
			return id
		}
		have = map[string]orch.Role{t.Tenant: orch.Admin}
	}
	id.Role = orch.Known
	for tenant, role := range have {
		if t.Role != "" {
			role = orch.Least(role, t.Role)
		}
		if t.Tenant == "" || t.Tenant == tenant {
			id.Tenants[tenant] = role
		}
	}
	return id
}

// byCertificate finds the user by the certificate's common name, else by one of its alternative names.
func (a *Authenticator) byCertificate(ctx context.Context, c *x509.Certificate) (orch.Identity, error) {
	names := append([]string{c.Subject.CommonName}, c.EmailAddresses...)
	names = append(names, c.DNSNames...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	var failed error
	for _, name := range names {
		if name == "" {
			continue
		}
		u, err := a.opts.Accounts.ByName(ctx, name)
		if err == nil {
			return identity(u, "certificate"), nil
		}
		if !errors.Is(err, access.ErrBadCredentials) {
			return orch.Identity{}, err
		}
		if errors.Is(err, access.ErrDisabled) {
			return orch.Identity{}, err
		}
		if failed == nil {
			failed = err
		}
	}
	if a.opts.CertificateRole != "" && len(names) > 0 && names[0] != "" {
		return orch.Identity{User: names[0], Via: "certificate", Role: orch.Known, Tenants: map[string]orch.Role{orch.DefaultTenant: a.opts.CertificateRole}}, nil
	}
	if failed == nil {
		failed = unauthenticated("the certificate has no name")
	}
	return orch.Identity{}, failed
}

func (a *Authenticator) byOIDC(ctx context.Context, raw string) (orch.Identity, error) {
	id, err := a.opts.OIDC.verify(ctx, raw)
	var known *orch.Error
	if errors.As(err, &known) {
		return orch.Identity{}, err
	}
	if err != nil {
		return orch.Identity{}, &orch.Error{Kind: orch.KindUnauthenticated, Err: errors.Join(access.ErrBadCredentials, err)}
	}
	// A user of that name in the store may be disabled, and may have roles besides those of the provider.
	u, err := a.opts.Accounts.ByName(ctx, id.User)
	switch {
	case errors.Is(err, access.ErrDisabled), err != nil && !errors.Is(err, access.ErrBadCredentials):
		return orch.Identity{}, err
	case err == nil:
		for tenant, role := range u.Tenants {
			if !id.Tenants[tenant].Allows(role) {
				id.Tenants[tenant] = role
			}
		}
		if u.Admin {
			id.Role = orch.ServerAdmin
		}
	}
	return id, nil
}

// address of the client, without its port. Forwarded-For headers are not believed: anybody can send them.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Options that it was made with.
func (a *Authenticator) Options() Options { return a.opts }
