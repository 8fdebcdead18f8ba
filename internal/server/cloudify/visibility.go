package cloudify

import (
	"context"

	"github.com/orch-project/orch/pkg/orch"
)

// Visibility of what only Cloudify has words for, and of blueprints below its paths:
//
//	private   who has made it, and the tenant's admins
//	tenant    everybody in the tenant
//	global    everybody in every tenant; only its own tenant changes it

// sees reports whether who asks may know of something of this tenant. The server's own work sees everything.
func (s *Server) sees(ctx context.Context, o owned) bool {
	if o.Visibility != visiblePrivate {
		return true
	}
	id, known := orch.IdentityOf(ctx)
	return !known || id.Role == "" || id.User == o.By || id.Allows(orch.Admin)
}

// visibleOf are the records of this tenant that who asks may know of, and the global ones of all others.
func visibleOf[T any](ctx context.Context, s *Server, d drawer[T], own func(T) owned) (out []T, err error) {
	tenant := s.opts.Tenant
	if s.opts.Peer != nil {
		tenant = "" // all of them
	}
	all, err := d.all(ctx, tenant)
	for _, r := range all {
		switch o := own(r); {
		case o.Tenant == s.opts.Tenant && s.sees(ctx, o), o.Tenant != s.opts.Tenant && o.Visibility == visibleGlobal:
			out = append(out, r)
		}
	}
	return out, err
}

// foreign refuses to change what another tenant has made global.
func (q *request) foreign(kind string, o owned) error {
	if o.Tenant == q.tenant || o.Tenant == "" {
		return nil
	}
	return forbidden("The " + kind + " " + o.ID + " is global; only its own tenant, " + shownTenant(o.Tenant) + ", can change it")
}
