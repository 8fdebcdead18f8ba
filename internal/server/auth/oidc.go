package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"github.com/orch-project/orch/pkg/orch"
)

// OIDCOptions say which tokens of an OpenID Connect provider are accepted and what they allow.
type OIDCOptions struct {
	Issuer   string // URL; its /.well-known/openid-configuration is read
	Audience string // that tokens must be for: the client id
	// UserClaim names the user. Where it is given, the provider is trusted to give each name to one person for good, and a user of that name
	// in the store adds its roles. "" shows "oidc:" with preferred_username, else email (if verified), else sub, which many providers let
	// people choose: such a name is never one of the store's.
	UserClaim string
	// RolesClaim holds a text or a list of texts, such as "groups" or, inside of objects, "realm_access.roles".
	RolesClaim string
	Grants     []Grant
	// Client reaches the provider; nil: the default one.
	Client *http.Client
}

// Grant gives whoever's roles claim has Value a role.
type Grant struct {
	Value  string
	Tenant string // "" is the default one
	Role   orch.Role
	Admin  bool // of the server
}

// OIDC verifies tokens. The provider is asked for its keys when the first token comes, so that a server starts without it.
type OIDC struct {
	opts OIDCOptions

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
	failure  error // of asking the provider who it is, at failed
	failed   time.Time
}

// NewOIDC returns a verifier of tokens.
func NewOIDC(o OIDCOptions) (*OIDC, error) {
	if o.Issuer == "" || o.Audience == "" {
		return nil, errors.New("OIDC needs an issuer and an audience")
	}
	for _, g := range o.Grants {
		if g.Value == "" || !g.Admin && !slices.Contains(orch.Roles(), g.Role) {
			return nil, fmt.Errorf("OIDC: a grant needs a value and a role of viewer, operator or admin: %+v", g)
		}
	}
	if o.RolesClaim == "" {
		o.RolesClaim = "groups"
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	bounded := *o.Client
	bounded.Transport = asking{cmp.Or[http.RoundTripper](o.Client.Transport, http.DefaultTransport), rate.NewLimiter(rate.Every(askPace), askBurst)}
	o.Client = &bounded
	return &OIDC{opts: o}, nil
}

// failureFor is how long a provider that could not be asked is not asked again: who waits meanwhile is told the same.
const failureFor = 2 * time.Second

func (o *OIDC) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.verifier != nil {
		return o.verifier, nil
	}
	if o.failure != nil && time.Since(o.failed) < failureFor {
		return nil, o.failure
	}
	// The provider keeps its context for fetching keys later: it must outlive the request.
	life := oidc.ClientContext(context.WithoutCancel(ctx), o.opts.Client)
	p, err := oidc.NewProvider(life, o.opts.Issuer)
	var about struct {
		Keys       string   `json:"jwks_uri"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err == nil {
		err = p.Claims(&about)
	}
	if err != nil {
		o.failure, o.failed = unreachable(err), time.Now()
		return nil, o.failure
	}
	conf := &oidc.Config{ClientID: o.opts.Audience, SupportedSigningAlgs: signed(about.Algorithms)}
	o.verifier = oidc.NewVerifier(o.opts.Issuer, keySet{oidc.NewRemoteKeySet(life, about.Keys)}, conf)
	return o.verifier, nil
}

// signed are those algorithms that sign with a private key: a token "signed" with nothing, or with the provider's public key, is anybody's.
func signed(algorithms []string) []string {
	all := []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}
	return slices.DeleteFunc(all, func(a string) bool { return !slices.Contains(algorithms, a) })
}

// unreachable is no mistake of who sends a token: it may be good.
func unreachable(err error) error {
	return &orch.Error{Kind: orch.KindStore, Msg: "cannot ask the identity provider", Err: err}
}

func (o *OIDC) verify(ctx context.Context, raw string) (orch.Identity, error) {
	v, err := o.ready(ctx)
	if err != nil {
		return orch.Identity{}, err
	}
	var outage error
	token, err := v.Verify(context.WithValue(ctx, outageKey{}, &outage), raw)
	if outage != nil {
		return orch.Identity{}, unreachable(outage)
	}
	if err != nil {
		return orch.Identity{}, err
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return orch.Identity{}, err
	}
	id := orch.Identity{User: o.user(token.Subject, claims), Via: "oidc", Role: orch.Known, Tenants: map[string]orch.Role{}}
	if id.User == "" {
		return id, fmt.Errorf("the token has no claim %s", o.opts.UserClaim)
	}
	have := texts(lookup(claims, o.opts.RolesClaim))
	for _, g := range o.opts.Grants {
		if !slices.Contains(have, g.Value) {
			continue
		}
		if g.Admin {
			id.Role = orch.ServerAdmin
			continue
		}
		tenant := g.Tenant
		if tenant == "" {
			tenant = orch.DefaultTenant
		}
		if !id.Tenants[tenant].Allows(g.Role) {
			id.Tenants[tenant] = g.Role
		}
	}
	return id, nil
}

// keySet tells that the provider's keys could not be fetched from that a token is not signed with one of them.
type keySet struct{ *oidc.RemoteKeySet }

// outageKey is where keySet puts the reason: the verifier makes a text of it.
type outageKey struct{}

func (k keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.RemoteKeySet.VerifySignature(ctx, jwt)
	if to, ok := ctx.Value(outageKey{}).(*error); ok && err != nil && strings.HasPrefix(err.Error(), "fetching keys ") {
		*to = err
	}
	return payload, err
}

// asking bounds how often the provider is asked: every token with a key that is not known asks it for new ones, and anybody can send such tokens.
type asking struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

func (a asking) RoundTrip(r *http.Request) (*http.Response, error) {
	if !a.limit.Allow() {
		return nil, errors.New("it was asked very often just now")
	}
	return a.next.RoundTrip(r)
}

// Of asking the provider.
const (
	askBurst = 20
	askPace  = time.Second
)

func (o *OIDC) user(subject string, claims map[string]any) string {
	text := func(name string) string { s, _ := lookup(claims, name).(string); return s }
	if o.opts.UserClaim != "" {
		return text(o.opts.UserClaim)
	}
	const foreign = "oidc:" // users of the store have no colon in their names
	if s := text("preferred_username"); s != "" {
		return foreign + s
	}
	if verified, _ := claims["email_verified"].(bool); verified && text("email") != "" {
		return foreign + text("email")
	}
	return foreign + subject
}

// lookup finds a claim by its name, or by the names of objects and the claim in them with dots between.
func lookup(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	first, rest, ok := strings.Cut(name, ".")
	if !ok {
		return nil
	}
	inner, _ := claims[first].(map[string]any)
	return lookup(inner, rest)
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
