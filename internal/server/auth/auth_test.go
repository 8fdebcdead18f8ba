package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/orch-project/orch/internal/orchtest/bounded"
	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/orch"
	"github.com/orch-project/orch/pkg/state/mem"
)

func newAccounts(t *testing.T, users ...orch.NewUser) *access.Accounts {
	t.Helper()
	a := access.New(mem.New(mem.Options{}))
	if _, err := a.CreateTenant(t.Context(), orch.Tenant{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if _, err := a.CreateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func ask(a *Authenticator, header ...string) (orch.Identity, error) {
	r := httptest.NewRequest("GET", "/x", nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return a.Identify(r)
}

func refusedAs(err error) bool {
	var known *orch.Error
	return errors.As(err, &known) && known.Kind == orch.KindUnauthenticated
}

func TestOpenUntilThereIsAnAdmin(t *testing.T) {
	accounts := newAccounts(t, orch.NewUser{Name: "bob"})
	open, closed := New(Options{Accounts: accounts, Open: true}), New(Options{Accounts: accounts})
	if id, err := ask(open); err != nil || id.Role != orch.ServerAdmin || id.Via != "none" {
		t.Errorf("%+v, %v", id, err)
	}
	if _, err := ask(closed); !refusedAs(err) {
		t.Errorf("a server that others can reach is open: %v", err)
	}
	if _, err := accounts.Bootstrap(t.Context(), "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(New(Options{Accounts: accounts, Open: true})); !refusedAs(err) {
		t.Errorf("open although there is an admin: %v", err)
	}
	if id, err := ask(New(Options{Accounts: accounts, Everybody: true})); err != nil || id.Role != orch.ServerAdmin {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestPasswordsTokensAndOtherSchemes(t *testing.T) {
	accounts := newAccounts(t, orch.NewUser{Name: "bob", Password: "correct horse", Tenants: map[string]orch.Role{"acme": orch.Operator}})
	token, err := accounts.CreateToken(t.Context(), orch.NewToken{User: "bob", Tenant: "acme", Role: orch.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	a := New(Options{Accounts: accounts})
	basic := func(user, password string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for name, tt := range map[string]struct {
		header, value string
		role          orch.Role // in acme; "" is refused
	}{
		"password":        {"Authorization", basic("bob", "correct horse"), orch.Operator},
		"wrong password":  {"Authorization", basic("bob", "wrong horse"), ""},
		"token":           {"Authorization", "Bearer " + token.Secret, orch.Viewer},
		"lower case":      {"Authorization", "bearer " + token.Secret, orch.Viewer},
		"cloudify's":      {"Authentication-Token", token.Secret, orch.Viewer},
		"cloudify's too":  {"Execution-Token", token.Secret, orch.Viewer},
		"no such token":   {"Execution-Token", "orch_x", ""},
		"no token":        {"Authorization", "Bearer", ""},
		"another scheme":  {"Authorization", "Digest username=bob", ""},
		"broken basic":    {"Authorization", "Basic !!!", ""},
		"password bearer": {"Authorization", "Bearer correct horse", ""},
	} {
		id, err := ask(a, tt.header, tt.value)
		if tt.role == "" && !refusedAs(err) || tt.role != "" && (err != nil || id.Tenants["acme"] != tt.role || id.User != "bob") {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
}

// signer makes certificates.
type signer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newSigner(t *testing.T) signer {
	t.Helper()
	return signer{}.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
}

func (s signer) issue(t *testing.T, c *x509.Certificate) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := s.cert, s.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{cert, key}
}

func (s signer) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{s.cert.Raw}, PrivateKey: s.key}
}

// TestCertificates goes through a real TLS listener: only what that has verified counts.
func TestCertificates(t *testing.T) {
	ca, other := newSigner(t), newSigner(t)
	accounts := newAccounts(t, orch.NewUser{Name: "alien4cloud"}, orch.NewUser{Name: "ci@example.org"}, orch.NewUser{Name: "gone"})
	yes := true
	if _, err := accounts.UpdateUser(t.Context(), "gone", orch.UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	usage := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	named := func(s signer, cn string, mails ...string) signer {
		return s.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: cn}, EmailAddresses: mails, ExtKeyUsage: usage})
	}
	serverCert := ca.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	for name, tt := range map[string]struct {
		client *signer
		role   orch.Role
		want   string // "" is refused
	}{
		"common name":      {ptr(named(ca, "alien4cloud")), "", "alien4cloud"},
		"alternative name": {ptr(named(ca, "whoever", "ci@example.org")), "", "ci@example.org"},
		"unknown name":     {ptr(named(ca, "stranger")), "", ""},
		"unknown, allowed": {ptr(named(ca, "stranger")), orch.Operator, "stranger"},
		"disabled":         {ptr(named(ca, "gone")), orch.Operator, ""},
		"no certificate":   {nil, orch.Operator, ""},
		"other authority":  {ptr(named(other, "alien4cloud")), orch.Operator, ""},
	} {
		a := New(Options{Accounts: accounts, CertificateRole: tt.role})
		var id orch.Identity
		var err error
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { id, err = a.Identify(r) }))
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{serverCert.pair()}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
		srv.Config.ErrorLog = nil
		srv.StartTLS()
		conf := &tls.Config{RootCAs: pool}
		if tt.client != nil {
			pair := tt.client.pair()
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}}
		resp, herr := c.Get(srv.URL)
		if herr == nil {
			_ = resp.Body.Close()
		}
		c.CloseIdleConnections()
		srv.Close()
		if tt.want == "" && herr == nil && !refusedAs(err) || tt.want != "" && (herr != nil || err != nil || id.User != tt.want || id.Via != "certificate") {
			t.Errorf("%s: %+v, %v, %v", name, id, err, herr)
		}
		if name == "unknown, allowed" && id.Tenants["default"] != orch.Operator {
			t.Errorf("%+v", id)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// issuer is an OpenID Connect provider.
type issuer struct {
	*httptest.Server
	key *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q,"authorization_endpoint":"x","token_endpoint":"x","id_token_signing_alg_values_supported":["ES256"]}`, i.URL, i.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) token(t *testing.T, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"iss": i.URL, "aud": "orch", "sub": "42", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	for k, v := range claims {
		all[k] = v
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(raw)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOIDC(t *testing.T) {
	provider := newIssuer(t)
	accounts := newAccounts(t, orch.NewUser{Name: "root", Admin: true}, orch.NewUser{Name: "alice", Tenants: map[string]orch.Role{"acme": orch.Admin}}, orch.NewUser{Name: "spare", Admin: true})
	yes := true
	if _, err := accounts.CreateUser(t.Context(), orch.NewUser{Name: "gone"}); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.UpdateUser(t.Context(), "gone", orch.UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	grants := []Grant{{Value: "ops", Role: orch.Operator}, {Value: "acme-read", Tenant: "acme", Role: orch.Viewer}, {Value: "wheel", Admin: true}}
	with := func(o OIDCOptions) *Authenticator {
		o.Issuer, o.Audience, o.Grants = provider.URL, "orch", grants
		v, err := NewOIDC(o)
		if err != nil {
			t.Fatal(err)
		}
		return New(Options{Accounts: accounts, OIDC: v})
	}
	trusted := OIDCOptions{UserClaim: "preferred_username"}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		options OIDCOptions
		key     *ecdsa.PrivateKey
		claims  map[string]any
		want    string // "" is refused
	}{
		"groups":            {OIDCOptions{}, provider.key, map[string]any{"preferred_username": "bob", "groups": []string{"ops", "acme-read"}}, "oidc:bob known map[acme:viewer default:operator]"},
		"no groups":         {OIDCOptions{}, provider.key, map[string]any{"email": "b@x", "email_verified": true}, "oidc:b@x known map[]"},
		"unverified mail":   {OIDCOptions{}, provider.key, map[string]any{"email": "b@x"}, "oidc:42 known map[]"},
		"inside of objects": {OIDCOptions{RolesClaim: "realm_access.roles"}, provider.key, map[string]any{"realm_access": map[string]any{"roles": []string{"ops"}}}, "oidc:42 known map[default:operator]"},
		"words of a text":   {OIDCOptions{RolesClaim: "scope"}, provider.key, map[string]any{"scope": "openid ops"}, "oidc:42 known map[default:operator]"},
		"admin":             {OIDCOptions{}, provider.key, map[string]any{"groups": "wheel"}, "oidc:42 server-admin map[]"},
		"name of an admin":  {OIDCOptions{}, provider.key, map[string]any{"preferred_username": "root"}, "oidc:root known map[]"},
		"trusted name":      {trusted, provider.key, map[string]any{"preferred_username": "alice", "groups": []string{"acme-read"}}, "alice known map[acme:admin]"},
		"trusted, disabled": {trusted, provider.key, map[string]any{"preferred_username": "gone"}, ""},
		"trusted, no name":  {trusted, provider.key, nil, ""},
		"expired":           {OIDCOptions{}, provider.key, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}, ""},
		"another audience":  {OIDCOptions{}, provider.key, map[string]any{"aud": "shop"}, ""},
		"another issuer":    {OIDCOptions{}, provider.key, map[string]any{"iss": "https://evil.example"}, ""},
		"another key":       {OIDCOptions{}, stranger, nil, ""},
	} {
		id, err := ask(with(tt.options), "Authorization", "Bearer "+provider.token(t, tt.key, tt.claims))
		got := fmt.Sprintf("%s %s %v", id.User, id.Role, id.Tenants)
		if tt.want == "" && !refusedAs(err) || tt.want != "" && (err != nil || got != tt.want) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, bad := range []string{"x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9."} {
		if _, err := ask(with(OIDCOptions{}), "Authorization", "Bearer "+bad); !refusedAs(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	away, err := NewOIDC(OIDCOptions{Issuer: "http://127.0.0.1:1", Audience: "orch"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(New(Options{Accounts: accounts, OIDC: away}), "Authorization", "Bearer a.b.c"); err == nil || refusedAs(err) {
		t.Errorf("a provider that is away is the server's trouble: %v", err)
	}
	for name, o := range map[string]OIDCOptions{"no audience": {Issuer: "x"}, "bad role": {Issuer: "x", Audience: "y", Grants: []Grant{{Value: "a", Role: "king"}}}, "no value": {Issuer: "x", Audience: "y", Grants: []Grant{{Role: "viewer"}}}} {
		if _, err := NewOIDC(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	for _, h := range []string{"", "Bearer x", "Basic eDp5", "Bearer orch_0123456789abcdef_x", "Basic", "Digest a=b"} {
		f.Add(h)
	}
	accounts := access.New(mem.New(mem.Options{}))
	if _, err := accounts.CreateUser(context.Background(), orch.NewUser{Name: "bob"}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		defer bounded.Input(t)()
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Header: http.Header{"Authorization": {header}}, RemoteAddr: "192.0.2.1:1"}
		if id, err := New(Options{Accounts: accounts}).Identify(r); err == nil {
			t.Errorf("%q is %+v", header, id)
		}
	})
}
