package main

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/orch-project/orch/internal/cli"
	"github.com/orch-project/orch/internal/config"
	"github.com/orch-project/orch/internal/server/auth"
	"github.com/orch-project/orch/pkg/access"
	"github.com/orch-project/orch/pkg/orch"
)

// firstAdmin makes the admin that the configuration names, on a server that has none.
func firstAdmin(ctx context.Context, c *config.Config, svc *service, log *slog.Logger) error {
	a := access.FirstAdmin{Name: c.Auth.Admin, Hash: c.Auth.AdminPasswordHash}
	if a.Name == "" {
		return nil
	}
	if (a.Hash == "") == (c.Auth.AdminPasswordFile == "") {
		return &orch.Error{Kind: orch.KindUser, Msg: "auth.admin needs a password: either auth.admin_password_file or auth.admin_password_hash", Hint: "see docs/server.md"}
	}
	if a.Hash == "" {
		data, err := os.ReadFile(c.Auth.AdminPasswordFile)
		if err != nil {
			return &orch.Error{Kind: orch.KindUser, Msg: "cannot read the first admin's password (auth.admin_password_file)", Err: err}
		}
		a.Password = strings.TrimRight(string(data), "\r\n")
	}
	made, err := svc.access.EnsureAdmin(ctx, a)
	if err != nil || !made {
		return err
	}
	log.Info("the first admin is made", "user", a.Name)
	return svc.access.Record(ctx, orch.AuditEntry{User: userName(), Via: "configuration", Action: "users bootstrap", Target: a.Name, Result: orch.AuditDone})
}

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
