package main

import (
	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/server/auth"
	"github.com/orch-project/orch/pkg/orch"
)

// authenticator of a server: the users in its store, and whom the configuration lets in besides.
func authenticator(c *config.Config, svc *service, o cli.ServeOptions) (*auth.Authenticator, error) {
	opts := auth.Options{Accounts: svc.access, Open: o.Loopback, Everybody: o.NoAuth, CertificateRole: orch.Role(c.Auth.CertificateRole)}
	switch opts.CertificateRole {
	case "", orch.Viewer, orch.Operator, orch.Admin:
	default:
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "auth.certificate_role: there is no role " + c.Auth.CertificateRole, Hint: "it is viewer, operator or admin"}
	}
	if c.Auth.OIDC.Issuer == "" {
		return auth.New(opts), nil
	}
	conf := auth.OIDCOptions{Issuer: c.Auth.OIDC.Issuer, Audience: c.Auth.OIDC.Audience, UserClaim: c.Auth.OIDC.UserClaim, RolesClaim: c.Auth.OIDC.RolesClaim}
	for _, g := range c.Auth.OIDC.Grants {
		conf.Grants = append(conf.Grants, auth.Grant{Value: g.Value, Tenant: g.Tenant, Role: orch.Role(g.Role), Admin: g.Admin})
	}
	var err error
	if opts.OIDC, err = auth.NewOIDC(conf); err != nil {
		return nil, &orch.Error{Kind: orch.KindUser, Msg: "auth.oidc", Err: err, Hint: "see docs/server.md"}
	}
	return auth.New(opts), nil
}
